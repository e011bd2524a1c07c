"""The last look of ``edge blur``: what the detector misses at first is covered, or all of the picture is."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from edge.commands import blur as command_blur
from edge.config import make_config
from edge.detection import known_face
from edge.detection.detector import EVERYTHING, Detections
from edge.detection.views import Search, View
from edge.errors import DetectionError
from edge.files import batch
from edge.frames import Pixels
from edge.pictures import read_picture
from edge.reasons import Reason
from tests.clips import write_clip
from tests.joint import Answers, Rows, found

FACE = (24.0, 12.0, 40.0, 28.0)
SOLID = 128
Run = Callable[..., tuple[bool, str]]


def is_covered(pixels: Pixels) -> bool:
    x1, y1, x2, y2 = map(int, FACE)
    return bool((pixels[y1:y2, x1:x2] == SOLID).all())


def uncovered(pixels: Pixels) -> Rows:
    return [] if is_covered(pixels) else [(*FACE, 0.9)]


def always(pixels: Pixels) -> Rows:
    return [(*FACE, 0.9)]


def never(pixels: Pixels) -> Rows:
    return []


class Blind(Answers):
    """Stands in for a detector that finds nothing at first; ``answer`` is what it finds later.

    ``searches`` are what its views were asked for.
    """

    def __init__(self, answer: Callable[[Pixels], Rows]) -> None:
        super().__init__(answer)
        self.searches: list[Search] = []

    def views(self, width: int, height: int, search: Search = EVERYTHING) -> list[View]:
        self.searches.append(search)
        return super().views(width, height, search)

    def detect(self, pixels: Pixels, search: Search = EVERYTHING) -> Detections:
        self.searches.append(search)
        return found([])


@pytest.fixture
def blur(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``edge blur`` with a detector on one picture and a clip of two frames, from ``in`` to ``out``."""
    monkeypatch.setattr(known_face, "check", lambda _: None)
    (tmp_path / "in").mkdir()
    noise = np.random.default_rng(1).integers(150, 256, (36, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "in" / "a.png")
    write_clip(tmp_path / "in" / "clip.mp4", frames=2, width=64, height=36)

    def run(detector: Any, **privacy: Any) -> tuple[bool, str]:
        monkeypatch.setattr(command_blur, "open_detector", lambda *_: detector)
        output = io.StringIO()
        good = command_blur.blur_files(
            [tmp_path / "in"],
            tmp_path / "out",
            make_config({"blur": {"fill": "solid"}, "privacy": privacy}, "test"),
            batch.Options(resume=False, convert=False, keep_audio=False, quality=95, workers=1),
            None,
            Console(file=output, width=200),
        )
        return good, output.getvalue()

    return run


def written(folder: Path) -> Sequence[Pixels]:
    """The picture, and the frames of the clip."""
    with av.open(str(folder / "out" / "clip.mp4")) as container:
        frames = [np.asarray(f.to_ndarray(format="bgr24"), np.uint8) for f in container.decode(video=0)]
    assert len(frames) == 2
    return [read_picture(folder / "out" / "a.png").pixels, *frames]


def test_what_the_last_look_finds_is_covered_and_said(tmp_path: Path, blur: Run) -> None:
    good, output = blur(Blind(uncovered))
    assert good
    assert ", 3 regions covered, " in output
    assert ", more covered on 3 after the last look, 0 refused" in output
    picture, *frames = written(tmp_path)
    assert is_covered(picture)
    assert (picture[:, :4] != SOLID).all()  # and no more than that
    x1, y1, x2, y2 = map(int, FACE)
    for frame in frames:
        assert np.abs(frame[y1:y2, x1:x2].astype(int) - SOLID).max() <= 6  # coding
        assert np.abs(frame[:, :4].astype(int) - SOLID).max() > 20


def test_where_a_face_stays_everything_is_covered_and_said(tmp_path: Path, blur: Run) -> None:
    good, output = blur(Blind(always))
    assert good
    assert ", more covered on 3 after the last look, all of 3, 0 refused" in output
    picture, *frames = written(tmp_path)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 1
    for frame in frames:
        assert np.ptp(frame.reshape(-1, 3), axis=0).max() <= 6


def test_nothing_is_said_where_nothing_is_found(tmp_path: Path, blur: Run) -> None:
    good, output = blur(Blind(never))
    assert good
    assert "0 regions covered" in output
    assert "last look" not in output


def test_every_look_searches_for_what_was_asked(blur: Run) -> None:
    detector = Blind(uncovered)
    good, output = blur(detector, smallest_face_pixels=9, any_orientation=True)
    assert good
    assert "faces of 9 pixels and more looked for" in output
    assert len(detector.searches) >= 6  # at first and at last, on a picture and two frames
    assert {(s.smallest_face, s.any_orientation, s.in_parts) for s in detector.searches} == {(9, True, False)}
    assert {search.least_side for search in detector.searches} == {960}


def test_without_a_last_look_nothing_is_written(tmp_path: Path, blur: Run) -> None:
    def fail(pixels: Pixels) -> Rows:
        raise DetectionError(Reason.DETECTOR_TIMEOUT, "too slow")

    good, output = blur(Blind(fail))
    assert not good
    assert output.count("too slow") == 2
    assert "2 refused" in output
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []
