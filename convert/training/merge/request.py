"""What ``edge-train merge`` is asked for: values parsed from text, and what one merge needs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, get_args

from convert.training.datasets import Kind

Progress = Callable[[str], None]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Shares(NamedTuple):
    """What part of the pictures each split gets, of 1."""

    train: float
    val: float
    test: float


DEFAULT_SHARES = Shares(0.8, 0.1, 0.1)


class Format(NamedTuple):
    """The format of the labels of a set; of all others where ``name`` is empty."""

    name: str
    kind: Kind


class Named(NamedTuple):
    """``NAME=TEXT`` of the command line."""

    name: str
    text: str


@dataclass(frozen=True)
class MergeRequest:
    """``datasets``: folders as given, ``FOLDER`` or ``NAME=FOLDER``. ``keep``: the labels that count; none:
    those of faces. ``resplit``: forget the splits that the sets bring."""

    datasets: tuple[str, ...]
    out: Path
    into: str = "FACE"
    keep: tuple[str, ...] = ()
    kinds: tuple[Format, ...] = ()
    licences: tuple[Named, ...] = ()
    sources: tuple[Named, ...] = ()
    shares: Shares = DEFAULT_SHARES
    seed: int = 0
    resplit: bool = False


def parse_shares(text: str) -> Shares:
    """Read ``TRAIN/VAL/TEST``. Raises ValueError, which shows a right value.

    >>> parse_shares("80/10/10")
    Shares(train=0.8, val=0.1, test=0.1)
    """
    numbers = text.split("/")
    if len(numbers) == 3 and all(number.isascii() and number.isdecimal() for number in numbers):
        parts = [int(number) for number in numbers]
        if parts[0] > 0 and sum(parts) <= 10**6:
            return Shares(*(part / sum(parts) for part in parts))
    raise ValueError(f"{text!r} is not TRAIN/VAL/TEST in whole numbers with some for train, such as 80/10/10")


def parse_format(text: str) -> Format:
    """Read ``FORMAT`` or ``NAME=FORMAT``. Raises ValueError, which shows the right values.

    >>> parse_format("street=coco")
    Format(name='street', kind='coco')
    """
    name, _, kind = text.rpartition("=")
    for known in get_args(Kind):
        if kind == known and (not name or NAME.fullmatch(name)):
            return Format(name, known)
    raise ValueError(f"{text!r} is not FORMAT or NAME=FORMAT; FORMAT is {', '.join(get_args(Kind))}")


def parse_named(text: str) -> Named:
    """Read ``NAME=TEXT``. Raises ValueError, which shows a right value.

    >>> parse_named("street=CC BY 4.0")
    Named(name='street', text='CC BY 4.0')
    """
    name, sign, value = text.partition("=")
    if sign and NAME.fullmatch(name) and value.strip():
        return Named(name, value.strip())
    raise ValueError(f"{text!r} is not NAME=TEXT with the name of a set, such as street='CC BY 4.0'")


def parse_label(text: str) -> str:
    """Read a label of one line. Raises ValueError.

    >>> parse_label(" FACE ")
    'FACE'
    """
    if not text.strip() or not text.isprintable():
        raise ValueError(f"{text!r} is not a label: it needs letters, on one line")
    return text.strip()
