"""Detection heads of tiny graphs, and the same in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

pytest.importorskip("onnxscript", reason="needs the convert extra")
import onnx_ir as ir

from convert import graphs
from edge import contract
from tests.convert.nets import Array, Net, compute, ops

BOXES, SCORES = 0, 1


def sigmoid(array: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-array.astype(np.float64))))


def anchors_of(count: int) -> Array:
    """``cx cy w h`` in shares of the canvas."""
    rng = np.random.default_rng(3)
    return np.concatenate([rng.uniform(0.1, 0.9, (count, 2)), rng.uniform(0.05, 0.4, (count, 2))], axis=1)


def best(boxes: Array, scores: Array, count: int) -> tuple[Array, Array]:
    """NumPy's answer: every box of ``[B, N, 4]`` is ready, sort, and take the first ones."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(boxes, order[:, :, None], axis=1), np.take_along_axis(scores, order, axis=1)


def corners(centres: Array) -> Array:
    half = centres[..., 2:] / 2
    return np.concatenate([centres[..., :2] - half, centres[..., :2] + half], axis=-1)


def check_selected(model: ir.Model, feeds: Sequence[Array], boxes: Array, scores: Array) -> None:
    """``boxes`` and ``scores`` are all candidates, in pixels, as NumPy sees them."""
    names = [value.name for value in model.graph.outputs]
    assert names == [contract.BOXES, contract.SCORES]
    found_boxes, found_scores = compute(model, *feeds)
    shapes = [graphs.shape_of(value) for value in model.graph.outputs]
    assert shapes == [found_boxes.shape, found_scores.shape]
    assert (np.diff(found_scores, axis=1) <= 0).all()
    wanted_boxes, wanted_scores = best(boxes, scores, found_scores.shape[1])
    np.testing.assert_allclose(found_scores, wanted_scores, atol=1e-6)
    np.testing.assert_allclose(found_boxes, wanted_boxes, atol=1e-2, rtol=1e-5)
    assert ops(model).count("TopK") == 1


def faster_rcnn(
    net: Net, offsets: str, anchors: Array, order: str, box: Callable[[Net, str, str], str] | None = None
) -> str:
    """TensorFlow's coder: ``anchors`` are corners in ``order``, and so are the boxes."""
    edges = net.many("Split", [net.const(anchors), net.ints(1, 1, 1, 1)], 4, axis=1)
    moves = net.many("Split", [offsets, net.ints(1, 1, 1, 1)], 4, axis=2)
    lows, highs = [], []
    for place in (0, 1):
        low, high = edges[place], edges[place + 2]
        size = net("Sub", high, low)
        middle = net("Add", low, net("Mul", size, net.const(0.5)))
        centre = net("Add", net("Mul", net("Div", moves[place], net.const(10.0)), size), middle)
        move = net("Div", moves[place + 2], net.const(5.0))
        side = net("Mul", net("Exp", move), size) if box is None else box(net, move, size)
        half = net("Mul", side, net.const(0.5))
        lows.append(net("Sub", centre, half))
        highs.append(net("Add", centre, half))
    assert order in ("yxyx", "xyxy")
    return net("Concat", *lows, *highs, axis=2)
