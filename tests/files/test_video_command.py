"""``edge blur`` on video files, as people run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from edge.config import make_config
from edge.detection.detector import Detector
from edge.files.search import search_of
from tests import hostile
from tests.files.videos import files, half, make, no_video, play


@pytest.fixture(scope="module")
def command(
    tmp_path_factory: pytest.TempPathFactory, plain: Path, edge_script: str
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """``edge blur --keep-audio`` on a folder with a good video, two bad ones and a picture."""
    folder = tmp_path_factory.mktemp("command")
    (folder / "in" / "sub").mkdir(parents=True)
    (folder / "in" / "sub" / "plain.mp4").write_bytes(plain.read_bytes())
    no_video(folder / "in")
    half(make(folder / "in" / "half.MP4", options={"movflags": "faststart"}))
    hostile.good(folder / "in")
    arguments = ["in", "--out", "out", "--report", "report.json", "--keep-audio"]
    done = subprocess.run(
        [edge_script, "blur", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        check=False,
    )
    return folder, done


def test_the_command_writes_the_good_and_names_the_bad(
    command: tuple[Path, subprocess.CompletedProcess[str]], plain: Path
) -> None:
    folder, done = command
    assert done.returncode == 1
    assert done.stderr.strip() == ""
    assert files(folder / "out") == ["good.jpg", "sub/plain.mp4"]
    first, second, summary = done.stdout.splitlines()
    assert first.startswith('refused "bad.mp4": broken or not a video')
    assert second.startswith('refused "half.MP4": truncated')
    assert summary.startswith("2 written to out (21 frames)")
    assert "2 refused" in summary
    before, after = play(plain), play(folder / "out" / "sub" / "plain.mp4")
    assert after.seconds == pytest.approx(before.seconds)
    assert before.sound is not None
    np.testing.assert_array_equal(after.sound, before.sound)


def test_the_report_has_every_frame(
    command: tuple[Path, subprocess.CompletedProcess[str]], detector: Detector
) -> None:
    folder, _ = command
    report = json.loads((folder / "report.json").read_text())
    frames = [image for image in report["images"] if image["file_name"] == "sub/plain.mp4"]
    assert [image["frame_index"] for image in frames] == list(range(20))
    assert all((image["width"], image["height"]) == (640, 360) for image in frames)
    with_faces = {annotation["image_id"] for annotation in report["annotations"]}
    assert {image["id"] for image in frames} <= with_faces
    first = play(folder / "in" / "sub" / "plain.mp4").frames[0]
    found = detector.detect(first, search_of(make_config({}, "test")))
    strong = found.boxes[found.scores >= detector.score_begin]
    told = [a["bbox"] for a in report["annotations"] if a["image_id"] == frames[0]["id"]]
    assert len(told) == len(strong)
    np.testing.assert_allclose([bbox[:2] for bbox in told], strong[:, :2], atol=0.01)


def test_resume_skips_a_video_that_is_done(
    command: tuple[Path, subprocess.CompletedProcess[str]], edge_script: str
) -> None:
    folder, _ = command
    target = folder / "out" / "sub" / "plain.mp4"
    before = target.stat()
    done = subprocess.run(
        [edge_script, "blur", "in/sub", "--out", "out/sub", "--resume"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0
    assert "1 done before" in done.stdout
    assert (target.stat().st_ino, target.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_an_interrupt_leaves_nothing_partial(tmp_path: Path, edge_script: str) -> None:
    make(tmp_path / "long.mp4", times=range(150), size=(160, 90))
    out = tmp_path / "out"
    command = [edge_script, "blur", str(tmp_path / "long.mp4"), "--out", str(out)]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # A shell's background job ignores interrupts, and would hand that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        deadline = time.monotonic() + 60
        while not out.is_dir() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) not in (0, 1)
    assert files(out) == []


def test_a_pipe_is_no_video(tmp_path: Path, edge_script: str) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    done = subprocess.run(
        [edge_script, "blur", "pipe.mp4", "--out", "out"],
        capture_output=True,
        text=True,
        timeout=7,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1
    assert "not a regular file" in done.stdout
    assert files(tmp_path) == ["pipe.mp4"]
