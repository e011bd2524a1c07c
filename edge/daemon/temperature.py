"""The temperature of the box, where the kernel reports one."""

from __future__ import annotations

from pathlib import Path

ZONES = Path("/sys/class/thermal")
_PLAUSIBLE_CELSIUS = (-40.0, 150.0)


def hottest(zones: Path = ZONES) -> float | None:
    """Degrees Celsius of the hottest thermal zone, or None when none can be read.

    The kernel reports thousandths of a degree (Documentation/driver-api/thermal/sysfs-api.rst). Zones of
    parts that are switched off report errors or nonsense, and are left out.
    """
    found = []
    for file in zones.glob("thermal_zone*/temp"):
        try:
            celsius = int(file.read_text(encoding="ascii")) / 1000
        except (OSError, ValueError):
            continue
        if _PLAUSIBLE_CELSIUS[0] <= celsius <= _PLAUSIBLE_CELSIUS[1]:
            found.append(celsius)
    return max(found, default=None)
