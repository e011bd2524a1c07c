"""The result of an audit as tables for the terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

import edge
from edge.audit.figures import CameraFigures, Figures, Settings
from edge.audit.findings import Check, Example, Found
from edge.audit.run import AuditResult
from edge.logs import printable

SHOWN = 10
"""So many findings of a kind are named; JSON has more of them."""
SHORT_HASH = 12
KEEP = (
    "Keep the last hash away from the box: with --head the next audit proves that nothing up to it was "
    "changed or cut off."
)
_STYLES = {"ok": "green", "note": "yellow", "wrong": "red"}


def checks_table(result: AuditResult) -> Table:
    """A row for each check: its state, and the first findings."""
    table = Table("check", "state", "looked at", "found", title=f"edge audit {printable(str(result.store))}")
    table.columns[2].justify = "right"
    for check in result.checks:
        found = Text(overflow="fold")
        for line, level in findings_of(check):
            found.append(("\n" if found else "") + line, _STYLES[level])
        # Text, not markup: a path may hold square brackets
        table.add_row(Text(check.title), Text(check.state, _STYLES[check.state]), str(check.looked_at), found)
    return table


def figures_table(result: AuditResult) -> Table:
    """What the box did."""
    table = Table(show_header=False)
    for name, value in figure_rows(result):
        table.add_row(Text(name), Text(value, overflow="fold"))
    return table


def cameras_table(result: AuditResult) -> Table:
    """What each camera's images show."""
    table = Table(*CAMERA_COLUMNS)
    for row in camera_rows(result):
        table.add_row(*map(Text, row))
    return table


def findings_of(check: Check) -> list[tuple[str, str]]:
    """Lines to show under a check, each with its level (wrong, note)."""
    return [*_lines(check.wrong, "wrong"), *_lines(check.notes, "note")]


def warnings_of(result: AuditResult) -> list[str]:
    """What a reader must not miss, although the store is as its log says."""
    figures = result.figures
    lines = [
        f"PEOPLE CAN BE RECOGNISED: {_under(settings)} were stored with {settings.reidentifiable}"
        for settings in figures.reidentifiable
    ]
    lines += [
        f"not each image had a last look before it was stored (privacy.last_look = {settings.last_look}): "
        f"{_under(settings)}"
        for settings in figures.without_last_look
    ]
    lines += [
        f"settings not on record any more, so nobody can tell how faces were covered: {_under(settings)}"
        for settings in figures.unknown
    ]
    return lines


def verdict_of(result: AuditResult) -> str:
    """One sentence."""
    if not result:
        things = "thing is" if result.wrong == 1 else "things are"
        return f"{result.wrong} {things} wrong"
    images = f"{result.images} images are as recorded, {result.looked_at} were looked at for faces"
    return f"Nothing is wrong: {images}"


def figure_rows(result: AuditResult) -> list[tuple[str, str]]:
    """Names and values of the figures that are of no camera."""
    figures = result.figures
    rows = [
        ("from", figures.first_time or "-"),
        ("to", figures.last_time or "-"),
        ("records", f"{result.first} to {result.number} (log files: {result.log_files})"),
        ("hash kept elsewhere", _wanted(result)),
        ("process starts", str(figures.starts)),
        ("versions", printable(", ".join(figures.versions)) or "-"),
        ("images there", f"{result.images}, {megabytes(result.bytes)}"),
        ("looked at for faces", _looked_at(result)),
        ("removed, on record", counts(figures.purged)),
        ("never stored, on record", str(figures.not_stored)),
        ("clock went back", f"{figures.clock_steps} times"),
        (
            "images by detector",
            counts({sha[:SHORT_HASH]: n for sha, n in figures.detectors.items()}),
        ),
        ("images by settings", counts({s.config[:SHORT_HASH]: s.images for s in figures.settings})),
        ("people recognisable", _told(figures, ((s, s.reidentifiable) for s in figures.reidentifiable))),
        ("last look not on each", _told(figures, ((s, s.last_look) for s in figures.without_last_look))),
    ]
    for name, camera in figures.cameras.items():
        rows.append((f"dropped, {printable(name)}", counts(camera.dropped)))
        if camera.covered_whole:
            rows.append((f"covered whole, {printable(name)}", counts(camera.covered_whole)))
    return rows


CAMERA_COLUMNS = ("camera", "images", "regions", "held", "whole", "regrown", "escalated", "covered")


def camera_rows(result: AuditResult) -> list[tuple[str, ...]]:
    """One row per camera, as ``CAMERA_COLUMNS`` names them."""
    return [(printable(name), *_camera(camera)) for name, camera in result.figures.cameras.items()]


def result_json(result: AuditResult) -> dict[str, Any]:
    """Everything, as JSON values."""
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
        "head_kept_elsewhere": {"sha256": result.wanted, "record": result.wanted_at},
        "log_files": result.log_files,
        "images": result.images,
        "bytes": result.bytes,
        "looked_at": result.looked_at,
        "sample": {"images": result.sample, "seed": result.seed},
        "second_look_detector": result.detector,
        "checks": [_check_json(check) for check in result.checks],
        "figures": figures,
    }


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def counts(table: dict[str, int]) -> str:
    """Names with their numbers.

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
        "looked_at": check.looked_at,
        "wrong": _found_json(check.wrong),
        "notes": _found_json(check.notes),
    }


def _found_json(found: Found) -> dict[str, Any]:
    return {"count": found.count, "examples": [example._asdict() for example in found.examples]}


def _under(settings: Settings) -> str:
    return (
        f"{settings.images} images from record {settings.first} on (settings {settings.config[:SHORT_HASH]})"
    )


def _told(figures: Figures, which: Iterable[tuple[Settings, str]]) -> str:
    never = "never, as far as settings are on record" if figures.unknown else "never"
    return "; ".join(f"{what}: {_under(settings)}" for settings, what in which) or never


def _wanted(result: AuditResult) -> str:
    if result.wanted is None:
        return "none given"
    if result.wanted_at is None:
        return "not in the log"
    return f"is of record {result.wanted_at}; {result.number - result.wanted_at} records follow it"


def _looked_at(result: AuditResult) -> str:
    if not result.detector:
        return "none"
    return f"{result.looked_at}, with detector {result.detector[:SHORT_HASH]}"


def _camera(camera: CameraFigures) -> tuple[str, ...]:
    numbers = (camera.images, camera.regions, camera.held, camera.whole, camera.regrown, camera.escalated)
    return (*map(str, numbers), f"{camera.covered:.1%}")
