"""The change gate in a camera's lane: what is not looked at is covered all the same, or not stored at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.config import Config
from edge.daemon.load import LoadLevel
from edge.daemon.pipeline import Pipeline
from edge.daemon.read_status import read_status
from edge.detection.detector import EVERYTHING
from edge.detection.gate import Gate, Plan
from edge.detection.views import Canvas, Search, View, views_of
from edge.errors import DetectionError
from edge.frames import Pixels
from edge.reasons import Reason
from edge.status.metrics import Metrics
from tests.daemon.blind import ALWAYS, Eyes
from tests.daemon.parts import HEIGHT, WHOLE, WIDTH, InParts, Place, area, contains, scene
from tests.daemon.playing import (
    NO_HOLD,
    Played,
    Stepped,
    check_accounts,
    config,
    force,
    is_whole,
    make,
    no_rest,
    no_secret,
    number_of,
    run,
    stored,
)

A, B, C = (300, 200), (900, 500), (1100, 80)
PATIENCE_SECONDS = 20.0


def play(
    chosen: Config, pictures: Sequence[Pixels], detector: InParts, runs_at_once: int = 1
) -> tuple[Pipeline, Metrics]:
    pipeline, metrics = make(chosen, [Played(list(pictures))], detector, runs_at_once)
    run(pipeline)
    check_accounts(metrics)
    return pipeline, metrics


def step(
    chosen: Config, pictures: Sequence[Pixels], detector: InParts, each: Callable[[Pipeline, int], None]
) -> Metrics:
    """One frame of a live camera for each tick; ``each`` is called before, with its number."""
    source = Stepped(list(pictures), live=True)
    pipeline, metrics = make(chosen, [source], detector)
    pipeline.start()
    for number in range(len(pictures)):
        no_rest(pipeline)
        each(pipeline, number)
        source.go()
        assert pipeline.tick(30)
    source.go()
    pipeline.stop()
    check_accounts(metrics)
    return metrics


def fail_at(*numbers: int) -> Callable[[int], None]:
    """Let the first look at these frames fail."""

    def at_look(number: int) -> None:
        if number in numbers:
            raise DetectionError(Reason.DETECTOR_TIMEOUT, "slow")

    return at_look


def whole_numbers(folder: Path) -> list[bool]:
    return [is_whole(image) for image in stored(folder)]


def numbers(folder: Path) -> list[int]:
    """The numbers of the frames that are stored, but not covered whole."""
    return [number_of(image) for image in stored(folder) if not is_whole(image)]


def test_what_was_found_is_covered_in_frames_that_are_not_looked_at(tmp_path: Path) -> None:
    pictures = [scene(n, A, B) for n in range(8)]
    detector = InParts(pictures)
    chosen = config(tmp_path, privacy={"last_look": "off"}, blur=NO_HOLD)
    pipeline, metrics = play(chosen, pictures, detector)
    assert detector.looks.first == {0: [WHOLE], **{n: [] for n in range(1, 8)}}
    assert no_secret(tmp_path) == 8
    assert (metrics.count("regions", "test"), metrics.count("regions_held", "test")) == (16, 0)
    parts = metrics.count("parts_looked", "test")
    assert parts > 1
    assert metrics.count("parts_kept", "test") == 7 * parts
    assert metrics.count("parts_swept", "test") == 0
    (camera,) = read_status(pipeline).cameras
    assert camera.parts_kept_per_second == pytest.approx(7 * camera.parts_looked_per_second)


class TooFine(InParts):
    """Would have to look at far too many views of large frames."""

    def views(self, width: int, height: int, search: Search = EVERYTHING) -> list[View]:
        if (width, height) != (WIDTH, HEIGHT):
            return super().views(width, height, search)
        return views_of(width, height, Search(8), 60, Canvas(64, 64, False, 0))


def test_frames_that_take_too_many_views_are_not_stored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = [scene(n, A) for n in range(3)]
    _, metrics = play(config(tmp_path), pictures, TooFine(pictures))
    assert stored(tmp_path) == []
    assert metrics.by_reason("frames_dropped", "test") == {Reason.DETECTOR_ERROR: 3}
    assert caplog.text.count("look for larger faces (privacy.smallest_face_pixels") == 2  # and how many more


def test_only_where_something_changes_is_looked_at(tmp_path: Path) -> None:
    """What goes there is no longer covered, and what stays elsewhere still is."""
    pictures = [scene(n, A, *([B] if 3 <= n < 6 else [])) for n in range(8)]
    detector = InParts(pictures)
    chosen = config(tmp_path, privacy={"last_look": "off"}, blur=NO_HOLD)
    _, metrics = play(chosen, pictures, detector)
    assert no_secret(tmp_path) == 8
    assert metrics.count("regions", "test") == 8 + 3
    looked = {number: places for number, places in detector.looks.first.items() if places}
    assert sorted(looked) == [0, 3, 6]
    for number in (3, 6):
        assert contains(looked[number], B)
        assert area(looked[number]) < area([WHOLE]) / 20


def test_everything_is_searched_again_within_the_sweep_seconds(tmp_path: Path) -> None:
    """The face is there from the start; the first looks at it are those of a detector that is blind."""
    pictures = [scene(n, A) for n in range(30)]
    detector = InParts(pictures)
    detector.blind_to = {0}
    chosen = config(tmp_path, privacy={"last_look": "off", "sweep_seconds": 1}, blur=NO_HOLD)
    _, metrics = play(chosen, pictures, detector)
    found = min(number for number, places in detector.looks.first.items() if number and contains(places, A))
    assert found <= 25  # frames in a second
    assert metrics.count("regions", "test") == 30 - found
    assert metrics.count("parts_swept", "test") > 0


def test_sweep_seconds_0_looks_at_all_of_every_frame(tmp_path: Path) -> None:
    pictures = [scene(n, A) for n in range(5)]
    detector = InParts(pictures)
    play(config(tmp_path, privacy={"sweep_seconds": 0}), pictures, detector)
    assert detector.looks.first == detector.looks.last == {n: [WHOLE] for n in range(5)}
    assert no_secret(tmp_path) == 5


# A look that fails


@pytest.mark.parametrize("on_failure", ["drop", "cover"])
@pytest.mark.parametrize("hold", [NO_HOLD, {"hold_before_frames": 2}])
def test_what_could_not_be_looked_at_is_looked_at_in_the_next_frame(
    tmp_path: Path, on_failure: str, hold: dict[str, Any]
) -> None:
    pictures = [scene(n, *([A] if n else [])) for n in range(6)]
    detector = InParts(pictures, fail_at(1, 2))
    chosen = config(tmp_path, privacy={"last_look": "off", "on_failure": on_failure}, blur=hold)
    _, metrics = play(chosen, pictures, detector)
    for number in (1, 2, 3):
        assert contains(detector.looks.first[number], A)
    assert detector.looks.first[4] == []
    assert numbers(tmp_path) == [0, 3, 4, 5]
    no_secret(tmp_path)
    counter = "frames_dropped" if on_failure == "drop" else "frames_covered_whole"
    assert metrics.count(counter, "test", Reason.DETECTOR_TIMEOUT) == 2
    assert whole_numbers(tmp_path).count(True) == (0 if on_failure == "drop" else 2)


@pytest.mark.parametrize("on_failure", ["drop", "cover"])
@pytest.mark.parametrize("last_look", ["always", "off"])
def test_a_frame_that_was_planned_before_an_earlier_look_failed_is_not_stored(
    tmp_path: Path, on_failure: str, last_look: str
) -> None:
    """Frame 3 is looked at only around B, since A was to be looked at in frame 2, which fails after that."""
    begun = threading.Event()

    def at_look(number: int) -> None:
        if number == 2:
            assert begun.wait(PATIENCE_SECONDS)
            raise DetectionError(Reason.DETECTOR_TIMEOUT, "slow")
        if number == 3:
            begun.set()

    faces: list[list[Place]] = [[], [], [A], [A, B], [A, B], [A, B], [A, B]]
    pictures = [scene(n, *found) for n, found in enumerate(faces)]
    detector = InParts(pictures, at_look)
    chosen = config(tmp_path, privacy={"last_look": last_look, "on_failure": on_failure}, blur=NO_HOLD)
    _, metrics = play(chosen, pictures, detector, runs_at_once=2)
    looked = detector.looks.first
    assert contains(looked[3], B)
    assert not contains(looked[3], A)
    assert contains(looked[4], A)
    assert not contains(looked[4], B)  # in frame 3 it was searched well
    assert numbers(tmp_path) == [0, 1, 4, 5, 6]
    no_secret(tmp_path)
    counter = "frames_dropped" if on_failure == "drop" else "frames_covered_whole"
    assert metrics.count(counter, "test", Reason.DETECTOR_TIMEOUT) == 1
    assert metrics.count(counter, "test", Reason.DETECTOR_ERROR) == 1
    assert metrics.count("regions", "test") == 2 * 3
    if last_look == "always":  # nobody else has seen what changed in the frames that were not stored
        assert contains(detector.looks.last[4], A)
        assert contains(detector.looks.last[4], B)


def test_a_plan_that_cannot_be_made_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is looked at in that frame, and everything in the next, also in the last look."""
    break_plan(monkeypatch, at=2 / 25)
    for on_failure in ("drop", "cover"):
        folder = tmp_path / on_failure
        pictures = [scene(n, A) for n in range(5)]
        detector = InParts(pictures)
        chosen = config(folder, privacy={"on_failure": on_failure})
        _, metrics = play(chosen, pictures, detector)
        assert detector.looks.first == {0: [WHOLE], 1: [], 3: [WHOLE], 4: []}
        assert detector.looks.last == {0: [WHOLE], 1: [], 3: [WHOLE], 4: []}
        assert numbers(folder) == [0, 1, 3, 4]
        no_secret(folder)
        counter = "frames_dropped" if on_failure == "drop" else "frames_covered_whole"
        assert metrics.count(counter, "test", Reason.DETECTOR_ERROR) == 1


