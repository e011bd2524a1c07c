"""The detectors that come with the program, by name."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from edge.config.detector import ShippedName

DEFAULT: ShippedName = "face"
"""The one that runs unless the configuration says otherwise."""
FILES: dict[ShippedName, str] = {"face": "centerface.onnx"}
"""Their files in edge/models."""


def shipped_file(name: ShippedName | None) -> Path:
    """Where the file of a shipped detector is; None: the default one."""
    return Path(str(resources.files("edge") / "models" / FILES[name or DEFAULT]))
