"""Every rewrite keeps the numbers: tiny graphs, computed by ONNX Runtime before and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("onnxscript", reason="needs the convert extra")
import onnx_ir as ir

from convert import graphs
from convert.errors import ConvertError
from convert.optimize import optimize
from convert.passes.constants import FoldConstants
from convert.passes.fuse import FuseConvolutions
from convert.passes.half import UseHalf
from convert.passes.layout import SinkTransposes
from convert.passes.preprocess import TakeBytes
from convert.passes.quantize import quantize
from convert.passes.select import MAX_CANDIDATES, Head, SelectCandidates
from convert.passes.upsample import NearestToResize
from convert.passes.weighted_sum import ScaleAndAdd
from edge import contract

Array = npt.NDArray[Any]
NCHW, NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


class Net:
    """Builds a graph operator by operator; values are their names."""

    def __init__(self) -> None:
        self.inputs: list[Any] = []
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def input(self, *shape: int | str, name: str = "x", kind: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def const(self, array: Any, kind: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(array, kind), name))
        return name

    def ints(self, *numbers: int) -> str:
        return self.const(numbers, np.int64)

    def many(self, op: str, inputs: Sequence[str], count: int, **attributes: Any) -> list[str]:
        names = [f"v{len(self.nodes)}_{place}" for place in range(count)]
        self.nodes.append(helper.make_node(op, inputs, names, **attributes))
        return names

    def __call__(self, op: str, *inputs: str, **attributes: Any) -> str:
        return self.many(op, inputs, 1, **attributes)[0]

    def proto(self, *outputs: str) -> onnx.ModelProto:
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "net", self.inputs, infos, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model)
        return model

    def model(self, *outputs: str) -> ir.Model:
        return ir.from_proto(self.proto(*outputs))


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def compute(model: ir.Model, *feeds: Array) -> list[Array]:
    """The outputs, as plainly as ONNX Runtime can compute them."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    data = ir.to_proto(model).SerializeToString()
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return list(session.run(None, dict(zip(names, feeds, strict=True))))


