"""What the box looked for in the frames of each camera, as the settings in its log say.

Stored images are searched again for the same, in the same views: a coarser search would miss what the box
promises to find, and a finer one find what it does not.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from edge.audit.findings import Findings
from edge.config import CameraConfig, PrivacyConfig
from edge.detection.detector import EVERYTHING
from edge.detection.views import Search
from edge.store.log_format import Record

_PRIVACY = ("smallest_face_pixels", "any_orientation", "sweep_seconds")
_CAMERA = ("smallest_face_pixels", "any_orientation")


class RecordedSearches:
    """Follows the log, record by record."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._by_config: dict[str, dict[str | None, Search]] = {}

    def add(self, record: Record) -> None:
        """Take the next record of the log, whose fields must be valid.

        Settings that no box can have are reported; images stored under them are searched for ``EVERYTHING``.
        """
        if "settings" not in record or record["config"] in self._by_config:
            return
        try:
            self._by_config[record["config"]] = _searches(record["settings"])
        except ValidationError as error:
            first = error.errors()[0]
            text = f"no box can have its setting {'.'.join(map(str, first['loc']))}: {first['msg']}"
            self._findings.wrong("settings", f"record {record['n']}", text)

    def of(self, config: str, camera: str) -> Search:
        """What was looked for in the frames of a camera under the settings of this hash; ``EVERYTHING`` where
        no record says so."""
        searches = self._by_config.get(config, {})
        return searches.get(camera) or searches.get(None) or EVERYTHING


def _searches(settings: dict[str, Any]) -> dict[str | None, Search]:
    """By camera; None stands for one without a section, such as that of the demo.

    Keys that are missing, as in the logs of older versions, have their defaults. Raises ValidationError.
    """
    privacy = PrivacyConfig.model_validate(_part(settings.get("privacy"), _PRIVACY))
    cameras = settings.get("cameras")
    searches: dict[str | None, Search] = {None: Search.of(privacy, continuous=True)}
    for name, table in (cameras if isinstance(cameras, dict) else {}).items():
        camera = CameraConfig.model_validate({"source": name, **_part(table, _CAMERA)})
        searches[name] = Search.of(privacy, camera, continuous=_part(table, ("kind",)) != {"kind": "folder"})
    return searches


def _part(table: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: table[key] for key in keys if key in table} if isinstance(table, dict) else {}
