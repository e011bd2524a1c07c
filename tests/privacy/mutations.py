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
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
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
    """``caught_by``: the first test that failed with the break in place, if any did."""

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
        "what follows a loss is taken before the next key frame",
        "edge/sources/intact.py",
        "            if barred or not packet.is_keyframe:\n",
        "            if False:\n",
        ("tests/sources/test_intact.py",),
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
        "what a detector let through before it was found to be blind is released later",
        "edge/daemon/pipeline.py",
        "        self.writer.discard()\n",
        "",
        ("tests/daemon/test_quarantine.py",),
    ),
    Mutation(
        "an image is written before the check has passed",
        "edge/daemon/writer.py",
        "        self.quarantine.add(entry, image)\n",
        "        self.quarantine.add(entry, image)\n        self._write(self.quarantine.take())\n",
        ("tests/daemon/test_quarantine.py",),
    ),
    Mutation(
        "images are released by a check that began before their looks had ended",
        "edge/daemon/pipeline.py",
        "        self._threads.finish_all()\n        try:\n            self.known_faces.check()\n",
        "        try:\n            self.known_faces.check()\n            self._threads.finish_all()\n",
        ("tests/daemon/test_quarantine.py",),
    ),
    Mutation(
        "a known face is found wherever its box is",
        "edge/detection/known_face.py",
        "SAME_IOU, SAME_SCORE = 0.6, 0.75\n",
        "SAME_IOU, SAME_SCORE = 0.0, 0.75\n",
        ("tests/detection/test_known_sheets.py",),
    ),
    Mutation(
        "an image is put on record only after it has its name",
        "edge/store/images.py",
        "        self._append([_image_record(*each, self.folder, "
        "self._origin, self._audit) for each in ready])\n"
        "        errors = write_group([(path, image.data) for _, path, image in ready])\n",
        "        errors = write_group([(path, image.data) for _, path, image in ready])\n"
        "        self._append([_image_record(*each, self.folder, "
        "self._origin, self._audit) for each in ready])\n",
        ("tests/store/test_audit_log.py",),
    ),
    Mutation(
        "ages count by a wall clock for which nobody vouches",
        "edge/store/trusted_clock.py",
        "min(wall, steady + self._chain)",
        "wall",
        ("tests/store/test_clock_steps.py",),
    ),
    Mutation(
        "a probe for free space that lies is believed",
        "edge/store/retention.py",
        "    if not is_sound(state):\n",
        "    if False:\n",
        ("tests/store/test_retention.py",),
    ),
    Mutation(
        "the change gate compares with blocks at which nobody has looked",
        "edge/detection/gate.py",
        "        cv2.copyTo(now, mask.view(np.uint8), level.reference)",
        "        level.reference[:] = now",
        ("tests/detection/test_gate.py",),
    ),
    Mutation(
        "what was found where nothing has changed since is forgotten",
        "edge/detection/gate.py",
        "_together([self._chosen(level, level.found, mask, touching=False), *fresh])",
        "_together([_NOTHING, *fresh])",
        ("tests/detection/test_gate.py",),
    ),
    Mutation(
        "what is found on a shared canvas is taken for a find in another view",
        "edge/detection/shared_canvas.py",
        ".argmin(axis=1), np.int64)",
        ".argmax(axis=1), np.int64)",
        ("tests/detection/test_shared_canvas.py",),
    ),
    Mutation(
        "a frame that waited is not the one that was detected on",
        "edge/frames.py",
        "        if made is None or made.shape != (self.height, self.width, 3):\n",
        "        if made is None:\n",
        ("tests/test_frames.py",),
    ),
    Mutation(
        "parts in which nothing changes are never swept",
        "edge/detection/gate.py",
        "            mask[part] |= seconds + self._gap > due\n",
        "            mask[part] |= False\n",
        ("tests/detection/test_gate.py",),
    ),
    Mutation(
        "the last look searches half the pixels",
        "edge/last_look.py",
        "    found = detector.combine(detector.look(image.pixels, views), width, height)\n",
        "    views = detector.views(width, height, Search(2**0.5 * EVERYTHING.smallest_face))\n"
        "    found = detector.combine(detector.look(image.pixels, views), width, height)\n",
        ("tests/test_last_look_views.py",),
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
        return Outcome(mutation, caught_by=failing_tests(folder, ["-x", *mutation.tests]))


def try_all(pool: Executor) -> Iterator[Outcome]:
    """Try out each break; the outcomes come in the order of the list."""
    return pool.map(try_out, MUTATIONS)


def files_needed() -> list[str]:
    """The files of tests that are run with the breaks."""
    return sorted({test for mutation in MUTATIONS for test in mutation.tests})


def untouched(tests: Sequence[str]) -> list[str]:
    """Tests of these files that fail although nothing is broken: then no failure proves anything."""
    with tempfile.TemporaryDirectory() as name:
        return failing_tests(_copy(Path(name)), tests)


def _copy(folder: Path) -> Path:
    for name in ("edge", "convert", "benchmarks", "tests", "systemd", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def failing_tests(folder: Path, arguments: Sequence[str]) -> list[str]:
    """The tests that fail in a copy of the source; ``arguments`` are pytest's. Raises RuntimeError when they
    could not be run."""
    options = ["-q", "-m", "not sweep and not slow", "-p", "no:cacheprovider", "-p", "no:schemathesis"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *arguments],
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
    unsound = untouched(files_needed())
    if unsound:
        print(f"these tests fail without any break: {', '.join(unsound)}")
        return 1
    outcomes = []
    with ThreadPoolExecutor(2) as pool:
        for outcome in try_all(pool):
            outcomes.append(outcome)
            print(line(outcome), flush=True)
    caught = sum(map(bool, outcomes))
    print(f"{caught} of {len(outcomes)} breaks caught")
    return 0 if caught == len(outcomes) else 1


def line(outcome: Outcome) -> str:
    """One break and what noticed it."""
    verdict = f"caught by {outcome.caught_by[0]}" if outcome else "NOT CAUGHT"
    return f"{outcome.mutation.name} ({outcome.mutation.file}): {verdict}"


if __name__ == "__main__":
    sys.exit(main())
