"""What ``edge doctor`` says of the store's folder and of the disk under it."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from edge.commands.doctor_check import Check
from edge.config import StoreConfig
from edge.errors import EdgeError
from edge.store.durable import make_folder, write_bytes
from edge.store.place import check_mounted

LOW_SPACE_BYTES = 2 * 2**30
OTHERS = 0o077


def check_store(config: StoreConfig) -> Iterator[Check]:
    """Write and remove a file in the way in which images are written, and see how much room there is."""
    folder = config.folder
    # A name of its own each time: an existing one would be refused.
    path = folder / f".doctor-{secrets.token_hex(4)}"
    try:
        check_mounted(config)
        make_folder(folder)
        write_bytes(path, b"edge doctor")
        mode = path.stat().st_mode
        path.unlink()
        free = shutil.disk_usage(folder).free
    except (EdgeError, OSError) as error:
        yield Check("store", "fail", str(error), "correct store.folder, or its permissions")
        return
    kind = _filesystem(folder)
    if mode & OTHERS:
        yield Check(
            "store",
            "warn",
            f"{folder} is writable ({kind}), and everybody on this machine may read its files",
            "exFAT and FAT know no permissions: mount with uid=edge,gid=edge,umask=077",
        )
    else:
        yield Check("store", "ok", f"{folder} is writable ({kind})")
    text = f"{free / 2**30:.1f} GiB free"
    if free < LOW_SPACE_BYTES:
        yield Check("space", "warn", text, "make room, or choose another store.folder")
    else:
        yield Check("space", "ok", text)


def _filesystem(folder: Path) -> str:
    """Type of the filesystem that holds a folder, or "unknown filesystem"."""
    best, kind = "", "unknown filesystem"
    place = str(folder.resolve())
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return kind
    for line in lines:
        _, mount, this_kind = line.split()[:3]
        inside = place == mount or place.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, this_kind
    return kind
