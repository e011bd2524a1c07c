"""The whole audit of one store, in the order that makes it true while the box goes on storing.

The folder is listed before the log is read: a record is on the disk before its image has a name, so every
listed image is in the log. Images that are missing then are looked for once more, after reading what the log
has got meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge.audit.check_image import Look
from edge.audit.check_images import Advance, Images
from edge.audit.expected_images import ExpectedImages, gone_of
from edge.audit.figures import Figures, Tally
from edge.audit.files import exists, list_files, opened_folder
from edge.audit.findings import Check, Findings
from edge.audit.log import LogReader
from edge.detection import known_face
from edge.detection.rescan import open_for_rescan
from edge.store.chain import FOLDER


@dataclass(frozen=True)
class Options:
    """``sample``: so many images are looked at for faces, drawn at random (None: all). ``head``: a hash that
    was kept elsewhere. ``detector``: another one than the shipped. ``identities`` open encrypted images.
    ``jobs``: images at once."""

    sample: int | None = None
    head: str | None = None
    detector: Path | None = None
    identities: Sequence[Any] = ()
    jobs: int = 1


@dataclass(frozen=True)
class AuditResult:
    """True when nothing is wrong.

    ``number`` and ``head`` are of the last record, ``first`` is the number of the first one there is.
    ``images`` and ``bytes`` count images that are there and as recorded, ``looked_at`` those that were also
    searched for faces, with the detector of this sha256 (empty: none was needed); a ``sample`` of them was
    drawn with this ``seed``, which is the hash of the last record then. ``wanted`` is the hash that
    was kept elsewhere, ``wanted_at`` the number of its record.
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
    looked_at: int
    sample: int | None
    seed: str
    detector: str
    wanted: str | None
    wanted_at: int | None

    def __bool__(self) -> bool:
        return all(self.checks)

    @property
    def wrong(self) -> int:
        """How many things are wrong."""
        return sum(check.wrong.count for check in self.checks)


def audit_store(folder: Path, options: Options, advance: Advance) -> AuditResult:
    """Check the log and the images of a store.

    Raises StoreError when there is no such folder, DetectorError when the detector cannot be trusted.
    """
    made = datetime.now(timezone.utc)
    look = _open_look(options)
    findings = Findings()
    with opened_folder(folder) as store:
        has_log = exists(store, FOLDER)
        expected = ExpectedImages(list_files(store, findings) if has_log else set(), findings)
        reader, tally = LogReader(store, findings, options.head), Tally(findings)
        if has_log:
            for record in reader.records():
                expected.add(record)
                tally.add(record)
        seed = reader.head
        images = Images(store, expected, findings, look)
        images.examine(reader, options.sample, options.jobs, advance)
        if has_log:
            images.settle(gone_of(reader.records()))
            _judge_others(store, expected, findings)
            reader.finish()
        else:
            findings.wrong("log", FOLDER, "there is no log here; give the folder that store.folder names")
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
        looked_at=images.looked_at,
        sample=options.sample,
        seed=seed,
        detector=look.detector.session.sha256 if look is not None else "",
        wanted=options.head,
        wanted_at=reader.wanted_at,
    )


def _open_look(options: Options) -> Look | None:
    if options.sample == 0:
        return None
    detector = open_for_rescan(options.detector)
    known_face.check(detector)
    return Look(detector, options.identities)


def _judge_others(store: int, expected: ExpectedImages, findings: Findings) -> None:
    """What lies in the store and should not. It may have gone since it was listed."""
    for path in sorted(expected.unknown):
        if exists(store, path):
            findings.wrong("extra", path, "is not on record")
    for path, number in expected.unstored.items():
        if exists(store, path):
            findings.wrong("extra", path, f"is there, but was never stored by record {number}")
    for path, number in expected.removed.items():
        if exists(store, path):
            findings.note("extra", path, f"was to be removed by record {number}; that was not finished")
