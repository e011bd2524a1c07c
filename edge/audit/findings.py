"""What an audit found, check by check: counts, and examples by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from edge.logs import printable

EXAMPLES = 1000
"""At most this many findings of a kind are listed; all of them are counted."""
_LONGEST_TEXT = 500

CheckName = Literal[
    "log",
    "chain",
    "fields",
    "settings",
    "head",
    "paths",
    "missing",
    "altered",
    "extra",
    "decoding",
    "faces",
]
TITLES: dict[CheckName, str] = {
    "log": "log files complete",
    "chain": "records in sequence",
    "fields": "records well-formed",
    "settings": "settings match hashes",
    "head": "saved hash in the log",
    "paths": "paths inside the store",
    "missing": "images present",
    "altered": "images unchanged",
    "extra": "no unrecorded files",
    "decoding": "images decodable",
    "faces": "no face found",
}
"""The checks, in the order in which reports list them."""


class Example(NamedTuple):
    """One finding: the file, record or image, and what is wrong with it. Control characters are escaped."""

    where: str
    what: str


@dataclass(frozen=True)
class Found:
    """``count`` findings of a kind, with the first ``EXAMPLES`` of them."""

    count: int = 0
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Check:
    """The result of one check, which was made on ``checked`` files, records or images."""

    name: CheckName
    checked: int
    wrong: Found
    notes: Found

    @property
    def title(self) -> str:
        return TITLES[self.name]

    @property
    def state(self) -> Literal["wrong", "note", "ok"]:
        if self.wrong.count:
            return "wrong"
        return "note" if self.notes.count else "ok"

    def __bool__(self) -> bool:
        return not self.wrong.count


@dataclass
class _Kind:
    count: int = 0
    examples: list[Example] = field(default_factory=list)

    def add(self, where: str, what: str) -> None:
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(Example(printable(where)[:_LONGEST_TEXT], printable(what)[:_LONGEST_TEXT]))

    def found(self) -> Found:
        return Found(self.count, tuple(self.examples))


class Findings:
    """Collects what is found; for one thread."""

    def __init__(self) -> None:
        self._checked = dict.fromkeys(TITLES, 0)
        self._wrong = {name: _Kind() for name in TITLES}
        self._notes = {name: _Kind() for name in TITLES}

    def checked(self, check: CheckName, count: int = 1) -> None:
        """A check was made on ``count`` more files, records or images."""
        self._checked[check] += count

    def wrong(self, check: CheckName, where: str, what: str) -> None:
        """Something that the store of an honest box never shows: the audit fails."""
        self._wrong[check].add(where, what)

    def note(self, check: CheckName, where: str, what: str) -> None:
        """Something that the store of an honest box may show: it is reported, and the audit does not fail."""
        self._notes[check].add(where, what)

    def checks(self) -> tuple[Check, ...]:
        return tuple(
            Check(name, self._checked[name], self._wrong[name].found(), self._notes[name].found())
            for name in TITLES
        )
