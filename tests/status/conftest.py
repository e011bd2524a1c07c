"""Status endpoints that are shared by the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edge.config import StatusConfig
from tests.statuses import Box, serving, token_file


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with serving(StatusConfig(port=0)) as running:
        yield running


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """An endpoint that needs a token and serves previews."""
    file = token_file(tmp_path_factory.mktemp("token"))
    with serving(StatusConfig(port=0, token_file=file, preview=True)) as running:
        yield running
