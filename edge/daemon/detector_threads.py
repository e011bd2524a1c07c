"""Looks at frames that overlap in time, and end in the order in which they began.

A look that has all cores to itself leaves some of them idle, where operators are too small to be shared. Two
looks at a time with half of the cores each take longer one by one, but sooner come to an end together
(docs/measurements.md).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from edge.config import DetectorConfig
from edge.detection.detector import Detector, open_detector
from edge.detection.providers import candidates
from edge.detection.session import read_detector

AT_ONCE = 2

Answer = TypeVar("Answer")


class Looks(Generic[Answer]):
    """At most ``at_once`` looks. Everything but their ``work`` happens in the thread that calls."""

    def __init__(self, at_once: int, ended: Callable[[], None]) -> None:
        """``ended`` is called from another thread whenever one has come to an end."""
        self.at_once = at_once
        self._ended = ended
        self._begun: deque[tuple[Future[Answer], Callable[[Answer], None]]] = deque()
        # Its threads begin with the first look.
        self._pool = ThreadPoolExecutor(at_once, "look") if at_once > 1 else None

    def __len__(self) -> int:
        return len(self._begun)

    def begin(
        self, work: Callable[[], Answer], finish: Callable[[Answer], None], *, alone: bool = False
    ) -> None:
        """Do ``work`` in another thread, after which ``finish`` gets its answer in this one, later.

        ``alone``, or with one at a time, both are done now, after all that began before.
        """
        if self._pool is None or alone:
            self.finish()
            finish(work())
            return
        answer = self._pool.submit(work)
        self._begun.append((answer, finish))
        answer.add_done_callback(lambda _: self._ended())

    @property
    def ended(self) -> bool:
        """Whether the oldest look has ended, and is not finished."""
        return bool(self._begun) and self._begun[0][0].done()

    def finish(self, but: int = 0) -> None:
        """Finish all looks but the last ``but``, oldest first, and wait for them."""
        while len(self._begun) > but:
            answer, finish = self._begun.popleft()
            finish(answer.result())

    def close(self) -> None:
        """Finish all looks and end the threads."""
        self.finish()
        if self._pool is not None:
            self._pool.shutdown()


def open_shared(config: DetectorConfig) -> tuple[Detector, int]:
    """Open the detector of a daemon, and say how many looks at a time it is for.

    On the CPU alone: a GPU is shared out by its own driver. ``threads`` is that of one look, and whoever sets
    it wants one at a time. Raises DetectorError, ContractError, ProviderError.
    """
    cores = len(os.sched_getaffinity(0))
    file = read_detector(config.path)
    if config.threads or cores < AT_ONCE or candidates(config.provider)[0] != "cpu":
        return open_detector(file, config), 1
    return open_detector(file, config.model_copy(update={"threads": cores // AT_ONCE})), AT_ONCE
