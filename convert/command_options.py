"""Arguments and options of ``edge-convert``, and those that ``edge-train`` has too, as types for Typer."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, TypeVar

import typer

import edge
from convert import choices
from convert.choices import Colour, Size
from convert.terminal import console

Parsed = TypeVar("Parsed")
_GENERIC = "For models of no known exporter"


def parser(parse: Callable[[str], Parsed]) -> Callable[[str], Parsed]:
    """A parser for Typer; its ValueError ends in exit code 2 with its own text."""

    @wraps(parse)
    def parse_or_refuse(text: str) -> Parsed:
        try:
            return parse(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    return parse_or_refuse


def _print_version(requested: bool) -> None:
    if requested:
        console.print(f"edge-anonymizer {edge.__version__}", highlight=False)
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
]
SavedModelPath = Annotated[
    Path,
    typer.Argument(metavar="SAVED_MODEL", help="Folder of a SavedModel, or its zip.", show_default=False),
]
OutFolder = Annotated[
    Path, typer.Option(metavar="DIR", help="Folder for the detectors and the report.", show_default=False)
]
Targets = Annotated[
    list[choices.Target] | None,
    typer.Option(
        help="What to build a detector for; repeat it for several. any: one file for all. Default: cpu."
    ),
]
Precision = Annotated[
    choices.Precision, typer.Option(help="Arithmetic inside the detector; int8 needs --calibration.")
]
Batch = Annotated[int, typer.Option(min=1, max=64, help="Pictures per run of the detector; the box needs 1.")]
Calibration = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Pictures with faces, for the comparison and for int8. Default: the shipped pictures, for the "
        "comparison only.",
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|ID",
        help="Class that counts as a face; repeat it for several. Default: chosen by the classes' names.",
    ),
]
InputSize = Annotated[
    Size | None,
    typer.Option(
        metavar="WIDTHxHEIGHT",
        parser=parser(choices.parse_size),
        help="Input size in pixels, such as 640x384; only for models that leave it open.",
    ),
]
Signature = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Signature that detects. Default: serving_default, or the only one there is."
    ),
]
Boxes = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Output that holds the boxes.", rich_help_panel=_GENERIC),
]
Scores = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Output that holds the scores.", rich_help_panel=_GENERIC),
]
BoxFormat = Annotated[
    choices.BoxFormat | None,
    typer.Option(help="Order of the four numbers of a box.", rich_help_panel=_GENERIC),
]
Normalized = Annotated[
    bool | None,
    typer.Option(
        "--normalized/--pixels",
        help="Whether boxes are shares of the input, or pixels. Default: guessed from a picture.",
        rich_help_panel=_GENERIC,
    ),
]
InputRange = Annotated[
    choices.InputRange | None,
    typer.Option(
        help="Range of the numbers that the model was trained on; needed for float inputs.",
        rich_help_panel=_GENERIC,
    ),
]
Mean = Annotated[
    Colour | None,
    typer.Option(
        metavar="R,G,B",
        parser=parser(choices.parse_colour),
        help="Mean to subtract, in units of --input-range.",
        rich_help_panel=_GENERIC,
    ),
]
Std = Annotated[
    Colour | None,
    typer.Option(
        metavar="R,G,B",
        parser=parser(choices.parse_colour),
        help="Standard deviation to divide by, in units of --input-range.",
        rich_help_panel=_GENERIC,
    ),
]
Resize = Annotated[
    choices.Resize | None,
    typer.Option(
        help="How a frame becomes the input: stretched, or scaled and padded at the right and bottom. "
        "Default: stretch.",
        rich_help_panel=_GENERIC,
    ),
]
Anchors = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.npy",
        help="Anchors, for models whose boxes are offsets: float [N, 4], cx cy w h, as shares of the input.",
        rich_help_panel=_GENERIC,
    ),
]
Variances = Annotated[
    choices.Variances | None,
    typer.Option(
        metavar="A,B,C,D",
        parser=parser(choices.parse_variances),
        help="Variances of the offsets from --anchors. Default: 0.1,0.1,0.2,0.2.",
        rich_help_panel=_GENERIC,
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show the output of TensorFlow.")]
