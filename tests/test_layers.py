"""Imports point down, and never in a circle: the layers are those that docs/architecture.md draws.

Every import counts, also one inside a function or for type checkers only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.imports import imports_in

ROOT = Path(__file__).resolve().parents[1]
Graph = Mapping[str, set[str]]


def files_of(package: str) -> dict[str, Path]:
    """Every module of a package, by its dotted name."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, modules: Iterable[str]) -> set[str]:
    """Those of ``modules`` that a file imports, or imports a name from."""
    known = set(modules)
    found: set[str] = set()
    for module, names in imports_in(path):
        # A name that is not itself a module lies in ``module``.
        found |= {full if (full := f"{module}.{name}") in known else module for name in names} or {module}
    return found & known


def imports_of(package: str) -> Graph:
    modules = files_of(package)
    return {name: imported(path, modules) - {name} for name, path in modules.items()}


def circle(graph: Graph) -> list[str]:
    """A circle of the graph, if there is one."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def room(module: str) -> str:
    """The part of edge that a module belongs to: a folder, or a flat file; empty for edge itself."""
    return module.partition(".")[2].partition(".")[0]


def layers() -> list[set[str]]:
    """The rooms of docs/architecture.md, from the top layer down."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```layers\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [set(line.split()) for line in block.splitlines()]


def rooms_of_edge() -> Graph:
    graph: dict[str, set[str]] = {}
    for module, targets in imports_of("edge").items():
        rooms = graph.setdefault(room(module), set())
        rooms |= {room(target) for target in targets} - {room(module), ""}
    graph.pop("")
    return graph


@pytest.mark.parametrize("package", ["edge", "convert", "benchmarks"])
def test_no_two_files_import_each_other_in_a_circle(package: str) -> None:
    assert circle(imports_of(package)) == []


def test_no_two_rooms_import_each_other_in_a_circle() -> None:
    assert circle(rooms_of_edge()) == []


def test_the_page_names_every_room_once() -> None:
    named = [name for layer in layers() for name in layer]
    assert sorted(named) == sorted(rooms_of_edge())


def test_no_import_points_up() -> None:
    depth = {name: number for number, layer in enumerate(layers()) for name in layer}
    upward = [
        f"{source} imports {target}"
        for source, targets in rooms_of_edge().items()
        for target in targets
        if depth[target] < depth[source]
    ]
    assert upward == []


def test_a_circle_is_seen() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": set()})
    assert not circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})
