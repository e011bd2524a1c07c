"""Why a frame was not stored as it should have been: the values of the ``reason`` label.

What an operator can do about each is in docs/operations.md.
"""

from __future__ import annotations

from enum import Enum


class Reason(str, Enum):
    """Why a frame was dropped or covered whole: the value is the metric label, ``text`` is for operators."""

    OVERTAKEN = "overtaken"
    STALE = "stale"
    REPEATED = "repeated"
    UNDECODABLE = "undecodable"
    SIZE = "size"
    DAMAGED = "damaged"
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
    RETRIED = "retried"

    @property
    def text(self) -> str:
        """An explanation for the operator."""
        return _TEXTS[self]

    @property
    def before_capture(self) -> bool:
        """Whether such a frame never became a picture: it is not among those that were captured."""
        return self in (Reason.UNDECODABLE, Reason.SIZE, Reason.DAMAGED)


_TEXTS = {
    Reason.OVERTAKEN: "a newer frame arrived before the detector could run on this one",
    Reason.STALE: "the frame was older than privacy.max_frame_age_seconds when its turn came",
    Reason.REPEATED: "a live camera delivered the same picture again",
    Reason.UNDECODABLE: "the frame could not be decoded, or is not 8-bit BGR",
    Reason.SIZE: "after crop, the frame is too small, too large or too narrow to detect on",
    Reason.DAMAGED: "a part of the frame, or of one that it refers to, was lost; until the next key frame",
    Reason.DETECTOR_ERROR: "the detector raised an error",
    Reason.DETECTOR_TIMEOUT: "the detector took longer than detector.timeout_seconds",
    Reason.DETECTOR_OUTPUT: "the detector returned a wrong shape, NaN or an infinite number",
    Reason.OVERFLOW: "more candidates than the detector can return were above the threshold",
    Reason.NO_LOOKAHEAD: "a live camera stopped or paused before the detector could run on the next frames",
    Reason.HOLD_ERROR: "joining detections with live regions failed",
    Reason.BLUR_ERROR: "covering the regions failed",
    Reason.STORE_ERROR: "the image could not be stored durably",
    Reason.NOT_DUE: "detected on, but store.interval_seconds had not passed since the last image",
    Reason.TOO_DARK: "too dark or too grainy to tell whether a face is there",
    Reason.TOO_BLURRED: "too blurred to tell whether a face is there",
    Reason.TOO_BRIGHT: "too bright to tell whether a face is there",
    Reason.OBSTRUCTED: "hardly any structure: the lens seems to be covered",
    Reason.KNOWN_FACE: "the detector no longer found the known face, so what it saw before is not trusted",
    Reason.ESCALATED: "a face was found even after more was covered, so the whole frame was covered",
    Reason.LOAD: "the box is too slow or too hot, so the detector runs on fewer frames, or none",
    Reason.RETRIED: "a frame of a file that could not be stored now, or had been stored: it was read again",
}
