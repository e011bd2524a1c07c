"""What the box did according to its records: figures for a person to read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from edge.audit import record_fields
from edge.audit.findings import Findings
from edge.config.blur import REIDENTIFIABLE_FILLS
from edge.detection.kinds import FACE
from edge.store.log_format import Record


@dataclass(frozen=True)
class CameraFigures:
    """One camera. ``covered`` is the mean share of an image that is covered, 0..1. ``dropped`` and
    ``covered_whole`` are frames by reason, over all runs of the process. ``labels`` are the regions by what
    they were covered for; those without a label are faces."""

    images: int
    regions: int
    held: int
    whole: int
    regrown: int
    escalated: int
    covered: float
    dropped: dict[str, int]
    covered_whole: dict[str, int]
    labels: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """One configuration that was in force. ``first`` is the number of its first record, ``images`` how many
    images were stored under it. ``reidentifiable`` names the settings that leave people recognisable (empty:
    none does), ``last_look`` is privacy.last_look (empty: unknown). ``known`` is false if the record of its
    start was removed with old log files."""

    config: str
    first: int
    images: int
    known: bool
    reidentifiable: str
    last_look: str


@dataclass(frozen=True)
class Figures:
    """``first_time`` and ``last_time`` are the times of the first and the last record. ``purged`` and
    ``discarded`` (by reason) and ``not_stored`` count images, ``detectors`` counts images by the sha256 of
    the detector, and ``clock_steps`` counts how often the box's clock was set back."""

    records: int
    first_time: str
    last_time: str
    starts: int
    versions: tuple[str, ...]
    cameras: dict[str, CameraFigures]
    not_stored: int
    discarded: dict[str, int]
    purged: dict[str, int]
    detectors: dict[str, int]
    settings: tuple[Settings, ...]
    clock_steps: int

    @property
    def reidentifiable(self) -> list[Settings]:
        return [settings for settings in self.settings if settings.reidentifiable]

    @property
    def without_last_look(self) -> list[Settings]:
        """The settings under which some or all images were stored without a last look."""
        return [settings for settings in self.settings if settings.last_look in ("off", "sampled", "covered")]

    @property
    def unknown(self) -> list[Settings]:
        return [settings for settings in self.settings if not settings.known]


@dataclass
class _Camera:
    sums: Counter[str] = field(default_factory=Counter)
    covered: float = 0.0
    dropped: Counter[str] = field(default_factory=Counter)
    covered_whole: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)

    def figures(self) -> CameraFigures:
        names = ("images", "regions", "held", "whole", "regrown", "escalated")
        images = self.sums["images"]
        return CameraFigures(
            **{name: self.sums[name] for name in names},
            covered=self.covered / images if images else 0.0,
            dropped=dict(self.dropped.most_common()),
            covered_whole=dict(self.covered_whole.most_common()),
            labels=dict(self.labels.most_common()),
        )


