"""How often the last look finds something on an anonymized frame: ``python -m benchmarks last-look-rate``.

Every frame of every clip is treated as by the daemon (the shipped detector, hold, infill); so are the
synthetic camera and, one by one and without hold, the labelled pictures (``train``). ``--scenes NAME`` takes
scenes of a camera's size in place of all of these (``benchmarks.leak.scenes``). Then the detector runs
on what would be stored. For each score from which a hit may count, the result has the frames with a hit, how
many of them still have one after the region of the hit has been covered too (edge/last_look.py covers all of
such a frame), and how many hits lie on paint, that is, have more than half of their box covered already.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import common, contact_sheet
from edge import blur
from edge import boxes as geometry
from edge.boxes import Floats
from edge.config import BlurConfig, DetectorConfig, PrivacyConfig
from edge.detection.detector import Detections, Detector, open_detector
from edge.detection.session import read_detector
from edge.detection.views import Search
from edge.frames import Pixels, RawFrame
from edge.hold import Held, Hold
from edge.last_look import GROWTH
from edge.sources.synthetic import RATE_FPS, draw_wall, view

SCORES = (0.35, 0.4, 0.5, 0.6, 0.7)
"""Scores from which a hit on an anonymized frame counts."""
PAINTED_SHARE = 0.5
"""A hit lies on paint from this share of covered pixels on."""
SYNTHETIC_SECONDS = 40
Sources = Mapping[str, tuple[Iterator[RawFrame], BlurConfig]]
"""Frames by the name of where they come from, and how they are covered and held."""
SEARCH = Search.of(PrivacyConfig(), continuous=True)
"""As the daemon searches all of a frame."""


@dataclass(eq=False)
class Tally:
    """Counts of one clip for each of SCORES."""

    frames: int = 0
    hit: list[int] = field(default_factory=lambda: [0] * len(SCORES))
    again: list[int] = field(default_factory=lambda: [0] * len(SCORES))
    hits: list[int] = field(default_factory=lambda: [0] * len(SCORES))
    on_paint: list[int] = field(default_factory=lambda: [0] * len(SCORES))

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "score": score,
                "frames": self.frames,
                "frames_with_hit": self.hit[i],
                "share_with_hit": round(self.hit[i] / max(self.frames, 1), 4),
                "frames_covered_whole": self.again[i],
                "share_covered_whole": round(self.again[i] / max(self.frames, 1), 4),
                "hits": self.hits[i],
                "hits_on_paint": self.on_paint[i],
            }
            for i, score in enumerate(SCORES)
        ]


def clip_frames(file: Path) -> Iterator[RawFrame]:
    """Frames of a video file with its own clock."""
    film = cv2.VideoCapture(str(file))
    try:
        rate = film.get(cv2.CAP_PROP_FPS) or RATE_FPS
        number = 0
        while (answer := film.read())[0]:
            yield RawFrame(np.asarray(answer[1], np.uint8), file.stem, number, number / rate, 0.0, 0)
            number += 1
    finally:
        film.release()


def synthetic_frames() -> Iterator[RawFrame]:
    wall = draw_wall()
    for number in range(round(SYNTHETIC_SECONDS * RATE_FPS)):
        moment = number / RATE_FPS
        yield RawFrame(view(wall, moment), "synthetic", number, moment, 0.0, 0)


def picture_frames(data: Path) -> Iterator[RawFrame]:
    """The labelled pictures, hours apart, as from a watched folder."""
    lines = (data / "faces" / "annotations.jsonl").read_text(encoding="utf-8").splitlines()
    names = [record["image"] for record in map(json.loads, lines) if record["split"] == "train"]
    for number, name in enumerate(names):
        pixels = np.asarray(cv2.imread(str(data / "faces" / name)), np.uint8)
        yield RawFrame(pixels, "pictures", number, number * 3600.0, 0.0, 0)


def held_frames(frames: Iterator[RawFrame], detector: Detector, config: BlurConfig) -> Iterator[Held]:
    """Frames with the boxes that the daemon would cover: detector, then hold."""
    hold = Hold(config.hold_before_frames, config.hold_after_seconds, detector.score_begin)
    for frame in frames:
        yield from hold.push(frame, detector.detect(frame.pixels, SEARCH))
    yield from hold.flush()


def detect_again(
    frame: RawFrame, boxes: Floats, found: Detections, detector: Detector, config: BlurConfig
) -> list[bool]:
    """For each of SCORES: is there still a hit of that score once the hits are covered too?"""
    result = []
    known: dict[int, Detections] = {}
    for score in SCORES:
        hits = found.at_least(score).boxes
        if len(hits) and len(hits) not in known:  # best first: the same number are the same hits
            more = np.concatenate([boxes, geometry.grow(hits, GROWTH, GROWTH, GROWTH)]).astype(np.float32)
            known[len(hits)] = detector.detect(blur.anonymize(frame, more, config).pixels, SEARCH)
        result.append(bool(len(hits)) and bool(len(known[len(hits)].at_least(score).boxes)))
    return result


def painted_share(box: Floats, regions: Floats, width: int, height: int) -> float:
    """Share of a box (``[4]``) that regions (``[M, 4]``) cover, 0..1."""
    mask = np.zeros((height, width), np.uint8)
    for x1, y1, x2, y2 in regions.astype(int).tolist():
        mask[y1:y2, x1:x2] = 1
    whole = geometry.to_pixels(box[None], width, height)
    if not len(whole):
        return 0.0
    x1, y1, x2, y2 = whole[0].tolist()
    return float(mask[y1:y2, x1:x2].mean())


def measure(
    frames: Iterator[RawFrame], every: int, detector: Detector, config: BlurConfig
) -> tuple[Tally, list[dict[str, Any]], list[Pixels]]:
    """One clip: counts, every hit, and its crop."""
    tally = Tally()
    listed: list[dict[str, Any]] = []
    crops: list[Pixels] = []
    for held in held_frames(frames, detector, config):
        frame = held.frame
        if frame.number % every:
            continue
        tally.frames += 1
        safe = blur.anonymize(frame, held.boxes, config)
        found = detector.detect(safe.pixels, SEARCH).at_least(SCORES[0])
        if not len(found.boxes):
            continue
        regions = blur.regions_of(held.boxes, frame.width, frame.height, config).astype(np.float32)
        shares = [painted_share(box, regions, frame.width, frame.height) for box in found.boxes]
        again = detect_again(frame, held.boxes, found, detector, config)
        for i, score in enumerate(SCORES):
            strong = [share for share, value in zip(shares, found.scores, strict=True) if value >= score]
            tally.hit[i] += bool(strong)
            tally.again[i] += again[i]
            tally.hits[i] += len(strong)
            tally.on_paint[i] += sum(share > PAINTED_SHARE for share in strong)
        for box, value, share in zip(found.boxes, found.scores, shares, strict=True):
            hit: dict[str, Any] = {
                "file": frame.camera,
                "frame": frame.number,
                "score": round(float(value), 3),
                "box": [round(float(edge), 1) for edge in box],
                "painted_share": round(share, 3),
                "still_there": again[0],
            }
            listed.append(hit)
            crops.append(contact_sheet.tile(safe.pixels, hit["box"], _caption(hit)))
    return tally, listed, crops


def _caption(hit: dict[str, Any]) -> tuple[str, str]:
    x1, y1, x2, y2 = (round(value) for value in hit["box"])
    again = " again" if hit["still_there"] else ""
    return (
        f"{hit['file'][-14:]} f{hit['frame']}",
        f"{hit['score']:.2f} {x2 - x1}x{y2 - y1} {hit['painted_share']:.0%}{again}",
    )


def usual_sources(clips: Path | None) -> Sources:
    """The synthetic camera, the clips and the labelled pictures, as far as they are there."""
    data = common.data_folder(None)
    folder = clips or (data / "clips" if data is not None else None)
    still = BlurConfig(hold_before_frames=0, hold_after_seconds=0)
    sources: dict[str, tuple[Iterator[RawFrame], BlurConfig]] = {
        "synthetic": (synthetic_frames(), BlurConfig())
    }
    if folder is not None:
        for clip in sorted(folder.glob("*.mp4")):
            sources[clip.stem] = (clip_frames(clip), BlurConfig())
    if data is not None:
        sources["pictures"] = (picture_frames(data), still)
    return sources


def main(*, sources: Sources, every: int, file: Path | None, sheet: Path | None, raw: Path | None) -> None:
    """Measure, print and keep the result."""
    result = common.begin("last_look_rate")
    # A busy machine must not decide which frames count.
    detector = open_detector(read_detector(None), DetectorConfig(provider="cpu", timeout_seconds=120))
    files: dict[str, Any] = {}
    listed: list[dict[str, Any]] = []
    crops: list[Pixels] = []
    for name, (frames, config) in sources.items():
        tally, hits, some = measure(frames, every, detector, config)
        files[name] = tally.rows()
        listed += hits
        crops += some
        print(name, *(f"{row['score']}: {row['frames_with_hit']}" for row in files[name]), flush=True)
    rows = [[name, *row.values()] for name, lines in files.items() for row in lines]
    header = ["clip", "score", "frames", "with a hit", "share", "covered whole", "share", "hits", "on paint"]
    print(common.table(header, rows))
    print(common.machine_line(result))
    if sheet is not None:
        pages = contact_sheet.write(sheet, crops)
        print("crops of hits:", ", ".join(map(str, pages)) or "none needed")
    result |= {"scores": SCORES, "growth": GROWTH, "every": every, "files": files}
    if raw is not None:
        common.write_json(raw, listed)
    common.finish(result, file)
