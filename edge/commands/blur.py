"""``edge blur``: plan, progress bar, report, summary."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from edge.commands.progress import progress_bar
from edge.commands.terminal import print_plain
from edge.config import Config, PrivacyConfig, make_config
from edge.config.blur import REIDENTIFIABLE_FILLS, Fill, Region
from edge.config.detector import Provider
from edge.config.detectors import LABEL_PATTERN
from edge.detection import known_face
from edge.detection.detector import open_detector
from edge.detection.joint import labels_of, open_further
from edge.detection.session import read_detector
from edge.detection.shipped import FILES
from edge.errors import StoreError
from edge.files import batch
from edge.files.coco import CocoReport, read_report
from edge.logs import printable
from edge.store.text import write_text

SHOWN = 5
"""Most names that a line lists."""

DETECTION_TIMEOUT_SECONDS = 120
"""Pictures may be far larger than a camera's, and nothing waits for the next frame."""


def blur_config(
    *,
    fill: Fill,
    region: Region,
    top_fraction: float,
    allow_reidentifiable: bool,
    detectors: Sequence[str],
    provider: Provider,
    smallest_face: int,
    any_orientation: bool,
    score: float | None,
) -> Config:
    """The configuration that the options of ``edge blur`` stand for; the environment overrides it.

    ``detectors`` are names of shipped ones or files. The first takes the place of ``[detector]``, and the
    score applies to it. ``smallest_face`` is in pixels.

    Raises typer.BadParameter when a fill or region leaves people recognisable and neither the option nor the
    environment accepts that, ConfigError when a variable in the environment is wrong.
    """
    table: dict[str, Any] = {
        "privacy": {
            "allow_reidentifiable": allow_reidentifiable,
            "smallest_face_pixels": smallest_face,
            "any_orientation": any_orientation,
        }
    }
    allowed = make_config(table, "edge blur").privacy.allow_reidentifiable
    for option, value, weak in (("--fill", fill, REIDENTIFIABLE_FILLS), ("--region", region, ("top",))):
        if value in weak and not allowed:
            raise typer.BadParameter(
                f"{value} leaves people recognisable; to accept that, add --allow-reidentifiable",
                param_hint=f"'{option}'",
            )
    table["blur"] = {"fill": fill, "region": region, "top_fraction": top_fraction}
    first = _chosen(detectors[0]) if detectors else {}
    table["detector"] = {
        **first,
        "provider": provider,
        "threads": 1,
        "score_begin": score,
        "timeout_seconds": DETECTION_TIMEOUT_SECONDS,
    }
    table["detectors"] = {}
    for number, other in enumerate(detectors[1:], 2):
        name = Path(other).stem.lower()
        if re.fullmatch(LABEL_PATTERN, name) is None or name in table["detectors"]:
            name = f"detector{number}"
        table["detectors"][name] = _chosen(other)
    return make_config(table, "edge blur")


def _chosen(detector: str) -> dict[str, str]:
    """The key of a section that chooses this detector."""
    return {"name": detector} if detector in FILES else {"path": detector}


def blur_options(*, resume: bool, convert: bool, keep_audio: bool, quality: int, jobs: int) -> batch.Options:
    """How to work through the files; ``jobs`` 0 means one worker per core."""
    return batch.Options(
        resume=resume,
        convert=convert,
        keep_audio=keep_audio,
        quality=quality,
        workers=jobs or os.cpu_count() or 1,
    )


