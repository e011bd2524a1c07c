"""Last look, known face and light in the pipeline: when unsure, drop or cover, and count it.

Load, and all of it at once: tests/daemon/test_lifecycle_load.py.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from edge import blur as blur_module
from edge.config import Config, make_config
from edge.daemon import pipeline as pipeline_module
from edge.daemon.pipeline import Pipeline
from edge.daemon.read_status import read_status
from edge.detection import known_face
from edge.detection.detector import Detections, Detector
from edge.errors import DetectionError, KnownFaceError, PictureError
from edge.frames import Pixels, RawFrame
from edge.reasons import Reason
from edge.sources import Source
from edge.status.metrics import Metrics
from edge.store.images import ImageStore
from tests.daemon.test_pipeline import (
    FACE,
    KNOWN_FACE,
    SECRET,
    FakeDetector,
    FakeSession,
    Played,
    check_accounts,
    is_known_face,
    picture,
    stored,
)

Look = Callable[[], None]


class Stepped(Played):
    """Delivers one frame for each call of ``go``."""

    def __init__(self, pictures: list[Pixels], live: bool = False, name: str = "test") -> None:
        super().__init__(pictures, live, name=name)
        self._permits = threading.Semaphore(0)
        self.go = self._permits.release

    def __iter__(self) -> Iterator[RawFrame]:
        frames = super().__iter__()
        while True:
            self._permits.acquire()
            frame = next(frames, None)
            if frame is None:
                return
            yield frame


def number_of(pixels: Pixels) -> int:
    """Which ``picture`` this is; its mark lies outside all regions."""
    return int(pixels[0, 0, 0]) - 10


def is_whole(pixels: Pixels) -> bool:
    return bool((pixels == blur_module.GREY).all())


class Truthful:
    """Finds FACE if the secret can be seen there, and the known face, and keeps which frames it was shown.

    ``faults`` are called instead, by the number of the call.
    """

    session = FakeSession()
    score_begin, score_continue, score_last_look = 0.35, 0.2, 0.35
    looks = 5

    def __init__(self, faults: dict[int, Look] | None = None) -> None:
        self.raw: list[int] = []  # numbers of pictures that show the secret
        self.covered: list[int] = []
        self.tiles: list[bool] = []
        self.blind_to: set[int] = set()
        self._faults = faults or {}
        self._calls = count()

    def detect(self, pixels: Pixels, *, tiles: bool = True) -> Detections:
        if is_known_face(pixels):
            return KNOWN_FACE
        call = next(self._calls)
        seen = bool((pixels == SECRET).all(axis=2).any())
        self.tiles.append(tiles)
        (self.raw if seen else self.covered).append(number_of(pixels))
        if call in self._faults:
            self._faults[call]()
        if number_of(pixels) in self.blind_to:
            seen = False
        return Detections(
            np.array([FACE] * seen, np.float32).reshape(-1, 4), np.full(int(seen), 0.9, np.float32)
        )


def broken(error: Exception | None = None) -> Look:
    def look() -> None:
        raise error or DetectionError("detector_error", "broken")

    return look


def config(folder: Path, **tables: dict[str, Any]) -> Config:
    """With the last look, and without the look at the light."""
    store = {"folder": folder, "format": "png"} | tables.pop("store", {})
    privacy = {"check_visibility": False} | tables.pop("privacy", {})
    return make_config({"store": store, "privacy": privacy, **tables}, "test")


def make(chosen: Config, sources: list[Source], detector: Any, at_once: int = 1) -> tuple[Pipeline, Metrics]:
    metrics, stop = Metrics(), threading.Event()
    store = ImageStore(chosen.store)
    return Pipeline(chosen, cast(Detector, detector), store, metrics, sources, stop, at_once), metrics


def run(pipeline: Pipeline) -> None:
    pipeline.start()
    while pipeline.tick(0.01):
        pass
    pipeline.stop()


def step(
    chosen: Config,
    frames: int,
    detector: Any,
    each: Callable[[Pipeline, int], None],
    live: bool = False,
) -> tuple[Pipeline, Metrics]:
    """One frame for each tick; ``each`` is called before, with the number of the frame."""
    source = Stepped([picture(n) for n in range(frames)], live)
    pipeline, metrics = make(chosen, [source], detector)
    pipeline.start()
    for number in range(frames):
        each(pipeline, number)
        source.go()
        assert pipeline.tick(30)
    source.go()  # to its end
    pipeline.stop()
    check_accounts(metrics)
    return pipeline, metrics


def play(chosen: Config, frames: int, detector: Any, live: bool = False) -> tuple[Pipeline, Metrics]:
    pipeline, metrics = make(chosen, [Played([picture(n) for n in range(frames)], live)], detector)
    run(pipeline)
    check_accounts(metrics)
    return pipeline, metrics


def no_secret(folder: Path) -> int:
    """How many images are stored; none of them shows the secret."""
    images = stored(folder)
    assert all((image != SECRET).any(axis=2).all() for image in images)
    return len(images)


NO_HOLD = {"hold_before_frames": 0, "hold_after_seconds": 0}


# The last look


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

        def detect(self, pixels: Pixels, *, tiles: bool = True) -> Detections:
            first = number_of(pixels) not in self.raw and not is_known_face(pixels)
            found = super().detect(pixels, tiles=tiles)
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


def test_covered_looks_at_what_hold_or_a_zone_covers(tmp_path: Path) -> None:
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
    assert len(blind.tiles) == 8


def test_sampled_looks_at_the_first_and_each_nth_image_of_each_camera(tmp_path: Path) -> None:
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


def test_sampled_does_not_waste_a_look_on_an_image_that_is_covered_whole(tmp_path: Path) -> None:
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
        (DetectionError("detector_error", "broken"), Reason.DETECTOR_ERROR),
        (DetectionError("detector_timeout", "slow"), Reason.DETECTOR_TIMEOUT),
        (DetectionError("overflow", "many"), Reason.OVERFLOW),
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


def test_an_image_that_could_not_be_looked_at_again_does_not_count_as_verified(tmp_path: Path) -> None:
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


# The known face


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
    """Not while frames 10 to 19 come. The frames that wait are dropped as well, and the one that was stored
    since the last success is removed."""
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
    assert dropped == 13  # ten, and the three that waited
    assert metrics.count("frames_covered_whole", "test", Reason.KNOWN_FACE) == 0
    assert metrics.count("images_revoked", "test") == 1
    # No lookahead for the last three
    assert [number_of(image) for image in stored(tmp_path)] == [*range(6), *range(20, 27)]
    assert len(bad) == 10
    assert all("the known face is not found" in problems for problems, _ in bad)
    assert len({looks for _, looks in bad}) == 1  # no frame was looked at
    assert pipeline.known_face_error == ""
    assert no_secret(tmp_path) == 13
    assert (
        f'edge_frames_dropped_total{{camera="test",reason="known_face"}} {dropped}.0'
        in metrics.text().decode()
    )
    told = [record.message for record in caplog.records if "known face" in record.message]
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
def test_a_known_face_that_cannot_be_looked_for_is_not_found(
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


def test_a_lost_known_face_is_looked_for_again_after_a_pause(
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


def test_between_two_intervals_it_is_not_looked_for(tmp_path: Path, known: Known) -> None:
    play(config(tmp_path, privacy={"known_face_interval_seconds": 3600}), 9, Truthful())
    assert known.calls == 1  # before it stops
    assert no_secret(tmp_path) == 9


def test_what_the_store_already_has_is_stored(
    tmp_path: Path, known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was looked at before, by a detector that found the known face after its last picture. Picture 3 came
    after that: it is stored, and removed."""
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
    assert metrics.count("images_revoked", "test") == 1
    assert metrics.count("frames_dropped", "test", Reason.KNOWN_FACE) == 5


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
    with pytest.raises(KnownFaceError, match="cannot be looked for: broken"):
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
    assert metrics.count("frames_dropped", "test", Reason.KNOWN_FACE) == 5
    assert "does not find the known face" in pipeline.known_face_error
    images = stored(tmp_path)
    assert metrics.count("images_written", "test") == 5
    assert len(images) == 4  # the fifth was stored after it had last been seen to work
    for image in images:
        found = small_detector.detect(image).at_least(small_detector.score_last_look)
        assert len(found.boxes) == 0


