"""Files and folders while detector or store fail, another process holds the store, or the box restarts: each
frame is stored exactly once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from edge.config import CameraConfig, StoreConfig
from edge.errors import DetectionError, StoreError
from edge.reasons import Reason
from edge.store import positions
from edge.store.images import Entry, ImageStore
from tests.daemon.blind import NEVER, Eyes, audit, numbers
from tests.daemon.files import ALL, FRAMES, lost, only_retried, reading, run, source_of, tick_until
from tests.daemon.playing import Truthful, check_accounts
from tests.disks import EXT4, Disk, disk, why_not

KINDS = ("folder", "video")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.sources.ledger.PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("edge.sources.ledger.POLL_SECONDS", 0.01)
    monkeypatch.setattr("edge.daemon.writer.RETRY_SECONDS", 0.01)


@pytest.fixture(params=KINDS)
def camera(request: pytest.FixtureRequest, tmp_path: Path) -> CameraConfig:
    return source_of(tmp_path, request.param)


def broken(*calls: int, reason: Reason = Reason.DETECTOR_ERROR) -> Truthful:
    """A detector that fails at these calls."""

    def fault() -> None:
        raise DetectionError(reason, "broken")

    return Truthful(dict.fromkeys(calls, fault))


@pytest.mark.parametrize("on_failure", ["drop", "cover"])
def test_a_frame_that_the_detector_fails_on_is_tried_again(
    tmp_path: Path, camera: CameraConfig, eyes: Eyes, on_failure: str
) -> None:
    detector = broken(3, 12, 13, reason=Reason.DETECTOR_TIMEOUT)
    pipeline, metrics = reading(
        camera, tmp_path / "store", detector, privacy={**NEVER, "on_failure": on_failure}
    )
    run(pipeline, metrics)
    assert sorted(numbers(tmp_path / "store")) == ALL
    assert only_retried(metrics)
    assert metrics.count("frames_covered_whole", "test", Reason.DETECTOR_TIMEOUT) == 0
    assert lost(pipeline) == {}
    assert audit(tmp_path / "store")


def test_a_frame_that_always_fails_is_given_up_and_counted(
    tmp_path: Path, camera: CameraConfig, eyes: Eyes
) -> None:
    class FailsOn7(Truthful):
        def find(self, pixels: Any) -> Any:
            found = super().find(pixels)
            if self.raw and self.raw[-1] == 7:
                raise ValueError("the detector cannot bear this picture")
            return found

    pipeline, metrics = reading(camera, tmp_path / "store", FailsOn7())
    pipeline.start()
    tick_until(pipeline, lambda: len(numbers(tmp_path / "store")) == FRAMES - 1 and bool(lost(pipeline)))
    pipeline.stop()
    assert sorted(numbers(tmp_path / "store")) == [number for number in ALL if number != 7]
    assert lost(pipeline) == {Reason.DETECTOR_ERROR: 1}
    assert metrics.count("frames_dropped", "test", Reason.DETECTOR_ERROR) == 1


def test_failures_of_a_blind_detector_do_not_count_against_a_frame(
    tmp_path: Path, camera: CameraConfig, eyes: Eyes
) -> None:
    """Every look fails while the known face is not found: more often than a frame is tried."""

    class Sick(Truthful):
        def find(self, pixels: Any) -> Any:
            found = super().find(pixels)
            if self.looks <= 20:
                eyes.blind = True
                raise ValueError("sick")
            return found

    pipeline, metrics = reading(camera, tmp_path / "store", Sick())
    pipeline.start()
    for _ in range(200):
        pipeline._next_known_face = 0.0
        pipeline.tick(0.005)
        if pipeline.known_face_error:
            eyes.blind = False  # the next look is tried, and fails
    tick_until(pipeline, lambda: metrics.count("images_written", "test") >= FRAMES)
    pipeline.stop()
    assert sorted(set(numbers(tmp_path / "store"))) == ALL
    assert lost(pipeline) == {}


class Sometimes(ImageStore):
    """A store that fails as long as ``down``."""

    def __init__(self, folder: Path, down: Sequence[int]) -> None:
        super().__init__(StoreConfig(folder=folder, format="png"))
        self._down = set(down)
        self.tries = 0

    def write(self, entries: Sequence[Entry]) -> list[Path | StoreError]:
        self.tries += 1
        if self.tries in self._down:
            raise StoreError("the disk is away")
        return super().write(entries)


def test_what_the_store_refuses_is_read_again(tmp_path: Path, camera: CameraConfig, eyes: Eyes) -> None:
    pipeline, metrics = reading(camera, tmp_path / "store", Truthful())
    pipeline.writer._store = Sometimes(tmp_path / "store", [1, 2, 4, 5, 6, 9])
    run(pipeline, metrics)
    assert sorted(numbers(tmp_path / "store")) == ALL
    assert only_retried(metrics)
    assert lost(pipeline) == {}
    assert pipeline.writer.error == ""
    assert audit(tmp_path / "store")


def test_a_second_daemon_waits_and_does_the_rest(tmp_path: Path, camera: CameraConfig, eyes: Eyes) -> None:
    """While the first holds the store, the second runs on nothing; then it goes on where that one stopped."""
    first, counts = reading(camera, tmp_path / "store", Truthful())
    first.start()
    tick_until(first, lambda: counts.count("images_written", "test") >= 5)
    detector = Truthful()
    second, metrics = reading(camera, tmp_path / "store", detector)
    second.start()
    for _ in range(50):
        assert second.tick(0.005)
    assert "another process stores images there" in second.troubles[0]
    assert detector.looks == 0
    first.stop()
    tick_until(second, lambda: len(numbers(tmp_path / "store")) >= FRAMES)
    second.stop()
    assert sorted(numbers(tmp_path / "store")) == ALL
    assert only_retried(metrics)
    assert audit(tmp_path / "store")


def test_a_restart_goes_on_and_a_finished_video_is_not_read_again(
    tmp_path: Path, camera: CameraConfig, eyes: Eyes
) -> None:
    store, looks = tmp_path / "store", []
    for until in (6, 15, FRAMES, FRAMES):
        detector = Truthful()
        pipeline, metrics = reading(camera, store, detector)
        pipeline.start()
        tick_until(pipeline, lambda: len(numbers(store)) >= until)  # noqa: B023
        pipeline.stop()
        check_accounts(metrics)
        looks.append(detector.looks)
        assert only_retried(metrics)
    assert sorted(numbers(store)) == ALL
    assert looks[-1] == 0
    (position,) = store.rglob("position-*")
    assert all(len(line) <= 32 for line in position.read_text().splitlines())
    assert audit(store)
    pipeline, metrics = reading(camera.model_copy(update={"resume": False}), store, Truthful())
    run(pipeline, metrics)
    assert sorted(numbers(store)) == sorted(ALL + ALL)


def test_a_crash_repeats_and_does_not_lose(
    tmp_path: Path, camera: CameraConfig, eyes: Eyes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last positions never got to the disk, and the end of the file was cut."""
    store = tmp_path / "store"
    pipeline, metrics = reading(camera, store, Truthful())
    pipeline.start()
    tick_until(pipeline, lambda: metrics.count("images_written", "test") >= 6)
    with monkeypatch.context() as patch:
        patch.setattr(positions, "keep", lambda *args, **kwargs: True)
        tick_until(pipeline, lambda: metrics.count("images_written", "test") >= 12)
        pipeline.stop()
    path = positions.path_of(store, "test")
    path.write_bytes(path.read_bytes()[:-3])
    pipeline, metrics = reading(camera, store, Truthful())
    pipeline.start()
    tick_until(pipeline, lambda: len(numbers(store)) > FRAMES and set(numbers(store)) == set(ALL))
    pipeline.stop()
    assert set(numbers(store)) == set(ALL)


