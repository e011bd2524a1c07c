"""The whole audit of one store, in an order that gives correct results while the box goes on storing.

The folder is listed before the log is read. A record is on the disk before its image has a name, so every
listed image is in the log. Images that are missing are checked once more after the records that were added
in the meantime have been read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge.audit.check_image import Rescan
from edge.audit.check_images import Advance, ImageChecks
from edge.audit.check_log import LogReader
from edge.audit.expected_images import ExpectedImages, gone_of
from edge.audit.figures import Figures, Tally
from edge.audit.files import exists, list_files, opened_folder
from edge.audit.findings import Check, Findings
from edge.audit.recorded_searches import RecordedSearches
from edge.audit.way_out import purge_command
from edge.detection import known_face
from edge.detection.rescan import open_for_rescan
from edge.detection.views import Search
from edge.store.log_format import FOLDER


@dataclass(frozen=True)
class Options:
    """``sample``: how many images to search for faces, drawn at random (None: all). ``head``: a hash that was
    saved outside the box. ``detector``: one to use instead of the shipped one. ``identities`` open encrypted
    images. ``jobs``: how many images to check at once."""

    sample: int | None = None
    head: str | None = None
    detector: Path | None = None
    identities: Sequence[Any] = ()
    jobs: int = 1


@dataclass(frozen=True)
class AuditResult:
    """True when nothing is wrong.

    ``number`` and ``head`` are the number and hash of the last record; ``first`` is the number of the first
    record that is still there. ``images`` and ``bytes`` count the images that are present and unchanged, and
    ``searched`` those that were also searched for faces, by what was looked for, with the detector of this
    sha256 (empty: none was needed). ``way_out`` is the command that removes those on which one was found. A
    ``sample`` was drawn with this ``seed``: the hash of the last record before the images were checked.
    ``wanted`` is the hash that was saved outside the box, ``wanted_at`` the number of its record.
    """

    store: Path
    made: datetime
    checks: tuple[Check, ...]
    figures: Figures
    first: int
    number: int
    head: str
    log_files: int
    images: int
    bytes: int
    searched: dict[Search, int]
    sample: int | None
    seed: str
    detector: str
    way_out: str
    wanted: str | None
    wanted_at: int | None

    def __bool__(self) -> bool:
        return all(self.checks)

    @property
    def rescanned(self) -> int:
        """How many images were searched for faces."""
        return sum(self.searched.values())

    @property
    def wrong(self) -> int:
        """How many things are wrong."""
        return sum(check.wrong.count for check in self.checks)


def audit_store(folder: Path, options: Options, advance: Advance) -> AuditResult:
    """Check the log and the images of a store.

    Raises StoreError when there is no such folder, and DetectorError when the detector cannot be trusted.
    """
    made = datetime.now(timezone.utc)
    findings = Findings()
    searches = RecordedSearches(findings)
    rescan = _open_rescan(options, searches)
    with opened_folder(folder) as store:
        has_log = exists(store, FOLDER)
        expected = ExpectedImages(list_files(store, findings) if has_log else set(), findings)
        reader, tally = LogReader(store, findings, options.head), Tally(findings)
        if has_log:
            for record in reader.records():
                expected.add(record)
                tally.add(record)
                searches.add(record)
        seed = reader.head
        images = ImageChecks(store, expected, findings, rescan)
        images.check_all(reader, options.sample, options.jobs, advance)
        if has_log:
            images.judge_missing(gone_of(reader.records()))
            _judge_others(store, expected, findings)
            reader.finish()
        else:
            findings.wrong("log", FOLDER, "there is no log here; give the folder set as store.folder")
    return AuditResult(
        store=folder,
        made=made,
        checks=findings.checks(),
        figures=tally.figures(),
        first=reader.first or 0,
        number=reader.number,
        head=reader.head,
        log_files=reader.files,
        images=images.good,
        bytes=images.bytes,
        searched=dict(images.searched),
        sample=options.sample,
        seed=seed,
        detector=rescan.detector.session.sha256 if rescan is not None else "",
        way_out=purge_command(images.with_faces),
        wanted=options.head,
        wanted_at=reader.wanted_at,
    )


def _open_rescan(options: Options, searches: RecordedSearches) -> Rescan | None:
    if options.sample == 0:
        return None
    detector = open_for_rescan(options.detector)
    known_face.check(detector)
    return Rescan(detector, searches, options.identities)


def _judge_others(store: int, expected: ExpectedImages, findings: Findings) -> None:
    """Report listed files that should not be in the store, unless they have disappeared since."""
    for path in sorted(expected.unknown):
        if exists(store, path):
            findings.wrong("extra", path, "has no record")
    for path, number in expected.unstored.items():
        if exists(store, path):
            findings.wrong("extra", path, f"is there, although record {number} says that it was never stored")
    for path, number in expected.removed.items():
        if exists(store, path):
            findings.note("extra", path, f"is there: its removal by record {number} was not finished")
