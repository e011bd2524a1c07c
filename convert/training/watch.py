"""Figures of a network in training on the pictures that it is watched with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convert.sample import read_rgb
from convert.training import figures
from convert.training.datasets import Picture
from convert.training.detect import NetworkDetector
from convert.training.figure_forms import FALSE_RATES
from edge.detection.detector import Detections


@dataclass(frozen=True)
class Watched:
    """``ap50`` and ``ap75``: average precision at overlaps of 0.5 and 0.75. ``recall``: of all objects of 12
    px and more, of masked and of unmasked ones, by false boxes a picture. None: there are no such objects."""

    ap50: float | None
    ap75: float | None
    recall: dict[str, dict[float, float | None]]

    def row(self) -> dict[str, float]:
        """The figures that there are, by name, as the log has them."""
        named = {"ap50": self.ap50, "ap75": self.ap75}
        for kind, by_rate in self.recall.items():
            named |= {f"recall {kind} at {rate:g}": value for rate, value in by_rate.items()}
        return {name: value for name, value in named.items() if value is not None}


def detect_all(detector: NetworkDetector, pictures: Sequence[Picture]) -> list[Detections]:
    """What the detector finds in each picture. Raises PictureError."""
    return [detector.detect(read_rgb(picture.path)) for picture in pictures]


def judge(pictures: Sequence[Picture], found: Sequence[Detections]) -> Watched:
    """Figures of what was found."""
    truth = [picture.objects for picture in pictures]
    strict = [
        figures.average_precision(figures.tally(truth, found, lambda one: not one.ignore, iou))
        for iou in (0.5, 0.75)
    ]
    counted = figures.tally(truth, found, figures.counts)
    rates = [figures.at_rate(counted, rate) for rate in FALSE_RATES]
    kinds = {"all": (True, False), "masked": (True,), "unmasked": (False,)}
    recall = {
        kind: {rate.false_per_picture: _recall(counted, masked, rate.above or 0.0) for rate in rates}
        for kind, masked in kinds.items()
    }
    return Watched(strict[0], strict[1], recall)


def _recall(counted: figures.Tally, kinds: Sequence[bool], above: float) -> float | None:
    """Of the objects that are masked, or not, as ``kinds`` has it."""
    scores = [
        s for s, masked in zip(counted.found.tolist(), counted.masked, strict=True) if bool(masked) in kinds
    ]
    return round(sum(score > above for score in scores) / len(scores), 4) if scores else None
