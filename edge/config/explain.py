"""What is wrong with a configuration, in sentences that name the key and show no secret."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from edge.config.cameras import CameraConfig
from edge.config.store import PRIVATE_KEY
from edge.config.whole import Config
from edge.masking import key_label, label


def explain(origin: str, item: Any) -> str:
    location = [str(part) for part in item["loc"]]
    key = ".".join(map(key_label, location))
    if item["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        return f"{origin}: unknown key {key!r}{nearest(location[-1], known)}"
    message = PRIVATE_KEY.sub("(private key)", str(item["msg"]).removeprefix("Value error, "))
    if item["type"] == "missing":
        return f"{origin}: key {key!r} is missing"
    if not key:
        return f"{origin}: {message}"
    if key == "store.recipient":  # may be the private key, or a piece of it
        return f"{origin}: key {key!r}: {message}"
    # The source of a camera may hold a password, and so may whatever stands in place of a camera.
    of_cameras = location[0] == "cameras"
    whole = isinstance(item["input"], Mapping) and item["type"] == "value_error"  # a section: message says it
    if whole or (of_cameras and (len(location) < 3 or location[2] == "source")):
        return f"{origin}: key {key!r}: {message}"
    got = PRIVATE_KEY.sub("(private key)", _shown(item["input"], words=not of_cameras))
    return f"{origin}: key {key!r}: {message} (got {got:.80})"


def _shown(value: Any, *, words: bool) -> str:
    """A value as an error may show it: a word or a path, unless not ``words``, a number, or numbers alone."""
    if isinstance(value, (str, Path)):
        text = label(str(value))
        return repr(text) if words and text == str(value) else text if words else "a string"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, (list, tuple)):
        parts = [_shown(part, words=False) for part in value]
        plain = not any(part.startswith("a ") for part in parts)
        return f"[{', '.join(parts)}]" if plain else "a list"
    try:
        return repr(value)
    except ValueError:  # Python writes out no number of thousands of digits
        return "a number of thousands of digits"


def without_keys(text: str) -> str:
    """The text of an error in TOML, without the names that it quotes: a line may hold a password anywhere.

    >>> without_keys("Expected '=' after a key in a key/value pair (at line 2, column 9)")
    "Expected '=' after a key in a key/value pair (at line 2, column 9)"
    >>> without_keys("Cannot declare ('cameras', 'front') twice (at line 3, column 15)")
    'Cannot declare ... (at line 3, column 15)'
    """
    place = re.search(r"\(at (line \d+, column \d+|end of document)\)$", text)
    said = text[: place.start()] if place else text
    if not re.fullmatch(r"(?:[\w ,./-]|'\W{1,2}'|\"\W{1,2}\")*", said):
        said = re.match(r"[A-Za-z ]*", said).group() + "... "  # type: ignore[union-attr]
    return said + (place.group() if place else "")


def _known_keys(parents: list[str]) -> list[str]:
    model: Any = Config
    for parent in parents:
        if model is None:  # the camera's own name
            model = CameraConfig
            continue
        annotation = model.model_fields[parent].annotation
        model = None if CameraConfig in get_args(annotation) else annotation
    return list(model.model_fields) if model is not None else []


def nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are: {', '.join(known)}" if known else ""
