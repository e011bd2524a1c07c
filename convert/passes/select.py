"""The detection head: the best candidates leave the graph, decoded, instead of all of them.

TensorFlow decodes every anchor; here TopK comes first, and only K candidates are decoded. Non-maximum
suppression stays on the host (see ``edge.contract``).

Requires: two outputs with static shapes, boxes ``[B, N, 4]`` and scores ``[B, N, C]`` or ``[B, N]``.

Rewrites:

1. Scores become ``[B, N]``: the best of the classes that are faces, through a sigmoid if they are logits.
2. TopK takes the K best, at most ``MAX_CANDIDATES``, sorted; GatherND takes their boxes.
3. Boxes that are offsets from given anchors are decoded behind TopK.
4. Boxes that the graph decodes itself are decoded behind TopK too, if its decoder is a box coder: anchors and
   variances are measured by running it on known offsets, and checked on random ones. Otherwise the decoder
   stays where it is.
5. Boxes become ``x1 y1 x2 y2`` in pixels of the canvas.

Afterwards: the outputs are the contract's, in name and order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from convert import graphs
from convert.errors import ConvertError
from edge import contract

MAX_CANDIDATES = 3840
"""The largest K of TensorRT's TopK layer."""

_ORDERS = {"yxyx": (1, 0, 3, 2), "xyxy": (0, 1, 2, 3), "cxcywh": (0, 1, 2, 3), "cycxhw": (1, 0, 3, 2)}
BOX_FORMATS = tuple(_ORDERS)


@dataclass(frozen=True)
class Head:
    """The meaning of the two outputs of the source.

    ``columns`` are the classes that count as a face. ``box_format`` is the order of a box's four numbers;
    ``unit`` is ``(width, height)`` of the canvas when they are shares of it, and (1, 1) when they are
    pixels. ``anchors``, float ``[N, 4]`` as ``cx cy w h`` in shares of the canvas, and ``variances`` (in
    the order of the box's numbers) are given when boxes are offsets from anchors. ``logits`` says that
    scores are to go through a sigmoid.
    """

    columns: tuple[int, ...]
    box_format: str
    unit: tuple[float, float]
    anchors: graphs.Array | None = None
    variances: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    logits: bool = False


@dataclass(frozen=True)
class Coder:
    """Offsets to boxes: ``centre + offset * variance * size`` and ``size * exp(offset * variance)``.

    The box coder of Faster R-CNN (Ren et al. 2015, arXiv:1506.01497, section 3.1.2). ``order`` gives the
    places of cx, cy, w, h among an offset's four numbers; ``anchors`` is float64 ``[N, 4]`` as ``cx cy w
    h``.
    """

    order: tuple[int, int, int, int]
    anchors: graphs.Array
    variances: tuple[float, float, float, float]

    def decode(self, offsets: graphs.Array) -> graphs.Array:
        """Offsets ``[N, 4]`` to boxes ``[N, 4]`` as ``x1 y1 x2 y2``, in units of the anchors."""
        offsets = offsets.astype(np.float64)[:, list(self.order)] * self.variances
        centre = offsets[:, :2] * self.anchors[:, 2:] + self.anchors[:, :2]
        half = np.exp(offsets[:, 2:]) * self.anchors[:, 2:] / 2
        return np.concatenate([centre - half, centre + half], axis=1)


