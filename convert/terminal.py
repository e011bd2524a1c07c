"""What ``edge-convert`` does in the terminal: start the child process, show results, end in an exit code."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from convert import isolated
from convert.errors import ConvertError
from convert.parity import Parity
from convert.request import Progress
from convert.result import BuildResult, Fact
from edge.errors import EdgeError

EXIT_FAILED = 1
MAX_FAILURES = 20
"""Upper limit on the boxes that are listed when a detector is not within the limits."""
_PACKAGES = ("tensorflow", "tf2onnx", "onnx", "onnxscript")

console = Console()
errors = Console(stderr=True)
P = ParamSpec("P")
Request = TypeVar("Request")
Result = TypeVar("Result")


def fails_clearly(command: Callable[P, None], program: str = "edge-convert") -> Callable[P, None]:
    """Errors raised on purpose end in one message, which begins with the program's name, and exit code 1."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (EdgeError, OSError) as error:
            _exit(str(error), program)

    return guarded


def _exit(message: str, program: str = "edge-convert") -> NoReturn:
    for line in message.splitlines():
        errors.print(f"{program}: {line}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(EXIT_FAILED)


def run(work: Callable[[Request, Progress], Result], request: Request, *, verbose: bool) -> Result:
    """Do ``work`` in a child process, and show the stage that runs. Raises ConvertError."""
    demand_packages(_PACKAGES, "convert")
    with errors.status("start TensorFlow") as status:

        def progress(stage: str) -> None:
            status.update(stage)
            if not errors.is_terminal:
                errors.print(f"{stage} ...", markup=False, highlight=False)

        return isolated.run(work, request, progress=progress, verbose=verbose)


def demand_packages(packages: Sequence[str], extra: str) -> None:
    """Raise ConvertError where packages are missing; it names them, and the extra that has them."""
    missing = [package for package in packages if not importlib.util.find_spec(package)]
    if missing:
        raise ConvertError(f"not installed: {', '.join(missing)}; run pip install 'edge-anonymizer[{extra}]'")


def show_build(result: BuildResult, out: Path) -> None:
    """Print one line for each detector, and where the report is."""
    for detector in result.detectors:
        _print(f"{detector.path}: {detector.parity.text()}")
    _print(f"report: {out / 'report.md'} ({sum(result.seconds.values()):.0f} s in all)")


def show_facts(facts: Sequence[Fact]) -> None:
    """Print facts as a table of two columns."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for fact in facts:
        table.add_row(fact.name, fact.text)
    console.print(table, markup=False, highlight=False)


def show_parity(parity: Parity) -> None:
    """Print the figures of a comparison. Exits with 1 when it is not within the limits."""
    for name, value in parity.figures().items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {number}" for key, number in value.items())
        _print(f"{name}: {value}")
    failures = parity.failures()
    if failures:
        _exit("\n".join(["not within the limits:", *failures[:MAX_FAILURES]]))


def _print(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
