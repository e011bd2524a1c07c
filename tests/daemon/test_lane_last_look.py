"""The last look in a camera's lane: a fault of the blur or the detector is found, and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge import blur as blur_module
from edge.daemon.read_status import read_status
from edge.detection.detector import Detections
from edge.errors import DetectionError
from edge.frames import Pixels
from edge.reasons import Reason
from edge.sources import Source
from tests.daemon.playing import (
    NO_HOLD,
    SECRET,
    FakeDetector,
    Played,
    Truthful,
    broken,
    check_accounts,
    config,
    is_known_face,
    is_whole,
    make,
    no_secret,
    number_of,
    picture,
    play,
    run,
    stored,
)


def break_blur(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    real = blur_module.regions_of

    def wrong(boxes: Any, width: int, height: int, chosen: Any) -> Any:
        regions = real(boxes, width, height, chosen)
        x1, y1, x2, y2 = regions.T
        if fault == "none":
            return regions[:0]
        if fault == "shifted":
            return np.stack([np.minimum(x1 + 40, width - 8), y1, np.minimum(x2 + 40, width), y2], axis=1)
        if fault == "upper half":
            return np.stack([x1, y1, x2, (y1 + y2) // 2], axis=1)
        return np.stack([x1 + 15, y1 + 15, x2 - 15, y2 - 15], axis=1)  # too small

    if fault == "not painted":
        monkeypatch.setattr(blur_module, "_infill", lambda pixels, regions: None)
    else:
        monkeypatch.setattr(blur_module, "regions_of", wrong)


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("fault", ["none", "shifted", "upper half", "not painted", "too small"])
def test_a_blur_that_misses_the_face_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, live: bool
) -> None:
    break_blur(monkeypatch, fault)
    pipeline, metrics = play(config(tmp_path, blur=NO_HOLD), 6, Truthful(), live)
    assert no_secret(tmp_path) == 6
    assert metrics.count("images_regrown", "test") == 6
    escalated = 0 if fault == "too small" else 6
    assert metrics.count("images_escalated", "test") == escalated
    assert metrics.count("frames_covered_whole", "test", Reason.ESCALATED) == escalated
    assert sum(is_whole(image) for image in stored(tmp_path)) == escalated
    (camera,) = read_status(pipeline).cameras
    assert (camera.regrown, camera.escalated) == (6, escalated)
    assert camera.regions_held <= camera.regions


@pytest.mark.parametrize("fault", ["none", "shifted", "upper half", "not painted", "too small"])
def test_without_the_last_look_the_fault_would_be_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """So that the test above means something."""
    break_blur(monkeypatch, fault)
    play(config(tmp_path, privacy={"last_look": "off"}), 3, Truthful())
    assert all((image == SECRET).any() for image in stored(tmp_path))


def test_a_face_that_the_detector_missed_at_first_is_covered_by_the_last_look(tmp_path: Path) -> None:
    class Moody(Truthful):
        """Misses every face, unless it is shown the same picture again."""

        def find(self, pixels: Pixels) -> Detections:
            first = number_of(pixels) not in self.raw and not is_known_face(pixels)
            found = super().find(pixels)
            return found.at_least(2.0) if first else found

    _, metrics = play(config(tmp_path, blur=NO_HOLD), 8, Moody())
    assert no_secret(tmp_path) == 8
    assert metrics.count("images_regrown", "test") == 8
    assert metrics.count("images_escalated", "test") == 0
    assert not any(is_whole(image) for image in stored(tmp_path))


def test_a_zone_is_still_covered_where_the_last_look_covered_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_blur(monkeypatch, "too small")
    zone = ((0.0, 0.875), (0.25, 0.875), (0.25, 1.0), (0.0, 1.0))  # the lower left corner, far from FACE
    source = Played([picture(n) for n in range(4)])
    source.config = source.config.model_copy(update={"privacy_zones": (zone,)})
    pipeline, metrics = make(config(tmp_path, blur=NO_HOLD), [source], Truthful())
    run(pipeline)
    assert metrics.count("images_regrown", "test") == len(stored(tmp_path)) == 4
    for image in stored(tmp_path):
        assert (image[105:, :40] == blur_module.GREY).all()
        assert not is_whole(image)


def test_the_last_look_has_nothing_to_do_where_hold_covers(tmp_path: Path) -> None:
    detector = Truthful()
    detector.blind_to = {0, 1, 5, 6, 7}
    _, metrics = play(config(tmp_path), 12, detector)
    assert no_secret(tmp_path) == 12
    assert metrics.count("images_regrown", "test") == 0
    assert metrics.count("regions_held", "test") >= 5
    assert sorted(detector.covered) == list(range(12))  # each image was looked at


def test_without_the_last_look_the_detector_runs_once_for_each_frame(tmp_path: Path) -> None:
    detector = Truthful()
    play(config(tmp_path, privacy={"last_look": "off"}), 5, detector)
    assert (detector.raw, detector.covered) == ([0, 1, 2, 3, 4], [])


def test_covered_leaves_out_what_the_detector_has_just_searched(tmp_path: Path) -> None:
    """Frames 0 to 3 show nobody, so they are stored as they came; the rest show a face."""
    detector = Truthful()
    frames = [picture(n) for n in range(8)]
    for pixels in frames[:4]:
        pixels[(pixels == SECRET).all(axis=2)] = 60
    pipeline, metrics = make(
        config(tmp_path, blur=NO_HOLD, privacy={"last_look": "covered"}), [Played(frames)], detector
    )
    run(pipeline)
    check_accounts(metrics)
    assert no_secret(tmp_path) == 8
    assert (detector.raw, detector.covered) == ([4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7])


def test_covered_takes_the_last_look_where_hold_or_a_zone_covers(tmp_path: Path) -> None:
    detector = Truthful()
    detector.blind_to = {1, 2}
    play(config(tmp_path / "held", privacy={"last_look": "covered"}), 4, detector)
    assert sorted(detector.covered) == [0, 1, 2, 3]
    blind = Truthful()
    blind.blind_to = set(range(4))
    source = Played([picture(n) for n in range(4)])
    zone = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    source.config = source.config.model_copy(update={"privacy_zones": (zone,)})
    pipeline, _ = make(
        config(tmp_path / "zone", blur=NO_HOLD, privacy={"last_look": "covered"}), [source], blind
    )
    run(pipeline)
    assert blind.looks == 8


def test_sampled_takes_the_last_look_at_the_first_and_each_nth_image_of_each_camera(tmp_path: Path) -> None:
    detector = Truthful()
    chosen = config(tmp_path, privacy={"last_look": "sampled", "last_look_every_images": 4})
    sources: list[Source] = [
        Played([picture(n) for n in numbers], name=name)
        for name, numbers in (("a", range(10)), ("b", range(20, 26)))
    ]
    pipeline, metrics = make(chosen, sources, detector)
    run(pipeline)
    assert sorted(detector.covered) == [0, 4, 8, 20, 24]
    assert no_secret(tmp_path) == 16
    check_accounts(metrics, "a")
    check_accounts(metrics, "b")


def test_sampled_wastes_no_last_look_on_an_image_that_is_covered_whole(tmp_path: Path) -> None:
    detector = Truthful({0: broken(), 1: broken()})
    chosen = config(
        tmp_path,
        privacy={"last_look": "sampled", "last_look_every_images": 4, "on_failure": "cover"},
        blur={"hold_before_frames": 0},
    )
    play(chosen, 7, detector)
    assert detector.covered == [2, 6]
    assert no_secret(tmp_path) == 7


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DetectionError(Reason.DETECTOR_ERROR, "broken"), Reason.DETECTOR_ERROR),
        (DetectionError(Reason.DETECTOR_TIMEOUT, "slow"), Reason.DETECTOR_TIMEOUT),
        (DetectionError(Reason.OVERFLOW, "many"), Reason.OVERFLOW),
        (MemoryError(), Reason.DETECTOR_ERROR),
        (KeyError("bug"), Reason.DETECTOR_ERROR),
    ],
)
@pytest.mark.parametrize("on_failure", ["drop", "cover"])
def test_a_last_look_that_fails(tmp_path: Path, on_failure: str, error: Exception, reason: Reason) -> None:
    """Calls 0 and 1 are those of the first frame: detect, last look."""
    chosen = config(tmp_path, privacy={"on_failure": on_failure}, blur=NO_HOLD)
    _, metrics = play(chosen, 3, Truthful({1: broken(error)}))
    images = stored(tmp_path)
    if on_failure == "drop":
        assert [number_of(image) for image in images] == [1, 2]
        assert metrics.count("frames_dropped", "test", reason) == 1
    else:
        assert [is_whole(image) for image in images] == [True, False, False]
        assert metrics.count("frames_covered_whole", "test", reason) == 1
    assert no_secret(tmp_path) == len(images)


@pytest.mark.parametrize("on_failure", ["drop", "cover"])
def test_a_second_last_look_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_failure: str
) -> None:
    break_blur(monkeypatch, "none")
    chosen = config(tmp_path, privacy={"on_failure": on_failure}, blur=NO_HOLD)
    _, metrics = play(chosen, 1, Truthful({2: broken()}))
    assert no_secret(tmp_path) == (0 if on_failure == "drop" else 1)
    assert metrics.count("images_regrown", "test") == 0  # what came of it is not known


def test_an_image_whose_last_look_failed_does_not_count_as_checked(tmp_path: Path) -> None:
    chosen = config(tmp_path, privacy={"on_failure": "cover"}, blur=NO_HOLD)
    faults = {call: broken() for call in range(1, 20, 2)}
    pipeline, metrics = play(chosen, 5, Truthful(faults))
    assert len(stored(tmp_path)) == 5
    assert metrics.checked_seconds_ago("test") is None
    assert read_status(pipeline).cameras[0].checked_seconds_ago is None
    _, metrics = play(config(tmp_path / "good"), 1, Truthful())
    assert metrics.checked_seconds_ago("test") is not None


def test_what_is_held_is_never_more_than_what_is_covered(tmp_path: Path) -> None:
    """Frames covered whole have no regions, and held boxes beside the frame are none."""
    detector = Truthful({call: broken() for call in (2, 3, 4)})
    chosen = config(tmp_path, privacy={"last_look": "off", "on_failure": "cover"})
    _, metrics = play(chosen, 6, detector)
    images = stored(tmp_path)
    regions = metrics.count("regions", "test")
    assert [is_whole(image) for image in images].count(True) == 3
    assert metrics.count("regions_held", "test") <= regions
    assert regions >= 3


def test_the_fake_detectors_agree(tmp_path: Path) -> None:
    play(config(tmp_path, privacy={"last_look": "off"}), 3, FakeDetector())
    assert no_secret(tmp_path) == 3
