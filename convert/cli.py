"""The command line of the conversion. TensorFlow is loaded in a child process, so ``--help`` is quick."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NoReturn, ParamSpec

import typer
from rich.console import Console
from rich.table import Table

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import edge
from convert.errors import ConvertError
from convert.options import INPUT_RANGES, RESIZES, ModelOptions
from edge.errors import EdgeError

EXIT_OK, EXIT_FAILED = 0, 1

app = typer.Typer(
    name="edge-convert",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Turn a TensorFlow 2 SavedModel into a verified detector for edge.",
    epilog="Exit codes: 0 all well, 1 something failed and nothing was published, 2 wrong command line.",
)
console = Console()
errors = Console(stderr=True)
P = ParamSpec("P")


def _fails_clearly(command: Callable[P, None]) -> Callable[P, None]:
    """Errors raised on purpose end in one message and exit code 1."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (EdgeError, OSError) as error:
            _exit(str(error))

    return guarded


def _exit(message: str) -> NoReturn:
    for line in message.splitlines():
        errors.print(f"edge-convert: {line}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(EXIT_FAILED)


def _isolated(name: str, *arguments: Any, verbose: bool) -> Any:
    """Run ``convert.build`` in a child process, with a line that says what it does."""
    missing = [
        package
        for package in ("tensorflow", "tf2onnx", "onnx", "onnxscript")
        if not importlib.util.find_spec(package)
    ]
    if missing:
        raise ConvertError(f"not installed: {', '.join(missing)}; run pip install 'edge-anonymizer[convert]'")
    from convert import child, isolated

    with errors.status("start TensorFlow") as status:

        def progress(stage: str) -> None:
            status.update(stage)
            if not errors.is_terminal:
                errors.print(f"{stage} ...", markup=False, highlight=False)

        return isolated.run(getattr(child, name), *arguments, progress=progress, verbose=verbose)


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        console.print(f"edge-anonymizer {edge.__version__}", highlight=False)
        raise typer.Exit


@contextmanager
def _draft(out: Path) -> Iterator[Path]:
    """A folder on the same disk as ``out``, removed at the end even when the child was killed."""
    existed = out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".edge-convert-", dir=out) as folder:
            yield Path(folder)
    finally:
        if not existed and not any(out.iterdir()):
            out.rmdir()


Source = Annotated[Path, typer.Argument(metavar="SAVED_MODEL", help="A folder, or a saved_model.zip.")]
Label = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME|ID", help="A class that counts as a face; again for each. Default: by name."),
]
Size = Annotated[
    str | None, typer.Option(metavar="WxH", help="Input size in pixels, where the model leaves it open.")
]
_GENERIC = "Models of no known exporter"
Boxes = Annotated[str | None, typer.Option(help="Output with the boxes.", rich_help_panel=_GENERIC)]
Scores = Annotated[str | None, typer.Option(help="Output with the scores.", rich_help_panel=_GENERIC)]
BoxFormat = Annotated[
    str | None,
    typer.Option(
        metavar="yxyx|xyxy|cxcywh|cycxhw", help="Order of a box's numbers.", rich_help_panel=_GENERIC
    ),
]
Normalized = Annotated[
    bool | None,
    typer.Option(
        "--normalized/--pixels", help="Boxes are shares of the input, or pixels.", rich_help_panel=_GENERIC
    ),
]
InputRange = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(INPUT_RANGES), help="Numbers that a float input takes.", rich_help_panel=_GENERIC
    ),
]
Mean = Annotated[
    str | None, typer.Option(metavar="R,G,B", help="Subtracted, in that range.", rich_help_panel=_GENERIC)
]
Std = Annotated[
    str | None, typer.Option(metavar="R,G,B", help="Divided by, in that range.", rich_help_panel=_GENERIC)
]
Resize = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(RESIZES),
        help="How frames become the input. Default: stretch.",
        rich_help_panel=_GENERIC,
    ),
]
Anchors = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.npy",
        help="Anchors of raw heads: float [N, 4], cx cy w h, 0..1.",
        rich_help_panel=_GENERIC,
    ),
]
Variances = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,C,D", help="Of the offsets. Default: 0.1,0.1,0.2,0.2.", rich_help_panel=_GENERIC
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show what TensorFlow prints.")]


