"""``[status]``: the status endpoint."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from edge.config.section import Section


class StatusConfig(Section):
    """The status endpoint: health, state, metrics and a page, over HTTP."""

    enabled: bool = Field(True, description="serve /healthz, /readyz, /status, /metrics and the page /")
    host: str = Field(
        "127.0.0.1", description="address to listen on; any but a loopback address needs token_file"
    )
    port: int = Field(8377, ge=0, le=65535, description="TCP port; 0: any free port")
    socket: Path | None = Field(None, description="listen on this Unix socket instead of host and port")
    token_file: Path | None = Field(
        None, description="file that holds the bearer token that every request must carry"
    )
    allowed_hosts: tuple[str, ...] = Field(
        (), description="other host names and addresses that requests may use for this box"
    )
    preview: bool = Field(
        False, description="serve each camera's last anonymized image, read back from the store"
    )

    @field_validator("host")
    @classmethod
    def _address(cls, value: str) -> str:
        if value != "localhost":
            try:
                ip_address(value)
            except ValueError:
                raise ValueError("not an address; use localhost or an IPv4 or IPv6 address") from None
        return value

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the endpoint."""
        return self.socket is not None or self.host == "localhost" or ip_address(self.host).is_loopback

    @model_validator(mode="after")
    def _guarded(self) -> StatusConfig:
        if self.enabled and not self.loopback and self.token_file is None:
            raise ValueError(
                f"status.host = {self.host!r} is reachable from other machines: set status.token_file, "
                "or use 127.0.0.1 or status.socket"
            )
        return self
