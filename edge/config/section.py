"""What all sections of the configuration have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from edge.masking import is_address

Portion = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""A share from 0 to 1."""


class Section(BaseModel):
    """A section of the configuration: frozen, without unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_null(cls, value: Any) -> Any:
        if isinstance(value, str) and "\0" in value:
            raise ValueError("a null character cannot be part of a name or path")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _no_address(cls, value: Any, info: ValidationInfo) -> Any:
        # Folders and hosts are shown in many places, and a camera's URL may hold a password.
        known = info.field_name in ("source", "username")
        if not known and isinstance(value, (str, Path)) and is_address(str(value)):
            raise ValueError(
                "a URL cannot stand here; a camera's URL belongs in cameras.NAME.source, and mqtt.host takes "
                "only the broker's name or address"
            )
        return value
