"""The stages of a conversion: which one runs, and how long each took."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from convert.request import Progress


class Stages:
    """Reports each stage as it begins, and keeps its seconds."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        self._progress(name)
        begin = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - begin, 2)
