"""Report the state of the service to systemd: the datagrams of sd_notify(3), without its library."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
from collections.abc import Iterator

EXTEND_SECONDS = 60
"""How much more time each message of ``extending`` requests."""
EXTEND_EVERY_SECONDS = 20


def notify(*lines: str) -> bool:
    """Send assignments such as ``READY=1`` to systemd; False when it does not supervise this process.

    Nothing is sent when systemd did not start the process with ``Type=notify``. Raises OSError when systemd
    cannot be reached.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):  # a name in the abstract namespace
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.connect(address)
        sender.sendall("\n".join(line.replace("\n", " ") for line in lines).encode())
    return True


def watchdog_seconds() -> float | None:
    """The time within which systemd expects a sign of life, or None if it does not watch this process."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdigit() and int(text) > 0 else None


@contextlib.contextmanager
def extending(what: str = "", longest_seconds: float = math.inf) -> Iterator[None]:
    """While the block runs, keep extending systemd's start timeout, with ``what`` as the status; empty: that
    stays as it is. After ``longest_seconds`` no more is sent, so that systemd ends a start that hangs."""
    done = threading.Event()
    end = time.monotonic() + longest_seconds
    status = [f"STATUS={what}"] if what else []

    def extend() -> None:
        while not done.is_set() and time.monotonic() < end:
            notify(*status, f"EXTEND_TIMEOUT_USEC={EXTEND_SECONDS * 1_000_000}")
            done.wait(EXTEND_EVERY_SECONDS)

    thread = threading.Thread(target=extend, name="extend", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
