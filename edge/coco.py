"""Detections as COCO JSON (https://cocodataset.org/#format-data), for whoever builds data sets."""

from __future__ import annotations

import json
from typing import Any

from edge.boxes import Floats


class CocoReport:
    """Images, and faces in them. A video is one image entry per frame, with ``frame_index``."""

    def __init__(self) -> None:
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(
        self,
        file_name: str,
        width: int,
        height: int,
        boxes: Floats,
        scores: Floats,
        frame_index: int | None = None,
    ) -> None:
        """Add one picture with boxes float32 ``[N, 4]`` (``x1 y1 x2 y2``, pixels) and scores."""
        image_id = len(self._images) + 1
        image: dict[str, Any] = {
            "id": image_id,
            "file_name": file_name,
            "width": width,
            "height": height,
        }
        if frame_index is not None:
            image["frame_index"] = frame_index
        self._images.append(image)
        for (x1, y1, x2, y2), score in zip(boxes.tolist(), scores.tolist(), strict=True):
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "bbox": [round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)],
                    "area": round((x2 - x1) * (y2 - y1), 2),
                    "iscrowd": 0,
                    "score": round(score, 4),
                }
            )

    def text(self) -> str:
        """The report as JSON text."""
        return json.dumps(
            {
                "info": {"description": "faces found by edge blur"},
                "images": self._images,
                "annotations": self._annotations,
                "categories": [{"id": 1, "name": "face", "supercategory": "person"}],
            },
            indent=1,
        )
