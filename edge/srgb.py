"""Colours of a picture with a colour profile (ICC.1), as those of sRGB (IEC 61966-2-1), which is what
programs expect of a picture without one."""

from __future__ import annotations

import io

from PIL import Image, ImageCms

_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""The colour spaces of profiles, and Pillow's modes."""


def to_srgb(image: Image.Image) -> Image.Image:
    """A picture in mode RGB, by its own profile where it has one.

    A profile that is broken, or of another kind than the picture, says nothing about the colours, and is
    ignored as browsers do.
    """
    if image.mode in ("P", "1"):
        image = image.convert("RGB" if image.mode == "P" else "L")
    data = image.info.get("icc_profile")
    if not data:
        return image.convert("RGB")
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        facts = profile.profile
        if _MODES.get(facts.xcolor_space.strip()) != image.mode or _is_srgb(facts.profile_description):
            return image.convert("RGB")
        srgb = ImageCms.createProfile("sRGB")
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        converted = ImageCms.profileToProfile(image, profile, srgb, renderingIntent=intent, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image.convert("RGB")
    assert converted is not None  # unless it works in place
    return converted


def _is_srgb(description: str | None) -> bool:
    return description is not None and description.startswith("sRGB")