def ops(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def wiring(model: ir.Model) -> list[Any]:
    """Every node with its inputs: equal before and after means that nothing was rewritten."""
    return [(n.op_type, *(v and v.name for v in n.inputs), *(v.name for v in n.outputs)) for n in model.graph]


def feeds_for(model: ir.Model) -> list[Array]:
    return [random(*(graphs.shape_of(v) or ()), seed=place) for place, v in enumerate(model.graph.inputs)]


def check_rewritten(rewrite: ir.passes.PassBase, model: ir.Model, tolerance: float = 1e-5) -> None:
    """The pass changes the graph but not its outputs, says so, and has nothing to do afterwards."""
    feeds = feeds_for(model)
    wanted, before = compute(model, *feeds), wiring(model)
    result = rewrite(model)
    assert wiring(model) != before
    for found, array in zip(compute(model, *feeds), wanted, strict=True):
        np.testing.assert_allclose(found, array, rtol=tolerance, atol=tolerance)
    assert result.modified
    check_left(rewrite, model)


def check_left(rewrite: ir.passes.PassBase, model: ir.Model) -> None:
    """The pass finds nothing to do."""
    feeds = feeds_for(model)
    wanted, before = compute(model, *feeds), wiring(model)
    result = rewrite(model)
    assert wiring(model) == before
    assert not result.modified
    for found, array in zip(compute(model, *feeds), wanted, strict=True):
        np.testing.assert_array_equal(found, array)


# FoldConstants


def test_what_does_not_depend_on_the_picture_is_computed() -> None:
    net = Net()
    x = net.input(1, 4, 6)
    top, bottom = net.many("Split", [net.const(random(4, 6)), net.ints(2, 2)], 2, axis=0)
    table = net("Add", net("Mul", net.const(random(1, 4, 6, seed=1)), net.const(3.0)), net.const(1.0))
    sides = net("Shape", x)
    rows = net("Gather", sides, net.ints(1))
    flat = net("Reshape", net("Add", x, table), net("Concat", rows, net.ints(-1), axis=0))
    added = net("Add", flat, net("Concat", bottom, top, axis=0))
    twice = net("Add", net("Relu", added), net("Relu", added))
    net("Sigmoid", added)  # nobody reads it
    model = net.model(net("Identity", twice), net("Tanh", flat))
    check_rewritten(FoldConstants(), model)
    assert sorted(ops(model)) == ["Add", "Add", "Add", "Relu", "Reshape", "Tanh"]
    assert all(graphs.shape_of(value) is not None for node in model.graph for value in node.outputs)


def test_a_graph_of_the_picture_alone_is_not_folded() -> None:
    net = Net()
    x = net.input(2, 3)
    model = net.model(net("Mul", net("Add", x, net.const(random(3))), net("Relu", x)))
    check_left(FoldConstants(), model)


# ScaleAndAdd


def weighted_sum(
    net: Net, maps: Sequence[str], weights: str, *, axis: int = -1, stack: int | None = None
) -> str:
    stacked = [net("Unsqueeze", value, net.ints(axis)) for value in maps]
    product = net("MatMul", net("Concat", *stacked, axis=axis if stack is None else stack), weights)
    return net("Squeeze", product, net.ints(axis))


@pytest.mark.parametrize("axis", [-1, 4])
@pytest.mark.parametrize("count", [2, 3])
def test_a_weighted_sum_of_maps_needs_no_product_of_matrices(count: int, axis: int) -> None:
    net = Net()
    maps = [net.input(1, 4, 5, 3, name=f"x{place}") for place in range(count)]
    total = weighted_sum(net, maps, net.const(random(count, 1)), axis=axis)
    model = net.model(net("Relu", total))
    check_rewritten(ScaleAndAdd(), model)
    assert ops(model) == ["Mul", *["Mul", "Add"] * (count - 1), "Relu"]


def test_every_reader_of_a_weighted_sum_gets_it() -> None:
    net = Net()
    maps = [net.input(2, 3, name=f"x{place}") for place in range(2)]
    stacked = [net("Unsqueeze", value, net.ints(-1)) for value in maps]
    product = net("MatMul", net("Concat", *stacked, axis=-1), net.const(random(2, 1)))
    squeezed = [net("Squeeze", product, net.ints(axis)) for axis in (2, -1)]
    model = net.model(net("Relu", squeezed[0]), net("Neg", squeezed[1]))
    check_rewritten(ScaleAndAdd(), model)
    assert "MatMul" not in ops(model)


def weights_from_the_graph(net: Net, maps: list[str]) -> str:
    return weighted_sum(net, maps, net.input(2, 1, name="weights"))


def maps_one_behind_the_other(net: Net, maps: list[str]) -> str:
    stacked = [net("Unsqueeze", value, net.ints(2)) for value in maps]
    product = net("MatMul", net("Concat", *stacked, axis=1), net.const(random(1, 1)))
    return net("Squeeze", product, net.ints(2))


def two_columns_of_weights(net: Net, maps: list[str]) -> str:
    stacked = [net("Unsqueeze", value, net.ints(-1)) for value in maps]
    return net("MatMul", net("Concat", *stacked, axis=-1), net.const(random(2, 2)))


def weighted_rows(net: Net, maps: list[str]) -> str:
    stacked = [net("Unsqueeze", value, net.ints(1)) for value in maps]
    product = net("MatMul", net("Concat", *stacked, axis=1), net.const(random(3, 1)))
    return net("Squeeze", product, net.ints(-1))


def product_without_squeeze(net: Net, maps: list[str]) -> str:
    stacked = [net("Unsqueeze", value, net.ints(-1)) for value in maps]
    product = net("MatMul", net("Concat", *stacked, axis=-1), net.const(random(2, 1)))
    return net(
        "Add", net("Relu", product), net("Unsqueeze", net("Squeeze", product, net.ints(-1)), net.ints(-1))
    )


@pytest.mark.parametrize(
    "build",
    [
        weights_from_the_graph,
        maps_one_behind_the_other,
        two_columns_of_weights,
        weighted_rows,
        product_without_squeeze,
    ],
)
def test_another_product_of_matrices_stays(build: Callable[[Net, list[str]], str]) -> None:
    net = Net()
    maps = [net.input(2, 3, name=f"x{place}") for place in range(2)]
    check_left(ScaleAndAdd(), net.model(build(net, maps)))


# NearestToResize, on [1, 4, 5, 3]; factors are rows and columns


def by_stacking(net: Net, x: str, rows: int, columns: int) -> str:
    tall = net("Concat", *[net("Unsqueeze", x, net.ints(2))] * rows, axis=2)
    tall = net("Reshape", tall, net.ints(1, 4 * rows, 5, 3))
    wide = net("Concat", *[net("Unsqueeze", tall, net.ints(3)) for _ in range(columns)], axis=3)
    return net("Reshape", wide, net.ints(1, 4 * rows, 5 * columns, 3))


def by_tile(net: Net, x: str, rows: int, columns: int) -> str:
    apart = net("Reshape", x, net.ints(1, 4, 1, 5, 1, 3))
    tiled = net("Tile", apart, net.ints(1, 1, rows, 1, columns, 1))
    return net("Reshape", tiled, net.ints(1, 4 * rows, 5 * columns, 3))


def by_expand(net: Net, x: str, rows: int, columns: int) -> str:
    apart = net("Unsqueeze", x, net.ints(2, 4))
    copies = net("Expand", apart, net.ints(1, 4, rows, 5, columns, 3))
    return net("Reshape", copies, net.ints(1, 4 * rows, 5 * columns, 3))


def by_ones(net: Net, x: str, rows: int, columns: int) -> str:
    apart = net("Reshape", x, net.ints(1, 4, 1, 5, 1, 3))
    copies = net("Mul", net.const(np.ones((1, 1, rows, 1, columns, 1))), apart)
    return net("Reshape", copies, net.ints(1, 4 * rows, 5 * columns, 3))


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (2, 3), (1, 2), (3, 1)])
@pytest.mark.parametrize("upsample", [by_stacking, by_tile, by_expand, by_ones])
def test_repeated_pixels_become_one_resize(
    upsample: Callable[[Net, str, int, int], str], rows: int, columns: int
) -> None:
    net = Net()
    x = net("Relu", net.input(1, 4, 5, 3))
    model = net.model(net("Neg", upsample(net, x, rows, columns)))
    check_rewritten(NearestToResize(), model, tolerance=0)
    assert ops(model) == ["Relu", "Transpose", "Resize", "Transpose", "Neg"]
    (resize,) = [node for node in model.graph if node.op_type == "Resize"]
    scales = graphs.constant(resize.inputs[2])
    assert scales is not None
    assert scales.tolist() == [1, 1, rows, columns]


def test_a_map_that_is_read_half_way_stays() -> None:
    net = Net()
    x = net("Relu", net.input(1, 4, 5, 3))
    apart = net("Reshape", x, net.ints(1, 4, 1, 5, 1, 3))
    tiled = net("Tile", apart, net.ints(1, 1, 2, 1, 2, 1))
    model = net.model(net("Neg", net("Reshape", tiled, net.ints(1, 8, 10, 3))), net("Tanh", tiled))
    check_rewritten(NearestToResize(), model, tolerance=0)
    assert ops(model).count("Resize") == ops(model).count("Tile") == 1


def whole_picture_tiled(net: Net, x: str) -> str:
    return net("Tile", x, net.ints(1, 2, 3, 1))


def stacked_in_front(net: Net, x: str) -> str:
    twice = net("Concat", *[net("Unsqueeze", x, net.ints(1))] * 2, axis=1)
    return net("Reshape", twice, net.ints(1, 8, 5, 3))


def shuffled(net: Net, x: str) -> str:
    copies = net("Tile", net("Reshape", x, net.ints(1, 4, 5, 1, 3)), net.ints(1, 1, 1, 2, 1))
    turned = net("Transpose", copies, perm=[0, 1, 3, 2, 4])
    return net("Reshape", turned, net.ints(1, 4, 10, 3))


def two_sources(net: Net, x: str) -> str:
    both = [net("Unsqueeze", value, net.ints(2)) for value in (x, net("Neg", x))]
    return net("Reshape", net("Concat", *both, axis=2), net.ints(1, 8, 5, 3))


def by_twos(net: Net, x: str) -> str:
    apart = net("Reshape", x, net.ints(1, 4, 1, 5, 3))
    return net("Reshape", net("Mul", apart, net.const(np.full((1, 1, 2, 1, 1), 2))), net.ints(1, 8, 5, 3))


def repeated_channels(net: Net, x: str) -> str:
    copies = net("Tile", net("Reshape", x, net.ints(1, 4, 5, 3, 1)), net.ints(1, 1, 1, 1, 2))
    return net("Reshape", copies, net.ints(1, 4, 5, 6))


