"""What ``edge-train`` shows in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec

from rich.table import Table

from convert import terminal
from convert.terminal import console, errors

if TYPE_CHECKING:
    from convert.training.merge.request import MergeRequest, Progress
    from convert.training.merge.result import MergeResult

P = ParamSpec("P")


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


def _print(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
