"""Fixtures of several test modules of the daemon."""

from __future__ import annotations

import pytest

from tests.daemon.blind import Eyes


@pytest.fixture
def eyes(monkeypatch: pytest.MonkeyPatch) -> Eyes:
    return Eyes(monkeypatch)
