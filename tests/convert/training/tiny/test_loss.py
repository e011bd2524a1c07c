"""The loss of ``tiny`` against NumPy: which places are taken, and what the heads learn there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")

import tensorflow as tf

from convert.training.samples import Kind
from convert.training.tiny import loss as module
from convert.training.tiny.loss import loss
from convert.training.tiny.network import STRIDES
from convert.training.tiny.recipe import decode

SIDE = 64
BOXES = np.array([[[10, 12, 30, 44], [36, 30, 60, 60], [0, 0, 0, 0]]], np.float32)
KINDS = np.array([[Kind.PLAIN, Kind.HARD, Kind.ABSENT]], np.int32)


def maps(seed: int | None = None, batch: int = 1) -> dict[str, Any]:
    rng, made = np.random.default_rng(seed), {}
    for stride in STRIDES:
        for head, channels in (("class", 1), ("object", 1), ("box", 4)):
            shape = (batch, SIDE // stride, SIDE // stride, channels)
            values = np.zeros(shape) if seed is None else rng.normal(0, 0.7, shape)
            made[f"{head}_{stride}"] = tf.Variable(values.astype(np.float32))
    return made


def evaluated(ours: Any, boxes: Any = BOXES, kinds: Any = KINDS) -> tuple[dict[str, float], dict[str, Any]]:
    targets = {"boxes": tf.constant(boxes), "kinds": tf.constant(kinds)}
    with tf.GradientTape() as tape:
        parts = loss(ours, targets, {})
        total = tf.add_n(list(parts.values()))
    grads = tape.gradient(total, ours, unconnected_gradients="zero")
    assert all(np.isfinite(value).all() for value in grads.values())
    return {name: float(v) for name, v in parts.items()}, {n: np.asarray(g) for n, g in grads.items()}


def slow_iou(first: Any, second: Any) -> float:
    w, h = (min(first[i + 2], second[i + 2]) - max(first[i], second[i]) for i in (0, 1))
    common = max(w, 0) * max(h, 0)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (first, second)]
    return float(common / (sum(areas) - common + 1e-7))


def slow_assign(found: Any, scores: Any, boxes: Any, places: Any) -> dict[int, int]:
    """SimOTA, object by object: the object of each place that is taken."""
    claims: dict[int, list[tuple[float, int]]] = {}
    for number, box in enumerate(boxes):
        middle = (box[:2] + box[2:]) / 2
        costs, overlaps = {}, []
        for place, (x, y, stride) in enumerate(places):
            within = box[0] < x < box[2] and box[1] < y < box[3]
            near = max(abs(x - middle[0]), abs(y - middle[1])) < 2.5 * stride
            if not (within or near):
                continue
            overlap = slow_iou(found[place], box)
            overlaps.append(overlap)
            score = np.clip(np.sqrt(scores[place]), 1e-7, 1 - 1e-7)
            costs[place] = -np.log(score) - 3 * np.log(overlap + 1e-7) + (0 if within and near else 1e5)
        number_taken = int(np.clip(int(sum(sorted(overlaps)[-10:])), 1, 10))
        for place in sorted(costs, key=lambda p: costs[p])[:number_taken]:
            claims.setdefault(place, []).append((costs[place], number))
    return {place: min(each)[1] for place, each in claims.items()}


@pytest.mark.parametrize("seed", range(4))
def test_places_go_to_objects_as_by_hand(seed: int) -> None:
    found, classes, objects, places = (np.asarray(v) for v in module._rows(maps(seed)))
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 35, (3, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(8, 28, (3, 2))], 1).astype(np.float32)
    scores = 1 / (1 + np.exp(-classes)) / (1 + np.exp(-objects))
    overlap = module._iou(found[:, None], boxes[None, :, None])
    owner, taken = module._assign(overlap, tf.constant(scores), boxes[None], np.ones((1, 3), bool), places)
    chosen = {int(p): int(owner[0, p]) for p in np.flatnonzero(taken[0])}
    assert chosen == slow_assign(found[0], scores[0], boxes, places)
    assert set(chosen.values()) == {0, 1, 2}


def test_a_place_that_two_objects_want_goes_to_the_one_that_it_fits_better() -> None:
    boxes = np.array([[[8, 8, 40, 40], [12, 12, 50, 50]]], np.float32)
    found, _, _, places = module._rows(maps())
    overlap = module._iou(found[:, None], boxes[:, :, None])
    owner, taken = module._assign(overlap, tf.fill([1, 84], 0.25), boxes, np.ones((1, 2), bool), places)
    (place,) = np.flatnonzero(taken[0])  # both take the one place of stride 32 that lies in them
    assert places[place].numpy().tolist() == [32, 32, 32]
    assert int(owner[0, place]) == int(np.argmax(overlap[0, :, place]))


def test_maps_that_encode_the_boxes_cost_nothing_and_are_read_as_these_boxes() -> None:
    ours = maps()
    for stride in STRIDES:
        ours[f"object_{stride}"].assign_sub(tf.ones_like(ours[f"object_{stride}"]) * 20)
        ours[f"class_{stride}"].assign_add(tf.ones_like(ours[f"class_{stride}"]) * 20)
        for row in range(SIDE // stride):
            for column in range(SIDE // stride):
                place = np.array([column, row]) * stride
                box = min(BOXES[0, :2], key=lambda b: float(np.abs((b[:2] + b[2:]) / 2 - place).sum()))
                middle = (box[:2] + box[2:]) / 2
                encoded = [*((middle - place) / stride), *np.log((box[2:] - box[:2]) / stride)]
                ours[f"box_{stride}"][0, row, column].assign(encoded)
    parts, _ = evaluated(ours)
    assert parts["box"] == pytest.approx(0, abs=1e-3)
    assert parts["class"] == pytest.approx(0, abs=1e-3)
    assert parts["object"] > 10  # all of the places that were taken score nothing
    boxes, _ = decode({name: value.numpy() for name, value in ours.items()})
    distance = np.abs(boxes[0][:, None] - BOXES[0, :2]).max(axis=-1).min(axis=1)
    assert distance.max() < 1e-3


def test_ignored_places_are_not_punished() -> None:
    boxes = np.array([[[0, 0, 32, 64], [40, 30, 60, 50]]], np.float32)
    kinds = np.array([[Kind.IGNORED, Kind.PLAIN]], np.int32)
    _, grads = evaluated(maps(), boxes, kinds)
    objects = grads["object_8"][0, ..., 0]
    assert (objects[1:, 1:4] == 0).all()
    assert (objects[:, 0] > 0).all()  # on the edge, which is outside
    assert (objects[:3, 5:] > 0).all()
    assert (objects < 0).sum() + (grads["object_16"] < 0).sum() + (grads["object_32"] < 0).sum() >= 1


def test_the_class_head_learns_the_overlap_and_the_object_head_which_places_were_taken() -> None:
    ours = maps(3)
    found, classes, objects, places = (np.asarray(v) for v in module._rows(ours))
    scores = 1 / (1 + np.exp(-classes[0])) / (1 + np.exp(-objects[0]))
    chosen = slow_assign(found[0], scores, BOXES[0, :2], places)
    parts, _ = evaluated(ours)

    def entropy(wanted: float, logit: float) -> float:
        return float(np.logaddexp(0, logit) - wanted * logit)

    learnt = [entropy(slow_iou(found[0, p], BOXES[0, n]), classes[0, p]) for p, n in chosen.items()]
    assert parts["class"] == pytest.approx(sum(learnt) / len(chosen), rel=1e-3)
    present = sum(entropy(float(p in chosen), objects[0, p]) for p in range(len(places)))
    assert parts["object"] == pytest.approx(present / len(chosen), rel=1e-3)


def test_a_batch_without_objects_is_fine() -> None:
    boxes, kinds = np.zeros((2, 1, 4), np.float32), np.zeros((2, 1), np.int32)
    parts, grads = evaluated(maps(1, batch=2), boxes, kinds)
    assert parts["box"] == parts["class"] == 0
    assert parts["object"] > 0
    assert all((grads[f"box_{stride}"] == 0).all() for stride in STRIDES)


def test_a_score_is_the_geometric_mean_of_both_heads() -> None:
    ours = {name: value.numpy() for name, value in maps(2).items()}
    _, scores = decode(ours)
    logits = [np.concatenate([ours[f"{h}_{s}"].ravel() for s in STRIDES]) for h in ("class", "object")]
    expected = np.sqrt(np.prod([1 / (1 + np.exp(-x)) for x in logits], axis=0))
    np.testing.assert_allclose(scores[0], expected, rtol=1e-5)
