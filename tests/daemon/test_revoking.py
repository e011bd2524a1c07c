"""A detector that goes blind: the images that it let through are removed, and that is recorded."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge import blur
from edge.config import StoreConfig
from edge.daemon.ledgers import Ledgers
from edge.daemon.pipeline import Pipeline
from edge.daemon.read_status import read_status
from edge.daemon.run import _report, run_daemon
from edge.daemon.writer import Writer
from edge.errors import StoreError
from edge.reasons import Reason
from edge.status.metrics import Metrics
from edge.store.encryption import new_identity
from edge.store.images import Entry, ImageStore
from tests.clips import write_clip
from tests.daemon.blind import NEVER, Eyes, Make, audit, numbers, purged
from tests.daemon.playing import (
    NO_HOLD,
    Played,
    Truthful,
    check_accounts,
    config,
    make,
    picture,
    step,
    stored,
)
from tests.statuses import make_camera, make_status
from tests.store.records import records_of

# The store's thread


class Box:
    """A store and its thread; ``store`` hands over an image, and ``settle`` waits for all that was asked."""

    def __init__(self, folder: Path, recipient: str | None = None) -> None:
        self.folder, self.metrics = folder, Metrics()
        self.metrics.add_camera("test")
        self.writer = Writer(ImageStore(StoreConfig(folder=folder, recipient=recipient)), self.metrics)
        self.writer.start()
        self.handed = 0

    def store(self, make: Make, count: int) -> None:
        for _ in range(count):
            self.writer.put(blur.cover_whole(make(number=self.handed)), 0)
            self.handed += 1

    @property
    def left(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*.jpg*"))

    @property
    def revoked(self) -> int:
        return self.metrics.count("images_revoked", "test")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    if made.writer.alive:
        made.writer.drain()


def test_what_was_stored_since_the_last_success_is_removed_on_record(
    box: Box, raw: Make, caplog: pytest.LogCaptureFixture
) -> None:
    box.store(raw, 3)
    box.writer.vouch()
    box.store(raw, 70)  # more than one record names
    box.writer.revoke()
    box.writer.drain()
    records = [record["image"] for record in records_of(box.folder) if record["event"] == "image"]
    assert [path.relative_to(box.folder).as_posix() for path in box.left] == records[:3]
    assert purged(box.folder) == dict.fromkeys(records[3:], "known_face")
    assert box.revoked == 70
    assert box.metrics.count("images_written", "test") == 73
    assert box.writer.last_images == {}
    assert box.writer.error == ""
    assert "70 images removed" in caplog.text
    result = audit(box.folder)
    assert result
    assert result.images == 3
    assert result.figures.purged == {"known_face": 70}
    assert not any(check.notes.count for check in result.checks if check.name == "extra")


def test_the_size_of_the_store_is_that_of_what_is_left(box: Box, raw: Make) -> None:
    box.writer.usage._thread.join()
    box.store(raw, 2)
    box.writer.vouch()
    box.store(raw, 2)
    box.writer.revoke()
    box.writer.drain()
    assert box.writer.usage.images == 2
    assert box.writer.usage.bytes == sum(path.stat().st_size for path in box.left)


def test_the_preview_is_that_of_an_image_that_is_there(box: Box, raw: Make) -> None:
    made = raw()
    box.writer.put(blur.cover_whole(replace(made, camera="other")), 0)
    box.writer.vouch()
    box.store(raw, 2)
    box.writer.revoke()
    box.writer.drain()
    assert list(box.writer.last_images) == ["other"]
    assert box.left == [box.writer.last_images["other"]]


def test_with_nothing_new_there_is_nothing_to_revoke(box: Box, raw: Make) -> None:
    box.store(raw, 2)
    box.writer.vouch()
    box.writer.revoke()
    box.writer.revoke()
    box.writer.drain()
    assert len(box.left) == 2
    assert purged(box.folder) == {}
    assert box.revoked == 0


def test_encrypted_images_are_revoked_likewise(tmp_path: Path, raw: Make) -> None:
    box = Box(tmp_path, recipient=new_identity()[1])
    box.store(raw, 2)
    box.writer.vouch()
    box.store(raw, 3)
    box.writer.revoke()
    box.writer.drain()
    assert [path.suffix for path in box.left] == [".age", ".age"]
    assert len(purged(tmp_path)) == box.revoked == 3
    assert audit(tmp_path)


def test_an_image_that_went_before_is_not_put_on_record(tmp_path: Path, raw: Make) -> None:
    """The quota may have taken it; that is on record."""
    store = ImageStore(StoreConfig(folder=tmp_path))
    results = store.write([Entry(blur.cover_whole(raw(number=number))) for number in range(3)])
    paths = [result for result in results if isinstance(result, Path)]
    paths[0].unlink()
    assert store.take_back(paths) == {}
    assert store.take_back(paths) == {}
    store.close()
    assert list(purged(tmp_path)) == [path.relative_to(tmp_path).as_posix() for path in paths[1:]]


class Stubborn:
    """A file that cannot be removed, the first ``times``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, times: float) -> None:
        self.tries = 0
        real = Path.unlink

        def unlink(path: Path, missing_ok: bool = False) -> None:
            if f"-{number:06d}." in path.name and self.tries < times:
                self.tries += 1
                raise PermissionError(1, "Operation not permitted")
            real(path, missing_ok)

        monkeypatch.setattr(Path, "unlink", unlink)


