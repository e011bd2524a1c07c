"""Options of ``edge blur``, and how wrong ones are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.commands import options
from edge.commands.blur import blur_config
from edge.detection import known_face
from edge.pictures import read_picture
from tests import hostile
from tests.commands.blurred import HOPPER, Run, files


def error_text(stderr: str) -> str:
    """The error without the frame around it, in one line."""
    return " ".join(stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fill", "mosaic"], ["'--fill'", "mosaic", "add --allow-reidentifiable"]),
        (["--fill", "gaussian"], ["'--fill'", "gaussian", "add --allow-reidentifiable"]),
        (["--region", "top"], ["'--region'", "top", "add --allow-reidentifiable"]),
        (["--fill", "pixelate"], ["'--fill'", "'infill', 'solid', 'gaussian', 'mosaic'"]),
        (["--region", "nose"], ["'--region'", "'head', 'top'"]),
        (["--provider", "tpu"], ["'--provider'", "'auto', 'cpu', 'cuda', 'tensorrt', 'openvino'"]),
        (["--smallest-face", "7"], ["'--smallest-face'", "greater than or equal to 8"]),
        (["--smallest-face", "1001"], ["'--smallest-face'", "less than or equal to 1000"]),
        (["--smallest-face", "12.5"], ["'--smallest-face'", "valid integer"]),
        (["--size", "640x384"], ["No such option: --size"]),
        (["--tiles", "2x2"], ["No such option: --tiles"]),
        (["--score", "3"], ["'--score'", "3 is not a score: use a number above 0 and below 1"]),
        (["--score", "nan"], ["'--score'", "above 0 and below 1"]),
        (["--score", "high"], ["'--score'", "above 0 and below 1"]),
        (["--top-fraction", "2"], ["'--top-fraction'", "use a number above 0 and at most 1"]),
        (["--top-fraction", "0"], ["'--top-fraction'", "use a number above 0 and at most 1"]),
    ],
    ids=lambda value: " ".join(value[:2]),
)
def test_a_bad_value_ends_with_2_and_names_the_option(
    tmp_path: Path, blur: Run, arguments: list[str], words: list[str]
) -> None:
    done = blur(HOPPER, "--out", tmp_path / "out", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    text = error_text(done.stderr)
    assert "Traceback" not in text
    for word in words:
        assert word in text
    assert list(tmp_path.iterdir()) == []


def test_the_environment_may_accept_a_fill_that_leaves_people_recognisable(
    tmp_path: Path, blur: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_PRIVACY__ALLOW_REIDENTIFIABLE", "true")
    assert blur(HOPPER, "--out", tmp_path / "out", "--fill", "mosaic").returncode == 0
    monkeypatch.delenv("EDGE_PRIVACY__ALLOW_REIDENTIFIABLE")
    monkeypatch.setenv("EDGE_BLUR__FILL", "mosaic")
    done = blur(HOPPER, "--out", tmp_path / "other")
    assert done.returncode == 78
    assert "blur.fill = 'mosaic'" in done.stderr
    assert not (tmp_path / "other").exists()


def test_what_the_options_accept_is_what_the_configuration_accepts() -> None:
    """Values from both ends of each range give a valid configuration."""
    for fraction, score, smallest_face in (("1", "0.999", 1000), ("1e-9", "1e-9", 8)):
        config = blur_config(
            fill="infill",
            region="head",
            top_fraction=options.fraction(fraction),
            allow_reidentifiable=False,
            detectors=(),
            provider="auto",
            smallest_face=smallest_face,
            any_orientation=True,
            score=options.score(score),
        )
        assert (config.privacy.smallest_face_pixels, config.privacy.any_orientation) == (smallest_face, True)
        assert (config.blur.top_fraction, config.detector.score_begin) == (float(fraction), float(score))


@pytest.mark.parametrize("extra", [["--fill", "mosaic"], ["--region", "top"]])
def test_reidentifiable_ones_work_for_who_insists(tmp_path: Path, blur: Run, extra: list[str]) -> None:
    done = blur(HOPPER, "--out", tmp_path / "out", "--allow-reidentifiable", *extra)
    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert set(files(tmp_path / "out")) == {"hopper.jpg"}


def test_a_constant_fill_is_constant(tmp_path: Path, blur: Run) -> None:
    assert (
        blur(hostile.good(tmp_path, "good.png"), "--out", tmp_path / "out", "--fill", "solid").returncode == 0
    )
    x1, y1, x2, y2 = known_face.EXPECTED[0].astype(int)
    assert (read_picture(tmp_path / "out" / "good.png").pixels[y1:y2, x1:x2] == 128).all()


@pytest.mark.parametrize("arguments", [[str(HOPPER)], ["--out", "out"]])
def test_a_wrong_command_line_ends_with_2(tmp_path: Path, blur: Run, arguments: list[str]) -> None:
    assert blur(*arguments, cwd=tmp_path).returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_quality_matters(tmp_path: Path, blur: Run) -> None:
    assert blur(HOPPER, "--out", tmp_path, "--quality", 30).returncode == 0
    assert (tmp_path / "hopper.jpg").stat().st_size * 2 < HOPPER.stat().st_size