def test_a_frame_without_a_plan_comes_after_those_that_are_being_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or hold would take them in the wrong order."""
    break_plan(monkeypatch, at=2 / 25)
    pictures = [scene(n, A, spots=[(40 + 40 * n, 600)]) for n in range(6)]
    detector = InParts(pictures)
    chosen = config(tmp_path, privacy={"on_failure": "cover", "last_look": "off"}, blur=NO_HOLD)
    play(chosen, pictures, detector, runs_at_once=2)
    assert whole_numbers(tmp_path) == [False, False, True, False, False, False]
    assert numbers(tmp_path) == [0, 1, 3, 4, 5]


def break_plan(monkeypatch: pytest.MonkeyPatch, at: float) -> None:
    real = Gate.plan

    def plan(gate: Gate, pixels: Pixels, seconds: float) -> Plan:
        if seconds == at:
            raise RuntimeError("bug")
        return real(gate, pixels, seconds)

    monkeypatch.setattr(Gate, "plan", plan)


# What begins anew


@pytest.mark.parametrize("cause", ["known face", "load"])
def test_after_a_stop_everything_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    """What was found before the stop is not relied on, and the last look begins anew, too."""
    eyes = Eyes(monkeypatch)
    pictures = [scene(n, A) for n in range(10)]
    detector = InParts(pictures)

    def each(pipeline: Pipeline, number: int) -> None:
        off = 3 <= number < 6
        eyes.blind = off and cause == "known face"
        force(pipeline, LoadLevel.STOPPED if off and cause == "load" else LoadLevel.FULL)

    metrics = step(config(tmp_path, privacy=ALWAYS, blur=NO_HOLD), pictures, detector, each)
    reason = Reason.KNOWN_FACE if cause == "known face" else Reason.LOAD
    # With the known face goes an image that was made after it had last been found.
    assert metrics.count("frames_dropped", "test", reason) == (4 if cause == "known face" else 3)
    assert detector.looks.first == {0: [WHOLE], 1: [], 2: [], 6: [WHOLE], 7: [], 8: [], 9: []}
    assert detector.looks.last[6] == [WHOLE]
    assert detector.looks.last[9] == []
    no_secret(tmp_path)


# The last look


def test_the_last_look_searches_what_has_changed(tmp_path: Path) -> None:
    pictures = [scene(n, A, spots=[B] if n >= 3 else []) for n in range(6)]
    detector = InParts(pictures)
    play(config(tmp_path, blur=NO_HOLD), pictures, detector)
    assert no_secret(tmp_path) == 6
    assert detector.looks.last[0] == [WHOLE]
    assert {number for number, places in detector.looks.last.items() if places} == {0, 3}
    assert detector.looks.last[3] == detector.looks.first[3]
    assert area(detector.looks.last[3]) < area([WHOLE]) / 20


def test_the_last_look_searches_where_something_else_is_covered(tmp_path: Path) -> None:
    """The face goes in frame 2. Hold covers its place for a while, and more of it in each frame."""
    pictures = [scene(n, *([A] if n < 2 else [])) for n in range(12)]
    detector = InParts(pictures)
    play(config(tmp_path, blur={"hold_before_frames": 0, "hold_after_seconds": 0.2}), pictures, detector)
    assert {number for number, places in detector.looks.first.items() if places} == {0, 2}
    searched = {number for number, places in detector.looks.last.items() if places}
    assert {0, 2, 3, 4, 5} <= searched
    assert not searched & {9, 10, 11}  # nothing is covered any more
    for number in searched - {0}:
        assert contains(detector.looks.last[number], A)
        assert area(detector.looks.last[number]) < area([WHOLE]) / 20


def test_an_image_on_which_more_was_covered_is_searched_again_there(tmp_path: Path) -> None:
    """The first look misses the face in all frames."""
    pictures = [scene(n, *([A] if n else [])) for n in range(5)]
    detector = InParts(pictures)
    detector.blind_to = set(range(5))
    _, metrics = play(config(tmp_path, blur=NO_HOLD), pictures, detector)
    assert no_secret(tmp_path) == 5
    assert metrics.count("images_regrown", "test") == 4
    assert metrics.count("images_escalated", "test") == 0
    for number in range(1, 5):
        assert contains(detector.looks.last[number], A)
        assert detector.looks.last[number][-1] == WHOLE  # where more was covered, all is searched once more
        assert area(detector.looks.last[number][:-1]) < area([WHOLE]) / 20


def test_a_last_look_that_failed_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [scene(n, spots=[B] if n else []) for n in range(4)]
    detector = InParts(pictures)
    real = detector.look

    def look(pixels: Pixels, looked_at: Any) -> Any:
        found = real(pixels, looked_at)
        if 1 in detector.looks.last and 2 not in detector.looks.first:
            raise DetectionError(Reason.DETECTOR_TIMEOUT, "slow")
        return found

    monkeypatch.setattr(detector, "look", look)
    play(config(tmp_path, blur=NO_HOLD), pictures, detector)
    assert numbers(tmp_path) == [0, 2, 3]
    assert detector.looks.first[2] == []
    assert detector.looks.last[2] == detector.looks.last[1] != []
    assert detector.looks.last[3] == []


def test_sampled_searches_what_has_changed_since_the_last_image_that_was_due(tmp_path: Path) -> None:
    """Images 0, 3, 6 and 9 are due; the first look never finds the face that comes with image 4."""
    pictures = [scene(n, *([A] if n >= 4 else []), spots=[B] if n >= 1 else []) for n in range(11)]
    detector = InParts(pictures)
    detector.blind_to = set(range(11))
    chosen = config(tmp_path, privacy={"last_look": "sampled", "last_look_every_images": 3}, blur=NO_HOLD)
    _, metrics = play(chosen, pictures, detector)
    assert sorted(detector.looks.last) == [0, 3, 6, 9]
    assert contains(detector.looks.last[3], B)
    assert not contains(detector.looks.last[3], A)
    for number in (6, 9):  # in image 9, because image 6 did not pass
        assert contains(detector.looks.last[number][:-1], A)
        assert not contains(detector.looks.last[number][:-1], B)
    assert metrics.count("images_regrown", "test") == 2


# Load levels


def test_at_every_load_level_the_same_views_are_looked_at(tmp_path: Path) -> None:
    """The pixels are never fewer: what changes at another level is how often, and what else is covered."""
    looked = {}
    for level in (LoadLevel.FULL, LoadLevel.LOWER_RATE, LoadLevel.MOTION_MASK):
        pictures = [scene(n, (200 + 40 * n, 300), B) for n in range(8)]
        detector = InParts(pictures)

        def each(pipeline: Pipeline, number: int, level: LoadLevel = level) -> None:
            force(pipeline, level)

        chosen = config(tmp_path / level.name, privacy={"last_look": "off"}, blur=NO_HOLD)
        step(chosen, pictures, detector, each)
        looked[level] = detector.looks.first
        no_secret(tmp_path / level.name)
    assert looked[LoadLevel.FULL][0] == [WHOLE]
    assert all(looked[LoadLevel.FULL].values())
    assert looked[LoadLevel.FULL] == looked[LoadLevel.LOWER_RATE] == looked[LoadLevel.MOTION_MASK]


def test_motion_mask_covers_what_moves_beside_what_is_kept(tmp_path: Path) -> None:
    """The detector does not see the face that walks; the one that stands still is found once."""
    walks = [(200 + 40 * n, 300) for n in range(6)]
    pictures = [scene(n, place, B) for n, place in enumerate(walks)]
    detector = InParts(pictures)
    detector.blind_to = set(range(1, 6))
    chosen = config(tmp_path, privacy={"last_look": "off"}, blur=NO_HOLD)
    metrics = step(chosen, pictures, detector, lambda pipeline, _: force(pipeline, LoadLevel.MOTION_MASK))
    assert metrics.count("frames_dropped", "test", Reason.LOAD) == 1
    assert no_secret(tmp_path) == 5


def test_what_was_looked_at_in_a_frame_that_nothing_could_be_compared_with_is_not_forgotten(
    tmp_path: Path,
) -> None:
    """The first frame under the motion mask is dropped; the last look owes what changed in it."""
    pictures = [scene(n, spots=[B] if n >= 2 else []) for n in range(5)]
    detector = InParts(pictures)

    def each(pipeline: Pipeline, number: int) -> None:
        force(pipeline, LoadLevel.MOTION_MASK if number >= 2 else LoadLevel.FULL)

    metrics = step(config(tmp_path, blur=NO_HOLD), pictures, detector, each)
    assert metrics.count("frames_dropped", "test", Reason.LOAD) == 1
    assert detector.looks.first[3] == []
    assert contains(detector.looks.last[3], B)
    assert detector.looks.last[4] == []


# All at once

PLACES = [(x, y) for x in (8, 300, 620, 1248) for y in (40, 330, 688)]
FRAME = st.tuples(st.sets(st.sampled_from(PLACES), max_size=4), st.sampled_from(["well", "well", "fail"]))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.lists(FRAME, min_size=1, max_size=9),
    runs_at_once=st.sampled_from([1, 2]),
    on_failure=st.sampled_from(["drop", "cover"]),
    before=st.integers(0, 2),
    sweep=st.sampled_from([0, 0.1, 2]),
)
def test_a_frame_with_a_part_unsearched_is_never_stored(
    tmp_path_factory: pytest.TempPathFactory,
    frames: list[tuple[set[Place], str]],
    runs_at_once: int,
    on_failure: str,
    before: int,
    sweep: float,
) -> None:
    """Faces come and go, and looks fail; without the last look or much hold to make up for it."""
    folder = tmp_path_factory.mktemp("store")
    pictures = [scene(n, *sorted(places)) for n, (places, _) in enumerate(frames)]
    detector = InParts(pictures, fail_at(*(n for n, (_, what) in enumerate(frames) if what == "fail")))
    chosen = config(
        folder,
        privacy={"last_look": "off", "on_failure": on_failure, "sweep_seconds": sweep},
        blur={"hold_before_frames": before, "hold_after_seconds": 0},
    )
    play(chosen, pictures, detector, runs_at_once)
    count = no_secret(folder)
    if on_failure == "cover":
        assert count == len(frames)
    failed = {n for n, (_, what) in enumerate(frames) if what == "fail"}
    assert not failed & set(numbers(folder))
