"""What was wrong with a set and how it was corrected: counted by kind, and named."""

from __future__ import annotations

from dataclasses import dataclass, field

SHOWN = 5
"""As many places of each kind are named in the terminal; ``merge.json`` has all."""


@dataclass
class Corrections:
    """``places``: by what was done, where: a picture, or the line or key of a box."""

    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, what: str, where: str) -> None:
        self.places.setdefault(what, []).append(where)

    def as_json(self) -> dict[str, dict[str, object]]:
        return {what: {"count": len(where), "where": where} for what, where in sorted(self.places.items())}

    def lines(self) -> list[str]:
        """One line for each kind, for people: what, how often, and the first few places."""
        return [
            f"{what}: {len(where)} ({', '.join(where[:SHOWN])}{', ...' if len(where) > SHOWN else ''})"
            for what, where in sorted(self.places.items())
        ]