class SelectCandidates(ir.passes.InPlacePass):
    """Outputs 0 (boxes) and 1 (scores) become the contract's outputs; see the rules above.

    ``notes`` says afterwards how boxes are decoded, and whether that could be moved behind TopK.
    """

    def __init__(self, head: Head, candidates: int = MAX_CANDIDATES) -> None:
        self.head = head
        self.candidates = candidates
        self.notes: list[str] = []

    def requires(self, model: ir.Model) -> None:
        boxes, scores = (graphs.shape_of(value) for value in model.graph.outputs)
        if boxes is None or scores is None or len(boxes) != 3 or boxes[2] != 4 or boxes[:2] != scores[:2]:
            raise ir.passes.PreconditionError(
                f"boxes {boxes} and scores {scores}; expected [B, N, 4] and [B, N, C]"
            )

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        boxes, scores = graph.outputs
        count = (graphs.shape_of(boxes) or (0, 0, 0))[1]
        candidates = min(count, self.candidates, MAX_CANDIDATES)
        offsets, coder = self._offsets(graph, boxes)
        add = graphs.Editor(graph)
        # TopK comes after the sigmoid: a fast sigmoid is not quite monotonic, and scores must be sorted.
        ranked = self._merge_classes(add, scores)
        if self.head.logits:
            ranked = add("Sigmoid", [ranked])
        top = add.node(
            "TopK", [ranked, add.const(np.array([candidates], np.int64))], 2, axis=1, largest=1, sorted=1
        )
        best, index = top.outputs
        rows = add("GatherND", [offsets, add("Unsqueeze", [index, add.const(np.array([2]))])], batch_dims=1)
        if coder is not None:
            result = _decode(add, coder, rows, index, self.head.unit)
        else:
            result = _reorder(add, self.head, rows)
        batch = (graphs.shape_of(boxes) or (1,))[0]
        self._set_output(graph, add, 0, result, contract.BOXES, (batch, candidates, 4))
        self._set_output(graph, add, 1, best, contract.SCORES, (batch, candidates))
        graphs.remove_unused(graph)
        return ir.passes.PassResult(model, modified=True)

    def ensures(self, model: ir.Model) -> None:
        if [value.name for value in model.graph.outputs] != [contract.BOXES, contract.SCORES]:
            raise ir.passes.PostconditionError("the outputs are not those of the contract")

    def _set_output(
        self,
        graph: ir.Graph,
        add: graphs.Editor,
        place: int,
        value: ir.Value,
        name: str,
        shape: tuple[int, ...],
    ) -> None:
        if graph.outputs[place].name == name:
            graph.outputs[place].name = f"source_{name}"
        value.name, value.shape = name, ir.Shape(shape)
        value.type = ir.TensorType(ir.DataType.FLOAT)
        graph.outputs[place] = value

    def _merge_classes(self, add: graphs.Editor, scores: ir.Value) -> ir.Value:
        """Scores ``[B, N, C]`` become ``[B, N]``: the best of the classes that are faces."""
        shape = graphs.shape_of(scores)
        assert shape is not None
        if len(shape) == 2:
            return scores
        if not self.head.columns or not 0 <= min(self.head.columns) <= max(self.head.columns) < shape[2]:
            raise ConvertError(
                f"scores have {shape[2]} columns (0 to {shape[2] - 1}); asked for {list(self.head.columns)}"
            )
        last = add.const(np.array([2], np.int64))
        if self.head.columns != tuple(range(shape[2])):
            scores = add("Gather", [scores, add.const(np.array(self.head.columns, np.int64))], axis=2)
        if len(self.head.columns) == 1:
            return add("Squeeze", [scores, last])
        return add("ReduceMax", [scores, last], keepdims=0)

    def _offsets(self, graph: ir.Graph, boxes: ir.Value) -> tuple[ir.Value, Coder | None]:
        """Rules 3 and 4: the value to gather from, and its coder; None when it holds boxes already."""
        head = self.head
        if head.anchors is not None:
            order = _ORDERS[head.box_format]
            variances = tuple(head.variances[place] for place in order)
            self.notes.append(
                f"boxes are offsets from {len(head.anchors)} given anchors, decoded behind TopK"
            )
            return boxes, Coder(order, head.anchors.astype(np.float64), variances)  # type: ignore[arg-type]
        for value in _narrow_places(graph, boxes):
            coder = _measure_coder(value, boxes, head.box_format)
            if coder is not None:
                text = ", ".join(f"{v:.4g}" for v in coder.variances)
                self.notes.append(
                    f"boxes are offsets from {len(coder.anchors)} anchors in the graph (variances {text} for "
                    "cx, cy, w, h), measured, and decoded behind TopK"
                )
                return value, coder
        self.notes.append(
            "the source's own decoder stays: it decodes all boxes, of which the K best are gathered"
        )
        return boxes, None


def _narrow_places(graph: ir.Graph, end: ir.Value) -> list[ir.Value]:
    """Values with the shape of ``end`` through which everything from the picture to ``end`` must pass, in the
    order of the graph, without ``end``."""
    fed = graphs.dependent_on(graph.inputs)
    above = graphs.ancestors_of(end)
    nodes = [node for node in graph if any(v in above and v in fed for v in node.outputs)]
    shape = graphs.shape_of(end)
    found = []
    open_values: set[ir.Value] = set(graph.inputs)
    position = {node: place for place, node in enumerate(nodes)}
    last_reader = {
        value: max((position[user] for user, _ in value.uses() if user in position), default=-1)
        for node in nodes
        for value in (*node.outputs, *(v for v in node.inputs if v is not None))
        if value in fed
    }
    for place, node in enumerate(nodes):
        open_values = {value for value in open_values if last_reader.get(value, -1) > place}
        open_values.update(
            value for value in node.outputs if value in above and last_reader.get(value, -1) > place
        )
        if len(open_values) == 1:
            value = next(iter(open_values))
            if value is not end and graphs.shape_of(value) == shape:
                found.append(value)
    return found


