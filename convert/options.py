"""What the user may say about a model and about the detector wanted from it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convert.errors import ConvertError

Array = npt.NDArray[Any]

INPUT_RANGES = {"0..1": (1 / 255, 0.0), "-1..1": (2 / 255, -1.0), "0..255": (1.0, 0.0)}
"""Factor and summand from a byte to what the model reads."""

RESIZES = {"stretch": "stretch", "pad": "pad-right-bottom"}


@dataclass(frozen=True)
class ModelOptions:
    """Statements about the SavedModel; None: read it from the model, or guess and say so.

    ``labels`` are names or numbers of the classes that are faces. ``boxes`` and ``scores`` name outputs.
    ``mean`` and ``std`` are in units of ``input_range`` and come after it. ``anchors`` is a NumPy file,
    float ``[N, 4]``: ``cx cy w h`` in shares of the input.
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

    def record(self) -> dict[str, Any]:
        """What was said, for the detector's metadata; the anchors as their hash."""
        said = {key: value for key, value in asdict(self).items() if value not in (None, ())}
        if self.anchors is not None:
            said["anchors"] = hashlib.sha256(self.anchors.read_bytes()).hexdigest()
        return said

    def about_generic(self) -> list[str]:
        """The options given that only models of the generic family need."""
        names = (
            "boxes",
            "scores",
            "box_format",
            "normalized",
            "input_range",
            "mean",
            "std",
            "resize",
            "anchors",
        )
        return [
            f"--{name.replace('_', '-')}" for name in (*names, "variances") if getattr(self, name) is not None
        ]


def from_record(record: dict[str, Any], anchors: Path | None) -> ModelOptions:
    """The options of a build, as its detector records them.

    Raises ConvertError when the build had anchors and ``anchors`` is not that file.
    """
    said = {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
    wanted = said.pop("anchors", None)
    try:
        options = ModelOptions(**said, anchors=anchors)  # type: ignore[arg-type]
    except TypeError as error:
        raise ConvertError(
            f"the detector records options that this version does not know: {error}"
        ) from error
    if wanted != options.record().get("anchors"):
        raise ConvertError(
            f"the detector was built with --anchors and a file of sha256 {wanted}; give the same file"
            if wanted
            else "the detector was built without --anchors; leave it out"
        )
    return options


def read_anchors(path: Path) -> Array:
    """Read and check an anchor file. Raises ConvertError."""
    try:
        anchors = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConvertError(
            f"--anchors {path}: {error}; save float [N, 4] (cx cy w h, 0..1) with numpy.save"
        ) from error
    if not isinstance(anchors, np.ndarray) or anchors.ndim != 2 or anchors.shape[1] != 4:
        shape = list(getattr(anchors, "shape", []))
        raise ConvertError(f"--anchors {path} has shape {shape}; wanted [N, 4] (cx cy w h)")
    if anchors.dtype.kind != "f" or not np.isfinite(anchors).all() or (anchors[:, 2:] <= 0).any():
        raise ConvertError(
            f"--anchors {path}: wanted finite floats with positive sides, as shares of the input"
        )
    if np.abs(anchors).max() > 4:
        raise ConvertError(
            f"--anchors {path}: numbers up to {np.abs(anchors).max():.4g} are no shares of the input (0..1)"
        )
    return anchors.astype(np.float64)
