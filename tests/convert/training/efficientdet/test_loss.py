"""Losses have the values of their papers' formulas, worked out by hand or by numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")

import tensorflow as tf

from convert.training.efficientdet.anchors import anchors, encode
from convert.training.efficientdet.loss import focal, huber, loss, read
from convert.training.efficientdet.targets import IGNORED, NEGATIVE, POSITIVE


def parts(logits: Any, offsets: Any, state: Any, wanted: Any) -> dict[str, float]:
    outputs = {"classes": tf.constant(logits, tf.float32)[None, :, None],
               "boxes": tf.constant(offsets, tf.float32)[None]}  # fmt: skip
    targets = {"state": tf.constant(state, tf.int8)[None], "offsets": tf.constant(wanted, tf.float32)[None]}
    return {name: float(value) for name, value in loss(outputs, targets).items()}


def oracle(logit: float, label: int) -> float:
    p = 1 / (1 + np.exp(-logit))
    right, alpha = (p, 0.25) if label else (1 - p, 0.75)
    return float(-alpha * (1 - right) ** 1.5 * np.log(right))


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("logit", [-8.0, -4.6, -0.5, 0.0, 2.0, 7.0])
def test_focal_loss_is_the_papers(logit: float, label: int) -> None:
    assert float(focal(tf.constant(logit), tf.constant(float(label)))) == pytest.approx(
        oracle(logit, label), rel=1e-4, abs=1e-9
    )


def test_hubers_loss_is_a_parabola_and_then_a_line() -> None:
    values = huber(tf.constant([0.0, 0.05, -0.1, 0.3, -2.0])).numpy()
    assert values == pytest.approx([0, 0.00125, 0.005, 0.1 * (0.3 - 0.05), 0.1 * (2 - 0.05)])


def test_the_parts_count_per_anchor_with_a_box_and_leave_out_ignored_ones() -> None:
    logits = [2.0, -1.0, -3.0, 4.0]
    state = [POSITIVE, POSITIVE, NEGATIVE, IGNORED]
    offsets = [[0.5, 0, 0, 0], [0, 0, 0, 0], [9, 9, 9, 9], [9, 9, 9, 9]]
    wanted = [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    found = parts(logits, offsets, state, wanted)
    classes = (oracle(2, 1) + oracle(-1, 1) + oracle(-3, 0)) / 2
    # 0.5 is 0.05 of the anchor's side, 1 is 0.2 of the logarithm; four offsets a box
    boxes = 50 * (0.5 * 0.05**2 + 0.1 * (0.2 - 0.05)) / 4 / 2
    assert found == pytest.approx({"classes": classes, "boxes": boxes}, rel=1e-4)


def test_a_batch_without_a_box_has_a_loss() -> None:
    found = parts([-4.6, -4.6], np.zeros((2, 4)), [NEGATIVE, NEGATIVE], np.zeros((2, 4)))
    assert found == pytest.approx({"classes": 2 * oracle(-4.6, 0), "boxes": 0}, rel=1e-4)


@pytest.mark.parametrize("logit", [-60.0, 0.0, 60.0])
def test_gradients_are_finite_even_for_a_sure_network(logit: float) -> None:
    logits, offsets = tf.Variable(tf.fill([1, 3, 1], logit)), tf.Variable(tf.fill([1, 3, 4], 1e4))
    targets = {"state": tf.constant([[POSITIVE, NEGATIVE, IGNORED]], tf.int8),
               "offsets": tf.zeros([1, 3, 4])}  # fmt: skip
    with tf.GradientTape() as tape:
        total = tf.add_n(list(loss({"classes": logits, "boxes": offsets}, targets).values()))
    by_logits, by_offsets = tape.gradient(total, [logits, offsets])
    assert np.isfinite(by_logits).all()
    assert np.isfinite(by_offsets).all()
    assert by_logits[0, 2, 0] == 0
    assert (by_offsets[0, 1:].numpy() == 0).all()


def test_reading_gives_the_best_boxes_once_in_pixels() -> None:
    places = anchors(128, 256, 2.5)
    logits, offsets = (
        np.full((1, len(places), 1), -9.0, np.float32),
        np.zeros((1, len(places), 4), np.float32),
    )
    faces = np.array([[30.0, 40, 50, 66], [200, 20, 230, 60]])
    for face, rows, score in ((faces[0], (100, 101), 3.0), (faces[1], (3000, 3001), 2.0)):
        for step, row in enumerate(rows):
            offsets[0, row] = encode(face[None], places[row][None])[0]
            logits[0, row] = score - step
    boxes, scores = read({"classes": tf.constant(logits), "boxes": tf.constant(offsets)}, (128, 256), 2.5)
    assert boxes.shape == (1, 300, 4)
    assert scores.shape == (1, 300)
    assert boxes[0, :2].numpy() == pytest.approx(faces, abs=0.01)
    assert scores[0, :2].numpy() == pytest.approx([1 / (1 + np.exp(-3)), 1 / (1 + np.exp(-2))], abs=1e-4)
    assert scores[0, 2] < 0.01
