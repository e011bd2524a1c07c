"""How far a file or folder has been read, in memory and as lines of text.

The first line is the identity of what was read. The others are, for a video, the number of its frames that
are settled, or ``end``; for a folder, a hash for each picture. No name of a file is among them.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Sequence

END = "end"
_FEW = 1000


def identity_of(*parts: object) -> str:
    """A hash of what tells a file or picture from others: 32 hexadecimal digits."""
    return hashlib.sha256("\0".join(map(repr, parts)).encode(errors="surrogateescape")).hexdigest()[:32]


class Progress(ABC):
    """What is settled. For one thread at a time."""

    def __init__(self) -> None:
        self._identity = ""
        self._saved = False

    @abstractmethod
    def __contains__(self, key: Hashable) -> bool: ...

    @abstractmethod
    def add(self, key: Hashable) -> None:
        """A frame is settled."""

    @abstractmethod
    def begin(self, identity: str) -> int:
        """Start over unless ``identity`` is that of before; return how many frames are settled, -1: all."""

    def end(self) -> None:
        """All there ever will be is settled."""
        raise NotImplementedError("it never ends")

    def keep(self, present: Collection[Hashable]) -> None:
        """Forget frames that are not there any more."""
        raise NotImplementedError("its frames never go")

    def load(self, lines: Sequence[str]) -> None:
        """Take up what was saved; lines that are none of this kind are left out."""
        self._identity, self._saved = (lines[0] if lines else ""), True
        for line in lines[1:]:
            self._read(line)

    def news(self) -> tuple[list[str], bool]:
        """Lines that were not saved yet, and whether they are all there are."""
        if not self._identity:  # nothing was read yet
            return [], False
        fresh = self._fresh()
        if self._saved:
            return fresh, False
        self._saved = True
        return [self._identity, *self._all()], True

    def forget_saved(self) -> None:
        """The next ``news`` are all lines."""
        self._saved = False

    @abstractmethod
    def _read(self, line: str) -> None: ...

    @abstractmethod
    def _fresh(self) -> list[str]: ...

    @abstractmethod
    def _all(self) -> list[str]: ...


class VideoProgress(Progress):
    """Frames of a video, by their index: all below one, and some above it."""

    def __init__(self) -> None:
        super().__init__()
        self._next = self._told = 0
        self._above: set[Hashable] = set()
        self._ended = False

    def __contains__(self, key: Hashable) -> bool:
        return key in self._above or (isinstance(key, int) and key < self._next)

    def add(self, key: Hashable) -> None:
        self._above.add(key)
        while self._next in self._above:
            self._above.remove(self._next)
            self._next += 1

    def begin(self, identity: str) -> int:
        if identity != self._identity:
            self._identity, self._saved = identity, False
            self._next, self._ended = 0, False
            self._above.clear()
        return -1 if self._ended else self._next

    def end(self) -> None:
        self._ended = True

    def _read(self, line: str) -> None:
        if line == END:
            self._ended = True
            self._told += 1
        elif re.fullmatch(r"[0-9]{1,15}", line):
            self._next = self._told = int(line)

    def _fresh(self) -> list[str]:
        return self._all() if self._told != (self._next + self._ended) else []

    def _all(self) -> list[str]:
        self._told = self._next + self._ended
        return [str(self._next), *([END] if self._ended else [])]


class FolderProgress(Progress):
    """Pictures of a folder, by ``identity_of`` of name, time and size."""

    def __init__(self) -> None:
        super().__init__()
        self._done: set[Hashable] = set()
        self._new: list[str] = []
        self._lines = 0

    def __contains__(self, key: Hashable) -> bool:
        return key in self._done

    def add(self, key: Hashable) -> None:
        self._done.add(key)
        self._new.append(str(key))

    def begin(self, identity: str) -> int:
        if identity != self._identity:
            self._identity, self._saved = identity, False
            self._done.clear()
            self._new.clear()
        return len(self._done)

    def keep(self, present: Collection[Hashable]) -> None:
        self._done.intersection_update(present)

    def _read(self, line: str) -> None:
        if re.fullmatch(r"[0-9a-f]{32}", line):
            self._done.add(line)
            self._lines += 1

    def _fresh(self) -> list[str]:
        new, self._new = self._new, []
        self._lines += len(new)
        # Pictures that are gone leave their lines; once these are many, all lines are written again.
        self._saved = self._saved and self._lines <= 2 * len(self._done) + _FEW
        return new

    def _all(self) -> list[str]:
        self._lines = len(self._done)
        return sorted(map(str, self._done))
