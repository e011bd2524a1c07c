"""``[mqtt]``: reports to a broker."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from edge.config.section import Section


class MqttConfig(Section):
    """Optional: state and counters, never pixels, for an MQTT broker (needs the extra "mqtt")."""

    host: str | None = Field(
        None, min_length=1, description="host name or address of the broker; unset: nothing is sent"
    )
    port: int = Field(1883, ge=1, le=65535, description="TCP port; 8883 is usual with tls")
    tls: bool = Field(False, description="encrypt the connection and check the broker's certificate")
    ca_file: Path | None = Field(
        None, description="tls: file of a certificate authority that the system does not know"
    )
    username: str | None = Field(None, description="user name at the broker")
    password_file: Path | None = Field(None, description="file that holds the password")
    topic: str = Field(
        "edge-anonymizer",
        pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$",
        description="topics begin with TOPIC/BOX/",
    )
    box: str = Field(
        "", pattern=r"^[A-Za-z0-9_-]*$", description="BOX, the name of this box; empty: its host name"
    )
    discovery_prefix: str = Field(
        "homeassistant",
        pattern=r"^[A-Za-z0-9_/-]*$",
        description="topic prefix for Home Assistant discovery; empty: no discovery",
    )
    interval_seconds: float = Field(30, ge=1, le=3600, description="time between two reports")

    @model_validator(mode="after")
    def _complete(self) -> MqttConfig:
        if self.password_file is not None and self.username is None:
            raise ValueError("mqtt.password_file needs mqtt.username")
        if self.ca_file is not None and not self.tls:
            raise ValueError("mqtt.ca_file needs mqtt.tls = true")
        return self
