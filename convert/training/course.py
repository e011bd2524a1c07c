"""The course of a run: steps, the log, figures on the way, checkpoints, and what is left at the end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from convert.training import checkpoint, curves, examples, watch
from convert.training.batches import batches
from convert.training.datasets import Picture
from convert.training.requests import FitResult, Progress
from convert.training.run_folder import RunFolder
from convert.training.samples import Sample
from convert.training.schedule import Schedule
from convert.training.trainer import Trainer

LOG_STEPS = 20
"""A row of the log is the mean over this many steps."""
CHECKPOINT_SECONDS = 60.0
WATCH_SHARE = 0.05
"""The network is judged on the pictures to watch it with after each such share of the run."""


@dataclass(frozen=True, eq=False)
class Run:
    """What a run works with."""

    trainer: Trainer
    samples: Sequence[Sample]
    watched: Sequence[Picture]
    schedule: Schedule
    seed: int
    folder: RunFolder


@dataclass(eq=False)
class Course:
    """Where a run is: ``elapsed`` and ``saved_at`` in seconds, ``watched_at`` a share of the run."""

    step: int = 0
    elapsed: float = 0.0
    watched_at: float = 0.0
    saved_at: float = 0.0
    rows: list[dict[str, float]] = field(default_factory=list)
    recent: list[dict[str, float]] = field(default_factory=list)


def resumed(run: Run) -> Course:
    """Where the last checkpoint was; the beginning where there is none. Raises ConvertError."""
    folder = run.folder
    if not folder.checkpoint.exists():
        return Course()
    stored = checkpoint.load(folder.checkpoint)
    run.trainer.restore(stored)
    step, elapsed, watched_at = (float(value) for value in stored["course"])
    rows = [row for row in folder.read_log() if row["step"] <= step]
    return Course(int(step), elapsed, watched_at, elapsed, rows)


def train(run: Run, course: Course, progress: Progress) -> FitResult:
    """Take steps until the schedule's end, then write what is left of the run."""
    events = curves.EventWriter(run.folder.tensorboard)
    begin = time.monotonic() - course.elapsed
    with contextlib.closing(batches(run.samples, run.trainer.recipe, run.seed, course.step)) as source:
        while (done := run.schedule.progress(course.step, course.elapsed)) < 1:
            batch = next(source)
            if course.step == 0:
                examples.draw_batch(batch, run.folder.examples / "augmented.jpg")
            rate = run.schedule.rate_at(course.step, course.elapsed)
            course.recent.append(run.trainer.step(batch, rate, course.step))
            course.step += 1
            course.elapsed = time.monotonic() - begin
            if course.step % LOG_STEPS == 0:
                _log(run, course, rate, events)
                progress(_text(course, done))
            if done - course.watched_at >= WATCH_SHARE:
                course.watched_at = done
                _watch(run, course, events)
            # Only beside a row of the log, which would otherwise lack the steps before the checkpoint
            if not course.recent and course.elapsed - course.saved_at > CHECKPOINT_SECONDS:
                _save(run, course)
    if course.recent:
        _log(run, course, rate, events)
    figures = _watch(run, course, events)
    run.folder.write_log(course.rows)
    run.folder.end(
        {"figures": figures, "steps": course.step, "seconds": course.elapsed}, run.trainer.mean.get_weights()
    )
    return FitResult(run.folder.folder, figures, course.elapsed, course.step)


def _epoch(run: Run, course: Course) -> float:
    return course.step * run.trainer.recipe.batch / len(run.samples)


def _counters(run: Run, course: Course) -> dict[str, float]:
    return {"step": course.step, "epoch": round(_epoch(run, course), 3), "seconds": round(course.elapsed, 1)}


def _log(run: Run, course: Course, rate: float, events: curves.EventWriter) -> None:
    means = {name: float(np.mean([part[name] for part in course.recent])) for name in course.recent[0]}
    course.recent.clear()
    course.rows.append({**_counters(run, course), **means, "rate": rate})
    events.write(course.rows[-1])


def _watch(run: Run, course: Course, events: curves.EventWriter) -> dict[str, float]:
    """Judge the running mean of the weights; draw the curves and what it misses."""
    found = watch.detect_all(run.trainer.detector, run.watched)
    figures = watch.judge(run.watched, found).row()
    course.rows.append({**_counters(run, course), **figures})
    events.write(course.rows[-1])
    examples.draw_misses(run.watched, found, run.folder.examples / "misses.jpg")
    curves.draw(course.rows, run.folder.curves, run.trainer.recipe.name)
    return figures


def _save(run: Run, course: Course) -> None:
    """The log first: rows of it behind the checkpoint are left out when a run goes on."""
    run.folder.write_log(course.rows)
    where = np.array([course.step, course.elapsed, course.watched_at], np.float64)
    checkpoint.save(run.folder.checkpoint, {**run.trainer.state(), "course": where})
    course.saved_at = course.elapsed


def _text(course: Course, done: float) -> str:
    row = course.rows[-1]
    left = course.elapsed / max(done, 1e-6) * (1 - done) / 60
    return f"epoch {row['epoch']:.1f}, loss {row['loss']:.3f}, {done:.0%} done, {left:.0f} min left"
