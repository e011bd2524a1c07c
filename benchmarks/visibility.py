"""Whether frames that are too dark, blurred or obstructed are flagged: ``python -m benchmarks visibility``.

The ``train`` pictures of the test data (where they are absent, the portraits that the package ships) are
made worse step by step. Per step: the recall of the faces that the detector found on the clean picture
(640x384, score 0.35, IoU 0.4), the share of frames that ``edge.detection.visibility`` flags, and the share of
faces that are lost without a flag. Then: what is flagged on clips, on pictures and on the synthetic camera,
and what the check costs. Every step has noise, because a camera in the dark has it.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks import common
from convert.one_look import ONE_LOOK
from edge import boxes as geometry
from edge.boxes import Floats
from edge.config import DetectorConfig
from edge.detection.detector import Detector, open_detector
from edge.detection.session import read_detector
from edge.detection.visibility import Visibility, measure
from edge.frames import Pixels
from edge.sources.synthetic import draw_wall, view

SAME_IOU = 0.4
SCORE = 0.35
READ_NOISE, SHOT_NOISE = 2.0, 0.05
"""Noise of a camera in levels: the variance is READ_NOISE squared, and SHOT_NOISE for each level of light."""
BLUR_WIDTH = 640
"""Blur is given in pixels of a picture whose longer side is this."""
FOG_LEVEL, COVER_LEVEL = 180, 60
"""Grey that fog, and that a hand or foil before the lens, adds."""

Change = Callable[[Floats, np.random.Generator], Pixels]
"""A float32 BGR picture becomes a worse one, uint8."""


def noisy(picture: Floats, random: np.random.Generator, read: float = READ_NOISE) -> Pixels:
    """Add noise and round to 8 bits."""
    deviation = np.sqrt(read**2 + SHOT_NOISE * np.clip(picture, 0, None))
    noise = random.standard_normal(picture.shape, np.float32) * deviation
    return np.asarray(np.clip(np.rint(picture + noise), 0, 255), np.uint8)


def darkened(picture: Floats, random: np.random.Generator, gain: float) -> Pixels:
    return noisy(picture * np.float32(gain), random)


def encoded(picture: Floats, random: np.random.Generator, gain: float) -> Pixels:
    """Darkened, and most of the noise lost in a JPEG of quality 75."""
    data = cv2.imencode(".jpg", darkened(picture, random, gain), [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def lamps(picture: Floats, random: np.random.Generator, gain: float) -> Pixels:
    """Darkened, with four bright lamps near the top."""
    dark = picture * np.float32(gain)
    height, width = dark.shape[:2]
    for column in range(4):
        place = (round(width * (0.2 + 0.2 * column)), round(height * 0.15))
        cv2.circle(dark, place, max(2, width // 60), (255, 255, 255), cv2.FILLED)
    return noisy(np.asarray(cv2.GaussianBlur(dark, (0, 0), 1), np.float32), random)


def grainy(picture: Floats, random: np.random.Generator, deviation: float) -> Pixels:
    return noisy(picture, random, deviation)


def fog(picture: Floats, random: np.random.Generator, contrast: float) -> Pixels:
    return noisy(np.float32(FOG_LEVEL * (1 - contrast)) + picture * np.float32(contrast), random)


def covered(picture: Floats, random: np.random.Generator, contrast: float) -> Pixels:
    return noisy(np.float32(COVER_LEVEL * (1 - contrast)) + picture * np.float32(contrast), random)


def defocused(picture: Floats, random: np.random.Generator, radius: float) -> Pixels:
    return noisy(_disk(picture, radius), random)


def defocused_grainy(picture: Floats, random: np.random.Generator, radius: float) -> Pixels:
    return noisy(_disk(picture, radius), random, 20)


def moved(picture: Floats, random: np.random.Generator, length: float) -> Pixels:
    pixels = max(1, round(length * max(picture.shape[:2]) / BLUR_WIDTH))
    return noisy(np.asarray(cv2.blur(picture, (pixels, 1)), np.float32), random)


def _disk(picture: Floats, radius: float) -> Floats:
    pixels = radius * max(picture.shape[:2]) / BLUR_WIDTH
    half = int(np.ceil(pixels))
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    disk = np.clip(pixels + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return np.asarray(
        cv2.filter2D(picture, -1, disk / disk.sum(), borderType=cv2.BORDER_REFLECT_101), np.float32
    )


STEPS: tuple[tuple[str, Callable[[Floats, np.random.Generator, float], Pixels], tuple[float, ...]], ...] = (
    ("dark, gain", darkened, (0.2, 0.1, 0.07, 0.05, 0.03, 0.02)),
    ("dark and JPEG, gain", encoded, (0.1, 0.05, 0.03)),
    ("dark and lamps, gain", lamps, (0.05, 0.02)),
    ("bright, gain", darkened, (4, 8, 12, 20)),
    ("grain, levels", grainy, (20, 40, 60, 80)),
    ("fog, contrast", fog, (0.2, 0.1, 0.07, 0.05)),
    ("cover, contrast", covered, (0.1, 0.05, 0.03)),
    ("defocus, radius", defocused, (2, 4, 6, 8, 12, 16)),
    ("defocus and grain, radius", defocused_grainy, (4, 6, 8)),
    ("motion, length", moved, (8, 16, 24, 32)),
)


@dataclass(eq=False)
class Tally:
    """Counts of one step over all pictures."""

    frames: int = 0
    faces: int = 0
    found: int = 0
    lost_unflagged: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    measured: list[Visibility] = field(default_factory=list)

    def add(self, before: Floats, after: Floats, seen: Visibility) -> None:
        """Count one frame: boxes found on the clean picture, and on the degraded one."""
        kept = int((geometry.iou(before, after).max(axis=1, initial=0) >= SAME_IOU).sum())
        self.frames += 1
        self.faces += len(before)
        self.found += kept
        reason = seen.problem
        if reason is None:
            self.lost_unflagged += len(before) - kept
        else:
            self.reasons[reason.value] += 1
        self.measured.append(seen)

    def summary(self) -> dict[str, Any]:
        return {
            "frames": self.frames,
            "faces": self.faces,
            "recall": round(self.found / max(self.faces, 1), 3),
            "flagged": round(self.reasons.total() / max(self.frames, 1), 3),
            "reasons": dict(self.reasons),
            "lost": round(1 - self.found / max(self.faces, 1), 3),
            "lost_unflagged": round(self.lost_unflagged / max(self.faces, 1), 3),
            **least(self.measured),
        }


def least(measured: list[Visibility]) -> dict[str, float]:
    """How near frames come to the thresholds."""
    return {
        f"least_{name}": round(min(getattr(seen, name) for seen in measured), 2)
        for name in ("structure", "sharpness")
    }


def pictures(data: Path | None, every: int) -> list[tuple[Pixels, Floats | None]]:
    """Pictures with their labelled boxes; None where there are no labels."""
    if data is None:
        folder = common.ROOT / "edge" / "data"
        return [(_read(file), None) for file in sorted(folder.glob("*.jpg"))]
    lines = (data / "faces" / "annotations.jsonl").read_text(encoding="utf-8").splitlines()
    records = [record for record in map(json.loads, lines) if record["split"] == "train"][::every]
    result: list[tuple[Pixels, Floats | None]] = []
    for record in records:
        boxes = np.array([face["box"] for face in record["faces"]], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        result.append((_read(data / "faces" / record["image"]), boxes))
    return result


def _read(file: Path) -> Pixels:
    return np.asarray(cv2.imread(str(file)), np.uint8)


def degrade(some: list[tuple[Pixels, Floats | None]], detector: Detector) -> list[dict[str, Any]]:
    """Every step on every picture."""

    def find(pixels: Pixels) -> Floats:
        return detector.detect(pixels, ONE_LOOK).at_least(detector.score_begin).boxes

    clean = []
    total = Tally()
    for pixels, labels in some:
        found = find(pixels)
        if labels is not None:  # labelled faces that were found; other boxes may be no faces
            found = labels[geometry.iou(labels, found).max(axis=1, initial=0) >= SAME_IOU]
        clean.append(found)
        total.add(found, found, measure(pixels))
    rows = [{"step": "clean", "amount": None, **total.summary()}]
    for name, change, amounts in STEPS:
        for amount in amounts:
            random = np.random.default_rng(0)
            tally = Tally()
            for (pixels, _), before in zip(some, clean, strict=True):
                worse = change(pixels.astype(np.float32), random, amount)
                tally.add(before, find(worse), measure(worse))
            rows.append({"step": name, "amount": amount, **tally.summary()})
            print(name, amount, rows[-1]["recall"], rows[-1]["flagged"], flush=True)
    return rows


def ordinary(data: Path | None) -> dict[str, Any]:
    """What is flagged on ordinary frames, and how near they come."""
    wall = draw_wall()
    sources: dict[str, Iterable[Pixels]] = {"synthetic camera": (view(wall, n / 5) for n in range(300))}
    if data is not None:
        for file in sorted((data / "clips").glob("*.mp4")):
            sources[file.stem] = _clip(file)
        sources["pictures"] = (_read(file) for file in sorted((data / "pictures").glob("*.jpg")))
    result = {}
    for name, frames in sources.items():
        seen = [measure(pixels) for pixels in frames]
        result[name] = {
            "frames": len(seen),
            "flagged": sum(one.problem is not None for one in seen),
            **least(seen),
        }
    return result


def _clip(file: Path) -> Iterator[Pixels]:
    film = cv2.VideoCapture(str(file))
    try:
        while (answer := film.read())[0]:
            yield np.asarray(answer[1], np.uint8)
    finally:
        film.release()


def cost(rounds: int = 200) -> dict[str, float]:
    """Median time of one call in milliseconds, one thread, per frame size."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    result = {}
    for width, height in ((1280, 720), (1920, 1080), (3840, 2160)):
        frame: npt.NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        times = []
        for _ in range(rounds):
            begin = time.perf_counter()
            measure(frame)
            times.append(time.perf_counter() - begin)
        result[f"{width}x{height}"] = round(float(np.median(times)) * 1e3, 3)
    cv2.setNumThreads(threads)
    return result


