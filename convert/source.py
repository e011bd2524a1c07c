"""Find the SavedModel at a path: in a folder, or in a zip that is unpacked with care.

Nothing here imports TensorFlow, so that a wrong file is refused in milliseconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from convert.errors import ConvertError
from convert.stated import Stated, read_stated

MAX_ENTRIES = 10_000
MAX_BYTES = 4 * 1024**3
"""Upper limits on a zip: number of entries, and bytes after unpacking."""

GRAPH = "saved_model.pb"
_WAY_OUT = "give a TensorFlow 2 SavedModel: a folder with saved_model.pb, or the zip of one"


@dataclass(frozen=True)
class Source:
    """A SavedModel on disk.

    ``sha256`` covers names and contents of the graph, the variables and the assets. ``labels`` maps
    the ids of a label map beside the model to their names; empty when there is none. ``stated`` is what
    the model says of itself; the sha256 does not cover it, as it may be measured again.
    """

    folder: Path
    name: str
    sha256: str
    labels: dict[int, str]
    stated: Stated


@contextlib.contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Find the SavedModel in a folder or a zip; an unpacked zip is removed at the end.

    Raises ConvertError, which says what the path is when it is something else.
    """
    if path.is_dir():
        yield _source(_find(path), _name(path))
    elif kind(path) == "zip":
        with tempfile.TemporaryDirectory(prefix="edge-convert-") as folder:
            try:
                _unpack(path, Path(folder))
                yield _source(_find(Path(folder)), path.stem)
            except ConvertError as error:  # the user knows the zip, and not where it was unpacked
                raise type(error)(str(error).replace(folder, str(path))) from error
    elif path.name == GRAPH and path.is_file():
        yield _source(path.parent, _name(path.parent))
    else:
        raise ConvertError(f"{path} {describe(path)}; {_WAY_OUT}")


def kind(path: Path) -> str:
    """The kind of a file by its first bytes, a key of ``_KINDS``. Raises ConvertError if it is unreadable."""
    if path.exists() and not path.is_file():
        raise ConvertError(f"{path} is neither a file nor a folder; {_WAY_OUT}")
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise ConvertError(f"{path}: {error.strerror or error}; {_WAY_OUT}") from error
    if head[4:8] == b"TFL3":
        return "tflite"
    if head.startswith(b"\x89HDF\r\n"):
        return "hdf5"
    if head.startswith(b"PK") or path.suffix == ".keras":
        return _kind_of_zip(path)
    if path.suffix == ".onnx":
        return "onnx"
    return "graph" if path.suffix in (".pb", ".pbtxt") else "unknown"


_KINDS = {
    "tflite": "is a TensorFlow Lite file, which cannot be converted back; export a SavedModel",
    "hdf5": "is a Keras HDF5 file; load it with Keras and call model.export('folder')",
    "keras": "is a Keras 3 archive; load it with Keras and call model.export('folder')",
    "torch": "is a PyTorch file; this program converts TensorFlow SavedModels",
    "onnx": "is an ONNX file already; edge-convert inspect describes it",
    "graph": "is a single graph file (a frozen graph of TensorFlow 1, or a SavedModel without its "
    "variables folder); export the model again with TensorFlow 2",
    "zip": "is a zip",
    "unknown": "is not a model file that this program knows",
}


def describe(path: Path) -> str:
    """One clause about a file that is not a SavedModel."""
    return _KINDS[kind(path)]


def _kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ConvertError(f"{path} is a damaged zip ({error}); download it again") from error
    if {"config.json", "metadata.json"} <= names:
        return "keras"
    return "torch" if any(name.endswith("data.pkl") for name in names) else "zip"


def _find(folder: Path) -> Path:
    """The one folder that holds saved_model.pb, at most three levels down."""
    graphs: list[Path] = []
    for pattern in (GRAPH, f"*/{GRAPH}", f"*/*/{GRAPH}", f"*/*/*/{GRAPH}"):
        graphs.extend(p for p in sorted(folder.glob(pattern)) if "__MACOSX" not in p.parts and p.is_file())
    if len(graphs) == 1:
        return graphs[0].parent
    if graphs:
        found = ", ".join(str(graph.parent.relative_to(folder)) for graph in graphs[:5])
        raise ConvertError(f"{folder} holds {len(graphs)} SavedModels ({found}); name one of them")
    for file in sorted(folder.iterdir())[:200]:
        if file.name.startswith("ckpt-") or file.name == "checkpoint":
            raise ConvertError(
                f"{folder} holds training checkpoints ({file.name}) and no SavedModel; run the exporter "
                "(exporter_main_v2.py of the Object Detection API) first"
            )
        if file.is_file() and kind(file) not in ("unknown", "zip"):
            raise ConvertError(f"{folder} holds no {GRAPH}; {file.name} {describe(file)}")
    raise ConvertError(f"{folder} holds no {GRAPH}; {_WAY_OUT}")


