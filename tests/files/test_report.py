"""The report of ``edge blur`` over several runs, and folders with files that it does not read."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from edge.commands import blur as command_blur
from edge.config import make_config
from edge.detection import known_face
from edge.errors import StoreError
from edge.files import batch, video
from edge.files.coco import CocoReport, read_report
from edge.files.unread import UNREAD
from edge.frames import Pixels
from edge.pictures import SUFFIXES
from tests.clips import write_clip
from tests.joint import Answers, Rows

Run = Callable[..., tuple[bool, str]]


def middle(pixels: Pixels) -> Rows:
    """One face in the middle of every picture, which does not count on a picture that is covered."""
    height, width = pixels.shape[:2]
    return [(width / 3, height / 3, 2 * width / 3, 2 * height / 3, 0.5)]


class Middle(Answers):
    """Stands in for a detector."""

    def __init__(self) -> None:
        super().__init__(middle, 0.35)
        self.score_last_look = 0.6


@pytest.fixture
def blur(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``edge blur``, from ``in`` to ``out``; it gives whether all went well, and what was printed."""
    monkeypatch.setattr(command_blur, "open_detector", lambda *_: Middle())
    monkeypatch.setattr(known_face, "check", lambda _: None)
    (tmp_path / "in").mkdir()

    def run(*paths: str, resume: bool = False, report: str | None = "report.json") -> tuple[bool, str]:
        output = io.StringIO()
        good = command_blur.blur_files(
            [tmp_path / path for path in paths or ("in",)],
            tmp_path / "out",
            make_config({}, "test"),
            batch.Options(resume=resume, convert=False, keep_audio=False, quality=95, workers=1),
            tmp_path / report if report is not None else None,
            Console(file=output, width=80),
        )
        return good, output.getvalue()

    return run


def small(folder: Path, name: str) -> Path:
    path = folder / "in" / name
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (60, 60), "orange").save(path)
    return path


def later(path: Path) -> None:
    """Let a file be newer than its result."""
    moment = path.stat().st_mtime + 3600
    os.utime(path, (moment, moment))


def content(folder: Path, name: str = "report.json") -> Any:
    return json.loads((folder / name).read_text())


def test_a_resumed_run_keeps_what_the_report_said(tmp_path: Path, blur: Run) -> None:
    for name in ("b.png", "d.png", "sub/c.png"):
        small(tmp_path, name)
    write_clip(tmp_path / "in" / "clip.mp4", frames=2, width=64, height=36)
    assert blur()[0]
    before = content(tmp_path)
    names = ["b.png", "clip.mp4", "clip.mp4", "d.png", "sub/c.png"]
    assert [i["file_name"] for i in before["images"]] == names
    # A run with nothing to do changes nothing
    assert blur(resume=True)[0]
    assert content(tmp_path) == before
    small(tmp_path, "a.png")
    changed = small(tmp_path, "d.png")
    Image.new("RGB", (90, 90), "orange").save(changed)
    later(changed)
    good, output = blur(resume=True)
    assert good
    assert "2 written" in output
    assert "3 done before" in output
    after = content(tmp_path)
    assert [i["file_name"] for i in after["images"]] == ["a.png", *names]
    assert [i["id"] for i in after["images"]] == list(range(1, 7))
    assert [a["id"] for a in after["annotations"]] == [a["image_id"] for a in after["annotations"]]
    assert [a["id"] for a in after["annotations"]] == list(range(1, 7))
    assert [i.get("frame_index") for i in after["images"]] == [None, None, 0, 1, None, None]
    assert [i["width"] for i in after["images"]] == [60, 60, 64, 64, 90, 60]

    assert [a["bbox"][0] for a in before["annotations"]] == [20, 21.33, 21.33, 20, 20]
    assert [a["bbox"][0] for a in after["annotations"]] == [20, 20, 21.33, 21.33, 30, 20]


