"""Temporal leak rate: the share of face-frames left uncovered with hold off, after only, and both.

``python -m benchmarks leak-rate``

A face-frame is one face in one frame of a clip. Every frame is treated as by the daemon: visibility check,
the shipped detector, then hold. Detections are fed to three holds: *off*, *after* (a region lives on for its
second) and *both* (frames also wait for those after them). *Both, last look* is *both*, then
``edge.last_look`` on the anonymized frame. All settings but hold's are the defaults.

There are two kinds of clips. *Scenes* (``benchmarks.leak.scenes``) have the size of a camera's picture,
1920x1080; their labels say where the faces are, and each frame is searched as the daemon searches all of one.
*Real clips* are 480 to 768 pixels wide, with a reference (``benchmarks.leak.reference``: two detectors at
high resolution, linked over time; a stand-in for ground truth, kept in ``results/leak_reference.json``). The
detector takes one look at each of their frames, on a canvas of 640x384.

A face-frame is uncovered when less than 60 % of its reference box lies in the union of the regions. A
frame that the daemon drops is not stored and leaks nothing; its faces do not count. The headline is
over faces of 20 pixels or more (shorter side of the box); smaller ones have a table of their own,
since the reference itself is a guess there.

With real clips there is a second canvas, 320x192, on which the detector has a quarter of the pixels and
really misses faces: what hold then makes up for. The target is about scenes and the first canvas.

``--sheet`` writes a crop of every uncovered face-frame, from the raw frames, for a person to judge. What a
person judged to be no face is listed with its reason in ``judged.py``; all figures are given with and
without it, and the target holds for those without.

Exit code: 0 the shares with both are at most the target, 1 one is above, 2 nothing could be measured.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common, contact_sheet
from benchmarks.last_look_rate import clip_frames, painted_share
from benchmarks.leak.faces import COLUMNS, COVERED_SHARE, LAST_LOOK, MIN_SIDE, FaceFrame, report, summaries
from benchmarks.leak.judged import NO_FACE, Judged
from benchmarks.leak.reference import SCORES, ClipReference, build, load, sha256_of
from benchmarks.leak.scenes import SIZE, write_scenes
from convert.one_look import ONE_LOOK
from convert.training.datasets import DataSet, open_dataset
from edge import blur, last_look
from edge.boxes import Ints
from edge.config import BlurConfig, DetectorConfig, PrivacyConfig
from edge.detection.detector import Detector, open_detector
from edge.detection.session import read_detector
from edge.detection.views import Search
from edge.detection.visibility import problem
from edge.errors import BlurError, DetectionError
from edge.frames import Pixels, RawFrame
from edge.hold import Held, Hold

TARGET_SHARE = 0.001
"""Largest share of uncovered face-frames with both parts of hold, on scenes and on real clips."""
CANVAS, STRAINED = "640x384", "320x192"
"""A canvas nearly as large as the clips, and one on which the detector misses faces."""
SCENES = "faces"
"""Labelled set of which scenes are made."""
REFERENCE = common.ROOT / "benchmarks" / "results" / "leak_reference.json"


@dataclass(eq=False)
class ClipResult:
    """Result of one clip. ``dropped`` frames failed a check before hold, ``without_last_look`` ones
    failed in the last look; neither are stored. The last look covered more in ``regrown`` frames, and all of
    ``covered_whole`` frames."""

    frames: int = 0
    dropped: int = 0
    without_last_look: int = 0
    regrown: int = 0
    covered_whole: int = 0
    faces: list[FaceFrame] = field(default_factory=list)

    def add(self, other: ClipResult) -> None:
        """Count another clip in."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def holds_of(config: BlurConfig, score_begin: float) -> dict[str, Hold]:
    """The three settings: hold off, after only, and both as the configuration says."""
    before, after = config.hold_before_frames, config.hold_after_seconds
    return {
        "off": Hold(0, 0.0, score_begin),
        "after": Hold(0, after, score_begin),
        "both": Hold(before, after, score_begin),
    }


