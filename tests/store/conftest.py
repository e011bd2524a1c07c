"""A key pair, its identity file, and the ``edge`` command."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.store.encryption import new_identity
from tests.store.clock_box import Box
from tests.store.keys import Run


@pytest.fixture(scope="module")
def key() -> tuple[str, str]:
    """The text of an identity file, and the public key."""
    return new_identity()


@pytest.fixture
def identity(key: tuple[str, str], tmp_path: Path) -> Path:
    path = tmp_path / "key.txt"
    path.write_text(key[0])
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def run(edge_script: str) -> Run:
    """Run ``edge`` with arguments; ``env`` is added to the environment."""

    def run(*arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [edge_script, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "COLUMNS": "300", **(env or {})},
        )

    return run


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    box = Box(tmp_path, monkeypatch)
    yield box
    assert box.store is not None
    box.store.close()
