"""What the loop in convert/training/fit.py must know of a kind of network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.graphs import Array

Maps = Mapping[str, Any]
"""TensorFlow tensors by name."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """A kind of network, and how it is trained.

    ``name`` is that of ``--model``; ``side`` the side of a training canvas in pixels, ``batch`` canvases per
    step, ``epochs`` how often each picture is the main one of a canvas; ``rate`` the highest learning rate.
    ``make_network`` gives a Keras model from float32 ``[B, H, W, 3]`` (RGB, 0..255, sides multiples of
    ``multiple``; both ``side`` where ``fixed``) to a dict of maps.

    ``targets`` makes of the objects on a batch of canvases the arrays that ``loss`` needs. Boxes are
    float32 ``[B, M, 4]`` (``x1 y1 x2 y2``, pixels), and ``kinds`` int32 ``[B, M]`` of ``samples.Kind``. It
    runs in a thread of its own.
    ``loss`` takes the maps, the targets, and the maps of the network as it was before training (empty unless
    ``has_teacher``), and gives the parts of the loss, whose sum is minimised.
    ``decode`` takes the maps as NumPy arrays and gives boxes float32 ``[B, N, 4]`` (pixels of the canvas)
    and scores float32 ``[B, N]``, 0..1, in no order, before suppression.
    ``export`` writes a network as a SavedModel into a new folder, with the name of what it finds and with
    what was measured of it (``convert.stated.Stated``).
    ``start`` puts the weights of a published file into a network, ``imagenet`` those of a backbone that was
    trained on ImageNet; None where there are none. With ``completes``, what a published network is
    sure of becomes a label. ``masks``: masks are drawn on some objects, which only faces wear.
    """

    name: str
    side: int
    batch: int
    epochs: int
    rate: float
    make_network: Callable[[], Any]
    targets: Callable[[Array, Array], dict[str, Array]]
    loss: Callable[[Maps, Maps, Maps], dict[str, Any]]
    decode: Callable[[Mapping[str, Array]], tuple[Array, Array]]
    export: Callable[[Any, Path, str, Mapping[str, Any]], None]
    start: Callable[[Any, Path], float] | None = None
    imagenet: Callable[[Any], float] | None = None
    has_teacher: bool = False
    completes: bool = False
    masks: bool = True
    multiple: int = 32
    fixed: bool = False
    smallest: float = 8.0
    largest: float = 200.0
    decay: float = 1e-4
