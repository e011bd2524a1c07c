"""A zip is unpacked with care."""

from __future__ import annotations

import io
import random
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from convert import source
from convert.source import open_source
from tests.convert.source_files import WAY_OUT, refusal, refusal_of_zip, saved_model, zipped

pytestmark = pytest.mark.usefixtures("scratch")


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


def test_a_comment_before_the_zip_does_no_harm(tmp_path: Path) -> None:
    """A self-extracting zip begins with a program; it is not taken for a zip, and not run either."""
    good = io.BytesIO()
    with zipfile.ZipFile(good, "w") as archive:
        archive.writestr("saved_model.pb", b"graph")
    path = tmp_path / "faces.exe"
    path.write_bytes(b"MZ" + bytes(100) + good.getvalue())
    assert WAY_OUT in refusal(path)
