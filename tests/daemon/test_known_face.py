"""The known face in the pipeline: while the detector does not find it, nothing is stored.

What becomes of the images that wait for it: tests/daemon/test_quarantine.py; that files wait:
tests/daemon/test_waiting_files.py. The sheets: tests/detection/test_known_sheets.py.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from edge.daemon import pipeline as pipeline_module
from edge.daemon.pipeline import Pipeline
from edge.daemon.read_status import read_status
from edge.detection import known_face, known_sheets
from edge.detection.detector import Detections, Detector
from edge.errors import KnownFaceError, PictureError
from edge.frames import Pixels
from edge.reasons import Reason
from edge.store.images import ImageStore
from tests.daemon.playing import (
    NO_HOLD,
    FakeSession,
    Played,
    Stepped,
    Truthful,
    broken,
    check_accounts,
    config,
    make,
    no_secret,
    number_of,
    picture,
    play,
    step,
    stored,
)


class Known:
    """Stands in for ``known_face.check``: fails while ``error`` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: Exception | None = None
        self.calls = 0
        monkeypatch.setattr(known_face, "check", self)

    def __call__(self, detector: Detector) -> float:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return 0.9


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Known:
    monkeypatch.setattr(pipeline_module, "KNOWN_FACE_RETRY_SECONDS", 0.0)
    return Known(monkeypatch)


ALWAYS = {"known_face_interval_seconds": 1e-9}


@pytest.mark.parametrize("on_failure", ["drop", "cover"])
def test_nothing_is_stored_while_the_known_face_is_not_found(
    tmp_path: Path, known: Known, caplog: pytest.LogCaptureFixture, on_failure: str
) -> None:
    """Not while frames 10 to 19 come. The frames that wait are dropped as well, and so is the image that was
    made since the last success."""
    caplog.set_level(logging.INFO)
    chosen = config(
        tmp_path,
        privacy={**ALWAYS, "on_failure": on_failure},
        blur={"hold_before_frames": 3, "hold_after_seconds": 0},
    )
    detector = Truthful()
    bad: list[tuple[list[str], int]] = []

    def each(pipeline: Pipeline, number: int) -> None:
        if pipeline.known_face_error:
            bad.append((read_status(pipeline).problems, len(detector.raw)))
        known.error = KnownFaceError("the known face is not found") if 10 <= number < 20 else None

    pipeline, metrics = step(chosen, 30, detector, each, live=True)
    dropped = metrics.count("frames_dropped", "test", Reason.KNOWN_FACE)
    assert dropped == 14  # ten, the three that waited in hold, and the image
    assert metrics.count("frames_covered_whole", "test", Reason.KNOWN_FACE) == 0
    # No lookahead for the last three
    assert [number_of(image) for image in stored(tmp_path)] == [*range(6), *range(20, 27)]
    assert len(bad) == 10
    assert all("the known face is not found" in problems for problems, _ in bad)
    assert len({runs for _, runs in bad}) == 1  # the detector ran on no frame
    assert pipeline.known_face_error == ""
    assert no_secret(tmp_path) == 13
    assert (
        f'edge_frames_dropped_total{{camera="test",reason="known_face"}} {dropped}.0'
        in metrics.text().decode()
    )
    told = [
        r.message for r in caplog.records if r.name == "edge.daemon.pipeline" and "known face" in r.message
    ]
    assert len(told) == 2  # when it began, and when it ended


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no room"),
        PictureError("no such file"),
        RuntimeError("bug"),
        OSError(5, "EIO"),
        KeyError(),
    ],
)
def test_a_known_face_that_cannot_be_checked_is_not_found(
    tmp_path: Path, known: Known, error: Exception
) -> None:
    """Whatever goes wrong there: the tick goes on, nothing is stored, and the operator reads why."""

    def each(pipeline: Pipeline, number: int) -> None:
        known.error = error if number < 5 else None

    chosen = config(tmp_path, privacy=ALWAYS, blur=NO_HOLD)
    pipeline, metrics = step(chosen, 9, Truthful(), each, live=True)
    assert metrics.count("frames_dropped", "test", Reason.KNOWN_FACE) == 5
    assert [number_of(image) for image in stored(tmp_path)] == [5, 6, 7, 8]
    known.error = error
    pipeline.tick(0)
    assert type(error).__name__ in pipeline.known_face_error
    assert read_status(pipeline).problems[-1] == pipeline.known_face_error


