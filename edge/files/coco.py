"""Detections as COCO JSON (https://cocodataset.org/#format-data), for building data sets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.boxes import Floats
from edge.detection.kinds import FACE
from edge.errors import StoreError

_INFO = {"description": "faces found by edge blur"}
_FACE = FACE.label
_KEYS = {"info", "images", "annotations", "categories"}

Item = dict[str, Any]


class CocoReport:
    """Images, and what was found in them. A video is one image entry per frame, with ``frame_index``.

    ``labels`` are what can be found; each is a category, with ids from 1 on in this order.
    """

    def __init__(self, labels: Sequence[str] = (_FACE,)) -> None:
        self._labels = tuple(labels)
        self._entries: dict[str, list[tuple[Item, list[Item]]]] = {}  # by file name: image and finds

    def __contains__(self, file_name: str) -> bool:
        return file_name in self._entries

    def add(
        self,
        file_name: str,
        width: int,
        height: int,
        boxes: Floats,
        scores: Floats,
        frame_index: int | None = None,
        labels: Sequence[str] = (),
    ) -> None:
        """Add one picture: boxes float32 ``[N, 4]`` (``x1 y1 x2 y2``, pixels), scores float32 ``[N]``, and
        the label of each box (empty: all are faces)."""
        image: Item = {"file_name": file_name, "width": width, "height": height}
        if frame_index is not None:
            image["frame_index"] = frame_index
        faces = [
            {
                "category_id": self._labels.index(label) + 1,
                "bbox": [round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)],
                "area": round((x2 - x1) * (y2 - y1), 2),
                "iscrowd": 0,
                "score": round(score, 4),
            }
            for (x1, y1, x2, y2), score, label in zip(
                boxes.tolist(), scores.tolist(), labels or [_FACE] * len(boxes), strict=True
            )
        ]
        self._entries.setdefault(file_name, []).append((image, faces))

    def drop(self, file_name: str) -> None:
        """Remove the entries of a file, if there are any."""
        self._entries.pop(file_name, None)

    def text(self) -> str:
        """The report as JSON text: files sorted by name, ids counted from 1 without gaps."""
        images: list[Item] = []
        annotations: list[Item] = []
        for _, entries in sorted(self._entries.items()):
            for image, faces in entries:
                images.append({"id": len(images) + 1, **image})
                for face in faces:
                    annotations.append({"id": len(annotations) + 1, "image_id": len(images), **face})
        categories = _categories(self._labels)
        report = {"info": _INFO, "images": images, "annotations": annotations, "categories": categories}
        return json.dumps(report, indent=1)


def _categories(labels: Sequence[str]) -> list[Item]:
    return [
        {"id": number, "name": label, "supercategory": "person" if label == _FACE else "object"}
        for number, label in enumerate(labels, 1)
    ]


def read_report(path: Path, labels: Sequence[str] = (_FACE,)) -> CocoReport:
    """The report that an earlier run wrote to ``path``; an empty one if there is no file. ``labels`` are what
    this run can find.

    Raises StoreError when the file cannot be read, is about other labels, or holds anything that a new report
    would lose.
    """
    try:
        if not path.exists():
            return CocoReport(labels)
        if not path.is_file():
            raise ValueError("not a regular file")
        return _parsed(json.loads(path.read_text(encoding="utf-8")), labels)
    # RecursionError: lists nested too deeply
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(
            f"--report {path}: --resume cannot continue it: {error}; name another file, or run without "
            "--resume, which does everything again and replaces the report"
        ) from error


def _parsed(data: Any, labels: Sequence[str]) -> CocoReport:
    if not isinstance(data, dict) or set(data) != _KEYS:
        raise ValueError("not a report of edge blur")
    names = [str(item.get("name")) for item in _items(data["categories"])]
    if data["info"] != _INFO or data["categories"] != _categories(names):
        raise ValueError("a report of another program")
    if names != list(labels):
        raise ValueError(f"its labels are {', '.join(names)}, but those of this run are {', '.join(labels)}")
    report = CocoReport(labels)
    faces: dict[int, list[Item]] = {}
    for number, image in enumerate(_items(data["images"], id=int, file_name=str, width=int, height=int)):
        if image["id"] in faces:
            raise ValueError(f"images[{number}]: its id is used twice")
        faces[image["id"]] = []
        kept = {key: value for key, value in image.items() if key != "id"}
        report._entries.setdefault(image["file_name"], []).append((kept, faces[image["id"]]))
    for number, face in enumerate(_items(data["annotations"], image_id=int, category_id=int, bbox=list)):
        if not 1 <= face["category_id"] <= len(labels):
            raise ValueError(f"annotations[{number}]: its category does not exist")
        if face["image_id"] not in faces:
            raise ValueError(f"annotations[{number}]: its image does not exist")
        faces[face["image_id"]].append(
            {key: value for key, value in face.items() if key not in ("id", "image_id")}
        )
    return report


def _items(items: Any, **kinds: type) -> list[Item]:
    """The items of a list, each checked to have keys of the right kinds."""
    if not isinstance(items, list):
        raise ValueError("a list is missing")
    for number, item in enumerate(items):
        if not isinstance(item, dict) or not all(isinstance(item.get(k), kind) for k, kind in kinds.items()):
            raise ValueError(f"entry {number} was not written by edge blur")
    return items
