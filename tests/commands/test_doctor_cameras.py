"""``edge doctor`` on cameras: what is looked for in their frames, how fast, and what a ceiling needs."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest

from edge.boxes import NO_BOXES
from edge.commands import doctor_cameras
from edge.commands.doctor import examine
from edge.commands.doctor_cameras import check_camera, hanging
from edge.commands.doctor_check import Check
from edge.config import CameraConfig, DetectorConfig, PrivacyConfig, make_config
from edge.detection.detector import Detections, Detector, open_detector
from edge.detection.joint import AnyDetector
from edge.detection.session import read_detector
from edge.detection.views import Canvas, Search, View
from edge.errors import DetectionError
from edge.frames import Pixels, RawFrame
from edge.reasons import Reason
from edge.sources import Source
from tests.clips import write_clip
from tests.detection.painted import Painted

FACES = re.compile(
    r"(?P<size>\d+x\d+), faces of (?P<smallest>\d+) pixels and more(?P<turned> in any orientation)?; "
    r"(?P<views>\d+) views? \((?P<canvases>.*)\); (?P<moving>[\d.]+) frames per second"
    r"( when everything moves, (?P<still>[\d.]+) when nothing does)?"
)


@pytest.fixture(scope="module")
def shipped() -> Detector:
    return open_detector(read_detector(None), DetectorConfig(provider="cpu"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of 1280x720, for which there are two views."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=3, width=1280, height=720)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test needs a figure that was averaged over several looks."""
    monkeypatch.setattr(doctor_cameras, "MEASURE_SECONDS", 0.01)


def camera_at(source: Path, **settings: Any) -> CameraConfig:
    return CameraConfig(source=str(source), pace=False, **settings)


def rows_of(
    camera: CameraConfig, detector: AnyDetector | None, name: str = "front", **privacy: Any
) -> dict[str, Check]:
    return {check.name: check for check in check_camera(name, camera, PrivacyConfig(**privacy), detector)}


def faces_of(rows: dict[str, Check]) -> dict[str, Any]:
    row = rows["camera front, faces"]
    assert (row.level, row.way_out) == ("ok", ""), row
    match = FACES.fullmatch(row.found)
    assert match, row.found
    return match.groupdict()


# What is looked for


def test_the_row_names_size_smallest_face_views_and_speeds(clip: Path, shipped: Detector) -> None:
    rows = rows_of(camera_at(clip), shipped)
    assert set(rows) == {"camera front", "camera front, faces"}
    told = faces_of(rows)
    canvases = [view.letterbox for view in shipped.views(1280, 720, Search(20, in_parts=True))]
    assert (told["size"], told["smallest"], told["views"]) == ("1280x720", "20", str(len(canvases)))
    assert told["canvases"] == ", ".join(f"1 of {each.width}x{each.height}" for each in canvases)
    assert 0 < float(told["moving"]) <= float(told["still"])


def test_the_camera_s_own_smallest_face_and_orientation_count(clip: Path, shipped: Detector) -> None:
    rows = rows_of(
        camera_at(clip, smallest_face_pixels=40, any_orientation=True), shipped, smallest_face_pixels=12
    )
    told = faces_of(rows)
    views = shipped.views(1280, 720, Search(40, any_orientation=True, in_parts=True))
    assert told["smallest"] == "40"
    assert told["turned"]
    assert told["views"] == str(len(views))


def test_without_a_sweep_there_is_one_speed(clip: Path, shipped: Detector) -> None:
    assert faces_of(rows_of(camera_at(clip), shipped, sweep_seconds=0))["still"] is None


def test_pictures_of_a_folder_are_looked_at_whole(tmp_path: Path, shipped: Detector) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((240, 320, 3), 90, np.uint8))
    told = faces_of(rows_of(camera_at(tmp_path, kind="folder", poll_seconds=0.05), shipped))
    assert (told["size"], told["still"]) == ("320x240", None)


def test_all_configured_detectors_look(clip: Path, tmp_path: Path, shipped: Detector) -> None:
    table: dict[str, Any] = {
        "store": {"folder": tmp_path / "store"},
        "cameras": {"front": {"source": str(clip), "pace": False}},
        "detector": {"provider": "cpu"},
        "detectors": {"again": {"name": "face"}},
    }
    told = faces_of({check.name: check for check in examine(make_config(table, "test"))})
    assert int(told["views"]) == 2 * len(shipped.views(1280, 720, Search(20, in_parts=True)))
    table["detectors"]["again"] = {"path": tmp_path / "none.onnx"}
    rows = {check.name: check.level for check in examine(make_config(table, "test"))}
    assert rows["detector again"] == "fail"
    assert "camera front, faces" not in rows


def test_a_frame_that_takes_too_many_views_fails(clip: Path) -> None:
    tiny = Painted(Canvas(32, 32, False, 0))
    row = rows_of(camera_at(clip), tiny, smallest_face_pixels=8)["camera front, faces"]
    assert row.level == "fail"
    assert "picture of 1280x720" in row.found
    assert "look for larger faces" in row.found


# How fast


