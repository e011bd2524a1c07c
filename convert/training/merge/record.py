"""The files of a merged set beside its pictures: ``annotations.jsonl`` and ``merge.json``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import edge
from convert.training.datasets import Box
from convert.training.datasets.form import read_bytes
from convert.training.datasets.opening import MERGED
from convert.training.merge.parts import Part
from convert.training.merge.request import MergeRequest
from convert.training.merge.result import MergeResult
from convert.training.merge.splits import PLACES

FORMAT = 1
"""Of ``merge.json``."""


def write_annotations(result: MergeResult, folder: Path) -> None:
    """One picture a line, with boxes ``[x, y, width, height]`` in pixels of the upright picture."""
    lines = []
    for entry in sorted(result.entries, key=lambda entry: entry.image):
        objects = [
            {
                "box": _box(each.box),
                "label": result.into,
                "was": each.was,
                "masked": each.masked,
                "ignore": each.ignore,
            }
            for each in entry.objects
        ]
        width, height = entry.size
        record = {
            "image": entry.image,
            "width": width,
            "height": height,
            "split": result.places[entry.image],
            "part": entry.part,
            "objects": objects,
        }
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    (folder / "annotations.jsonl").write_text("".join(lines), encoding="utf-8")


def write_record(request: MergeRequest, result: MergeResult, folder: Path) -> None:
    """What was merged, how, and what was corrected. It holds no path of the machine and no time, so that the
    same sets give the same file."""
    record = {
        "format": FORMAT,
        "version": edge.__version__,
        "into": result.into,
        "keep": list(request.keep),
        "seed": request.seed,
        "shares": dict(request.shares._asdict()),
        "resplit": request.resplit,
        "parts": [_part(part, result) for part in result.parts],
        "labels_before": dict(sorted(result.before.items())),
        "labels_after": {result.into: result.objects},
        "pictures": {place: len(result.in_split(place)) for place in PLACES},
        "warnings": result.warnings(),
    }
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    (folder / MERGED).write_text(text, encoding="utf-8")


def _part(part: Part, result: MergeResult) -> dict[str, Any]:
    origin = result.provenance[part.name]
    counts = {place: len(result.in_split(place, part.name)) for place in PLACES}
    return {
        "name": part.name,
        "format": part.labels.kind,
        "licence": origin.licence,
        "source": origin.source,
        "files": list(origin.files),
        "label_files_sha256": {
            part.inside(file): hashlib.sha256(read_bytes(file)).hexdigest() for file in _label_files(part)
        },
        "counts_as_object": sorted(part.counts),
        "labels_before": dict(sorted(part.before.items())),
        "pictures_before": len(part.pictures),
        "pictures": counts,
        "corrections": part.corrections.as_json(),
    }


def _label_files(part: Part) -> list[Path]:
    """The files of labels; of YOLO's texts those that are there."""
    return sorted({*part.labels.files, *part.labels.texts})


def _box(box: Box) -> list[float]:
    """Rounded to hundredths of a pixel; whole numbers stay whole."""
    x1, y1, x2, y2 = box
    numbers = [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)]
    return [int(value) if value == int(value) else value for value in numbers]