def held_frames(
    frames: Iterable[RawFrame],
    detector: Detector,
    config: BlurConfig,
    privacy: PrivacyConfig,
    search: Search,
) -> Iterator[tuple[str, Held | None]]:
    """Detect on each frame once, and give the detections to the three holds.

    Yields setting and frame, for each frame that is due; ``("", None)`` for one that is dropped, because it
    shows too little or the detector failed.
    """
    holds = holds_of(config, detector.score_begin)
    for frame in frames:
        try:
            if privacy.check_visibility and problem(frame.pixels) is not None:
                yield "", None
                continue
            found = detector.detect(frame.pixels, search)
        except DetectionError:
            yield "", None
            continue
        for setting, hold in holds.items():
            for held in hold.push(frame, found):
                yield setting, held
    for setting, hold in holds.items():
        for held in hold.flush():
            yield setting, held


def measure(
    frames: Iterable[RawFrame],
    reference: ClipReference,
    detector: Detector,
    config: BlurConfig,
    privacy: PrivacyConfig,
    judged: Iterable[Judged] = (),
    search: Search = ONE_LOOK,
) -> ClipResult:
    """One clip through the three settings, and the last look after *both*.

    ``judged`` lists what is no face: track, first and last frame, reason. ``search`` is what is looked for in
    each frame.
    """
    result = ClipResult()
    faces: dict[int, list[FaceFrame]] = {}
    for setting, held in held_frames(frames, detector, config, privacy, search):
        if held is None:
            result.frames += 1
            result.dropped += 1
            continue
        frame = held.frame
        if frame.number not in faces:
            result.frames += 1
            faces[frame.number] = faces_of(reference, frame.number, list(judged))
        regions = blur.regions_of(held.boxes, frame.width, frame.height, config)
        note(faces[frame.number], setting, regions, frame)
        if setting == "both":
            covered = regions_after_last_look(held, detector, config, search, result)
            note(faces[frame.number], LAST_LOOK, covered, frame)
    result.faces = [face for number in sorted(faces) for face in faces[number]]
    return result


def faces_of(reference: ClipReference, number: int, judged: list[Judged]) -> list[FaceFrame]:
    """Faces of the reference in a frame."""
    found = []
    for track, box, seen_by in reference.at(number):
        reasons = [why for name, first, last, why in judged if name == track.name and first <= number <= last]
        found.append(FaceFrame(track.name, number, box, seen_by, "; ".join(reasons)))
    return found


def note(faces: list[FaceFrame], column: str, regions: Ints, frame: RawFrame) -> None:
    """Record how much of each face these regions cover."""
    for face in faces:
        box = np.array(face.box, np.float32)
        share = painted_share(box, regions.astype(np.float32), frame.width, frame.height)
        face.covered[column] = share


def regions_after_last_look(
    held: Held, detector: Detector, config: BlurConfig, search: Search, result: ClipResult
) -> Ints:
    """Regions of the frame after ``edge.last_look``; one of the frame's size when all of it is covered, or
    when that detection fails, because then the frame is not stored."""
    cover = last_look.Cover(held.frame, held.boxes, config)
    whole = np.array([[0, 0, held.frame.width, held.frame.height]], np.int64)
    try:
        last = last_look.take_last_look(cover, cover.image(), detector, search)
    except (DetectionError, BlurError):
        result.without_last_look += 1
        return whole
    result.regrown += last.regrown
    result.covered_whole += last.escalated
    return whole if last.frame.whole else last.frame.areas


