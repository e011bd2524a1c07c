"""Batches of training canvases, made ahead of time in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from convert.graphs import Array
from convert.training.augment import Scales, make_canvas
from convert.training.recipe import Recipe
from convert.training.samples import Kind, Pictures, Sample

AHEAD = 3


@dataclass(frozen=True, eq=False)
class Batch:
    """``pixels`` uint8 ``[B, S, S, 3]`` RGB, ``boxes`` float32 ``[B, M, 4]``, ``kinds`` int32 ``[B, M]``, and
    what the recipe makes of them."""

    pixels: Array
    boxes: Array
    kinds: Array
    targets: dict[str, Array]


def batches(
    samples: Sequence[Sample], recipe: Recipe, seed: int, first: int, threads: int = 2
) -> Generator[Batch, None, None]:
    """The batches from step ``first`` on, without end.

    The batch of a step depends on ``seed`` and its number alone, so a run that was interrupted goes on with
    the batches that it would have had.
    """
    pictures = Pictures()
    with ThreadPoolExecutor(threads, thread_name_prefix="batches") as pool:
        waiting: deque[Future[Batch]] = deque()
        step = first
        try:
            while True:
                while len(waiting) < AHEAD:
                    waiting.append(pool.submit(make_batch, samples, pictures, recipe, seed, step))
                    step += 1
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()


def make_batch(samples: Sequence[Sample], pictures: Pictures, recipe: Recipe, seed: int, step: int) -> Batch:
    """The batch of one step. Raises PictureError."""
    rng = np.random.default_rng([seed, step])
    scales = Scales(recipe.side, recipe.smallest, recipe.largest, recipe.masks)
    canvases = [
        make_canvas(samples[number], samples, pictures, scales, rng)
        for number in main_samples(len(samples), recipe.batch, seed, step)
    ]
    most = max(1, *(len(canvas.boxes) for canvas in canvases))
    boxes = np.zeros((len(canvases), most, 4), np.float32)
    kinds = np.full((len(canvases), most), Kind.ABSENT, np.int32)
    for row, canvas in enumerate(canvases):
        boxes[row, : len(canvas.boxes)] = canvas.boxes
        kinds[row, : len(canvas.kinds)] = canvas.kinds
    return Batch(np.stack([canvas.pixels for canvas in canvases]), boxes, kinds, recipe.targets(boxes, kinds))


def main_samples(count: int, batch: int, seed: int, step: int) -> list[int]:
    """The numbers of the pictures that the canvases of a step are about: each once an epoch, shuffled."""
    places = [divmod(position, count) for position in range(step * batch, (step + 1) * batch)]
    orders = {
        epoch: np.random.default_rng([seed, epoch, 1]).permutation(count)
        for epoch in range(places[0][0], places[-1][0] + 1)
    }
    return [int(orders[epoch][place]) for epoch, place in places]