def _measure_coder(value: ir.Value, boxes: ir.Value, box_format: str) -> Coder | None:
    """Find anchors and variances by decoding known offsets; None unless decoding then agrees."""
    shape = graphs.shape_of(value)
    assert shape is not None
    to_xyxy = list(_ORDERS[box_format])
    if box_format not in ("yxyx", "xyxy"):
        return None

    def decode(offsets: graphs.Array) -> graphs.Array:
        batch = np.broadcast_to(offsets.astype(np.float32), shape).copy()
        found = graphs.run([boxes], {value: batch})[0][0]
        return np.asarray(found[:, to_xyxy], np.float64)

    base = decode(np.zeros(4))
    size = base[:, 2:] - base[:, :2]
    if (size <= 0).any() or not np.isfinite(base).all():
        return None
    anchors = np.concatenate([(base[:, :2] + base[:, 2:]) / 2, size], axis=1)
    order, variances = [-1] * 4, [0.0] * 4
    for place in range(4):
        moved = decode(np.eye(4)[place])
        shift = ((moved[:, :2] + moved[:, 2:] - base[:, :2] - base[:, 2:]) / 2 / size).mean(axis=0)
        growth = np.log(np.maximum((moved[:, 2:] - moved[:, :2]) / size, 1e-12)).mean(axis=0)
        effect = np.concatenate([shift, growth])
        role = int(np.abs(effect).argmax())
        order[role], variances[role] = place, float(f"{effect[role]:.5g}")
    if -1 in order or min(variances) <= 0:
        return None
    coder = Coder((order[0], order[1], order[2], order[3]), anchors, tuple(variances))  # type: ignore[arg-type]
    # Large offsets as well: some decoders limit the growth of a box, or cut it to the canvas.
    for spread in (1.0, 15.0):
        test = np.random.default_rng(0).normal(0, spread, shape[1:])
        expected = decode(test)
        scale = np.maximum(np.tile(size, 2), np.abs(expected).max(axis=1, keepdims=True))
        if (np.abs(coder.decode(test.astype(np.float32)) - expected) / scale).max() > 1e-3:
            return None
    return coder


def _decode(
    add: graphs.Editor, coder: Coder, rows: ir.Value, index: ir.Value, unit: tuple[float, float]
) -> ir.Value:
    """Offsets ``[B, K, 4]`` of the anchors at ``index`` become ``x1 y1 x2 y2`` in pixels."""
    centre, size = coder.anchors[:, :2] * unit, coder.anchors[:, 2:] * unit
    table = np.concatenate([centre, size * coder.variances[:2], size / 2], axis=1).astype(np.float32)
    chosen = add("Gather", [add.const(table), index], axis=0)
    parts = add.node("Split", [chosen, add.const(np.array([2, 2, 2], np.int64))], 3, axis=2)
    centre_k, step_k, half_k = parts.outputs
    if coder.order != (0, 1, 2, 3):
        rows = add("Gather", [rows, add.const(np.array(coder.order, np.int64))], axis=2)
    moves = add.node("Split", [rows, add.const(np.array([2, 2], np.int64))], 2, axis=2)
    middle = add("Add", [add("Mul", [moves.outputs[0], step_k]), centre_k])
    power = moves.outputs[1]
    if coder.variances[2:] != (1.0, 1.0):
        power = add("Mul", [power, add.const(np.array(coder.variances[2:], np.float32))])
    half = add("Mul", [add("Exp", [power]), half_k])
    return add("Concat", [add("Sub", [middle, half]), add("Add", [middle, half])], axis=2)


def _reorder(add: graphs.Editor, head: Head, rows: ir.Value) -> ir.Value:
    """Boxes ``[B, K, 4]`` that need no decoding become ``x1 y1 x2 y2`` in pixels."""
    order = _ORDERS[head.box_format]
    if order != (0, 1, 2, 3):
        rows = add("Gather", [rows, add.const(np.array(order, np.int64))], axis=2)
    if head.unit != (1.0, 1.0):
        rows = add("Mul", [rows, add.const(np.array(head.unit * 2, np.float32))])
    if head.box_format in ("yxyx", "xyxy"):
        return rows
    parts = add.node("Split", [rows, add.const(np.array([2, 2], np.int64))], 2, axis=2)
    half = add("Mul", [parts.outputs[1], add.const(np.array(0.5, np.float32))])
    return add("Concat", [add("Sub", [parts.outputs[0], half]), add("Add", [parts.outputs[0], half])], axis=2)
