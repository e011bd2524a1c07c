"""A path is found to be a SavedModel, or refused with what it is; a zip is unpacked with care."""

from __future__ import annotations

import io
import os
import random
import stat
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from convert import source
from convert.errors import ConvertError
from convert.source import open_source, parse_label_map

WAY_OUT = "give a TensorFlow 2 SavedModel"


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, which every test must leave empty."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def saved_model(folder: Path) -> Path:
    """The files of a SavedModel; what is in them matters to TensorFlow only."""
    (folder / "variables").mkdir(parents=True)
    (folder / "assets").mkdir()
    (folder / "saved_model.pb").write_bytes(b"\x08\x01graph")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(bytes(range(256)))
    (folder / "assets" / "words.txt").write_bytes(b"face\n")
    return folder


def zipped(path: Path, folder: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path


def refusal(path: Path) -> str:
    """What the error says."""
    with pytest.raises(ConvertError) as caught, open_source(path):
        pass
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


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


@pytest.mark.parametrize("prefix", ["", "saved_model/", "export/faces/saved_model/"])
def test_a_zip_is_unpacked_and_removed(tmp_path: Path, scratch: Path, prefix: str) -> None:
    folder = saved_model(tmp_path / "faces")
    path = zipped(tmp_path / "faces.zip", folder, prefix)
    with open_source(folder) as plain, open_source(path) as found:
        assert (found.name, found.sha256) == (plain.name, plain.sha256)
        assert found.folder.is_relative_to(scratch)
        unpacked = {p.relative_to(found.folder) for p in found.folder.rglob("*")}
        assert unpacked == {p.relative_to(folder) for p in folder.rglob("*")}
        for file in unpacked:
            if (folder / file).is_file():
                assert (found.folder / file).read_bytes() == (folder / file).read_bytes()
    assert not list(scratch.iterdir())


def test_the_unpacked_zip_is_removed_after_an_error_as_well(tmp_path: Path, scratch: Path) -> None:
    path = zipped(tmp_path / "faces.zip", saved_model(tmp_path / "faces"))
    with pytest.raises(RuntimeError), open_source(path):
        raise RuntimeError
    assert not list(scratch.iterdir())


def test_what_macos_adds_to_a_zip_is_no_second_model(tmp_path: Path) -> None:
    path = zipped(tmp_path / "faces.zip", saved_model(tmp_path / "faces"), "faces/")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/faces/saved_model.pb", b"resource fork")
    with open_source(path) as found:
        assert found.folder.name == "faces"


Names = Callable[[zipfile.ZipFile], None]


def entry(name: str, content: bytes = b"evil", attributes: int = 0) -> Names:
    def add(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo(name)
        info.filename = name  # ZipInfo turns backslashes and cuts at a zero byte
        info.external_attr = attributes << 16
        archive.writestr(info, content)

    return add


HOSTILE = {
    "parent": (entry("../evil.pb"), "leads outside"),
    "parent inside": (entry("variables/../../evil.pb"), "leads outside"),
    "absolute": (entry("/tmp/evil.pb"), "leads outside"),
    "backslash": (entry("..\\evil.pb"), "leads outside"),
    "drive": (entry("C:evil.pb"), "leads outside"),
    "link": (entry("variables/link", b"/etc/passwd", stat.S_IFLNK | 0o777), "link or a special file"),
    "device": (entry("variables/device", b"", stat.S_IFCHR | 0o600), "link or a special file"),
    "pipe": (entry("variables/pipe", b"", stat.S_IFIFO | 0o600), "link or a special file"),
    "twice": (entry("assets/words.txt"), "comes twice"),
    "twice in case": (entry("ASSETS/Words.txt"), "comes twice"),
    "file as folder": (entry("saved_model.pb/evil"), "damaged"),
    "long name": (entry("a" * 501), "unusable name"),
    "long part": (entry("a" * 400), "damaged"),
    "control character": (entry("a\nb"), "unusable name"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning:zipfile")
def test_a_hostile_entry_is_refused(tmp_path: Path, scratch: Path, name: str) -> None:
    add, reason = HOSTILE[name]
    path = zipped(tmp_path / "faces.zip", saved_model(tmp_path / "faces"))
    with zipfile.ZipFile(path, "a") as archive:
        add(archive)
    before = {p for p in tmp_path.rglob("*") if scratch not in p.parents}
    assert reason in refusal(path)
    assert not list(scratch.iterdir())
    assert {p for p in tmp_path.rglob("*") if scratch not in p.parents} == before
    assert not Path("/tmp/evil.pb").exists()


def test_an_encrypted_entry_is_refused(tmp_path: Path, scratch: Path) -> None:
    path = zipped(tmp_path / "faces.zip", saved_model(tmp_path / "faces"))
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        place = data.index(b"PK\x01\x02", archive.start_dir)
    data[place + 8] |= 1
    path.write_bytes(data)
    assert "is encrypted" in refusal(path)
    assert not list(scratch.iterdir())


def test_too_many_entries_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "faces.zip", saved_model(tmp_path / "faces"))
    monkeypatch.setattr(source, "MAX_ENTRIES", 4)
    with open_source(path):
        pass
    monkeypatch.setattr(source, "MAX_ENTRIES", 3)
    assert "4 entries; at most 3" in refusal(path)


def test_too_many_bytes_are_refused(tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved_model(tmp_path / "faces")
    total = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    path = zipped(tmp_path / "faces.zip", folder)
    monkeypatch.setattr(source, "MAX_BYTES", total)
    with open_source(path):
        pass
    monkeypatch.setattr(source, "MAX_BYTES", total - 1)
    assert f"unpacks to {total} bytes; at most {total - 1}" in refusal(path)
    assert not list(scratch.iterdir())


def test_a_zip_that_lies_about_its_size_is_refused(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bomb states a small size; what counts is what comes out."""
    path = zipped(tmp_path / "bomb.zip", saved_model(tmp_path / "faces"))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("assets/zeros", bytes(50_000_000))
    data = path.read_bytes()
    lie = data.replace(struct.pack("<L", 50_000_000), struct.pack("<L", 10))
    assert lie.count(struct.pack("<L", 10)) >= 2
    path.write_bytes(lie)
    monkeypatch.setattr(source, "MAX_BYTES", 1_000_000)
    text = refusal(path)
    assert "unpacks to more than" in text or "damaged" in text
    assert not list(scratch.iterdir())


def test_the_bytes_are_counted_over_all_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(10):
            archive.writestr(f"assets/{number}", bytes(1000))
    stated = zipfile.ZipFile.infolist

    def lie(self: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
        entries = stated(self)
        monkeypatch.setattr(zipfile.ZipFile, "infolist", stated)
        copies = []
        for info in entries:
            copy = zipfile.ZipInfo.__new__(zipfile.ZipInfo)
            for slot in zipfile.ZipInfo.__slots__:
                if hasattr(info, slot):
                    setattr(copy, slot, getattr(info, slot))
            copies.append(copy)
        for info in entries:
            info.file_size = 1000
        return copies

    monkeypatch.setattr(source, "MAX_BYTES", 10_000)
    assert WAY_OUT in refusal_of_zip(path)
    monkeypatch.setattr(source, "MAX_BYTES", 9_999)
    assert "at most 9999" in refusal(path)
    # Past the stated total, the count of what really came out is what holds.
    monkeypatch.setattr(zipfile.ZipFile, "infolist", lie)
    monkeypatch.setattr("builtins.sum", lambda sizes: 0)
    assert "unpacks to more than 9999 bytes" in refusal(path)


def refusal_of_zip(path: Path) -> str:
    """As ``refusal``, where the text names the folder to which the zip was unpacked."""
    with pytest.raises(ConvertError) as caught, open_source(path):
        pass
    return str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.5, 0.9, 0.99])
def test_a_truncated_zip_is_refused(tmp_path: Path, scratch: Path, share: float) -> None:
    path = zipped(tmp_path / "faces.zip", saved_model(tmp_path / "faces"))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    text = refusal(path)
    assert "damaged zip" in text if share else WAY_OUT in text
    assert not list(scratch.iterdir())


def test_a_zip_with_a_changed_byte_is_refused(tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("saved_model.pb", b"a graph of some length")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"of some", b"of Some", 1))
    assert "Bad CRC-32" in refusal(path)
    assert not list(scratch.iterdir())


def test_a_zip_with_a_broken_stream_is_refused(tmp_path: Path, scratch: Path) -> None:
    path = zipped(tmp_path / "faces.zip", saved_model(tmp_path / "faces"))
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        info = max(archive.infolist(), key=lambda entry: entry.compress_size)
    begin = info.header_offset + 30 + len(info.filename)
    for seed in range(30):
        noise = random.Random(seed).randbytes(info.compress_size)
        path.write_bytes(data[:begin] + noise + data[begin + info.compress_size :])
        assert "damaged" in refusal(path)
    assert not list(scratch.iterdir())


def test_an_unknown_compression_is_refused(tmp_path: Path, scratch: Path) -> None:
    path = zipped(tmp_path / "faces.zip", saved_model(tmp_path / "faces"))
    data = bytearray(path.read_bytes())
    for sign, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        place = data.find(sign)
        while place >= 0:
            data[place + offset : place + offset + 2] = struct.pack("<H", 99)
            place = data.find(sign, place + 1)
    path.write_bytes(data)
    assert "damaged" in refusal(path)
    assert not list(scratch.iterdir())


def test_a_zip_without_a_model_says_so(tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "holds no saved_model.pb" in refusal_of_zip(path)
    assert not list(scratch.iterdir())


def test_two_models_are_named(tmp_path: Path) -> None:
    saved_model(tmp_path / "faces" / "first")
    saved_model(tmp_path / "faces" / "second" / "saved_model")
    text = refusal(tmp_path / "faces")
    assert "2 SavedModels" in text
    assert "first" in text
    assert "second/saved_model" in text
    assert "name one of them" in text


def keras_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            archive.writestr(name, "{}")


def torch_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"\x80\x02.")


def write(content: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(content)

    return make


OTHER_FILES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "model.tflite": (write(b"\x1c\0\0\0TFL3" + bytes(50)), "TensorFlow Lite", "export a SavedModel"),
    "renamed.bin": (write(b"\x1c\0\0\0TFL3" + bytes(50)), "TensorFlow Lite", "export a SavedModel"),
    "model.h5": (write(b"\x89HDF\r\n\x1a\n" + bytes(50)), "Keras HDF5", "model.export("),
    "weights.keras": (write(b"\x89HDF\r\n\x1a\n" + bytes(50)), "Keras HDF5", "model.export("),
    "model.keras": (keras_archive, "Keras 3", "model.export("),
    "keras.zip": (keras_archive, "Keras 3", "model.export("),
    "model.pt": (torch_archive, "PyTorch", "SavedModels"),
    "model.onnx": (write(b"\x08\x08\x12\x00"), "ONNX", "edge-convert inspect"),
    "frozen.pb": (write(b"\n\x05graph"), "frozen graph", "export the model again"),
    "graph.pbtxt": (write(b"node {}"), "frozen graph", "export the model again"),
    "notes.txt": (write(b"hello"), "no model file that this program knows", WAY_OUT),
    "empty.bin": (write(b""), "no model file that this program knows", WAY_OUT),
    "broken.keras": (write(b"PK\x03\x04 broken"), "damaged zip", "download it again"),
    "not.zip": (write(b"hello"), "no model file", WAY_OUT),
}


@pytest.mark.parametrize("name", OTHER_FILES)
def test_another_file_is_told_apart(tmp_path: Path, name: str) -> None:
    make, what, way_out = OTHER_FILES[name]
    make(tmp_path / name)
    text = refusal(tmp_path / name)
    assert what in text
    assert way_out in text


@pytest.mark.parametrize("name", [n for n in OTHER_FILES if n not in ("keras.zip", "saved_model.pb")])
def test_a_folder_with_another_file_says_which(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    make, what, way_out = OTHER_FILES[name]
    make(folder / name)
    text = refusal_of_zip(folder)
    assert way_out in text
    assert what in text or way_out == WAY_OUT


def test_a_saved_model_without_variables_is_left_to_tensorflow(tmp_path: Path) -> None:
    """A graph of constants alone has none."""
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "saved_model.pb").write_bytes(b"\x08\x01graph")
    with open_source(tmp_path / "faces") as found:
        assert found.name == "faces"


@pytest.mark.parametrize("name", ["checkpoint", "ckpt-0.index", "ckpt-12.data-00000-of-00001"])
def test_checkpoints_are_told_apart(tmp_path: Path, name: str) -> None:
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / name).write_text("model_checkpoint_path: 'ckpt-12'")
    text = refusal(tmp_path / "faces")
    assert "training checkpoints" in text
    assert "exporter_main_v2.py" in text


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    assert f"holds no saved_model.pb; {WAY_OUT}" in refusal(tmp_path / "faces")


def test_an_empty_graph_says_so(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "faces")
    (folder / "saved_model.pb").write_bytes(b"")
    text = refusal(folder)
    assert "is empty" in text
    assert "get it again" in text


def test_a_graph_that_is_a_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "faces" / "saved_model.pb").mkdir(parents=True)
    refusal(tmp_path / "faces")


def test_a_missing_path_says_so(tmp_path: Path) -> None:
    text = refusal(tmp_path / "missing.zip")
    assert "No such file" in text
    assert WAY_OUT in text


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "secret.zip"
    path.write_bytes(b"PK")
    path.chmod(0)
    assert "Permission denied" in refusal(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
def test_an_unreadable_part_says_so(tmp_path: Path, name: str) -> None:
    folder = saved_model(tmp_path / "faces")
    (folder / name).chmod(0)
    with pytest.raises((ConvertError, PermissionError), match="Permission denied"), open_source(folder):
        pass


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "faces.zip"
    os.mkfifo(path)
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(path)], capture_output=True, text=True, timeout=5, check=False
    )
    assert "ConvertError" in done.stdout, done.stderr


OPEN = """
import sys
from pathlib import Path
from convert.source import open_source
try:
    with open_source(Path(sys.argv[1])):
        pass
except Exception as error:
    print(type(error).__name__, error)
"""


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


def test_a_comment_before_the_zip_does_no_harm(tmp_path: Path) -> None:
    """A self-extracting zip begins with a program; it is not taken for a zip, and not run either."""
    good = io.BytesIO()
    with zipfile.ZipFile(good, "w") as archive:
        archive.writestr("saved_model.pb", b"graph")
    path = tmp_path / "faces.exe"
    path.write_bytes(b"MZ" + bytes(100) + good.getvalue())
    assert WAY_OUT in refusal(path)


def test_no_tensorflow_is_needed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, convert.source; print('tensorflow' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
