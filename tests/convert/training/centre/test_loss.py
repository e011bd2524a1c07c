"""The loss of ``centre`` against NumPy, and what it must leave alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")

import tensorflow as tf

from convert.training.centre.loss import loss
from convert.training.centre.recipe import decode
from convert.training.samples import Kind

CELLS = 16
BOXES = np.array([[[8, 12, 24, 36], [40, 41, 55, 52], [0, 0, 0, 0]]], np.float32)
KINDS = np.array([[Kind.PLAIN, Kind.HARD, Kind.ABSENT]], np.int32)


def maps(heat: Any = -4.0, batch: int = 1) -> dict[str, Any]:
    shape = (batch, CELLS, CELLS)
    return {
        "heat": tf.Variable(np.broadcast_to(np.float32(heat), shape)[..., None].copy()),
        "size": tf.Variable(np.zeros((*shape, 2), np.float32)),
        "offset": tf.Variable(np.zeros((*shape, 2), np.float32)),
    }


def evaluated(
    ours: Any, teacher: Any, boxes: Any = BOXES, kinds: Any = KINDS
) -> tuple[dict[str, float], dict[str, Any]]:
    """Parts of the loss, and the gradient of their sum for each map."""
    targets = {"boxes": tf.constant(boxes), "kinds": tf.constant(kinds)}
    with tf.GradientTape() as tape:
        parts = loss(ours, targets, teacher)
        total = tf.add_n(list(parts.values()))
    grads = tape.gradient(total, ours, unconnected_gradients="zero")
    assert all(np.isfinite(value).all() for value in grads.values())
    return {name: float(v) for name, v in parts.items()}, {n: np.asarray(g) for n, g in grads.items()}


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.float64(x)))


def slow_heat(heat: Any, before: Any, boxes: Any, kinds: Any) -> float:
    """The focal part of one picture, cell by cell, as the docstring of the loss has it."""
    wanted = [b / 4 for b, k in zip(boxes, kinds, strict=True) if k in (Kind.PLAIN, Kind.HARD)]
    ignored = [b / 4 for b, k in zip(boxes, kinds, strict=True) if k == Kind.IGNORED]

    def inside(box: Any, row: int, column: int) -> bool:
        return bool(box[0] <= column + 0.5 <= box[2] and box[1] <= row + 0.5 <= box[3])

    cells = [(r, c) for r in range(CELLS) for c in range(CELLS)]
    height = np.zeros((CELLS, CELLS))
    for box in wanted:
        own = [cell for cell in cells if inside(box, *cell)]
        peak = max(own, key=lambda cell: before[cell], default=None)
        if peak is None or before[peak] <= 0.02:
            peak = (int((box[1] + box[3]) // 2), int((box[0] + box[2]) // 2))
        spread = max(0.09 * np.sqrt((box[2] - box[0]) * (box[3] - box[1])), 1.0)
        for r, c in cells:
            distance = (r - peak[0]) ** 2 + (c - peak[1]) ** 2
            height[r, c] = max(height[r, c], np.exp(-distance / (2 * spread**2)))
    total = 0.0
    for cell in cells:
        p = sigmoid(heat[cell])
        if height[cell] >= 1 - 1e-6:
            total -= (1 - p) ** 2 * np.log(p)
            continue
        labelled = any(inside(box, *cell) for box in wanted)
        if labelled or not (before[cell] > 0.3 or any(inside(box, *cell) for box in ignored)):
            total -= (1 - height[cell]) ** 4 * p**2 * np.log(1 - p)
    return total / max(len(wanted), 1)


@pytest.mark.parametrize("seed", range(3))
def test_the_heat_map_is_judged_as_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours, teacher = maps(rng.normal(-2, 2, (CELLS, CELLS))), maps(rng.normal(-3, 3, (CELLS, CELLS)))
    corner = rng.uniform(0, 40, (1, 4, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 30, (1, 4, 2))], -1).astype(np.float32)
    kinds = np.array([[Kind.PLAIN, Kind.IGNORED, Kind.HARD, Kind.ABSENT]], np.int32)
    parts, _ = evaluated(ours, teacher, boxes, kinds)
    before = sigmoid(teacher["heat"].numpy()[0, ..., 0])
    expected = slow_heat(ours["heat"].numpy()[0, ..., 0], before, boxes[0], kinds[0])
    assert parts["heat"] == pytest.approx(expected, rel=1e-3)


def test_the_peak_stays_where_the_published_network_puts_it() -> None:
    seen = np.full((CELLS, CELLS), -8.0)
    seen[7, 3] = 1.0  # inside the first box, and not in its middle (6, 4)
    seen[0, 15] = 2.0  # in no box
    _, grads = evaluated(maps(), maps(seen))
    rising = {tuple(int(v) for v in cell) for cell in np.argwhere(grads["heat"][0, ..., 0] < -0.3)}
    assert (7, 3) in rising
    assert (6, 4) not in rising
    assert (11, 11) in rising  # nothing was seen there: the middle


def test_ignored_places_and_what_the_published_network_is_sure_of_are_not_punished() -> None:
    seen = np.full((CELLS, CELLS), -8.0)
    seen[2, 2] = 0.0
    boxes = np.array([[[32, 32, 64, 64], [4, 40, 12, 48]]], np.float32)
    kinds = np.array([[Kind.IGNORED, Kind.PLAIN]], np.int32)
    ours, teacher = maps(1.0), maps(seen)
    targets = {"boxes": tf.constant(boxes), "kinds": tf.constant(kinds)}
    with tf.GradientTape() as tape:
        heat = loss(ours, targets, teacher)["heat"]
    gradient = np.asarray(tape.gradient(heat, ours["heat"]))[0, ..., 0]
    assert (gradient[8:, 8:] == 0).all()
    assert gradient[2, 2] == 0
    assert (gradient[3:8, 4:] > 0).all()


def test_maps_that_encode_the_boxes_cost_nothing_and_are_read_as_these_boxes() -> None:
    ours = maps(-12.0)
    teacher = maps(-12.0)
    for box in BOXES[0, :2]:
        row, column = (int((box[i] + box[i + 2]) / 2 // 4) for i in (1, 0))
        middle = np.array([(box[1] + box[3]) / 2, (box[0] + box[2]) / 2]) / 4
        log_sides = np.log([(box[3] - box[1]) / 4, (box[2] - box[0]) / 4])
        for r in range(row - 2, row + 3):
            for c in range(column - 2, column + 3):
                ours["offset"][0, r, c].assign(middle - [r + 0.5, c + 0.5])
                ours["size"][0, r, c].assign(log_sides)
        ours["heat"][0, row, column, 0].assign(12.0)
    parts, _ = evaluated(ours, teacher)
    assert parts["size"] == pytest.approx(0, abs=1e-4)
    assert parts["offset"] == pytest.approx(0, abs=1e-4)
    assert parts["heat"] < 1e-3
    boxes, scores = decode({name: value.numpy() for name, value in ours.items()})
    best = np.argsort(-scores[0])[:2]
    np.testing.assert_allclose(sorted(boxes[0, best].tolist()), sorted(BOXES[0, :2].tolist()), atol=1e-3)
    assert (np.sort(scores[0])[::-1][2:] < 1e-4).all()


def test_a_hard_object_is_not_distilled_and_the_rest_is() -> None:
    seen = np.full((CELLS, CELLS), -3.0)
    ours, teacher = maps(0.0), maps(seen)
    targets = {"boxes": tf.constant(BOXES), "kinds": tf.constant(KINDS)}
    with tf.GradientTape() as tape:
        distilled = loss(ours, targets, teacher)["distilled"]
    gradient = np.asarray(tape.gradient(distilled, ours["heat"]))[0, ..., 0]
    assert (gradient[11:13, 10:13] == 0).all()  # cells of the hard one
    assert (gradient[3:9, 2:6] > 0).all()
    assert gradient[0, 0] > 0


def test_without_a_published_network_everything_unlabelled_is_punished() -> None:
    parts, grads = evaluated(maps(1.0), {})
    assert set(parts) == {"heat", "size", "offset"}
    falling = grads["heat"][0, ..., 0] > 0
    assert falling.sum() == CELLS**2 - 2
    assert grads["heat"][0, 6, 4, 0] < 0


def test_a_batch_without_objects_is_fine() -> None:
    boxes, kinds = np.zeros((2, 1, 4), np.float32), np.zeros((2, 1), np.int32)
    parts, grads = evaluated(maps(batch=2), maps(batch=2), boxes, kinds)
    assert parts["size"] == parts["offset"] == 0
    assert parts["heat"] > 0
    assert (grads["size"] == 0).all()
