"""What the attack suite shares: a world to inject faults into, and the count of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from edge.detection import known_face
from tests.privacy.faults_world import World


class Proof(Protocol):
    def __call__(self, *, faults: int, leaked: int = 0, lost: int = 0) -> None: ...


@pytest.fixture
def proof(record_property: Callable[[str, object], None]) -> Proof:
    """Record the outcome of attacks, after they were checked; ``make proof`` adds these up.

    ``faults``: single faults that were injected in this test. ``leaked``: raw pieces found where none may
    be. ``lost``: acknowledged images that are missing or damaged.
    """

    def record(*, faults: int, leaked: int = 0, lost: int = 0) -> None:
        assert faults > 0
        for name, value in (("faults", faults), ("leaked", leaked), ("lost", lost)):
            record_property(name, value)

    return record


@pytest.fixture(scope="module")
def trusted() -> Iterator[None]:
    """The detector of a world knows no face but the secret; it counts as one that finds the known face."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known_face, "check", lambda detector: 1.0)
        yield


@pytest.fixture(scope="module")
def world(trusted: None) -> Iterator[World]:
    """A world whose store lies in memory where there is such a folder: thousands of runs flush each image."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield World(Path(folder))
