"""A folder as a zip, as training platforms hand out: ``saved_model.zip`` with ``saved_model/`` inside."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from pathlib import Path

_DATE = (1980, 1, 1, 0, 0, 0)


def write_zip(folder: Path, path: Path) -> Path:
    """Write all files below ``folder`` into the zip ``path``, below a folder of the same name.

    The same files give the same bytes. The zip appears whole or not at all. Returns ``path``.
    """
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for source in sorted(p for p in folder.rglob("*") if p.is_file()):
                    entry = zipfile.ZipInfo(f"{folder.name}/{source.relative_to(folder).as_posix()}", _DATE)
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    entry.external_attr = 0o644 << 16
                    with source.open("rb") as content, archive.open(entry, "w") as target:
                        shutil.copyfileobj(content, target)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(draft, 0o644)
        os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    return path
