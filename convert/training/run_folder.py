"""The folder of a run: what it was asked for, what came of it, and where each file lies."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from convert.errors import ConvertError
from convert.graphs import Array
from convert.training import checkpoint
from convert.training.checkpoint import PARTIAL

LOCK_TRIES, LOCK_PAUSE = 40, 0.5
"""How often to ask for a run that another process holds, and how long to wait in between, seconds."""


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
        self.folder.mkdir(parents=True, exist_ok=True)
        if any(file.suffix != PARTIAL for file in self.folder.iterdir()):
            raise ConvertError(
                f"--out {self.folder} is not empty; name a new folder, or continue that run with --resume"
            )
        write_text(self.asked, asked.model_dump_json(indent=1) + "\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of this run. Raises ConvertError when one works on it.

        A process that was killed may need a moment to be gone.
        """
        with self.asked.open("rb") as held:
            for _ in range(LOCK_TRIES):
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                time.sleep(LOCK_PAUSE)
            else:
                raise ConvertError(
                    f"{self.folder}: another edge-train fit works on this run; wait for it or end it"
                )
            yield

    def end(self, result: Mapping[str, Any], mean: list[Array]) -> None:
        """Write the figures and the weights of a run that has ended; the weights are the sign that it has."""
        write_text(self.result, json.dumps(result, indent=1) + "\n")
        checkpoint.save(self.weights, checkpoint.numbered("mean", mean))

    def ended(self) -> bool:
        return self.weights.exists()

    def read_weights(self) -> list[Array]:
        """The weights of a run that has ended, in the network's order. Raises ConvertError."""
        self.read_asked()
        if not self.ended():
            raise ConvertError(
                f"{self.folder}: the run has not ended; go on with it: edge-train fit --resume"
            )
        return checkpoint.in_order("mean", checkpoint.load(self.weights))

    def read_start(self) -> list[Array]:
        """The weights that the run began with, in the network's order. Raises ConvertError."""
        return checkpoint.in_order("mean", checkpoint.load(self.start))

    def read_result(self) -> dict[str, Any]:
        """``figures``, ``steps`` and ``seconds`` of a run that has ended. Raises ConvertError."""
        try:
            found: dict[str, Any] = json.loads(self.result.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConvertError(f"{self.result}: {error}; it was not written by edge-train fit") from error
        return found

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
    partial = file.with_name(file.name + PARTIAL)
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, file)


def hash_of(file: Path) -> str:
    """sha256 of a file in hexadecimal. Raises OSError."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
