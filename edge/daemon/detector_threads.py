"""How many threads the daemon's detector has, and the runs of it that overlap in time.

A run that has all cores to itself leaves some of them idle, because small operators cannot be shared out. Two
runs at once with half of the cores each take longer one by one, but finish sooner together
(docs/measurements.md).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from edge.config import Config, DetectorConfig
from edge.detection.detector import Detector, open_detector
from edge.detection.joint import AnyDetector, open_further
from edge.detection.providers import candidates
from edge.detection.session import read_detector

RUNS_AT_ONCE = 2

Answer = TypeVar("Answer")


def open_daemon_detector(config: DetectorConfig) -> tuple[Detector, int]:
    """Open the daemon's detector; decide how many threads a run of it has and how many runs may overlap.

    Returns the detector and the number of runs. Two runs share the cores of the CPU equally. There is one run
    at a time on a single core, on other providers (a GPU is shared out by its own driver), and where
    ``detector.threads`` is set, which is the number of threads of one run. Raises DetectorError,
    ContractError, ProviderError.
    """
    file = read_detector(config.path, config.name)
    threads, runs_at_once = _threads(config)
    return open_detector(file, config.model_copy(update={"threads": threads})), runs_at_once


def open_daemon_detectors(config: Config) -> tuple[AnyDetector, int]:
    """Open the detectors of the daemon, those of ``[detectors.NAME]`` included; they take turns in each run.

    Returns and raises what ``open_daemon_detector`` does for ``[detector]``.
    """
    first, runs_at_once = open_daemon_detector(config.detector)
    return open_further(first, config, _threads(config.detector)[0]), runs_at_once


def _threads(config: DetectorConfig) -> tuple[int, int]:
    """Threads of one run (0: all cores), and how many runs may overlap."""
    cores = len(os.sched_getaffinity(0))
    if config.threads or cores < RUNS_AT_ONCE or candidates(config.provider)[0] != "cpu":
        return config.threads, 1
    return cores // RUNS_AT_ONCE, RUNS_AT_ONCE


class DetectorThreads(Generic[Answer]):
    """At most ``runs_at_once`` runs that overlap. They are finished in the order in which they began.

    Everything but the runs themselves happens in the thread that calls.
    """

    def __init__(self, runs_at_once: int, on_done: Callable[[], None]) -> None:
        """``on_done`` is called, in another thread, whenever a run is done."""
        self.runs_at_once = runs_at_once
        self._on_done = on_done
        self._begun: deque[tuple[Future[Answer], Callable[[Answer], None]]] = deque()
        # Its threads start with the first run.
        self._pool = ThreadPoolExecutor(runs_at_once, "detect") if runs_at_once > 1 else None

    def __len__(self) -> int:
        """How many runs have begun and are not finished."""
        return len(self._begun)

    def begin(
        self, run: Callable[[], Answer], finish: Callable[[Answer], None], *, alone: bool = False
    ) -> None:
        """Do ``run`` in another thread; ``finish`` gets its answer in this thread, later.

        With ``alone``, or where runs do not overlap, both are done now, after all that began earlier.
        """
        if self._pool is None or alone:
            self.finish_all()
            finish(run())
            return
        answer = self._pool.submit(run)
        self._begun.append((answer, finish))
        answer.add_done_callback(lambda _: self._on_done())

    @property
    def oldest_is_done(self) -> bool:
        """Whether the oldest run is done and only has to be finished."""
        return bool(self._begun) and self._begun[0][0].done()

    def make_room(self) -> None:
        """Finish the oldest runs until a new one can begin; waits for them."""
        while len(self._begun) >= self.runs_at_once:
            self.finish_oldest()

    def finish_oldest(self) -> None:
        """Finish the oldest run; waits for it. Raises what the run raised."""
        answer, finish = self._begun.popleft()
        finish(answer.result())

    def finish_all(self) -> None:
        """Finish all runs, oldest first; waits for them."""
        while self._begun:
            self.finish_oldest()

    def close(self) -> None:
        """Finish all runs and end the threads."""
        self.finish_all()
        if self._pool is not None:
            self._pool.shutdown()
