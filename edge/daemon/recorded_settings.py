"""The settings in the audit log: everything that decides what is stored, and no secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge.config import Config
from edge.masking import label

_SECTIONS = {"cameras", "detector", "detectors", "blur", "store", "audit", "load", "privacy"}


def settings_of(config: Config, hashes: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The settings as JSON values. A URL is reduced to scheme, host and port; a GStreamer pipeline is left
    out, since a password could stand anywhere in it. ``kind`` is what the source was taken for, since only
    that of a folder is searched without regard to the picture before.

    ``hashes`` adds to each section ``[detectors.NAME]`` the sha256 of its file.
    """
    settings: dict[str, Any] = config.model_dump(mode="json", include=_SECTIONS)
    for name, camera in config.cameras.items():
        kind = camera.resolved_kind()
        settings["cameras"][name]["kind"] = kind
        del settings["cameras"][name]["username"], settings["cameras"][name]["password_file"]
        settings["cameras"][name]["source"] = kind if kind == "gstreamer" else label(camera.source)
    for name, sha256 in (hashes or {}).items():
        settings["detectors"][name]["sha256"] = sha256
    return settings