@pytest.mark.parametrize(
    "build", [whole_picture_tiled, stacked_in_front, shuffled, two_sources, by_twos, repeated_channels]
)
def test_copies_in_another_order_are_no_upsampling(build: Callable[[Net, str], str]) -> None:
    net = Net()
    x = net("Relu", net.input(1, 4, 5, 3))
    check_left(NearestToResize(), net.model(net("Neg", build(net, x))))


# SelectCandidates

WIDTH, HEIGHT = 320.0, 192.0
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


def two_heads(net: Net, count: int, classes: int, batch: int) -> tuple[str, str, str]:
    """Features, and the offsets and raw scores that are computed from them."""
    x = net.input(batch, count, 8)
    offsets = net("MatMul", x, net.const(random(8, 4, seed=5)))
    return x, offsets, net("MatMul", x, net.const(random(8, classes, seed=6)))


def heads_in_numpy(features: Array, classes: int) -> tuple[Array, Array]:
    wide = features.astype(np.float64)
    return wide @ random(8, 4, seed=5), wide @ random(8, classes, seed=6)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("candidates", [5, MAX_CANDIDATES])
@pytest.mark.parametrize("order", ["yxyx", "xyxy"])
def test_the_box_coder_is_found_and_moves_behind_top_k(order: str, candidates: int, batch: int) -> None:
    count, net = 12, Net()
    anchors = anchors_of(count)
    swap = [1, 0, 3, 2] if order == "yxyx" else [0, 1, 2, 3]
    _, offsets, raw = two_heads(net, count, 1, batch)
    boxes = faster_rcnn(net, offsets, corners(anchors)[:, swap], order)
    model = net.model(boxes, net("Sigmoid", raw))
    select = SelectCandidates(Head((0,), order, (WIDTH, HEIGHT)), candidates)
    assert select(model).modified
    assert "measured" in select.notes[0]
    assert "0.1, 0.1, 0.2, 0.2" in select.notes[0]
    assert graphs.shape_of(model.graph.outputs[SCORES]) == (batch, min(count, candidates))
    exps = [node for node in model.graph if node.op_type == "Exp"]
    assert [graphs.shape_of(v) for node in exps for v in node.inputs if v] != [(batch, count, 1)] * 2
    assert len(exps) == 1

    features = random(batch, count, 8, seed=9)
    moves, logits = heads_in_numpy(features, 1)
    moves = moves[..., swap] * (0.1, 0.1, 0.2, 0.2)
    centres = np.concatenate(
        [moves[..., :2] * anchors[:, 2:] + anchors[:, :2], np.exp(moves[..., 2:]) * anchors[:, 2:]], axis=-1
    )
    pixels = corners(centres) * (WIDTH, HEIGHT, WIDTH, HEIGHT)
    check_selected(model, [features], pixels, sigmoid(logits[..., 0]))


def linear_side(net: Net, move: str, size: str) -> str:
    return net("Mul", net("Add", move, net.const(1.0)), size)


def squared_sigmoid_side(net: Net, move: str, size: str) -> str:
    share = net("Mul", net("Sigmoid", move), net.const(2.0))
    return net("Mul", net("Mul", share, share), size)


@pytest.mark.parametrize("side", [linear_side, squared_sigmoid_side, None])
def test_another_decoding_is_kept(side: Callable[[Net, str, str], str] | None) -> None:
    count, net = 10, Net()
    _, offsets, raw = two_heads(net, count, 1, 2)
    anchors = corners(anchors_of(count))
    boxes = net("Sigmoid", offsets) if side is None else faster_rcnn(net, offsets, anchors, "xyxy", side)
    model = net.model(boxes, net("Sigmoid", raw))
    features = random(2, count, 8, seed=9)
    ready, scores = compute(model, features)
    select = SelectCandidates(Head((0,), "xyxy", (WIDTH, HEIGHT)), 6)
    select(model)
    assert "measured" not in " ".join(select.notes)
    check_selected(model, [features], ready * np.array([WIDTH, HEIGHT] * 2), scores[..., 0])


def limited_side(net: Net, move: str, size: str) -> str:
    return net("Mul", net("Exp", net("Min", move, net.const(np.log(1000 / 16)))), size)


@pytest.mark.parametrize("limit", ["growth", "canvas"])
def test_a_limit_in_the_decoding_still_holds(limit: str) -> None:
    count, net = 10, Net()
    _, offsets, raw = two_heads(net, count, 1, 1)
    rng = np.random.default_rng(0)
    middle = np.concatenate([rng.uniform(0.4, 0.6, (count, 2)), rng.uniform(0.05, 0.1, (count, 2))], axis=1)
    boxes = faster_rcnn(net, offsets, corners(middle), "xyxy", limited_side if limit == "growth" else None)
    if limit == "canvas":
        boxes = net("Clip", boxes, net.const(0.0), net.const(1.0))
    model = net.model(boxes, net("Sigmoid", raw))
    features = random(1, count, 8, seed=9) * 15  # far beyond the numbers that a measurement tries
    ready, scores = compute(model, features)
    SelectCandidates(Head((0,), "xyxy", (WIDTH, HEIGHT)))(model)
    check_selected(model, [features], ready * np.array([WIDTH, HEIGHT] * 2), scores[..., 0])


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("box_format", ["cxcywh", "cycxhw"])
def test_given_anchors_decode_offsets(box_format: str, batch: int) -> None:
    count, net = 12, Net()
    anchors = anchors_of(count)
    _, offsets, raw = two_heads(net, count, 1, batch)
    model = net.model(offsets, net("Sigmoid", raw))
    variances = (0.1, 0.15, 0.2, 0.25)
    SelectCandidates(Head((0,), box_format, (WIDTH, HEIGHT), anchors, variances), 7)(model)

    features = random(batch, count, 8, seed=9)
    moves, logits = heads_in_numpy(features, 1)
    moves = moves * variances
    if box_format == "cycxhw":
        moves = moves[..., [1, 0, 3, 2]]
    centres = np.concatenate(
        [moves[..., :2] * anchors[:, 2:] + anchors[:, :2], np.exp(moves[..., 2:]) * anchors[:, 2:]], axis=-1
    )
    check_selected(
        model, [features], corners(centres) * (WIDTH, HEIGHT, WIDTH, HEIGHT), sigmoid(logits[..., 0])
    )


