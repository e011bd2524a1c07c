"""The real commands, as processes, on real files."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from edge.cli import app
from edge.detection.rescan import FACE_SCORE, find_faces
from tests.clips import write_clip
from tests.conftest import DATA


def environment(**extra: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("EDGE_")}
    return {**kept, "COLUMNS": "200", "NO_COLOR": "1", **extra}


def run(script: str, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [script, *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def start(script: str, config: Path, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [script, "run", "--config", str(config)],
        cwd=cwd,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def images(folder: Path) -> list[Path]:
    """Every file below a folder but the audit log."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in files if path.parent.name != "_audit")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=30, rate=15)


def settings(folder: Path, source: Path, extra: str = "", port: int = 0) -> Path:
    path = folder / "edge.toml"
    path.write_text(
        f'[cameras.front]\nsource = "{source}"\n{extra}\n'
        "[privacy]\nknown_face_interval_seconds = 0.2\n"
        f'[store]\nfolder = "{folder / "images"}"\n[status]\nport = {port}\n[detector]\nprovider = "cpu"\n'
    )
    return path


def test_a_whole_clip_is_stored_and_no_face_is_found_on_it(
    tmp_path: Path, clip: Path, edge_script: str
) -> None:
    done = run(edge_script, "run", "--config", settings(tmp_path, clip, "pace = false"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = images(tmp_path / "images")
    assert len(written) == 30
    assert all(path.suffix == ".jpg" for path in written)
    assert re.search(r"camera front: captured 30, written 30, dropped none, state ended", done.stderr)
    (parts,) = re.findall(
        r"front: looked at (\d+) parts of frames \((\d+) of them .* due\), left out (\d+) in", done.stderr
    )
    looked, swept, kept = map(int, parts)
    assert swept <= looked
    assert looked + kept >= 30
    assert find_faces(written) == []
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in written)
    # Nothing else was written anywhere near
    assert {path.name for path in tmp_path.iterdir()} == {"images", "edge.toml"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_tick_and_drains(
    tmp_path: Path, clip: Path, edge_script: str, number: signal.Signals
) -> None:
    process = start(edge_script, settings(tmp_path, clip, "loop = true"), tmp_path)
    wait_for(lambda: len(images(tmp_path / "images")) >= 10)
    process.send_signal(number)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    match = re.search(r"captured (\d+), written (\d+), dropped (\{.*\}|none)", log)
    assert match, log
    written = images(tmp_path / "images")
    assert len(written) == int(match.group(2)) >= 10
    overtaken = sum(map(int, re.findall(r": (\d+)", match.group(3))))
    assert int(match.group(1)) == len(written) + overtaken
    # Those that waited for their look-ahead. Which frames they are depends on the moment, and on some of them
    # a collar is a weak hit at full size, as edge/detection/rescan.py says.
    assert [hit for hit in find_faces(written[-6:]) if hit[1] >= FACE_SCORE] == []


def test_a_second_signal_leaves_at_once(tmp_path: Path, clip: Path, edge_script: str) -> None:
    process = start(edge_script, settings(tmp_path, clip, "loop = true"), tmp_path)
    wait_for(lambda: len(images(tmp_path / "images")) >= 3)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode in (0, 1)  # 0 when it had drained before the second one came
    assert not [p for p in images(tmp_path / "images") if p.suffix != ".jpg"]


def test_a_watched_folder_is_anonymized_as_pictures_come(tmp_path: Path, edge_script: str) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    shutil.copy(DATA / "astronaut.jpg", inbox / "1.jpg")
    process = start(edge_script, settings(tmp_path, inbox, "poll_seconds = 0.1"), tmp_path)
    wait_for(lambda: len(images(tmp_path / "images")) == 1)
    shutil.copy(DATA / "hopper.jpg", inbox / "2.jpg")
    wait_for(lambda: len(images(tmp_path / "images")) == 2)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert find_faces(images(tmp_path / "images")) == []
    assert len(images(inbox)) == 2


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ('fill = "pixelate"', "'blur.fill'"),
        ('fill = "mosaic"', "allow_reidentifiable"),
        ("holdafter = 1", "did you mean 'hold_after_seconds'"),
    ],
)
def test_a_bad_configuration_ends_with_78(
    tmp_path: Path, clip: Path, edge_script: str, change: str, text: str
) -> None:
    path = settings(tmp_path, clip)
    path.write_text(path.read_text() + f"[blur]\n{change}\n")
    for command in (["run", "--config"], ["config", "check"], ["doctor", "--config"]):
        done = run(edge_script, *command, path, cwd=tmp_path)
        assert done.returncode == 78
        assert text in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "images").exists()


