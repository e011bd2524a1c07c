"""Functions, classes and files stay small enough to be read at one sitting (CONTRIBUTING.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FUNCTION_LINES, CLASS_LINES, FILE_LINES, TEST_FILE_LINES = 50, 200, 350, 500


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def too_long(path: Path, most: int) -> Iterator[str]:
    """What is longer than it may be, in one file."""
    text = path.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    if lines > most:
        yield f"{lines} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            limit = FUNCTION_LINES
        elif isinstance(node, ast.ClassDef):
            limit = CLASS_LINES
        else:
            continue
        size = (node.end_lineno or node.lineno) - node.lineno + 1
        if size > limit:
            yield f"{node.name}: {size} lines"


@pytest.mark.parametrize(
    "path", [path for package in ("edge", "convert") for path in sorted((ROOT / package).rglob("*.py"))],
    ids=name_of,
)  # fmt: skip
def test_the_product_is_short(path: Path) -> None:
    assert list(too_long(path, FILE_LINES)) == []


@pytest.mark.parametrize("package", ["tests", "benchmarks"])
def test_no_file_beside_the_product_is_long(package: str) -> None:
    lengths = {
        name_of(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / package).rglob("*.py")
    }
    assert {name: lines for name, lines in lengths.items() if lines > TEST_FILE_LINES} == {}


def test_length_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "long.py"
    path.write_text("def f():\n" + "    pass\n" * FUNCTION_LINES + "class C:\n" + "    x = 1\n" * CLASS_LINES)
    assert list(too_long(path, 10)) == ["252 lines", "f: 51 lines", "C: 201 lines"]