def wait_for(condition: Callable[[], object]) -> None:
    for _ in range(3000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("waited too long")


@pytest.mark.parametrize("then", ["vouch", "revoke"])
def test_a_removal_that_fails_is_said_and_tried_again(
    box: Box, raw: Make, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    """Whether the detector sees again or not. The others of the group are gone the first time."""
    stubborn = Stubborn(monkeypatch, 3, times=1)  # record 1 is that of the start
    box.store(raw, 4)
    box.writer.revoke()
    wait_for(lambda: box.writer.error)
    assert "cannot be removed: Operation not permitted" in box.writer.error
    assert len(box.left) == 1
    assert box.revoked == 3
    box.store(raw, 1)
    wait_for(lambda: box.metrics.count("images_written", "test") == 5)
    assert box.writer.error  # one image could be stored, and yet another is still to be removed
    getattr(box.writer, then)()
    box.writer.drain()
    assert stubborn.tries == 1
    assert box.writer.error == ""
    assert box.revoked == (4 if then == "vouch" else 5)
    assert len(box.left) == 5 - box.revoked
    assert len(purged(box.folder)) == box.revoked  # each once
    assert audit(box.folder)


def test_what_cannot_be_put_on_record_is_not_removed_yet(
    box: Box, raw: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    retention, fails = box.writer._store._retention, [True]
    real = retention._purge

    def record(images: list[str], why: str) -> None:
        if fails:
            fails.clear()
            raise StoreError("audit log: no space left on device")
        real(images, why)

    monkeypatch.setattr(retention, "_purge", record)
    box.store(raw, 2)
    box.writer.revoke()
    wait_for(lambda: box.writer.error)
    assert "no space left" in box.writer.error
    assert len(box.left) == 2
    box.writer.drain()  # tried again before the end
    assert box.left == []
    assert len(purged(box.folder)) == 2
    assert box.writer.error == ""


def test_what_is_left_at_the_end_is_named_and_goes_at_the_next_start(
    box: Box, raw: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        Stubborn(patch, 2, times=float("inf"))
        box.store(raw, 3)
        box.writer.revoke()
        box.writer.drain()
        (left,) = box.left
        assert box.writer.error
        assert "1 images of a detector gone blind cannot be removed" in caplog.text
        assert left.name in caplog.text
        again = ImageStore(StoreConfig(folder=box.folder))
        with pytest.raises(StoreError, match="recorded as removed"):
            again.open()  # no image is stored beside it
    again.open()
    again.close()
    assert box.left == []
    assert audit(box.folder)


def test_other_removals_on_record_are_not_done_again_at_the_start(tmp_path: Path, raw: Make) -> None:
    """Somebody may have put an image back that went for want of room."""
    box = Box(tmp_path)
    box.store(raw, 1)
    box.writer.drain()
    (path,) = box.left
    store = ImageStore(StoreConfig(folder=tmp_path))
    store.open()
    store._record_purge([path.relative_to(tmp_path).as_posix()], "quota")
    store.close()
    store.open()
    store.close()
    assert box.left == [path]


# The pipeline


def test_a_detector_that_goes_blind_in_the_middle_and_sees_again(tmp_path: Path, eyes: Eyes) -> None:
    """The known face is checked before frames 0, 4, 8, ...; before frames 12 and 16 it is not found."""

    def each(pipeline: Pipeline, number: int) -> None:
        eyes.blind = 10 <= number < 20
        if number % 4 == 0:
            pipeline._next_known_face = 0.0

    chosen = config(tmp_path, privacy=NEVER, blur=NO_HOLD)
    pipeline, metrics = step(chosen, 28, Truthful(), each, live=True)
    assert numbers(tmp_path) == [*range(8), *range(20, 28)]
    assert metrics.count("images_written", "test") == 12 + 8
    assert metrics.count("images_revoked", "test") == 4
    assert metrics.count("frames_dropped", "test", Reason.KNOWN_FACE) == 8
    assert list(purged(tmp_path).values()) == ["known_face"] * 4
    assert read_status(pipeline).cameras[0].revoked == 4
    assert 'edge_images_revoked_total{camera="test"} 4.0' in metrics.text().decode()
    assert pipeline.known_face_error == ""
    result = audit(tmp_path)
    assert result
    assert result.images == 16


@pytest.mark.parametrize("at_once", [1, 2])
def test_blind_at_the_stop_alone(tmp_path: Path, eyes: Eyes, at_once: int) -> None:
    """The source is a file and has ended: neither what was stored nor what waits in the delay line stays."""
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
    assert metrics.count("images_revoked", "test") == metrics.count("images_written", "test") == 6
    assert metrics.count("frames_dropped", "test", Reason.KNOWN_FACE) == 3
    assert pipeline.known_face_error
    assert audit(tmp_path)
    assert records_of(tmp_path)[-1]["event"] == "stop"


def test_seeing_at_the_stop_all_stays(tmp_path: Path, eyes: Eyes) -> None:
    pipeline, metrics = make(
        config(tmp_path, privacy=NEVER), [Played([picture(n) for n in range(9)])], Truthful()
    )
    pipeline.start()
    while pipeline.tick(0.01):
        pass
    pipeline.stop()
    assert numbers(tmp_path) == list(range(9))
    assert metrics.count("images_revoked", "test") == 0


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
    assert "removed again" not in caplog.text
    assert len(stored(tmp_path / "store")) == 5


@pytest.mark.parametrize(
    ("revoked", "stopped", "good"), [(0, False, True), (3, False, False), (3, True, True)]
)
def test_a_file_of_which_images_were_taken_back_is_no_success(
    revoked: int, stopped: bool, good: bool
) -> None:
    """Unless it was stopped by a signal, before its end."""
    status = make_status(make_camera(revoked=revoked))
    assert _report(status, Ledgers(Path(), {}), stopped_by_signal=stopped) is good
