"""``python -m benchmarks`` as a process, for tests of what its commands say and write."""

from __future__ import annotations

import subprocess
import sys

from benchmarks import common


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=common.ROOT, capture_output=True, text=True, check=False)
