"""The leak benchmark: linking, interpolation, covered shares, and the settings of hold."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from benchmarks.last_look_rate import clip_frames
from benchmarks.leak import reference as references
from benchmarks.leak import run as leak_rate
from benchmarks.leak import tracks as linking
from benchmarks.leak.faces import COLUMNS, LAST_LOOK, FaceFrame, summaries
from benchmarks.leak.judged import NO_FACE, Judged
from benchmarks.leak.reference import ClipReference
from benchmarks.leak.run import measure
from benchmarks.leak.tracks import Hit, Track, link, merge
from convert.one_look import ONE_LOOK
from edge.boxes import NO_BOXES, Floats, fit
from edge.config import BlurConfig, DetectorConfig, PrivacyConfig
from edge.detection.detector import Detections, Detector, open_detector
from edge.detection.session import read_detector
from edge.detection.views import Search, View
from edge.errors import DetectionError
from edge.frames import Pixels, RawFrame
from edge.reasons import Reason
from tests.raw_frames import raw_frame

RATE = 10.0
FACE = [100, 100, 140, 140]
NOBODY = np.zeros((0, 5), np.float32)


def hit(x: float, *, sure: bool = True, by: str = "b") -> Hit:
    return Hit(np.array([x, 100, x + 40, 140], np.float32), sure, by)


def rows(*values: tuple[float, ...]) -> Floats:
    return np.array(values, np.float32).reshape(-1, 5)


# Hits of one frame


def test_a_face_that_both_detectors_see_is_one_hit_with_the_mean_of_their_boxes() -> None:
    hits = merge(rows((10, 10, 50, 50, 0.6)), rows((14, 8, 52, 50, 0.5)), (0.8, 0.35), 200, 100)
    assert [(h.box.tolist(), h.sure, h.seen_by) for h in hits] == [([12, 9, 51, 50], True, "b")]


def test_a_part_of_a_face_and_the_whole_of_it_are_one_hit() -> None:
    twice = rows((22, 22, 42, 42, 0.6), (20, 20, 40, 40, 0.7))
    hits = merge(twice, rows((10, 10, 50, 60, 0.3)), (0.8, 0.35), 200, 100)
    assert [(h.box.tolist(), h.sure, h.seen_by) for h in hits] == [([15, 15, 45, 50], False, "b")]


def test_a_face_that_one_detector_sees_keeps_its_letter_and_its_doubt() -> None:
    hits = merge(
        rows((10, 10, 50, 50, 0.6)),
        rows((100, 10, 140, 50, 0.35), (150, 10, 190, 50, 0.3)),
        (0.8, 0.35),
        200,
        100,
    )
    assert [(h.seen_by, h.sure) for h in hits] == [("m", False), ("c", True), ("c", False)]


def test_hits_are_cut_to_the_frame_and_those_outside_are_no_hits() -> None:
    hits = merge(rows((-10, -5, 30, 30, 1), (250, 10, 290, 50, 1)), NOBODY, (0.8, 0.35), 200, 100)
    assert [h.box.tolist() for h in hits] == [[0, 0, 30, 30]]


# Tracks


def test_a_moving_face_is_one_track() -> None:
    (track,) = link([[hit(10 * number)] for number in range(6)], RATE)
    assert (track.first, track.seen_by, track.name) == (0, "bbbbbb", "0-0-100")
    assert track.boxes[:, 0].tolist() == [0, 10, 20, 30, 40, 50]


def test_a_face_that_passes_by_faster_than_its_boxes_overlap_is_one_track() -> None:
    """Each step is nearly a width; with a gap of two frames it is only where its velocity says."""
    places = [0, 38, 76, None, None, 190, 228]
    (track,) = link([[] if x is None else [hit(x)] for x in places], RATE)
    assert track.seen_by == "bbb..bb"
    assert track.boxes[:, 0].tolist() == [0, 38, 76, 114, 152, 190, 228]


@pytest.mark.parametrize(("x", "side", "tracks"), [(39, 40, 1), (41, 40, 2), (0, 80, 1), (0, 82, 2)])
def test_a_hit_too_far_away_or_of_another_size_begins_a_track_of_its_own(
    x: int, side: int, tracks: int
) -> None:
    middle = np.array([x + 20, 120], np.float32)
    other = Hit(np.concatenate([middle - side / 2, middle + side / 2]), True, "b")
    assert len(link([*[[hit(0)]] * 3, *[[other]] * 3], RATE)) == tracks


def test_a_short_gap_is_filled_on_a_straight_line() -> None:
    frames = [[hit(0)], [hit(0)], [], [], [], [hit(20)]]
    (track,) = link(frames, RATE)
    assert track.seen_by == "bb...b"
    assert track.boxes[:, 0].tolist() == [0, 0, 5, 10, 15, 20]
    assert track.boxes[:, 1:].tolist() == [[100, x + 40, 140] for x in (0, 0, 5, 10, 15, 20)]


@pytest.mark.parametrize(("missing", "tracks"), [(5, 1), (6, 2)])
def test_a_gap_of_half_a_second_is_bridged_and_a_longer_one_ends_the_track(missing: int, tracks: int) -> None:
    seen = [[hit(0)]] * 3
    assert len(link([*seen, *([[]] * missing), *seen], RATE)) == tracks


@pytest.mark.parametrize(("sure", "tracks"), [(2, 0), (3, 1)])
def test_a_track_needs_three_sure_hits_and_weak_ones_only_lengthen_it(sure: int, tracks: int) -> None:
    weak = [[hit(0, sure=False)]] * 4
    found = link([*weak, *([[hit(0)]] * sure), *weak], RATE)
    assert [len(track.boxes) for track in found] == [8 + sure] * tracks


def test_two_faces_side_by_side_keep_their_tracks_and_the_best_overlap_wins() -> None:
    """The first hit of the list overlaps both tracks, but belongs to the second."""
    start = [hit(0), hit(25)]
    found = link([start, [hit(24), hit(2)], [hit(25), hit(0)]], RATE)
    assert [track.boxes[:, 0].tolist() for track in found] == [[0, 2, 0], [25, 24, 25]]


def test_a_reference_is_read_as_it_was_written(tmp_path: Path) -> None:
    track = Track(3, np.array([FACE, FACE], np.int64), "m.")
    clips = {
        "one": ClipReference("ab", 9, 320, 240, [track, track]),
        "none": ClipReference("cd", 5, 320, 240, []),
    }
    file = tmp_path / "reference.json"
    file.write_text(references.dump({"max_step": 1.0}, clips))
    rules, read = references.load(file)
    assert rules == {"max_step": 1.0}
    assert list(read) == ["one", "none"]
    assert [(t.first, t.boxes.tolist(), t.seen_by) for t in read["one"].tracks] == [(3, [FACE] * 2, "m.")] * 2
    assert (read["none"].frames, read["none"].sha256, read["none"].tracks) == (5, "cd", [])
    assert [len(read["one"].at(number)) for number in range(2, 6)] == [0, 2, 2, 0]
    assert read["one"].at(4)[0][1:] == (FACE, ".")


def test_a_reference_whose_letters_and_boxes_differ_is_refused(tmp_path: Path) -> None:
    clip = ClipReference("ab", 9, 320, 240, [Track(3, np.array([FACE], np.int64), "mm")])
    file = tmp_path / "reference.json"
    file.write_text(references.dump({}, {"one": clip}))
    with pytest.raises(ValueError, match="differ in number"):
        references.load(file)


# Covered shares


@pytest.mark.parametrize(
    ("regions", "share"),
    [
        ([], 0.0),
        ([[100, 100, 140, 124]], 0.6),
        ([[100, 100, 140, 120], [100, 110, 140, 130]], 0.75),  # they overlap: a union, not a sum
        ([[0, 0, 120, 240], [120, 100, 140, 110]], 0.625),
        ([[140, 100, 180, 140]], 0.0),
        ([[0, 0, 320, 240]], 1.0),
    ],
)
def test_the_covered_share_is_that_of_the_union_of_the_regions(
    regions: list[list[int]], share: float, raw: object
) -> None:
    frame = RawFrame(np.zeros((240, 320, 3), np.uint8), "test", 0, 0.0, 0.0, 0)
    face = FaceFrame("t", 0, FACE, "b")
    leak_rate.note([face], "both", np.array(regions, np.int64).reshape(-1, 4), frame)
    assert face.covered == {"both": share}
    assert face.uncovered("both") == (share < 0.6)


def test_a_face_counts_in_the_headline_from_twenty_pixels_of_its_shorter_side() -> None:
    def made(side: int, no_face: str = "", covered: float = 0.0) -> FaceFrame:
        box = [0, 0, side, 50]
        return FaceFrame("t", 0, box, ".", no_face, dict.fromkeys(COLUMNS, covered))

    found = summaries([made(20), made(20, covered=0.6), made(20, "a hand"), made(19)])
    assert {key: value["face_frames"] for key, value in found.items()} == {
        "judged": 2,
        "as_detected": 3,
        "small_judged": 1,
        "small_as_detected": 1,
    }
    assert found["judged"]["uncovered"] == dict.fromkeys(COLUMNS, 1)
    assert found["judged"]["share"]["both"] == 0.5
    assert found["as_detected"]["share"]["both"] == round(2 / 3, 6)


# The settings, on a detector that knows its answers


class Scripted:
    """Sees the white square at FACE, but for frames whose first pixel says to miss it or to fail."""

    score_begin = score_last_look = 0.35
    MISS, FAIL = 7, 9

    def views(self, width: int, height: int, search: Search) -> list[View]:
        assert search == ONE_LOOK
        return [View(0, 0, width, height, fit(width, height, width, height))]

    def look(self, pixels: Pixels, looked_at: Sequence[View]) -> list[Detections]:
        return [self.see(pixels) for _ in looked_at]

    def combine(self, found: Sequence[Detections], width: int, height: int) -> Detections:
        (only,) = found
        return only

    def detect(self, pixels: Pixels, search: Search) -> Detections:
        assert search == ONE_LOOK
        return self.see(pixels)

    def see(self, pixels: Pixels) -> Detections:
        if pixels[0, 0, 0] == self.FAIL:
            raise DetectionError(Reason.DETECTOR_ERROR, "as the script says")
        x1, y1, x2, y2 = FACE
        visible = (pixels[y1:y2, x1:x2] == 255).all() and pixels[0, 0, 0] != self.MISS
        if not visible:
            return Detections(NO_BOXES, np.zeros(0, np.float32))
        return Detections(np.array([FACE], np.float32), np.array([0.9], np.float32))


def scripted_frames(script: str) -> Iterator[RawFrame]:
    """One letter per frame: ``+`` the face is seen, ``-`` missed, ``!`` the detector fails."""
    for number, letter in enumerate(script):
        pixels = np.full((240, 320, 3), 60, np.uint8)
        x1, y1, x2, y2 = FACE
        pixels[y1:y2, x1:x2] = 255
        pixels[0, 0, 0] = {"-": Scripted.MISS, "!": Scripted.FAIL}.get(letter, 0)
        yield RawFrame(pixels, "test", number, number / RATE, 0.0, 0)


def reference_of(count: int) -> ClipReference:
    track = Track(0, np.array([FACE] * count, np.int64), "b" * count)
    return ClipReference("", count, 320, 240, [track])


def run(script: str, judged: tuple[Judged, ...] = (), detector: object = None) -> leak_rate.ClipResult:
    detector = cast(Detector, detector or Scripted())
    privacy = PrivacyConfig(check_visibility=False)  # the made frames show next to nothing
    return measure(
        scripted_frames(script), reference_of(len(script)), detector, BlurConfig(), privacy, judged
    )


def left(result: leak_rate.ClipResult, column: str) -> list[int]:
    return [face.frame for face in result.faces if face.uncovered(column)]


def test_off_leaks_each_missed_frame_after_only_those_at_the_start_and_both_none() -> None:
    result = run("---" + "+" * 7 + "---" + "+" * 7)
    assert (result.frames, len(result.faces)) == (20, 20)
    assert left(result, "off") == [0, 1, 2, 10, 11, 12]
    assert left(result, "after") == [0, 1, 2]
    assert left(result, "both") == []
    assert left(result, LAST_LOOK) == []


def test_hold_covers_what_its_seconds_and_frames_reach_and_no_more() -> None:
    """Ten frames before a face is seen, and one second, ten frames, after it was."""
    result = run("-" * 12 + "+" * 3 + "-" * 12)
    assert left(result, "off") == [*range(12), *range(15, 27)]
    assert left(result, "after") == [*range(12), 25, 26]
    assert left(result, "both") == [0, 1, 25, 26]


def test_the_last_look_covers_what_only_it_sees() -> None:
    class Late(Scripted):
        """Misses the face the first time that it looks at a frame."""

        def __init__(self) -> None:
            self.calls = itertools.count()

        def see(self, pixels: Pixels) -> Detections:
            found = super().see(pixels)
            return found if next(self.calls) % 2 else Detections(NO_BOXES, np.zeros(0, np.float32))

    pixels = [raw_frame(frame.pixels, 0, frame.media_seconds) for frame in scripted_frames("+")]
    privacy = PrivacyConfig(check_visibility=False)
    config = BlurConfig(hold_before_frames=0)
    result = measure(pixels, reference_of(1), cast(Detector, Late()), config, privacy)
    assert left(result, "both") == [0]
    assert left(result, LAST_LOOK) == []
    assert (result.regrown, result.covered_whole) == (1, 0)
    assert result.faces[0].covered[LAST_LOOK] == 1.0


def test_a_frame_that_the_daemon_drops_leaks_nothing_and_does_not_count() -> None:
    result = run("+++!+++")
    assert (result.frames, result.dropped) == (7, 1)
    assert [face.frame for face in result.faces] == [0, 1, 2, 4, 5, 6]
    assert left(result, "off") == []


def test_a_frame_whose_last_look_fails_is_not_stored() -> None:
    class Failing(Scripted):
        def see(self, pixels: Pixels) -> Detections:
            if pixels[120, 120, 0] != 255:  # covered
                raise DetectionError(Reason.DETECTOR_TIMEOUT, "as the script says")
            return super().see(pixels)

    result = run("+-", detector=Failing())
    assert (result.without_last_look, result.regrown) == (2, 0)
    assert [face.covered[LAST_LOOK] for face in result.faces] == [1.0, 1.0]


def test_a_frame_without_anything_to_see_is_dropped_as_the_daemon_does() -> None:
    grey = RawFrame(np.full((240, 320, 3), 60, np.uint8), "test", 0, 0.0, 0.0, 0)
    detector = cast(Detector, Scripted())
    result = measure([grey], reference_of(1), detector, BlurConfig(), PrivacyConfig())
    assert (result.frames, result.dropped, result.faces) == (1, 1, [])


def test_what_a_person_judged_is_marked_in_its_frames_only() -> None:
    result = run("+++++", (("0-100-100", 1, 2, "a hand"), ("0-7-7", 0, 4, "another track")))
    assert [face.no_face for face in result.faces] == ["", "a hand", "a hand", "", ""]


# The reference that is kept


def test_every_judged_track_is_in_the_reference_and_has_a_reason() -> None:
    _, clips = references.load(leak_rate.REFERENCE)
    assert len(clips) == 5
    leak_rate.check_judged(NO_FACE, clips)
    with pytest.raises(SystemExit):
        leak_rate.check_judged({"classroom": [("0-0-0", 0, 1, "a hand")]}, clips)


def test_the_reference_was_made_by_the_rules_that_the_code_states() -> None:
    rules, clips = references.load(leak_rate.REFERENCE)
    assert rules["same_overlap"] == linking.SAME_OVERLAP
    assert (rules["max_step"], rules["max_ratio"]) == (linking.MAX_STEP, linking.MAX_RATIO)
    assert rules["max_gap_seconds"] == linking.MAX_GAP_SECONDS
    assert rules["min_sure_hits"] == linking.MIN_SURE_HITS
    assert rules["mtcnn"]["upscale"] == references.UPSCALE
    assert rules["centerface"]["canvas"] == references.CANVAS
    assert rules["long_frames"] == references.LONG_FRAMES
    assert rules["moved"]["levels"] == references.MOVED_LEVELS
    tracks = [(clip, track) for clip in clips.values() for track in clip.tracks]
    assert len(tracks) > 5
    for clip, track in tracks:
        assert set(track.seen_by) <= set("mcb.")
        assert track.first + len(track.boxes) <= clip.frames
        assert (track.boxes[:, :2] < track.boxes[:, 2:]).all()
        assert (track.boxes >= 0).all()
        assert (track.boxes <= [clip.width, clip.height] * 2).all()


@pytest.mark.shared
@pytest.mark.slow
def test_the_first_frames_of_a_real_clip_are_measured(shared_data: Path) -> None:
    clips = leak_rate.clips_of(shared_data)
    _, reference = leak_rate.reference_of(clips, leak_rate.REFERENCE)
    clip = next(clip for clip in clips if clip.stem == "face-demographics-walking")
    result = measure(
        itertools.islice(clip_frames(clip), 60),
        reference[clip.stem],
        open_detector(read_detector(None), DetectorConfig(provider="cpu", canvas=leak_rate.CANVAS)),
        BlurConfig(),
        PrivacyConfig(),
    )
    assert (result.frames, result.dropped) == (60, 0)
    assert len(result.faces) >= 100  # two people walk towards the camera
    assert {face.frame for face in result.faces} == set(range(60))
    assert all(list(face.covered) == list(COLUMNS) for face in result.faces)
    # More hold never covers less, and most of two plain faces is found even without.
    assert all(left(result, "off").count(n) >= left(result, "both").count(n) for n in range(60))
    assert len(left(result, "off")) < 30
    figures = summaries(result.faces)
    assert figures["as_detected"]["face_frames"] + figures["small_as_detected"]["face_frames"] == len(
        result.faces
    )