def crops(clip: Path, chosen: list[FaceFrame]) -> list[Pixels]:
    """A tile of each face-frame, from the raw frames."""
    tiles = []
    wanted = {face.frame for face in chosen}
    for frame in clip_frames(clip):
        if frame.number not in wanted:
            continue
        for face in (face for face in chosen if face.frame == frame.number):
            shares = " ".join(f"{face.covered[column]:.0%}" for column in COLUMNS)
            lines = (f"{clip.stem[:9]} {face.track} f{face.frame} {face.seen_by}", shares)
            tiles.append(contact_sheet.tile(frame.pixels, [float(edge) for edge in face.box], lines))
    return tiles


def clips_of(data: Path | None) -> list[Path]:
    """The clips of the test data. Raises SystemExit (2) where there are none."""
    folder = common.data_folder(data)
    clips = sorted((folder / "clips").glob("*.mp4")) if folder is not None else []
    if not clips:
        raise common.give_up("the clips are in the test data, which is absent: use --data")
    return clips


def reference_of(clips: list[Path], file: Path) -> tuple[dict[str, Any], dict[str, ClipReference]]:
    """The reference. Raises SystemExit (2) when it is absent, or was made of other files."""
    if not file.is_file():
        raise common.give_up(f"{file} is absent: use --rebuild-reference")
    rules, reference = load(file)
    for clip in clips:
        if clip.stem not in reference or reference[clip.stem].sha256 != sha256_of(clip):
            raise common.give_up(f"{file} was not made of this {clip.name}: use --rebuild-reference")
    return rules, reference


def check_judged(judged: dict[str, list[Judged]], reference: dict[str, ClipReference]) -> None:
    """Check that every judgement is about frames of a track. Raises SystemExit (2) for one that is not."""
    for clip, entries in judged.items():
        spans = {
            track.name: (track.first, track.first + len(track.boxes) - 1) for track in reference[clip].tracks
        }
        for name, first, last, why in entries:
            begin, end = spans.get(name, (0, -1))
            if not (begin <= first <= last <= end and why):
                raise common.give_up(f"{clip}: there is no track {name} in frames {first} to {last}")


def run(clips: list[Path], reference: dict[str, ClipReference], canvas: str) -> dict[str, ClipResult]:
    """Every clip on one canvas, with the daemon's defaults otherwise."""
    # A long timeout, so that a busy machine does not decide which frames count.
    config = DetectorConfig(provider="cpu", canvas=canvas, timeout_seconds=120, **SCORES)
    detector = open_detector(read_detector(None), config)
    results = {}
    for clip in clips:
        name, frames = clip.stem, clip_frames(clip)
        judged = NO_FACE.get(name, ())
        results[name] = measure(frames, reference[name], detector, BlurConfig(), PrivacyConfig(), judged)
        print(f"{canvas}: {name}", file=sys.stderr, flush=True)
    return results


def run_scenes(dataset: DataSet, size: tuple[int, int] = SIZE) -> dict[str, ClipResult]:
    """Scenes of ``size`` of each kind together, with the daemon's defaults. Raises DatasetError."""
    privacy = PrivacyConfig()
    search = Search.of(privacy, continuous=True)
    detector = open_detector(read_detector(None), DetectorConfig(provider="cpu", timeout_seconds=120))
    results = {}
    with tempfile.TemporaryDirectory(prefix="leak-scenes-") as folder:
        for kind, clips in write_scenes(dataset, Path(folder), size).items():
            total = ClipResult()
            for clip, reference in clips.items():
                one = measure(clip_frames(clip), reference, detector, BlurConfig(), privacy, search=search)
                total.add(one)
                print(f"scenes, {kind}: {clip.stem}", file=sys.stderr, flush=True)
            results[kind] = total
    return results


def uncovered(result: ClipResult) -> list[FaceFrame]:
    """Face-frames that are uncovered with any setting."""
    return [face for face in result.faces if any(face.uncovered(column) for column in COLUMNS)]


def listed(face: FaceFrame) -> dict[str, Any]:
    """A face-frame for the result."""
    return asdict(face) | {"covered": {column: round(share, 4) for column, share in face.covered.items()}}


