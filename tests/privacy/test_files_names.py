"""Names and paths of files may be anything that the kernel takes: nothing lands elsewhere or is forged."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge.detection.rescan import find_faces
from tests import hostile
from tests.conftest import DATA
from tests.privacy.conftest import Proof
from tests.privacy.daemon import (
    bare_environment,
    check_faces,
    check_log,
    check_store,
    run_bare,
    running,
    stored,
    write_config,
)

QUICK = "poll_seconds = 0.1"
NAMES = [
    "new\nline.jpg", "\n2026-01-01 00:00:00,000 INFO forged.jpg", "\r.jpg", "tab\t.jpg", "\x7f\x01\x02.jpg",
    "\x1b[2J\x1b]0;title\x07.jpg", "invalid \udcff\udcfe.jpg", "\udced\udca0\udc80.jpg", "\u2028.jpg",
    "\x85.jpg", "--out.jpg", "-.jpg", "--.jpg", "--report=x.jpg", "a..b.jpg", " .jpg", "~.jpg", "%s%n%d.jpg",
    "$(touch x).jpg", "[red]bold.jpg", "\\..\\x.jpg", "'\".jpg", "\u202egpj.exe.jpg", "é.JPG", "e\u0301.jpg",
    "*?.jpg", "x" * 251 + ".jpg", "\U0001f600.jpg", ";.jpg", "{}.jpg",
]  # fmt: skip


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small JPEG with one face."""
    path = tmp_path_factory.mktemp("face") / "face.jpg"
    hostile.portrait().resize((192, 192)).save(path, quality=92)
    assert find_faces([path])
    return path.read_bytes()


@pytest.mark.slow
def test_hostile_names_in_a_watched_folder(
    tmp_path: Path, edge_script: str, face: bytes, proof: Proof
) -> None:
    """Once with a good picture each, once with one that is refused, so that its name goes into the log."""
    cameras = {}
    for camera, data in (("good", face), ("bad", b"no picture")):
        (tmp_path / camera).mkdir()
        for name in NAMES:
            (tmp_path / camera / name).write_bytes(data)
        cameras[camera] = (tmp_path / camera, QUICK)
    config = write_config(tmp_path, cameras)
    env = bare_environment(tmp_path / "home")
    with running(edge_script, config, log_file=tmp_path / "log", env=env) as daemon:
        daemon.wait_for(lambda: all(daemon.has_dealt_with(camera, len(NAMES)) for camera in cameras))
        assert daemon.stop() == 1  # the bad ones are missing for good
    images = check_store(tmp_path)
    assert len(images) == len(NAMES)
    assert {path.parent.parent.name for path in images} == {"good"}
    assert daemon.log.count("WARNING camera bad: picture ") == len(NAMES)
    check_log(daemon.log)
    assert {path.name for path in tmp_path.iterdir()} == {"bad", "edge.toml", "good", "home", "images", "log"}
    proof(faults=2 * len(NAMES))


