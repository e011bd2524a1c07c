"""Lines of the log that may come with every frame."""

from __future__ import annotations

import logging
import threading
from itertools import count

import pytest

from edge.logs import SUMMARY_SECONDS, Limited


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limited(clock: Clock) -> Limited:
    return Limited(logging.getLogger("edge.test"), clock)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return said


def test_the_first_is_a_line_and_the_others_are_one_a_minute(
    limited: Limited, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(313):
        limited.warning("camera a", "nan", f"frame {number}: NaN")
        limited.report()
    assert lines(caplog) == ["camera a: frame 0: NaN"]
    clock.now += SUMMARY_SECONDS
    limited.report()
    assert lines(caplog) == ["camera a: nan: 312 more in 60 s, the last one: frame 312: NaN"]
    limited.warning("camera a", "nan", "frame 313: NaN")
    assert lines(caplog) == []
    clock.now += 3 * SUMMARY_SECONDS
    limited.warning("camera a", "nan", "frame 314: NaN")
    assert lines(caplog) == ["camera a: nan: 1 more in 180 s, the last one: frame 313: NaN"]
    limited.report(last=True)
    assert lines(caplog) == ["camera a: nan: 1 more in 0 s, the last one: frame 314: NaN"]


def test_after_a_quiet_minute_the_next_is_a_first_again(
    limited: Limited, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(2):
        limited.warning("camera a", "blur", f"bug {number}")
        clock.now += SUMMARY_SECONDS
        limited.report()
    assert lines(caplog) == ["camera a: bug 0", "camera a: bug 1"]
    limited.report(last=True)
    assert lines(caplog) == []


def test_kinds_and_cameras_are_counted_apart(limited: Limited, caplog: pytest.LogCaptureFixture) -> None:
    for who, kind in (("a", "x"), ("a", "y"), ("b", "x"), ("a", "x"), ("b", "x")):
        limited.warning(who, kind, "bad")
    limited.report(last=True)
    assert lines(caplog) == [
        "a: bad", "a: bad", "b: bad", "a: x: 1 more in 0 s, the last one: bad",
        "b: x: 1 more in 0 s, the last one: bad",
    ]  # fmt: skip


def test_none_is_lost_between_threads(limited: Limited, caplog: pytest.LogCaptureFixture) -> None:
    numbers = count()

    def warn() -> None:
        for _ in range(500):
            limited.warning("a", "x", str(next(numbers)))

    threads = [threading.Thread(target=warn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    limited.report(last=True)
    first, rest = lines(caplog)
    assert "x: 1999 more" in rest
    assert first.startswith("a: ")
