"""Several detectors as one: what any of them finds is found.

Each keeps its own views, thresholds and non-maximum suppression, so that none can suppress what another has
found. If one of them fails on a frame, nothing is known about that frame.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path

import numpy as np

from edge.boxes import Floats, Ints
from edge.config import BlurConfig, Config, DetectorConfig, FurtherDetectorConfig
from edge.config.detectors import LABEL_PATTERN
from edge.detection.detector import EVERYTHING, Detections, Detector, open_detector
from edge.detection.kinds import FACE, Kind
from edge.detection.session import Session, read_detector
from edge.detection.views import Search, View
from edge.errors import DetectionError, DetectorError, PictureError
from edge.frames import Pixels
from edge.pictures import read_picture
from edge.reasons import Reason


@dataclass(frozen=True, eq=False)
class Member:
    """One of several detectors.

    ``name`` stands for it in messages. ``example`` is a picture, uint8 ``[H, W, 3]`` BGR, on which it must
    find something; None: it is not checked.
    """

    name: str
    detector: Detector
    kind: Kind
    score_last_look: float
    hold_before_frames: int
    hold_after_seconds: float
    example: Pixels | None = None


class Detectors:
    """Several detectors, used like one. ``detect`` may be called from several threads.

    The first is that of ``[detector]``, which finds faces. ``kinds`` says what each finds; ``score_begin``
    and ``score_last_look`` are float32 ``[D]``, one for each.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = tuple(members)
        self.kinds = tuple(member.kind for member in self.members)
        self.score_begin: Floats = np.array([m.detector.score_begin for m in self.members], np.float32)
        self.score_last_look: Floats = np.array([m.score_last_look for m in self.members], np.float32)

    @property
    def session(self) -> Session:
        """The session of the first detector."""
        return self.members[0].detector.session

    def views(self, width: int, height: int, search: Search = EVERYTHING) -> list[View]:
        """The views of all detectors on a frame of this size (pixels); each names its detector."""
        return [
            replace(view, detector=number)
            for number, member in enumerate(self.members)
            for view in member.detector.views(width, height, search)
        ]

    def part(self, view: View, x1: int, y1: int, x2: int, y2: int) -> View:
        """What to look at to see ``x1 y1 x2 y2`` (pixels of the frame) of a view at its scale."""
        return self.members[view.detector].detector.part(view, x1, y1, x2, y2)

    def look(self, pixels: Pixels, looked_at: Sequence[View]) -> list[Detections]:
        """What is found in each of these views of uint8 ``[H, W, 3]`` BGR, before suppression.

        Raises DetectionError, which names the detector, when any of them fails.
        """
        found = [
            (number, each)
            for own in range(len(self.members))
            for number, each in _look(self.members[own], own, looked_at, pixels)
        ]
        return [each for _, each in sorted(found, key=itemgetter(0))]

    def combine(self, found: Sequence[Detections], width: int, height: int) -> Detections:
        """What ``look`` found in the views of one frame of this size (pixels), each detector's finds once.

        They come one detector after the other, each best first.
        """
        parts = [
            member.detector.combine([each.of(number) for each in found], width, height)
            for number, member in enumerate(self.members)
        ]
        return Detections(
            np.concatenate([each.boxes for each in parts]),
            np.concatenate([each.scores for each in parts]),
            np.repeat(np.arange(len(parts), dtype=np.int64), [len(each.boxes) for each in parts]),
        )

    def detect(self, pixels: Pixels, search: Search = EVERYTHING) -> Detections:
        """What each finds in uint8 ``[H, W, 3]`` BGR, one detector after the other, each best first.

        Raises DetectionError, which names the detector, when any of them fails.
        """
        height, width = pixels.shape[:2]
        return self.combine(self.look(pixels, self.views(width, height, search)), width, height)


AnyDetector = Detector | Detectors
"""One detector, or several that are used like one."""


def kinds_of(detector: AnyDetector, numbers: Ints) -> tuple[Kind, ...]:
    """The kind of each box that the detectors of these ``numbers`` found, int64 ``[N]``.

    Empty for a single detector: then all boxes are faces.
    """
    return tuple(detector.kinds[number] for number in numbers) if isinstance(detector, Detectors) else ()


