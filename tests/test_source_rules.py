"""Rules that hold for the whole source, checked over its syntax trees.

1. Only ``edge/blur.py`` makes an AnonymizedFrame (it alone takes the seal out of ``edge/frames.py``).
2. Only ``edge/store/`` opens files for writing, encodes images or videos, or removes and renames.
3. ``edge`` imports neither TensorFlow nor ``convert``; ``convert`` imports only the contract of it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.reasons import Reason
from tests.imports import imports_in

ROOT = Path(__file__).resolve().parents[1]
EDGE = sorted((ROOT / "edge").rglob("*.py"))
CONVERT = sorted((ROOT / "convert").rglob("*.py"))

# Ways to a file or an encoder, by attribute or function name.
WRITERS = {
    "imwrite", "imencode", "imwritemulti", "imencodemulti", "VideoWriter", "write_bytes", "write_text",
    "tofile", "savez", "savez_compressed", "savetxt", "memmap", "NamedTemporaryFile", "TemporaryFile",
    "SpooledTemporaryFile", "mkstemp", "copyfile", "copy2", "copytree", "shelve", "mkfifo", "fdopen",
    "FileHandler", "RotatingFileHandler", "to_image", "to_file", "add_stream", "dump", "fromarray_save",
}  # fmt: skip
# Allowed outside the store, with the reason.
EXCEPTIONS = {
    ("edge/status/server.py", "unlink"): "removes its own unix socket",
    ("edge/commands/doctor_store.py", "write_bytes"): "edge.store.durable.write_bytes: its write test",
    (
        "edge/commands/doctor_store.py",
        "unlink",
    ): "removes the file that its write test made through the store",
    ("edge/commands/config.py", "write_text"): "edge.store.text.write_text: a sample configuration",
    ("edge/commands/install.py", "write_text"): "edge.store.text.write_text: unit and configuration files",
    ("edge/commands/install.py", "unlink"): "removes the unit files that it wrote itself",
    ("edge/commands/blur.py", "write_text"): "edge.store.text.write_text",
    ("edge/commands/audit.py", "write_text"): "edge.store.text.write_text: reports",
    ("edge/commands/decrypt.py", "write_bytes"): "edge.store.durable.write_bytes: images that were encrypted",
    ("edge/commands/decrypt.py", "write_text"): "edge.store.text.write_text: a new private key",
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Attribute):
                yield function.attr, node
            elif isinstance(function, ast.Name):
                yield function.id, node


def opens_for_writing(name: str, call: ast.Call) -> bool:
    if name != "open":
        return False
    texts = [n.value for n in ast.walk(call) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    flags = [n.attr for n in ast.walk(call) if isinstance(n, ast.Attribute)]
    modes = [text for text in texts if len(text) <= 3 and set(text) <= set("rwaxbt+")]
    return any(set(mode) & set("wax+") for mode in modes) or any(
        flag in ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TMPFILE", "O_APPEND") for flag in flags
    )


def violations(path: Path) -> list[str]:
    found = []
    for name, call in calls(path):
        writes = name in WRITERS or name in ("unlink", "rename", "replace_file", "rmtree")
        writes = writes or opens_for_writing(name, call)
        # Image.save, np.save and the like
        writes = writes or (name == "save" and isinstance(call.func, ast.Attribute))
        if writes and (name_of(path), name) not in EXCEPTIONS:
            found.append(f"{name_of(path)}:{call.lineno} {name}")
    return found


@pytest.mark.parametrize("path", [p for p in EDGE if "store" not in p.parts], ids=name_of)
def test_only_the_store_writes(path: Path) -> None:
    assert violations(path) == []


def test_the_rule_sees_the_store_itself() -> None:
    found = [line for path in EDGE if "store" in path.parts for line in violations(path)]
    text = "\n".join(found)
    for sign in ("encode.py", "durable.py", "video.py", "imencode", "fdopen", "add_stream"):
        assert sign in text


@pytest.mark.parametrize(
    "line",
    [
        "cv2.imwrite('x.jpg', frame)",
        "open('x', 'wb').write(frame)",
        "os.open('x', os.O_WRONLY | os.O_CREAT)",
        "Path('x').open('w')",
        "Path('x').write_bytes(b'')",
        "np.save('x', frame)",
        "image.save('x.png')",
        "cv2.VideoWriter('x.avi', 0, 25, (1, 1))",
        "frame.tofile('x')",
        "pickle.dump(frame, file)",
        "tempfile.NamedTemporaryFile()",
    ],
)
def test_the_rule_sees_each_way_out(tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_source_rules.ROOT", tmp_path)
    path = tmp_path / "edge.py"
    path.write_text(line)
    assert violations(path)


def mentions(path: Path, word: str) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == word:
            return True
        if isinstance(node, ast.Attribute) and node.attr == word:
            return True
        if isinstance(node, ast.alias) and word in (node.name, node.asname):
            return True
        if isinstance(node, ast.Constant) and node.value == word:
            return True
    return False


def test_only_blur_makes_an_anonymized_frame() -> None:
    assert [name_of(p) for p in EDGE if mentions(p, "_SEAL")] == ["edge/blur.py", "edge/frames.py"]
    makers = [name_of(p) for p in EDGE for name, _ in calls(p) if name == "AnonymizedFrame"]
    assert set(makers) == {"edge/blur.py"}
    ways_around = {"__new__", "__setattr__", "_replace"}
    users = {name_of(p) for p in EDGE for name, _ in calls(p) if name in ways_around}
    assert users == {"edge/frames.py"}


def imported(path: Path) -> set[str]:
    """The modules that a file imports, and what it imports from them, by dotted names."""
    return {
        name for module, names in imports_in(path) for name in (module, *(f"{module}.{n}" for n in names))
    }


@pytest.mark.parametrize("path", EDGE, ids=name_of)
def test_the_box_imports_no_tensorflow_and_no_onnx(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported(path)}
    assert not roots & {"tensorflow", "keras", "tf2onnx", "onnx", "convert", "benchmarks", "deface"}


@pytest.mark.parametrize("path", CONVERT, ids=name_of)
def test_convert_imports_only_what_parity_needs_of_the_box(path: Path) -> None:
    """Parity is shown through the box's own path from picture to boxes, so that path may be imported;
    cameras, blur, store and status may not."""
    used = {".".join(name.split(".")[:2]) for name in imported(path) if name.split(".")[0] == "edge"}
    path_of_a_picture = {"boxes", "config", "detection", "pictures", "reasons"}
    assert used <= {"edge", "edge.contract", "edge.errors", *(f"edge.{name}" for name in path_of_a_picture)}


def test_the_readme_names_every_command_and_every_reason_has_a_text() -> None:
    import typer

    from convert.cli import app as convert_app
    from edge.cli import app
    from edge.commands.endings import EXIT_CONFIG

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for program, commands in (("edge", app), ("edge-convert", convert_app)):
        for name in typer.main.get_command(commands).commands:  # type: ignore[attr-defined]
            assert f"`{program} {name}" in readme
    assert f"{EXIT_CONFIG} bad configuration" in readme
    for reason in Reason:
        assert reason.text


@pytest.mark.parametrize(
    "link", re.findall(r"\]\((?!http)([^)]+)\)", (ROOT / "README.md").read_text("utf-8"))
)
def test_links_of_the_readme_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