def ready_model(count: int, batch: int, *scores: int) -> ir.Model:
    """Boxes and scores come in, doubled on their way out."""
    net = Net()
    boxes = net.input(batch, count, 4, name="rows")
    columns = net.input(batch, count, *scores, name="columns")
    return net.model(net("Mul", boxes, net.const(2.0)), net("Mul", columns, net.const(2.0)))


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("box_format", ["yxyx", "xyxy", "cxcywh", "cycxhw"])
def test_ready_boxes_become_corners_in_pixels(box_format: str, pixels: bool) -> None:
    count = 9
    shares = np.stack([anchors_of(count), anchors_of(count)[::-1]])
    rows = corners(shares) if box_format in ("yxyx", "xyxy") else shares
    if pixels:
        rows = rows * (WIDTH, HEIGHT, WIDTH, HEIGHT)
    if box_format in ("yxyx", "cycxhw"):
        rows = rows[..., [1, 0, 3, 2]]
    scores = np.random.default_rng(1).uniform(0, 1, (2, count, 1)).astype(np.float32)
    model = ready_model(count, 2, 1)
    SelectCandidates(Head((0,), box_format, (1.0, 1.0) if pixels else (WIDTH, HEIGHT)), 4)(model)
    wanted = corners(shares) * (WIDTH, HEIGHT, WIDTH, HEIGHT)
    check_selected(model, [(rows / 2).astype(np.float32), scores / 2], wanted, scores[..., 0])


@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("columns", [(0, 1, 2, 3), (1, 2, 3), (2,), (3, 1)])
def test_a_face_is_the_best_of_its_classes(columns: tuple[int, ...], logits: bool) -> None:
    model = ready_model(8, 2, 4)
    SelectCandidates(Head(columns, "xyxy", (1.0, 1.0), logits=logits), 6)(model)
    rows, scores = random(2, 8, 4), random(2, 8, 4, seed=2)
    merged = scores[..., list(columns)].max(axis=2)
    check_selected(model, [rows / 2, scores / 2], rows, sigmoid(merged) if logits else merged)


@pytest.mark.parametrize("logits", [False, True])
def test_scores_may_come_without_classes(logits: bool) -> None:
    model = ready_model(8, 2)
    SelectCandidates(Head((0,), "xyxy", (1.0, 1.0), logits=logits))(model)
    rows, scores = random(2, 8, 4), random(2, 8, seed=2)
    check_selected(model, [rows / 2, scores / 2], rows, sigmoid(scores) if logits else scores)


def test_no_more_candidates_leave_than_top_k_of_tensorrt_takes() -> None:
    model = ready_model(4000, 1, 1)
    SelectCandidates(Head((0,), "xyxy", (1.0, 1.0)), 10_000)(model)
    assert graphs.shape_of(model.graph.outputs[BOXES]) == (1, MAX_CANDIDATES, 4)
    rows, scores = random(1, 4000, 4), random(1, 4000, 1, seed=2)
    check_selected(model, [rows / 2, scores / 2], rows, scores[..., 0])


@pytest.mark.parametrize("columns", [(4,), (0, 7), (-1,)])
def test_a_column_that_is_not_there_is_an_error(columns: tuple[int, ...]) -> None:
    with pytest.raises(ConvertError, match="column"):
        SelectCandidates(Head(columns, "xyxy", (1.0, 1.0)))(ready_model(8, 1, 4))


def test_outputs_that_carry_the_names_of_the_contract_are_no_obstacle() -> None:
    net = Net()
    rows, columns = net.input(1, 6, 4, name="rows"), net.input(1, 6, name="columns")
    net.nodes.append(helper.make_node("Neg", [rows], ["boxes"]))
    net.nodes.append(helper.make_node("Neg", [columns], ["scores"]))
    model = net.model("boxes", "scores")
    SelectCandidates(Head((0,), "xyxy", (1.0, 1.0)))(model)
    boxes, scores = random(1, 6, 4), random(1, 6, seed=1)
    check_selected(model, [-boxes, -scores], boxes, scores)


@pytest.mark.parametrize(
    ("boxes", "scores"), [((1, 8, 5), (1, 8, 1)), ((1, 8, 4), (1, 7, 1)), ((1, "n", 4), (1, "n", 1))]
)
def test_outputs_that_are_no_boxes_and_scores_are_refused(boxes: Any, scores: Any) -> None:
    net = Net()
    rows, columns = net.input(*boxes, name="rows"), net.input(*scores, name="columns")
    model = net.model(net("Neg", rows), net("Neg", columns))
    with pytest.raises(ir.passes.PreconditionError, match=r"wanted \[B, N, 4\]"):
        SelectCandidates(Head((0,), "xyxy", (1.0, 1.0)))(model)


def test_a_third_output_is_refused() -> None:
    net = Net()
    rows = net.input(1, 8, 4, name="rows")
    model = net.model(*(net(op, rows) for op in ("Neg", "Relu", "Tanh")))
    with pytest.raises(ir.passes.PreconditionError):
        SelectCandidates(Head((0,), "xyxy", (1.0, 1.0)))(model)


# SinkTransposes


def test_a_block_of_tensorflow_needs_no_transpose() -> None:
    net = Net()
    x = net.input(1, 3, 6, 5)
    weights = [net.const(random(4, inputs, 3, 3, seed=inputs)) for inputs in (3, 4)]
    last = net("Transpose", net("Conv", x, weights[0]), perm=NHWC)
    last = net("Add", last, net.const(random(4)))
    last = net("Mul", last, net("Sigmoid", last))
    factors = net("Sigmoid", net("ReduceMean", last, net.ints(1, 2), keepdims=1))
    last = net("Pad", net("Mul", last, factors), net.ints(0, 1, 2, 0, 0, 1, 0, 0))
    last = net("Concat", net("Relu", last), net("Neg", last), axis=3)
    shrink = net.const(random(4, 8, 1, 1))
    last = net("Conv", net("Conv", net("Transpose", last, perm=NCHW), shrink), weights[1])
    model = net.model(last)
    check_rewritten(SinkTransposes(), model)
    assert "Transpose" not in ops(model)


def test_a_transpose_that_only_moves_further_is_a_change() -> None:
    net = Net()
    model = net.model(net("Relu", net("Transpose", net.input(1, 3, 6, 5), perm=NHWC)))
    check_rewritten(SinkTransposes(), model)
    assert ops(model) == ["Relu", "Transpose"]