def figures_of(results: dict[str, ClipResult]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Figures of each clip, and of all together."""
    clips = {}
    for name, one in results.items():
        counts = {key: value for key, value in vars(one).items() if key != "faces"}
        clips[name] = counts | summaries(one.faces)
    return clips, summaries([face for one in results.values() for face in one.faces])


def main(
    *,
    data: Path | None,
    file: Path | None,
    sheet: Path | None,
    raw: Path | None,
    rebuild_reference: bool,
    strained: bool,
    real: bool,
    scenes: bool,
    venv: Path,
) -> None:
    """Measure, print and keep the result. Exits with 1 when the target is missed.

    ``scenes`` and ``real`` say which kinds of clips are measured; ``strained``: real ones also on the second
    canvas, which the target is not about.
    """
    if not (scenes or real):
        raise common.give_up("--no-scenes and --no-real leave nothing to measure: leave one of them out")
    result = common.begin("leak_rate")
    limits = {"target_share": TARGET_SHARE, "covered_share": COVERED_SHARE, "min_side_pixels": MIN_SIDE}
    result["limits"] = limits
    met = []
    if scenes:
        dataset = open_dataset(SCENES, data=common.data_folder(data), held_out_as_eval=True)
        met.append(_measure_scenes(dataset, result))
    if real:
        canvases = (CANVAS, STRAINED) if strained else (CANVAS,)
        met.append(
            _measure_real(clips_of(data), canvases, venv if rebuild_reference else None, result, sheet, raw)
        )
    print(common.machine_line(result))
    result["met"] = all(met)
    common.finish(result, file)
    raise SystemExit(0 if result["met"] else 1)


def _measure_scenes(dataset: DataSet, result: dict[str, Any]) -> bool:
    """Add scenes to the result; whether their target is met."""
    figures, total = figures_of(run_scenes(dataset))
    result["scenes"] = {
        "dataset": dataset.name,
        "split": "eval",
        "size": SIZE,
        "all": total,
        "kinds": figures,
    }
    print(f"Scenes, {SIZE[0]}x{SIZE[1]}\n\n{report(figures, total)}")
    return _within("scenes", total["judged"])


def _measure_real(
    clips: list[Path],
    canvases: Sequence[str],
    venv: Path | None,
    result: dict[str, Any],
    sheet: Path | None,
    raw: Path | None,
) -> bool:
    """Add real clips to the result; whether their target is met. ``venv``: first make their reference again,
    with detectors of that environment."""
    if venv is not None:
        build(clips, venv, REFERENCE)
    rules, reference = reference_of(clips, REFERENCE)
    check_judged(NO_FACE, reference)
    result |= {"reference": rules, "canvases": {}}
    results = {canvas: run(clips, reference, canvas) for canvas in canvases}
    for canvas, measured in results.items():
        figures, total = figures_of(measured)
        if total["judged"]["face_frames"] == 0:
            raise common.give_up("the reference holds no faces of these clips: nothing was measured")
        result["canvases"][canvas] = {"all": total, "clips": figures}
        print(f"Canvas {canvas}\n\n{report(figures, total)}")
    if sheet is not None:
        tiles = [tile for clip in clips for tile in crops(clip, uncovered(results[CANVAS][clip.stem]))]
        pages = contact_sheet.write(sheet, tiles)
        print("crops of uncovered face-frames:", ", ".join(map(str, pages)) or "none needed")
    if raw is not None:
        left = {name: list(map(listed, uncovered(one))) for name, one in results[CANVAS].items()}
        common.write_json(raw, left)
    return _within("real clips", result["canvases"][CANVAS]["all"]["judged"])


def _within(what: str, figures: dict[str, Any]) -> bool:
    met = bool(figures["uncovered"]["both"] <= TARGET_SHARE * figures["face_frames"])
    print(f"{what}: target {TARGET_SHARE:.1%} with both: {'met' if met else 'MISSED'}")
    return met
