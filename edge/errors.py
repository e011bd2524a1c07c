"""Every error that this package raises on purpose.

::

    EdgeError                 something went wrong; the text says what, where and the way out
    +-- ConfigError           the configuration is bad              (exit code 78)
    +-- DetectorError         the detector cannot be trusted
    |   +-- ContractError     the file does not follow edge/contract.py
    |   +-- KnownFaceError    it does not find the known face
    |   +-- ProviderError     the requested execution provider does not run
    |   +-- DetectionError    one detection failed: exception, timeout, NaN, wrong shape
    +-- BlurError             the regions of a frame could not be covered
    +-- SourceError           a camera, stream, folder or file cannot be read
    +-- PictureError          one picture or video file is broken, hostile or of a refused kind
    +-- StoreError            an image could not be stored durably
        +-- UnstorableError   this image never can, whatever the state of the disk
"""

from __future__ import annotations

from edge.reasons import Reason


class EdgeError(Exception):
    """Base of every error raised on purpose."""


class ConfigError(EdgeError):
    """The configuration is bad; the text names the key and the way out."""


class DetectorError(EdgeError):
    """The detector cannot be trusted."""


class ContractError(DetectorError):
    """A file does not follow the detector contract."""


class KnownFaceError(DetectorError):
    """The detector does not find the known face where it is."""


class ProviderError(DetectorError):
    """The requested execution provider does not run."""


class DetectionError(DetectorError):
    """One detection failed; ``reason`` is the one under which the frame is counted."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class BlurError(EdgeError):
    """The regions of a frame could not be covered."""


class SourceError(EdgeError):
    """A camera, stream, folder or file cannot be read."""


class AwayError(SourceError):
    """The disk or network share of a file or folder is away; it is waited for."""


class PictureError(EdgeError):
    """One picture or video file is broken, hostile or of a refused kind."""


class StoreError(EdgeError):
    """An image could not be stored durably."""


class UnstorableError(StoreError):
    """An image can never be stored, whatever the state of the disk."""