def test_a_transpose_that_moves_nothing_is_a_reshape() -> None:
    net = Net()
    x = net("Relu", net.input(1, 3, 1, 1))
    model = net.model(net("Softmax", net("Transpose", x, perm=NHWC), axis=3))
    check_rewritten(SinkTransposes(), model)
    assert ops(model) == ["Relu", "Reshape", "Softmax"]


def test_two_transposes_become_one() -> None:
    net = Net()
    x = net("Relu", net.input(2, 3, 6, 5))
    turned = net("Transpose", net("Transpose", x, perm=NHWC), perm=[1, 0, 2, 3])
    model = net.model(net("Softmax", turned))
    check_rewritten(SinkTransposes(), model)
    assert ops(model) == ["Relu", "Transpose", "Softmax"]


def needed_before_softmax(net: Net, x: str) -> str:
    return net("Softmax", net("Transpose", x, perm=NHWC), axis=-1)


def needed_before_reshape(net: Net, x: str) -> str:
    return net("Reshape", net("Transpose", x, perm=NHWC), net.ints(1, -1, 3))


def two_layouts(net: Net, x: str) -> str:
    second = net.input(1, 6, 5, 3, name="second")
    return net("Add", net("Transpose", x, perm=NHWC), second)


def two_permutations(net: Net, x: str) -> str:
    second = net.input(1, 6, 3, 5, name="second")
    return net("Add", net("Transpose", x, perm=NHWC), net("Transpose", second, perm=[0, 1, 3, 2]))


def order_of_what_is_left(net: Net, x: str) -> str:
    return net("ReduceMean", net("Transpose", x, perm=NHWC), net.ints(1), keepdims=0)


@pytest.mark.parametrize(
    "build",
    [needed_before_softmax, needed_before_reshape, two_layouts, two_permutations, order_of_what_is_left],
)
def test_a_transpose_that_is_needed_stays(build: Callable[[Net, str], str]) -> None:
    net = Net()
    x = net("Exp", net.input(1, 3, 6, 5))
    model = net.model(build(net, x))
    check_left(SinkTransposes(), model)
    assert "Transpose" in ops(model)


def test_shapes_must_be_known_to_sink_transposes() -> None:
    net = Net()
    model = net.model(net("Transpose", net.input(1, 3, "height", 5), perm=NHWC))
    with pytest.raises(ir.passes.PreconditionError, match="no static shape"):
        SinkTransposes()(model)


@st.composite
def layouts(draw: st.DrawFn) -> ir.Model:
    """A random chain of what SinkTransposes knows, with a few branches."""
    net = Net()
    shape: tuple[int, ...] = draw(st.sampled_from([(1, 3, 4, 2), (2, 3, 3, 2), (1, 4, 1, 3), (1, 1, 1, 3)]))
    last = net("Mul", net.input(*shape), net.const(1.5))
    axes = st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True)
    perms = st.sampled_from([NCHW, NHWC]) | st.permutations(range(4))
    outputs = []

    def turn(value: str, perm: Sequence[int]) -> str:
        return net("Transpose", value, perm=perm)

    for _ in range(draw(st.integers(1, 9))):
        kind = draw(st.integers(0, 10))
        perm = draw(perms)
        turned = tuple(shape[axis] for axis in perm)
        if kind <= 1:
            last, shape = turn(last, perm), turned
        elif kind == 2:
            last = net(draw(st.sampled_from(["Relu", "Sigmoid", "Neg"])), last)
        elif kind == 3:
            sides = [side if draw(st.booleans()) else 1 for side in shape][draw(st.integers(0, 4)) :]
            pair = [last, net.const(random(*sides, seed=1))]
            last = net(
                draw(st.sampled_from(["Add", "Mul", "Sub"])), *(pair if draw(st.booleans()) else pair[::-1])
            )
        elif kind == 4:  # two branches, mostly in the same layout
            other = draw(perms)
            if tuple(shape[axis] for axis in other) != turned:
                other = perm
            last = net("Add", turn(net("Relu", last), perm), net("Sigmoid", turn(last, other)))
            shape = turned
        elif kind == 5:
            axis = draw(st.integers(-4, 3))
            last = net("Concat", turn(last, perm), turn(net("Relu", last), perm), axis=axis)
            shape = tuple(s * (2 if place == axis % 4 else 1) for place, s in enumerate(turned))
        elif kind == 6:
            pads = draw(st.lists(st.integers(0, 1), min_size=8, max_size=8))
            value = [net.const(draw(st.sampled_from([0.0, 2.0])))] if draw(st.booleans()) else []
            last = net("Pad", last, net.ints(*pads), *value)
            shape = tuple(s + pads[place] + pads[place + 4] for place, s in enumerate(shape))
        elif kind == 7:
            chosen = draw(axes)
            keep = draw(st.booleans())
            signed = [axis - 4 if draw(st.booleans()) else axis for axis in chosen]
            last = net("ReduceMean", last, net.ints(*signed), keepdims=int(keep))
            shape = tuple(1 if place in chosen else s for place, s in enumerate(shape))
            if not keep and draw(st.booleans()):
                last = net("Unsqueeze", last, net.ints(*sorted(chosen)))
            elif not keep:
                last = net("Reshape", last, net.ints(*shape))
        elif kind == 8:  # squeeze and excitation
            mean = net("ReduceMean", last, net.ints(*draw(axes)), keepdims=1)
            last = net("Mul", last, net("Sigmoid", mean))
        elif kind == 9:
            last, shape = net("Reshape", last, net.ints(*turned)), turned
        else:
            outputs.append(net("Tanh", last))
    return net.model(*outputs, net("Tanh", last))


@given(layouts())
def test_sinking_transposes_changes_no_number(model: ir.Model) -> None:
    feeds = feeds_for(model)
    wanted = compute(model, *feeds)
    SinkTransposes()(model)
    for found, array in zip(compute(model, *feeds), wanted, strict=True):
        np.testing.assert_allclose(found, array, rtol=1e-4, atol=1e-5)
    check_left(SinkTransposes(), model)


# TakeBytes

SCALE, OFFSET = (1 / 127.5, 1 / 100, 1 / 50), (-1.0, 0.5, -2.0)