def test_what_the_run_does_not_touch_stays_in_the_report(tmp_path: Path, blur: Run) -> None:
    """Other inputs, and a file that is refused this time: their results are still there."""
    small(tmp_path, "a.png")
    broken = small(tmp_path, "b.png")
    assert blur()[0]
    before = content(tmp_path)
    broken.write_bytes(b"")
    later(broken)
    good, output = blur("in/b.png", resume=True)
    assert not good
    assert "refused" in output
    assert content(tmp_path) == before


def test_without_resume_the_report_is_of_this_run(tmp_path: Path, blur: Run) -> None:
    small(tmp_path, "a.png")
    assert blur()[0]
    small(tmp_path, "b.png")
    assert blur("in/b.png")[0]
    assert [i["file_name"] for i in content(tmp_path)["images"]] == ["b.png"]


def test_what_the_report_lacks_is_said(tmp_path: Path, blur: Run) -> None:
    names = [f"{letter}.png" for letter in "abcdefg"]
    for name in names:
        small(tmp_path, name)
    assert blur("in/a.png")[0]
    assert blur(*(f"in/{name}" for name in names[1:]), report=None)[0]
    good, output = blur(resume=True)
    assert not good
    assert (
        'not in the report: "b.png", "c.png", "d.png", "e.png", "f.png" and 1 more, which an earlier run did '
        "without a report; run again without --resume, or remove their results first\n"
    ) in output
    assert [i["file_name"] for i in content(tmp_path)["images"]] == ["a.png"]
    # Each way out leads out
    for name in names[1:]:
        (tmp_path / "out" / name).unlink()
    assert blur(resume=True)[0]
    assert [i["file_name"] for i in content(tmp_path)["images"]] == names
    good, output = blur(resume=True, report="other.json")
    assert not good
    assert "7 done before" in output
    assert blur(report="other.json")[0]
    assert content(tmp_path, "other.json") == content(tmp_path)


def sample() -> dict[str, Any]:
    report = CocoReport()
    report.add("a.png", 1, 2, *two_boxes())
    return dict(json.loads(report.text()))


def two_boxes() -> tuple[Any, Any]:
    return np.array([[0, 0, 1, 1], [0, 0, 1, 2]], np.float32), np.array([0.5, 0.75], np.float32)


def with_changes(**changes: Any) -> str:
    return json.dumps({**sample(), **changes})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("{", "Expecting"),
        ("[" * 100_000, "recursion"),
        ("\xff", "codec can't decode"),
        ("[]", "not a report of edge blur"),
        ("{}", "not a report of edge blur"),
        (with_changes(licenses=[]), "not a report of edge blur"),
        (with_changes(info={"description": "my labels"}), "another program"),
        (with_changes(categories=[{"id": 1, "name": "dog"}]), "another program"),
        (with_changes(images={}), "a list is missing"),
        (with_changes(images=[1]), "entry 0 was not written by edge blur"),
        (with_changes(images=[{"id": 1, "width": 1, "height": 1}]), "entry 0 was not written by edge blur"),
        (with_changes(images=sample()["images"] * 2), r"images\[1\]: its id is used twice"),
        (with_changes(images=[]), r"annotations\[0\]: its image does not exist"),
        (with_changes(annotations=None), "a list is missing"),
    ],
)
def test_a_report_that_cannot_be_continued_is_refused_before_any_work(
    tmp_path: Path, blur: Run, text: str, reason: str
) -> None:
    small(tmp_path, "a.png")
    path = tmp_path / "report.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(StoreError, match=rf"--report \S+report\.json: .*{reason}.*; name another file"):
        blur(resume=True)
    assert path.read_text(encoding="latin-1") == text
    assert not (tmp_path / "out").exists()


def test_a_folder_is_no_report(tmp_path: Path, blur: Run) -> None:
    (tmp_path / "report.json").mkdir()
    with pytest.raises(StoreError, match="not a regular file"):
        blur(resume=True)


