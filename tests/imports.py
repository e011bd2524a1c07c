"""The imports of a source file, read from its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


def imports_in(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Each imported module with the names that are taken from it; no names for ``import MODULE``.

    Every import counts, also one inside a function or for type checkers only.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield str(node.module), [alias.name for alias in node.names]
