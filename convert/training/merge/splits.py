"""Which pictures to train on, to watch the training with, and to report on.

A picture's place follows from a hash of its file and a seed, so that the same picture stays where it is when
other pictures come or go.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from convert.training.datasets import Split
from convert.training.merge.collect import Entry
from convert.training.merge.request import Shares

Place = Literal["train", "val", "test"]
PLACES: tuple[Place, ...] = ("train", "val", "test")


def assign(
    entries: Sequence[Entry], shares: Shares, seed: int, without_val: Collection[str], *, resplit: bool
) -> dict[str, Place]:
    """The split of each picture, by its name in the merged set.

    A split that a part brings is kept: ``eval`` and ``test`` are ``test``. ``without_val`` names the parts
    without pictures for ``val``, which are then taken from ``train``. All others are divided, as are all
    pictures with ``resplit``. Where chance leaves a split empty, a picture goes there from the one that has
    most.
    """
    position = {entry.image: _position(entry, seed) for entry in entries}
    places: dict[str, Place] = {}
    divided, cut = [], []
    for entry in entries:
        own: Split | None = None if resplit else entry.own
        at = position[entry.image]
        if own is None:
            divided.append(entry.image)
            places[entry.image] = _divided(at, shares)
        elif own == "train" and entry.part in without_val:
            cut.append(entry.image)
            places[entry.image] = "train" if at * (shares.train + shares.val) < shares.train else "val"
        else:
            places[entry.image] = "test" if own == "eval" else own
    for place, share in zip(PLACES, shares, strict=True):
        if share > 0 and place not in places.values():
            _fill(place, places, divided if place == "test" else divided + cut, position)
    return places


def _fill(
    empty: Place, places: dict[str, Place], movable: Sequence[str], position: Mapping[str, float]
) -> None:
    """Move one of these pictures to a split without any, from the one that has most and keeps some."""
    donor = Counter(places[image] for image in movable).most_common(1)
    if donor and donor[0][1] > 1:
        there = [image for image in movable if places[image] == donor[0][0]]
        nearest = min if empty == "train" else max
        places[nearest(there, key=position.__getitem__)] = empty


def _position(entry: Entry, seed: int) -> float:
    """From 0 to below 1."""
    digest = hashlib.sha256(f"{seed}:{entry.sha256}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _divided(at: float, shares: Shares) -> Place:
    if at < shares.train:
        return "train"
    return "val" if at < shares.train + shares.val or shares.test == 0 else "test"