def further_of(detector: AnyDetector) -> tuple[Member, ...]:
    """All but the first of several detectors; none of a single one."""
    return detector.members[1:] if isinstance(detector, Detectors) else ()


def labels_of(detector: AnyDetector) -> tuple[str, ...]:
    """What is found, each label once, that of the first detector first."""
    kinds = detector.kinds if isinstance(detector, Detectors) else (FACE,)
    return tuple(dict.fromkeys(kind.label for kind in kinds))


def open_further(first: Detector, config: Config, threads: int | None = None) -> AnyDetector:
    """Join ``first``, the detector of ``[detector]``, with those of ``[detectors.NAME]``; without any of
    them, it stays alone.

    ``threads`` takes the place of ``detector.threads`` for detectors that do not set theirs. Raises
    DetectorError, which names the detector.
    """
    base = config.detector if threads is None else config.detector.model_copy(update={"threads": threads})
    blur = config.blur
    return join(
        first, [open_member(name, further, base, blur) for name, further in config.detectors.items()], blur
    )


def join(first: Detector, further: Sequence[Member], blur: BlurConfig) -> AnyDetector:
    """Join the detector of ``[detector]`` with ``further`` ones; without any of them, it stays alone."""
    if not further:
        return first
    own = Member(
        first.session.name,
        first,
        FACE,
        first.score_last_look,
        blur.hold_before_frames,
        blur.hold_after_seconds,
    )
    return Detectors([own, *further])


def open_member(name: str, config: FurtherDetectorConfig, base: DetectorConfig, blur: BlurConfig) -> Member:
    """Open the detector of ``[detectors.NAME]``; ``base`` and ``blur`` give what it does not set.

    Raises DetectorError, which names the detector.
    """
    section = config.completed(base)
    try:
        detector = open_detector(read_detector(section.path, section.name), section)
    except DetectorError as error:
        raise DetectorError(f"detectors.{name}: {_with_own_keys(str(error), name)}") from error
    label = config.label or _own_label(detector) or name
    before, after = config.hold_before_frames, config.hold_after_seconds
    return Member(
        name,
        detector,
        Kind(label, config.region or ("head" if label == FACE.label else "box")),
        max(config.score_last_look or detector.score_last_look, detector.score_begin),
        blur.hold_before_frames if before is None else before,
        blur.hold_after_seconds if after is None else after,
        None if config.example is None else _example(name, config.example),
    )


def _look(
    member: Member, own: int, looked_at: Sequence[View], pixels: Pixels
) -> list[tuple[int, Detections]]:
    """What the detector of number ``own`` finds in its views, with the number of each."""
    numbers = [number for number, view in enumerate(looked_at) if view.detector == own]
    try:
        found = member.detector.look(pixels, [looked_at[number] for number in numbers])
    except DetectionError as error:
        raise DetectionError(error.reason, f"detector {member.name}: {error}") from error
    # Whatever went wrong in one of them, the frame was not checked, and the message must name it.
    except Exception as error:
        text = f"detector {member.name}: {type(error).__name__}: {error}"
        raise DetectionError(Reason.DETECTOR_ERROR, text) from error
    return [
        (number, replace(each, by=np.full(len(each.boxes), own, np.int64)))
        for number, each in zip(numbers, found, strict=True)
    ]


def _own_label(detector: Detector) -> str:
    """The label that the file states, if it is one word."""
    label = detector.session.contract.labels.lower()
    return label if re.fullmatch(LABEL_PATTERN, label) else ""


def _with_own_keys(text: str, name: str) -> str:
    """A message about ``[detector]`` with the keys of ``[detectors.NAME]``."""
    keys = "|".join(DetectorConfig.model_fields)
    return re.sub(rf"(?<![\w./-])detector\.({keys})\b", rf"detectors.{name}.\1", text)


def _example(name: str, path: Path) -> Pixels:
    """Read the example once: a disk that fails later has nothing to do with the detector."""
    try:
        pixels = read_picture(path, convert=True).pixels
    except PictureError as error:
        raise DetectorError(
            f"detectors.{name}.example: {path}: {error}; give a picture that shows what the detector finds"
        ) from error
    pixels.setflags(write=False)
    return pixels
