"""``edge install``: put the service's files where systemd looks for them, and take them away again.

Each file except the configuration begins with a line that holds the hash of the rest. This shows whether
somebody changed the file, and a changed file is never overwritten or removed. Only files are written here:
no service is started or enabled and no user created; the commands that do so are printed.
"""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path

import edge
from edge.errors import EdgeError
from edge.store.durable import make_folder
from edge.store.text import write_text

CONFIG = Path("etc/edge/edge.toml")
UNIT = Path("etc/systemd/system/edge.service")
DROP_IN_FOLDER = Path("etc/systemd/system/edge.service.d")
ENABLED = Path("etc/systemd/system/multi-user.target.wants/edge.service")
STATE = Path("var/lib/edge")
PLAIN = {
    "edge.sysusers": Path("etc/sysusers.d/edge.conf"),
    "edge.tmpfiles": Path("etc/tmpfiles.d/edge.conf"),
}
UNIT_PROGRAM = "/opt/edge/bin/edge"
"""The program in the packaged unit; replaced by the one that is installed here."""

HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp", "/dev/shm")
"""Folders that appear empty to the service (ProtectHome=, TemporaryFileSystem=)."""

_STAMP = "# Written by edge install. A changed file is kept. sha256 of the other lines: "


class DropIn(str, Enum):
    """Files that adapt the unit to a kind of box."""

    JETSON = "jetson"
    NUC = "nuc"
    USB_ONLY = "usb-only"
    BACKOFF = "backoff"


def source_folder() -> Path:
    """The folder of the unit and its companions: in the wheel inside ``edge``, in a checkout beside it.

    Raises EdgeError when it is missing.
    """
    package = Path(edge.__file__).resolve().parent
    for folder in (package / "systemd", package.parent / "systemd"):
        if (folder / "edge.service").is_file():
            return folder
    raise EdgeError(f"{package / 'systemd'} is missing; install the wheel again")


def running_program() -> Path:
    """The ``edge`` script that belongs to the running interpreter."""
    return Path(sysconfig.get_path("scripts")) / "edge"


def install(root: Path, drop_ins: Iterable[DropIn], program: Path) -> Iterator[str]:
    """Write unit, drop-ins, user, folders and, if there is none, the configuration below ``root``.

    Yields a line for each file, then the commands to run next. Raises EdgeError without the rights to write
    there or when the service could not start the program, StoreError when a file cannot be written.
    """
    _need_root(root, "install")
    inside = _inside(root, program)
    yield from _check_program(root, program, inside)
    folder = source_folder()
    unit = (folder / "edge.service").read_text(encoding="utf-8").replace(UNIT_PROGRAM, str(inside))
    yield _place(root / UNIT, unit)
    for drop_in in drop_ins:
        name = f"{drop_in.value}.conf"
        yield _place(root / DROP_IN_FOLDER / name, (folder / name).read_text(encoding="utf-8"))
    for name, target in PLAIN.items():
        yield _place(root / target, (folder / name).read_text(encoding="utf-8"))
    yield _place_config(root / CONFIG, (folder / "edge.toml").read_text(encoding="utf-8"))
    yield ""
    yield "Run next:" if _is_system(root) else f"Run next, in the system below {root}:"
    yield "  systemd-sysusers edge.conf && systemd-tmpfiles --create edge.conf"
    yield f"  edit /{CONFIG}, then: {inside} config check /{CONFIG}"
    yield "  systemctl daemon-reload && systemctl enable --now edge"
    yield "  journalctl --unit edge --follow"


