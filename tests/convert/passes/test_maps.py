"""Maps are decoded inside the graph, at any size of the canvas."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

pytest.importorskip("onnxscript", reason="needs the convert extra")
pytest.importorskip("tensorflow", reason="needs the convert extra")
import onnx_ir as ir

from convert.passes.free import FreeSides, frozen
from convert.passes.grids import DecodeGrids, Grids
from convert.passes.peaks import Peaks, PickPeaks
from convert.passes.select import MAX_CANDIDATES
from convert.reference import decode_grids, decode_peaks
from tests.convert.nets import NHWC, Array, Net, compute, ops, random

SIZES = ((64, 96), (96, 32))
"""Heights and widths; the first is that of the export."""


def pooled(net: Net, picture: str, stride: int, channels: int, seed: int) -> str:
    """A map ``[B, h, w, channels]`` of one stride, from a picture ``[B, H, W, 3]``."""
    turned = net("Transpose", picture, perm=[0, 3, 1, 2])
    weights = random(channels, 3, stride, stride, seed=seed) / (3 * stride)
    maps = net("Conv", turned, net.const(weights), strides=[stride, stride])
    return net("Transpose", maps, perm=NHWC)


def centre() -> ir.Model:
    net = Net()
    picture = net.input(1, *SIZES[0], 3)
    heat = net("Sigmoid", pooled(net, picture, 4, 1, 1))
    return net.model(heat, pooled(net, picture, 4, 2, 2), pooled(net, picture, 4, 2, 3))


def tiny() -> ir.Model:
    net = Net()
    picture = net.input(1, *SIZES[0], 3)
    scores = [net("Sigmoid", pooled(net, picture, stride, 1, stride)) for stride in (8, 16)]
    return net.model(*scores, *(pooled(net, picture, stride, 4, stride + 1) for stride in (8, 16)))


def check_sorted(found: list[Array], boxes: Array, scores: Array, row: int) -> None:
    """The boxes with a score are the expected ones, best first."""
    order = np.argsort(-scores)
    count = len(order)
    np.testing.assert_allclose(found[1][row][:count], scores[order], atol=1e-6)
    np.testing.assert_allclose(found[0][row][:count], boxes[order], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("height_width", "free"), [(SIZES[0], False), (SIZES[0], True), (SIZES[1], True)])
def test_peaks(height_width: tuple[int, int], free: bool) -> None:
    picture = random(2 if free else 1, *height_width, 3, seed=9)
    whole, head = centre(), Peaks(4)
    if free:
        FreeSides()(whole)
    maps = compute(whole, picture)
    assert PickPeaks(head)(whole).modified
    assert [value.name for value in whole.graph.outputs] == ["boxes", "scores"]
    found = compute(whole, picture)
    for row in range(len(picture)):
        boxes, scores = decode_peaks(head, *(value[row] for value in maps))
        assert 5 < len(scores) < maps[0][row].size / 3
        check_sorted(found, boxes, scores, row)
        assert not found[1][row][len(scores) :].any()


def test_of_equal_neighbours_all_are_peaks() -> None:
    """None may be lost; suppression on the host merges them."""
    net = Net()
    model = net.model(
        net("Identity", net.input(1, 4, 4, 1, name="heat")),
        net("Identity", net.input(1, 4, 4, 2, name="size")),
        net("Identity", net.input(1, 4, 4, 2, name="offset")),
    )
    PickPeaks(Peaks(4))(model)
    heat = np.zeros((1, 4, 4, 1), np.float32)
    heat[0, 1, 1:3] = 0.5
    boxes, scores = compute(model, heat, *[np.zeros((1, 4, 4, 2), np.float32)] * 2)
    assert (scores[0] == 0.5).sum() == 2
    assert sorted(map(tuple, boxes[0][:2].tolist())) == [(4, 4, 8, 8), (8, 4, 12, 8)]


@pytest.mark.parametrize("height_width", SIZES)
def test_grids(height_width: tuple[int, int]) -> None:
    picture = random(2, *height_width, 3, seed=9)
    model, head = tiny(), Grids((8, 16))
    FreeSides()(model)
    maps = compute(model, picture)
    assert DecodeGrids(head)(model).modified
    found = compute(model, picture)
    for row in range(2):
        first = [value[row] for value in maps]
        boxes, scores = decode_grids(head, first[:2], first[2:])
        assert len(scores) == found[1].shape[1]
        check_sorted(found, boxes, scores, row)


def test_no_more_candidates_leave_than_tensorrt_takes() -> None:
    model = centre()
    FreeSides()(model)
    PickPeaks(Peaks(4))(model)
    assert compute(model, random(1, 320, 256, 3))[1].shape == (1, MAX_CANDIDATES)


def test_a_canvas_is_frozen_as_a_session_does_it() -> None:
    model = tiny()
    FreeSides()(model)
    DecodeGrids(Grids((8, 16)))(model)
    assert [str(side) for side in model.graph.inputs[0].shape or ()] == ["batch", "height", "width", "3"]
    fixed = frozen(model, 96, 64)
    assert "Shape" in ops(model)
    assert "Shape" not in ops(fixed)
    picture = random(1, 64, 96, 3)
    for found, wanted in zip(compute(fixed, picture), compute(model, picture), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("op", ["Reshape", "Expand", "Tile"])
def test_a_graph_that_states_its_sides_cannot_leave_them_free(op: str) -> None:
    net = Net()
    picture = net.input(1, 4, 4, 3)
    sides = net.ints(1, 1, 1, 1) if op == "Tile" else net.ints(1, 4, 4, 3)
    with pytest.raises(ir.passes.PreconditionError, match=f"{op} states a side of the canvas"):
        FreeSides()(net.model(net(op, picture, sides)))


def test_a_batch_that_was_exported_stays() -> None:
    net = Net()
    picture = net.input(3, 4, 4, 3, kind=TensorProto.FLOAT)
    model = net.model(net("Relu", picture))
    FreeSides()(model)
    assert [str(side) for side in model.graph.inputs[0].shape or ()] == ["3", "height", "width", "3"]
