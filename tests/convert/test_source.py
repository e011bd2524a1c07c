"""A path is found to be a SavedModel, and gets a name and a fingerprint."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from convert.source import open_source
from tests.convert.source_files import WAY_OUT, refusal, saved_model, zipped

pytestmark = pytest.mark.usefixtures("scratch")


@pytest.mark.parametrize("depth", ["", "saved_model", "a/saved_model", "a/b/c"])
def test_a_folder_is_found_at_several_depths(tmp_path: Path, depth: str) -> None:
    saved_model(tmp_path / "faces" / depth)
    with open_source(tmp_path / "faces") as found:
        assert found.folder == tmp_path / "faces" / depth
        assert found.name == "faces"


def test_a_folder_four_levels_down_is_not_looked_for(tmp_path: Path) -> None:
    saved_model(tmp_path / "faces/a/b/c/d")
    assert WAY_OUT in refusal(tmp_path / "faces")


def test_the_graph_file_itself_will_do(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "faces" / "saved_model")
    with open_source(folder / "saved_model.pb") as found:
        assert found.folder == folder
        assert found.name == "faces"


def test_a_folder_named_like_the_exporter_does_takes_the_name_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved_model(tmp_path / "faces" / "saved_model")
    monkeypatch.chdir(folder)
    for path in (folder, Path()):
        with open_source(path) as found:
            assert found.name == "faces"


def test_two_models_are_named(tmp_path: Path) -> None:
    saved_model(tmp_path / "faces" / "first")
    saved_model(tmp_path / "faces" / "second" / "saved_model")
    text = refusal(tmp_path / "faces")
    assert "2 SavedModels" in text
    assert "first" in text
    assert "second/saved_model" in text
    assert "name one of them" in text


def test_a_saved_model_without_variables_is_left_to_tensorflow(tmp_path: Path) -> None:
    """A graph of constants alone has none."""
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "saved_model.pb").write_bytes(b"\x08\x01graph")
    with open_source(tmp_path / "faces") as found:
        assert found.name == "faces"


def fingerprint(folder: Path) -> str:
    with open_source(folder) as found:
        return found.sha256


PARTS = [
    "saved_model.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
    "assets/words.txt",
]


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("place", [0, -1])
def test_the_fingerprint_covers_every_byte(tmp_path: Path, name: str, place: int) -> None:
    folder = saved_model(tmp_path / "faces")
    before = fingerprint(folder)
    data = bytearray((folder / name).read_bytes())
    data[place] ^= 1
    (folder / name).write_bytes(data)
    assert fingerprint(folder) != before


@pytest.mark.parametrize("name", PARTS[1:])
def test_the_fingerprint_covers_the_names(tmp_path: Path, name: str) -> None:
    folder = saved_model(tmp_path / "faces")
    before = fingerprint(folder)
    (folder / name).rename((folder / name).with_name("other"))
    renamed = fingerprint(folder)
    (folder / name).with_name("other").unlink()
    assert len({before, renamed, fingerprint(folder)}) == 3


def test_bytes_that_move_between_files_change_the_fingerprint(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "faces")
    before = fingerprint(folder)
    (folder / "saved_model.pb").write_bytes(b"\x08\x01grap")
    (folder / "assets" / "words.txt").write_bytes(b"hface\n")
    assert fingerprint(folder) != before


def test_the_fingerprint_covers_nothing_else(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "faces")
    before = fingerprint(folder)
    (folder / "readme.txt").write_text("hello")
    (folder / "fingerprint.pb").write_bytes(b"depends on the run")
    assert fingerprint(folder) == before
    folder.rename(tmp_path / "other")
    assert fingerprint(tmp_path / "other") == before


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("my faces (final)", "my_faces_final"),
        ("..hidden", "hidden"),
        ("größe", "gr_e"),
        ("顔", "detector"),
        ("a\nb", "a_b"),
        ("-rf", "-rf"),
        ("v1.2", "v1.2"),
        ("$(reboot)", "reboot"),
        ("___", "detector"),
    ],
)
def test_weird_names_of_folders_become_safe_names(tmp_path: Path, folder: str, name: str) -> None:
    saved_model(tmp_path / folder)
    with open_source(tmp_path / folder) as found:
        assert found.name == name


def test_a_zip_gives_its_own_name(tmp_path: Path) -> None:
    path = zipped(tmp_path / "my faces.v2.zip", saved_model(tmp_path / "x"), "other/")
    with open_source(path) as found:
        assert found.name == "my_faces.v2"


def test_a_link_to_a_folder_is_followed(tmp_path: Path) -> None:
    saved_model(tmp_path / "faces")
    (tmp_path / "link").symlink_to(tmp_path / "faces")
    with open_source(tmp_path / "link") as found:
        assert found.name == "faces"


def test_no_tensorflow_is_needed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, convert.source; print('tensorflow' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
