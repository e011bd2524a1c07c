"""Single system calls of the real daemon made to fail, or to kill it, by strace.

The daemon runs on a camera file with a known pattern in the face region. After the fault the store is
checked, the daemon is started again on the same store, and the store is checked once more.
"""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from queue import SimpleQueue
from shutil import copytree

from edge.store import log_format, positions
from edge.store.durable import is_temporary
from tests.privacy.hunt import Hunter
from tests.privacy.strace import Trace
from tests.privacy.warm import PRINTED, Warm
from tests.privacy.world import (
    FORMATS,
    Tables,
    environment,
    files_below,
    images_below,
    make_scene,
    packets,
    write_camera,
    write_settings,
)

FRAMES, BRIEF = 4, 2
"""Frames of the camera under attack, and of the one after the restart."""
WRITING = (
    "write",
    "fsync",
    "fdatasync",
    "linkat",
    "mkdir",
    "unlink",
    "unlinkat",
    "rmdir",
    "fallocate",
)
BY_PATH = ("openat", "flock", "statfs", "getdents64", "newfstatat")
"""Calls that are traced only on files and folders of the store that are known beforehand: strace counts them
in each thread, and the program makes thousands of them elsewhere."""
ENOSPC, EIO, KILL = "error=ENOSPC", "error=EIO", "signal=SIGKILL"
NO_UNNAMED_FILES = """
import errno, os
real = os.open
def without(path, flags, *rest, **options):
    if flags & os.O_TMPFILE == os.O_TMPFILE:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), path)
    return real(path, flags, *rest, **options)
os.open = without
"""
"""A filesystem without O_TMPFILE, put into the daemon before it begins."""
PATIENCE = """
import os, signal
from edge.daemon import writer
from edge.store.images import ImageStore
writer.RETRY_SECONDS = 0.05
real_try, tries = ImageStore.try_out, []
def counted(store):
    tries.append(store)
    if len(tries) == 20:
        os.kill(os.getpid(), signal.SIGTERM)
    real_try(store)
ImageStore.try_out = counted
"""
"""A file waits for a store that works again. Where it never does, somebody has to end the daemon."""


@dataclass(frozen=True)
class Kind:
    """A way to run: ``old``: images of an earlier run are there, and too old; ``named``: the filesystem knows
    no files without names. ``calls`` are those that it makes differently; empty: the usual way."""

    name: str
    calls: tuple[str, ...] = ()
    changes: Tables = field(default_factory=dict, hash=False, compare=False)
    old: bool = False
    named: bool = False


PLAIN = Kind("plain")
ROTATING = Kind("rotating", ("fsync", "fallocate"), {"audit": {"rotate_megabytes": 0.001}})
NAMED = Kind("named", ("linkat", "unlinkat", "openat"), named=True)
PURGING = Kind(
    "purging",
    ("unlink", "fdatasync", "getdents64", "newfstatat"),
    # The position of the earlier run says that the camera's file is done.
    {"store": {"max_age_days": 1e-5}, "cameras.front": {"resume": False}},
    old=True,
)


@dataclass(frozen=True)
class Fault:
    """``effect`` and ``when`` are strace's: ``error=EIO``, ``3``."""

    kind: Kind
    call: str
    effect: str
    when: str

    def __str__(self) -> str:
        return f"{self.kind.name} {self.call}:{self.effect}:when={self.when}"


@dataclass(frozen=True)
class Outcome:
    """What came of a fault: all that is wrong, whether it was injected at all, how many images were
    acknowledged and how many of these lost, and how many raw pieces were found."""

    fault: Fault
    problems: list[str]
    fired: bool
    acknowledged: int
    lost: int
    leaked: int