def _name(folder: Path) -> str:
    """The name of a folder, or of its parent when it is just ``saved_model``."""
    folder = folder.resolve()
    return folder.parent.name if folder.name == "saved_model" else folder.name


def _source(folder: Path, name: str) -> Source:
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._") or "detector"
    if (folder / GRAPH).stat().st_size == 0:
        raise ConvertError(f"{folder / GRAPH} is empty; the export or the download broke off: get it again")
    return Source(folder, name, _fingerprint(folder), _labels(folder), read_stated(folder))


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    files = [folder / GRAPH]
    for part in ("variables", "assets"):
        files.extend(sorted(p for p in (folder / part).rglob("*") if p.is_file()))
    for file in files:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(folder).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


_ITEM = re.compile(r"item\s*\{((?:[^}\"']|\"[^\"]*\"|'[^']*')*)\}")
_FIELD = re.compile(r"\b(id|name|display_name)\s*:\s*(?:(\d+)|\"([^\"]*)\"|'([^']*)')")


def _labels(folder: Path) -> dict[int, str]:
    """Names of the classes, from a label map (``*.pbtxt``) in or beside the folder."""
    for place in (folder, folder / "assets", folder.parent):
        for path in sorted(place.glob("*.pbtxt")):
            labels = parse_label_map(path.read_text(encoding="utf-8", errors="replace"))
            if labels:
                return labels
    return {}


def parse_label_map(text: str) -> dict[int, str]:
    """Read a label map of the Object Detection API.

    >>> parse_label_map('item { id: 1 name: "face" } item { name: "n02" id: 2 display_name: "hat" }')
    {1: 'face', 2: 'hat'}
    """
    labels = {}
    for item in _ITEM.findall(text):
        fields = {key: number or double or single for key, number, double, single in _FIELD.findall(item)}
        if fields.get("id", "").isdigit():
            labels[int(fields["id"])] = fields.get("display_name") or fields.get("name", "")
    return labels


def _unpack(path: Path, folder: Path) -> None:
    """Unpack plain files only, and only into ``folder``. Raises ConvertError."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_ENTRIES:
            raise ConvertError(f"{path} has {len(entries)} entries; at most {MAX_ENTRIES} are unpacked")
        total = sum(entry.file_size for entry in entries)
        if total > MAX_BYTES:
            raise ConvertError(f"{path} unpacks to {total} bytes; at most {MAX_BYTES} are unpacked")
        remaining = MAX_BYTES
        seen: set[str] = set()
        for entry in entries:
            if entry.is_dir():
                continue
            target = folder / _safe_name(path, entry)
            if str(target).casefold() in seen:
                raise ConvertError(f"{path}: entry {entry.filename!r} comes twice; make the zip again")
            seen.add(str(target).casefold())
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("xb") as out:
                    shutil.copyfileobj(_Limited(source, remaining, path), out)
            except (
                zipfile.BadZipFile,
                zlib.error,
                EOFError,
                OSError,
                NotImplementedError,
                ValueError,
            ) as error:
                raise ConvertError(
                    f"{path}: entry {entry.filename!r} is damaged ({error}); download it again"
                ) from error
            remaining -= target.stat().st_size


def _safe_name(path: Path, entry: zipfile.ZipInfo) -> PurePosixPath:
    name = PurePosixPath(entry.filename)
    reason = ""
    if entry.flag_bits & 1:
        reason = "is encrypted"
    elif stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        reason = "is a link or a special file"
    elif name.is_absolute() or ".." in name.parts or "\\" in entry.filename or ":" in entry.filename:
        reason = "leads outside of the folder"
    elif len(entry.filename) > 500 or not entry.filename.isprintable():
        reason = "has an unusable name"
    if reason:
        raise ConvertError(f"{path}: entry {entry.filename[:100]!r} {reason}; make the zip again without it")
    return name


class _Limited:
    """A reader that fails after a number of bytes, as the sizes stated in a zip may be wrong."""

    def __init__(self, stream: object, limit: int, path: Path) -> None:
        self._stream, self._remaining, self._path = stream, limit, path

    def read(self, size: int = -1) -> bytes:
        block: bytes = self._stream.read(size)  # type: ignore[attr-defined]
        self._remaining -= len(block)
        if self._remaining < 0:
            raise ConvertError(f"{self._path} unpacks to more than {MAX_BYTES} bytes")
        return block