def blur_files(
    paths: Sequence[Path],
    out: Path,
    config: Config,
    options: batch.Options,
    report: Path | None,
    console: Console,
    *,
    strict: bool = False,
) -> bool:
    """Anonymize files; return whether each was written whole or done before, and has its entry in the report.
    With ``strict``, a warning counts like a refusal.

    Raises EdgeError when the detector cannot be trusted or the report cannot be read or written.
    """
    begin = time.monotonic()
    plan = batch.make_plan(paths, out)
    if report is not None and report.suffix.lower() != ".json":
        # A picture's name here would replace that picture.
        raise StoreError(f"--report {report}: the name must end in .json")
    chosen = config.detector
    detector = open_further(open_detector(read_detector(chosen.path, chosen.name), chosen), config)
    labels = labels_of(detector)
    coco = read_report(report, labels) if report is not None and options.resume else CocoReport(labels)
    known_face.check(detector)
    total = sum(batch.units(job) for job in plan.jobs)
    outcomes = list(plan.refused)
    with progress_bar("anonymizing", total) as update:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            update(done, total)

        try:
            outcomes += batch.run(plan.jobs, detector, config, options, advance)
        except KeyboardInterrupt:
            # --resume will skip what is done and needs it in the report; another run's report is left alone
            if report is not None and (options.resume or not report.exists()):
                _write_report(report, coco, outcomes)
            raise
    missing: list[str] = []
    if report is not None:
        missing = [o.name for o in outcomes if o.state == "skipped" and o.name not in coco]
        _write_report(report, coco, outcomes)
    _summary(outcomes, plan.ignored, time.monotonic() - begin, out, labels, config.privacy, console)
    if missing:
        print_plain(console, _missing_text(sorted(missing)), style="red")
    return not missing and not any(_is_bad(outcome, strict) for outcome in outcomes)


def _is_bad(outcome: batch.Outcome, strict: bool) -> bool:
    return outcome.state == "refused" or bool(outcome.left_out) or (strict and bool(outcome.warning))


def _write_report(path: Path, coco: CocoReport, outcomes: Sequence[batch.Outcome]) -> None:
    """Replace the entries of the files that this run has written, and write the report."""
    for outcome in outcomes:
        if outcome.state == "written":
            coco.drop(outcome.name)
            found = zip(outcome.faces, outcome.labels, strict=True)
            for index, ((boxes, scores), labels) in enumerate(found):
                frame = index if outcome.is_video else None
                coco.add(outcome.name, outcome.width, outcome.height, boxes, scores, frame, labels)
    write_text(path, coco.text(), replace=True)


def _missing_text(names: Sequence[str]) -> str:
    shown = ", ".join(json.dumps(name) for name in names[:SHOWN])
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (
        f"not in the report: {shown}{more}, which an earlier run did without a report; run again without "
        "--resume, or remove their results first"
    )


def _summary(
    outcomes: Sequence[batch.Outcome],
    ignored: int,
    seconds: float,
    out: Path,
    labels: Sequence[str],
    privacy: PrivacyConfig,
    console: Console,
) -> None:
    refused = sorted((o for o in outcomes if o.state == "refused"), key=lambda o: o.name)
    for outcome in refused:
        # JSON quotes make a newline in a file name visible
        print_plain(console, f"refused {json.dumps(outcome.name)}: {printable(outcome.reason)}", style="red")
    for outcome in sorted((o for o in outcomes if o.warning), key=lambda o: o.name):
        print_plain(console, f"warning: {json.dumps(outcome.name)}: {outcome.warning}", style="yellow")
    for outcome in sorted((o for o in outcomes if o.left_out), key=lambda o: o.name):
        print_plain(
            console,
            f"left out of {json.dumps(outcome.name)}: {', '.join(outcome.left_out)}; if that is right, make "
            "a file without them first (ffmpeg -i IN -map 0:V:0 -map 0:a? -c copy OUT)",
            style="red",
        )
    states = Counter(outcome.state for outcome in outcomes)
    written = [outcome for outcome in outcomes if outcome.state == "written"]
    frames = sum(outcome.frames for outcome in written)
    regions = sum(outcome.regions for outcome in written)
    parts = [f"{states['written']} written to {printable(str(out))}"]
    if frames != len(written):
        parts[0] += f" ({frames} frames)"
    by_label = sum((outcome.by_label for outcome in written), Counter[str]())
    each = ", ".join(f"{label} {by_label[label]}" for label in labels)
    parts.append(f"{regions} regions covered{f' ({each})' if len(labels) > 1 else ''}")
    parts.append(f"faces of {privacy.smallest_face_pixels} pixels and more looked for")
    if regrown := sum(outcome.regrown for outcome in written):
        whole = sum(outcome.escalated for outcome in written)
        all_of = f", all of {whole}" if whole else ""
        parts.append(f"more covered on {regrown} after the last look{all_of}")
    if states["skipped"]:
        parts.append(f"{states['skipped']} done before")
    if ignored:
        parts.append(f"{ignored} other files left alone")
    parts.append(f"{states['refused']} refused")
    rate = frames / seconds if seconds else 0
    print_plain(console, f"{', '.join(parts)}; {seconds:.1f} s, {rate:.1f} pictures per second")
