"""``[mqtt]``: reports to a broker."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from edge.config.section import Section


class MqttConfig(Section):
    """Optional: state and counters to an MQTT broker (extra ``mqtt``). Never pixels."""

    host: str | None = Field(None, min_length=1, description="the broker; without it nothing is sent")
    port: int = Field(1883, ge=1, le=65535, description="TCP port; 8883 is usual with tls")
    tls: bool = Field(False, description="encrypt, and check the broker's certificate")
    ca_file: Path | None = Field(None, description="tls: certificate authority, where the system lacks it")
    username: str | None = Field(None, description="user name at the broker")
    password_file: Path | None = Field(None, description="file with the password")
    topic: str = Field(
        "edge-anonymizer",
        pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$",
        description="topics begin with TOPIC/BOX/",
    )
    box: str = Field("", pattern=r"^[A-Za-z0-9_-]*$", description="name of this box; empty: its host name")
    discovery_prefix: str = Field(
        "homeassistant",
        pattern=r"^[A-Za-z0-9_/-]*$",
        description="Home Assistant discovery below this topic; empty: none",
    )
    interval_seconds: float = Field(30, ge=1, le=3600, description="time between two reports")

    @model_validator(mode="after")
    def _complete(self) -> MqttConfig:
        if self.password_file is not None and self.username is None:
            raise ValueError("mqtt.password_file needs mqtt.username")
        if self.ca_file is not None and not self.tls:
            raise ValueError("mqtt.ca_file needs mqtt.tls = true")
        return self
