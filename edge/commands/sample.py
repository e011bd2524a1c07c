"""The commented ``edge.toml`` that ``edge config --init`` writes, made from the configuration itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from edge.config import CameraConfig, Config, Section

_HEAD = """\
# Edge anonymizer: configuration.
# Check it with:  edge config --check edge.toml     Run with:  edge run --config edge.toml
# Any key can come from the environment too: EDGE_STORE__FOLDER=/srv/images
# Keys that are commented out show their default.

[cameras.front]
# {source}
source = "/dev/video0"
# Other cameras: "rtsp://user:password@192.0.2.10/stream", "clip.mp4", a folder of pictures.
# In user name and password, percent-encode what is neither a letter nor a digit: / is %2F, @ is %40.
"""


def sample_text() -> str:
    """The sample configuration: every key of every section, with its default and its meaning."""
    parts = [_HEAD.format(source=CameraConfig.model_fields["source"].description)]
    parts += _lines(CameraConfig, skip=("source",))
    for name, field in Config.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, Section):
            parts.append(f"\n[{name}]\n# {(model.__doc__ or '').strip()}\n")
            parts += _lines(model)
    return "".join(parts)


def _lines(model: type[BaseModel], skip: tuple[str, ...] = ()) -> list[str]:
    lines = []
    for name, field in model.model_fields.items():
        if name in skip:
            continue
        unset = field.default is None
        value = "..." if unset else _toml(field.default)
        lines.append(f"# {field.description}\n#{name} = {value}\n")
    return lines


def _toml(value: Any) -> str:
    if isinstance(value, (bool, str, Path)):
        return json.dumps(value if not isinstance(value, Path) else str(value))
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value)
