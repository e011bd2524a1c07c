"""``edge decrypt`` and ``edge keygen``: for the holder of the private key, not on the box."""

from __future__ import annotations

import json
import os
import shlex
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from edge.commands.terminal import print_plain
from edge.errors import ConfigError, StoreError
from edge.logs import printable
from edge.store.durable import make_folder, write_bytes
from edge.store.encryption import SUFFIX, decrypt, identities_of, new_identity
from edge.store.text import write_text

_LARGEST_BYTES = 2**30
"""Largest encrypted file: it is decrypted in memory, since nothing is written before all of it is proven."""
_LARGEST_IDENTITY_BYTES = 2**16


@dataclass
class _Found:
    """Files with their places below the output folder, refused names with the reason, and the number of
    other files."""

    files: list[tuple[Path, Path]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    ignored: int = 0


def decrypt_files(paths: Sequence[Path], out: Path, identity: Path, console: Console) -> bool:
    """Decrypt files and folders; return whether each file is below ``out`` now.

    A file of a folder keeps its path relative to that folder, without ``.age``. Raises ConfigError when the
    identity file cannot be used.
    """
    begin = time.monotonic()
    errors = Console(stderr=True)
    identities = read_identities(identity, errors)
    found = _find(paths, out)
    written = there = 0
    hidden = not errors.is_terminal
    for source, relative in track(found.files, "decrypting", console=errors, transient=True, disable=hidden):
        try:
            if _decrypt_file(source, out / relative, identities):
                written += 1
            else:
                there += 1
        except StoreError as error:
            found.refused.append((str(source), str(error)))
        except OSError as error:
            found.refused.append((str(source), error.strerror or str(error)))
    for name, reason in sorted(found.refused):
        # JSON quotes make a newline in a file name visible
        print_plain(console, f"refused {json.dumps(name)}: {printable(reason)}", style="red")
    parts = [f"{written} decrypted to {printable(str(out))}"]
    if there:
        parts.append(f"{there} there already")
    if found.ignored:
        parts.append(f"{found.ignored} other files left alone")
    parts.append(f"{len(found.refused)} refused")
    print_plain(console, f"{', '.join(parts)}; {time.monotonic() - begin:.1f} s")
    return not found.refused


def make_key(out: Path, console: Console) -> None:
    """Write a new private key to ``out`` (mode 0600) and print the public one.

    Raises StoreError when the file exists already, ConfigError without the extra ``encrypt``.
    """
    text, public = new_identity()
    write_text(out, text)
    shown = printable(shlex.quote(str(out)))
    print_plain(console, f"public key: {public}")
    print_plain(console, f"  for the box, in edge.toml:  [store]  recipient = {json.dumps(public)}")
    print_plain(console, f"private key: {shown}")
    print_plain(console, f"  to read the images:  edge decrypt IMAGES --identity {shown} --out DIR")
    print_plain(
        console, "  It must not be on the box. Keep a second copy offline: without it the images are lost."
    )


def read_identities(path: Path, errors: Console) -> list[Any]:
    """The private keys in a file as age-keygen writes it; warns on ``errors`` when other users can read it.

    Raises ConfigError.
    """
    shown = printable(str(path))
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            data = file.read(_LARGEST_IDENTITY_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"--identity {shown}: {error.strerror or error}") from error
    try:
        text = data.decode() if len(data) <= _LARGEST_IDENTITY_BYTES else None
    except UnicodeDecodeError:
        text = None
    if text is None:
        raise ConfigError(f"--identity {shown}: not a file of private keys")
    identities = identities_of(text, f"--identity {shown}")
    if stat.S_ISREG(state.st_mode) and state.st_mode & 0o077:
        print_plain(
            errors,
            f"edge: other users can read {shown} (mode {stat.S_IMODE(state.st_mode):04o}): chmod 600",
            style="yellow",
        )
    return identities


def _find(paths: Sequence[Path], out: Path) -> _Found:
    found = _Found()
    for path in paths:
        if os.path.isdir(path):  # unlike Path.is_dir, False where access is denied
            _walk(path, out.resolve(), found)
        elif not _is_encrypted(path.name):
            missing = not os.path.lexists(path)
            found.refused.append((str(path), "no such file" if missing else f"its name has no {SUFFIX}"))
        else:
            found.files.append((path, Path(path.name.removesuffix(SUFFIX))))
    return found


def _walk(folder: Path, excluded: Path, found: _Found) -> None:
    def refuse(error: OSError) -> None:
        found.refused.append((str(error.filename), f"cannot be read: {error.strerror}"))

    for root, folders, names in os.walk(folder, onerror=refuse):
        here = Path(root)
        folders[:] = sorted(name for name in folders if (here / name).resolve() != excluded)
        for name in sorted(names):
            if _is_encrypted(name):
                file = here / name
                found.files.append((file, file.relative_to(folder).with_name(name.removesuffix(SUFFIX))))
            else:
                found.ignored += 1


def _is_encrypted(name: str) -> bool:
    # What is left must be a name: "...age" would be the folder above.
    return name.endswith(SUFFIX) and name.removesuffix(SUFFIX) not in ("", ".", "..")


def _decrypt_file(source: Path, target: Path, identities: Sequence[Any]) -> bool:
    """Return whether the file was written; False if it is there already, with the same content.

    Raises StoreError or OSError, and then has written nothing.
    """
    data = decrypt(_read(source), identities)
    if os.path.lexists(target):
        if target.is_file() and target.stat().st_size == len(data) and target.read_bytes() == data:
            return False
        raise StoreError(f"{target} is there and different; choose another --out")
    make_folder(target.parent)
    write_bytes(target, data)
    return True


def _read(path: Path) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not block
    with open(handle, "rb") as file:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            raise StoreError("not a regular file")
        if state.st_size > _LARGEST_BYTES:
            raise StoreError(f"larger than {_LARGEST_BYTES >> 20} MiB; use age -d")
        return file.read(_LARGEST_BYTES)
