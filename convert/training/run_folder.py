"""The folder of a run: what it was asked for, what came of it, and where each file lies."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from convert.errors import ConvertError


class Asked(BaseModel):
    """What a run was asked for; a resumed one must be asked for the same.

    ``weights`` is ``none``, ``imagenet`` or the sha256 of the file to begin with, ``complete`` that of the
    file that completed the labels, ``data`` the name of the set and ``data_sha256`` the hash of its labels.
    ``epochs``, ``minutes``: the end, whichever comes first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    data: str
    data_sha256: str
    label: str
    weights: str
    complete: str | None
    seed: int
    epochs: int
    minutes: float | None
    rate: float
    version: str


class RunFolder:
    """Names of the files of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked = folder / "run.json"
        self.log = folder / "log.csv"
        self.tensorboard = folder / "tensorboard"
        self.curves = folder / "curves.png"
        self.examples = folder / "examples"
        self.checkpoint = folder / "checkpoint.npz"
        self.start = folder / "start.npz"
        self.weights = folder / "weights.npz"
        self.result = folder / "result.json"

    def open(self, asked: Asked, *, resume: bool) -> None:
        """Make the folder, or check that a resumed run is the same. Raises ConvertError."""
        if resume:
            kept = self.read_asked()
            differing = [
                f"{name} was {getattr(kept, name)!r} and is {getattr(asked, name)!r}"
                for name in Asked.model_fields
                if getattr(kept, name) != getattr(asked, name)
            ]
            if differing:
                raise ConvertError(
                    f"--resume {self.folder}: {'; '.join(differing)}; ask for the same, or begin a new run "
                    "with --weights and this folder"
                )
            return
        if self.folder.exists() and any(self.folder.iterdir()):
            raise ConvertError(
                f"--out {self.folder} is not empty; name a new folder, or continue that run with --resume"
            )
        self.examples.mkdir(parents=True, exist_ok=True)
        write_text(self.asked, asked.model_dump_json(indent=1) + "\n")

    def read_asked(self) -> Asked:
        """Raises ConvertError when this is no folder of a run."""
        try:
            return Asked.model_validate_json(self.asked.read_bytes())
        except OSError as error:
            raise ConvertError(
                f"{self.folder} is not a folder of edge-train fit: {self.asked.name}: {error.strerror}"
            ) from error
        except ValidationError as error:
            raise ConvertError(f"{self.asked}: {error.errors()[0]['msg']}; it was changed by hand") from error

    def read_log(self) -> list[dict[str, float]]:
        """The rows of the log, numbers by column; empty fields are left out."""
        if not self.log.exists():
            return []
        with self.log.open(newline="", encoding="utf-8") as stream:
            return [
                {name: float(value) for name, value in row.items() if value} for row in csv.DictReader(stream)
            ]

    def write_log(self, rows: list[dict[str, float]]) -> None:
        """Replace the log by these rows."""
        columns = list(dict.fromkeys(name for row in rows for name in row))
        lines = [",".join(columns)]
        lines += [",".join(f"{row[n]:.6g}" if n in row else "" for n in columns) for row in rows]
        write_text(self.log, "\n".join(lines) + "\n")


def write_text(file: Path, text: str) -> None:
    """Replace a file as a whole."""
    partial = file.with_name(file.name + ".part")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, file)


def write_json(file: Path, value: Any) -> None:
    write_text(file, json.dumps(value, indent=1) + "\n")


def hash_of(file: Path) -> str:
    """sha256 of a file in hexadecimal. Raises OSError."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
