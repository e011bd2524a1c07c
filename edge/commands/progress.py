"""A progress bar on standard error that also shows how many are done per second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(label: str, total: int | None) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar while the block runs, and remove it afterwards.

    Yields a function that takes how many are done and how many there are in all (None: unchanged).
    """
    begin = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=total, rate="")

        def update(done: int, total: int | None) -> None:
            rate = f"{done / max(time.monotonic() - begin, 1e-3):.1f}/s"
            progress.update(task, completed=done, total=total, rate=rate)

        yield update
