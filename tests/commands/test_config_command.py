"""``edge config``: the sample, the check, and the configuration in force, which shows no secret."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from edge.cli import app
from edge.commands.config import shown_text
from edge.config import make_config, read_config
from tests.marked import HEAD, IP, NAME, SECRET, TAIL, URL, assert_clean, numbered

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

GOOD = '[cameras.front]\nsource = "/dev/video0"\n'
PRIVATE_KEY = "AGE-SECRET-KEY-1" + "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQPZRY9X8GF2TVDW0S3JN54KHCE"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["config", *map(str, arguments)], env={"COLUMNS": "200"})


def write(folder: Path, text: str) -> Path:
    path = folder / "edge.toml"
    path.write_text(text)
    return path


def test_init_writes_once_and_check_accepts_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "box.toml"
    done = run("init", "--out", path)
    assert (done.exit_code, done.stdout) == (0, f"wrote {path}\n")
    path.write_text(path.read_text() + "# mine\n")
    again = run("init", "--out", path)
    assert (again.exit_code, again.stdout) == (1, "")
    assert path.read_text().endswith("# mine\n")
    done = run("check", path)
    assert (done.exit_code, done.stdout) == (0, f"{path}: ok (cameras: front)\n")


def test_check_names_the_key(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + "[store]\nquality = 0\n")
    for command in ("check", "show"):
        done = run(command, path)
        assert (done.exit_code, done.stdout) == (78, "")
        assert done.stderr.startswith(f"edge: {path}: key 'store.quality'")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--check", "edge.toml"], "No such option: --check; write it without dashes: edge config check"),
        (["--init"], "No such option: --init; write it without dashes: edge config init"),
        (["--verbose"], "No such option: --verbose"),
        (["chekc", "edge.toml"], "No such command 'chekc'. Did you mean 'check'?"),
        (["check"], "Missing argument 'FILE'"),
        (["check", "--out", "x", "edge.toml"], "No such option: --out"),
    ],
)
def test_a_wrong_command_line_says_what_to_write(arguments: list[str], text: str) -> None:
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert text in done.stderr


def test_show_prints_file_environment_and_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(
        tmp_path,
        GOOD
        + "crop = [0, 0, 0.5, 1]\n[store]\nquality = 70\nclock_confirmed = 2026-07-14T12:00:00Z\n"
        + '[status]\nallowed_hosts = ["yard", "fe80::1"]\n[mqtt]\nhost = "192.0.2.7"\n',
    )
    monkeypatch.setenv("EDGE_STORE__FOLDER", "/srv/images")
    monkeypatch.setenv("EDGE_CAMERAS__BACK__SOURCE", f"rtsp://admin:{SECRET}@{IP}/stream")
    done = run("show", path)
    assert done.exit_code == 0, done.stderr
    shown = tomllib.loads(done.stdout)
    assert shown["cameras"]["front"]["source"] == "/dev/video0"
    assert shown["cameras"]["front"]["crop"] == [0, 0, 0.5, 1]
    assert shown["cameras"]["back"]["source"] == f"rtsp://{IP}"
    assert (shown["store"]["folder"], shown["store"]["quality"]) == ("/srv/images", 70)
    assert shown["store"]["clock_confirmed"].startswith("2026-07-14T12:00:00")
    assert shown["status"]["allowed_hosts"] == ["yard", "fe80::1"]
    assert (shown["mqtt"]["host"], shown["mqtt"]["port"]) == ("192.0.2.7", 1883)
    assert shown["blur"]["fill"] == "infill"
    config = read_config(path)
    for name in type(config).model_fields:
        if name not in ("cameras", "detectors"):
            keys = set(type(getattr(config, name)).model_fields)
            unset = set(re.findall(r"(?m)^#(\w+) = \.\.\.$", done.stdout))
            assert set(shown[name]) <= keys <= set(shown[name]) | unset


@pytest.mark.parametrize("more", ["", '[detectors.plate]\npath = "plate.onnx"\nhold_before_frames = 2\n'])
def test_what_show_prints_is_a_valid_configuration(tmp_path: Path, more: str) -> None:
    config = read_config(write(tmp_path, GOOD + more))
    # It names the shipped detector, which runs where nothing is named
    named = config.detector.model_copy(update={"name": "face"})
    assert read_config(write(tmp_path, shown_text(config))) == config.model_copy(update={"detector": named})


WITH_SECRETS = [
    f'[cameras.front]\nsource = "{URL}"\n',
    f'[cameras.front]\nsource = "rtsp://admin:{HEAD}/{TAIL}@{NAME}/stream"\n',
    f'[cameras.front]\nsource = "rtsp://{IP}/user=admin&password={SECRET}"\n',
    f'[cameras.front]\nsource = "admin:{SECRET}"\n',
    f'[cameras.front]\nsource = "rtspsrc location={URL} ! appsink"\nkind = "gstreamer"\n',
    f'{GOOD}[mqtt]\nhost = "admin:{SECRET}"\n',
    f'{GOOD}[mqtt]\nhost = "yard/{SECRET}"\n',
    f'{GOOD}[mqtt]\nusername = "{SECRET}"\npassword_file = "{SECRET}"\n',
    f'{GOOD}[mqtt]\nusername = "{URL}"\n',
    f'{GOOD}[status]\ntoken_file = "{SECRET}"\n',
    f'{GOOD}[status]\nallowed_hosts = ["yard", "{URL}", "admin:{SECRET}"]\n',
    f'{GOOD}[store]\nfolder = "admin:{SECRET}"\n',
    f'{GOOD}[detector]\npath = "x?token={SECRET}"\n',
]


@pytest.mark.parametrize("text", WITH_SECRETS, ids=numbered(WITH_SECRETS))
def test_show_prints_no_password(tmp_path: Path, text: str) -> None:
    done = run("show", write(tmp_path, text))
    assert done.exit_code == 0, done.stderr
    assert tomllib.loads(done.stdout)
    assert_clean(done.output)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("EDGE_CAMERAS__FRONT__SOURCE", URL),
        ("EDGE_CAMERAS", json.dumps({"back": {"source": URL}})),
        ("EDGE_MQTT__USERNAME", SECRET),
        ("EDGE_MQTT__HOST", f"admin:{SECRET}"),
        ("EDGE_STATUS__TOKEN_FILE", SECRET),
        ("EDGE_STORE__FOLDER", f"admin:{SECRET}"),
    ],
)
def test_show_prints_no_password_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    done = run("show", write(tmp_path, GOOD))
    assert done.exit_code == 0, done.stderr
    assert_clean(done.output)


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("cameras.front", "source"), ("store", "folder"), ("detector", "path"), ("detector", "cache_folder"),
        ("status", "token_file"), ("status", "socket"), ("status", "allowed_hosts"), ("mqtt", "host"),
        ("mqtt", "topic"), ("mqtt", "box"), ("mqtt", "username"), ("mqtt", "discovery_prefix"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("change", [str, str.lower])
def test_show_prints_no_private_key(section: str, key: str, change: type[str]) -> None:
    secret = change(PRIVATE_KEY)
    tables = {"cameras": {"front": {"source": "/dev/video0"}}, "status": {}, "mqtt": {}}
    table = tables["cameras"]["front"] if section == "cameras.front" else tables.setdefault(section, {})
    table[key] = [secret] if key == "allowed_hosts" else secret  # type: ignore[assignment]
    text = shown_text(make_config(tables, "test"))
    assert secret[16:28].casefold() not in text.casefold()
