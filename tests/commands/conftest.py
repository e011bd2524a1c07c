"""The installed command."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests.commands.blurred import Run


@pytest.fixture(scope="module")
def blur(edge_script: str) -> Run:
    """Run ``edge blur`` with arguments; ``cwd`` and ``timeout`` go to subprocess.run."""

    def run(*arguments: object, **settings: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [edge_script, "blur", *map(str, arguments)],
            **{"capture_output": True, "text": True, "timeout": 120, "check": False, **settings},
        )

    return run
