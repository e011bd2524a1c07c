"""Merge labelled sets: everything is written to a draft, which takes the place of the folder at the end."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from convert.training.datasets import DatasetError
from convert.training.merge import provenance, shares
from convert.training.merge.collect import Collector
from convert.training.merge.labels import choose
from convert.training.merge.parts import Part, open_parts
from convert.training.merge.plot import check_matplotlib, plot
from convert.training.merge.record import write_annotations, write_record
from convert.training.merge.request import MergeRequest, Progress
from convert.training.merge.result import MergeResult
from convert.training.merge.splits import assign


def merge(request: MergeRequest, progress: Progress = lambda _: None) -> MergeResult:
    """Merge, and write ``request.out``. Raises DatasetError, ConvertError without matplotlib, and OSError.

    The folder that is written holds ``images/``, ``annotations.jsonl``, ``merge.json``, ``shares.md``,
    ``shares.png``, and ``parts/`` with what lay beside the labels about licence and source.
    """
    check_matplotlib()
    _check_free(request.out)
    progress("read labels")
    parts = open_parts(request)
    choose(parts, request.keep)
    with _draft(request.out) as draft:
        images = draft / "images"
        images.mkdir()
        collector = Collector(images)
        for part in parts:
            collector.add(part, progress)
        entries = collector.entries
        if not any(entry.objects for entry in entries):
            raise DatasetError(f"{len(entries)} pictures, but no {request.into} on any of them")
        without_val = {part.name for part in parts if not _brings_val(part)}
        result = MergeResult(
            request.into,
            parts,
            {part.name: provenance.keep(part, request, draft) for part in parts},
            entries,
            assign(entries, request.shares, request.seed, without_val, resplit=request.resplit),
        )
        write_annotations(result, draft)
        write_record(request, result, draft)
        (draft / "shares.md").write_text(shares.as_markdown(result), encoding="utf-8")
        plot(result, draft / "shares.png")
    return result


def _brings_val(part: Part) -> bool:
    return any(picture.split == "val" for picture in part.pictures)


@contextlib.contextmanager
def _draft(out: Path) -> Iterator[Path]:
    """An empty folder that becomes ``out`` at the end, or is removed."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".edge-train-", dir=out.parent) as beside:
        draft = Path(beside, "draft")  # the folder itself is for its owner alone
        draft.mkdir()
        yield draft
        os.replace(draft, out)


def _check_free(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise DatasetError(f"--out {out} exists and is not an empty folder; choose another, or remove it")
