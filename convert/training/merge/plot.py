"""The share of each label before and after, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convert.errors import ConvertError
from convert.training.merge.result import MergeResult
from convert.training.merge.shares import percent


def check_matplotlib() -> None:
    """Raises ConvertError where it is not installed, before there is any work to lose."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ConvertError("matplotlib is missing; run pip install 'edge-anonymizer[train]'") from error


def plot(result: MergeResult, file: Path) -> None:
    """Draw the labels of the sets, and those that the one label of the merged set is made of, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    before, after = result.before, result.after
    # matplotlib's types are known only where it is installed.
    figure: Any
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(11, 1.6 + 0.34 * len(before)), layout="constrained", width_ratios=(3, 2)
    )
    labels = sorted(before, key=lambda label: (before[label], label))
    colours = {label: f"C{number % 10}" for number, label in enumerate(reversed(labels))}
    bars = left.barh(labels, [before[label] for label in labels], color=[colours[label] for label in labels])
    shares = [f" {before[label]} ({percent(before[label], before.total())})" for label in labels]
    left.bar_label(bars, shares, fontsize=8)
    left.set_title("labels of the sets", fontsize=10)
    begin = 0
    for label in reversed(labels):
        right.barh([result.into], [after[label]], left=begin, color=colours[label])
        begin += after[label]
    right.text(begin, 0, f" {result.objects} (100 %)", fontsize=8, verticalalignment="center")
    right.set_ylim(-0.5 * len(labels), 0.5 * len(labels))  # bars are as high as on the left
    right.set_title("the merged set, by the label that each object had", fontsize=10)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlabel("objects")
        axis.margins(x=0.25)
    figure.savefig(file, dpi=120, format="png", metadata={"Software": None})
    pyplot.close(figure)
