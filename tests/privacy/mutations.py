"""Deliberate breaks of the product, each of which some test must catch.

``python -m tests.privacy.mutations`` copies the package and the tests, breaks one thing at a time, and runs
the tests that should notice. Exit code 1 when one did not. A break that no longer fits the source is an
error, so this list cannot grow stale.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Mutation:
    """``old`` becomes ``new`` in ``file``; ``tests`` are run with it."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """``caught_by``: the tests that failed with the break in place."""

    mutation: Mutation
    caught_by: list[str]

    def __bool__(self) -> bool:
        return bool(self.caught_by)


MUTATIONS = (
    Mutation(
        "blur is skipped when no face was found",
        "edge/blur.py",
        "    _cover_zones(pixels, zones)\n    if len(regions):\n",
        "    if len(boxes):\n        _cover_zones(pixels, zones)\n    if len(regions):\n",
        ("tests/daemon/test_zones.py",),
    ),
    Mutation(
        "the store takes an array of pixels",
        "edge/store/encode.py",
        "    if type(frame) is not AnonymizedFrame:\n",
        "    if False:\n",
        ("tests/test_frames.py", "tests/daemon/test_writer.py"),
    ),
    Mutation(
        "an image is named before its bytes are flushed",
        "edge/store/durable.py",
        "            os.fsync(file.fileno())\n",
        "",
        ("tests/store/test_store.py", "tests/store/test_audit_log.py"),
    ),
    Mutation(
        "the name of an image is never flushed",
        "edge/store/durable.py",
        "    for folder, members in named.items():\n        try:\n            flush_folder(folder)\n",
        "    for folder, members in named.items():\n        try:\n            pass\n",
        ("tests/store/test_audit_log.py",),
    ),
    Mutation(
        "hold lets a frame go one too early",
        "edge/hold.py",
        "        while len(self._line) > self._before:\n",
        "        while len(self._line) >= max(1, self._before):\n",
        ("tests/test_hold.py",),
    ),
    Mutation(
        "the age of a frame is not checked",
        "edge/daemon/camera_lane.py",
        "            if age_seconds(frame) > self._shared.config.privacy.max_frame_age_seconds:\n",
        "            if False:\n",
        ("tests/daemon/test_pipeline.py",),
    ),
    Mutation(
        "an image is stored although the last look failed",
        "edge/daemon/finisher.py",
        "            self._shared.count_failure(frame, _reason_for(error))\n",
        "            return LastLook(image)\n",
        ("tests/daemon/test_lane_last_look.py",),
    ),
    Mutation(
        "a detector that no longer finds the known face is trusted",
        "edge/daemon/pipeline.py",
        "        if self.known_face_error:\n            return Reason.KNOWN_FACE\n",
        "        if False:\n            return Reason.KNOWN_FACE\n",
        ("tests/daemon/test_known_face.py",),
    ),
    Mutation(
        "what a detector stored before it was found to be blind is kept",
        "edge/daemon/pipeline.py",
        "        self.writer.revoke()\n",
        "",
        ("tests/daemon/test_revoking.py",),
    ),
    Mutation(
        "an image is put on record only after it has its name",
        "edge/store/images.py",
        "        self._append([self._record(*image) for image in ready])\n"
        "        errors = write_group([(path, data) for _, path, data in ready])\n",
        "        errors = write_group([(path, data) for _, path, data in ready])\n"
        "        self._append([self._record(*image) for image in ready])\n",
        ("tests/store/test_audit_log.py",),
    ),
    Mutation(
        "a probe for free space that lies is believed",
        "edge/store/retention.py",
        "    if not sound:\n",
        "    if False:\n",
        ("tests/store/test_retention.py",),
    ),
)


def try_out(mutation: Mutation) -> Outcome:
    """Break a copy of the source and run the tests that should notice.

    Raises ValueError when the break does not fit the source, RuntimeError when the tests could not be run.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = _copy(Path(name))
        file = folder / mutation.file
        source = file.read_text(encoding="utf-8")
        if source.count(mutation.old) != 1:
            raise ValueError(
                f"{mutation.name}: {mutation.file} has its text {source.count(mutation.old)} times"
            )
        file.write_text(source.replace(mutation.old, mutation.new), encoding="utf-8")
        return Outcome(mutation, caught_by=failing_tests(folder, mutation.tests))


def untouched() -> list[str]:
    """Tests of this list that fail although nothing is broken: then no failure proves anything."""
    tests = sorted({test for mutation in MUTATIONS for test in mutation.tests})
    with tempfile.TemporaryDirectory() as name:
        return failing_tests(_copy(Path(name)), tests)


def _copy(folder: Path) -> Path:
    for name in ("edge", "convert", "benchmarks", "tests", "systemd", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def failing_tests(folder: Path, tests: Sequence[str]) -> list[str]:
    """The tests that fail in a copy of the source. Raises RuntimeError when they could not be run."""
    options = ["-q", "-m", "not sweep and not slow", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=folder,
        # Before the installed package, so that the copy is what is tested
        env={
            **os.environ,
            "PYTHONPATH": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HYPOTHESIS_PROFILE": "unshrunk",
        },
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return re.findall(r"^FAILED (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)


def main() -> int:
    unsound = untouched()
    if unsound:
        print(f"these tests fail without any break: {', '.join(unsound)}")
        return 1
    outcomes = []
    for mutation in MUTATIONS:
        outcomes.append(try_out(mutation))
        print(line(outcomes[-1]), flush=True)
    caught = sum(map(bool, outcomes))
    print(f"{caught} of {len(outcomes)} breaks caught")
    return 0 if caught == len(outcomes) else 1


def line(outcome: Outcome) -> str:
    """One break and what noticed it."""
    found = outcome.caught_by
    verdict = f"caught by {found[0]}" if found else "NOT CAUGHT"
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"{outcome.mutation.name} ({outcome.mutation.file}): {verdict}{more}"


if __name__ == "__main__":
    sys.exit(main())
