"""A detector that goes blind when a test wants it to, and readers of what is stored and recorded then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.audit.run import AuditResult, Options, audit_store
from edge.daemon import pipeline as pipeline_module
from edge.detection import known_face
from edge.detection.detector import Detector
from edge.errors import KnownFaceError
from edge.frames import RawFrame
from tests.daemon.playing import number_of, stored
from tests.store.records import records_of

Make = Callable[..., RawFrame]
PATIENCE_SECONDS = 30.0
NEVER = {"known_face_interval_seconds": 3600}
ALWAYS = {"known_face_interval_seconds": 1e-9}


class Eyes:
    """Stands in for the check of the known faces: fails while ``blind``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.blind = False
        monkeypatch.setattr(known_face, "check", self)
        monkeypatch.setattr(known_face.KnownFaces, "check", lambda _: self(None))
        monkeypatch.setattr(pipeline_module, "KNOWN_FACE_RETRY_SECONDS", 0.0)

    def __call__(self, detector: Detector | None) -> float:
        if self.blind:
            raise KnownFaceError("the known face is not found")
        return 0.9


def audit(store: Path) -> AuditResult:
    return audit_store(store, Options(sample=0), lambda done, total: None)


def discarded(store: Path) -> dict[str, list[Any]]:
    """What is on record as discarded in one record: by camera, how many, captured from when to when."""
    (told,) = [record for record in records_of(store) if record["event"] == "discarded"]
    assert told["why"] == "known_face"
    return {name: [one["images"], one["first"], one["last"]] for name, one in told["cameras"].items()}


def numbers(store: Path) -> list[int]:
    return [number_of(image) for image in stored(store)]
