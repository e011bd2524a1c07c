"""The commands of training as a user starts them: help is quick, and mistakes get one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.convert.training.sets import make_set

HELP = """
import sys
from typer.testing import CliRunner
from convert.training.cli import app
for command in ([], ["merge"], ["fit"], ["evaluate"], ["export"]):
    assert CliRunner().invoke(app, [*command, "--help"]).exit_code == 0, command
assert not {"tensorflow", "keras", "onnx", "matplotlib"} & set(sys.modules), "imported"
"""


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    code = "from convert.training.cli import app; app()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


def test_help_needs_no_tensorflow() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["fit", "data", "--out", "run"],
        ["fit", "data", "--out", "run", "--model", "huge"],
        ["fit", "data", "--out", "run", "--model", "tiny", "--rate", "0"],
        ["fit", "data", "--out", "run", "--model", "tiny", "--epochs", "0"],
        ["evaluate", "run"],
        ["export", "run"],
    ],
)
def test_a_wrong_command_line_ends_with_2(arguments: list[str]) -> None:
    from typer.testing import CliRunner

    from convert.training.cli import app

    assert CliRunner().invoke(app, arguments).exit_code == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["fit", "nowhere", "--model", "tiny", "--out", "{tmp}/run"], "nowhere is no folder"),
        (
            ["fit", "{data}", "--model", "tiny", "--out", "{tmp}/run", "--weights", "missing.onnx"],
            "--weights missing.onnx: No such file or directory",
        ),
        (["fit", "{data}", "--model", "tiny", "--out", "{data}"], "is not empty"),
        (["export", "{data}", "--out", "{tmp}/out"], "is not a folder of edge-train fit"),
    ],
)
def test_a_mistake_gets_one_line(arguments: list[str], told: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="needs the convert extra")
    data = make_set(tmp_path / "data")
    done = run(*(part.format(tmp=tmp_path, data=data) for part in arguments))
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("edge-train: ")]
    assert len(lines) == 1
    assert told in lines[0]
    assert "Traceback" not in done.stderr
