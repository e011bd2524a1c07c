"""Label maps in and beside a SavedModel are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from convert.source import open_source, parse_label_map
from tests.convert.source_files import saved_model, zipped

pytestmark = pytest.mark.usefixtures("scratch")

MAP = 'item {\n  id: 1\n  name: "face"\n}\nitem {\n  id: 2\n  name: "hat"\n}\n'


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (MAP, {1: "face", 2: "hat"}),
        ("item { name: 'face' id: 1 }", {1: "face"}),
        ("item{id:3 name:\"/m/0dzct\" display_name:'Human face'}", {3: "Human face"}),
        ('item { id: 1 name: "" }', {1: ""}),
        ('item { name: "no id" }', {}),
        ('item { id: 7 name: "Gesicht mit Ümlaut und, Komma" }', {7: "Gesicht mit Ümlaut und, Komma"}),
        ('# a comment\r\nitem {\r\n  id: 1\r\n  name: "face"\r\n}\r\n', {1: "face"}),
        ('item { id: 1 name: "a }" }', {1: "a }"}),
        ("node { name: 'x' }", {}),
        ("", {}),
    ],
)
def test_label_maps_are_read(text: str, labels: dict[int, str]) -> None:
    assert parse_label_map(text) == labels


@pytest.mark.parametrize("place", ["saved_model", "saved_model/assets", "."])
def test_the_label_map_is_found_in_and_beside_the_model(tmp_path: Path, place: str) -> None:
    folder = saved_model(tmp_path / "faces" / "saved_model")
    (tmp_path / "faces" / place / "label_map.pbtxt").write_text(MAP)
    for path in (tmp_path / "faces", folder, folder / "saved_model.pb"):
        with open_source(path) as found:
            assert found.labels == {1: "face", 2: "hat"}


def test_the_label_map_is_found_in_a_zip(tmp_path: Path) -> None:
    saved_model(tmp_path / "faces" / "saved_model")
    (tmp_path / "faces" / "label_map.pbtxt").write_text(MAP)
    with open_source(zipped(tmp_path / "faces.zip", tmp_path / "faces", "faces/")) as found:
        assert found.labels == {1: "face", 2: "hat"}


def test_the_label_map_in_the_model_comes_first(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "faces" / "saved_model")
    (folder / "assets" / "map.pbtxt").write_text(MAP)
    (folder.parent / "map.pbtxt").write_text('item { id: 1 name: "cat" }')
    (folder / "graph.pbtxt").write_text("node { name: 'x' }")
    with open_source(folder) as found:
        assert found.labels[1] == "face"


def test_a_label_map_that_is_no_text_is_passed_over(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "faces")
    (folder / "map.pbtxt").write_bytes(bytes(range(256)))
    with open_source(folder) as found:
        assert found.labels == {}
