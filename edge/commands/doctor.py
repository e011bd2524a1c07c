"""``edge doctor``: is this box ready? Each check is a row: ok, warn or fail, what was found, what to do."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

import edge
from edge.commands.doctor_cameras import check_camera, hanging
from edge.commands.doctor_check import Check
from edge.commands.doctor_clock import clock_check
from edge.commands.doctor_store import check_store
from edge.commands.endings import EXIT_FAILED, EXIT_OK
from edge.config import Config, make_config, read_config
from edge.detection import known_face
from edge.detection.detector import Detector, open_detector
from edge.detection.joint import AnyDetector, Member, join, open_member
from edge.detection.session import read_detector
from edge.detection.views import smallest_face_of
from edge.errors import EdgeError
from edge.store.encryption import recipient_of

_NO_DETECTOR = "correct this first: without a detector nothing starts"
STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}
_PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "onnxruntime-gpu",
    "onnxruntime",
    "onnxruntime-openvino",
    "pillow",
    "av",
)


def doctor(config_file: Path | None, as_json: bool, console: Console) -> bool:
    """Run all checks and print them; return whether none failed.

    Raises ConfigError when the configuration is bad. Ends the process itself when a source still hangs.
    """
    config = read_config(config_file) if config_file is not None else make_config({}, "edge doctor")
    checks = list(examine(config))
    if as_json:
        sys.stdout.write(json.dumps([asdict(check) for check in checks], indent=1) + "\n")
    else:
        console.print(doctor_table(checks))
    good = not any(check.level == "fail" for check in checks)
    if hanging():
        sys.stdout.flush()
        os._exit(EXIT_OK if good else EXIT_FAILED)
    return good


def doctor_table(checks: Sequence[Check]) -> Table:
    """The checks as rows for the terminal."""
    table = Table("check", "state", "found", "what to do")
    for check in checks:
        # Text, not markup: a path may hold square brackets
        table.add_row(
            Text(check.name), Text(check.level, STYLES[check.level]), Text(check.found), Text(check.way_out)
        )
    return table


def examine(config: Config) -> Iterator[Check]:
    """Run all checks, the cheap ones first. What a check finds never raises an error."""
    yield _versions()
    yield _swap(Path("/proc/swaps"))
    yield _core_pattern(Path("/proc/sys/kernel/core_pattern"))
    yield from check_store(config.store)
    yield clock_check(config.store)
    yield from _encryption(config.store.recipient)
    detector = yield from _detectors(config)
    if not config.cameras:
        yield Check("cameras", "warn", "none configured", "give a configuration: --config edge.toml")
    for name, camera in config.cameras.items():
        yield from check_camera(name, camera, config.privacy, detector)


def _versions() -> Check:
    parts = [f"edge {edge.__version__}", f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            parts.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return Check("versions", "ok", ", ".join(parts))


def _swap(table: Path) -> Check:
    try:
        lines = table.read_text(encoding="utf-8").splitlines()[1:]
    except OSError as error:
        return Check("swap", "warn", f"cannot be read: {error.strerror}", "list swap areas: swapon --show")
    # zram is compressed memory, not a disk
    areas = [line.split()[0] for line in lines if line.split() and "zram" not in line.split()[0]]
    if areas:
        return Check(
            "swap", "warn", f"on: {', '.join(areas)}", "raw frames in memory can reach the disk: swapoff -a"
        )
    return Check("swap", "ok", "off")


def _core_pattern(file: Path) -> Check:
    try:
        pattern = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        return Check("core dumps", "warn", f"cannot be read: {error.strerror}")
    # The process forbids its own dump (prctl) whatever the pattern is; the pattern is a second safeguard.
    if pattern.startswith("|") and pattern.split()[0] != "|/bin/false":
        return Check(
            "core dumps",
            "warn",
            f"handed to {pattern.split()[0][1:]}",
            "edge run forbids its own dump; to be doubly sure: sysctl kernel.core_pattern='|/bin/false'",
        )
    return Check("core dumps", "ok", f"forbidden by the process (pattern {pattern or 'empty'})")


def _encryption(recipient: str | None) -> Iterator[Check]:
    if recipient is None:
        return
    try:
        recipient_of(recipient)
    except EdgeError as error:
        yield Check("encryption", "fail", str(error), "correct store.recipient")
        return
    yield Check("encryption", "ok", f"images are encrypted for {recipient}")


def _detectors(config: Config) -> Generator[Check, None, AnyDetector | None]:
    """Check all detectors; return them joined, or None when one of them cannot be opened."""
    try:
        file = read_detector(config.detector.path, config.detector.name)
        yield Check("detector file", "ok", f"{file.name}, sha256 {file.sha256[:16]} as expected")
        begin = time.perf_counter()
        detector = open_detector(file, config.detector)
    except EdgeError as error:
        yield Check("detector file", "fail", str(error), _NO_DETECTOR)
        return None
    yield _provider(detector, time.perf_counter() - begin)
    yield _known_face(detector, smallest_face_of(config.privacy, config.cameras.values()))
    members = []
    for name in config.detectors:
        member = yield from _further_detector(name, config)
        if member is not None:
            members.append(member)
    return join(detector, members, config.blur) if len(members) == len(config.detectors) else None


def _further_detector(name: str, config: Config) -> Generator[Check, None, Member | None]:
    title = f"detector {name}"
    begin = time.perf_counter()
    try:
        member = open_member(name, config.detectors[name], config.detector, config.blur)
        session = member.detector.session
        text = f"{session.name} finds {member.kind.label}, sha256 {session.sha256[:16]} as expected"
        yield Check(title, "ok", text)
        yield replace(_provider(member.detector, time.perf_counter() - begin), name=f"{title}, provider")
    except EdgeError as error:
        yield Check(title, "fail", str(error), _NO_DETECTOR)
        return None
    yield _example(f"{title}, example", member)
    return member


def _example(title: str, member: Member) -> Check:
    if member.example is None:
        way_out = f"set detectors.{member.name}.example to a picture that shows what it finds"
        return Check(title, "warn", "unchecked: it has no example", way_out)
    try:
        known_face.check_example(member)
    except EdgeError as error:
        return Check(title, "fail", str(error), "use another detector, provider or example")
    return Check(title, "ok", "something is found on it")


def _provider(detector: Detector, seconds: float) -> Check:
    session = detector.session
    size = f"{session.size[0]}x{session.size[1]}" if session.size else "canvases of any size"
    nodes = ", ".join(f"{count} {name}" for name, count in session.assignment.items()) or "not counted"
    text = f"{session.provider}, {size}, nodes: {nodes}, opened in {seconds:.1f} s"
    if session.fallback:
        return Check("provider", "warn", f"{text}; {session.fallback}", "docs/providers.md")
    return Check("provider", "ok", text)


def _known_face(detector: Detector, smallest_face: float) -> Check:
    try:
        overlap = known_face.check(detector)
        known_face.KnownFaces(detector, smallest_face).check_all()
    except EdgeError as error:
        return Check("known face", "fail", str(error), "use another detector or provider")
    smallest = detector.session.contract.smallest_face
    reliable = f"; faces are found from {smallest} pixels on the canvas on" if smallest else ""
    return Check("known face", "ok", f"found, overlap {overlap:.2f}{reliable}")