def uninstall(root: Path) -> Iterator[str]:
    """Remove what ``install`` wrote below ``root`` and nobody changed; configuration and images stay.

    Yields a line for each file. Raises EdgeError without the rights to write there, or while the service is
    enabled.
    """
    _need_root(root, "uninstall")
    if (root / ENABLED).is_symlink():
        raise EdgeError("edge.service is enabled; first: systemctl disable --now edge")
    targets = [UNIT, *(DROP_IN_FOLDER / f"{drop_in.value}.conf" for drop_in in DropIn), *PLAIN.values()]
    for target in targets:
        for path in (root / target, _beside(root / target)):
            if not os.path.lexists(path):
                continue
            if _is_ours(path):
                path.unlink()
                yield f"removed {path}"
            else:
                yield f"kept    {path}: it was changed; remove it by hand"
    if (root / DROP_IN_FOLDER).is_dir() and not any((root / DROP_IN_FOLDER).iterdir()):
        (root / DROP_IN_FOLDER).rmdir()
    for kept, what in ((CONFIG, "configuration"), (STATE, "images and engines")):
        if (root / kept).exists():
            yield f"kept    {root / kept} ({what})"
    yield ""
    yield "Run next: systemctl daemon-reload. The user edge stays, since it may own files."


def _is_system(root: Path) -> bool:
    return root.resolve() == Path("/")


def _need_root(root: Path, command: str) -> None:
    if _is_system(root) and os.geteuid() != 0:
        raise EdgeError(f"edge {command} changes files below /etc: run it as root, with sudo")


def _inside(root: Path, program: Path) -> Path:
    """The program's path as seen from the system below ``root``."""
    if not _is_system(root) and program.is_relative_to(root.absolute()):
        return Path("/") / program.relative_to(root.absolute())
    return program


def _check_program(root: Path, program: Path, inside: Path) -> Iterator[str]:
    """Warn of what would keep the service from starting ``program``, or raise EdgeError on this system."""
    problems = []
    if not program.is_file():
        problems.append(f"{program} is missing: install the wheel into this virtual environment")
    # The script starts the virtual environment's interpreter, which is a link to a Python elsewhere.
    for path in (inside, Path(sys.base_prefix).resolve()):
        if any(path.is_relative_to(hidden) for hidden in HIDDEN):
            problems.append(
                f"{path} is hidden from the service; use the system's Python and a virtual environment "
                "elsewhere: python3 -m venv /opt/edge"
            )
    for path in (program, *program.parents):
        below = path != root.absolute() and path.is_relative_to(root.absolute())
        if below and path.exists() and not path.stat().st_mode & 0o001:
            problems.append(f"{path} is closed to the user edge: chmod o+rx {path}")
    if problems and _is_system(root):
        raise EdgeError("\n".join(problems))
    for problem in problems:
        yield f"warning: {problem}"


def _place(path: Path, text: str) -> str:
    """Write one file. If somebody changed the existing one, write the new one beside it."""
    content = _stamped(text)
    if not os.path.lexists(path):
        _write(path, content, 0o644)
        return f"wrote   {path}"
    if _is_ours(path):
        if path.read_text(encoding="utf-8") == content:
            return f"as is   {path}"
        _write(path, content, 0o644)
        return f"updated {path}"
    _write(_beside(path), content, 0o644)
    return f"kept    {path}: it was changed; the new one is {_beside(path)}"


def _place_config(path: Path, text: str) -> str:
    if os.path.lexists(path):
        return f"kept    {path}"
    # It will hold camera passwords. systemd-tmpfiles later lets the group edge read it.
    _write(path, text, 0o600)
    return f"wrote   {path} (readable by root alone until systemd-tmpfiles --create)"


def _write(path: Path, text: str, mode: int) -> None:
    missing = [folder for folder in path.parents if not folder.exists()]
    make_folder(path.parent)
    for folder in missing:  # make_folder closes new folders to all but their owner
        folder.chmod(0o755)
    write_text(path, text, replace=True)
    path.chmod(mode)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _stamped(text: str) -> str:
    return f"{_STAMP}{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def _is_ours(path: Path) -> bool:
    """Whether ``install`` wrote this file and nobody has changed it since."""
    if path.is_symlink() or not path.is_file():
        return False
    text = path.read_bytes().decode(errors="replace")
    return text == _stamped(text.partition("\n")[2])