def test_a_report_read_and_written_is_the_same(tmp_path: Path) -> None:
    text = json.dumps(sample(), indent=1)
    (tmp_path / "report.json").write_text(text)
    report = read_report(tmp_path / "report.json")
    assert report.text() == text
    assert "a.png" in report
    assert "b.png" not in report


@pytest.mark.parametrize("resume", [False, True])
def test_after_an_interrupt_the_report_knows_what_is_done(
    tmp_path: Path, blur: Run, monkeypatch: pytest.MonkeyPatch, resume: bool
) -> None:
    for name in ("a.png", "b.png", "c.png"):
        small(tmp_path, name)
    if resume:
        assert blur("in/a.png")[0]

    with monkeypatch.context() as patched:
        patched.setattr(command_blur, "progress_bar", Interrupting)
        with pytest.raises(KeyboardInterrupt):
            blur(resume=resume)
    done = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert [i["file_name"] for i in content(tmp_path)["images"]] == done
    assert "a.png" in done
    assert blur(resume=True)[0]
    assert [i["file_name"] for i in content(tmp_path)["images"]] == ["a.png", "b.png", "c.png"]


class Interrupting:
    """Stands in for the progress bar: Ctrl-C comes as it is told of the first picture."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> Callable[..., None]:
        return self.update

    def __exit__(self, *_: object) -> None: ...

    def update(self, *_: object) -> None:
        raise KeyboardInterrupt


def test_an_interrupt_leaves_the_report_of_another_run_alone(
    tmp_path: Path, blur: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.png"):
        small(tmp_path, name)
    assert blur()[0]
    before = content(tmp_path)
    monkeypatch.setattr(command_blur, "progress_bar", Interrupting)
    with pytest.raises(KeyboardInterrupt):
        blur()
    assert content(tmp_path) == before


# --- files that are not read ---


def test_a_folder_with_pictures_that_are_not_read_is_not_done(tmp_path: Path, blur: Run) -> None:
    small(tmp_path, "a.png")
    unread = {
        "IMG_1.HEIC": "HEIF pictures are not read; make it a JPEG or PNG first",
        "b.avif": "AVIF pictures",
        "sub/c.gif": "GIF pictures",
        "d.dng": "camera raw pictures",
        "e.jxl": "JPEG XL pictures",
        "f.jp2": "JPEG 2000 pictures",
        "g.MTS": r"MPEG transport stream videos are not read; make it an MP4 first \(ffmpeg -i IN OUT\.mp4\)",
        "h.wmv": "Windows Media videos",
        "i.3gp": "3GPP videos",
        "j.jfif": r"not read under this name; rename it to \.jpg",
    }
    for name in (*unread, "notes.txt", "labels.json", "README"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"whatever")
    for resume in (False, True):
        good, output = blur(resume=resume)
        assert not good
        listed = re.findall(r'^refused "(.+)": (.+)$', output, re.MULTILINE)
        assert {name.split("/in/")[1] for name, _ in listed} == set(unread)
        for name, reason in listed:
            assert re.match(unread[name.split("/in/")[1]], reason)
        assert "3 other files left alone, 10 refused" in output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]
    assert [i["file_name"] for i in content(tmp_path)["images"]] == ["a.png"]


def test_other_files_alone_are_no_failure(tmp_path: Path, blur: Run) -> None:
    small(tmp_path, "a.png")
    (tmp_path / "in" / "notes.txt").touch()
    good, output = blur()
    assert good
    assert "1 other files left alone, 0 refused" in output


def test_one_such_file_by_itself_has_the_same_reason(tmp_path: Path, blur: Run) -> None:
    (tmp_path / "in" / "a.heic").touch()
    good, output = blur("in/a.heic")
    assert not good
    assert "HEIF pictures are not read" in output


def test_what_is_read_is_not_listed_as_unread() -> None:
    assert not set(UNREAD) & {*SUFFIXES, *video.SUFFIXES}
    assert all(re.fullmatch(r"\.[0-9a-z]+", suffix) for suffix in UNREAD)
