"""The result of an audit as tables for the terminal and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

import edge
from edge.audit.figures import CameraFigures, Figures, Settings
from edge.audit.findings import Check, Example, Found
from edge.audit.run import AuditResult
from edge.detection.kinds import FACE
from edge.logs import printable

SHOWN = 10
"""At most this many findings of a kind are shown; the JSON report lists more."""
SHORT_HASH = 12
KEEP = (
    "Save the last hash outside the box: given with --head, it lets the next audit prove that nothing up to "
    "that record was changed or cut off."
)
_STYLES = {"ok": "green", "note": "yellow", "wrong": "red"}


def checks_table(result: AuditResult) -> Table:
    """A row for each check, with its state and the first findings."""
    table = Table("check", "state", "checked", "found", title=f"edge audit {printable(str(result.store))}")
    table.columns[2].justify = "right"
    for check in result.checks:
        found = Text(overflow="fold")
        for line, level in findings_of(check):
            found.append(("\n" if found else "") + line, _STYLES[level])
        # Text, not markup: a path may hold square brackets
        table.add_row(Text(check.title), Text(check.state, _STYLES[check.state]), str(check.checked), found)
    return table


def figures_table(result: AuditResult) -> Table:
    """What the box did, as far as it does not concern a single camera."""
    table = Table(show_header=False)
    for name, value in figure_rows(result):
        table.add_row(Text(name), Text(value, overflow="fold"))
    return table


def cameras_table(result: AuditResult) -> Table:
    """What is on the images of each camera."""
    table = Table(*CAMERA_COLUMNS)
    for row in camera_rows(result):
        table.add_row(*map(Text, row))
    return table


def findings_of(check: Check) -> list[tuple[str, str]]:
    """The lines to show for a check, each with its level (wrong or note)."""
    return [*_lines(check.wrong, "wrong"), *_lines(check.notes, "note")]


def warnings_of(result: AuditResult) -> list[str]:
    """What a reader must not miss even if the store matches its log."""
    figures = result.figures
    lines = [
        f"PEOPLE CAN BE RECOGNISED: {_under(settings)} were stored with {settings.reidentifiable}"
        for settings in figures.reidentifiable
    ]
    lines += [
        f"not every image had a last look before it was stored (privacy.last_look = {settings.last_look}): "
        f"{_under(settings)}"
        for settings in figures.without_last_look
    ]
    if result.way_out:
        text = "look at the images on which a face was found, stop the daemon, and remove that stretch"
        lines.append(f"{text}: {result.way_out}")
    lines += [
        f"the record of these settings is gone, so how faces were covered is unknown: {_under(settings)}"
        for settings in figures.unknown
    ]
    return lines


def verdict_of(result: AuditResult) -> str:
    """The result in one sentence."""
    if not result:
        return "1 thing is wrong" if result.wrong == 1 else f"{result.wrong} things are wrong"
    images = f"{result.images} images are as recorded, {result.rescanned} were searched for faces"
    return f"Nothing is wrong: {images}"


def figure_rows(result: AuditResult) -> list[tuple[str, str]]:
    """Names and values of the figures."""
    figures = result.figures
    rows = [
        ("from", figures.first_time or "-"),
        ("to", figures.last_time or "-"),
        ("records", f"{result.first} to {result.number} (log files: {result.log_files})"),
        ("saved hash", _wanted(result)),
        ("process starts", str(figures.starts)),
        ("versions", printable(", ".join(figures.versions)) or "-"),
        ("images present", f"{result.images}, {megabytes(result.bytes)}"),
        ("searched for faces", _rescanned(result)),
        ("by smallest face", counts(_looked_for(result))),
        ("images removed", counts(figures.purged)),
        ("images never stored", str(figures.not_stored)),
        ("images discarded", counts(figures.discarded)),
        ("clock set back", f"{figures.clock_steps} times"),
        (
            "images by detector",
            counts({sha[:SHORT_HASH]: n for sha, n in figures.detectors.items()}),
        ),
        ("images by settings", counts({s.config[:SHORT_HASH]: s.images for s in figures.settings})),
        ("people recognisable", _when(figures, ((s, s.reidentifiable) for s in figures.reidentifiable))),
        ("last look not on all", _when(figures, ((s, s.last_look) for s in figures.without_last_look))),
    ]
    for name, camera in figures.cameras.items():
        if set(camera.labels) - {FACE.label}:
            rows.append((f"regions, {printable(name)}", counts(camera.labels)))
        rows.append((f"dropped, {printable(name)}", counts(camera.dropped)))
        if camera.covered_whole:
            rows.append((f"covered whole, {printable(name)}", counts(camera.covered_whole)))
    return rows


CAMERA_COLUMNS = ("camera", "images", "regions", "held", "whole", "regrown", "escalated", "covered")


def camera_rows(result: AuditResult) -> list[tuple[str, ...]]:
    """One row per camera, with the columns of ``CAMERA_COLUMNS``."""
    return [(printable(name), *_camera(camera)) for name, camera in result.figures.cameras.items()]


def result_json(result: AuditResult) -> dict[str, Any]:
    """The whole result as JSON values."""
    figures = asdict(result.figures)
    return {
        "good": bool(result),
        "wrong": result.wrong,
        "verdict": verdict_of(result),
        "warnings": warnings_of(result),
        "store": printable(str(result.store)),
        "made": result.made.isoformat(timespec="seconds"),
        "version": edge.__version__,
        "records": {"first": result.first, "last": result.number, "head": result.head},
        "saved_head": {"sha256": result.wanted, "record": result.wanted_at},
        "log_files": result.log_files,
        "images": result.images,
        "bytes": result.bytes,
        "rescanned": result.rescanned,
        "rescanned_by_smallest_face": _looked_for(result),
        "sample": {"images": result.sample, "seed": result.seed},
        "rescan_detector": result.detector,
        "checks": [_check_json(check) for check in result.checks],
        "figures": figures,
    }


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def counts(table: dict[str, int]) -> str:
    """Each name with its count, as a text.

    >>> counts({"stale": 2, "not_due": 7})
    'stale 2, not_due 7'
    """
    return ", ".join(f"{printable(name) or '(unknown)'} {count}" for name, count in table.items()) or "none"


def _lines(found: Found, level: str) -> list[tuple[str, str]]:
    lines = [(_line(example), level) for example in found.examples[:SHOWN]]
    if found.count > SHOWN:
        lines.append((f"and {found.count - SHOWN} more", level))
    return lines


def _line(example: Example) -> str:
    return f"{example.where}: {example.what}" if example.where else example.what


def _check_json(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "title": check.title,
        "state": check.state,
        "checked": check.checked,
        "wrong": _found_json(check.wrong),
        "notes": _found_json(check.notes),
    }


def _found_json(found: Found) -> dict[str, Any]:
    return {"count": found.count, "examples": [example._asdict() for example in found.examples]}


def _under(settings: Settings) -> str:
    return (
        f"{settings.images} images from record {settings.first} on (settings {settings.config[:SHORT_HASH]})"
    )


def _when(figures: Figures, which: Iterable[tuple[Settings, str]]) -> str:
    never = "never, as far as the settings are known" if figures.unknown else "never"
    return "; ".join(f"{what}: {_under(settings)}" for settings, what in which) or never


def _wanted(result: AuditResult) -> str:
    if result.wanted is None:
        return "none given"
    if result.wanted_at is None:
        return "not in the log"
    return f"that of record {result.wanted_at}; {result.number - result.wanted_at} records follow it"


def _rescanned(result: AuditResult) -> str:
    if not result.detector:
        return "none"
    return f"{result.rescanned}, with detector {result.detector[:SHORT_HASH]}"


def _looked_for(result: AuditResult) -> dict[str, int]:
    """How many images were searched for what, as the settings of their cameras say."""
    images: Counter[str] = Counter()
    for search, count in result.searched.items():
        orientation = " in any orientation" if search.any_orientation else ""
        images[f"{search.smallest_face:g} px{orientation}"] += count
    return dict(images)


def _camera(camera: CameraFigures) -> tuple[str, ...]:
    numbers = (camera.images, camera.regions, camera.held, camera.whole, camera.regrown, camera.escalated)
    return (*map(str, numbers), f"{camera.covered:.1%}")
