"""All sections together, and the rules that span several sections."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from edge.config.audit import AuditConfig
from edge.config.blur import REIDENTIFIABLE_FILLS, BlurConfig
from edge.config.cameras import CameraConfig
from edge.config.detector import DetectorConfig
from edge.config.detectors import FurtherDetectorConfig
from edge.config.load import LoadConfig
from edge.config.mqtt import MqttConfig
from edge.config.privacy import PrivacyConfig
from edge.config.status import StatusConfig
from edge.config.store import StoreConfig
from edge.masking import key_label

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class Config(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(
        env_prefix="EDGE_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,  # may be a secret in the wrong place; explain shows what may be shown
    )

    cameras: dict[str, CameraConfig] = Field(default_factory=dict)
    detector: DetectorConfig = DetectorConfig()
    detectors: dict[str, FurtherDetectorConfig] = Field(default_factory=dict)
    blur: BlurConfig = BlurConfig()
    store: StoreConfig = StoreConfig()
    audit: AuditConfig = AuditConfig()
    status: StatusConfig = StatusConfig()
    mqtt: MqttConfig = MqttConfig()
    load: LoadConfig = LoadConfig()
    privacy: PrivacyConfig = PrivacyConfig()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings

    @field_validator("cameras")
    @classmethod
    def _camera_names(cls, value: dict[str, CameraConfig]) -> dict[str, CameraConfig]:
        _check_names("camera", value)
        return value

    @field_validator("detectors")
    @classmethod
    def _detector_names(cls, value: dict[str, FurtherDetectorConfig]) -> dict[str, FurtherDetectorConfig]:
        _check_names("detector", value)
        return value

    @model_validator(mode="after")
    def _privacy(self) -> Config:
        if self.blur.reidentifiable and not self.privacy.allow_reidentifiable:
            what = (
                f"blur.fill = {self.blur.fill!r}"
                if self.blur.fill in REIDENTIFIABLE_FILLS
                else "blur.region = 'top'"
            )
            raise ValueError(
                f"{what} leaves people recognisable; use fill = 'infill' or 'solid' with "
                "region = 'head', or set privacy.allow_reidentifiable = true"
            )
        return self

    @model_validator(mode="after")
    def _write_only(self) -> Config:
        if self.store.recipient is not None and self.status.preview:
            raise ValueError(
                "status.preview = true cannot go with store.recipient: the box cannot read its own images; "
                "switch one of the two off"
            )
        return self


def _check_names(what: str, names: Iterable[str]) -> None:
    for name in names:
        if not NAME.fullmatch(name):
            raise ValueError(
                f"{what} name {key_label(name)!r}: use 1 to 32 lower-case letters, digits, - and _, "
                "beginning with a letter or digit"
            )
