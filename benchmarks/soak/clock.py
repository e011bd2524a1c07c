"""The wall clock of the daemon, which the soak sets while it runs, with libfaketime.

Only the daemon sees it: the cameras, the file system and the soak keep the true time.
"""

from __future__ import annotations

from pathlib import Path

from edge.store.clock_evidence import kept_by_outside

STEPS = ("+1h", "-1h", "+25h", "+400d")
"""From the true time, as libfaketime takes them."""
_LIBRARIES = "*/faketime/libfaketimeMT.so.1"
_SEEN_AFTER_SECONDS = 1


def why_not() -> str:
    """Why the daemon's clock cannot be set here, with the way out; empty when it can."""
    if not list(Path("/usr/lib").glob(_LIBRARIES)):
        return "libfaketime is missing; apt install faketime"
    if kept_by_outside():
        return "a time server keeps this machine's clock, so the daemon would believe a step"
    return ""


class SetClock:
    """A clock that is right until ``step``."""

    def __init__(self, file: Path) -> None:
        """``file`` tells the daemon how far its clock is off."""
        self._file = file
        self.step("+0s")

    def step(self, by: str) -> None:
        """Set it this far from the true time; the daemon sees it within a second."""
        whole = self._file.with_suffix(".new")
        whole.write_text(f"{by}\n", encoding="ascii")
        whole.rename(self._file)

    def environment(self) -> dict[str, str]:
        """What the daemon is to be started with."""
        library = sorted(Path("/usr/lib").glob(_LIBRARIES))[0]
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": str(_SEEN_AFTER_SECONDS),
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # the name in later versions of libfaketime
            "NO_FAKE_STAT": "1",
        }