# Light


def judge(monkeypatch: pytest.MonkeyPatch, problems: dict[int, Reason | Exception]) -> None:
    """Let the look at the light say this of some pictures."""

    def problem(pixels: Pixels) -> Reason | None:
        said = problems.get(number_of(pixels))
        if isinstance(said, Exception):
            raise said
        return said

    monkeypatch.setattr(pipeline_module, "problem", problem)


LIGHT = {"check_visibility": True}


@pytest.mark.parametrize("on_failure", ["drop", "cover"])
def test_a_dark_frame_is_not_looked_at(tmp_path: Path, on_failure: str) -> None:
    """With the real look at the light."""
    bright = np.random.default_rng(0).integers(60, 200, (120, 160, 3), np.uint8)
    bright[20:100, 20:140] //= 4
    dark = np.random.default_rng(0).integers(0, 3, (120, 160, 3), np.uint8)
    frames = [bright, bright, dark, dark, bright]
    detector = Truthful()
    chosen = config(tmp_path, privacy={**LIGHT, "on_failure": on_failure, "last_look": "off"})
    pipeline, metrics = make(chosen, [Played(frames)], detector)
    run(pipeline)
    check_accounts(metrics)
    assert len(detector.tiles) == 3
    whole = [is_whole(image) for image in stored(tmp_path)]
    if on_failure == "drop":
        assert metrics.count("frames_dropped", "test", Reason.TOO_DARK) == 2
        assert whole == [False] * 3
    else:
        assert metrics.count("frames_covered_whole", "test", Reason.TOO_DARK) == 2
        assert whole == [False, False, True, True, False]


