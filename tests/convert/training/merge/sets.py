"""Small labelled sets, made for one test, and what a merge wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from convert.training.merge.request import MergeRequest
from convert.training.merge.result import MergeResult
from convert.training.merge.run import merge

WIDTH, HEIGHT = 64, 48
FACE = {"box": [10, 5, 20, 30], "label": "face"}


def pixels(seed: int, width: int = WIDTH, height: int = HEIGHT) -> Any:
    """uint8 ``[H, W, 3]``, other ones for each seed."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def picture(path: Path, seed: int = 0, width: int = WIDTH, height: int = HEIGHT, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed, width, height)).save(path, **more)
    return path


def line(image: str, *objects: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"image": image, "width": WIDTH, "height": HEIGHT, "objects": list(objects), **more}


def write_labels(folder: Path, *lines: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "annotations.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return folder


def plain_set(folder: Path, count: int = 3, seed: int = 100, **more: Any) -> Path:
    """``count`` pictures with a face on each; ``more``: further keys of each line."""
    names = [f"{number}.png" for number in range(count)]
    for number, name in enumerate(names):
        picture(folder / name, seed + number)
    return write_labels(folder, *(line(name, FACE, **more) for name in names))


def merged(out: Path, *datasets: Path | str, **more: Any) -> MergeResult:
    return merge(MergeRequest(tuple(map(str, datasets)), out, **more))


def written(out: Path) -> list[dict[str, Any]]:
    """The lines of ``annotations.jsonl``."""
    text = (out / "annotations.jsonl").read_text(encoding="utf-8")
    return [json.loads(each) for each in text.splitlines()]


def record(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "merge.json").read_text(encoding="utf-8"))
    return content


def corrections(out: Path, part: int = 0) -> dict[str, list[str]]:
    """By what was done, where."""
    found = record(out)["parts"][part]["corrections"]
    assert all(each["count"] == len(each["where"]) for each in found.values())
    return {what: each["where"] for what, each in found.items()}
