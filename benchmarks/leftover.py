"""Faces that other detectors still find in anonymized pictures and videos.

``python -m benchmarks leftover --scenes faces`` takes scenes of a camera's size, 1920x1080, still and moving
(``benchmarks.leftover_scenes``), through ``edge blur``; ``--originals DIR --anonymized DIR`` takes any files.
Every original needs its anonymized counterpart under the same relative path (a video may have become
``.mp4``), of the same size and with the same frames. Two detectors of other projects
run on both: MTCNN (PyPI, weights in the package) and the EfficientDet-D0 of the test data. Hits count
from a score of 0.5 and a side of 20 px. A hit in the anonymized frame is one of three:

* *covered*: more than half of its pixels were painted over. The detector sees a face in the paint, or
  in what is left around it. A pixel counts as painted over when it differs from the original by 8
  levels or more (mean over the colours); less is what JPEG and video encoders do to it.
* *leak candidate*: not covered, and a hit of the same detector was there in the original (IoU >= 0.3).
* *new*: not covered, and no such hit. The cover beside it changed the detector's verdict.

A candidate may be a false alarm of the other detector: ``--sheet`` writes crops of all candidates and
new hits, from the anonymized frames, for a person to judge.

Exit code: 0 compared, whatever was found; 1 a file could not be compared in full; 2 nothing to compare.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import common, contact_sheet
from edge import boxes as geometry
from edge.boxes import Floats
from edge.frames import Pixels

REQUIREMENTS = ("tensorflow", "mtcnn==1.0.0", "opencv-python-headless", "numpy")
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
VIDEOS = {".mp4", ".avi", ".mkv", ".mov", ".webm"}
MIN_SCORE, MIN_SIDE = 0.5, 20
"""Which hits count: score, and shorter side in pixels."""
SAME_IOU = 0.3
"""Overlap from which a hit is the one that was there in the original."""
CHANGED_LEVELS, COVERED_SHARE = 8, 0.5
"""A pixel is painted over from this difference (0..255); a hit above this share of such pixels."""
COUNTS = ("before", "covered", "leak_candidates", "new")

Find = Callable[[Pixels], dict[str, Floats]]
"""A BGR picture becomes, for each detector, float32 ``[N, 5]``: x1 y1 x2 y2 score."""


class IncomparableError(Exception):
    """A file and its counterpart do not show the same frames."""


def frames_of(original: Path, anonymized: Path, every: int) -> Iterator[tuple[int, Pixels, Pixels]]:
    """Number and both versions of every N-th frame; a picture is one frame.

    Raises IncomparableError, for a video that ends too early after the frames that both have.
    """
    if original.suffix.lower() in PICTURES:
        first, second = cv2.imread(str(original)), cv2.imread(str(anonymized))
        yield 0, *_same_size(first, second)
        return
    films = cv2.VideoCapture(str(original)), cv2.VideoCapture(str(anonymized))
    try:
        number = 0
        while True:
            grabbed = [film.grab() for film in films]
            if grabbed[0] != grabbed[1]:
                shorter = "original" if grabbed[1] else "anonymized"
                raise IncomparableError(f"the {shorter} video has only {number} frames, the other has more")
            if not grabbed[0]:
                break
            if number % every == 0:
                yield number, *_same_size(*(film.retrieve()[1] for film in films))
            number += 1
        if number == 0:
            raise IncomparableError("neither video has a readable frame")
    finally:
        for film in films:
            film.release()


def _same_size(first: Any, second: Any) -> tuple[Pixels, Pixels]:
    for name, picture in (("original", first), ("anonymized", second)):
        if picture is None:
            raise IncomparableError(f"the {name} file cannot be read")
    if first.shape != second.shape:
        raise IncomparableError(f"shapes differ: {list(first.shape)} and {list(second.shape)}")
    return first, second


@contextmanager
def independent(python: Path, names: list[str]) -> Iterator[tuple[Find, dict[str, str]]]:
    """Start the other detectors; yield the function that asks them, and the versions they run on."""
    runner = Path(__file__).with_name("_independent_runner.py")
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as noise:
        process = subprocess.Popen(
            [str(python), str(runner), str(MIN_SCORE), *names],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=noise,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        questions, answers = process.stdin, process.stdout

        def answer() -> Any:
            line = answers.readline()
            if not line:
                process.wait()
                noise.seek(0)
                raise common.give_up(f"the independent detectors stopped:\n{noise.read()[-2000:]}")
            return json.loads(line)

        def find(pixels: Pixels) -> dict[str, Floats]:
            questions.write(f"{pixels.shape[0]} {pixels.shape[1]}\n".encode())
            questions.write(np.ascontiguousarray(pixels[..., ::-1]).tobytes())
            questions.flush()
            return {name: _large_enough(hits) for name, hits in answer().items()}

        try:
            yield find, answer()
        finally:
            process.kill()
            process.wait()


def _large_enough(hits: list[list[float]]) -> Floats:
    found = np.array(hits, np.float32).reshape(-1, 5)
    sides = found[:, 2:4] - found[:, :2]
    counts = np.all(sides >= MIN_SIDE, axis=1) & (found[:, 4] >= MIN_SCORE)
    return np.asarray(found[counts], np.float32)


def changed_share(original: Pixels, anonymized: Pixels, box: Floats) -> float:
    """Share of the pixels of a box (``x1 y1 x2 y2``) that were painted over, 0..1."""
    x1, y1, x2, y2 = geometry.to_pixels(box[None, :4], original.shape[1], original.shape[0])[0].tolist()
    levels = cv2.absdiff(original[y1:y2, x1:x2], anonymized[y1:y2, x1:x2]).mean(axis=2)
    return float((levels >= CHANGED_LEVELS).mean())


def judge(original: Pixels, anonymized: Pixels, find: Find) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Detect on one frame before and after: counts per detector, and the hits that are not covered."""
    before, after = find(original), find(anonymized)
    counts = {name: dict.fromkeys(COUNTS, 0) | {"before": len(before[name])} for name in before}
    open_hits = []
    for name, hits in after.items():
        overlap = geometry.iou(hits[:, :4], before[name][:, :4]).max(axis=1, initial=0)
        for hit, same in zip(hits, overlap, strict=True):
            share = changed_share(original, anonymized, hit)
            if share > COVERED_SHARE:
                counts[name]["covered"] += 1
                continue
            kind = "leak_candidates" if same >= SAME_IOU else "new"
            counts[name][kind] += 1
            open_hits.append(
                {
                    "detector": name,
                    "kind": "leak candidate" if same >= SAME_IOU else "new",
                    "box": [round(float(value), 1) for value in hit[:4]],
                    "score": round(float(hit[4]), 3),
                    "painted_share": round(share, 3),
                }
            )
    return counts, open_hits


