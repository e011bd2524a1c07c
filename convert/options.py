"""What the user states about a model, and about the detectors to build from it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convert.choices import TARGETS
from convert.errors import ConvertError
from edge.contract import PRECISIONS

Array = npt.NDArray[Any]

INPUT_RANGES = {"0..1": (1 / 255, 0.0), "-1..1": (2 / 255, -1.0), "0..255": (1.0, 0.0)}
"""Factor and summand from a byte to the number that the model reads."""

RESIZES = {"stretch": "stretch", "pad": "pad-right-bottom"}
"""The contract's word for each value of ``--resize``."""

MAX_BATCH = 64
_GENERIC_ONLY = (
    "boxes", "scores", "box_format", "normalized", "input_range", "mean", "std", "resize", "anchors",
    "variances",
)  # fmt: skip


@dataclass(frozen=True)
class ModelOptions:
    """Statements about the SavedModel. None means: read it from the model, or guess and report the guess.

    ``labels`` are names or numbers of the classes that are faces. ``boxes`` and ``scores`` name outputs.
    ``box_format``, ``input_range`` and ``resize`` are values of the enumerations in ``convert.choices``.
    ``mean`` and ``std`` are RGB, in units of ``input_range``, and are applied after it. ``anchors`` is a
    NumPy file, float ``[N, 4]``: ``cx cy w h`` in shares of the input. ``size`` is (width, height) in
    pixels. ``signature`` names one of the SavedModel's.
    """

    labels: tuple[str, ...] = ()
    boxes: str | None = None
    scores: str | None = None
    box_format: str | None = None
    normalized: bool | None = None
    input_range: str | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    resize: str | None = None
    anchors: Path | None = None
    variances: tuple[float, float, float, float] | None = None
    size: tuple[int, int] | None = None
    signature: str | None = None

    def record(self) -> dict[str, Any]:
        """The options given, for the detector's metadata; the anchors as their sha256."""
        given = {key: value for key, value in asdict(self).items() if value not in (None, ())}
        if self.anchors is not None:
            given["anchors"] = hashlib.sha256(self.anchors.read_bytes()).hexdigest()
        return given

    def given_generic(self) -> list[str]:
        """The options given that only models of the generic family need, as on the command line."""
        given = [name for name in _GENERIC_ONLY if getattr(self, name) is not None]
        return [f"--{name.replace('_', '-')}" for name in given]


@dataclass(frozen=True)
class DetectorOptions:
    """The detectors to build: one for each of ``targets``.

    ``batch`` is the number of pictures per run. ``calibration`` is a folder of pictures for parity and for
    the ranges of int8; without it, the shipped pictures serve for parity.
    """

    targets: tuple[str, ...] = ("cpu",)
    precision: str = "fp32"
    batch: int = 1
    calibration: Path | None = None

    def check(self) -> None:
        """Raises ConvertError, which names the option and its allowed values."""
        for target in self.targets:
            if target not in TARGETS:
                raise ConvertError(f"--target {target}: one of {', '.join(TARGETS)}")
        if self.precision not in PRECISIONS:
            raise ConvertError(f"--precision {self.precision}: one of {', '.join(PRECISIONS)}")
        if self.precision == "int8" and self.calibration is None:
            raise ConvertError(
                "--precision int8 needs --calibration DIR: a folder of pictures like those of the camera"
            )
        if not 1 <= self.batch <= MAX_BATCH:
            raise ConvertError(f"--batch {self.batch}: 1 to {MAX_BATCH}")


def from_record(record: dict[str, Any], anchors: Path | None) -> ModelOptions:
    """The options of a build, as its detector records them.

    Raises ConvertError when the build had anchors and ``anchors`` is not that file.
    """
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
    expected = given.pop("anchors", None)
    try:
        options = ModelOptions(**given, anchors=anchors)  # type: ignore[arg-type]
    except TypeError as error:
        raise ConvertError(
            f"the detector records options that this version does not know: {error}"
        ) from error
    if expected != options.record().get("anchors"):
        raise ConvertError(
            f"the detector was built with --anchors and a file of sha256 {expected}; give the same file"
            if expected
            else "the detector was built without --anchors; leave it out"
        )
    return options


def read_anchors(path: Path) -> Array:
    """Read and check an anchor file: float64 ``[N, 4]``, ``cx cy w h``. Raises ConvertError."""
    try:
        anchors = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConvertError(
            f"--anchors {path}: {error}; save float [N, 4] (cx cy w h, 0..1) with numpy.save"
        ) from error
    if not isinstance(anchors, np.ndarray) or anchors.ndim != 2 or anchors.shape[1] != 4:
        shape = list(getattr(anchors, "shape", []))
        raise ConvertError(f"--anchors {path} has shape {shape}; expected [N, 4] (cx cy w h)")
    if anchors.dtype.kind != "f" or not np.isfinite(anchors).all() or (anchors[:, 2:] <= 0).any():
        raise ConvertError(
            f"--anchors {path}: expected finite floats with positive sides, as shares of the input"
        )
    if np.abs(anchors).max() > 4:
        raise ConvertError(
            f"--anchors {path}: numbers up to {np.abs(anchors).max():.4g} are not shares of the input (0..1)"
        )
    return anchors.astype(np.float64)
