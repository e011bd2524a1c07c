"""The configuration: TOML plus environment, read once, frozen, and passed down. One file per section.

A key that holds a quantity has the unit in its name. An environment variable overrides the file:
``EDGE_STORE__FOLDER=/srv/images`` is ``folder`` in ``[store]``.
"""

from edge.config.audit import AuditConfig
from edge.config.blur import BlurConfig
from edge.config.cameras import CameraConfig
from edge.config.detector import DetectorConfig
from edge.config.detectors import FurtherDetectorConfig
from edge.config.load import LoadConfig
from edge.config.mqtt import MqttConfig
from edge.config.privacy import PrivacyConfig
from edge.config.read import make_config, read_config
from edge.config.section import Section
from edge.config.status import StatusConfig
from edge.config.store import StoreConfig
from edge.config.whole import Config

__all__ = [
    "AuditConfig",
    "BlurConfig",
    "CameraConfig",
    "Config",
    "DetectorConfig",
    "FurtherDetectorConfig",
    "LoadConfig",
    "MqttConfig",
    "PrivacyConfig",
    "Section",
    "StatusConfig",
    "StoreConfig",
    "make_config",
    "read_config",
]
