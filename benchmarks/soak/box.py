"""Faults of the box itself: its disk and its clock. All cameras see them.

* full: the disk has no room left, and then has room again;
* unmounted: the disk is taken away from its folder while it is in use, and mounted again;
* +1h, -1h, +25h, +400d: the wall clock is set, and then set back to the true time.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.soak import clock
from benchmarks.soak.faults import CLOCK, STORE, Fault
from benchmarks.soak.store import Ballast, SmallDisk
from benchmarks.soak.watch import Reader


class Box:
    """``faults`` has the kinds that each target knows here, ``left_out`` says which it does not, and why."""

    def __init__(self, disk: SmallDisk, work: Path) -> None:
        self.disk = disk
        self.reader: Reader | None = None
        """To be set before the first fault: while one is on, it removes nothing, so that all that was there
        before must be there afterwards."""
        self.faults: dict[str, tuple[str, ...]] = {}
        self.left_out: list[str] = []
        self.environment: dict[str, str] = {}
        """What the daemon is to be started with."""
        self._ballast = Ballast(disk.inside)
        self._before: set[Path] = set()
        if disk.kind:
            self.faults[STORE] = ("full", "unmounted")
        else:
            self.left_out.append("store full, store unmounted: no file system could be mounted")
        self._clock: clock.SetClock | None = None
        if why := clock.why_not():
            self.left_out.append(f"clock: {why}")
        else:
            self._clock = clock.SetClock(work / "clock")
            self.environment = self._clock.environment()
            self.faults[CLOCK] = clock.STEPS

    def begin(self, fault: Fault) -> None:
        """Start one of ``faults``."""
        assert self.reader is not None
        self.reader.pause()
        self._before = self._images()
        if fault.kind == "full":
            self._ballast.fill()
        elif fault.kind == "unmounted":
            self.disk.unmount()
        elif self._clock is not None:
            self._clock.step(fault.kind)

    def end(self, fault: Fault) -> None:
        """End it, and note what it left behind that must not be."""
        assert self.reader is not None
        if fault.kind == "full":
            self._ballast.remove()
        elif fault.kind == "unmounted":
            below = [path.name for path in self.disk.folder.rglob("*")]
            if below:
                fault.flaws.append(f"written below the mount point: {sorted(below)[:3]}")
            self.disk.mount()
        elif self._clock is not None:
            self._clock.step("+0s")
        gone = self._before - self._images()
        if gone and fault.kind != "full":  # there the oldest make room, on record
            fault.flaws.append(f"{len(gone)} images are not there any more, {min(gone).name} among them")
        self.reader.resume()

    def _images(self) -> set[Path]:
        """The images that whoever looks at the store's folder can see."""
        return set((self.disk.folder / "images").glob("*/*/*.jpg"))
