"""The states of a camera, as the status, the metrics and MQTT name them; edge/sources/health.py decides."""

from __future__ import annotations

from typing import Literal

CameraState = Literal["connecting", "live", "stale", "down", "ended"]
"""``connecting``: no picture yet; ``live``: fresh pictures arrive; ``stale``: it is connected, but its
pictures are old or do not change; ``down``: it cannot be read, and is tried again; ``ended``: a file was read
to its end."""
