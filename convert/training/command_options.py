"""Arguments and options of ``edge-train``, as types for Typer. Imports nothing that takes long."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convert.command_options import Verbose as Verbose
from convert.command_options import Version as Version
from convert.command_options import parser
from convert.training import requests
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

MergedSet = Annotated[
    Path, typer.Argument(metavar="DATA", help="Folder that edge-train merge made.", show_default=False)
]
Model = Annotated[requests.Model, typer.Option(help="Kind of network.", show_default=False)]
RunFolder = Annotated[
    Path, typer.Option("--out", metavar="RUN", help="Folder of the run, to make.", show_default=False)
]
Weights = Annotated[
    str,
    typer.Option(
        metavar="none|imagenet|FILE|RUN",
        help="Weights to begin with: the published ONNX file (centre, tiny), imagenet or the .pth file of "
        "EfficientNet-Lite0 (efficientdet), or an earlier run.",
    ),
]
Complete = Annotated[
    Path | None,
    typer.Option(
        metavar="MODEL",
        help="A detector, run or SavedModel whose sure detections become labels where nobody labelled "
        "anything (default: the published file itself, where a run begins with one).",
        show_default=False,
    ),
]
Epochs = Annotated[
    int | None, typer.Option(min=1, help="Times that each picture is shown.", show_default=False)
]
Minutes = Annotated[
    float | None, typer.Option(min=0.01, help="End after this time, if not before.", show_default=False)
]
Rate = Annotated[float | None, typer.Option(min=1e-8, help="Highest learning rate.", show_default=False)]
TrainSeed = Annotated[int, typer.Option("--seed", min=0, help="Other batches in another order.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Cores to use (default: all).", show_default=False)]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in --out from its last checkpoint.")
]
Judged = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help="A run, a SavedModel, its zip, or an .onnx file.", show_default=False
    ),
]
LabelledSet = Annotated[
    Path, typer.Option("--data", metavar="DIR", help="Labelled set, in any format.", show_default=False)
]
Reported = Annotated[
    str | None,
    typer.Option(
        "--split", help="train, val, test or all (default: test where there is one).", show_default=False
    ),
]
Misses = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write a picture of what it misses most.", show_default=False),
]
Json = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the figures as JSON.", show_default=False)
]
Run = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder of a run that has ended.", show_default=False)
]
ExportFolder = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder to make.", show_default=False)
]
Blend = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        help="Share of the weights that the run began with: a mean of both keeps more of what they found.",
    ),
]
Stated = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="JSON with measured thresholds and other facts for the detector's metadata.",
        show_default=False,
    ),
]
