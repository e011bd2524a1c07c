"""Names in the merged set: of parts and of picture files, each only once."""

from __future__ import annotations

import re
from pathlib import Path

_REST = re.compile(r"[^\w.-]+")


def clean(text: str) -> str:
    """A name without blanks and signs that shells or other systems trip over.

    >>> clean("my set (2)")
    'my-set-2'
    """
    return _REST.sub("-", text).strip("-._") or "part"


class Names:
    """Names that are taken, where capitals make no difference, as on some file systems."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, wanted: str) -> tuple[str, bool]:
        """A name that is not taken yet, and whether it is another than ``wanted``.

        >>> names = Names()
        >>> [names.take(name)[0] for name in ("a.jpg", "A.jpg", "a.png")]
        ['a.jpg', 'A-2.jpg', 'a.png']
        """
        path, number, name = Path(wanted), 1, wanted
        while name.lower() in self._taken:
            number += 1
            name = f"{path.stem}-{number}{path.suffix}"
        self._taken.add(name.lower())
        return name, number > 1