def main(*, every: int, data: Path | None, file: Path | None) -> None:
    """Measure, print and keep the result."""
    result = common.begin("visibility")
    data = common.data_folder(data)
    config = DetectorConfig(provider="cpu", canvas="640x384", score_begin=SCORE, score_continue=SCORE)
    detector = open_detector(read_detector(None), config)
    rows = degrade(pictures(data, every), detector)
    usual = ordinary(data)
    milliseconds = cost()
    header = ["frame", "amount", "recall", "flagged", "lost", "lost, no flag", "reasons"]
    keys = ("step", "amount", "recall", "flagged", "lost", "lost_unflagged")
    lines = [
        [*(row[key] for key in keys), ", ".join(f"{name} {n}" for name, n in row["reasons"].items())]
        for row in rows
    ]
    print(common.table(header, lines))
    print()
    print(
        common.table(
            ["ordinary frames", *next(iter(usual.values()))], [[n, *r.values()] for n, r in usual.items()]
        )
    )
    print(f"\nms per frame, one thread: {milliseconds}")
    print(common.machine_line(result))
    result |= {
        "data": "train split" if data is not None else "shipped portraits",
        "every": every,
        "rows": rows,
        "ordinary": usual,
        "median_ms": milliseconds,
    }
    common.finish(result, file)
