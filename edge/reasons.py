"""Why a frame was not stored as it should have been: the values of the ``reason`` label."""

from __future__ import annotations

from enum import Enum


class Reason(str, Enum):
    """Drop reasons. The value is the metric label; the text is what an operator reads."""

    OVERTAKEN = "overtaken"
    STALE = "stale"
    REPEATED = "repeated"
    UNDECODABLE = "undecodable"
    DETECTOR_ERROR = "detector_error"
    DETECTOR_TIMEOUT = "detector_timeout"
    DETECTOR_OUTPUT = "detector_output"
    OVERFLOW = "overflow"
    NO_LOOKAHEAD = "no_lookahead"
    HOLD_ERROR = "hold_error"
    BLUR_ERROR = "blur_error"
    STORE_ERROR = "store_error"
    NOT_DUE = "not_due"

    @property
    def text(self) -> str:
        """One sentence for the operator."""
        return _TEXTS[self]


_TEXTS = {
    Reason.OVERTAKEN: "a newer frame arrived before this one could be looked at",
    Reason.STALE: "the frame was older than privacy.max_frame_age_seconds when its turn came",
    Reason.REPEATED: "a live camera delivered the same picture again",
    Reason.UNDECODABLE: "the frame could not be decoded, or is smaller than 16x16 pixels",
    Reason.DETECTOR_ERROR: "the detector raised an error",
    Reason.DETECTOR_TIMEOUT: "the detector took longer than detector.timeout_seconds",
    Reason.DETECTOR_OUTPUT: "the detector returned a wrong shape, NaN or an infinite number",
    Reason.OVERFLOW: "more candidates than the detector can return were above the threshold",
    Reason.NO_LOOKAHEAD: "a live camera stopped before the frames after this one could be looked at",
    Reason.HOLD_ERROR: "joining detections with live regions failed",
    Reason.BLUR_ERROR: "covering the regions failed",
    Reason.STORE_ERROR: "the image could not be stored durably",
    Reason.NOT_DUE: "looked at, but store.interval_seconds had not passed since the last image",
}
