"""Which labels become the one of the merged set."""

from __future__ import annotations

from collections.abc import Sequence

from convert.training.datasets import DatasetError
from convert.training.datasets.form import FACE_CLASSES
from convert.training.merge.parts import Part


def choose(parts: Sequence[Part], keep: Sequence[str]) -> None:
    """Set ``Part.counts``: the labels in ``keep``, or those of faces.

    A part without any object is taken as pictures on which there is nothing to find. Raises DatasetError for
    a part that has objects but none that counts, and for a label that is nowhere.
    """
    everywhere = {name for part in parts for name in part.labels.names}
    unknown = [label for label in keep if label not in everywhere]
    if unknown:
        raise DatasetError(
            f"--keep {', '.join(unknown)}: no set has that label; there are: {_list(everywhere)}"
        )
    for part in parts:
        names = part.labels.names
        part.counts = frozenset(
            name for name in names if (name in keep if keep else name.lower() in FACE_CLASSES)
        )
        if not part.counts and part.before:
            wanted = " or ".join(keep or FACE_CLASSES)
            raise DatasetError(
                f"{part.name}: no label is {wanted}; there are: {_list(names)}. Say with --keep which one "
                "counts"
            )
        if not part.before:
            part.warnings.append("no object at all: its pictures count as having nothing to find on them")


def _list(names: Sequence[str] | set[str] | frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
