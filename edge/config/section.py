"""What every section of the configuration has in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from edge.masking import is_address

Portion = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""A share from 0 to 1."""


class Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_null(cls, value: Any) -> Any:
        if isinstance(value, str) and "\0" in value:
            raise ValueError("a null character is in no name and in no path")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _no_address(cls, value: Any, info: ValidationInfo) -> Any:
        # Folders and hosts are shown in many places, and a camera's URL may hold a password.
        known = info.field_name in ("source", "username")
        if not known and isinstance(value, (str, Path)) and is_address(str(value)):
            raise ValueError(
                "a URL cannot stand here; that of a camera goes to cameras.NAME.source, and to mqtt.host the "
                "broker's name or address alone"
            )
        return value
