"""Anonymize picture and video files: plan the work, do it on every core, and report what became of each."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from edge.boxes import Floats
from edge.config import Config
from edge.detection.joint import AnyDetector, kinds_of
from edge.errors import BlurError, DetectionError, PictureError, StoreError
from edge.files import video
from edge.files.orientation_guard import wrong_orientation
from edge.files.search import search_of
from edge.files.unread import UNREAD, why_unread
from edge.frames import RawFrame
from edge.last_look import Cover, take_last_look
from edge.pictures import SUFFIXES, read_picture
from edge.store.encode import write_picture


@dataclass(frozen=True)
class Job:
    """One file: read ``source``, write ``target``. ``name`` is its name in reports."""

    source: Path
    target: Path
    name: str
    kind: Literal["picture", "video"]


@dataclass(eq=False)
class Outcome:
    """What became of one file.

    ``faces`` holds, for the picture or each frame, boxes float32 ``[N, 4]`` (``x1 y1 x2 y2``, pixels) and
    scores float32 ``[N]``; ``labels`` the label of each of these boxes, or nothing where all are faces.
    ``by_label`` counts the regions by label. On ``regrown`` frames the last look found a face, so that more
    was covered, and on ``escalated`` ones a face even then, so that all was. ``left_out`` names tracks of a
    video that are not in what was written; ``warning`` says why a result should be looked at.
    """

    name: str
    state: Literal["written", "skipped", "refused"]
    reason: str = ""
    width: int = 0
    height: int = 0
    frames: int = 1
    regions: int = 0
    is_video: bool = False
    faces: list[tuple[Floats, Floats]] = field(default_factory=list)
    labels: list[tuple[str, ...]] = field(default_factory=list)
    by_label: Counter[str] = field(default_factory=Counter)
    regrown: int = 0
    escalated: int = 0
    left_out: list[str] = field(default_factory=list)
    warning: str = ""


@dataclass
class Plan:
    """Jobs, files refused from the start, and how many other files the folders hold."""

    jobs: list[Job] = field(default_factory=list)
    refused: list[Outcome] = field(default_factory=list)
    ignored: int = 0


def make_plan(paths: Sequence[Path], out: Path) -> Plan:
    """List the files in ``paths`` (files and folders) and where each goes below ``out``.

    A file of a folder keeps its path relative to that folder. Nothing below ``out`` is an input, no
    input is ever a target, and two inputs never share a target. Pictures and videos of formats that
    are not read are refused; files of any other kind in the folders are only counted.
    """
    plan = Plan()
    inputs: list[tuple[Path, Path]] = []
    inside_out = out.resolve()
    for path in paths:
        if os.path.isdir(path):  # unlike Path.is_dir, False where access is denied
            for file in _files(path, inside_out, plan):
                if file.suffix.lower() in (*SUFFIXES, *video.SUFFIXES, *UNREAD):
                    inputs.append((file, file.relative_to(path)))
                else:
                    plan.ignored += 1
        else:
            inputs.append((path, Path(path.name)))
    sources = {source.resolve() for source, _ in inputs}
    targets: dict[Path, str] = {}
    for source, relative in inputs:
        target = out / relative
        problem = _problem(source, target, sources, targets)
        if problem:
            plan.refused.append(Outcome(name=str(source), state="refused", reason=problem))
            continue
        targets[target] = str(source)
        kind: Literal["picture", "video"] = "picture" if source.suffix.lower() in SUFFIXES else "video"
        plan.jobs.append(Job(source=source, target=target, name=str(relative), kind=kind))
    return plan


def _files(folder: Path, excluded: Path, plan: Plan) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        reason = f"cannot be read: {error.strerror}"
        plan.refused.append(Outcome(name=str(error.filename), state="refused", reason=reason))

    for root, folders, names in os.walk(folder, onerror=refuse):
        here = Path(root)
        folders[:] = sorted(f for f in folders if (here / f).resolve() != excluded)
        for name in sorted(names):
            yield here / name


def _problem(source: Path, target: Path, sources: set[Path], targets: dict[Path, str]) -> str:
    try:
        source.stat()
    except FileNotFoundError:
        return "no such file"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if source.suffix.lower() not in (*SUFFIXES, *video.SUFFIXES):
        return why_unread(source) or "not a picture or video by its name"
    if not source.is_file():
        return "not a regular file"
    if target.resolve() in sources:
        return "would overwrite an input; choose another --out"
    if target in targets:
        return f"would be written to the same place as {targets[target]}"
    return ""


@dataclass(frozen=True)
class Options:
    """How to work: ``workers`` files (or frames of a video) at once."""

    resume: bool
    convert: bool
    keep_audio: bool
    quality: int
    workers: int


def run(
    jobs: Sequence[Job],
    detector: AnyDetector,
    config: Config,
    options: Options,
    advance: Callable[[int], None],
) -> Iterator[Outcome]:
    """Do the jobs, pictures first, and yield the outcome of each as it ends.

    A job that ends just as an interrupt arrives may be yielded twice.

    ``advance`` is called with units done: one per picture, one per video frame.
    """
    todo = []
    for job in jobs:
        if options.resume and _is_done(job):
            yield Outcome(name=job.name, state="skipped", reason="done before")
            advance(units(job))
        else:
            todo.append(job)
    pictures = [job for job in todo if job.kind == "picture"]
    pool = ThreadPoolExecutor(options.workers)
    futures: list[Future[Outcome]] = []
    given = set()
    try:
        for job in pictures:
            futures.append(pool.submit(_safely, job, _picture, detector, config, options))
        for future in as_completed(futures):
            yield future.result()
            given.add(future)
            advance(1)
    except KeyboardInterrupt:  # jobs that have begun are finished and reported
        pool.shutdown(wait=True, cancel_futures=True)
        yield from (future.result() for future in futures if not future.cancelled() and future not in given)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    for job in todo:
        if job.kind == "video":
            yield _safely(job, partial(_video, advance=advance), detector, config, options)


def units(job: Job) -> int:
    """How much work a job is: 1 for a picture, its frames for a video."""
    return 1 if job.kind == "picture" else video.count_frames(job.source)


def _is_done(job: Job) -> bool:
    # Files appear whole or not at all, so a target that exists and is newer is done.
    return job.target.is_file() and job.target.stat().st_mtime >= job.source.stat().st_mtime


def _safely(
    job: Job,
    work: Callable[[Job, AnyDetector, Config, Options], Outcome],
    detector: AnyDetector,
    config: Config,
    options: Options,
) -> Outcome:
    """Do one job; whatever is wrong with its file becomes the reason in its outcome."""
    try:
        return work(job, detector, config, options)
    except (PictureError, DetectionError, BlurError, StoreError) as error:
        return Outcome(name=job.name, state="refused", reason=str(error))
    # One hostile file must not stop the others, whatever it does to a library.
    except Exception as error:
        return Outcome(name=job.name, state="refused", reason=f"{type(error).__name__}: {error}"[:300])


def _picture(job: Job, detector: AnyDetector, config: Config, options: Options) -> Outcome:
    picture = read_picture(job.source, convert=options.convert)
    wanted = SUFFIXES[job.source.suffix.lower()]
    if picture.format != wanted:
        raise PictureError(f"named {job.source.suffix}, but is {picture.format}; rename it")
    search = search_of(config)
    found = detector.detect(picture.pixels, search).at_least(detector.score_begin)
    raw = RawFrame(picture.pixels, "file", 0, 0.0, time.monotonic(), 0)
    kinds = kinds_of(detector, found.numbers)
    cover = Cover(raw, found.boxes, config.blur, kinds=kinds)
    last = take_last_look(cover, cover.image(), detector, search)
    safe = last.frame
    write_picture(job.target, safe, wanted.lower(), options.quality, replace=True)
    return Outcome(
        name=job.name,
        state="written",
        width=raw.width,
        height=raw.height,
        regions=safe.regions,
        faces=[(found.boxes, found.scores)],
        labels=[tuple(kind.label for kind in kinds)],
        by_label=Counter(safe.labels),
        regrown=last.regrown,
        escalated=last.escalated,
    )


def _video(
    job: Job,
    detector: AnyDetector,
    config: Config,
    options: Options,
    advance: Callable[[int], None],
) -> Outcome:
    search = search_of(config)
    warning = "" if search.any_orientation else wrong_orientation(job.source, detector, search)
    result = video.anonymize_video(
        job.source,
        job.target,
        detector,
        config,
        workers=options.workers,
        keep_audio=options.keep_audio,
        replace=True,
        advance=advance,
    )
    return Outcome(
        name=job.name,
        state="written",
        width=result.width,
        height=result.height,
        frames=result.frames,
        regions=result.regions,
        is_video=True,
        faces=result.faces,
        labels=result.labels,
        by_label=result.by_label,
        regrown=result.regrown,
        escalated=result.escalated,
        left_out=result.left_out,
        warning=warning,
    )
