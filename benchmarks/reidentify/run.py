"""How well people with covered faces are recognised: ``python -m benchmarks reidentify``.

Two attackers are trained on covered pictures of synthetic people (benchmarks/reidentify/identities.py) and
tested on other covered pictures of the same people, separately for every fill and region. So they know the
method, which is the best case for an attacker: McPherson, Shokri and Shmatikov 2016, "Defeating Image
Obfuscation with Deep Learning", arXiv:1609.00408; Newton, Sweeney and Malin 2005, "Preserving Privacy by
De-identifying Face Images", call it parrot recognition. One attacker is a small convolutional network. The
other is linear: Fisherfaces (Belhumeur, Hespanha and Kriegman 1997, "Eigenfaces vs. Fisherfaces"), which
gives the faint patterns that a strong blur leaves as much weight as the strong ones, and so undoes it.

"The surround alone" is the same pictures with the region set to one constant by plain slicing here, without
any of the product's code: what hair, ears, neck and the outline of the region tell. ``infill`` and ``solid``
must not tell more. Exit code 1: their top-1 is more than 3 sigma away from it (see ``two_proportions``), or
the attacks are too weak for that to mean anything; 2: it cannot run.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import common
from benchmarks.reidentify.identities import SIDE, make_person, make_scene
from benchmarks.reidentify.portraits import render
from benchmarks.reidentify.recognisers import CLOSE, VIEW, Labels, Network, Size, linear_guess
from edge import blur
from edge.boxes import Floats
from edge.config import BlurConfig
from edge.frames import Pixels, RawFrame

VIEW_WIDTHS = 2.2
"""Side of the square around the face that the network sees, in widths of the face box."""
BLACK = 0
"""Colour of a region in the surround: not that of ``solid``, or the two would be trivially equal."""
TILE = 128
"""Side of a tile of the contact sheet, in pixels."""
ATTACKERS = ("network", "linear")
LIMIT_SIGMA = 3.0
STRONG = 0.9
"""Top-1 on uncovered faces below which the attack is too weak to say anything."""
REGIONS = {
    "head": (0.2, 0.6, 1.2),
    "box": (0.0, 0.0, 1.0),
    "top 60 %": (0.0, 0.0, 0.6),
    "top 70 %": (0.0, 0.0, 0.7),
}
"""Regions as the documentation states them: margin at each side in widths, margin above and lower edge in
heights of the box, from its upper edge."""


@dataclass(frozen=True)
class Row:
    """One line of the table. Without a region the faces are not covered."""

    name: str
    region: str | None
    config: BlurConfig

    @property
    def key(self) -> str:
        return self.name if self.region is None else f"{self.name}, {self.region}"


def _config(**values: Any) -> BlurConfig:
    return BlurConfig.model_validate(values)


NO_MARGINS = {"margin_sides": 0, "margin_top": 0, "margin_bottom": 0}
ROWS = (
    Row("none", None, _config()),
    Row("infill (default)", "head", _config()),
    Row("solid", "head", _config(fill="solid")),
    Row("infill", "box", _config(**NO_MARGINS)),
    Row("solid", "box", _config(fill="solid", **NO_MARGINS)),
    Row("gaussian, sigma 0.5", "head", _config(fill="gaussian")),
    Row("mosaic 4x4", "head", _config(fill="mosaic")),
    Row("mosaic 8x8", "head", _config(fill="mosaic", mosaic_cells=8)),
    Row("infill", "top 60 %", _config(region="top", top_fraction=0.6)),
    Row("infill", "top 70 %", _config(region="top", top_fraction=0.7)),
)
FULL = Size(people=40, train=40, test=25, epochs=10)
QUICK = Size(people=4, train=8, test=6, epochs=2)

Picture = tuple[Pixels, Floats]
"""A picture and its face box, ``[1, 4]``."""


# ----------------------------------------------------------------------------------------------- pictures


def cover(pixels: Pixels, box: Floats, row: Row) -> Pixels:
    """The picture as the product would store it; the picture itself for the uncovered row."""
    if row.region is None:
        return pixels
    covered: Pixels = blur.anonymize(RawFrame(pixels, "benchmark", 0, 0.0, 0.0, 0), box, row.config).pixels
    return covered


def surround(pixels: Pixels, box: Floats, region: str) -> Pixels:
    """The picture with one of ``REGIONS`` in black, without any of the product's code."""
    left, top, right, bottom = corners(box, region)
    result = np.array(pixels)
    result[top:bottom, left:right] = BLACK
    return result


