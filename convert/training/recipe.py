"""What a kind of model is to the rest of training: how it is made, taught and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convert.graphs import Array

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Tensors = Mapping[str, Any]
"""Tensors by name."""


@dataclass(frozen=True)
class Recipe:
    """One kind of model.

    * ``name``: as in ``--model``.
    * ``side``: of a training canvas, in pixels; ``batch``: canvases of a step.
    * ``epochs``: how long it is trained by default; ``rate``: the highest learning rate (AdamW, cosine);
      ``decay``: of the weights.
    * ``make_network``: a Keras model from float32 ``[B, H, W, 3]`` (RGB, 0..255) to a dict of heads.
    * ``targets``: from the boxes of each canvas, float32 ``[N, 4]`` (``x1 y1 x2 y2``, pixels), and which of
      them to ignore, bool ``[N]``, to arrays with a leading batch axis. It runs in a worker thread.
    * ``loss``: from the heads, the targets and a teacher's heads (or None) to parts, which are summed.
    * ``decode``: from the heads and the canvas's ``(height, width)`` in pixels to boxes ``[B, K, 4]``
      (``x1 y1 x2 y2``, pixels) and scores ``[B, K]``, 0..1.
    """

    name: str
    side: int
    batch: int
    epochs: int
    rate: float
    decay: float
    make_network: Callable[[], Any]
    targets: Callable[[Sequence[Floats], Sequence[Bools]], dict[str, Array]]
    loss: Callable[[Tensors, Tensors, Tensors | None], dict[str, Any]]
    decode: Callable[[Tensors, tuple[int, int]], tuple[Any, Any]]
