"""Every measurement is a command of ``python -m benchmarks``, and what the repository keeps of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

pytest.importorskip("av")
pytest.importorskip("matplotlib")

from benchmarks import common, figures, report
from benchmarks.__main__ import app
from tests.benchmarks import front_door

COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]
FOLDER = common.ROOT / "benchmarks"
TEXTS = [*sorted((common.ROOT / "docs").glob("*.md")), *sorted(common.ROOT.glob("*.md"))]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    done = CliRunner().invoke(app, [name, "--help"])
    assert done.exit_code == 0, done.output
    assert "Usage" in done.output


def test_the_front_door_imports_no_command() -> None:
    heavy = ("numpy", "cv2", "av", "tensorflow", "onnxruntime", "matplotlib", "pydantic")
    code = f"import sys, benchmarks.__main__; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=common.ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_nothing_else_is_a_command() -> None:
    """Files that run as a process of their own begin with an underscore, but for the soak's RTSP server."""
    doors = {
        file.relative_to(FOLDER).as_posix()
        for file in FOLDER.rglob("*.py")
        if '__name__ == "__main__"' in file.read_text(encoding="utf-8")
    }
    others = {name for name in doors if not Path(name).name.startswith("_")}
    assert "__main__.py" in doors
    assert others == {"soak/rtsp.py"}


@pytest.mark.parametrize("text", TEXTS, ids=lambda file: file.name)
def test_documents_name_commands_that_there_are(text: Path) -> None:
    named = re.findall(r"python -m benchmarks(\S*) ?([a-z][a-z-]*)?", text.read_text(encoding="utf-8"))
    for dotted, name in named:
        assert not dotted.startswith("."), f"python -m benchmarks{dotted}"
        assert not name or name in COMMANDS, name


@pytest.mark.parametrize("arguments", [["pipeline", "absent.mp4"], ["pipeline", "--rounds", "0"], ["speed"]])
def test_what_cannot_be_measured_ends_with_2(arguments: list[str], tmp_path: Path) -> None:
    options = ["--no-deface", "--json", str(tmp_path / "r.json")] if arguments[0] == "pipeline" else []
    done = front_door.run(*arguments, *options)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "r.json").exists()


# What is kept


def test_results_are_aggregates_that_can_be_read_line_by_line() -> None:
    files = sorted(common.RESULTS.glob("*.json"))
    assert len(files) > 10
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files) <= 8000


def test_the_page_in_docs_is_of_the_results_that_are_kept(tmp_path: Path) -> None:
    page = common.ROOT / "docs" / "benchmarks.md"
    report.write(common.RESULTS, tmp_path / "page.md")
    assert page.read_text(encoding="utf-8") == (tmp_path / "page.md").read_text(encoding="utf-8")


def test_the_figures_in_the_readme_are_of_the_results_that_are_kept(tmp_path: Path) -> None:
    text = (common.ROOT / "README.md").read_text(encoding="utf-8")
    copy = tmp_path / "README.md"
    copy.write_text(text, encoding="utf-8")
    assert 1 <= figures.write(common.RESULTS, copy) <= 8
    assert copy.read_text(encoding="utf-8") == text


def test_a_file_without_markers_is_left_alone(tmp_path: Path) -> None:
    copy = tmp_path / "README.md"
    copy.write_text("# Figures\n", encoding="utf-8")
    with pytest.raises(SystemExit):
        figures.write(common.RESULTS, copy)
    assert copy.read_text(encoding="utf-8") == "# Figures\n"


def test_a_result_of_another_form_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "speed_a.json").write_text('{"rows": []}')
    with pytest.raises(SystemExit) as ended:
        report.write(tmp_path, tmp_path / "page.md")
    assert ended.value.code == 2
    assert "speed_a.json" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


def test_no_results_are_no_page(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        report.write(tmp_path, tmp_path / "page.md")
    assert not (tmp_path / "page.md").exists()
