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
    TOO_DARK = "too_dark"
    TOO_BLURRED = "too_blurred"
    TOO_BRIGHT = "too_bright"
    OBSTRUCTED = "obstructed"
    KNOWN_FACE = "known_face"
    ESCALATED = "escalated"
    LOAD = "load"

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
    Reason.NO_LOOKAHEAD: "a live camera stopped or paused before the frames after it could be looked at",
    Reason.HOLD_ERROR: "joining detections with live regions failed",
    Reason.BLUR_ERROR: "covering the regions failed",
    Reason.STORE_ERROR: "the image could not be stored durably",
    Reason.NOT_DUE: "looked at, but store.interval_seconds had not passed since the last image",
    Reason.TOO_DARK: "too dark or too grainy to tell whether a face is there",
    Reason.TOO_BLURRED: "too blurred to tell whether a face is there",
    Reason.TOO_BRIGHT: "too bright to tell whether a face is there",
    Reason.OBSTRUCTED: "hardly any structure: the lens seems to be covered",
    Reason.KNOWN_FACE: "the detector had ceased to find the known face, so nothing it says is trusted",
    Reason.ESCALATED: "a face was still found after blurring a larger region, so all was covered",
    Reason.LOAD: "the box is too slow or too hot, so fewer frames are looked at, or none",
}