def counterpart(relative: Path, anonymized: Path) -> Path | None:
    """The anonymized version of a file, or None."""
    names = [relative]
    if relative.suffix.lower() in VIDEOS:
        names.append(relative.with_suffix(".mp4"))
    return next((anonymized / name for name in names if (anonymized / name).is_file()), None)


def compare(
    originals: Path, anonymized: Path, every: int, find: Find
) -> tuple[dict[str, Any], list[dict[str, Any]], list[Pixels]]:
    """Compare every file: counts per file and detector, the hits that are not covered, their crops."""
    kinds = PICTURES | VIDEOS
    files: dict[str, Any] = {}
    open_hits: list[dict[str, Any]] = []
    crops = []
    for file in sorted(p for p in originals.rglob("*") if p.suffix.lower() in kinds and p.is_file()):
        relative = file.relative_to(originals)
        name = relative.as_posix()
        entry: dict[str, Any] = {"frames": 0, "detectors": {}, "problem": None}
        files[name] = entry
        other = counterpart(relative, anonymized)
        if other is None:
            entry["problem"] = "no anonymized counterpart"
            continue
        try:
            for frame, before, after in frames_of(file, other, every):
                counts, found = judge(before, after, find)
                entry["frames"] += 1
                add_up(entry["detectors"], counts)
                for hit in found:
                    open_hits.append({"number": len(open_hits) + 1, "file": name, "frame": frame, **hit})
                    crops.append(contact_sheet.tile(after, hit["box"], contact_sheet.caption(open_hits[-1])))
        except IncomparableError as error:
            entry["problem"] = str(error)
    return files, open_hits, crops


