"""What the command prints and writes as JSON and HTML."""

from __future__ import annotations

import json
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from edge.audit.findings import EXAMPLES
from edge.audit.page import result_page
from edge.audit.report import SHOWN, checks_table, result_json, warnings_of
from edge.commands.audit import audit_folder
from edge.commands.decrypt import read_identities
from edge.errors import ConfigError, StoreError
from tests.audit.boxes import (
    NO_RESCAN,
    audit,
    run_box,
)


def test_recognisable_people_cause_a_loud_warning(tmp_path: Path) -> None:
    run_box(
        tmp_path, [1], blur={"fill": "mosaic"}, privacy={"allow_reidentifiable": True, "last_look": "off"}
    )
    run_box(tmp_path, [11])
    result = audit(tmp_path)
    assert result
    told = warnings_of(result)
    assert told[0].startswith("PEOPLE CAN BE RECOGNISED: 2 images from record 1 on (settings ")
    assert told[0].endswith("were stored with blur.fill = mosaic")
    assert "privacy.last_look = off" in told[1]
    assert len(told) == 2
    assert "PEOPLE CAN BE RECOGNISED" in result_page(result)
    assert result_json(result)["warnings"] == told


def test_many_findings_are_counted_and_some_listed(store: Path) -> None:
    for number in range(EXAMPLES + 5):
        (store / f"{number}.txt").write_bytes(b"")
    result = audit(store)
    (check,) = (check for check in result.checks if check.name == "extra")
    assert (check.wrong.count, len(check.wrong.examples)) == (EXAMPLES + 5, EXAMPLES)
    assert result.wrong == EXAMPLES + 5
    page = result_page(result)
    assert f"and {EXAMPLES + 5 - SHOWN} more" in page
    assert page.count("has no record") == SHOWN
    assert checks_table(result).row_count == len(result.checks)


class Strict(HTMLParser):
    """Every element that is opened is closed, in order."""

    VOID = ("meta", "link")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not [name for name, _ in attributes if name.startswith("on") or name == "src"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def run_edge(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [script, "audit", *map(str, arguments)], capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.slow
def test_the_command_writes_reports_that_escape_everything(
    little: Path, tmp_path: Path, edge_script: str
) -> None:
    hostile = '<script>alert("1")<img onerror=x>&amp;\x1b[2J\n\udcff.jpg'
    (little / hostile).write_bytes(b"")
    reports = tmp_path / "report.json", tmp_path / "report.html"
    done = run_edge(edge_script, little, "--json", reports[0], "--html", reports[1], "--jobs", "1")
    assert done.returncode == 1
    assert "1 thing is wrong" in done.stdout
    assert "\x1b[2J" not in done.stdout + done.stderr
    told = json.loads(reports[0].read_text("ascii"))
    assert (told["good"], told["wrong"], told["rescanned"]) == (False, 1, 4)
    found = {check["name"]: check for check in told["checks"]}
    assert found["extra"]["wrong"]["count"] == 1
    assert found["extra"]["wrong"]["examples"][0]["where"].startswith("<script>alert")
    page = reports[1].read_text("utf-8")
    assert "<script" not in page.lower()
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;img onerror=x&gt;&amp;amp;" in page
    parser = Strict()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    assert not parser.tags & {"script", "img", "iframe", "fields", "a"}
    assert [tag for tag in ("<html", "<head", "<body", "<title") if page.count(tag) != 1] == []


@pytest.mark.slow
def test_the_command_succeeds_on_a_good_store(little: Path, edge_script: str) -> None:
    head = audit(little).head
    done = run_edge(edge_script, little, "--sample", "0", "--head", head.upper())
    assert done.returncode == 0, done.stderr
    assert "Nothing is wrong: 4 images are as recorded, 0 were searched for faces" in done.stdout
    assert f"Last hash (record 6): {head}" in done.stdout
    assert "that of record 6; 0 records follow it" in done.stdout


@pytest.mark.slow
def test_a_malformed_hash_is_a_wrong_command_line(little: Path, edge_script: str) -> None:
    done = run_edge(edge_script, little, "--head", "abc")
    assert done.returncode == 2
    assert "not a sha256" in done.stderr


@pytest.mark.parametrize(
    ("option", "name", "text"),
    [
        ("json", "store/report.json", "lies in the store"),
        ("html", "store/front/report.html", "lies in the store"),
        ("json", "photo.jpg", "the name must end in .json"),
        ("html", "report.json", "the name must end in .html"),
    ],
)
def test_a_report_never_goes_into_the_store_or_over_a_picture(
    little: Path, tmp_path: Path, option: str, name: str, text: str
) -> None:
    path = tmp_path / name
    json_file, html_file = (path, None) if option == "json" else (None, path)
    with pytest.raises(StoreError, match=text):
        audit_folder(little, NO_RESCAN, json_file, html_file, Console())
    assert not path.exists()


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"# no key\n", b"x" * 70_000])
def test_an_invalid_identity_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="--identity"):
        read_identities(path, Console())
