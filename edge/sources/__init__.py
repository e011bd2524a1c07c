"""Sources of frames, one file per kind."""

from __future__ import annotations

import threading

from edge.config import CameraConfig
from edge.sources.base import Source
from edge.sources.folder import FolderSource
from edge.sources.gstreamer import GstreamerSource
from edge.sources.stream import StreamSource
from edge.sources.v4l2 import V4l2Source
from edge.sources.video import VideoSource

__all__ = ["Source", "make_source"]

_KINDS: dict[str, type[Source]] = {
    "video": VideoSource,
    "folder": FolderSource,
    "v4l2": V4l2Source,
    "stream": StreamSource,
    "gstreamer": GstreamerSource,
}


def make_source(camera: str, config: CameraConfig, stop: threading.Event) -> Source:
    """Make the source of a camera; nothing is opened until it is iterated."""
    return _KINDS[config.resolved_kind()](camera, config, stop)
