"""Small sets, recipes and runs, made for one test."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np

from convert.training import course, recipes
from convert.training.layers import convolve, depthwise, relu
from convert.training.requests import FitRequest
from convert.training.tiny.network import HEADS, STRIDES

SPLITS = ("train", "train", "train", "train", "val", "test")


def make_set(folder: Path, count: int = 6, label: str = "FACE", splits: Sequence[str] = SPLITS) -> Path:
    """``count`` pictures with a bright ellipse each, in the form of a merged set."""
    (folder / "images").mkdir(parents=True)
    rng, lines = np.random.default_rng(0), []
    for number in range(count):
        pixels = rng.integers(0, 80, (96, 120, 3), np.uint8)
        x, y = int(rng.integers(25, 90)), int(rng.integers(30, 60))
        cv2.ellipse(pixels, (x, y), (14, 18), 0, 0, 360, (230, 200, 180), -1)
        name = f"images/{number}.png"
        assert cv2.imwrite(str(folder / name), pixels)
        one = {"box": [x - 14, y - 18, 29, 37], "label": label, "masked": False, "ignore": False}
        lines.append(
            {
                "image": name,
                "width": 120,
                "height": 96,
                "split": splits[number % len(splits)],
                "objects": [one],
            }
        )
    text = "\n".join(map(json.dumps, lines)) + "\n"
    (folder / "annotations.jsonl").write_text(text, encoding="utf-8")
    (folder / "merge.json").write_text(json.dumps({"into": label}), encoding="utf-8")
    return folder


def slim_network() -> Any:
    """The maps of the network ``tiny`` with few layers, since tracing them takes most of a run."""
    picture = keras.Input((None, None, 3))
    x = keras.layers.MaxPooling2D(4)(relu(convolve(picture, 8, 3, 2)))
    heads = {}
    for stride in STRIDES:
        for name, channels in HEADS:
            heads[f"{name}_{stride}"] = convolve(x, channels, name=f"{name}_{stride}")
        x = keras.layers.MaxPooling2D()(relu(depthwise(x)))
    return keras.Model(picture, heads, name="slim")


@contextmanager
def quick_runs(**more: Any) -> Iterator[None]:
    """Inside, runs of ``tiny`` have tiny canvases and a slim network, keep a checkpoint and a row of the log
    every 2 steps, and are judged four times."""
    before = recipes.RECIPES["tiny"], course.LOG_STEPS, course.CHECKPOINT_SECONDS, course.WATCH_SHARE
    quick: dict[str, Any] = {"side": 64, "batch": 2, "smallest": 12.0, "largest": 40.0}
    recipes.RECIPES["tiny"] = replace(before[0], **(quick | {"make_network": slim_network} | more))
    course.LOG_STEPS, course.CHECKPOINT_SECONDS, course.WATCH_SHARE = 2, -1.0, 0.3
    try:
        yield
    finally:
        recipes.RECIPES["tiny"], course.LOG_STEPS, course.CHECKPOINT_SECONDS, course.WATCH_SHARE = before


def request(data: Path, out: Path, **more: Any) -> FitRequest:
    asked: dict[str, Any] = {"model": "tiny", "weights": "none", "epochs": 4, "seed": 3}
    return FitRequest(data, out=out, **(asked | more))
