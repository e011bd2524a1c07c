"""``[privacy]``: what the promise rests on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge.config.section import Section


class PrivacyConfig(Section):
    """What the promise rests on."""

    allow_reidentifiable: bool = Field(
        False, description="accept fills and regions by which people can be recognised"
    )
    on_failure: Literal["drop", "cover"] = Field(
        "drop", description="a frame that could not be looked at: drop it, or cover all of it"
    )
    max_frame_age_seconds: float = Field(
        2, gt=0, le=60, description="an older frame of a live camera is dropped"
    )
    known_face_interval_seconds: float = Field(
        5,
        gt=0,
        le=86400,
        description="how often the detector must find the known face; when it does not, the images stored "
        "since the last time are removed",
    )
    last_look: Literal["always", "covered", "sampled", "off"] = Field(
        "always",
        description="look for faces on anonymized images before they are stored; covered: on those on which "
        "anything was covered, since any other is what the detector has just looked at",
    )
    last_look_every_images: int = Field(
        10, ge=1, le=10000, description="last_look = sampled: each so many images of a camera"
    )
    check_visibility: bool = Field(
        True, description="a frame too dark, blurred or covered to tell counts as one not looked at"
    )