@app.command()
@_fails_clearly
def build(
    saved_model: Source,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for detectors and report.")],
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="cpu|cuda|tensorrt|openvino", help="Again for each. Default: cpu."),
    ] = None,
    precision: Annotated[
        str, typer.Option(metavar="fp32|fp16|int8", help="int8 needs --calibration.")
    ] = "fp32",
    size: Size = None,
    batch: Annotated[int, typer.Option(min=1, max=64, help="Pictures at a time; the box takes 1.")] = 1,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Pictures with faces, for parity and int8. Default: shipped ones, parity only.",
        ),
    ] = None,
    label: Label = None,
    boxes: Boxes = None,
    scores: Scores = None,
    box_format: BoxFormat = None,
    normalized: Normalized = None,
    input_range: InputRange = None,
    mean: Mean = None,
    std: Std = None,
    resize: Resize = None,
    anchors: Anchors = None,
    variances: Variances = None,
    verbose: Verbose = False,
) -> None:
    """Convert a SavedModel, compare it with TensorFlow, and publish it only if both agree.

    Writes NAME-TARGET-PRECISION.onnx with its .sha256 for each target, report.md and report.json.
    """
    options = _options(
        label, size, boxes, scores, box_format, normalized, input_range, mean, std, resize, anchors, variances
    )
    wanted = (tuple(target or ["cpu"]), precision, batch, calibration)
    with _draft(out) as draft:
        made = _isolated("build", saved_model, out, options, wanted, draft, verbose=verbose)
    for path, seconds, text in made:
        console.print(f"{path}: {text}", markup=False, highlight=False, soft_wrap=True)
        total = sum(seconds.values())
    console.print(
        f"report: {out / 'report.md'} ({total:.0f} s in all)", markup=False, highlight=False, soft_wrap=True
    )


@app.command()
@_fails_clearly
def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A SavedModel, its zip, or an ONNX file.")],
    size: Size = None,
    label: Label = None,
    boxes: Boxes = None,
    scores: Scores = None,
    box_format: BoxFormat = None,
    normalized: Normalized = None,
    input_range: InputRange = None,
    mean: Mean = None,
    std: Std = None,
    resize: Resize = None,
    anchors: Anchors = None,
    variances: Variances = None,
    verbose: Verbose = False,
) -> None:
    """Say what a SavedModel or ONNX file is, and what build would do with it."""
    options = _options(
        label, size, boxes, scores, box_format, normalized, input_range, mean, std, resize, anchors, variances
    )
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, text in _isolated("inspect", path, options, verbose=verbose):
        table.add_row(name, text)
    console.print(table, markup=False, highlight=False)


@app.command()
@_fails_clearly
def verify(
    detector: Annotated[Path, typer.Argument(metavar="DETECTOR", help="An .onnx file made by build.")],
    saved_model: Annotated[Path, typer.Option(metavar="PATH", help="The SavedModel that it was made from.")],
    images: Annotated[Path, typer.Option(metavar="DIR", help="Pictures with faces.")],
    anchors: Anchors = None,
    verbose: Verbose = False,
) -> None:
    """Compare a detector with its SavedModel on other pictures; exit code 1 when they differ."""
    figures, failures = _isolated("verify", detector, saved_model, images, anchors, verbose=verbose)
    for name, value in figures.items():
        text = (
            ", ".join(f"{key} {number}" for key, number in value.items())
            if isinstance(value, dict)
            else value
        )
        console.print(f"{name}: {text}", markup=False, highlight=False, soft_wrap=True)
    if failures:
        _exit("\n".join(["not within the limits:", *failures[:20]]))


def _options(
    label: list[str] | None,
    size: str | None,
    boxes: str | None,
    scores: str | None,
    box_format: str | None,
    normalized: bool | None,
    input_range: str | None,
    mean: str | None,
    std: str | None,
    resize: str | None,
    anchors: Path | None,
    variances: str | None,
) -> ModelOptions:
    _one_of("--box-format", box_format, ("yxyx", "xyxy", "cxcywh", "cycxhw"))
    _one_of("--input-range", input_range, tuple(INPUT_RANGES))
    _one_of("--resize", resize, tuple(RESIZES))
    return ModelOptions(
        labels=tuple(label or ()),
        boxes=boxes,
        scores=scores,
        box_format=box_format,
        normalized=normalized,
        input_range=input_range,
        mean=_numbers("--mean", mean, 3),
        std=_numbers("--std", std, 3),
        resize=resize,
        anchors=anchors,
        variances=_numbers("--variances", variances, 4),
        size=_size(size),
    )


def _one_of(option: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise ConvertError(f"{option} {value}: one of {', '.join(known)}")


def _numbers(option: str, text: str | None, count: int) -> Any:
    if text is None:
        return None
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(-1e6 < number < 1e6 for number in numbers):
        raise ConvertError(f"{option} {text}: wanted {count} numbers with commas between them")
    return numbers


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, _, height = text.partition("x")
    if not (
        width.isdecimal() and height.isdecimal() and 32 <= int(width) <= 8192 and 32 <= int(height) <= 8192
    ):
        raise ConvertError(f"--size {text}: wanted WIDTHxHEIGHT in pixels, 32 to 8192 each, such as 640x384")
    return int(width), int(height)
