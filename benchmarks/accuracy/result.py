"""Result of ``python -m benchmarks accuracy``: its form, tables and plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from benchmarks import common
from benchmarks.machine import Result, Strict
from convert.training.figure_forms import (
    FALSE_RATES,
    SIZES,
    AtRate,
    AtScore,
    CocoPrecision,
    Found,
    Point,
    Recommended,
)


class Raised(Strict):
    """Pictures on which the lowest threshold let too many candidates pass, and the highest one they needed.
    Below it, figures lack boxes of those pictures."""

    pictures: int
    highest: float


class DetectorAccuracy(Strict):
    """Figures of one detector on the reported pictures. ``own`` is at the ``score_begin`` that its metadata
    carry, ``at_recommended`` at the recommended one. ``wider``: by level, empty for a set without levels."""

    name: str
    sha256: str
    precision: str
    size: tuple[int, int] | None
    raised: dict[str, Raised]
    coco: CocoPrecision
    wider: dict[str, float | None]
    at_rates: list[AtRate]
    own: AtScore
    recommended: Recommended
    at_recommended: AtScore | None
    sweep: list[Point]


class Pictures(Strict):
    """What a split has: pictures, faces, and those of them that count."""

    pictures: int
    faces: int
    counted: int


class AccuracyResult(Result):
    """A run. ``splits``: the pictures used; ``chosen_on`` is None where no threshold may be chosen."""

    data: str
    kind: str
    notes: list[str]
    limit: int | None
    splits: dict[str, Pictures]
    reported_on: str
    chosen_on: str | None
    match_iou: float = Field(gt=0, lt=1)
    min_side: float
    margin: float
    max_false: float
    lowest_score: float
    detectors: list[DetectorAccuracy]


def as_markdown(result: AccuracyResult) -> str:
    """Tables and notes for people."""
    parts = [_about(result)]
    parts += [f"{note}." for note in result.notes]
    parts += [_averages(result), _rates(result), _thresholds(result)]
    parts += [_recommendation(one) for one in result.detectors]
    parts += [f"{one.name}: {text}." for one in result.detectors for text in _raised(one)]
    parts += [_sweep(one) for one in result.detectors]
    # Other work does not change these figures, so a busy machine gets no warning.
    return "\n\n".join([*parts, result.machine.line()])


def _about(result: AccuracyResult) -> str:
    amounts = "; ".join(
        f"{name}: {each.pictures} pictures, {each.faces} faces, {each.counted} count"
        for name, each in result.splits.items()
    )
    chosen = f"thresholds chosen on {result.chosen_on}" if result.chosen_on else "no threshold chosen"
    if result.chosen_on == result.reported_on:
        chosen += ", the same pictures: figures at them are too good"
    return (
        f"{result.data} ({result.kind}), {amounts}. Reported on {result.reported_on}, {chosen}. A box finds "
        f"a face from IoU {result.match_iou:g} on; faces count from {result.min_side:g} px, except for AP."
    )


def _averages(result: AccuracyResult) -> str:
    levels = list(dict.fromkeys(level for one in result.detectors for level in one.wider))
    header = ["detector", "canvas", "AP", "AP50", "AP75", "AP small", "AP medium", "AP large"]
    return common.table(
        [*header, *(f"WIDER {level}" for level in levels)],
        [
            [
                one.name,
                f"{one.size[0]}x{one.size[1]}" if one.size else "native",
                *map(_text, one.coco.model_dump().values()),
                *(_text(one.wider.get(level)) for level in levels),
            ]
            for one in result.detectors
        ],
    )


def _rates(result: AccuracyResult) -> str:
    header = ["detector", *(f"recall at {rate:g} false per picture" for rate in FALSE_RATES)]
    rows = []
    for one in result.detectors:
        cells = [
            _text(each.recall) + (f" (above {each.above:.3f})" if each.above is not None else " (all boxes)")
            for each in one.at_rates
        ]
        rows.append([one.name, *cells])
    return common.table(header, rows)


def _thresholds(result: AccuracyResult) -> str:
    header = ["detector", "threshold", "recall", "precision", "false per picture"]
    rows = []
    for one in result.detectors:
        for name, at in (("own", one.own), ("recommended", one.at_recommended)):
            if at is not None:
                parts = [*at.by_size.values(), at.masked, at.unmasked]
                cells = [_text(at.all.recall), _text(at.precision), f"{at.false_per_picture:.2f}"]
                rows.append([one.name, f"{name} {at.score:g}", *cells, *map(_of, parts)])
    return common.table([*header, *(f"{name} px" for name in SIZES), "masked", "unmasked"], rows)


def _recommendation(one: DetectorAccuracy) -> str:
    chosen = one.recommended
    return f"{one.name}: {'no threshold' if chosen.score is None else f'{chosen.score:g}'}: {chosen.reason}."


def _raised(one: DetectorAccuracy) -> list[str]:
    return [
        f"on {each.pictures} pictures ({name}) more candidates passed than it returns, so they were "
        f"measured with a threshold of up to {each.highest:g}; below it, figures lack boxes"
        for name, each in one.raised.items()
    ]


def _sweep(one: DetectorAccuracy) -> str:
    rows = [
        [f"{p.score:.2f}", _text(p.recall), _text(p.precision), f"{p.false_per_picture:.2f}"]
        for p in one.sweep[::5]
    ]
    return common.table([f"{one.name}, threshold", "recall", "precision", "false per picture"], rows)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _of(found: Found) -> str:
    return f"{_text(found.recall)} of {found.faces}"


def plot(result: AccuracyResult, file: Path) -> None:
    """Draw recall and precision over the threshold, and recall over false boxes, as a PNG.

    Raises SystemExit (2) without matplotlib.
    """
    try:
        import matplotlib
    except ImportError:
        raise common.give_up("a plot needs matplotlib: pip install 'edge-anonymizer[bench]'") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    # matplotlib's types are known only where it is installed.
    figure: Any
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    for number, one in enumerate(result.detectors):
        colour = f"C{number}"
        scores = [point.score for point in one.sweep]
        recalls = [_or_gap(point.recall) for point in one.sweep]
        false = [point.false_per_picture for point in one.sweep]
        left.plot(scores, recalls, color=colour, label=f"{one.name}: recall")
        left.plot(
            scores, [_or_gap(point.precision) for point in one.sweep], "--", color=colour, label="precision"
        )
        right.plot(false, recalls, color=colour, label=one.name)
        for mark, name, at in (("o", "own", one.own), ("*", "recommended", one.at_recommended)):
            if at is not None:
                style = {"color": colour, "markersize": 9, "label": f"{name} threshold {at.score:g}"}
                left.plot(at.score, _or_gap(at.all.recall), mark, **style)
                right.plot(at.false_per_picture, _or_gap(at.all.recall), mark, **style)
    left.set_xlabel("threshold")
    right.set_xlabel("false boxes per picture")
    right.set_ylabel("recall")
    right.set_xscale("symlog", linthresh=0.01)
    right.axvline(result.max_false, color="0.8", linewidth=1)
    for axis in (left, right):
        axis.set_ylim(0, 1.02)
        axis.grid(color="0.92")
        axis.legend(fontsize=8, frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    pictures = result.splits[result.reported_on].pictures
    figure.suptitle(f"{result.data} ({result.reported_on}), {pictures} pictures", fontsize=10)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=150, format="png")
    pyplot.close(figure)


def _or_gap(value: float | None) -> float:
    return float("nan") if value is None else value
