"""A video that is shown lying or upside down is noticed, since faces in it are overlooked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from edge.config import make_config
from edge.detection.detector import Detector
from edge.files.orientation_guard import wrong_orientation
from edge.files.search import search_of
from tests.files.test_video_fidelity import write
from tests.files.videos import no_video, scene


def film(path: Path, quarters: int) -> Path:
    """The synthetic camera, turned counter-clockwise."""
    return write(path, [np.ascontiguousarray(np.rot90(scene(number), quarters)) for number in (0, 2)])


@pytest.mark.parametrize("quarters", [0, 2, 3])
def test_the_turn_is_named_that_shows_the_faces(tmp_path: Path, quarters: int, detector: Detector) -> None:
    path = film(tmp_path / "a.mp4", quarters)
    warning = wrong_orientation(path, detector, search_of(make_config({}, "test")))
    if quarters == 0:
        assert warning == ""
    else:
        assert warning.startswith(f"turned by {90 * quarters} degrees, ")


def test_a_mirrored_video_is_no_wrong_one(tmp_path: Path, detector: Detector) -> None:
    path = write(tmp_path / "a.mp4", [scene(number)[:, ::-1].copy() for number in (0, 2)])
    assert wrong_orientation(path, detector, search_of(make_config({}, "test"))) == ""


def test_what_is_no_video_is_left_to_the_job(tmp_path: Path, detector: Detector) -> None:
    assert wrong_orientation(no_video(tmp_path), detector, search_of(make_config({}, "test"))) == ""


def test_strict_makes_a_failure_of_the_warning(tmp_path: Path, edge_script: str) -> None:
    film(tmp_path / "a.mp4", 2)

    def blur(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([edge_script, "blur", *arguments], capture_output=True, text=True, check=False)

    for options, code in (([], 0), (["--strict"], 1)):
        done = blur(tmp_path / "a.mp4", "--out", tmp_path / "out", *options)
        assert done.returncode == code
        assert 'warning: "a.mp4": turned by 180 degrees, ' in done.stdout
    done = blur(tmp_path / "a.mp4", "--out", tmp_path / "out", "--strict", "--any-orientation")
    assert (done.returncode, "warning" in done.stdout) == (0, False)
