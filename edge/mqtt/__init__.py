"""Optional reports to an MQTT broker: states and counters, never pixels (docs/mqtt.md)."""

from edge.mqtt.reporter import MqttReporter

__all__ = ["MqttReporter"]