@pytest.mark.parametrize("reason", [Reason.TOO_DARK, Reason.TOO_BLURRED, Reason.OBSTRUCTED])
@pytest.mark.parametrize("on_failure", ["drop", "cover"])
def test_each_problem_is_counted_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: Reason, on_failure: str
) -> None:
    judge(monkeypatch, {2: reason, 3: reason, 7: reason})
    detector = Truthful()
    _, metrics = play(config(tmp_path, privacy={**LIGHT, "on_failure": on_failure}), 9, detector)
    counter = "frames_dropped" if on_failure == "drop" else "frames_covered_whole"
    assert metrics.count(counter, "test", reason) == 3
    assert sum(metrics.count(counter, "test", other) for other in Reason) == 3
    assert detector.raw == [0, 1, 4, 5, 6, 8]
    assert no_secret(tmp_path) == (6 if on_failure == "drop" else 9)


def test_a_look_at_the_light_that_fails_drops_the_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(monkeypatch, {4: RuntimeError("bug"), 5: MemoryError()})
    _, metrics = play(config(tmp_path, privacy=LIGHT), 9, Truthful())
    assert metrics.count("frames_dropped", "test", Reason.DETECTOR_ERROR) == 2
    assert [number_of(image) for image in stored(tmp_path)] == [0, 1, 2, 3, 6, 7, 8]


@pytest.mark.parametrize("on_failure", ["drop", "cover"])
def test_a_face_from_before_the_dark_stays_covered_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_failure: str
) -> None:
    """The detector misses it in the first frames after a flicker."""
    judge(monkeypatch, dict.fromkeys((5, 6, 7), Reason.TOO_DARK))
    detector = Truthful()
    detector.blind_to = {8, 9, 10, 11}
    chosen = config(tmp_path, privacy={**LIGHT, "on_failure": on_failure, "last_look": "off"})
    _, metrics = play(chosen, 12, detector)
    assert no_secret(tmp_path) == (9 if on_failure == "drop" else 12)
    assert metrics.count("regions_held", "test") >= 4


@pytest.mark.parametrize("on_failure", ["drop", "cover"])
def test_a_face_that_is_found_after_the_dark_is_covered_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_failure: str
) -> None:
    judge(monkeypatch, dict.fromkeys((3, 4), Reason.OBSTRUCTED))
    detector = Truthful()
    detector.blind_to = {0, 1, 2}
    chosen = config(tmp_path, privacy={**LIGHT, "on_failure": on_failure, "last_look": "off"})
    play(chosen, 9, detector)
    assert no_secret(tmp_path) == (7 if on_failure == "drop" else 9)


def test_the_fakes_of_both_files_agree(tmp_path: Path) -> None:
    play(config(tmp_path, privacy={"last_look": "off"}), 3, FakeDetector())
    assert no_secret(tmp_path) == 3