class Range:
    """Where the attacks take place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scene = make_scene(folder, FRAMES)
        self.brief = write_camera(folder / "brief.avi", BRIEF)
        self.hunter = Hunter(self.scene.frames, packets(self.scene.camera))
        self.scene.undisturbed("jpeg")
        self.old = folder / "undisturbed-jpeg" / "store"

    def trace(
        self, kind: Kind, folder: Path, warm: Warm, calls: Sequence[str], fault: Fault | None = None
    ) -> Trace:
        """Run the daemon once, in a new folder, and trace some calls."""
        folder.mkdir()
        store = folder / "store"
        if kind.old:
            copytree(self.old, store)
        else:
            store.mkdir()
        config = write_settings(folder / "edge.toml", self.scene.tables(store, kind.changes))
        return warm.traced(
            ["run", "--config", str(config)],
            trace=",".join({*calls, "linkat", "fsync", "unlink", "unlinkat", "mkdir"}),
            inject=[f"{fault.call}:{fault.effect}:when={fault.when}"] if fault else [],
            # strace looks only at calls on these paths
            more=[word for path in _named_places(store) for word in ("-P", str(path))]
            if set(calls) & set(BY_PATH)
            else [],
            cwd=folder,
            env=environment(folder / "own"),
            before=PATIENCE + (NO_UNNAMED_FILES if kind.named else ""),
        )

    def strike(self, fault: Fault, folder: Path, warm: Warm) -> Outcome:
        """Inject one fault into one run, and look what came of it."""
        trace = self.trace(fault.kind, folder, warm, [fault.call], fault)
        killed = "SIGKILL" in fault.effect
        fired = trace.returncode == -signal.SIGKILL if killed else any(c.injected for c in trace.calls)
        store = folder / "store"
        promise = promised(trace)
        # Where only some paths are traced, taking an image back is not seen; that must be on record, then.
        back = taken_back(store) if fault.call in BY_PATH else set()
        known = [path for path in promise.acknowledged if path not in back]
        problems = [f"the folder of {path.name} may go with the power" for path in promise.loose]
        problems += self._ending(fault, trace, known) + self._store(store)
        finds = self.hunter.hunt(files_below(folder), log=trace.stderr)
        before = set(images_below(store))
        problems += self._again(store, folder, warm)
        lost = [path for path in known if not path.exists() or self.scene.flaw(path)]
        gone = {path for path in before if not path.exists()}
        problems += [f"the restart removed {path.name}" for path in sorted(gone)]
        problems += [f"acknowledged and lost: {path.name}" for path in lost] + finds
        return Outcome(fault, problems, fired, len(known), len(lost), len(finds))

    def _ending(self, fault: Fault, trace: Trace, known: list[Path]) -> list[str]:
        """What is wrong with how the daemon ended."""
        if "SIGKILL" in fault.effect:
            return []
        problems = []
        if trace.returncode not in (0, 1):
            problems.append(f"the daemon ended with {trace.returncode}: {trace.stderr[-500:]}")
        # A log line is written by the same call, so strace may have hit that one as well.
        log_hit = any(call.injected and call.descriptor().endswith(PRINTED) for call in trace.calls)
        if log_hit:
            return problems
        if trace.returncode == 1 and not re.search(r"ERROR store: |^edge: ", trace.stderr, re.MULTILINE):
            problems.append(f"exit code 1 and no reason: {trace.stderr[-500:]}")
        if "Traceback" in trace.stderr:
            problems.append(trace.stderr[-1500:])
        report = re.search(r"captured (\d+), written (\d+), dropped (\{.*\}|none)", trace.stderr)
        if report is None:
            started = "camera front: " in trace.stderr
            return [*problems, f"no report at the end: {trace.stderr[-500:]}"] if started else problems
        captured, written = int(report[1]), int(report[2])
        lost = {} if report[3] == "none" else json.loads(report[3].replace("'", '"'))
        if captured != written + sum(lost.values()) or set(lost) - {"retried"} or written > FRAMES:
            problems.append(f"the accounts are wrong: {report[0]}")
        # Nothing of a file is lost to a fault that passes; where it never does, the next run goes on.
        ended = "stopping; waiting frames are stored first" not in trace.stderr
        if trace.returncode == 0 and ended and written != FRAMES:
            problems.append(f"the file is not stored whole: {report[0]}")
        if written != len(known):
            problems.append(f"{written} counted as written, {len(known)} flushed with their names")
        return problems

    def _store(self, store: Path) -> list[str]:
        """What is wrong in the store itself."""
        problems = [flaw for path in images_below(store) if (flaw := self.scene.flaw(path))]
        strange = [
            path
            for path in files_below(store)
            if path.suffix not in FORMATS
            and not is_temporary(path.name)
            and not (path.parent.name == log_format.FOLDER and path.suffix == ".jsonl")
            and path != positions.path_of(store, "front")
        ]
        return problems + [f"unknown file {path.name}" for path in strange]

    def _again(self, store: Path, folder: Path, warm: Warm) -> list[str]:
        """Start the daemon again on the same store; what is wrong after that."""
        before = len(images_below(store))
        changes: Tables = {"cameras.front": {"source": str(self.brief)}, "status": {"enabled": False}}
        config = write_settings(folder / "again.toml", self.scene.tables(store, changes))
        done = warm.edge(["run", "--config", str(config)], environment(folder / "own"), folder)
        if done.returncode != 0:
            return [f"the restart ended with {done.returncode}: {done.stderr[-800:]}"]
        problems = self._store(store)
        if len(images_below(store)) != before + BRIEF:
            problems.append(f"{before} images before the restart, {len(images_below(store))} after")
        problems += [f"left over: {path.name}" for path in files_below(store) if is_temporary(path.name)]
        done = warm.edge(["audit", str(store), "--sample", "0"], environment(folder / "own"), folder)
        if done.returncode != 0:
            problems.append(f"the audit ended with {done.returncode}: {done.stdout}{done.stderr}")
        return problems


def _named_places(store: Path) -> list[Path]:
    audit, front = store / log_format.FOLDER, store / "front"
    days = [datetime.now(timezone.utc) + timedelta(days=day) for day in (0, 1)]
    logs = [audit / log_format.file_name(number) for number in range(1, 4 * FRAMES)]
    folders = [store, audit, front, *(front / f"{day:%Y-%m-%d}" for day in days)]
    return [*folders, *logs, *images_below(store)]


@dataclass(frozen=True)
class Promise:
    """What a trace says about images: those whose names were flushed with their folder and not removed
    afterwards, and which of these are in a folder whose own name was not flushed."""

    acknowledged: list[Path]
    loose: list[Path]


def promised(trace: Trace) -> Promise:
    """Read what the daemon may call written, out of its system calls."""
    waiting: dict[Path, list[Path]] = {}
    flushed: list[Path] = []
    new_folders: set[Path] = set()
    loose: list[Path] = []
    for call in trace.calls:
        if call.result != 0:
            continue
        if call.name == "mkdir":
            new_folders.add(Path(call.paths[0]))
        elif call.name == "linkat":
            path = Path(call.paths[-1])
            waiting.setdefault(path.parent, []).append(path)
        elif call.name == "fsync":
            folder = Path(call.descriptor())
            new_folders = {new for new in new_folders if new.parent != folder}
            done = [path for path in waiting.pop(folder, []) if path.suffix in FORMATS]
            flushed += done
            loose += [path for path in done if new_folders & set(path.parents)]
        elif call.name in ("unlink", "unlinkat"):
            gone = Path(call.paths[0])
            flushed = [path for path in flushed if path != gone]
            waiting = {folder: [p for p in paths if p != gone] for folder, paths in waiting.items()}
    return Promise(flushed, [path for path in loose if path in flushed])


def taken_back(store: Path) -> set[Path]:
    """Images of which a running daemon put on record that they were not stored."""
    lines = [line for path in log_format.log_files(store) for line in path.read_bytes().splitlines()]
    records = [json.loads(line) for line in lines]
    return {store / name for r in records if r["event"] == "not_stored" for name in r["images"]}


def strike_all(attacks: Range, faults: Sequence[Fault], folder: Path) -> list[Outcome]:
    """Inject each fault into a run of its own, two runs at a time."""
    with Warm() as first, Warm() as second, ThreadPoolExecutor(2) as pool:
        idle: SimpleQueue[Warm] = SimpleQueue()
        idle.put(first)
        idle.put(second)

        def strike(number: int, fault: Fault) -> Outcome:
            warm = idle.get()
            try:
                return attacks.strike(fault, folder / f"{number}", warm)
            finally:
                idle.put(warm)

        return list(pool.map(strike, range(len(faults)), faults))


def planned(attacks: Range, kind: Kind) -> Iterator[Fault]:
    """Each call of the store in turn, with each fault; the calls are counted in a run without any."""
    for number, calls in enumerate((WRITING, BY_PATH)):
        with Warm() as warm:
            trace = attacks.trace(kind, attacks.folder / f"count {kind.name} {number}", warm, calls)
        threads = Counter((call.name, call.pid) for call in trace.calls)
        for name in [name for name in calls if name in (kind.calls or calls)]:
            count = max((times for (call, _), times in threads.items() if call == name), default=0)
            changes = name in WRITING or name == "openat"
            errors = (ENOSPC, EIO) if changes and not kind.calls else (EIO,)
            for index in range(1, count + 1):
                yield from (Fault(kind, name, error, str(index)) for error in errors)
                if changes:
                    yield Fault(kind, name, KILL, str(index))
            if count and not kind.calls:
                yield from (Fault(kind, name, f"error={error}", "1") for error in ("EROFS", "EDQUOT"))
                spans = ("1+", "3+", "2..4") if count > 2 else ("1+",)
                yield from (Fault(kind, name, error, span) for error in errors for span in spans)
