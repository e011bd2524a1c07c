"""Cameras through a GStreamer pipeline, above all the CSI cameras of a Jetson."""

from __future__ import annotations

import re
from collections.abc import Iterator

import cv2

from edge.errors import SourceError
from edge.frames import RawFrame
from edge.sources.live import LiveSource, pictures_of

_ELEMENTS = {
    "nvarguscamerasrc", "libcamerasrc", "v4l2src", "rtspsrc", "souphttpsrc", "uridecodebin", "filesrc",
    "videotestsrc", "rtph264depay", "rtph265depay", "rtpjpegdepay", "h264parse", "h265parse", "jpegparse",
    "multipartdemux", "decodebin", "avdec_h264", "avdec_h265", "jpegdec", "nvv4l2decoder", "nvjpegdec",
    "nvvidconv", "videoconvert", "videoscale", "videorate", "video/x-raw", "queue", "appsink",
}  # fmt: skip
"""The only parts of a pipeline that are shown."""
TIMEOUTS_SINCE = (4, 7)
"""First OpenCV that accepts timeouts for GStreamer; older ones fail to open when they are given."""


class GstreamerSource(LiveSource):
    """A pipeline in the syntax of ``gst-launch-1.0`` that ends in ``appsink``. Not tried on a Jetson.

    It needs an OpenCV with GStreamer; the one from PyPI has none, those of a Jetson and of Debian do.
    """

    @property
    def label(self) -> str:
        """The names of known elements only: a property may be a password, and a password may contain
        ``!``."""
        starts = (re.match(r"[\w/-]+(?![^\s(,])", part.strip()) for part in self.config.source.split("!"))
        names = [start.group() for start in starts if start and start.group() in _ELEMENTS]
        return f"gstreamer {' ! '.join(names)}".strip()

    def __iter__(self) -> Iterator[RawFrame]:
        if not has_gstreamer(cv2.getBuildInformation()):
            raise SourceError(
                f"{self.label}: this OpenCV ({cv2.__version__}) has no GStreamer, like all from PyPI; use the"
                " system's OpenCV (on a Jetson: remove opencv-python-headless from an environment made with "
                "--system-site-packages), or kind = stream or v4l2"
            )
        capture = cv2.VideoCapture(self.config.source, cv2.CAP_GSTREAMER, self._timeouts())
        try:
            if not capture.isOpened():
                raise SourceError(
                    f"{self.label}: cannot be opened; try it with gst-launch-1.0, and 'fakesink' in place of "
                    "'appsink'"
                )
            yield from self._read_live(pictures_of(capture))
        finally:
            capture.release()

    def _timeouts(self) -> list[int]:
        if tuple(int(part) for part in cv2.__version__.split(".")[:2]) < TIMEOUTS_SINCE:
            return []
        return [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            int(self.config.open_timeout_seconds * 1000),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            int(self.config.read_timeout_seconds * 1000),
        ]


def has_gstreamer(build: str) -> bool:
    """Whether ``cv2.getBuildInformation()`` lists GStreamer.

    >>> has_gstreamer("    GStreamer:                   YES (1.22.0)")
    True
    >>> has_gstreamer("    GStreamer:                   NO")
    False
    """
    return re.search(r"GStreamer:\s+YES", build) is not None
