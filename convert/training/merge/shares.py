"""The share of each label before and after, as tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from convert.training.merge.result import MergeResult
from convert.training.merge.splits import PLACES


def label_rows(result: MergeResult) -> tuple[list[str], list[list[str]]]:
    """Header and rows: each label of the sets, what became of it, and at last the one that there is now."""
    header = ["label", *(part.name for part in result.parts), "before", "share", "became", "after", "share"]
    if len(result.parts) == 1:
        header.pop(1)
    before, after = result.before, result.after
    rows = []
    for label, count in sorted(before.items(), key=lambda item: (-item[1], item[0])):
        of_parts = [str(part.before[label]) for part in result.parts]
        counts = any(label in part.counts for part in result.parts)
        row = [label, *(of_parts if len(of_parts) > 1 else []), str(count), percent(count, before.total())]
        now = [result.into, str(after[label]), percent(after[label], result.objects)]
        rows.append([*row, *(now if counts else ["dropped", "-", "-"])])
    blank = ["-"] * (len(header) - 3)
    rows.append([result.into, *blank, str(result.objects), percent(result.objects, result.objects)])
    return header, rows


def split_rows(result: MergeResult) -> tuple[list[str], list[list[str]]]:
    """Header and rows: pictures and objects of each part in each split."""
    rows = []
    for name in [*(part.name for part in result.parts), None]:
        cells = []
        for place in PLACES:
            entries = result.in_split(place, name)
            objects = sum(len(entry.objects) for entry in entries)
            cells.append(f"{len(entries)} pictures, {objects} {result.into}")
        rows.append([name or "all", *cells])
    return ["part", *PLACES], rows if len(result.parts) > 1 else rows[:1]


def as_markdown(result: MergeResult) -> str:
    """The page ``shares.md``."""
    text = [f"# Labels merged to {result.into}", _table(*label_rows(result)), _table(*split_rows(result))]
    for part in result.parts:
        origin = result.provenance[part.name]
        text.append(
            f"## {part.name}\n\nLicence: {origin.licence or 'not known'}. Source: "
            f"{origin.source or 'not known'}."
        )
        lines = part.corrections.lines()
        text.append("\n".join(f"- {line}" for line in lines) if lines else "Nothing was corrected.")
    text += [f"Note: {warning}." for warning in result.warnings()]
    return "\n\n".join(text) + "\n"


def percent(part: int, whole: int) -> str:
    """A share with one decimal.

    >>> percent(1, 3)
    '33.3 %'
    """
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *rows))
