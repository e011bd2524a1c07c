"""Images wait in memory until the detector has found the known face after them; otherwise none is written."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge import blur
from edge.config import StoreConfig
from edge.daemon import quarantine
from edge.daemon.ledgers import Ledgers
from edge.daemon.pipeline import Pipeline
from edge.daemon.read_status import read_status
from edge.daemon.run import _report, run_daemon
from edge.daemon.writer import QUEUE_LENGTH, Writer
from edge.detection.detector import Detector
from edge.detection.known_face import KnownFaces
from edge.errors import StoreError
from edge.frames import AnonymizedFrame, Pixels
from edge.reasons import Reason
from edge.status.metrics import Metrics
from edge.store.encryption import new_identity
from edge.store.images import ImageStore
from tests.clips import write_clip
from tests.daemon.blind import NEVER, Eyes, Make, audit, discarded, numbers
from tests.daemon.playing import (
    NO_HOLD,
    Played,
    Stepped,
    Truthful,
    check_accounts,
    config,
    make,
    no_secret,
    picture,
    step,
    stored,
)
from tests.statuses import make_camera, make_status
from tests.store.records import records_of

# The store's thread


class Box:
    """A store and its thread; ``hand_over`` puts images into it."""

    def __init__(self, folder: Path, recipient: str | None = None) -> None:
        self.folder, self.metrics = folder, Metrics()
        self.metrics.add_camera("test")
        self.store = ImageStore(StoreConfig(folder=folder, recipient=recipient))
        self.writer = Writer(self.store, self.metrics)
        self.writer.start()
        self.handed = 0

    def hand_over(self, make: Make, count: int) -> None:
        for _ in range(count):
            self.writer.put(blur.cover_whole(make(number=self.handed)), 0)
            self.handed += 1

    @property
    def images(self) -> list[Path]:
        return sorted(self.folder.rglob("*.jpg*"))

    @property
    def written(self) -> int:
        return self.metrics.count("images_written", "test")

    @property
    def dropped(self) -> int:
        return self.metrics.count("frames_dropped", "test", Reason.KNOWN_FACE)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    if made.writer.alive:
        made.writer.drain()


def test_only_what_was_released_reaches_the_disk(
    box: Box, raw: Make, caplog: pytest.LogCaptureFixture
) -> None:
    box.hand_over(raw, 3)
    box.writer.release()
    box.hand_over(raw, 70)
    box.writer.discard()
    box.hand_over(raw, 2)
    box.writer.release()
    box.writer.drain()
    records = [record for record in records_of(box.folder) if record["event"] == "image"]
    assert [record["frame"] for record in records] == [0, 1, 2, 73, 74]
    assert [path.relative_to(box.folder).as_posix() for path in box.images] == sorted(
        record["image"] for record in records
    )
    assert (box.written, box.dropped) == (5, 70)
    assert "70 images discarded" in caplog.text
    assert box.writer.error == ""
    captured = "2023-11-14T22:13:20.000+00:00"
    assert discarded(box.folder) == {"test": [70, captured, captured]}
    result = audit(box.folder)
    assert result
    assert result.figures.discarded == {"known_face": 70}


@pytest.mark.parametrize("year", [-40_000, 400_000])
def test_an_image_beyond_the_calendar_is_dropped_before_it_waits(box: Box, raw: Make, year: int) -> None:
    """Else the store's thread would die when it records that this image was discarded."""
    frame = raw(number=0, utc_ns=(year - 1970) * 31_556_952 * 10**9)
    box.writer.put(blur.cover_whole(frame), 0)
    box.hand_over(raw, 1)
    box.writer.discard()
    box.hand_over(raw, 1)
    box.writer.release()
    box.writer.drain()
    assert (box.written, box.dropped, len(box.images)) == (1, 1, 1)
    assert box.metrics.count("frames_dropped", "test", Reason.STORE_ERROR) == 1


