"""What is wrong with a configuration, in sentences that name the key and never show a secret."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from edge.config.cameras import CameraConfig
from edge.config.detectors import FurtherDetectorConfig
from edge.config.store import PRIVATE_KEY
from edge.config.whole import Config
from edge.masking import key_label, label

RENAMED = {
    "privacy.canary_interval_seconds": "privacy.known_face_interval_seconds",
    "privacy.verify": "privacy.last_look",
    "privacy.verify_every_images": "privacy.last_look_every_images",
}
"""Keys that once had another name: old name and new one."""

REMOVED = {
    ("detector", "size_pixels"), ("detector", "tiles"), ("detector", "tile_overlap"),
}  # fmt: skip
"""Keys that are gone since ``privacy.smallest_face_pixels`` says the same in pixels of the camera's picture;
those of ``[detectors.NAME]`` too."""

_NAMED = (CameraConfig, FurtherDetectorConfig)
"""Sections of which there can be several, each with a name."""


def explain(origin: str, item: Any) -> str:
    """One item of pydantic's ``ValidationError.errors()`` as a sentence that begins with ``origin``."""
    location = [str(part) for part in item["loc"]]
    key = ".".join(map(key_label, location))
    if item["type"] == "extra_forbidden":
        return f"{origin}: unknown key {key!r}{_way_out(location)}"
    message = PRIVATE_KEY.sub("(private key)", str(item["msg"]).removeprefix("Value error, "))
    if item["type"] == "missing":
        return f"{origin}: key {key!r} is missing"
    if not key:
        return f"{origin}: {message}"
    if key == "store.recipient":  # may hold the private key, or a piece of it
        return f"{origin}: key {key!r}: {message}"
    # A camera's source may hold a password, and so may whatever stands in place of a camera.
    of_cameras = location[0] == "cameras"
    whole = (
        isinstance(item["input"], Mapping) and item["type"] == "value_error"
    )  # a section: the message says it all
    if whole or (of_cameras and (len(location) < 3 or location[2] == "source")):
        return f"{origin}: key {key!r}: {message}"
    got = PRIVATE_KEY.sub("(private key)", _shown(item["input"], words=not of_cameras))
    return f"{origin}: key {key!r}: {message} (got {got:.80})"


def _way_out(location: list[str]) -> str:
    """What to write instead of an unknown key."""
    new = RENAMED.get(".".join(location))
    if new is not None:
        return f": it is called {new} now"
    if (location[0].removesuffix("s"), location[-1]) in REMOVED:
        return (
            "; leave it out: sizes and tiles now follow from privacy.smallest_face_pixels, the smallest face "
            "to look for in pixels of the camera's picture"
        )
    return nearest(location[-1], _known_keys(location[:-1]))


def _shown(value: Any, *, words: bool) -> str:
    """A value as an error may show it: a number, a list of numbers and, with ``words``, a word or a path."""
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
    except ValueError:  # Python does not print integers with thousands of digits
        return "a number with thousands of digits"


def without_keys(text: str) -> str:
    """The text of a TOML error, without the names that it quotes: a password may stand anywhere in a line.

    >>> without_keys("Expected '=' after a key in a key/value pair (at line 2, column 9)")
    "Expected '=' after a key in a key/value pair (at line 2, column 9)"
    >>> without_keys("Cannot declare ('cameras', 'front') twice (at line 3, column 15)")
    'Cannot declare ... (at line 3, column 15)'
    """
    place = re.search(r"\(at (line \d+, column \d+|end of document)\)$", text)
    message = text[: place.start()] if place else text
    if not re.fullmatch(r"(?:[\w ,./-]|'\W{1,2}'|\"\W{1,2}\")*", message):
        message = re.match(r"[A-Za-z ]*", message).group() + "... "  # type: ignore[union-attr]
    return message + (place.group() if place else "")


def _known_keys(parents: list[str]) -> list[str]:
    model: Any = Config
    named: Any = None
    for parent in parents:
        if model is None:  # the name of a camera or a detector
            model = named
            continue
        annotation = model.model_fields[parent].annotation
        named = next((kind for kind in get_args(annotation) if kind in _NAMED), None)
        model = annotation if named is None else None
    return list(model.model_fields) if model is not None else []


def nearest(name: str, known: list[str]) -> str:
    """The known name that ``name`` was probably meant to be, or all known names, as the end of a sentence."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are: {', '.join(known)}" if known else ""
