"""Which fault happens when, and how soon a camera must have recovered from it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.soak.watch import Poll
from edge.config import CameraConfig

STORE = "store"
"""The target of the fault "full"."""
_SECONDS = {"still": (4.0, 16.0), "frozen": (4.0, 16.0), "full": (3.0, 8.0)}
_OTHER_SECONDS = (2.0, 10.0)
_SLACK_SECONDS = 10.0
"""Time to start the server, open the stream, store a picture, and poll twice."""


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


def draw_faults(targets: Mapping[str, Sequence[str]], seed: int) -> Iterator[Fault]:
    """Faults without end. ``targets`` has the kinds that each target knows.

    Every pair of target and kind comes once per round, in an order of its own in each round.
    """
    rng = random.Random(seed)
    pairs = [(target, kind) for target, kinds in targets.items() for kind in kinds]
    while True:
        for target, kind in rng.sample(pairs, len(pairs)):
            low, high = _SECONDS.get(kind, _OTHER_SECONDS)
            yield Fault(target, kind, round(rng.uniform(low, high), 1))


def recovery_bound(fault: Fault, config: CameraConfig) -> float:
    """Longest allowed time from the end of a fault to the recovery of its camera, in seconds.

    While nothing can be opened, pauses grow as 1, 2, 4 ... s, each up to 1.2 times as long by chance
    (edge/sources/backoff.py), so the pause that is on when the fault ends is at most 1.2 x (seconds + 1).
    Before it, an opening or a reading that began during the fault may have to run into its timeout; FFmpeg
    takes up to three read timeouts. A full disk stops no camera.
    """
    if fault.target == STORE:
        return _SLACK_SECONDS
    pause = 1.2 * (fault.seconds + 1)
    timeout = max(config.open_timeout_seconds, 3 * config.read_timeout_seconds)
    return round(pause + timeout + _SLACK_SECONDS, 1)


def note_recovery(fault: Fault, polls: Sequence[Poll], cameras: Sequence[str]) -> None:
    """Note when the target had recovered: live, with an image stored that was captured after the end."""
    concerned = list(cameras) if fault.target == STORE else [fault.target]
    states: list[str] = []
    for poll in polls:
        if poll.at < fault.begin:
            continue
        states += [poll.states[name] for name in concerned if poll.states[name] not in states]
        live = all(poll.states[name] == "live" for name in concerned)
        fresh = all((poll.last_image[name] or float("-inf")) > fault.end for name in concerned)
        if fault.end and poll.at > fault.end and live and fresh and not poll.store_error:
            fault.recovered = round(poll.at - fault.end, 1)
            break
    fault.states = sorted(set(states))
