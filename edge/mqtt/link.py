"""One connection to the broker, with one last will. paho-mqtt's own thread connects and reconnects."""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge.errors import ConfigError
from edge.mqtt.messages import OFFLINE, availability_topic

if TYPE_CHECKING:
    from paho.mqtt.client import Client

KEEPALIVE_SECONDS = 20
"""A broker that is silent for this long counts as lost; it waits one and a half times as long for us."""
RECONNECT_SECONDS = (1, 60)
NOT_YET = "not connected yet"
_MOST_QUEUED = 16


@dataclass(frozen=True)
class Broker:
    """Where the broker is and how to log in. ``tls`` is None for no encryption."""

    host: str
    port: int
    username: str | None
    password: str | None = field(repr=False)
    tls: ssl.SSLContext | None


def require_paho() -> None:
    """Raise ConfigError unless paho-mqtt 2 is installed."""
    try:
        from paho.mqtt.enums import CallbackAPIVersion  # noqa: F401 - version 1 has no such module
    except ImportError as error:
        raise ConfigError(
            "key 'mqtt.host': paho-mqtt 2 is not installed; pip install 'edge-anonymizer[mqtt]', "
            "or remove the section [mqtt]"
        ) from error


class Link:
    """One connection. Its last will is "offline" on the availability topic of ``base``.

    ``changed`` is called from paho's thread when the connection is made or lost, and ``received`` with the
    payload of each message on the topic ``listen``. Neither may block.
    """

    def __init__(
        self,
        broker: Broker,
        base: str,
        changed: Callable[[], None],
        listen: str = "",
        received: Callable[[bytes], None] | None = None,
    ) -> None:
        self.base = base
        self.connected = False
        self.error = NOT_YET
        self.due = False
        """Whether discovery must be sent too: the connection is new, or Home Assistant has started."""
        self._changed, self._listen, self._received = changed, listen, received
        self._count = threading.Lock()
        self._sent = self._acknowledged = 0
        self._client = self._make_client(broker)

    def _make_client(self, broker: Broker) -> Client:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        # With the same client name after a restart, the broker ends the old connection and sends its will
        # before it accepts this one. With a random name the old will would come later, and a running box
        # would be shown as offline.
        client = Client(CallbackAPIVersion.VERSION2, client_id=self.base.replace("/", "."))
        client.will_set(availability_topic(self.base), OFFLINE, qos=1, retain=True)
        client.username_pw_set(broker.username, broker.password)
        if broker.tls is not None:
            client.tls_set_context(broker.tls)
        client.reconnect_delay_set(*RECONNECT_SECONDS)
        client.max_queued_messages_set(_MOST_QUEUED)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.connect_async(broker.host, broker.port, KEEPALIVE_SECONDS)
        return client

    def start(self) -> None:
        """Start paho's thread, or restart it if an unexpected answer has ended it."""
        self._client.loop_start()

    @property
    def idle(self) -> bool:
        """Whether all published messages have been acknowledged.

        Publishing only then keeps the queue short if the broker hangs. It also keeps the order: messages
        left over from a lost connection are sent again before newer ones.
        """
        with self._count:
            return self._acknowledged >= self._sent

    def publish(self, topic: str, text: str) -> None:
        """Hand a retained message to paho's thread. Never blocks."""
        from paho.mqtt.enums import MQTTErrorCode

        with self._count:
            self._sent += 1
        info = self._client.publish(topic, text, qos=1, retain=True)
        if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            with self._count:
                self._sent -= 1

    def disconnect(self) -> None:
        """End the connection without sending the will. Messages published earlier are sent first."""
        self._client.disconnect()

    def join(self) -> None:
        """Wait for paho's thread to end, which may take as long as an attempt to connect.

        The link cannot be used after that.
        """
        self._client.loop_stop()
        del self._client  # at once, and not in the garbage collector: only paho's __del__ closes its sockets

    def _on_connect(self, client: Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._lost(f"{reason}; check mqtt.username, mqtt.password_file and the broker's access list")
            return
        if self._listen:
            client.subscribe(self._listen, qos=1)
        self.error, self.due, self.connected = "", True, True
        self._changed()

    def _on_connect_fail(self, client: Client, data: Any) -> None:
        # paho calls this while handling the error, but does not pass it on
        self._lost(str(sys.exc_info()[1] or "cannot connect"))

    def _on_disconnect(self, client: Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        # After a refusal a better reason is already known
        if self.connected or self.error == NOT_YET:
            self._lost(str(reason))

    def _lost(self, error: str) -> None:
        self.connected, self.error = False, error
        self._changed()

    def _on_publish(self, client: Client, data: Any, mid: int, reason: Any, properties: Any) -> None:
        with self._count:
            self._acknowledged += 1

    def _on_message(self, client: Client, data: Any, message: Any) -> None:
        if self._received is not None:
            self._received(message.payload)