def add_up(total: dict[str, dict[str, int]], counts: dict[str, dict[str, int]]) -> None:
    """Add counts per detector to a total."""
    for detector, figures in counts.items():
        sums = total.setdefault(detector, dict.fromkeys(COUNTS, 0))
        for key, value in figures.items():
            sums[key] += value


def report(files: dict[str, Any], total: dict[str, dict[str, int]]) -> str:
    """The Markdown table, and below it the files that could not be compared in full."""
    rows: list[list[object]] = [
        [name, entry["frames"], detector, *(figures[key] for key in COUNTS)]
        for name, entry in files.items()
        for detector, figures in entry["detectors"].items()
    ]
    frames = sum(entry["frames"] for entry in files.values())
    rows += [[f"**all {len(files)}**", frames, name, *figures.values()] for name, figures in total.items()]
    header = ["file", "frames", "detector", "hits before", "covered hits", "leak candidates", "new"]
    problems = [f"NOT COMPARED IN FULL: {n}: {e['problem']}" for n, e in files.items() if e["problem"]]
    return "\n".join([common.table(header, rows), *problems])


def main(
    *,
    originals: Path,
    anonymized: Path,
    scenes: str | None = None,
    every: int,
    names: list[str],
    data: Path | None,
    venv: Path,
    file: Path | None,
    sheet: Path | None,
    raw: Path | None,
) -> None:
    """Compare, print and keep the result. ``names`` are those of the other detectors, mtcnn and d0.

    ``scenes`` is the labelled set of which the files were made, if they are scenes. Exits with 1 when a file
    could not be compared in full, 2 when there was nothing to compare.
    """
    detectors = [_detector(name, data) for name in names]
    result = common.begin("leftover")
    python = common.environment(venv, REQUIREMENTS)
    with independent(python, detectors) as (find, versions):
        files, open_hits, crops = compare(originals, anonymized, every, find)
    if not any(entry["frames"] for entry in files.values()):
        problems = "; ".join(f"{name}: {entry['problem']}" for name, entry in files.items())
        raise common.give_up(
            f"nothing was compared: {problems or 'no pictures or videos among the originals'}"
        )
    total: dict[str, dict[str, int]] = {}
    for entry in files.values():
        add_up(total, entry["detectors"])

    print(report(files, total))
    print(f"\nhits: score >= {MIN_SCORE}, side >= {MIN_SIDE} px; videos: every {every} frames")
    print(common.machine_line(result))
    if sheet is not None:
        pages = contact_sheet.write(sheet, crops)
        print("crops of candidates and new hits:", ", ".join(map(str, pages)) or "none needed")
    result |= {
        "scenes": scenes,
        "independent_packages": versions,
        "limits": {
            "score": MIN_SCORE,
            "side_pixels": MIN_SIDE,
            "same_iou": SAME_IOU,
            "changed_levels": CHANGED_LEVELS,
            "covered_share": COVERED_SHARE,
        },
        "every": every,
        "all": total,
        "files": len(files),
        "frames": sum(entry["frames"] for entry in files.values()),
        "problems": {name: entry["problem"] for name, entry in files.items() if entry["problem"]},
    }
    common.finish(result, file)
    if raw is not None:
        common.write_json(raw, {"files": files, "open_hits": open_hits})
    raise SystemExit(1 if any(entry["problem"] for entry in files.values()) else 0)


def _detector(name: str, data: Path | None) -> str:
    """A detector as the runner wants it: its name, and where its model lies."""
    if name != "d0":
        return name
    folder = common.data_folder(data)
    if folder is None:
        raise common.give_up(
            "the detector d0 is in the test data, which is absent: use --data, or --detector mtcnn"
        )
    return f"d0={folder / 'models' / 'efficientdet_d0_face' / 'saved_model'}"
