"""``[cameras.NAME]``: where a camera's frames come from, and what is always covered in them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from edge.config.section import Portion, Section


class CameraConfig(Section):
    """One camera. NAME is also its folder in the store: lower-case letters, digits, ``-`` and ``_``."""

    source: str = Field(
        min_length=1,
        repr=False,  # may hold a password; edge.masking.label is what may be shown
        description="video file, folder of pictures, /dev/videoN, rtsp:// or http:// URL, or a GStreamer "
        "pipeline that ends in appsink (kind = gstreamer)",
    )
    kind: Literal["auto", "video", "folder", "v4l2", "stream", "gstreamer"] = Field(
        "auto", description="what kind of source it is; auto: recognised by its form"
    )
    username: str | None = Field(
        None, min_length=1, repr=False, description="stream: user name, in place of one in the URL"
    )
    password_file: Path | None = Field(
        None, repr=False, description="stream: file that holds the password of username"
    )
    transport: Literal["tcp", "udp"] = Field("tcp", description="rtsp: transport protocol")
    loop: bool = Field(False, description="video: start again at its end")
    pace: bool = Field(True, description="video: play at its own frame rate, not as fast as possible")
    resume: bool = Field(
        True,
        description="video and folder: after a restart, go on with what was not stored; false: start over",
    )
    width_pixels: int | None = Field(None, ge=16, le=16384, description="v4l2: requested width")
    height_pixels: int | None = Field(None, ge=16, le=16384, description="v4l2: requested height")
    rate_fps: float | None = Field(
        None,
        gt=0,
        le=240,
        description="v4l2: requested frame rate; video: frame rate if the file states none",
    )
    open_timeout_seconds: float = Field(10, gt=0, le=300, description="stream: longest time to open it")
    read_timeout_seconds: float = Field(
        5, gt=0, le=300, description="stream: longest time to wait for a frame"
    )
    ignore_clock: bool = Field(
        False,
        description="stream, rtsp: the camera's clock is known to be wrong, so how late its pictures are is "
        "judged by the pace at which they come",
    )
    stale_after_seconds: float = Field(
        10,
        gt=0,
        le=3600,
        description="live camera: it counts as frozen after showing the same picture this long",
    )
    poll_seconds: float = Field(1, gt=0, le=3600, description="folder: how often to check for new pictures")
    rotate_degrees: Literal[0, 90, 180, 270] = Field(
        0, description="rotate each frame clockwise by this angle"
    )
    crop: tuple[Portion, Portion, Portion, Portion] | None = Field(
        None, description="keep [left, top, right, bottom] of the rotated frame, as shares from 0 to 1"
    )
    mounting: Literal["wall", "ceiling"] = Field(
        "wall", description="where it hangs; edge doctor says what a ceiling needs"
    )
    smallest_face_pixels: int | None = Field(
        None, ge=8, le=1000, description="as in [privacy], for this camera; unset: that of [privacy]"
    )
    any_orientation: bool | None = Field(
        None, description="as in [privacy], for this camera; unset: that of [privacy]"
    )
    privacy_zones: tuple[tuple[tuple[Portion, Portion], ...], ...] = Field(
        (),
        description="polygons [[x, y], ...] that are always covered, in shares of the rotated, cropped frame",
    )

    @field_validator("crop")
    @classmethod
    def _not_empty(cls, value: tuple[float, float, float, float] | None) -> Any:
        if value is not None and (value[2] <= value[0] or value[3] <= value[1]):
            raise ValueError("must be [left, top, right, bottom] with left < right and top < bottom")
        return value

    @field_validator("privacy_zones")
    @classmethod
    def _polygons(cls, value: tuple[tuple[tuple[float, float], ...], ...]) -> Any:
        for zone in value:
            if len(set(zone)) < 3:
                raise ValueError("a privacy zone needs at least three different corners")
        return value

    @model_validator(mode="after")
    def _one_user(self) -> CameraConfig:
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs username")
        if self.username is not None and self.resolved_kind() != "stream":
            raise ValueError("username is for network cameras (rtsp:// or http:// URLs)")
        if self.username is not None and "@" in self.source:
            raise ValueError("the URL has a user name already; leave out either that or username")
        return self

    def resolved_kind(self) -> Literal["video", "folder", "v4l2", "stream", "gstreamer"]:
        """The kind of source; where ``kind`` is ``auto``, it follows from the form of ``source``."""
        if self.kind != "auto":
            return self.kind
        if re.search(r"!\s*appsink\b", self.source):
            return "gstreamer"
        if re.match(r"[a-z][a-z0-9+.-]*://", self.source, re.IGNORECASE):
            return "stream"
        if re.fullmatch(r"/dev/video\d+", self.source):
            return "v4l2"
        # Path.is_dir() would raise an error that quotes the source when it is too long for a file name
        return "folder" if os.path.isdir(self.source) else "video"
