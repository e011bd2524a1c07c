"""The command line as a whole: version, completion, and how long it takes to answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import edge


def test_the_version_needs_no_command(edge_script: str) -> None:
    done = subprocess.run([edge_script, "--version"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"edge-anonymizer {edge.__version__}\n")


def test_the_declarations_load_neither_opencv_nor_the_detector() -> None:
    """Otherwise --help and each Tab of shell completion would wait for them."""
    code = "import json, sys, edge.cli; print(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert not {"cv2", "numpy", "onnxruntime", "fastapi", "edge.process"} & set(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("edge b", ["blur"]),
        ("edge config ", ["init", "check", "show"]),
        ("edge blur --fill ", ["infill", "solid", "gaussian", "mosaic"]),
        ("edge blur --provider o", ["openvino"]),
    ],
)
def test_the_shell_can_complete(edge_script: str, line: str, expected: list[str]) -> None:
    words = line.split(" ")
    environment = {
        **os.environ,
        "_EDGE_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [edge_script], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert done.stdout.split() == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_can_be_shown(edge_script: str, shell: str) -> None:
    done = subprocess.run(
        [edge_script, "--show-completion", shell], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert "_EDGE_COMPLETE" in done.stdout
