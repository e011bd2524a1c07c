"""Where each part comes from and under which terms it may be used, as far as anything says so."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from convert.training.datasets.opening import MERGED
from convert.training.merge.parts import Part
from convert.training.merge.request import MergeRequest

MAX_BYTES = 2**20
"""Longer files than this are no licence and no introduction."""
_TERMS = re.compile(r"(un)?licen[cs]e|copying|copyright|notice", re.IGNORECASE)
_ABOUT = re.compile(r"readme|attribution|citation", re.IGNORECASE)


@dataclass(frozen=True)
class Provenance:
    """``licence`` and ``source`` are None where nothing says them. ``files``: copies in the merged set."""

    licence: str | None
    source: str | None
    files: tuple[str, ...]


def keep(part: Part, request: MergeRequest, draft: Path) -> Provenance:
    """Copy licence and introduction of a part to ``parts/NAME/``, and tell its licence and source.

    What was said on the command line stands; then comes what the files of labels say, then the files that lie
    beside them.
    """
    licence = dict(request.licences).get(part.name) or "; ".join(part.labels.licences) or None
    source = dict(request.sources).get(part.name) or "; ".join(part.labels.sources) or None
    licences, sources = _of_merged(part.labels.folder)
    licence, source = licence or "; ".join(licences) or None, source or "; ".join(sources) or None
    files = []
    for file in sorted(part.labels.folder.iterdir()):
        terms = _TERMS.match(file.name) is not None
        if not (terms or _ABOUT.match(file.name)) or not file.is_file() or file.stat().st_size > MAX_BYTES:
            continue
        target = draft / "parts" / part.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        files.append(target.relative_to(draft).as_posix())
        if terms and licence is None:
            licence = f"{_first_line(file)} ({files[-1]})"
    if licence is None:
        part.warnings.append(f"no licence found; --licence {part.name}=TEXT records it")
    return Provenance(licence, source, tuple(files))


def _of_merged(folder: Path) -> tuple[list[str], list[str]]:
    """What an earlier merge recorded of its own parts."""
    try:
        parts = json.loads((folder / MERGED).read_bytes())["parts"]
        found = [
            [f"{part['name']}: {part[key]}" for part in parts if part[key]] for key in ("licence", "source")
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return [], []
    return found[0], found[1]


def _first_line(file: Path) -> str:
    lines = (line.strip() for line in file.read_text(encoding="utf-8", errors="replace").splitlines())
    return next((line for line in lines if line), file.name)
