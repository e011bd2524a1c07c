"""Which fault happens when, and how soon a camera must have recovered from it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.soak.watch import Poll
from edge.config import CameraConfig

STORE, CLOCK = "store", "clock"
"""The targets of faults that concern all cameras (benchmarks/soak/box.py)."""
_SECONDS = {"still": (4.0, 16.0), "frozen": (4.0, 16.0), "full": (3.0, 8.0), "unmounted": (8.0, 16.0)}
_LOSS_SECONDS = (6.0, 12.0)
_CLOCK_SECONDS = (8.0, 14.0)
_OTHER_SECONDS = (2.0, 10.0)
_SLACK_SECONDS = 10.0
"""Time to start the server, open the stream, store a picture, and poll twice."""
_QUARANTINE_SECONDS = 10.0
"""Twice the interval of the known-face check: the first lets the store be tried again, the second one lets
an image through that was captured after that."""
_AHEAD_SECONDS = 1.0
"""The daemon sees within this time that its clock was set back to the true time."""
SAID = {
    "full": "full",
    "unmounted": "another file system than before",
    "lost 8 %": "damaged",
    "+1h": "removal by age is off",
    "-1h": "removal by age is off",
    "+25h": "removal by age is off",
    "+400d": "removal by age is off",
}
"""Words that the status must say during a fault. Of the other kinds the states of the cameras tell."""


@dataclass
class Fault:
    """One fault. Times in seconds since the start."""

    target: str
    kind: str
    seconds: float
    begin: float = 0.0
    end: float = 0.0
    bound: float = 0.0
    """Longest allowed time from the end to the recovery."""
    recovered: float | None = None
    """Time from the end to the recovery; None: not seen."""
    states: list[str] = field(default_factory=list)
    """States that the target was seen in from the beginning to its recovery."""
    said: list[str] = field(default_factory=list)
    """What the status said of it meanwhile."""
    flaws: list[str] = field(default_factory=list)
    """What it left behind that must not be."""

    @property
    def of_box(self) -> bool:
        """Whether it concerns all cameras."""
        return self.target in (STORE, CLOCK)


def draw_faults(targets: Mapping[str, Sequence[str]], seed: int) -> Iterator[Fault]:
    """Faults without end. ``targets`` has the kinds that each target knows.

    Every pair of target and kind comes once per round, in an order of its own in each round.
    """
    rng = random.Random(seed)
    pairs = [(target, kind) for target, kinds in targets.items() for kind in kinds]
    while True:
        for target, kind in rng.sample(pairs, len(pairs)):
            low, high = _seconds(target, kind)
            yield Fault(target, kind, round(rng.uniform(low, high), 1))


def _seconds(target: str, kind: str) -> tuple[float, float]:
    if target == CLOCK:
        return _CLOCK_SECONDS
    return _LOSS_SECONDS if kind.startswith("lost") else _SECONDS.get(kind, _OTHER_SECONDS)


def recovery_bound(fault: Fault, config: CameraConfig) -> float:
    """Longest allowed time from the end of a fault to the recovery of its camera, in seconds.

    While nothing can be opened, pauses grow as 1, 2, 4 ... s, each up to 1.2 times as long by chance
    (edge/sources/backoff.py), so the pause that is on when the fault ends is at most 1.2 x (seconds + 1).
    Before it, an opening or a reading that began during the fault may have to run into its timeout; FFmpeg
    takes up to three read timeouts. A fault of the box stops no camera.
    """
    if fault.of_box:
        return _SLACK_SECONDS + _QUARANTINE_SECONDS
    pause = 1.2 * (fault.seconds + 1)
    timeout = max(config.open_timeout_seconds, 3 * config.read_timeout_seconds)
    return round(pause + timeout + _SLACK_SECONDS, 1)


def note_recovery(fault: Fault, polls: Sequence[Poll], cameras: Sequence[str]) -> None:
    """Note when the target had recovered: live, with an image stored that was captured after the end."""
    concerned = list(cameras) if fault.of_box else [fault.target]
    states: list[str] = []
    said: Counter[str] = Counter()
    damaged = dict.fromkeys(cameras, 0)
    for poll in polls:
        if poll.at < fault.begin:
            damaged = poll.damaged
            continue
        states += [poll.states[name] for name in concerned if poll.states[name] not in states]
        said.update(filter(None, [poll.store_error, *poll.degraded]))
        said.update(["damaged"] * any(poll.damaged[name] > damaged[name] for name in concerned))
        live = all(poll.states[name] == "live" for name in concerned)
        fresh = all(_is_fresh(poll, poll.last_image[name], fault.end) for name in concerned)
        right = fault.target != CLOCK or not any(SAID[fault.kind] in text for text in poll.degraded)
        if fault.end and poll.at > fault.end and live and fresh and right and not poll.store_error:
            fault.recovered = round(poll.at - fault.end, 1)
            break
    fault.states = sorted(set(states))
    fault.said = list(said)


def _is_fresh(poll: Poll, last_image: float | None, end: float) -> bool:
    """Whether an image was captured after the end. One that a clock dated which was ahead says nothing."""
    return last_image is not None and end < last_image <= poll.at + _AHEAD_SECONDS