def corners(box: Floats, region: str) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a region in whole pixels of a picture."""
    x1, y1, x2, y2 = box[0].tolist()
    width, height = x2 - x1, y2 - y1
    sides, above, lower = REGIONS[region]
    left, top = math.floor(x1 - sides * width), math.floor(y1 - above * height)
    right, bottom = math.ceil(x2 + sides * width), math.ceil(y1 + lower * height)
    return max(0, left), max(0, top), min(SIDE, right), min(SIDE, bottom)


WAYS: dict[str, Callable[[Pixels, Floats], Pixels]] = {
    **{row.key: partial(cover, row=row) for row in ROWS},
    **{f"surround of {region}": partial(surround, region=region) for region in REGIONS},
}
"""Everything that the attackers are trained on, by name."""
REGION_OF = {
    **{row.key: row.region for row in ROWS},
    **{f"surround of {region}": region for region in REGIONS},
}


def draw(size: Size, seed: int) -> tuple[list[Picture], Labels]:
    """Pictures of all people, and who is on each, ``[N]``; the first ``size.known`` are for training."""
    people = [make_person(seed, number) for number in range(size.people)]
    labels = np.arange(size.people * (size.train + size.test)) % size.people
    scenes = (make_scene(seed, number) for number in range(len(labels)))
    return [render(people[who], scene) for who, scene in zip(labels.tolist(), scenes, strict=True)], labels


def square(pixels: Pixels, box: Floats, region: str | None) -> Floats:
    """A square around the face, ``[VIEW, VIEW, 4]``: the picture, and 255 where the region is.

    What is covered can be found out anyway. An attacker who knows it can use the outline whatever the colour
    beside it, so that fills differ by what they show and not by how visible their edge is.
    """
    marked = np.dstack([pixels, np.zeros(pixels.shape[:2], np.uint8)])
    if region is not None:
        left, top, right, bottom = corners(box, region)
        marked[top:bottom, left:right, 3] = 255
    x1, y1, x2, y2 = box[0].tolist()
    half = round((x2 - x1) * VIEW_WIDTHS / 2)
    x, y = round((x1 + x2) / 2), round((y1 + y2) / 2)
    padded = np.asarray(cv2.copyMakeBorder(marked, half, half, half, half, cv2.BORDER_REPLICATE), np.uint8)
    return _shrink(padded[y : y + 2 * half, x : x + 2 * half], VIEW)


def close(pixels: Pixels, box: Floats) -> Floats:
    """The head region, ``[CLOSE, CLOSE, 3]``."""
    left, top, right, bottom = corners(box, "head")
    return _shrink(pixels[top:bottom, left:right], CLOSE)


def _shrink(pixels: Pixels, side: int) -> Floats:
    # Averages keep their fractions, the only thing in which a strong blur leaves people different.
    small = cv2.resize(pixels.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def sheet(seed: int, people: int = 4) -> Pixels:
    """What the network saw of some people: a column for each of ``WAYS``, enlarged."""
    lines = [np.hstack([_caption(name) for name in WAYS])]
    for number in range(people):
        pixels, box = render(make_person(seed, number), make_scene(seed, number))
        squares = [square(way(pixels, box), box, None)[..., :3] for way in WAYS.values()]
        views = [view.round().astype(np.uint8) for view in squares]
        lines.append(np.hstack([cv2.resize(view, (TILE, TILE)) for view in views]))
    return np.asarray(np.vstack(lines), np.uint8)


def _caption(name: str) -> Pixels:
    tile = np.full((20, TILE, 3), 255, np.uint8)
    cv2.putText(tile, name, (2, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.34, (0, 0, 0), 1, cv2.LINE_AA)
    return tile


# ------------------------------------------------------------------------------------------------ verdict


def two_proportions(first: int, second: int, tested: int) -> float:
    """z of the difference between two counts of successes, each out of ``tested``.

    z = (p1 - p2) / sqrt(p (1 - p) (2 / n)), where p = (x1 + x2) / 2n is the share of both together: the
    pooled test of two proportions, Fleiss, Levin and Paik 2003, "Statistical Methods for Rates and
    Proportions", chapter 3. Below it stands the binomial sigma of the difference. 0 if both are 0 or all.
    Both counts come from the same pictures, and from two trainings; the formula knows of neither.

    >>> round(two_proportions(60, 40, 100), 3)
    2.828
    """
    pooled = (first + second) / (2 * tested)
    if pooled in (0, 1):
        return 0.0
    return (first - second) / tested / math.sqrt(pooled * (1 - pooled) * 2 / tested)


def measure(size: Size, threads: int, seed: int) -> list[dict[str, Any]]:
    """Train and test both attackers on every row and every surround."""
    network = Network(size, threads, seed)
    pictures, labels = draw(size, seed)
    asked = labels[size.known :]
    correct: dict[str, dict[str, int]] = {}
    for name, way in WAYS.items():
        covered = [(way(pixels, box), box) for pixels, box in pictures]
        squares = np.stack([square(*some, REGION_OF[name]) for some in covered])
        closes = np.stack([close(*some) for some in covered])
        guesses = {
            "network": network.guess(squares, labels),
            "linear": linear_guess(squares, closes, labels, size.known),
        }
        correct[name] = {who: int((guess == asked).sum()) for who, guess in guesses.items()}
        print(f"{name}: {correct[name]} of {len(asked)}", file=sys.stderr, flush=True)
    return [report(row, correct[row.key], correct.get(f"surround of {row.region}"), size) for row in ROWS]


def report(row: Row, found: dict[str, int], alone: dict[str, int] | None, size: Size) -> dict[str, Any]:
    """One row of the result. ``found`` and ``alone`` are the pictures that each attacker recognised."""
    tested = size.people * size.test
    result: dict[str, Any] = {"fill": row.name, "region": row.region}
    for attacker in ATTACKERS:
        correct = found[attacker]
        result[attacker] = {"correct": correct, "top1": correct / tested}
        if alone is not None:
            result[attacker] |= {
                "surround_correct": alone[attacker],
                "surround_top1": alone[attacker] / tested,
                "z": two_proportions(correct, alone[attacker], tested),
            }
    return result | {"verdict": verdict(row, result, tested, 1 / size.people)}


def verdict(row: Row, result: dict[str, Any], tested: int, chance: float) -> str:
    """Verdict on a row. ``infill`` and ``solid`` are judged in every region.

    With two attackers and six such rows, a sound build fails by chance with about one seed in 30.
    """
    if row.region is None:
        return "not covered"
    distance = max(abs(result[attacker]["z"]) for attacker in ATTACKERS)
    if row.config.fill in ("infill", "solid") and distance > LIMIT_SIGMA:
        return "OUTSIDE"
    if not row.config.reidentifiable:
        return "as the surround"
    above = max(result[attacker]["correct"] for attacker in ATTACKERS) - chance * tested
    shown = above > LIMIT_SIGMA * math.sqrt(tested * chance * (1 - chance))
    return "recognisable" if shown else "not shown"


def is_strong(rows: list[dict[str, Any]]) -> bool:
    """Whether both attackers recognise uncovered people, and one sees through each blur and mosaic."""
    blurred = [row for row in rows if row["fill"].startswith(("gaussian", "mosaic"))]
    seen = [max(row[attacker]["z"] for attacker in ATTACKERS) for row in blurred]
    uncovered = min(rows[0][attacker]["top1"] for attacker in ATTACKERS)
    return bool(uncovered >= STRONG and min(seen) > LIMIT_SIGMA)


def as_text(result: dict[str, Any]) -> str:
    """The table and its verdicts, in Markdown."""

    def both(row: dict[str, Any], key: str, form: str) -> str:
        return " / ".join(form.format(row[attacker][key]) for attacker in ATTACKERS)

    lines = []
    for row in result["rows"]:
        alone = row["region"] is not None
        lines.append(
            [
                row["fill"],
                row["region"] or "",
                both(row, "top1", "{:.1%}"),
                f"{result['chance']:.1%}",
                both(row, "surround_top1", "{:.1%}") if alone else "",
                both(row, "z", "{:+.1f}") if alone else "",
                row["verdict"],
            ]
        )
    names = " / ".join(ATTACKERS)
    header = ["fill", "region", f"top-1, {names}", "chance", f"surround alone, {names}", "z", "verdict"]
    inside = "NO" if result["outside"] else "yes"
    text = f"{common.table(header, lines)}\n\n"
    text += f"infill and solid within {LIMIT_SIGMA:g} sigma of the surround alone: "
    if result["quick"]:
        return f"{text}{inside} (quick: too small to claim anything)"
    strong = "yes" if result["strong"] else "NO: the attacks are too weak to claim anything"
    return f"{text}{inside}\nuncovered, gaussian and mosaic are recognised: {strong}"


def main(*, seed: int, threads: int, quick: bool, file: Path | None, sheet_file: Path | None) -> None:
    """Measure, print and keep the result. Exits with 1 when a fill is outside its bound."""
    size = QUICK if quick else FULL
    result = common.begin("reidentify")
    result["machine"]["packages"] |= common.versions(["tensorflow-cpu", "tensorflow", "keras"])
    if sheet_file is not None:
        sheet_file.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(sheet_file), sheet(seed)):
            raise common.give_up(f"{sheet_file} could not be written")
    rows = measure(size, threads, seed)
    result |= {
        "quick": quick,
        "seed": seed,
        "people": size.people,
        "train_pictures": size.known,
        "test_pictures": size.people * size.test,
        "epochs": size.epochs,
        "threads": threads,
        "picture_pixels": SIDE,
        "view_pixels": VIEW,
        "chance": 1 / size.people,
        "limit_sigma": LIMIT_SIGMA,
        "rows": rows,
        "outside": [f"{row['fill']}, {row['region']}" for row in rows if row["verdict"] == "OUTSIDE"],
        "strong": is_strong(rows),
    }
    print(as_text(result))
    print(common.machine_line(result))
    common.finish(result, file)
    raise SystemExit(1 if result["outside"] or not (result["strong"] or quick) else 0)