def blur(script: str, arguments: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_bare([script, "blur", *arguments], cwd)


def names_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_hostile_names_in_edge_blur(tmp_path: Path, edge_script: str, face: bytes, proof: Proof) -> None:
    """In a folder with such a name, into one with such a name."""
    source, out = tmp_path / "in", tmp_path / "out\n\x1b[2J"
    folders = ("", "--report", "...", "a\nb", "inva\udcfflid")
    for folder in folders:
        (source / folder).mkdir(parents=True, exist_ok=True)
    expected = {*NAMES, *(f"{folder}/a.jpg" for folder in folders[1:])}
    for name in expected:
        (source / name).write_bytes(face)
    done = blur(edge_script, ["in", "--out", out.name], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert names_below(out) == expected
    check_faces([out / name for name in sorted(expected)])
    assert done.stdout.count("\n") == 1
    assert done.stdout.rstrip("\n").isprintable()
    assert {path.name for path in tmp_path.iterdir()} == {"in", out.name, "home"}
    assert all((source / name).read_bytes() == face for name in expected)
    proof(faults=len(expected))


@pytest.mark.slow
def test_names_as_arguments_of_edge_blur(tmp_path: Path, edge_script: str, face: bytes, proof: Proof) -> None:
    """A result is named by the last part of its path, whatever comes before; options end at ``--``."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for path in (here / "--fill.jpg", here / "-.jpg", here / "sub" / "a.jpg", elsewhere / "b.jpg"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(face)
    arguments = ["--fill.jpg", "-.jpg", "../elsewhere/b.jpg", "sub/../../here/sub/a.jpg"]
    refused = blur(edge_script, ["--out", "out", *arguments], here)
    assert refused.returncode == 2
    assert not (here / "out").exists()
    done = blur(edge_script, ["--out", "out", "--", *arguments], here)
    assert done.returncode == 0, done.stdout + done.stderr
    assert names_below(here / "out") == {"--fill.jpg", "-.jpg", "a.jpg", "b.jpg"}
    check_faces(sorted((here / "out").iterdir()))
    assert names_below(elsewhere) == {"b.jpg"}
    proof(faults=len(arguments))


def write_deep(folder: Path, levels: int, data: bytes) -> str:
    """Write ``a.jpg`` so many folders down, each with a name of 250 characters; return its relative path.

    Folder by folder, since the whole path may be longer than the kernel takes at once (4095 bytes).
    """
    name = f"{levels}".ljust(250, "d")
    here = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    file = os.open("a.jpg", os.O_WRONLY | os.O_CREAT, dir_fd=here)
    os.write(file, data)
    os.close(file)
    os.close(here)
    return "/".join([name] * levels + ["a.jpg"])


@pytest.mark.slow
def test_long_paths(tmp_path: Path, edge_script: str, face: bytes, proof: Proof) -> None:
    """A path of 4095 bytes is the longest: at the input, and at the result, which here is 250 longer."""
    source, out = tmp_path / "in", tmp_path / ("o" * 255)
    source.mkdir()
    fits = (4095 - len(str(source)) - len("/a.jpg")) // 251
    deep = {levels: write_deep(source, levels, face) for levels in (8, fits, 20)}
    assert (
        len(f"{source}/{deep[fits]}") <= 4095 < min(len(f"{out}/{deep[fits]}"), len(f"{source}/{deep[20]}"))
    )
    done = blur(edge_script, ["in", "--out", out.name], tmp_path)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    assert len(re.findall(r'^refused ".*File name too long', done.stdout, re.MULTILINE)) == 2, done.stdout
    assert "1 written" in done.stdout
    assert (out / deep[8]).is_file()
    check_faces([out / deep[8]])
    assert names_below(out) == {deep[8]}

    config = write_config(tmp_path, {"front": ((source / deep[fits]).parent, QUICK)})
    env = bare_environment(tmp_path / "home")
    with running(edge_script, config, log_file=tmp_path / "log", env=env) as daemon:
        daemon.wait_for(lambda: stored(tmp_path))
        assert daemon.stop() == 0
    assert len(check_store(tmp_path)) == 1
    check_log(daemon.log)
    shutil.rmtree(source)
    proof(faults=4)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["source", "folder", "path"])
def test_a_setting_with_too_long_a_path_ends_clearly(
    tmp_path: Path, edge_script: str, key: str, proof: Proof
) -> None:
    config = write_config(tmp_path, {"front": (DATA, QUICK)}, 'path = "x.onnx"' if key == "path" else "")
    long = "d/" * 2500 + "x"
    config.write_text(re.sub(rf'^{key} = ".*"$', f'{key} = "{long}"', config.read_text(), flags=re.MULTILINE))
    done = run_bare([edge_script, "run", "--config", str(config)], tmp_path)
    assert done.returncode in (1, 78), done.stderr
    assert "Traceback" not in done.stderr
    assert "File name too long" in done.stderr
    assert names_below(tmp_path) == {"edge.toml"}
    proof(faults=1)
