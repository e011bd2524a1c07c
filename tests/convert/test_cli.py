"""The command line alone: help, wrong options, completion, and a missing extra. TensorFlow is not needed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import edge
from convert import choices, options
from convert.cli import app
from edge import contract


def plain(text: str) -> str:
    """Without colours."""
    return re.sub("\x1b\\[[0-9;]*m", "", text)


HELP = """
import sys
from convert.cli import app
for arguments in ([], ["build"], ["inspect"], ["verify"]):
    try:
        app([*arguments, "--help"])
    except SystemExit as end:
        assert not end.code
print(sorted({"tensorflow", "tf2onnx", "onnx", "onnx_ir", "onnxruntime"} & set(sys.modules)))
"""


def test_help_is_quick() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    for word in ("--target", "--label", "--anchors", "--saved-model", "Exit codes"):
        assert word in done.stdout


def test_the_version_is_printed() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output == f"edge-anonymizer {edge.__version__}\n"


@pytest.mark.parametrize("command", ["build", "inspect"])
def test_help_lists_the_values_of_every_choice(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    output = plain(result.output)
    shown: list[type[Enum]] = [choices.BoxFormat, choices.InputRange, choices.Resize]
    shown += [choices.Target, choices.Precision] if command == "build" else []
    for choice in shown:
        assert "|".join(member.value for member in choice) in output
    assert "<str>" not in output
    assert "TEXT" not in output


@pytest.mark.parametrize(
    ("choice", "allowed"),
    [
        (choices.Precision, contract.PRECISIONS),
        (choices.InputRange, options.INPUT_RANGES),
        (choices.Resize, options.RESIZES),
    ],
)
def test_a_choice_has_the_values_that_the_conversion_knows(choice: type[Enum], allowed: Any) -> None:
    assert [member.value for member in choice] == list(allowed)


def test_a_box_format_is_one_that_the_passes_know() -> None:
    pytest.importorskip("onnxscript", reason="needs the convert extra")
    from convert.passes.select import BOX_FORMATS

    assert [member.value for member in choices.BoxFormat] == list(BOX_FORMATS)


def test_every_target_is_one_of_the_contract() -> None:
    assert set(choices.TARGETS) == set(contract.TARGETS)


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("edge-convert ", {"build", "inspect", "verify"}),
        ("edge-convert build --target ", {"any", "cpu", "cuda", "tensorrt", "openvino"}),
        ("edge-convert build --box-format c", {"cxcywh", "cycxhw"}),
    ],
)
def test_bash_completes_commands_and_choices(words: str, completions: set[str]) -> None:
    environment = os.environ | {
        "_EDGE_CONVERT_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    program = (
        "import sys; sys.argv = ['edge-convert']; from convert.cli import app; app(prog_name='edge-convert')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert set(done.stdout.split()) == completions, done.stderr


def test_completion_can_be_installed() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert "--install-completion" in plain(result.output)
    assert "--show-completion" in plain(result.output)


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (
            ["--target", "tpu"],
            ["'--target'", "'tpu' is not one of 'any', 'cpu', 'cuda', 'tensorrt', 'openvino'"],
        ),
        (["--precision", "fp8"], ["'--precision'", "'fp8' is not one of 'fp32', 'fp16', 'int8'"]),
        (
            ["--box-format", "zyx"],
            ["'--box-format'", "'zyx' is not one of 'yxyx', 'xyxy', 'cxcywh', 'cycxhw'"],
        ),
        (["--input-range", "0..2"], ["'--input-range'", "'0..2' is not one of '0..1', '-1..1', '0..255'"]),
        (["--resize", "crop"], ["'--resize'", "'crop' is not one of 'stretch', 'pad'"]),
        (["--mean", "1,2"], ["'--mean'", "'1,2' is not three numbers", "such as 0.485,0.456,0.406"]),
        (["--mean", "a,b,c"], ["'--mean'", "'a,b,c' is not three numbers"]),
        (["--std", "nan,1,1"], ["'--std'", "'nan,1,1' is not three numbers"]),
        (
            ["--variances", "1,2,3"],
            ["'--variances'", "'1,2,3' is not four numbers", "such as 0.1,0.1,0.2,0.2"],
        ),
        (["--size", "640"], ["'--size'", "'640' is not WIDTHxHEIGHT", "such as 640x384"]),
        (["--size", "8x8"], ["'--size'", "'8x8' is not WIDTHxHEIGHT"]),
        (["--size", "-64x64"], ["'--size'", "'-64x64' is not WIDTHxHEIGHT"]),
        (["--size", "64x64x3"], ["'--size'", "'64x64x3' is not WIDTHxHEIGHT"]),
        (["--size", "²²x64"], ["'--size'", "'²²x64' is not WIDTHxHEIGHT"]),
        (["--batch", "0"], ["--batch"]),
        (["--batch", "65"], ["--batch"]),
        (["--batch", "many"], ["--batch"]),
        (["--no-such-option"], ["--no-such-option"]),
    ],
)
def test_bad_options_are_refused_before_tensorflow_starts(
    tmp_path: Path, arguments: list[str], texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a child process was started")

    monkeypatch.setattr("convert.isolated.run", started)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    result = CliRunner().invoke(app, ["build", str(tmp_path), "--out", str(tmp_path / "out"), *arguments])
    assert result.exit_code == 2
    output = plain(result.output)
    assert all(text in output for text in texts), output
    assert not (tmp_path / "out").exists()


WITHOUT = """
import sys
from importlib.machinery import PathFinder

class Without:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "tf2onnx", "onnx", "onnx_ir", "onnxscript", "sympy"):
            return None
        return PathFinder.find_spec(name, path, target)

sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
from convert.cli import app
app()
"""


@pytest.mark.parametrize("arguments", [["--help"], ["inspect", "x"], ["build", "x", "--out", "y"]])
def test_without_the_convert_extra_it_says_what_to_install(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    assert "ModuleNotFoundError" not in done.stderr
    if arguments == ["--help"]:
        assert done.returncode == 0
    else:
        assert done.returncode == 1
        assert "not installed: tensorflow" in done.stderr
        assert "pip install 'edge-anonymizer[convert]'" in done.stderr
