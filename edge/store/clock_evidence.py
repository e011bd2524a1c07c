"""What speaks for the box's clock: a time server that keeps it, or a person who confirms it.

The kernel knows whether a time server keeps the clock: adjtimex(2) returns TIME_ERROR while none does,
whichever program talks to the server (chrony, ntpd, systemd-timesyncd), and after somebody has set the clock.
Where the call is forbidden, as by ``ProtectClock=`` of the shipped unit, the file counts that
systemd-timesyncd touches whenever a server has answered (systemd-timesyncd.service(8)). Neither needs D-Bus.

A person confirms with ``edge confirm-clock``, which leaves a note in the folder of the log. The note says how
far the wall clock was ahead of the steady one; if the clock was set in the meantime, it proves nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import logging
import os
import stat
import time
from pathlib import Path

from edge.errors import StoreError
from edge.store import log_format
from edge.store.durable import flush_folder, new_file
from edge.store.trusted_clock import Clock, read_clocks

log = logging.getLogger(__name__)

NOTE = "clock-confirmed.json"
"""In the folder of the log."""
_TIMESYNCD = Path("/run/systemd/timesync/synchronized")
_TOUCHED_SECONDS = 2 * 2048.0 + 60
"""timesyncd asks its server at least every 2048 seconds (PollIntervalMaxSec=); one answer may get lost."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_TIME_ERROR = 5  # linux/timex.h
_TIMEX_BYTES = 1024  # struct timex takes 208 bytes or fewer
_SAME_SECONDS = 2.0
_NOTE_BYTES = 1000


def kept_by_outside() -> bool:
    """Whether a time server keeps this machine's clock now."""
    libc = ctypes.CDLL(None, use_errno=True)
    request = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes = 0: only asks
    answer = libc.adjtimex(request)
    if answer >= 0:
        return bool(answer != _TIME_ERROR)
    if ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        return False
    try:
        touched = _TIMESYNCD.stat().st_mtime
    except OSError:  # another program keeps the clock, or none
        return False
    return 0 <= time.time() - touched <= _TOUCHED_SECONDS


class Evidence:
    """Gathers what speaks for the clock of one store."""

    def __init__(self, clock: Clock, store: Path) -> None:
        self._clock = clock
        self._path = store / log_format.FOLDER / NOTE
        self._problem = ""

    def gather(self) -> None:
        """To be called every minute. A note that cannot be read or removed is logged and confirms nothing."""
        self._clock.note_outside(kept_by_outside())
        try:
            note = _read(self._path)
            if note is None:
                self._problem = ""
                return
            self._path.unlink()  # before it counts, so that it counts once
            flush_folder(self._path.parent)
            speaks = _speaks_for_now(note)
        except (OSError, StoreError) as error:
            text = f"{self._path}: {getattr(error, 'strerror', None) or error}; remove it, and confirm again"
            if text != self._problem:
                log.warning("store: the clock cannot be confirmed: %s", text)
            self._problem = text
            return
        if speaks:
            self._clock.confirm()
            log.info("store: a person has confirmed the clock")
        else:
            log.warning(
                "store: the clock was set, or the machine started, after it was confirmed: confirm again"
            )


def write_note(store: Path) -> None:
    """Say that the clock is right now. Raises StoreError when there is no store in this folder, or the note
    cannot be written. The file belongs to the owner of the folder, so root may write it for the service."""
    folder = store / log_format.FOLDER
    try:
        owner = folder.stat()
    except OSError as error:
        text = f"{folder}: {error.strerror or error}; is store.folder right, and has the box run yet?"
        raise StoreError(text) from error
    wall, steady = read_clocks()
    note = {"ahead": wall - steady, "boot": _boot()}
    with new_file(folder / NOTE, replace=True) as file:
        file.write(json.dumps(note).encode("ascii"))
        with contextlib.suppress(PermissionError):  # only root can, and only root need
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)


def _read(path: Path) -> bytes | None:
    """The content of a note; None if there is none. Raises OSError."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(handle, "rb") as file:
        regular = stat.S_ISREG(os.fstat(handle).st_mode)
        return file.read(_NOTE_BYTES) if regular else b""


def _speaks_for_now(data: bytes) -> bool:
    """Whether a note was written since the machine started, and the clock has not been set since then."""
    try:
        note = json.loads(data)
        ahead, boot = float(note["ahead"]), note["boot"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    wall, steady = read_clocks()
    return bool(boot == _boot() and abs(wall - steady - ahead) <= _SAME_SECONDS)


def _boot() -> str:
    """What tells this start of the machine from others: the steady clock begins anew with it."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError as error:
        raise StoreError(f"{_BOOT}: {error.strerror or error}") from error
