"""Arguments and options of ``edge-train``, as types for Typer. Imports nothing that takes long."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convert.command_options import parser
from convert.training.merge import request

Datasets = Annotated[
    list[str],
    typer.Argument(
        metavar="[NAME=]FOLDER...",
        help="Labelled sets: jsonl, COCO, PASCAL VOC, YOLO or WIDER FACE. NAME is the folder's unless given.",
        show_default=False,
    ),
]
MergedFolder = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder to make.", show_default=False)
]
Into = Annotated[
    str,
    typer.Option(metavar="LABEL", parser=parser(request.parse_label), help="The label of the merged set."),
]
Keep = Annotated[
    list[str] | None,
    typer.Option(
        metavar="LABEL",
        help="Label that counts as the object; repeat it for several. All others are dropped and counted. "
        "Default: face, with_mask, without_mask, mask_weared_incorrect.",
    ),
]
Formats = Annotated[
    list[request.Format] | None,
    typer.Option(
        "--format",
        metavar="[NAME=]FORMAT",
        parser=parser(request.parse_format),
        help="jsonl, coco, voc, yolo or wider, for a folder with labels of several formats.",
    ),
]
Licences = Annotated[
    list[request.Named] | None,
    typer.Option(
        "--licence",
        metavar="NAME=TEXT",
        parser=parser(request.parse_named),
        help="Licence of a set, to be recorded.",
    ),
]
Sources = Annotated[
    list[request.Named] | None,
    typer.Option(
        "--source",
        metavar="NAME=TEXT",
        parser=parser(request.parse_named),
        help="Where a set comes from, to be recorded.",
    ),
]
Split = Annotated[
    request.Shares,
    typer.Option(
        metavar="TRAIN/VAL/TEST",
        parser=parser(request.parse_shares),
        help="Shares of the pictures of sets that bring no split.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Divides the pictures in another way.")]
Resplit = Annotated[bool, typer.Option("--resplit", help="Divide all pictures, whatever split a set brings.")]
