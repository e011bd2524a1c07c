"""What a detector may answer: errors, nonsense that must be refused, and when to try which."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from edge.boxes import Floats
from edge.reasons import Reason
from tests.privacy.faults import WHEN
from tests.privacy.faults_cases import CASES, Case, some
from tests.privacy.faults_tools import Act, raising

Attack = tuple[str, Case, int]
"""A moment, a case, and the look that fails."""


def with_first(*boxes: tuple[float, ...], score: float = 0.95) -> Act:
    """A correct answer, and before it these boxes."""

    def act(found: Floats, scores: Floats, options: Any) -> tuple[Floats, Floats]:
        added = np.array([boxes], np.float32)
        best = np.full((1, len(boxes)), score, np.float32)
        return np.concatenate([added, found], axis=1), np.concatenate([best, scores], axis=1)

    return act


def changed(what: str, index: Any, value: float) -> Act:
    """A correct answer but for one number."""

    def act(boxes: Floats, scores: Floats, options: Any) -> tuple[Floats, Floats]:
        answer = {"boxes": boxes.copy(), "scores": scores.copy()}
        answer[what][index] = value
        return answer["boxes"], answer["scores"]

    return act


def boxes_and_scores(count: int, score: float) -> tuple[Floats, Floats]:
    """So many boxes in rows over the canvas, again and again; after suppression about a hundred are left."""
    x, y = np.arange(count) * 3 % 150, np.arange(count) * 3 // 150 % 110
    boxes = np.stack([x, y, x + 16, y + 16], axis=1)[None].astype(np.float32)
    return boxes, np.full((1, count), score, np.float32)


def empty(boxes: Floats, scores: Floats, options: Any) -> tuple[Floats, Floats]:
    return np.zeros((1, 0, 4), np.float32), np.zeros((1, 0), np.float32)


ERRORS: dict[str, Act] = {
    "RuntimeError": raising(RuntimeError("broken")),
    "MemoryError": raising(MemoryError()),
    "KeyError": raising(KeyError("boxes")),
    "OSError": raising(OSError(5, "Input/output error")),
    "RecursionError": raising(RecursionError()),
    "Fail": raising(ort_errors.Fail("CUDA failure 2: out of memory")),
    "InvalidArgument": raising(ort_errors.InvalidArgument("wrong shape")),
    "RuntimeException": raising(ort_errors.RuntimeException("bad node")),
    "returns nothing": lambda boxes, scores, options: None,
    "returns one array": lambda boxes, scores, options: (boxes,),
    "returns three arrays": lambda boxes, scores, options: (boxes, scores, scores),
}
OUTPUTS: dict[str, Act] = {
    "NaN in a box": changed("boxes", (0, 0, 2), np.nan),
    "NaN in the last box": changed("boxes", (0, -1, 0), np.nan),
    "NaN in a score": changed("scores", (0, 0), np.nan),
    "all NaN": lambda boxes, scores, options: (boxes * np.nan, scores * np.nan),
    "infinite box": changed("boxes", (0, 0, 3), np.inf),
    "box to minus infinity": changed("boxes", (0, 0, 0), -np.inf),
    "infinite score": changed("scores", (0, 0), np.inf),
    "no candidates": empty,
    "no batch": lambda boxes, scores, options: (boxes[0], scores[0]),
    "batch of two": lambda boxes, scores, options: (boxes.repeat(2, 0), scores.repeat(2, 0)),
    "five numbers to a box": lambda boxes, scores, options: (boxes[..., [0, 1, 2, 3, 3]], scores),
    "fewer scores": lambda boxes, scores, options: (boxes, scores[:, :-1]),
    "swapped": lambda boxes, scores, options: (scores, boxes),
    "sides swapped": lambda boxes, scores, options: (boxes.transpose(0, 2, 1), scores),
    "float64": lambda boxes, scores, options: (boxes.astype(np.float64), scores),
    "float16": lambda boxes, scores, options: (boxes, scores.astype(np.float16)),
    "integers": lambda boxes, scores, options: (boxes.astype(np.int64), scores),
    "objects": lambda boxes, scores, options: (boxes.astype(object), scores),
    "lists": lambda boxes, scores, options: (boxes.tolist(), scores.tolist()),
    "None": lambda boxes, scores, options: (None, None),
    "unsorted": lambda boxes, scores, options: (boxes, scores[:, ::-1]),
    "inside out": with_first((60, 40, 40, 60)),
    "flat": with_first((40, 60, 60, 60)),
}
OVERFLOWS: dict[str, Act] = {
    "all above the threshold": lambda boxes, scores, options: (boxes, np.full_like(scores, 0.9)),
    "10,000 faces and perhaps more": lambda boxes, scores, options: boxes_and_scores(10_000, 0.9),
}
ABSURD = {
    "a face larger than the world": with_first((-1e9, -1e9, 1e9, 1e9)),
    "a face larger than float32": with_first((-3e38, -3e38, 3e38, 3e38)),
    "a face half outside": with_first((-50, -50, 10, 12)),
    "a face of no size that float32 can tell from 0": with_first((1e-40, 1e-40, 2e-40, 2e-40)),
    "a face of a billion pixels beside the frame": with_first((-1e9, 60, 12, 61)),
    "a score beyond 1": with_first((140, 100, 150, 110), score=1e30),
    "10,000 faces": lambda boxes, scores, options: tuple(
        np.concatenate(pair, axis=1)
        for pair in zip(boxes_and_scores(10_000, 0.95), (boxes, scores), strict=True)
    ),
    "one face 500 times": lambda boxes, scores, options: (
        np.concatenate([boxes[:, :1].repeat(500, axis=1), boxes], axis=1),
        np.concatenate([scores[:, :1].repeat(500, axis=1), scores], axis=1),
    ),
}
ELSEWHERE = {
    "far outside": with_first((1e9, 1e9, 2e9, 2e9)),
    "negative": with_first((-500, -500, -400, -400)),
    "in the padding": with_first((20, 121, 40, 128)),
}


def blind(boxes: Floats, scores: Floats, options: Any) -> tuple[Floats, Floats]:
    return boxes, np.full_like(scores, 0.01)


def half_blind(boxes: Floats, scores: Floats, options: Any) -> tuple[Floats, Floats]:
    """Misses all but one."""
    return boxes, scores * np.array([1, 0.01, 0.01], np.float32)


REFUSED = {
    **{name: (act, Reason.DETECTOR_ERROR) for name, act in ERRORS.items()},
    **{name: (act, Reason.DETECTOR_OUTPUT) for name, act in OUTPUTS.items()},
    **{name: (act, Reason.OVERFLOW) for name, act in OVERFLOWS.items()},
}


def every_attack() -> list[Attack]:
    return [(when, case, look) for when in WHEN for case in CASES for look in looks_of(case)]


def looks_of(case: Case) -> tuple[int, ...]:
    return (0, 1) if case.last_look == "always" else (0,)


def some_attacks(turn: int, look: int | None = None) -> list[Attack]:
    """Some of them, with this look only."""
    return some([attack for attack in every_attack() if look in (None, attack[2])], turn, 13)