def test_a_missing_source_file_ends_with_78(tmp_path: Path, edge_script: str) -> None:
    done = run(edge_script, "run", "--config", settings(tmp_path, tmp_path / "none.mp4"), cwd=tmp_path)
    assert done.returncode == 78
    assert "cameras.front.source" in done.stderr


def test_a_file_that_is_no_video_ends_with_1(tmp_path: Path, edge_script: str) -> None:
    fake = tmp_path / "fake.mp4"
    fake.write_bytes(b"no video")
    done = run(edge_script, "run", "--config", settings(tmp_path, fake), cwd=tmp_path)
    assert done.returncode == 1
    assert "fake.mp4" in done.stderr


def test_a_changed_detector_does_not_start(tmp_path: Path, clip: Path, edge_script: str) -> None:
    from edge.detection.session import read_detector

    data = bytearray(read_detector(None).data)
    data[1000] ^= 1
    (tmp_path / "model.onnx").write_bytes(bytes(data))
    (tmp_path / "model.sha256").write_text(f"{read_detector(None).sha256}  model.onnx\n")
    path = settings(tmp_path, clip)
    path.write_text(path.read_text() + f'path = "{tmp_path / "model.onnx"}"\n')
    done = run(edge_script, "run", "--config", path, cwd=tmp_path)
    assert done.returncode == 1
    assert "was changed or is incomplete" in done.stderr
    assert not (tmp_path / "images").exists()


def test_the_demo_succeeds(tmp_path: Path, edge_script: str) -> None:
    done = run(edge_script, "demo", "--out", tmp_path / "out", "--seconds", "10", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    written = images(tmp_path / "out")
    assert f"No face found on {len(written)} images" in done.stdout
    assert len(written) >= 10
    for row in ("frames captured", "images written", "frames dropped", "of these held", "write p50 / p95"):
        assert row in done.stdout
    assert re.search(r"answered [1-9]", done.stdout)


def test_doctor_says_what_it_found(tmp_path: Path, clip: Path, edge_script: str) -> None:
    config = settings(tmp_path, clip)
    done = run(edge_script, "doctor", "--config", config, "--json", cwd=tmp_path)
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert done.returncode == 0, done.stdout
    assert set(checks) == {
        "versions", "swap", "core dumps", "store", "space", "clock", "detector file", "provider",
        "known face", "camera front", "camera front, faces",
    }  # fmt: skip
    assert "640x360" in checks["camera front"]["found"]
    assert "15 frames per second" in checks["camera front"]["found"] or checks["camera front"]["found"]
    table = run(edge_script, "doctor", "--config", config, cwd=tmp_path)
    assert "known face" in table.stdout
    assert images(tmp_path / "images") == []


def test_doctor_fails_where_nothing_could_work(tmp_path: Path, edge_script: str) -> None:
    config = settings(tmp_path, tmp_path / "none.mp4")
    (tmp_path / "images").write_text("a file, not a folder")
    config.write_text(config.read_text() + f'path = "{tmp_path / "none.onnx"}"\n')
    done = run(edge_script, "doctor", "--config", config, "--json", cwd=tmp_path)
    checks = {check["name"]: check["level"] for check in json.loads(done.stdout)}
    assert done.returncode == 1
    assert (checks["store"], checks["detector file"], checks["camera front"]) == ("fail", "fail", "fail")


def test_config_writes_a_sample_that_it_accepts(tmp_path: Path, edge_script: str) -> None:
    assert run(edge_script, "config", "init", cwd=tmp_path).returncode == 0
    assert run(edge_script, "config", "check", "edge.toml", cwd=tmp_path).returncode == 0
    again = run(edge_script, "config", "init", cwd=tmp_path)
    assert again.returncode == 1
    assert "File exists" in again.stderr


@pytest.mark.parametrize("command", ["", "demo", "blur", "run", "doctor", "config", "config show"])
def test_help_is_shown(tmp_path: Path, edge_script: str, command: str) -> None:
    done = run(edge_script, *command.split(), "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert f"Usage: edge {command}".strip() in done.stdout


def test_every_command_and_option_says_what_it_does() -> None:
    import typer

    root = typer.main.get_command(app)
    commands = root.commands  # type: ignore[attr-defined]
    assert sorted(commands) == [
        "audit", "blur", "config", "confirm-clock", "decrypt", "demo", "doctor", "install", "keygen", "purge",
        "run",
        "uninstall",
    ]  # fmt: skip
    subcommands = commands["config"].commands
    assert sorted(subcommands) == ["check", "init", "show"]
    for name, command in {**commands, **subcommands}.items():
        assert command.help, name
        for parameter in command.params:
            text = getattr(parameter, "help", None)
            assert text, f"{name} {parameter.name}"
            assert text.endswith("."), text
