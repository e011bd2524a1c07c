"""A running broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mqtt.brokers import (
    Broker,
    broker_with,
)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with broker_with(tmp_path, "allow_anonymous true") as running:
        yield running
