"""The machine that figures come from, and whether it was busy with anything else."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import edge  # first of all: it switches telemetry off, also for the processes started from here
from benchmarks import common
from convert.training.figure_forms import Strict as Strict

MAX_LOAD, MAX_OTHER_CORES = 1.5, 0.15
"""Above either the machine counts as busy: load average at the start, cores that other processes used."""
WAIT_SECONDS = 180.0
PACKAGES = (
    "numpy", "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "opencv-python-headless",
    "opencv-python", "av", "tensorflow", "tensorflow-cpu", "tf2onnx", "onnx", "onnxscript", "pycocotools",
)  # fmt: skip


class Machine(Strict):
    """Where and when figures were taken.

    ``load_begin``, ``load_end``: load averages over 1, 5 and 15 minutes. ``other_cores``: cores that other
    processes used meanwhile, on average. ``busy``: why these figures do not count; empty on a quiet machine.
    """

    cpu: str
    cores: int
    gpu: str | None
    system: str
    python: str
    packages: dict[str, str]
    taken: str
    seconds: float
    load_begin: list[float]
    load_end: list[float]
    other_cores: float
    busy: list[str]

    def line(self) -> str:
        """One line for people."""
        packages = ", ".join(f"{name} {version}" for name, version in self.packages.items())
        where = f"{self.cpu}, {self.cores} cores" + (f", {self.gpu}" if self.gpu else ", no GPU")
        quiet = "; ".join(self.busy) if self.busy else "quiet"
        return (
            f"{where}, {self.system}, Python {self.python}, {packages}; {self.taken}, {self.seconds:.0f} s; "
            f"load {self.load_begin[0]} to {self.load_end[0]}, others used {self.other_cores} cores: {quiet}"
        )

    def verdict(self) -> str:
        """What to print below figures of a busy machine; empty otherwise."""
        if not self.busy:
            return ""
        return f"**BUSY**: {'; '.join(self.busy)}. These figures do not count: run again on a quiet machine."


class Result(Strict):
    """What a command of ``python -m benchmarks`` writes; ``command`` is the command line."""

    command: str
    machine: Machine


class Watch:
    """Fills in ``machine`` when the block of ``watched()`` ends."""

    machine: Machine


@contextmanager
def watched() -> Iterator[Watch]:
    """Observe the machine while the block measures; processes that it starts do not count as others."""
    watch = Watch()
    load, before, begin = common.load(), _cpu_seconds(), time.perf_counter()
    taken = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    yield watch
    seconds = time.perf_counter() - begin
    others = max(0.0, _others(before, _cpu_seconds())) / seconds
    busy = []
    if load[0] > MAX_LOAD:
        busy.append(f"the load average was {load[0]} at the start, more than {MAX_LOAD}")
    if others > MAX_OTHER_CORES:
        busy.append(f"other processes used {others:.2f} cores, more than {MAX_OTHER_CORES}")
    watch.machine = Machine(
        cpu=common.cpu_model(),
        cores=common.cores(),
        gpu=gpu(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        packages={"edge-anonymizer": edge.__version__, **common.versions(PACKAGES)},
        taken=taken,
        seconds=round(seconds, 1),
        load_begin=load,
        load_end=common.load(),
        other_cores=round(others, 3),
        busy=busy,
    )


def gpu() -> str | None:
    """Models of NVIDIA's cards, as their driver names them; None without any."""
    files = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    models = [
        line.split(":", 1)[1].strip()
        for file in files
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.startswith("Model:")
    ]
    return ", ".join(models) or None


def peak_megabytes() -> float:
    """Peak resident memory of this process since its start (proc_pid_status(5), VmHWM).

    ``ru_maxrss`` would be that of the process that started this one, where that is larger.
    """
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status: no VmHWM")


def wait_for_quiet() -> None:
    """Wait until the load average of what ran before has fallen, three minutes at most."""
    deadline = time.monotonic() + WAIT_SECONDS
    while common.load()[0] > MAX_LOAD and time.monotonic() < deadline:
        print(f"waiting for the load average to fall to {MAX_LOAD}, now {common.load()[0]}", file=sys.stderr)
        time.sleep(15)


Times = dict[int, tuple[int, float]]
"""By process: its parent, and CPU seconds of itself and of its children that have ended."""


def _cpu_seconds() -> Times:
    """Every process that can be seen; empty where there is no /proc (proc_pid_stat(5))."""
    tick = os.sysconf("SC_CLK_TCK")
    found: Times = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        found[int(stat.parent.name)] = (int(fields[1]), sum(map(int, fields[11:13])) / tick)
    return found


def _others(before: Times, after: Times) -> float:
    """CPU seconds of processes that are neither this one nor descend from it.

    Kernel threads work for whoever reads and writes, so they count too. A process that began and ended
    meanwhile is not seen.

    >>> me = os.getpid()
    >>> _others({1: (0, 5.0)}, {1: (0, 6.5), me: (1, 9.0), 7: (me, 2.0), 8: (7, 2.0), 9: (1, 0.5)})
    2.0
    """
    own = {os.getpid()}
    grown = True
    while grown:
        children = {pid for pid, (parent, _) in after.items() if parent in own} - own
        own |= children
        grown = bool(children)
    return sum(
        max(0.0, seconds - before.get(pid, (0, 0.0))[1])
        for pid, (_, seconds) in after.items()
        if pid not in own
    )