def test_a_lost_known_face_is_checked_again_after_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in each tick: it costs a run of the detector."""
    known = Known(monkeypatch)
    known.error = KnownFaceError("not found")
    source = Played([picture(n) for n in range(9)], live=True)
    pipeline, metrics = make(config(tmp_path, privacy=ALWAYS), [source], Truthful())
    begin = pipeline.last_known_face
    pipeline.start()
    while pipeline.tick(0.01):
        pass
    assert known.calls == 1
    pipeline.stop()
    assert known.calls == 2
    assert metrics.count("frames_dropped", "test", Reason.KNOWN_FACE) == 9
    assert pipeline.last_known_face == begin


def test_between_two_intervals_it_is_not_checked(tmp_path: Path, known: Known) -> None:
    play(config(tmp_path, privacy={"known_face_interval_seconds": 3600}), 9, Truthful())
    assert known.calls == 1  # before it stops
    assert no_secret(tmp_path) == 9


def test_images_handed_to_the_store_before_the_loss_are_stored(
    tmp_path: Path, known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were detected on by a detector that found the known face afterwards. Picture 3 came after that."""
    gate, real = threading.Event(), ImageStore.write

    def write(self: ImageStore, entries: Any) -> Any:
        assert gate.wait(30)
        return real(self, entries)

    monkeypatch.setattr(ImageStore, "write", write)

    def each(pipeline: Pipeline, number: int) -> None:
        if number == 4:
            known.error = KnownFaceError("not found")
        if number == 6:
            gate.set()

    _, metrics = step(config(tmp_path, privacy=ALWAYS, blur=NO_HOLD), 9, Truthful(), each, live=True)
    assert [number_of(image) for image in stored(tmp_path)] == [0, 1, 2]
    assert metrics.count("frames_dropped", "test", Reason.KNOWN_FACE) == 6


class Pointing:
    """Answers the same boxes to every picture."""

    session = FakeSession()
    score_begin = 0.35

    def __init__(self, box: list[float], score: float = 0.9) -> None:
        self._found = Detections(np.array([box], np.float32), np.array([score], np.float32))

    def detect(self, pixels: Pixels) -> Detections:
        return self._found


@pytest.mark.parametrize(
    ("box", "score"),
    [
        ([0, 0, 512, 512], 0.9),  # everything is a face
        ([300, 300, 390, 420], 0.9),  # elsewhere
        ([181, 58, 270, 178], 0.3),  # hardly
        ([np.nan] * 4, 0.9),
        ([181, 58, 270, 178], np.nan),
        ([270, 178, 181, 58], 0.9),  # inside out
    ],
)
def test_a_wrong_answer_is_not_the_known_face(box: list[float], score: float) -> None:
    with pytest.raises(KnownFaceError, match="does not find the known face"):
        known_face.check(cast(Detector, Pointing(box, score)))
    assert known_face.check(cast(Detector, Pointing(known_face.EXPECTED[0].tolist()))) == pytest.approx(1)


def test_a_detector_that_fails_at_the_known_face_says_so() -> None:
    detector = Pointing([0, 0, 1, 1])
    detector.detect = lambda pixels: broken()()  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(KnownFaceError, match="detection of the known face failed: broken"):
        known_face.check(cast(Detector, detector))


def test_a_real_detector_that_goes_blind_is_noticed_at_work(
    small_detector: Detector, astronaut: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_module, "KNOWN_FACE_RETRY_SECONDS", 0.0)
    mortal = Detector.__new__(Detector)
    mortal.__dict__.update(small_detector.__dict__)
    frames = []
    for number in range(10):
        frames.append(astronaut.copy())
        frames[-1][:4, :4] = number
    source = Stepped(frames, live=True)
    pipeline, metrics = make(config(tmp_path, privacy=ALWAYS, blur=NO_HOLD), [source], mortal)
    pipeline.start()
    for number in range(10):
        if number == 5:
            mortal.score_begin = 0.999
        source.go()
        pipeline.tick(30)
    source.go()
    pipeline.stop()
    check_accounts(metrics)
    assert metrics.count("frames_dropped", "test", Reason.KNOWN_FACE) == 6
    assert "does not find the known face" in pipeline.known_face_error
    images = stored(tmp_path)
    assert len(images) == 4  # the fifth was made after it had last been seen to work
    for image in images:
        found = small_detector.detect(image).at_least(small_detector.score_last_look)
        assert len(found.boxes) == 0


def test_the_known_face_is_read_once(small_detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails later says nothing about the detector."""
    known_face.check(small_detector)

    def fail(path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(known_sheets, "read_picture", fail)
    assert known_face.check(small_detector) > known_face.MIN_IOU
