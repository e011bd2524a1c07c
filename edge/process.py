"""What the whole process owes to the promise: private files, no core dump, no way in for a debugger."""

from __future__ import annotations

import ctypes
import os
import resource

import cv2

_PR_SET_DUMPABLE = 4  # linux/prctl.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
LARGE_BYTES = 1 << 20
"""Buffers from this size on, such as frames, go back to the kernel as soon as they are freed."""
KEPT_BYTES = 4 << 20
"""Of smaller ones, such as canvases, so much may stay at the end of each heap: else the kernel would clear
their pages anew for each frame."""
HEAPS = 4
"""So many heaps at most. Else there are eight for each core (mallopt(3)), and what each may keep adds up."""


def harden() -> None:
    """Files for the owner alone, no core files, memory closed to other processes of the same user.

    Large buffers are given back at once. OpenCV's own threads are switched off too: this program shares
    the cores out itself. Raises OSError when the kernel refuses.
    """
    os.umask(0o077)
    # One byte, not none: the kernel hands a core to a program such as systemd-coredump even at 0, but not
    # at 1 (core(5), fs/coredump.c); a file of one byte is below the smallest core and is not written.
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    limit = 0 if hard == 0 else 1
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE, 0) failed")
    # By itself glibc keeps freed frames on its heap, where raw pixels would stay readable and gaps add up to
    # megabytes over days (mallopt(3)). Other C libraries have no such function, and no such habit.
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        libc.mallopt(_M_ARENA_MAX, HEAPS)
    cv2.setNumThreads(1)
