"""Protect the whole process: private files, no core dumps, no access for debuggers."""

from __future__ import annotations

import ctypes
import os
import resource

import cv2

_PR_SET_DUMPABLE = 4  # linux/prctl.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
LARGE_BYTES = 1 << 20
"""Buffers of at least this size, such as frames, are returned to the kernel as soon as they are freed."""
TRIM_BYTES = 4 << 20
"""Free memory that each malloc arena may keep at its end, for smaller buffers such as canvases; otherwise the
kernel would have to clear new pages for each frame."""
MALLOC_ARENAS = 4
"""Upper limit on malloc arenas; glibc's default is eight per core (mallopt(3)). Each may keep TRIM_BYTES."""


def harden() -> None:
    """Create files for the owner only, write no core files, and close the memory to other processes.

    Even processes of the same user cannot read the memory. Large buffers are returned to the kernel at once.
    OpenCV's own threads are switched off too, because this program distributes the cores itself. Raises
    OSError when the kernel refuses.
    """
    os.umask(0o077)
    # One byte, not none: the kernel pipes a core to a program such as systemd-coredump even at 0, but not at
    # 1 (core(5), fs/coredump.c). A file is not written either, since no core is as small as one byte.
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    limit = 0 if hard == 0 else 1
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE, 0) failed")
    # By default glibc keeps freed frames on its heap (mallopt(3)), where raw pixels would stay readable and
    # gaps would add up to megabytes over days. Other C libraries lack this function, and do not need it.
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, TRIM_BYTES)
        libc.mallopt(_M_ARENA_MAX, MALLOC_ARENAS)
    cv2.setNumThreads(1)
