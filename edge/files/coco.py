"""Detections as COCO JSON (https://cocodataset.org/#format-data), for building data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge.boxes import Floats
from edge.errors import StoreError

_INFO = {"description": "faces found by edge blur"}
_CATEGORIES = [{"id": 1, "name": "face", "supercategory": "person"}]
_KEYS = {"info", "images", "annotations", "categories"}

Item = dict[str, Any]


class CocoReport:
    """Images, and faces in them. A video is one image entry per frame, with ``frame_index``."""

    def __init__(self) -> None:
        self._entries: dict[str, list[tuple[Item, list[Item]]]] = {}  # by file name: image and its faces

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
    ) -> None:
        """Add one picture: boxes float32 ``[N, 4]`` (``x1 y1 x2 y2``, pixels), scores float32 ``[N]``."""
        image: Item = {"file_name": file_name, "width": width, "height": height}
        if frame_index is not None:
            image["frame_index"] = frame_index
        faces = [
            {
                "category_id": 1,
                "bbox": [round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)],
                "area": round((x2 - x1) * (y2 - y1), 2),
                "iscrowd": 0,
                "score": round(score, 4),
            }
            for (x1, y1, x2, y2), score in zip(boxes.tolist(), scores.tolist(), strict=True)
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
        report = {"info": _INFO, "images": images, "annotations": annotations, "categories": _CATEGORIES}
        return json.dumps(report, indent=1)


def read_report(path: Path) -> CocoReport:
    """The report that an earlier run wrote to ``path``; an empty one if there is no file.

    Raises StoreError when the file cannot be read, or holds anything that a new report would lose.
    """
    try:
        if not path.exists():
            return CocoReport()
        if not path.is_file():
            raise ValueError("not a regular file")
        return _parsed(json.loads(path.read_text(encoding="utf-8")))
    # RecursionError: lists nested too deeply
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(
            f"--report {path}: --resume cannot continue it: {error}; name another file, or run without "
            "--resume, which does everything again and replaces the report"
        ) from error


def _parsed(data: Any) -> CocoReport:
    if not isinstance(data, dict) or set(data) != _KEYS:
        raise ValueError("not a report of edge blur")
    if data["info"] != _INFO or data["categories"] != _CATEGORIES:
        raise ValueError("a report of another program")
    report = CocoReport()
    faces: dict[int, list[Item]] = {}
    for number, image in enumerate(_items(data["images"], id=int, file_name=str, width=int, height=int)):
        if image["id"] in faces:
            raise ValueError(f"images[{number}]: its id is used twice")
        faces[image["id"]] = []
        kept = {key: value for key, value in image.items() if key != "id"}
        report._entries.setdefault(image["file_name"], []).append((kept, faces[image["id"]]))
    for number, face in enumerate(_items(data["annotations"], image_id=int, bbox=list)):
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
