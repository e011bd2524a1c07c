"""``[store]``: where anonymized images go, how many are kept, and who can decrypt them."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from edge.config.section import Section

PUBLIC_KEY = re.compile(r"age1[02-9ac-hj-np-z]{58}")  # 32 bytes and a checksum in Bech32, BIP 173
PRIVATE_KEY = re.compile(r"age-secret-key[0-9a-z-]*", re.IGNORECASE)
PRIVATE_KEY_REFUSED = "this is the private key: keep it away from the box, and give the public one (age1...)"


class StoreConfig(Section):
    """Where anonymized images go, how many are kept, and who can decrypt them."""

    folder: Path = Field(Path("images"), description="images go to FOLDER/CAMERA/YYYY-MM-DD/")
    mount_point: Path | None = Field(
        None,
        description="where the disk must be mounted that holds the folder: while it is not, nothing is "
        "stored; unset: not checked",
    )
    format: Literal["jpeg", "png", "webp"] = Field("jpeg", description="file format of the images")
    quality: int = Field(90, ge=1, le=100, description="jpeg and webp: quality from 1 to 100")
    interval_seconds: float = Field(
        0, ge=0, le=86400, description="time between two images of a camera; 0: every frame"
    )
    min_free_megabytes: float = Field(
        200,
        ge=1,
        le=1e9,
        description="space to leave free on the disk: the oldest images are removed for it; if none is left, "
        "nothing is stored",
    )
    quota_megabytes: float | None = Field(
        None,
        ge=1,
        le=1e9,
        description="most space for all images together; the oldest are removed; unset: no limit",
    )
    max_age_days: float | None = Field(
        None,
        gt=0,
        le=36500,
        description="images older than this are removed unless the box's clock is in doubt; unset: no limit",
    )
    trust_battery_clock: bool = Field(
        False,
        description="at a start, the time for which the box was off (up to 25 hours) counts as age at once, "
        "although no time server keeps the clock; if it is wrong, images go too early",
    )
    clock_confirmed: datetime | None = Field(
        None,
        description="when a person last found the box's clock to be right, such as 2026-07-14T12:00:00Z; "
        "only needed if the status asks for it",
    )
    recipient: str | None = Field(
        None,
        description="age public key (age1...): images are stored encrypted, as NAME.age, and only the holder "
        "of the private key can read them; unset: not encrypted",
    )

    @field_validator("clock_confirmed")
    @classmethod
    def _in_a_time_zone(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(
                "its time zone is missing: end it with Z for UTC, or with an offset such as +02:00"
            )
        return value

    @field_validator("recipient")
    @classmethod
    def _public(cls, value: str | None) -> str | None:
        if value is not None and PRIVATE_KEY.search(value):
            raise ValueError(PRIVATE_KEY_REFUSED)
        if value is not None and not PUBLIC_KEY.fullmatch(value):
            raise ValueError("not an age public key, which is age1 and 58 more lower-case letters and digits")
        return value
