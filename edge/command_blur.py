"""``edge blur``: plan, progress bar, report, summary."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from edge import batch, canary
from edge.coco import CocoReport
from edge.config import Config
from edge.detector import open_detector
from edge.errors import StoreError
from edge.logs import printable
from edge.progress import progress_bar
from edge.session import read_detector
from edge.store.text import write_text


def blur_files(
    paths: Sequence[Path],
    out: Path,
    config: Config,
    options: batch.Options,
    report: Path | None,
    console: Console,
) -> bool:
    """Anonymize files; return whether every one of them was written or done before.

    Raises EdgeError when the detector cannot be trusted or the report cannot be written.
    """
    begin = time.monotonic()
    plan = batch.make_plan(paths, out)
    if report is not None and report.suffix.lower() != ".json":
        # A picture's name here would replace that picture.
        raise StoreError(f"--report {report}: the name must end in .json")
    detector = open_detector(read_detector(config.detector.path), config.detector)
    canary.check(detector)
    total = sum(batch.units(job) for job in plan.jobs)
    outcomes = list(plan.refused)
    with progress_bar("anonymizing", total) as update:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            update(done, total)

        outcomes += batch.run(plan.jobs, detector, config.blur, options, advance)
    if report is not None:
        write_text(report, _coco(outcomes).text(), replace=True)
    _summary(outcomes, plan.ignored, time.monotonic() - begin, out, console)
    return not any(outcome.state == "refused" for outcome in outcomes)


def _coco(outcomes: Sequence[batch.Outcome]) -> CocoReport:
    coco = CocoReport()
    for outcome in sorted(outcomes, key=lambda o: o.name):
        if outcome.state == "written":
            for index, (boxes, scores) in enumerate(outcome.faces):
                frame = index if outcome.is_video else None
                coco.add(outcome.name, outcome.width, outcome.height, boxes, scores, frame)
    return coco


def _summary(
    outcomes: Sequence[batch.Outcome], ignored: int, seconds: float, out: Path, console: Console
) -> None:
    refused = sorted((o for o in outcomes if o.state == "refused"), key=lambda o: o.name)
    for outcome in refused:
        # JSON quotes make a newline in a file name visible
        console.print(
            f"refused {json.dumps(outcome.name)}: {printable(outcome.reason)}",
            style="red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    states = Counter(outcome.state for outcome in outcomes)
    written = [outcome for outcome in outcomes if outcome.state == "written"]
    frames = sum(outcome.frames for outcome in written)
    regions = sum(outcome.regions for outcome in written)
    parts = [f"{states['written']} written to {printable(str(out))}"]
    if frames != len(written):
        parts[0] += f" ({frames} frames)"
    parts.append(f"{regions} regions covered")
    if states["skipped"]:
        parts.append(f"{states['skipped']} done before")
    if ignored:
        parts.append(f"{ignored} other files left alone")
    parts.append(f"{states['refused']} refused")
    rate = frames / seconds if seconds else 0
    console.print(
        f"{', '.join(parts)}; {seconds:.1f} s, {rate:.1f} pictures per second",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
