"""The commented ``edge.toml`` that ``edge config init`` writes, made from the configuration itself."""

from __future__ import annotations

import inspect
import json
import textwrap
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from edge.config import CameraConfig, Config, FurtherDetectorConfig, Section

_WIDTH = 100
_HEAD = """\
# Edge anonymizer: configuration.
# Check it with:  edge config check edge.toml     Run it with:  edge run --config edge.toml
# An environment variable overrides a key: EDGE_STORE__FOLDER=/srv/images
# Keys that are commented out show their default; ... means that there is none.

# "front" is the camera's name, and that of its folder in the store.
[cameras.front]
{source}
source = "/dev/video0"
# Other cameras: "rtsp://user:password@192.0.2.10/stream", "clip.mp4", a folder of pictures.
# In user name and password, percent-encode every character that is not a letter or digit: / is %2F, @ is %40.
"""


def sample_text() -> str:
    """The sample configuration: every key of every section, with its default and its meaning."""
    parts = [_HEAD.format(source=_comment(CameraConfig.model_fields["source"].description or ""))]
    parts += _lines(CameraConfig, skip=("source",))
    for name, field in Config.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, Section):
            parts.append(f"\n\n{_comment(inspect.getdoc(model) or '')}\n[{name}]\n")
            parts += _lines(model)
        elif name == "detectors":
            # Commented out as a whole: a section without a file would be a mistake.
            about = inspect.getdoc(FurtherDetectorConfig) or ""
            parts.append(f"\n\n{_comment(' '.join(about.split()))}\n#[{name}.plate]\n")
            parts += _lines(FurtherDetectorConfig)
    return "".join(parts)


def _lines(model: type[BaseModel], skip: tuple[str, ...] = ()) -> list[str]:
    lines = []
    for name, field in model.model_fields.items():
        if name in skip:
            continue
        unset = field.default is None
        value = "..." if unset else toml(field.default)
        lines.append(f"\n{_comment(field.description or '')}\n#{name} = {value}\n")
    return lines


def _comment(text: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False)


def toml(value: Any) -> str:
    """A value in TOML.

    >>> toml(True), toml("a"), toml([0.5, "b"])
    ('true', '"a"', '[0.5, "b"]')
    """
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, (bool, str, Path)):
        return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
    return str(value)
