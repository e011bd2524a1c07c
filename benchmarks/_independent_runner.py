"""Runs detectors of other projects, in an environment of their own.

``_independent_runner.py SCORE NAME...`` with NAME ``mtcnn`` or ``d0=FOLDER`` (a TF2 SavedModel of the
Object Detection API). Imports nothing of ``edge``. Prints, as one line of JSON, the versions of the packages
it runs on. Then, for every picture on stdin (a line ``HEIGHT WIDTH``, then uint8 RGB bytes), it answers
with one line of JSON: for each detector its hits, ``[x1, y1, x2, y2, score]`` in pixels.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Hits = list[list[float]]
Find = Callable[[Pixels], Hits]


def open_mtcnn(score: float) -> Find:
    """MTCNN with the weights that its package brings."""
    module: Any = importlib.import_module("mtcnn")
    detector = module.MTCNN(device="CPU:0")

    def find(rgb: Pixels) -> Hits:
        # The last stage has a threshold of its own, 0.8; the first two keep theirs (0.6 and 0.7)
        found = detector.detect_faces(rgb, threshold_onet=score)
        boxes = [(hit["box"], hit["confidence"]) for hit in found]
        return [[*map(float, (x, y, x + w, y + h)), float(s)] for (x, y, w, h), s in boxes]

    return find


def open_d0(folder: str, score: float) -> Find:
    """A SavedModel: ``input_tensor`` uint8 ``[1, H, W, 3]``; boxes ``y1 x1 y2 x2``, 0..1."""
    tensorflow: Any = importlib.import_module("tensorflow")
    model = tensorflow.saved_model.load(folder)

    def find(rgb: Pixels) -> Hits:
        # Through the model: the function alone does not keep its variables alive
        found = model.signatures["serving_default"](input_tensor=tensorflow.constant(rgb[None]))
        scores = found["detection_scores"][0].numpy()
        boxes = np.clip(found["detection_boxes"][0].numpy(), 0, 1)[:, [1, 0, 3, 2]]
        boxes *= [rgb.shape[1], rgb.shape[0]] * 2
        return [[*map(float, box), float(s)] for box, s in zip(boxes, scores, strict=True) if s >= score]

    return find


def main() -> None:
    # The libraries print to stdout; it belongs to the answers
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    score = float(sys.argv[1])
    detectors: dict[str, Find] = {}
    for argument in sys.argv[2:]:
        name, _, folder = argument.partition("=")
        detectors[name] = open_d0(folder, score) if folder else open_mtcnn(score)
    versions = {name: metadata.version(name) for name in ("tensorflow", "mtcnn", "numpy")}
    print(json.dumps(versions), file=answers, flush=True)
    while line := sys.stdin.buffer.readline():
        height, width = map(int, line.split())
        data = sys.stdin.buffer.read(height * width * 3)
        rgb = np.frombuffer(data, np.uint8).reshape(height, width, 3)
        hits = {name: find(rgb) for name, find in detectors.items()}
        print(json.dumps(hits), file=answers, flush=True)


if __name__ == "__main__":
    main()