class Clock:
    """Time that passes only while ``SlowDetector`` looks, and a little with each question."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 0.0005
        return self.now

    def monotonic(self) -> float:
        return self.perf_counter()


class SlowDetector:
    """Takes a second for a million pixels of canvases, and finds nothing."""

    def __init__(self, real: Detector, clock: Clock) -> None:
        self.views, self.part, self.combine = real.views, real.part, real.combine
        self.clock = clock

    def look(self, pixels: Pixels, looked_at: Sequence[View]) -> list[Detections]:
        self.clock.now += sum(each.letterbox.width * each.letterbox.height for each in looked_at) / 1e6
        return [Detections(NO_BOXES, np.zeros(0, np.float32)) for _ in looked_at]


def pace_of(
    shipped: Detector, monkeypatch: pytest.MonkeyPatch, **privacy: Any
) -> tuple[doctor_cameras.Pace, float]:
    """The pace with a slow detector, and how many seconds one look at all views takes."""
    clock = Clock()
    monkeypatch.setattr(doctor_cameras, "time", clock)
    monkeypatch.setattr(doctor_cameras, "MEASURE_SECONDS", 2.0)
    slow = cast(Detector, SlowDetector(shipped, clock))
    settings = PrivacyConfig(**privacy)
    search = Search.of(settings, continuous=True)
    pixels = np.random.default_rng(1).integers(0, 256, (720, 1280, 3), np.uint8)
    views = shipped.views(1280, 720, search)
    look = sum(each.letterbox.width * each.letterbox.height for each in views) / 1e6
    return doctor_cameras._measure(slow, search, settings, pixels), look


@pytest.mark.parametrize(
    ("privacy", "looks"),
    [
        ({}, 2),
        ({"last_look": "covered"}, 2),
        ({"last_look": "sampled", "last_look_every_images": 10}, 1.1),
        ({"last_look": "off"}, 1),
        ({"last_look": "off", "sweep_seconds": 0}, 1),
    ],
)
def test_the_last_look_counts_where_everything_moves(
    shipped: Detector, monkeypatch: pytest.MonkeyPatch, privacy: dict[str, Any], looks: float
) -> None:
    pace, look = pace_of(shipped, monkeypatch, **privacy)
    assert pace.moving == pytest.approx(1 / (looks * look), rel=0.02)


def test_a_still_frame_costs_its_share_of_the_sweep(
    shipped: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, look = pace_of(shipped, monkeypatch, sweep_seconds=60)
    short, _ = pace_of(shipped, monkeypatch, sweep_seconds=6)
    assert long.still is not None
    assert short.still is not None
    assert long.moving < short.still < long.still
    # Each part is looked at once or twice in a sweep, with its surroundings, and again in the last look.
    frame = 1 / 0.0005
    assert frame * (1 - 8 * look / 6) < short.still < frame * (1 - 2 * look / 6)
    assert frame * (1 - 8 * look / 60) < long.still < frame * (1 - 2 * look / 60)


def test_a_box_that_cannot_sweep_in_time_is_no_faster_on_a_still_scene(
    shipped: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    pace, _ = pace_of(shipped, monkeypatch, sweep_seconds=0.1)
    assert pace.still == pace.moving


# What goes wrong


@pytest.mark.parametrize(
    "error",
    [
        DetectionError(Reason.DETECTOR_TIMEOUT, "the detector took longer than 10 seconds"),
        RuntimeError("the device is lost"),
    ],
)
def test_a_detector_that_fails_becomes_a_row(clip: Path, shipped: Detector, error: Exception) -> None:
    def fail(*arguments: object) -> None:
        raise error

    broken = SimpleNamespace(views=shipped.views, part=shipped.part, look=fail)
    row = rows_of(camera_at(clip), cast(Detector, broken))["camera front, faces"]
    assert row.level == "fail"
    assert str(error) in row.found
    assert row.way_out


@pytest.mark.parametrize("exists", [True, False])
def test_nothing_is_said_of_faces_without_frame_or_detector(
    clip: Path, tmp_path: Path, shipped: Detector, exists: bool
) -> None:
    rows = rows_of(camera_at(clip), None) if exists else rows_of(camera_at(tmp_path / "none.mp4"), shipped)
    assert {name: row.level for name, row in rows.items()} == {"camera front": "ok" if exists else "fail"}


def test_a_source_that_hangs_is_given_up(shipped: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    awake = threading.Event()

    class Hanging(Source):
        live = True

        def __iter__(self) -> Iterator[RawFrame]:
            awake.wait(60)
            return iter(())

    camera = CameraConfig(source="/dev/video9", open_timeout_seconds=0.1, read_timeout_seconds=0.1)
    monkeypatch.setattr(doctor_cameras, "make_source", Hanging)
    try:
        rows = rows_of(camera, shipped)
        assert {name: row.level for name, row in rows.items()} == {"camera front": "fail"}
        assert "no frame in time" in rows["camera front"].found
        assert hanging()
    finally:
        awake.set()


# Cameras that look down


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("hall-ceiling", {}),
        ("decke_2", {}),
        ("dome", {}),
        ("fisheye1", {}),
        ("overhead", {}),
        ("front", {"mounting": "ceiling"}),
    ],
)
def test_a_camera_that_looks_down_is_told_of_any_orientation(
    tmp_path: Path, name: str, settings: dict[str, Any]
) -> None:
    camera = camera_at(tmp_path / "none.mp4", **settings)
    row = rows_of(camera, None, name)[f"camera {name}, mounting"]
    assert row.level == "warn"
    assert "appear upright" in row.found
    assert f"cameras.{name}.any_orientation = true" in row.way_out
    turned = camera.model_copy(update={"any_orientation": True})
    assert f"camera {name}, mounting" not in rows_of(turned, None, name)
    assert f"camera {name}, mounting" not in rows_of(camera, None, name, any_orientation=True)


def test_a_camera_on_a_wall_is_told_nothing(tmp_path: Path) -> None:
    assert set(rows_of(camera_at(tmp_path / "none.mp4"), None)) == {"camera front"}
