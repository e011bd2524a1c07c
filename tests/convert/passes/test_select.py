"""The best candidates leave the graph, decoded, as NumPy would choose them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import helper

pytest.importorskip("onnxscript", reason="needs the convert extra")
import onnx_ir as ir

from convert import graphs
from convert.errors import ConvertError
from convert.passes.select import MAX_CANDIDATES, Head, SelectCandidates
from tests.convert.heads import BOXES, SCORES, anchors_of, check_selected, corners, faster_rcnn, sigmoid
from tests.convert.nets import Array, Net, compute, random

WIDTH, HEIGHT = 320.0, 192.0


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
    with pytest.raises(ir.passes.PreconditionError, match=r"expected \[B, N, 4\]"):
        SelectCandidates(Head((0,), "xyxy", (1.0, 1.0)))(model)


def test_a_third_output_is_refused() -> None:
    net = Net()
    rows = net.input(1, 8, 4, name="rows")
    model = net.model(*(net(op, rows) for op in ("Neg", "Relu", "Tanh")))
    with pytest.raises(ir.passes.PreconditionError):
        SelectCandidates(Head((0,), "xyxy", (1.0, 1.0)))(model)