def picture_model(*readers: str, name: str = "image", kind: int = TensorProto.FLOAT) -> ir.Model:
    """``readers``: nchw, through the usual Transpose; nhwc, as it is."""
    net = Net()
    image = net.input(1, 6, 5, 3, name=name, kind=kind)
    if kind == TensorProto.UINT8:
        image = net("Cast", image, to=TensorProto.FLOAT)
    outputs = []
    for reader in readers:
        if reader == "nchw":
            turned = net("Transpose", image, perm=NCHW)
            outputs.append(net("Conv", turned, net.const(random(2, 3, 3, 3)), pads=[1] * 4))
        else:
            outputs.append(net("Softmax", image, axis=2))
    return net.model(*outputs)


@pytest.mark.parametrize("cast_first", [False, True])
@pytest.mark.parametrize("readers", [["nchw"], ["nhwc"], ["nchw", "nhwc"], ["nchw", "nchw"]])
def test_bytes_are_normalised_in_the_graph(readers: list[str], cast_first: bool) -> None:
    model = picture_model(*readers)
    picture = np.random.default_rng(0).integers(0, 256, (1, 6, 5, 3), np.uint8)
    wanted = compute(model, (picture * np.array(SCALE) + OFFSET).astype(np.float32))
    rewrite = TakeBytes(SCALE, OFFSET, cast_first=cast_first)
    assert rewrite(model).modified
    (image,) = model.graph.inputs
    assert (image.name, image.dtype, graphs.shape_of(image)) == ("image", ir.DataType.UINT8, (1, 6, 5, 3))
    for found, array in zip(compute(model, picture), wanted, strict=True):
        np.testing.assert_allclose(found, array, atol=1e-4)
    assert [node.op_type for node, _ in image.uses()] == ["Cast" if cast_first else "Transpose"]
    assert ops(model).count("Transpose") == (2 if "nhwc" in readers else 1)
    before = wiring(model)
    assert not rewrite(model).modified
    assert wiring(model) == before


def test_a_normalisation_that_does_nothing_adds_nothing() -> None:
    model = picture_model("nchw")
    TakeBytes((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))(model)
    assert ops(model) == ["Transpose", "Cast", "Conv"]


@pytest.mark.parametrize("name", ["image", "input_tensor"])
def test_a_model_that_takes_bytes_already_is_left_as_it_is(name: str) -> None:
    model = picture_model("nchw", name=name, kind=TensorProto.UINT8)
    picture = np.random.default_rng(0).integers(0, 256, (1, 6, 5, 3), np.uint8)
    (wanted,) = compute(model, picture)
    nodes = ops(model)
    result = TakeBytes(SCALE, OFFSET)(model)
    assert ops(model) == nodes
    assert model.graph.inputs[0].name == contract.INPUT
    assert result.modified == (name != contract.INPUT)
    np.testing.assert_array_equal(compute(model, picture)[0], wanted)


@pytest.mark.parametrize("shapes", [[(1, 3, 6, 5)], [(6, 5, 3)], [(1, "h", 5, 3)], [(1, 6, 5, 3), (1,)]])
def test_an_input_that_is_no_picture_is_refused(shapes: list[tuple[int | str, ...]]) -> None:
    net = Net()
    values = [net.input(*shape, name=f"x{place}") for place, shape in enumerate(shapes)]
    model = net.model(net("Add", values[0], values[-1]))
    with pytest.raises(ir.passes.PreconditionError, match=r"wanted one of \[B, H, W, 3\]"):
        TakeBytes(SCALE, OFFSET)(model)


# FuseConvolutions, on [1, 3, 6, 5]


