"""Real filesystems for tests: each lies in a file and is mounted through a loop device."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kind:
    """How a filesystem is made and mounted; a device and a folder come last."""

    megabytes: int
    make: tuple[str, ...]
    mount: tuple[str, ...]
    tools: tuple[str, ...] = ()


EXT4 = Kind(16, ("mkfs.ext4", "-q", "-F", "-m", "0"), ("mount",))
FEW_INODES = Kind(16, (*EXT4.make, "-N", "32"), ("mount",))
EXFAT = Kind(16, ("mkfs.exfat",), ("mount.exfat-fuse",))
BTRFS = Kind(128, ("mkfs.btrfs", "-q"), ("mount",), ("btrfs",))


def why_not(kind: Kind) -> str:
    """Why no filesystem of this kind can be mounted here, or an empty text."""
    if os.geteuid() != 0:
        return "only root mounts filesystems"
    tools = (kind.make[0], kind.mount[0], *kind.tools, "losetup", "mount", "umount")
    missing = [name for name in tools if not shutil.which(name)]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if "fuse" in kind.mount[0] and not os.path.exists("/dev/fuse"):
        return "no /dev/fuse"
    found = subprocess.run(["losetup", "--find"], capture_output=True, text=True)
    return "" if found.returncode == 0 else f"no loop device: {found.stderr.strip()}"


def call(*command: str | Path) -> None:
    """Run a command; an error carries what it said."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}{done.stdout}"


class Disk:
    """A filesystem, and the folder at which it is mounted now and then."""

    def __init__(self, folder: Path, kind: Kind, image: Path) -> None:
        self.folder = folder
        self._kind = kind
        self._image = image
        self.device = _attach(image)

    @property
    def mounted(self) -> bool:
        return os.path.ismount(self.folder)

    def mount(self, options: Sequence[str] = ()) -> None:
        call(*self._kind.mount, *options, self.device, self.folder)

    def change_device(self) -> None:
        """Give an unmounted disk another device number, as when it is put back into another socket."""
        before, self.device = self.device, _attach(self._image)
        _free(before)

    def unmount(self, *, lazily: bool = False) -> None:
        """``lazily``: at once for everybody who looks, as when it is pulled out, though it is in use."""
        call("umount", *(["--lazy"] if lazily else []), self.folder)


@contextmanager
def disk(folder: Path, kind: Kind, options: Sequence[str] = ()) -> Iterator[Disk]:
    """A new filesystem, mounted at a new folder; at the end it goes, if the test has closed its files."""
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(kind.megabytes << 20)
    folder.mkdir()
    call(*kind.make, image)
    made = Disk(folder, kind, image)
    try:
        made.mount(options)
        yield made
    finally:
        while made.mounted:
            made.unmount(lazily=True)
        _free(made.device)


def _attach(image: Path) -> str:
    done = subprocess.run(["losetup", "--find", "--show", str(image)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _free(device: str) -> None:
    """Give a loop device back. A filesystem by FUSE lets go of it a moment after its unmount."""
    deadline = time.monotonic() + 30
    while subprocess.run(["losetup", "--detach", device], capture_output=True).returncode:
        assert time.monotonic() < deadline, f"{device} stays in use"
        time.sleep(0.02)


@contextmanager
def bound(folder: Path, at: Path, options: str = "") -> Iterator[Path]:
    """A folder that is seen at another place as well (bind mount)."""
    at.mkdir(exist_ok=True)
    call("mount", "--bind", folder, at)
    try:
        if options:
            call("mount", "-o", f"remount,bind,{options}", at)
        yield at
    finally:
        call("umount", "--lazy", at)
