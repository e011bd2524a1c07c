"""Cameras whose clock is wrong, and networks that pile up: which is which, and what counts as late.

Nothing here takes time: a stream is a list of pictures, each with its presentation time and its arrival.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from edge.sources.camera_clock import CameraClock
from edge.sources.pace import Pace
from edge.sources.stream_clock import LATE_SECONDS, StreamClock

READ_TIMEOUT, REOPENING, OPENING = 5.0, 1.0, 0.5
FRESH = 2.0
"""Pictures later than this are dropped (privacy.max_frame_age_seconds)."""
Network = Callable[[float, float], float]
"""Arrival of a picture that was taken at a time, after the one before it had arrived at another."""


class Seen(NamedTuple):
    """A picture: when it arrived, its lag by the clock, and how late it was in truth, in seconds."""

    arrived: float
    lag: float
    truth: float


class Stream:
    """A camera of 25 pictures per second, opened again when it is late for too long, as its reader does."""

    def __init__(
        self,
        network: Network,
        speed: float = 1.0,
        ignored: bool = False,
        take: Callable[[float], float] = float,
    ) -> None:
        """``speed`` of the camera's clock; ``take`` gives the presentation time by the time of day."""
        self.camera = CameraClock("yard", ignored=ignored)
        self.openings = 0
        self._network, self._speed, self._take = network, speed, take
        self._now = 100.0

    def play(self, seconds: float) -> list[Seen]:
        end, seen = self._now + seconds, []
        while self._now < end:
            self.openings += 1
            for picture in self._open(end):
                seen.append(picture)
            self._now += REOPENING
        return seen

    def _open(self, end: float) -> Iterator[Seen]:
        opened = self._now
        clock = StreamClock(opened, self.camera)
        arrived = in_time = opened + OPENING
        for number in itertools.count():
            taken = opened + OPENING + number / 25
            arrived = max(arrived + 1e-4, self._network(taken, arrived))
            lag = clock.lag(self._take(taken) * self._speed, arrived)
            self._now = arrived
            yield Seen(arrived, lag, arrived - taken)
            in_time = arrived if lag <= LATE_SECONDS else in_time
            if arrived - in_time >= READ_TIMEOUT or arrived >= end:
                return


def good(jitter: float = 0.02, seed: int = 1) -> Network:
    chance = random.Random(seed)
    return lambda taken, before: taken + chance.uniform(0, jitter)


def narrow(share: float, key_size: float, after: float = 0.0) -> Network:
    """A network that lets through this share of the stream from a time on; every 25th picture is so many
    times as large as the others."""
    numbers = itertools.count()
    usual = 25 / (key_size + 24)

    def arrive(taken: float, before: float) -> float:
        size = usual * (key_size if next(numbers) % 25 == 0 else 1)
        return max(taken, before + size / 25 / share) if taken >= after else taken

    return arrive


@pytest.mark.parametrize(("speed", "within"), [(0.5, 20), (0.95, 60), (0.99, 240), (1.05, 260), (2, 20)])
def test_a_wrong_clock_is_found_once_and_ignored(
    speed: float, within: float, caplog: pytest.LogCaptureFixture
) -> None:
    stream = Stream(good(), speed)
    stream.play(within)
    assert stream.camera.ignored
    openings = stream.openings
    assert openings <= 2
    seen = stream.play(600)
    assert stream.openings == openings + 1  # the one with which play begins
    assert max(picture.lag for picture in seen[50:]) < 0.2
    (said,) = re.findall(r"runs at (\S+) times the real speed and is ignored", stream.camera.problem)
    assert float(said) == pytest.approx(speed, abs=0.003)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("drift", [1 - 3e-4, 1 + 3e-4])
def test_a_clock_that_drifts_is_not_found_wrong(drift: float) -> None:
    stream = Stream(good(0.1), drift)
    stream.play(1200)
    assert (stream.openings, stream.camera.ignored) == (1, False)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_a_network_that_piles_up_is_not_taken_for_a_wrong_clock(share: float) -> None:
    stream = Stream(narrow(share, key_size=6))
    seen = stream.play(600)
    assert not stream.camera.ignored
    assert stream.openings > 5
    # What even the first pictures of an opening took cannot be seen
    assert all(picture.lag > FRESH for picture in seen if picture.truth > FRESH + 0.5)


def test_a_queue_that_looks_like_a_wrong_clock_does_so_no_longer_than_it_grows() -> None:
    """Pictures of one size through a narrow network arrive on a straight line, until its queue is full."""
    full = 12.0
    line = narrow(0.8, key_size=1)
    stream = Stream(lambda taken, before: min(line(taken, before), max(before, taken + full)))
    seen = stream.play(1800)
    wrong = [picture for picture in seen if picture.truth > FRESH and picture.lag <= FRESH]
    assert len(wrong) < 2 * (full / 0.2 + 20) * 25  # both verdicts, withdrawn once the queue was full
    assert not stream.camera.ignored
    assert all(picture.lag > FRESH - 0.1 for picture in seen[-3000:] if picture.truth > FRESH)


def test_what_begins_to_pile_up_is_late_although_the_clock_is_ignored() -> None:
    stream = Stream(narrow(0.8, key_size=6, after=400), speed=0.3, ignored=True)
    seen = stream.play(320)
    assert stream.openings == 2
    assert all(picture.lag > FRESH for picture in seen if picture.truth > FRESH + 0.5)


def test_what_piles_up_under_a_wrong_clock_ends_the_verdict() -> None:
    stream = Stream(narrow(0.8, key_size=6, after=400), speed=0.5)
    assert stream.play(250)
    assert stream.camera.ignored
    seen = stream.play(600)
    assert not stream.camera.ignored
    # Those of the first connection of which all was late, until the verdict was checked
    unseen = [picture for picture in seen if picture.truth > FRESH + 0.5 and picture.lag <= FRESH]
    assert len(unseen) < 20 * 25


def test_a_clock_that_jumps_about_can_be_ignored_by_configuration() -> None:
    chance = random.Random(3)

    def take(taken: float) -> float:
        return taken + chance.uniform(-5, 5)

    wild = Stream(good(), ignored=True, take=take)
    seen = wild.play(600)
    assert wild.openings == 1
    assert max(picture.lag for picture in seen[5:]) < 0.1
    assert wild.camera.problem == ""


@pytest.mark.parametrize("rate", [0.5, 1, 5, 12.5, 60])
def test_pace_takes_no_steady_camera_for_late(rate: float) -> None:
    chance, pace = random.Random(1), Pace(0.0)
    lags = [pace.lag(1 + n / rate + chance.uniform(0, 0.05)) for n in range(int(rate * 200))]
    assert max(lags[3:]) < 0.06


def test_pace_counts_a_silence_until_the_pictures_have_caught_up() -> None:
    pace, now = Pace(0.0), 1.0
    for _ in range(1000):
        now += 0.04
        pace.lag(now)
    now += 3
    assert pace.lag(now) == pytest.approx(2.96, abs=0.01)
    lags = [pace.lag(now := now + 0.001) for _ in range(60)]
    assert lags[40] == pytest.approx(3 - 41 * 0.039, abs=0.1)
    assert lags[-1] > 0.5
    lags = [pace.lag(now := now + 0.001) for _ in range(20)]
    assert lags[-1] == 0