def test_another_file_of_the_same_name_is_read_from_its_beginning(tmp_path: Path, eyes: Eyes) -> None:
    camera, store = source_of(tmp_path, "video"), tmp_path / "store"
    run(*reading(camera, store, Truthful()))
    clip = Path(camera.source)
    clip.write_bytes(clip.read_bytes() + b"\0" * 16)
    run(*reading(camera, store, Truthful()))
    assert sorted(numbers(store)) == sorted(ALL + ALL)


@pytest.fixture
def usb(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path / "usb", EXT4) as made:
        yield made


@pytest.mark.skipif(bool(why_not(EXT4)), reason=why_not(EXT4) or "-")
def test_a_disk_that_is_pulled_out_and_put_back_costs_no_frame(
    usb: Disk, camera: CameraConfig, eyes: Eyes
) -> None:
    store = usb.folder / "images"
    pipeline, metrics = reading(camera, store, Truthful(), store={"min_free_megabytes": 1})
    pipeline.start()
    tick_until(pipeline, lambda: metrics.count("images_written", "test") >= 6)
    usb.unmount(lazily=True)
    tick_until(pipeline, lambda: "another file system" in pipeline.writer.error)
    assert any("another file system than before" in trouble for trouble in pipeline.troubles)
    assert list(usb.folder.iterdir()) == []
    usb.mount()
    tick_until(pipeline, lambda: len(numbers(store)) >= FRAMES)
    pipeline.stop()
    assert sorted(set(numbers(store))) == ALL
    assert lost(pipeline) == {}
    assert only_retried(metrics)
