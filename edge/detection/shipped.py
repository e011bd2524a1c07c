"""The detectors that come with the program, by name."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from edge.config.detector import ShippedName

DEFAULT: ShippedName = "face"
"""The one that runs unless the configuration says otherwise."""
FILES: dict[ShippedName, str] = {"face": "face.onnx", "face-fast": "face-fast.onnx"}
"""Their files in edge/models, where NAME.json tells how each was made."""


def shipped_file(name: ShippedName | None) -> Path:
    """Where the file of a shipped detector is; None: the default one."""
    return Path(str(resources.files("edge") / "models" / FILES[name or DEFAULT]))
