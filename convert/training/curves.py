"""The course of a run as a picture and for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, float]
COUNTERS = ("step", "epoch", "seconds")


def draw(rows: Sequence[Row], file: Path, title: str) -> None:
    """Draw losses, average precision, recall and learning rate over the epochs, as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(name for row in rows for name in row if name not in COUNTERS))
    panels = [
        ("loss", [name for name in names if not name.startswith(("ap", "recall", "rate"))], "log"),
        ("average precision", [name for name in names if name.startswith("ap")], "linear"),
        ("recall at false boxes a picture", [name for name in names if name.startswith("recall")], "linear"),
        ("learning rate", ["rate"], "linear"),
    ]
    figure: Any
    figure, axes = pyplot.subplots(2, 2, figsize=(11, 7), layout="constrained")
    for axis, (label, shown, scale) in zip(axes.flat, panels, strict=True):
        for name in shown:
            points = [(row["epoch"], row[name]) for row in rows if name in row]
            if points:
                axis.plot(*zip(*points, strict=True), label=name, linewidth=1.2)
                axis.set_yscale(scale)
        axis.set_title(label, fontsize=10)
        axis.set_xlabel("epoch")
        axis.grid(color="0.92")
        if axis.lines:
            axis.legend(fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=11)
    figure.savefig(file, dpi=120, format="png")
    pyplot.close(figure)


class EventWriter:
    """Writes rows as TensorBoard events; TensorBoard itself need not be installed."""

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf

        self._tf = tf
        self._writer = tf.summary.create_file_writer(str(folder))

    def write(self, row: Row) -> None:
        """Write a row at its ``step``, and make sure that it is on the disk."""
        summary = self._tf.compat.v1.Summary()
        for name, value in row.items():
            if name not in COUNTERS:
                summary.value.add(tag=name, simple_value=value)
        with self._writer.as_default():
            self._tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=int(row["step"]))
        self._writer.flush()
