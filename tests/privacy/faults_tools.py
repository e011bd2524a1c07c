"""What attacks are made of: a camera that plays a script, and faults in the place of functions."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import pytest

from edge.config import CameraConfig
from edge.contract import INPUT
from edge.frames import Pixels, RawFrame
from edge.sources import Source
from tests.privacy.faults import FRAMES, Image, number_of, picture

MILLISECONDS = 40
BEGIN_MS = 1_700_000_000_000

Act = Callable[..., Any]
BUGS: list[Exception] = [ValueError("bug"), MemoryError(), cv2.error("OpenCV: bug"), ZeroDivisionError()]


@dataclass(frozen=True)
class Shot:
    """A frame as a camera delivers it; ``age`` in seconds, ``media`` in seconds, ``utc_ms`` since 1970."""

    number: int
    pixels: Pixels
    media: float
    utc_ms: int
    age: float = 0.0


def shot(number: int, *, scale: int = 1, secret: int = 0) -> Shot:
    at = number * MILLISECONDS
    return Shot(number, picture(number, scale, secret), at / 1000, BEGIN_MS + at)


def shots() -> list[Shot]:
    return [shot(number) for number in range(FRAMES)]


class Script(Source):
    """Plays its items, one after the other: a ``Shot`` is a frame, an exception is raised, what a callable
    returns is handed on, and all else goes where pixels from a driver go. Reopening goes on in the list."""

    live = False

    def __init__(self, items: Sequence[object], live: bool = False, **camera: Any) -> None:
        super().__init__("test", CameraConfig(source="script", **camera), threading.Event())
        self.__dict__["live"] = live
        self._items = deque(items)

    @property
    def waits(self) -> bool:
        return True

    @property
    def reopens(self) -> bool:
        return self.live and bool(self._items)

    def __iter__(self) -> Iterator[RawFrame]:
        while self._items:
            item = self._items.popleft()
            if isinstance(item, Exception):
                raise item
            if isinstance(item, Shot):
                taken = time.monotonic() - item.age
                utc_ns = item.utc_ms * 1_000_000
                yield RawFrame(
                    item.pixels,
                    self.camera,
                    item.number,
                    media_seconds=item.media,
                    captured=taken,
                    utc_ns=utc_ns,
                )
            elif callable(item):
                yield item()
            else:
                frame = self._frame(item, 0.0)  # type: ignore[arg-type]
                if frame is not None:
                    yield frame


class Fault:
    """What happens instead, and at which frames; ``fired`` keeps where it really did."""

    def __init__(self, at: Iterable[int], act: Act) -> None:
        self.at = frozenset(at)
        self.fired: list[int] = []
        self._act = act

    def __call__(self, number: int, *args: Any, **kwargs: Any) -> Any:
        self.fired.append(number)
        return self._act(*args, **kwargs)

    def check_fired(self) -> None:
        assert set(self.fired) == self.at, f"fired at {self.fired} instead of {sorted(self.at)}"


def raising(error: BaseException) -> Act:
    def act(*args: Any, **kwargs: Any) -> Any:
        # Raised again and again, it would collect the frames of all functions that it ever went through.
        raise error.with_traceback(None)

    return act


class Hook:
    """Puts faults in the place of a function; ``number`` tells from a call which frame it is about."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, number: Callable[..., int | None]
    ) -> None:
        real = getattr(owner, name)
        self.fault: Fault | None = None
        self.last: int | None = None

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.last = number(*args, **kwargs)
            fault = self.fault
            if fault is not None and self.last is not None and self.last in fault.at:
                return fault(self.last, *args, **kwargs)
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, wrapped)


class Inner:
    """Stands in the place of ONNX Runtime's session: asks the real one, except where a fault fires.

    ``faults`` are by look: 0 is the first look at a frame, 1 the last look at its image, 2 the one after
    growing. A fault gets boxes, scores and the RunOptions of a look, and returns what the session shall.
    """

    def __init__(self, real: Any, faults: dict[int, Fault]) -> None:
        self._real = real
        self._faults = faults
        self.looks: Counter[int] = Counter()

    def due(self, canvas: Image) -> Fault | None:
        """The fault that fires at the next look at this canvas."""
        number = number_of(canvas, rgb=True)
        fault = None if number is None else self._faults.get(self.looks[number])
        return fault if fault is not None and number in fault.at else None

    def run(self, names: list[str], inputs: dict[str, Image], options: Any) -> Any:
        canvas = inputs[INPUT][0]
        number, fault = number_of(canvas, rgb=True), self.due(canvas)
        if number is not None:
            self.looks[number] += 1
        # A run that is to hang is told to stop early, perhaps before it begins.
        answer = self._real.run(names, inputs, options if fault is None else None)
        return answer if fault is None or number is None else fault(number, *answer, options)
