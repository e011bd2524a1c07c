"""Videos that are broken, or no videos: they are refused with a reason, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from edge.detection.detector import Detector
from edge.errors import EdgeError, PictureError
from tests.files.broken_videos import BAD
from tests.files.videos import files, half, make, run


@pytest.mark.parametrize(("maker", "reason"), BAD.items(), ids=[maker.__name__ for maker in BAD])
def test_a_bad_video_is_refused_and_leaves_nothing(
    tmp_path: Path, maker: Callable[[Path], Path], reason: str, detector: Detector
) -> None:
    source = maker(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(EdgeError, match=reason):
        run(source, out / source.name, detector)
    assert files(out) == []
    # What was there before stays as it was
    (out / source.name).write_bytes(b"from another day")
    with pytest.raises(EdgeError, match=reason):
        run(source, out / source.name, detector)
    assert files(out) == [source.name]
    assert (out / source.name).read_bytes() == b"from another day"


@pytest.mark.parametrize("name", ["short.mp4", "short.mkv"])
def test_a_short_video_that_lost_half_is_refused(tmp_path: Path, name: str, detector: Detector) -> None:
    movflags = {"movflags": "faststart"} if name.endswith("mp4") else None
    source = make(tmp_path / name, time_base=Fraction(1, 25), rate=25, times=range(20), options=movflags)
    half(source)
    (tmp_path / "out").mkdir()
    with pytest.raises(PictureError, match=r"truncated|broken"):
        run(source, tmp_path / "out" / name, detector)
    assert files(tmp_path / "out") == []


def test_a_title_in_another_encoding_does_no_harm(tmp_path: Path, detector: Detector) -> None:
    source = make(tmp_path / "latin.mp4", times=range(3), metadata={"title": "Hallo Welt"})
    data = source.read_bytes()
    assert b"Hallo Welt" in data
    source.write_bytes(data.replace(b"Hallo Welt", b"H\xe4llo W\xffl"))
    (tmp_path / "out").mkdir()
    assert run(source, tmp_path / "out" / "latin.mp4", detector).frames == 3


def test_a_list_of_other_files_is_no_video(tmp_path: Path, detector: Detector) -> None:
    make(tmp_path / "other.mp4", times=range(3))
    source = tmp_path / "list.mp4"
    source.write_text("ffconcat version 1.0\nfile other.mp4\n")
    (tmp_path / "out").mkdir()
    with pytest.raises(PictureError):
        run(source, tmp_path / "out" / "list.mp4", detector)
    assert files(tmp_path / "out") == []


def test_a_missing_video_is_refused(tmp_path: Path, detector: Detector) -> None:
    with pytest.raises(PictureError):
        run(tmp_path / "gone.mp4", tmp_path / "out.mp4", detector)
    assert files(tmp_path) == []
