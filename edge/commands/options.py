"""Arguments and options of the commands: types, permitted values and help texts.

Choices come from the configuration (``edge.config``), so that both accept the same words.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from edge.commands.install import DropIn
from edge.config.blur import Fill, Region
from edge.config.detector import Provider


def score(text: str | float) -> float:
    """The value of --score: above 0 and below 1."""
    value = _number(text)
    if not 0 < value < 1:
        raise typer.BadParameter(f"{text} is not a score: use a number above 0 and below 1")
    return value


def fraction(text: str | float) -> float:
    """The value of --top-fraction: above 0, at most 1."""
    value = _number(text)
    if not 0 < value <= 1:
        raise typer.BadParameter(f"{text} is not a share of the height: use a number above 0 and at most 1")
    return value


def _number(text: str | float) -> float:
    """The number in ``text``; NaN, which is in no range, where there is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def sha256(text: str) -> str:
    """The value of --head, in small letters."""
    if re.fullmatch(r"[0-9a-fA-F]{64}", text) is None:
        raise typer.BadParameter("not a sha256 (64 hexadecimal digits)")
    return text.lower()


def moment(text: str | datetime) -> datetime:
    """The value of --from and --to: a time with its zone."""
    try:
        # Python 3.10 does not know the Z.
        value: datetime | None = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", str(text)))
    except ValueError:
        value = None
    if value is None or value.tzinfo is None:
        raise typer.BadParameter(f"{text} is not a time such as 2026-11-27T22:09:34Z")
    return value


# Shared by several commands
ConfigFile = Annotated[Path, typer.Option("--config", metavar="FILE", help="The configuration, edge.toml.")]
OutFolder = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder for the results; relative paths are kept.")
]
DetectorFile = Annotated[
    Path | None, typer.Option("--detector", metavar="FILE", help="A detector other than the shipped one.")
]
Detectors = Annotated[
    list[str],
    typer.Option(
        "--detector",
        metavar="NAME|FILE",
        help="A shipped detector (face, face-fast) or a detector file. Several may be given: the first must "
        "find faces, and what the others find is covered too.",
    ),
]
Jobs = Annotated[
    int, typer.Option("--jobs", min=0, max=256, help="Images processed at once; 0: one per core.")
]

# edge demo
DemoFolder = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Folder for the images; default: a new temporary one."),
]
DemoSeconds = Annotated[
    float, typer.Option("--seconds", min=1, max=3600, help="Length of the synthetic video.")
]

# edge blur
Inputs = Annotated[list[Path], typer.Argument(metavar="PATH", help="Pictures, videos and folders.")]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Skip files that are done already; the report keeps their entries."),
]
ReportFile = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE", help="Write boxes and scores as COCO JSON (.json)."),
]
ConvertPictures = Annotated[
    bool,
    typer.Option(
        "--convert",
        help="Also accept transparent pictures, which are laid on white, and 16-bit and CMYK ones.",
    ),
]
KeepAudio = Annotated[
    bool, typer.Option("--keep-audio", help="Keep the sound of videos. Voices identify people too.")
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Exit code 1 also when a video was done but seems to be shown lying or upside down.",
    ),
]
FillChoice = Annotated[
    Fill,
    typer.Option("--fill", help="What covers a face; gaussian and mosaic need --allow-reidentifiable."),
]
RegionChoice = Annotated[
    Region,
    typer.Option(
        "--region", help="Cover the head, or only the top of the face (needs --allow-reidentifiable)."
    ),
]
TopFraction = Annotated[
    float,
    typer.Option(
        "--top-fraction",
        parser=fraction,
        metavar="SHARE",
        help="With --region top: share of the box's height, above 0 and at most 1.",
    ),
]
AllowReidentifiable = Annotated[
    bool,
    typer.Option(
        "--allow-reidentifiable",
        help="Accept gaussian, mosaic and top, which leave people recognisable.",
    ),
]
ProviderChoice = Annotated[Provider, typer.Option("--provider", help="What runs the detector.")]
SmallestFace = Annotated[
    int,
    typer.Option(
        "--smallest-face",
        min=8,
        max=1000,
        metavar="PIXELS",
        help="Width of the smallest face to look for, in pixels of the picture; the smaller, the slower.",
    ),
]
AnyOrientation = Annotated[
    bool,
    typer.Option(
        "--any-orientation",
        help="Also look for faces that lie or hang upside down; takes four times as long.",
    ),
]
ScoreFrom = Annotated[
    float | None,
    typer.Option(
        "--score",
        parser=score,
        metavar="SCORE",
        help="Cover faces with at least this score, above 0 and below 1; default: the detector's own.",
    ),
]
Quality = Annotated[int, typer.Option("--quality", min=1, max=100, help="JPEG and WebP quality.")]

# edge run, edge doctor
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")]
CheckedConfig = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Check the box for this configuration."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

# edge confirm-clock
ClockIsRight = Annotated[bool, typer.Option("--yes", help="Do not ask whether the time shown is right.")]

# edge config
NewConfig = Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write it.")]
ExistingConfig = Annotated[Path, typer.Argument(metavar="FILE", help="The configuration file.")]

# edge install, edge uninstall
Root = Annotated[Path, typer.Option("--root", metavar="DIR", help="Root folder of the system to change.")]
DropIns = Annotated[
    list[DropIn], typer.Option("--drop-in", help="Adapt the unit to this kind of box; may be repeated.")
]

# edge decrypt, edge keygen
EncryptedInputs = Annotated[
    list[Path], typer.Argument(metavar="PATH", help="Encrypted images (.age) and folders.")
]
Identity = Annotated[
    Path,
    typer.Option("--identity", metavar="FILE", help="The private key, from edge keygen or age-keygen."),
]
NewKey = Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write the private key.")]

# edge audit
Store = Annotated[Path, typer.Argument(metavar="DIR", help="The store, which is the folder in store.folder.")]
Sample = Annotated[
    int | None,
    typer.Option(
        "--sample",
        min=0,
        metavar="COUNT",
        help="Search this many images for faces, drawn at random; default: all.",
    ),
]
Head = Annotated[
    str | None,
    typer.Option(
        "--head",
        parser=sha256,
        metavar="SHA256",
        help="A hash that you kept elsewhere (audit_head in /status).",
    ),
]
AuditIdentity = Annotated[
    Path | None,
    typer.Option("--identity", metavar="FILE", help="The private key, for a store with store.recipient."),
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write all findings as JSON (.json).")
]
HtmlFile = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write the report as a web page (.html).")
]

# edge purge
From = Annotated[
    datetime,
    typer.Option("--from", parser=moment, metavar="TIME", help="First capture, 2026-11-27T22:09:34Z."),
]
To = Annotated[datetime, typer.Option("--to", parser=moment, metavar="TIME", help="Last time of capture.")]
OneCamera = Annotated[
    str | None, typer.Option("--camera", metavar="NAME", help="Only images of this camera; default: of all.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
