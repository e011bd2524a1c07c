"""What came out of a merge: counts of labels before and after, by split and by part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from convert.training.merge.collect import Entry
from convert.training.merge.parts import Part
from convert.training.merge.provenance import Provenance
from convert.training.merge.splits import PLACES, Place


@dataclass(frozen=True)
class MergeResult:
    """``entries``: the pictures, each with its split in ``places`` by its name."""

    into: str
    parts: Sequence[Part]
    provenance: Mapping[str, Provenance]
    entries: Sequence[Entry]
    places: Mapping[str, Place]

    @property
    def before(self) -> Counter[str]:
        """Objects of each label in the sets, as they were."""
        return sum((part.before for part in self.parts), Counter[str]())

    @property
    def after(self) -> Counter[str]:
        """Objects of the merged set, by the label that they had."""
        return Counter(each.was for entry in self.entries for each in entry.objects)

    @property
    def objects(self) -> int:
        return sum(len(entry.objects) for entry in self.entries)

    def in_split(self, place: Place, part: str | None = None) -> list[Entry]:
        """The pictures of a split, of all parts or of one."""
        return [
            entry
            for entry in self.entries
            if self.places[entry.image] == place and part in (None, entry.part)
        ]

    def warnings(self) -> list[str]:
        """What the user should see to."""
        found = [f"{part.name}: {text}" for part in self.parts for text in part.warnings]
        found += [f"{part.name}: {note}" for part in self.parts for note in part.labels.notes]
        empty = [place for place in PLACES if not self.in_split(place)]
        if empty:
            found.append(f"no pictures for {' and '.join(empty)}; --resplit divides all pictures anew")
        return found
