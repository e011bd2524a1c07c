"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from edge.commands.demo import DemoResult
from edge.commands.doctor import Check

_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


def demo_table(result: DemoResult) -> Table:
    """What the demo's pipeline did."""
    camera = result.status.cameras[0]
    table = Table(title="edge demo", show_header=False)
    dropped = ", ".join(f"{reason} {count}" for reason, count in camera.dropped.items())
    rows = [
        ("frames captured", str(camera.captured)),
        ("images written", str(camera.written)),
        ("frames dropped", dropped or "none"),
        ("regions covered", str(camera.regions)),
        ("of these held", str(camera.regions_held)),
        ("found by the last look", f"{camera.regrown} images, {camera.escalated} covered whole"),
        ("frames per second", f"{camera.written / result.seconds:.1f}"),
        ("detector, provider", f"{result.status.detector}, {result.status.provider}"),
        ("status endpoint", f"answered {result.answers} times at {result.address}"),
        ("images with a face left", str(len(result.leaks))),
        ("weaker hits to look at", str(len(result.hits) - len(result.leaks))),
    ]
    for stage, times in result.status.stages.items():
        rows.append((f"{stage} p50 / p95", f"{times.p50_ms:.1f} / {times.p95_ms:.1f} ms"))
    for name, value in rows:
        table.add_row(name, value)
    return table


def doctor_table(checks: Sequence[Check]) -> Table:
    """The doctor's rows."""
    table = Table("check", "state", "found", "what to do")
    for check in checks:
        # Text, not markup: a path may hold square brackets
        table.add_row(
            Text(check.name), Text(check.level, _STYLES[check.level]), Text(check.found), Text(check.way_out)
        )
    return table