def test_nothing_is_said_of_an_image_before_it_is_released(box: Box, raw: Make) -> None:
    """Neither counted, nor shown, nor on record, nor on the disk in any form."""
    box.hand_over(raw, QUEUE_LENGTH + 5)
    while box.writer.quarantine.images < QUEUE_LENGTH + 5:
        threading.Event().wait(0.001)
    assert box.written == 0
    assert box.writer.last_images == {}
    assert [record["event"] for record in records_of(box.folder)] == ["start"]
    assert [path.name for path in box.folder.iterdir()] == ["_audit"]
    assert box.writer.quarantine.bytes > 0
    box.writer.drain()  # nobody has said that the detector still works
    assert box.images == []
    assert box.dropped == QUEUE_LENGTH + 5


def test_the_first_image_does_not_wait_for_the_interval(box: Box, raw: Make) -> None:
    assert not box.writer.needs_check
    box.hand_over(raw, 1)
    while not box.writer.quarantine.images:
        threading.Event().wait(0.001)
    assert box.writer.needs_check
    box.writer.release()
    box.hand_over(raw, 1)
    while box.written + box.writer.quarantine.images < 2:
        threading.Event().wait(0.001)
    assert not box.writer.needs_check


def test_encrypted_images_wait_encrypted(tmp_path: Path, raw: Make) -> None:
    box = Box(tmp_path, recipient=new_identity()[1])
    box.hand_over(raw, 2)
    box.writer.release()
    box.hand_over(raw, 3)
    while box.writer.quarantine.images < 3:
        threading.Event().wait(0.001)
    assert all(entry.frame.data.startswith(b"age-encryption.org") for entry in box.writer.quarantine._entries)  # type: ignore[union-attr]
    box.writer.drain()
    assert [path.suffix for path in box.images] == [".age", ".age"]
    assert audit(tmp_path)


