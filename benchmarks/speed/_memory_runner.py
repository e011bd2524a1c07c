"""Peak memory of one row: ``python -m benchmarks.speed._memory_runner KIND FILE``.

``KIND`` is ``tf`` (a SavedModel's folder), ``onnx`` (any graph of one picture) or ``edge`` (a detector). The
process loads only what this row needs, runs on a 1280x720 picture of noise, and prints its peak resident
memory in megabytes.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import numpy as np

from benchmarks.machine import peak_megabytes


def main() -> None:
    kind, file = sys.argv[1], Path(sys.argv[2])
    picture = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8)
    if kind == "tf":
        import tensorflow as tf

        loaded = tf.saved_model.load(str(file))
        signature = next(iter(loaded.signatures.values()))
        ((key, wanted),) = signature.structured_input_signature[1].items()
        signature(**{key: tf.constant(_fitting(picture, wanted.shape.as_list(), wanted.dtype.name))})
    elif kind == "onnx":
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = 4
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        kinds = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}
        session.run(None, {given.name: _fitting(picture, given.shape, kinds[given.type])})
    else:
        from benchmarks.one_view import open_at
        from benchmarks.speed.rows import CANVAS
        from convert.one_look import ONE_LOOK
        from edge.config import DetectorConfig
        from edge.detection.session import read_detector
        from edge.errors import DetectionError

        config = DetectorConfig(path=file, timeout_seconds=600)
        detector = open_at(read_detector(file), config, CANVAS)
        # An untrained one sees faces everywhere; that takes no less memory.
        with contextlib.suppress(DetectionError):
            detector.detect(picture, ONE_LOOK)
    print(peak_megabytes())


def _fitting(picture: np.ndarray, shape: list[int | str | None], dtype: str) -> np.ndarray:
    """The picture as a batch of one; where the model fixes a side, a part of it or more of it."""
    given = [picture.shape[place] for place in range(3)]
    sides = [side if isinstance(side, int) else given[place] for place, side in enumerate(shape[1:])]
    return np.resize(picture, sides)[None].astype(dtype)


if __name__ == "__main__":
    main()
