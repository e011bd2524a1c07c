"""``[privacy]``: the checks behind the promise, and what happens when one fails."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge.config.section import Section

SMALLEST_FACE, SMALLEST_FACE_IN_FILES = 20, 12
"""Widths of a face, in pixels of the picture, from which on it is looked for by default: with cameras, and in
files, for which there is time. People can be recognised from about the first: 125 pixels per metre (IEC
62676-4) and a face 16 cm wide."""


class PrivacyConfig(Section):
    """The checks behind the promise that no raw face is stored, and what happens when one fails."""

    smallest_face_pixels: int = Field(
        SMALLEST_FACE,
        ge=8,
        le=1000,
        description="width of the smallest face to look for, in pixels of the camera's (rotated, cropped) "
        "picture; the smaller, the slower",
    )
    any_orientation: bool = Field(
        False,
        description="also look for faces that lie or hang upside down (ceiling and fisheye cameras), which "
        "takes four times as long",
    )
    sweep_seconds: float = Field(
        2,
        ge=0,
        le=60,
        description="parts of the picture in which nothing has changed are searched again after this time at "
        "the latest; 0: all of every frame is searched",
    )
    allow_reidentifiable: bool = Field(
        False, description="accept fills and regions that leave people recognisable"
    )
    on_failure: Literal["drop", "cover"] = Field(
        "drop", description="what to do with a frame that could not be checked: drop it, or cover all of it"
    )
    max_frame_age_seconds: float = Field(
        2, gt=0, le=60, description="a live camera's frame that is older than this is dropped"
    )
    known_face_interval_seconds: float = Field(
        5,
        gt=0,
        le=86400,
        description="how often the detector must find the known face; images wait in memory until it has "
        "and are discarded if it has not",
    )
    last_look: Literal["always", "covered", "sampled", "off"] = Field(
        "always",
        description="detect faces once more on anonymized images before they are stored; covered: only on "
        "images on which something was covered, since the others are what the detector has just searched",
    )
    last_look_every_images: int = Field(
        10, ge=1, le=10000, description="last_look = sampled: check one in this many images of each camera"
    )
    check_visibility: bool = Field(
        True,
        description="a frame too dark, bright, blurred or obstructed to show a face counts as unchecked",
    )
