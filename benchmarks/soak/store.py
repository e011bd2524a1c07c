"""A small file system for the soak's store, so that the disk can really be full.

Mounting needs a mount namespace: ``enter_namespace`` starts the program again in one (``unshare`` of
util-linux), so that the mount is invisible outside and gone when the process is killed.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

SIZE_MB = 192
_INSIDE = "SOAK_INSIDE_NAMESPACE"
_BLOCKS = (1 << 20, 1 << 16, 1 << 12, 1)


def enter_namespace() -> None:
    """Start ``python -m benchmarks`` again with the same arguments in a mount namespace.

    Returns where the process is in one already, and where none can be had.
    """
    unshare = shutil.which("unshare")
    if os.environ.get(_INSIDE) or unshare is None:
        return
    # Without root, be root in a user namespace: it may mount a tmpfs.
    options = ["--mount"] if os.geteuid() == 0 else ["--mount", "--map-root-user"]
    if subprocess.run([unshare, *options, "true"], capture_output=True, check=False).returncode == 0:
        os.environ[_INSIDE] = "1"
        sys.stdout.flush()
        os.execv(unshare, [unshare, *options, sys.executable, "-m", "benchmarks", *sys.argv[1:]])


class SmallDisk:
    """A file system of ``SIZE_MB`` that can be mounted on ``folder`` and unmounted while it is in use.

    ``kind`` says what it is, and is empty where none can be mounted; then the folder is a plain one.
    ``inside`` shows what is on it even while it is not mounted there: it is mounted once, and ``folder`` only
    shows it at another place (bind mount). Nobody who looks at ``folder`` can tell.
    """

    def __init__(self, folder: Path, work: Path) -> None:
        """``work`` gets the file behind it."""
        self.folder = self.inside = folder
        self.kind = ""
        disk = work / "disk"
        disk.mkdir()
        if os.environ.get(_INSIDE):
            self.kind = _make(disk, work)
        if self.kind and not self._show(disk):
            _run(["umount", str(disk)])
            self.kind = ""
        if self.kind:
            self.inside = disk

    def mount(self) -> None:
        """Show it at its folder again. Raises RuntimeError."""
        if not self._show(self.inside):
            raise RuntimeError(f"{self.folder}: cannot be mounted again")

    def unmount(self) -> None:
        """Take it away from its folder at once, though it is in use. Raises RuntimeError."""
        if not _run(["umount", "--lazy", str(self.folder)]):
            raise RuntimeError(f"{self.folder}: cannot be unmounted")

    def close(self) -> None:
        if self.kind:
            _run(["umount", "--lazy", str(self.folder)])
            _run(["umount", "--lazy", str(self.inside)])

    def _show(self, disk: Path) -> bool:
        return _run(["mount", "--bind", str(disk), str(self.folder)])


def _make(disk: Path, work: Path) -> str:
    """Mount a new file system; return what it is, or an empty string where that is not possible."""
    image = work / "store.ext4"
    with image.open("wb") as file:
        file.truncate(SIZE_MB << 20)
    loop = [["mkfs.ext4", "-q", "-m", "0", str(image)], ["mount", "-o", "loop", str(image), str(disk)]]
    if all(_run(command) for command in loop):
        return f"ext4 on a loop device, {SIZE_MB} MB"
    image.unlink()
    if _run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=700", "soak", str(disk)]):
        return f"tmpfs, {SIZE_MB} MB"
    return ""


def _run(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:  # the tool is not installed
        return False


class Ballast:
    """A file that takes all the free space of a file system."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ballast"

    def fill(self) -> int:
        """Write until nothing more fits; return the size in bytes."""
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        size = 0
        try:
            for block in _BLOCKS:
                try:
                    while True:
                        size += os.write(handle, bytes(block))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
            os.fsync(handle)
        finally:
            os.close(handle)
        return size

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