def normalised(net: Net, x: str, channels: int, seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    arrays = [rng.uniform(0.5, 2, channels) for _ in range(4)]
    return net("BatchNormalization", x, *map(net.const, arrays), epsilon=1e-3)


def conv_and_normalisation(net: Net, x: str) -> str:
    return normalised(net, net("Conv", x, net.const(random(4, 3, 3, 3)), strides=[2, 2], pads=[1] * 4), 4)


def depthwise_and_normalisation(net: Net, x: str) -> str:
    return normalised(net, net("Conv", x, net.const(random(6, 1, 3, 3)), group=3, pads=[0, 0, 1, 1]), 6)


def a_shared_weight(net: Net, x: str) -> str:
    weights, bias = net.const(random(4, 3, 3, 3)), net.const(random(4, seed=1))
    levels = [normalised(net, net("Conv", x, weights, bias), 4, seed) for seed in (1, 2)]
    return net("Concat", *levels, axis=1)


def bias_factor_and_shift(net: Net, x: str) -> str:
    conv = net("Conv", x, net.const(random(4, 3, 3, 3)), net.const(random(4, seed=1)))
    scaled = net("Mul", net.const(random(4, 1, 1, seed=2)), conv)
    shifted = net("Sub", net("Add", scaled, net.const(random(1, 4, 1, 1, seed=3))), net.const(0.5))
    return normalised(net, shifted, 4)


def padding(net: Net, x: str) -> str:
    padded = net("Pad", x, net.ints(0, 0, 1, 0, 0, 0, 2, 1), net.const(0.0))
    return net("Conv", padded, net.const(random(4, 3, 3, 3)), pads=[0, 1, 0, 1], strides=[2, 1])


def factor_in_front(net: Net, x: str) -> str:
    scaled = net("Mul", x, net.const(random(3, 1, 1, seed=2)))
    return net("Conv", scaled, net.const(random(4, 3, 3, 3)), net.const(random(4)), pads=[1] * 4)


@pytest.mark.parametrize(
    ("build", "convolutions"),
    [
        (conv_and_normalisation, 1),
        (depthwise_and_normalisation, 1),
        (a_shared_weight, 2),
        (bias_factor_and_shift, 1),
        (padding, 1),
        (factor_in_front, 1),
    ],
)
def test_what_surrounds_a_convolution_goes_into_it(
    build: Callable[[Net, str], str], convolutions: int
) -> None:
    net = Net()
    model = net.model(net("Relu", build(net, net("Neg", net.input(1, 3, 6, 5)))))
    check_rewritten(FuseConvolutions(), model)
    inner = [op for op in ops(model) if op not in ("Neg", "Relu", "Concat")]
    assert inner == ["Conv"] * convolutions


def convolution(net: Net, x: str, **attributes: Any) -> str:
    return net("Conv", x, net.const(random(3, 3, 3, 3)), pads=[1] * 4, **attributes)


def read_twice(net: Net, x: str) -> str:
    conv = convolution(net, x)
    return net("Add", normalised(net, conv, 3), net("Relu", conv))


def weights_that_are_no_constant(net: Net, x: str) -> str:
    conv = net("Conv", x, net.input(3, 3, 3, 3, name="weights"))
    return net("Mul", conv, net.const(random(3, 1, 1)))


def shift_per_pixel(net: Net, x: str) -> str:
    return net("Add", convolution(net, x), net.const(random(1, 1, 6, 5)))


def shift_per_column(net: Net, x: str) -> str:
    return net("Add", convolution(net, x), net.const(random(5)))


def subtracted_from(net: Net, x: str) -> str:
    return net("Sub", net.const(random(3, 1, 1)), convolution(net, x))


def factor_per_picture_row(net: Net, x: str) -> str:
    return convolution(net, net("Mul", x, net.const(random(6, 1))))


def factor_before_groups(net: Net, x: str) -> str:
    scaled = net("Mul", x, net.const(random(3, 1, 1)))
    return net("Conv", scaled, net.const(random(3, 1, 3, 3)), group=3)


def factor_that_makes_channels(net: Net, x: str) -> str:
    one = net("ReduceMean", x, net.ints(1), keepdims=1)
    return convolution(net, net("Mul", one, net.const(random(3, 1, 1))))


def padding_with_ones(net: Net, x: str) -> str:
    return convolution(net, net("Pad", x, net.ints(0, 0, 1, 1, 0, 0, 1, 1), net.const(1.0)))


def padded_channels(net: Net, x: str) -> str:
    padded = net("Pad", x, net.ints(0, 1, 0, 0, 0, 0, 0, 0))
    return net("Conv", padded, net.const(random(2, 4, 3, 3)))


def reflected_padding(net: Net, x: str) -> str:
    return convolution(net, net("Pad", x, net.ints(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect"))


@pytest.mark.parametrize(
    "build",
    [
        read_twice,
        weights_that_are_no_constant,
        shift_per_pixel,
        shift_per_column,
        subtracted_from,
        factor_per_picture_row,
        factor_before_groups,
        factor_that_makes_channels,
        padding_with_ones,
        padded_channels,
        reflected_padding,
    ],
)
def test_what_is_no_part_of_a_convolution_stays(build: Callable[[Net, str], str]) -> None:
    net = Net()
    check_left(FuseConvolutions(), net.model(net("Relu", build(net, net("Neg", net.input(1, 3, 6, 5))))))


def test_a_convolution_that_is_an_output_itself_stays() -> None:
    net = Net()
    conv = convolution(net, net.input(1, 3, 6, 5))
    check_left(FuseConvolutions(), net.model(conv, normalised(net, conv, 3)))


def test_a_factor_that_others_read_as_well_is_still_a_change() -> None:
    net = Net()
    scaled = net("Mul", net.input(1, 3, 6, 5), net.const(random(3, 1, 1)))
    model = net.model(convolution(net, scaled), net("Relu", scaled))
    before = wiring(model)
    result = FuseConvolutions()(model)
    assert result.modified == (wiring(model) != before)


def test_a_normalisation_that_cannot_be_fused_is_reported() -> None:
    net = Net()
    conv = net("Conv", net.input(1, 3, 6, 5), net.input(3, 3, 3, 3, name="weights"))
    with pytest.raises(ir.passes.PostconditionError, match="batch normalisation"):
        FuseConvolutions()(net.model(normalised(net, conv, 3)))


# The whole order, UseHalf, quantize()

SIDE, CELLS, CHANNELS = 32, 8, 8
ANCHORS = anchors_of(CELLS * CELLS)


def export() -> onnx.ModelProto:
    """What tf2onnx makes of a small detector: NHWC between convolutions in NCHW, decoded at the end."""
    net = Net()

    def layer(value: str, inputs: int, seed: int, group: int = 1, stride: int = 1) -> str:
        weights = random(CHANNELS, inputs // group, 3, 3, seed=seed) / np.sqrt(9 * inputs / group)
        edges = [0, 0, 1, 1] if stride == 2 else [1] * 4
        turned = net("Transpose", value, perm=NCHW)
        conv = net("Conv", turned, net.const(weights), group=group, strides=[stride] * 2, pads=edges)
        return net("Relu", net("Transpose", normalised(net, conv, CHANNELS, seed), perm=NHWC))

    def head(value: str, outputs: int, seed: int) -> str:
        weights = net.const(random(outputs, CHANNELS, 1, 1, seed=seed) / 4)
        maps = net("Transpose", net("Conv", net("Transpose", value, perm=NCHW), weights), perm=NHWC)
        return net("Reshape", maps, net.ints(1, CELLS * CELLS, outputs))

    last = layer(net.input(1, SIDE, SIDE, 3, name="image"), 3, 1, stride=2)
    last = layer(last, CHANNELS, 2, group=CHANNELS, stride=2)
    last = layer(layer(last, CHANNELS, 3), CHANNELS, 4)
    boxes = faster_rcnn(net, head(last, 4, 5), corners(ANCHORS)[:, [1, 0, 3, 2]], "yxyx")
    return net.proto(boxes, net("Sigmoid", head(last, 2, 6)))


def optimized() -> ir.Model:
    head = Head((1,), "yxyx", (SIDE, SIDE))
    return optimize(export(), head, (1 / 127.5,) * 3, (-1.0,) * 3).model


def pictures(count: int) -> Array:
    return np.random.default_rng(4).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def check_near(found: list[Array], wanted: list[Array], pixels: float, score: float) -> None:
    """Equal scores may change places, so every box is compared with the nearest one."""
    np.testing.assert_allclose(found[SCORES], wanted[SCORES], atol=score)
    apart = np.abs(found[BOXES][0][:, None] - wanted[BOXES][0][None]).max(axis=2)
    assert apart.min(axis=1).max() < pixels
    assert apart.min(axis=0).max() < pixels


def check_contract(model: ir.Model) -> None:
    tensors = [
        [(v.name, "uint8" if v.dtype == ir.DataType.UINT8 else "float", v.shape) for v in values]
        for values in (model.graph.inputs, model.graph.outputs)
    ]
    checked = [[(n, f"tensor({kind})", list(s)) for n, kind, s in part if n and s] for part in tensors]
    contract.check_tensors(*checked)


@pytest.mark.parametrize("cast_first", [False, True])
def test_all_passes_together_keep_the_detector(cast_first: bool) -> None:
    exported = export()
    scale, offset = (1 / 127.5, 1 / 120, 1 / 100), (-1.0, -0.5, 0.25)
    picture = pictures(1)
    boxes, scores = compute(ir.from_proto(exported), (picture * np.array(scale) + offset).astype(np.float32))
    result = optimize(exported, Head((1,), "yxyx", (SIDE, SIDE)), scale, offset, cast_first=cast_first)
    check_contract(result.model)
    check_selected(result.model, [picture], boxes[..., [1, 0, 3, 2]] * SIDE, scores[..., 1])
    nodes = ops(result.model)
    assert "BatchNormalization" not in nodes
    assert nodes.count("Transpose") == 3  # the picture's and the two of the head
    assert any("measured" in note for note in result.notes)
    assert [step.name for step in result.steps if step.modified] != []


def test_a_graph_of_no_known_family_says_so() -> None:
    net = Net()
    image = net.input(1, 8, 4, name="image")
    with pytest.raises(ConvertError, match=r"SelectCandidates: .* no known family"):
        optimize(
            net.proto(net("Neg", image), net("Softmax", net("ReduceMean", image, keepdims=1))),
            Head((0,), "xyxy", (1.0, 1.0)),
            (1.0,) * 3,
            (0.0,) * 3,
        )


def test_half_precision_stops_before_decoding() -> None:
    model = optimized()
    wanted = [compute(model, picture[None]) for picture in pictures(3)]
    rewrite = UseHalf()
    assert rewrite(model).modified
    check_contract(model)
    for picture, outputs in zip(pictures(3), wanted, strict=True):
        check_near(compute(model, picture[None]), outputs, pixels=1e-2, score=1e-2)
    kinds: dict[str, set[ir.DataType | None]] = {}
    for node in model.graph:
        kinds.setdefault(node.op_type, set()).add(node.outputs[0].dtype)
    assert kinds["Conv"] == kinds["Relu"] == kinds["Sigmoid"] == {ir.DataType.FLOAT16}
    for op in ("TopK", "GatherND", "Exp", "Split", "Sub", "Concat"):
        assert kinds[op] == {ir.DataType.FLOAT}, op
    assert "1 TopK" in " ".join(rewrite.notes)


def test_half_precision_is_applied_once() -> None:
    model = optimized()
    UseHalf()(model)
    before = wiring(model)
    result = UseHalf()(model)
    assert wiring(model) == before
    assert not result.modified


def test_the_scales_of_a_resize_stay_fp32() -> None:
    net = Net()
    conv = convolution(net, net.input(1, 3, 6, 5))
    larger = net("Resize", conv, "", net.const([1, 1, 2, 3]), mode="nearest")
    flat = net("Reshape", net("Mul", larger, net.const(random(3, 1, 1))), net.ints(1, -1))
    model = net.model(net.many("TopK", [flat, net.ints(7)], 2, axis=1)[0])
    feeds = feeds_for(model)
    (wanted,) = compute(model, *feeds)
    assert UseHalf()(model).modified
    np.testing.assert_allclose(compute(model, *feeds)[0], wanted, rtol=1e-2)
    (resize,) = [node for node in model.graph if node.op_type == "Resize"]
    assert [value and value.dtype for value in resize.inputs] == [
        ir.DataType.FLOAT16,
        None,
        ir.DataType.FLOAT,
    ]


def test_a_cast_inside_gives_half_precision_as_well() -> None:
    net = Net()
    whole = net(
        "Cast", net("Mul", convolution(net, net.input(1, 3, 6, 5)), net.const(9.0)), to=TensorProto.INT32
    )
    flat = net("Reshape", net("Cast", whole, to=TensorProto.FLOAT), net.ints(1, -1))
    model = net.model(net.many("TopK", [flat, net.ints(7)], 2, axis=1)[0])
    feeds = feeds_for(model)
    (wanted,) = compute(model, *feeds)
    UseHalf()(model)
    np.testing.assert_allclose(compute(model, *feeds)[0], wanted, atol=1)


def test_without_a_convolution_nothing_becomes_half() -> None:
    net = Net()
    x = net("Relu", net.input(1, 8))
    check_left(UseHalf(), net.model(net.many("TopK", [x, net.ints(3)], 2, axis=1)[0]))


def test_weights_that_half_precision_cannot_hold_are_refused() -> None:
    net = Net()
    conv = net("Conv", net.input(1, 3, 6, 5), net.const(np.full((1, 3, 1, 1), -7e4)))
    with pytest.raises(ir.passes.PreconditionError, match="65504"):
        UseHalf()(net.model(conv))


def test_an_output_in_half_precision_is_refused() -> None:
    net = Net()
    with pytest.raises(ir.passes.PostconditionError, match="output"):
        UseHalf()(net.model(convolution(net, net.input(1, 3, 6, 5))))


def test_inner_convolutions_are_quantized() -> None:
    model = optimized()
    wanted = [compute(model, picture[None]) for picture in pictures(3)]
    quantized, notes = quantize(model, list(pictures(8)))
    check_contract(quantized)
    for picture, outputs in zip(pictures(3), wanted, strict=True):
        check_near(compute(quantized, picture[None]), outputs, pixels=0.5, score=0.05)
    convolutions = [node for node in quantized.graph if node.op_type == "Conv"]
    by_bytes = []
    for node in convolutions:
        producers = [value.producer() for value in node.inputs[:2] if value is not None]
        by_bytes.append([p is not None and p.op_type == "DequantizeLinear" for p in producers])
    # First, depthwise, two inner ones, and the two heads.
    assert sorted(map(all, by_bytes)) == [False] * 4 + [True] * 2
    assert [all(both) for both in by_bytes[:2]] == [False, False]
    assert all(any(both) == all(both) or not both[1] for both in by_bytes)
    assert all(kind in " ".join(notes) for kind in ("first", "last", "depthwise"))
    assert "QuantizeLinear" in ops(quantized)
    stored = [node.inputs[0] for node in quantized.graph if node.op_type == "DequantizeLinear"]
    weights = [graphs.constant(value) for value in stored]
    eight_bits = [w for w in weights if w is not None and w.dtype == np.int8]
    assert len(eight_bits) >= 2
    for weight in eight_bits:
        # Two products of 8-bit activations must fit into 16 bits, where processors without VNNI add them.
        assert np.abs(weight.astype(int)).max() * 255 * 2 < 2**15
