"""Report to the broker from a thread of its own, so that nothing here can slow or stop the appliance."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

from edge.config import MqttConfig
from edge.errors import ConfigError
from edge.masking import is_host
from edge.mqtt.discovery import box_discovery, camera_discovery, discovery_topic
from edge.mqtt.link import NOT_YET, Broker, Link, require_paho
from edge.mqtt.messages import (
    OFFLINE,
    ONLINE,
    availability_topic,
    base_topic,
    box_state,
    camera_state,
    state_topic,
)
from edge.secret_file import read_secret
from edge.status.schema import Status

log = logging.getLogger(__name__)

STOP_SECONDS = 3.0
"""The longest time that ``stop`` waits for the broker."""
QUIET_SECONDS = 60.0
"""An unstable connection is logged as lost at most once in this time."""
_POLL_SECONDS = 0.2


class MqttReporter:
    """Reports the result of ``status`` every ``interval_seconds`` and after each new connection.

    The box and each camera have a connection of their own, because a connection has only one will
    (docs/mqtt.md). Nothing is sent before ``start``.
    """

    def __init__(self, config: MqttConfig, status: Callable[[], Status]) -> None:
        """Read the password and certificates; nothing is sent yet. Raises ConfigError."""
        require_paho()
        self._config, self._status = config, status
        self._broker = _broker(config)
        self._prefix = config.discovery_prefix.rstrip("/")
        self._base = base_topic(config)
        self._links: dict[str, Link] = {}  # the box has the name ""
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._logging = threading.Lock()
        self._logged_connected: bool | None = None
        self._quiet_until = 0.0
        self._status_failed = False
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    @property
    def connected(self) -> bool:
        """Whether all connections are up."""
        return bool(self._links) and all(link.connected for link in self._links.values())

    @property
    def last_error(self) -> str:
        """Why a connection is down; empty while all are up, and before ``start``."""
        return next((link.error for link in self._links.values() if not link.connected), "")

    def start(self) -> None:
        """Connect in the background; returns at once."""
        for name in ("", *(camera.name for camera in self._status().cameras)):
            birth = f"{self._prefix}/status" if self._prefix and not name else ""
            self._links[name] = Link(self._broker, self._of(name), self._changed, birth, self._on_birth)
        for link in self._links.values():
            link.start()
        self._thread.start()

    def stop(self) -> None:
        """Publish "offline" on all availability topics and disconnect; takes STOP_SECONDS at most."""
        deadline = time.monotonic() + STOP_SECONDS
        self._stopping.set()
        self._wake.set()
        self._join(self._thread, deadline - STOP_SECONDS * 2 / 3)
        for link in self._links.values():
            if link.connected:
                link.publish(availability_topic(link.base), OFFLINE)
        while time.monotonic() < deadline - STOP_SECONDS / 3 and not all(
            link.idle for link in self._links.values() if link.connected
        ):
            time.sleep(0.01)
        endings = []
        for link in self._links.values():
            link.disconnect()
            endings.append(threading.Thread(target=link.join, name="mqtt-end", daemon=True))
            endings[-1].start()
        for ending in endings:
            self._join(ending, deadline)

    @staticmethod
    def _join(thread: threading.Thread, deadline: float) -> None:
        if thread.ident is not None:
            thread.join(max(deadline - time.monotonic(), 0))

    def _of(self, name: str) -> str:
        return f"{self._base}/{name}" if name else self._base

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._report()
            waiting = any(link.connected and link.due for link in self._links.values())
            self._wake.wait(_POLL_SECONDS if waiting else self._config.interval_seconds)
            self._wake.clear()

    def _report(self) -> None:
        for link in self._links.values():
            link.start()
        self._log_change()
        ready = {name for name, link in self._links.items() if link.connected and link.idle}
        if not ready:
            return
        try:
            reports = self._reports(self._status())
        except Exception as error:  # whatever it is, the topics must not stay "online"
            if not self._status_failed:
                log.error("mqtt: the status cannot be read: %s: %s", type(error).__name__, error)
            self._status_failed = True
            reports = dict.fromkeys(self._links, (OFFLINE, ""))
        else:
            self._status_failed = False
        if self._stopping.is_set():
            return
        for name in ready & reports.keys():
            self._publish(name, *reports[name])

    @staticmethod
    def _reports(status: Status) -> dict[str, tuple[str, str]]:
        """Availability and state of each camera by its name, and of the box by the name ""."""
        reports = {"": (ONLINE, json.dumps(box_state(status), allow_nan=False))}
        for camera in status.cameras:
            text = json.dumps(camera_state(camera, status.store_folder), allow_nan=False)
            reports[camera.name] = (ONLINE if camera.state == "live" else OFFLINE, text)
        return reports

    def _publish(self, name: str, available: str, state: str) -> None:
        link = self._links[name]
        due, link.due = link.due, False
        if due and self._prefix:
            interval = self._config.interval_seconds
            payload = (
                camera_discovery(self._base, name, interval) if name else box_discovery(self._base, interval)
            )
            link.publish(discovery_topic(self._prefix, link.base), json.dumps(payload))
        if state:
            link.publish(state_topic(link.base), state)
        # Last, so that whoever sees "online" finds the current state
        link.publish(availability_topic(link.base), available)

    def _on_birth(self, payload: bytes) -> None:
        """Home Assistant has started and needs everything again."""
        if payload == ONLINE.encode():
            for link in self._links.values():
                link.due = True
            self._wake.set()

    def _changed(self) -> None:
        self._log_change()
        self._wake.set()

    def _log_change(self) -> None:
        """Log one line when the connection is lost and one when it is back, not one for each attempt."""
        where = f"{self._broker.host}:{self._broker.port}"
        with self._logging:
            now, connected, error = time.monotonic(), self.connected, self.last_error
            if self._stopping.is_set() or connected == self._logged_connected:
                return
            if connected:
                log.info("mqtt: connected to %s as %s", where, self._base)
            elif now < self._quiet_until or error == NOT_YET:
                return
            else:
                log.warning("mqtt: no connection to %s: %s; trying again", where, error)
                self._quiet_until = now + QUIET_SECONDS
            self._logged_connected = connected


def _broker(config: MqttConfig) -> Broker:
    if not config.host:
        raise ConfigError("key 'mqtt.host' is empty; name the broker, or remove the section [mqtt]")
    if not is_host(config.host):
        raise ConfigError("key 'mqtt.host' is not a host name or an address; give only the broker's host")
    password = read_secret(config.password_file, "mqtt.password_file") if config.password_file else None
    if config.username is not None and not config.tls and not _loopback(config.host):
        log.warning(
            "mqtt: user name and password are sent to %s in clear text; set mqtt.tls = true", config.host
        )
    tls = _tls(config.ca_file) if config.tls else None
    return Broker(config.host, config.port, config.username, password, tls)


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except ssl.SSLError as error:
        raise ConfigError(f"key 'mqtt.ca_file': {ca_file}: not a certificate in PEM form") from error
    except OSError as error:
        raise ConfigError(f"key 'mqtt.ca_file': {ca_file}: {error.strerror}; correct the path") from error


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
