"""What ``edge-train`` shows in the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from rich.table import Table

from convert import terminal
from convert.terminal import console, errors
from convert.training.requests import EvaluateResult, ExportResult, FitResult, Progress

if TYPE_CHECKING:
    from convert.training.merge.request import MergeRequest
    from convert.training.merge.result import MergeResult

P = ParamSpec("P")
Request = TypeVar("Request")
Result = TypeVar("Result")


def fails_clearly(command: Callable[P, None]) -> Callable[P, None]:
    """Errors raised on purpose end in one message and exit code 1."""
    return terminal.fails_clearly(command, "edge-train")


@contextmanager
def progress() -> Iterator[Progress]:
    """Show what is being done, on a terminal only."""
    with errors.status("begin") as status:
        yield lambda text: status.update(text)


def show_merge(result: MergeResult, request: MergeRequest) -> None:
    """Print what was corrected, the tables of ``shares.md``, and what to see to."""
    from convert.training.merge import shares
    from convert.training.merge.splits import PLACES

    for part in result.parts:
        for line in part.corrections.lines():
            _print(f"{part.name}: {line}")
    for header, rows in (shares.label_rows(result), shares.split_rows(result)):
        table = Table(box=None, pad_edge=False)
        for number, title in enumerate(header):
            table.add_column(title, justify="right" if number else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table, markup=False, highlight=False)
    for warning in result.warnings():
        errors.print(f"note: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    counts = ", ".join(f"{place} {len(result.in_split(place))}" for place in PLACES)
    _print(f"{request.out}: {len(result.entries)} pictures ({counts}), {result.objects} {result.into}")


def run(work: Callable[[Request, Progress], Result], request: Request, *, verbose: bool) -> Result:
    """Do ``work`` in a child process, and show how far it is. Raises ConvertError."""
    terminal.demand_packages(("matplotlib",), "train")
    return terminal.run(work, request, verbose=verbose)


def show_fit(result: FitResult) -> None:
    """Print what was left out of the set, the figures at the end of a run, and where it lies."""
    for note in result.notes:
        errors.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    _print_figures(result.figures)
    _print(
        f"{result.folder}: {result.steps} steps in {result.seconds / 60:.1f} min; see curves.png, examples/"
    )


def show_evaluate(result: EvaluateResult, json_file: Path | None) -> None:
    """Print figures and the table of thresholds; write them as JSON where a file is named."""
    _print(f"{result.data}, {result.split}: {result.pictures} pictures, {result.objects} objects that count")
    _print_figures(result.figures)
    table = Table(box=None, pad_edge=False)
    for title in ("threshold", "recall", "precision", "false boxes a picture"):
        table.add_column(title, justify="right")
    for point in result.points:
        shares = ["-" if v is None else f"{v:.3f}" for v in (point.recall, point.precision)]
        table.add_row(f"{point.score:g}", *shares, f"{point.false_per_picture:.2f}")
    console.print(table, markup=False, highlight=False)
    if json_file is not None:
        json_file.write_text(json.dumps(result.record(), indent=1) + "\n", encoding="utf-8")


def show_export(result: ExportResult) -> None:
    """Print where the SavedModel lies."""
    _print(f"{result.folder}, and the same as {result.zip}; next: edge-convert build")


def _print_figures(figures: dict[str, float]) -> None:
    for name, value in figures.items():
        _print(f"{name}: {value:.3f}")


def _print(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