class Tally:
    """Adds up the records; ``figures`` may be called once, at the end."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._records = self._starts = self._not_stored = self._clock_steps = 0
        self._first_time = self._last_time = ""
        self._versions: dict[str, None] = {}
        self._cameras: dict[str, _Camera] = {}
        self._run: dict[str, tuple[dict[str, int], dict[str, int]]] = {}  # the last totals of this run
        self._discarded: Counter[str] = Counter()
        self._purged: Counter[str] = Counter()
        self._detectors: Counter[str] = Counter()
        self._settings: dict[str, tuple[int, dict[str, Any] | None]] = {}
        self._by_config: Counter[str] = Counter()
        self._origin: tuple[str, str] | None = None

    def add(self, record: Record) -> None:
        """Take the next record of the log, whose fields must be valid."""
        self._records += 1
        self._add_time(record)
        event = record["event"]
        if event == "start":
            self._add_start(record)
        elif event == "log_purged":
            self._add_settings(record)
        elif event == "image":
            self._add_image(record)
        elif event == "purged":
            self._purged[record["why"]] += len(record["images"])
        elif event == "clock" and record["state"] == "in_doubt":
            self._findings.note("chain", f"record {record['n']}", f"the clock is in doubt: {record['why']}")
        elif event == "discarded":
            for camera in record["cameras"].values():
                self._discarded[record["why"]] += camera["images"]
        elif event == "not_stored":
            self._not_stored += len(record["images"])
        elif event in ("counts", "stop"):
            for name, totals in record["cameras"].items():
                self._run[name] = totals["dropped"], totals["covered_whole"]

    def figures(self) -> Figures:
        self._end_run()
        return Figures(
            records=self._records,
            first_time=self._first_time,
            last_time=self._last_time,
            starts=self._starts,
            versions=tuple(self._versions),
            cameras={name: camera.figures() for name, camera in sorted(self._cameras.items())},
            not_stored=self._not_stored,
            discarded=dict(self._discarded.most_common()),
            purged=dict(self._purged.most_common()),
            detectors=dict(self._detectors.most_common()),
            settings=tuple(
                _settings(config, first, self._by_config[config], table)
                for config, (first, table) in self._settings.items()
            ),
            clock_steps=self._clock_steps,
        )

    def _add_time(self, record: Record) -> None:
        time = record["time"]
        before, now = record_fields.moment_of(self._last_time or time), record_fields.moment_of(time)
        if before is not None and now is not None and now < before:
            self._clock_steps += 1
            text = (
                f"its time is {(before - now).total_seconds():.0f} s earlier than that of the previous record"
            )
            self._findings.note("chain", f"record {record['n']}", text)
        self._first_time = self._first_time or time
        self._last_time = time

    def _add_start(self, record: Record) -> None:
        self._end_run()
        self._starts += 1
        self._versions[record["version"]] = None
        self._not_stored += len(record["not_stored"])
        self._add_settings(record)

    def _add_settings(self, record: Record) -> None:
        config = record["config"]
        first, _ = self._settings.get(config, (record["n"], None))
        self._settings[config] = first, record["settings"]
        self._origin = record["detector"], config

    def _add_image(self, record: Record) -> None:
        origin = record["detector"], record["config"]
        if self._origin is not None and origin != self._origin:
            text = "was stored with a detector or settings that differ from those at the start of its process"
            self._findings.wrong("settings", f"record {record['n']}", text)
        self._settings.setdefault(record["config"], (record["n"], None))
        self._by_config[record["config"]] += 1
        self._detectors[record["detector"]] += 1
        name = record["camera"]
        camera = self._cameras.setdefault(name, _Camera())
        camera.sums["images"] += 1
        for key in ("regions", "held", "whole", "regrown", "escalated"):
            camera.sums[key] += int(record[key])
        camera.covered += record["covered"]
        camera.labels.update(_labels(record))
        self._run[name] = record["dropped"], record["covered_whole"]

    def _end_run(self) -> None:
        """Add the last totals of this run: the box counts from 0 again after each start."""
        for name, (dropped, covered_whole) in self._run.items():
            camera = self._cameras.setdefault(name, _Camera())
            camera.dropped.update(dropped)
            camera.covered_whole.update(covered_whole)
        self._run = {}


def _labels(record: Record) -> dict[str, int]:
    """Regions by label; those that the record gives no label are faces, as in the logs of older versions."""
    labels: dict[str, int] = dict(record.get("labels", {}))
    rest = record["regions"] - sum(labels.values())
    if rest > 0:
        labels[FACE.label] = labels.get(FACE.label, 0) + rest
    return labels


def _settings(config: str, first: int, images: int, table: dict[str, Any] | None) -> Settings:
    known = table or {}
    fill, region = _value(known, "blur", "fill"), _value(known, "blur", "region")
    weak = [f"blur.fill = {fill}"] if fill in REIDENTIFIABLE_FILLS else []
    weak += ["blur.region = top"] if region == "top" else []
    last_look = _value(known, "privacy", "last_look")
    return Settings(config, first, images, table is not None, ", ".join(weak), last_look)


def _value(table: dict[str, Any], section: str, key: str) -> str:
    inner = table.get(section)
    value = inner.get(key) if isinstance(inner, dict) else None
    return value if isinstance(value, str) else ""
