"""``edge-train evaluate``: figures of a run, a SavedModel or a detector on labelled pictures."""

from __future__ import annotations

from collections.abc import Sequence

from convert.sample import read_rgb
from convert.training import examples, figures, watch
from convert.training.datasets import DataSet, DatasetError, Picture, open_dataset
from convert.training.open_model import open_model
from convert.training.requests import EvaluateRequest, EvaluateResult, Progress

REPORTED = ("test", "eval")
REPORT_EVERY = 25


def evaluate(request: EvaluateRequest, progress: Progress) -> EvaluateResult:
    """See ``EvaluateRequest``. Raises ConvertError, DatasetError, DetectorError."""
    data = open_dataset(str(request.data))
    split, pictures = _pictures(data, request.split)
    progress("load the model")
    detect = open_model(request.model)
    found = []
    for number, picture in enumerate(pictures, 1):
        if number % REPORT_EVERY == 1:
            progress(f"picture {number} of {len(pictures)}")
        found.append(detect(read_rgb(picture.path)))
    if request.misses is not None:
        examples.draw_misses(pictures, found, request.misses)
    counted = figures.tally([one.objects for one in pictures], found, figures.counts)
    return EvaluateResult(
        data=data.name,
        split=split,
        pictures=len(pictures),
        objects=len(counted.found),
        figures=watch.judge(pictures, found).row(),
        points=figures.sweep(counted)[::5],
    )


def _pictures(data: DataSet, split: str | None) -> tuple[str, Sequence[Picture]]:
    """The split to report on and its pictures: ``test`` or ``eval`` where there is one, otherwise all."""
    present = {picture.split for picture in data.pictures if picture.split is not None}
    chosen = split or next((name for name in REPORTED if name in present), "all")
    if chosen == "all":
        return chosen, data.pictures
    if chosen not in present:
        raise DatasetError(
            f"--split {chosen}: {data.name} has {', '.join(sorted(present)) or 'no splits'}; or take all"
        )
    return chosen, [picture for picture in data.pictures if picture.split == chosen]