@pytest.mark.parametrize("limit", ["MOST_BYTES", "MOST_IMAGES"])
def test_a_full_quarantine_asks_for_a_check_once(
    box: Box, raw: Make, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """And loses nothing, however long that takes."""
    monkeypatch.setattr(quarantine, limit, 5)
    gate, real = threading.Event(), box.store.write

    def write(entries: Any) -> Any:
        assert gate.wait(30)
        return real(entries)

    monkeypatch.setattr(box.store, "write", write)
    box.writer.release()
    box.hand_over(raw, 9)
    while box.writer.quarantine.images < 9:
        threading.Event().wait(0.001)
    assert box.writer.needs_check
    box.writer.release()
    assert not box.writer.needs_check  # the disk is slow
    gate.set()
    box.writer.drain()
    assert box.written == len(box.images) == 9


def test_what_cannot_be_put_on_record_is_tried_again(
    box: Box, raw: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails, real = [True, True], box.store.record_discarded

    def record(cameras: Any, why: str) -> None:
        if fails:
            fails.pop()
            raise StoreError("audit log: no space left on device")
        real(cameras, why)

    monkeypatch.setattr(box.store, "record_discarded", record)
    made = raw(number=7)
    later = raw(number=7, utc_ns=made.utc_ns + 2 * 10**9)
    box.hand_over(raw, 2)
    box.writer.discard()
    box.writer.put(blur.cover_whole(later), 0)
    box.writer.discard()
    box.writer.drain()
    assert discarded(box.folder) == {
        "test": [3, "2023-11-14T22:13:20.000+00:00", "2023-11-14T22:13:22.000+00:00"]
    }
    assert box.images == []
    assert audit(box.folder)


# The pipeline


def test_a_detector_that_goes_blind_in_the_middle_and_sees_again(tmp_path: Path, eyes: Eyes) -> None:
    """The known face is checked before frames 0, 4, 8, ...; before frames 12 and 16 it is not found. What
    came after the check before frame 8 was never on the disk."""
    seen: list[list[int]] = []

    def each(pipeline: Pipeline, number: int) -> None:
        seen.append(numbers(tmp_path))
        eyes.blind = 10 <= number < 20
        if number % 4 == 0:
            pipeline._next_known_face = 0.0

    chosen = config(tmp_path, privacy=NEVER, blur=NO_HOLD)
    pipeline, metrics = step(chosen, 28, Truthful(), each, live=True)
    kept = [*range(8), *range(20, 28)]
    assert numbers(tmp_path) == kept
    assert all(set(some) <= set(kept) for some in seen)
    assert metrics.count("images_written", "test") == 16
    assert metrics.count("frames_dropped", "test", Reason.KNOWN_FACE) == 12
    assert discarded(tmp_path)["test"][0] == 4
    assert read_status(pipeline).quarantine_images == 0
    assert pipeline.known_face_error == ""
    result = audit(tmp_path)
    assert result
    assert result.images == 16


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("before", [0, 3])
def test_no_image_is_released_by_a_check_that_began_before_its_last_look(
    tmp_path: Path, eyes: Eyes, monkeypatch: pytest.MonkeyPatch, at_once: int, before: int
) -> None:
    """Frames wait in hold, and runs overlap, while checks pass at any moment. The detector sees nothing from
    some look on; the checks before that must release no image that depends on it."""
    onset = 9

    class Failing(Truthful):
        blind = False

        def find(self, pixels: Any) -> Any:
            eyes.blind = self.blind = self.blind or self.looks >= onset
            found = super().find(pixels)
            return found.at_least(2.0) if self.blind else found

    detector = Failing()
    chosen = config(
        tmp_path,
        privacy={"known_face_interval_seconds": 1e-9},
        blur={"hold_before_frames": before, "hold_after_seconds": 0},
    )
    source = Played([picture(n) for n in range(14)], live=True)
    pipeline, metrics = make(chosen, [source], detector, at_once)
    going_on, real = [], pipeline.known_faces.check

    def check() -> None:
        going_on.append(len(pipeline._threads))
        real()

    monkeypatch.setattr(pipeline.known_faces, "check", check)
    pipeline.start()
    while pipeline.tick(0.01):
        pass
    pipeline.stop()
    check_accounts(metrics)
    assert not any(going_on)  # all looks had ended
    assert detector.blind
    assert pipeline.known_face_error
    assert no_secret(tmp_path) < onset
    assert audit(tmp_path)


@pytest.mark.parametrize("at_once", [1, 2])
def test_blind_at_the_stop_alone(tmp_path: Path, eyes: Eyes, at_once: int) -> None:
    """The source is a file and has ended: nothing is stored of what waits in quarantine or in hold."""
    chosen = config(tmp_path, privacy=NEVER, blur={"hold_before_frames": 3, "hold_after_seconds": 0})
    source = Played([picture(n) for n in range(9)])
    pipeline, metrics = make(chosen, [source], Truthful(), at_once)
    pipeline._next_known_face = 0.0
    pipeline.start()
    while pipeline.tick(0.01):
        eyes.blind = True  # found before the first frame, and then no more
    pipeline.stop()
    check_accounts(metrics)
    assert stored(tmp_path) == []
    assert metrics.count("frames_dropped", "test", Reason.KNOWN_FACE) == 9
    assert pipeline.known_face_error
    assert audit(tmp_path)
    assert records_of(tmp_path)[-1]["event"] == "stop"


def test_seeing_at_the_stop_all_is_stored(tmp_path: Path, eyes: Eyes) -> None:
    pipeline, metrics = make(
        config(tmp_path, privacy=NEVER), [Played([picture(n) for n in range(9)])], Truthful()
    )
    pipeline.start()
    while pipeline.tick(0.01):
        pass
    pipeline.stop()
    assert numbers(tmp_path) == list(range(9))
    assert metrics.count("images_written", "test") == 9


def test_a_fast_file_does_not_wait_for_the_interval(
    tmp_path: Path, eyes: Eyes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its images are released whenever many wait, so that memory is bounded."""
    monkeypatch.setattr(quarantine, "MOST_IMAGES", 4)
    most, real = [0], Writer.put

    def put(self: Writer, frame: AnonymizedFrame, held: int, **facts: bool) -> None:
        real(self, frame, held, **facts)
        most[0] = max(most[0], self.quarantine.images)

    monkeypatch.setattr(Writer, "put", put)
    chosen = config(tmp_path, privacy=NEVER, blur=NO_HOLD)
    pipeline, metrics = make(chosen, [Played([picture(n) for n in range(40)])], Truthful())
    pipeline.start()
    while pipeline.tick(0.01):
        pass
    pipeline.stop()
    assert metrics.count("images_written", "test") == len(stored(tmp_path)) == 40
    assert most[0] <= 4 + QUEUE_LENGTH + 1


@pytest.mark.parametrize("fault", ["all scores are 0", "boxes are 25 pixels off"])
def test_a_real_detector_that_falls_ill_leaves_no_raw_face(
    tmp_path: Path, astronaut: Pixels, small_detector: Detector, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """From frame 7 of a live camera on; the known faces are checked before frames 0, 4, 8, ..."""
    frames = []
    for number in range(16):
        frames.append(astronaut.copy())
        frames[-1][:8, :8] = 12 * number
    real, ill = small_detector.session.run, [False]

    def run(canvas: Any) -> Any:
        boxes, scores = real(canvas)
        if not ill[0]:
            return boxes, scores
        return (boxes, scores * 0) if fault == "all scores are 0" else (boxes + 15, scores)

    source = Stepped(frames, live=True)
    with monkeypatch.context() as patch:
        patch.setattr(small_detector.session, "run", run)
        pipeline, metrics = make(config(tmp_path, privacy=NEVER, blur=NO_HOLD), [source], small_detector)
        pipeline.known_faces = KnownFaces(small_detector, 20)
        pipeline.known_faces.check_all()
        pipeline.start()
        for number in range(16):
            ill[0] = number >= 7
            if number % 4 == 0:
                pipeline._next_known_face = 0.0
            source.go()
            assert pipeline.tick(30)
        source.go()
        pipeline.stop()
    check_accounts(metrics)
    images = stored(tmp_path)
    assert len(images) == 4
    for image in images:
        assert not len(small_detector.detect(image).at_least(small_detector.score_last_look).boxes)
    assert metrics.count("frames_dropped", "test", Reason.KNOWN_FACE) == 16 - len(images)
    assert audit(tmp_path)


# The daemon


@pytest.mark.parametrize("blind", [False, True])
def test_a_detector_that_is_blind_at_the_end_is_no_success(
    tmp_path: Path, eyes: Eyes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, blind: bool
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("edge.daemon.run._catch_signals", threading.Event)
    clip = write_clip(tmp_path / "clip.mp4", frames=5, rate=25)
    real = Pipeline.stop

    def stop(self: Pipeline) -> None:
        eyes.blind = blind
        real(self)

    monkeypatch.setattr(Pipeline, "stop", stop)
    chosen = config(
        tmp_path / "store",
        cameras={"front": {"source": str(clip), "pace": False}},
        status={"enabled": False},
        detector={"provider": "cpu"},
        privacy=NEVER,
        blur=NO_HOLD,
    )
    assert run_daemon(chosen) is not blind
    # A file ends only when the known face was found after its last image.
    assert "images discarded" not in caplog.text
    assert len(stored(tmp_path / "store")) == 5


@pytest.mark.parametrize(("lost", "stopped", "good"), [(0, False, True), (3, False, False), (3, True, True)])
def test_a_file_of_which_images_were_discarded_is_no_success(lost: int, stopped: bool, good: bool) -> None:
    """Unless it was stopped by a signal, before its end."""
    camera = make_camera(dropped={"known_face": lost} if lost else {})
    assert _report(make_status(camera), Ledgers(Path(), {}), stopped_by_signal=stopped) is good
