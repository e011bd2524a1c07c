"""``edge-train evaluate``: figures of a run, a SavedModel or a detector on labelled pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from convert.graphs import Array
from convert.sample import read_rgb
from convert.training import checkpoint, examples, figures, watch
from convert.training.datasets import DataSet, DatasetError, Picture, open_dataset
from convert.training.detect import LOWEST_SCORE, NetworkDetector
from convert.training.recipes import RECIPES
from convert.training.requests import EvaluateRequest, EvaluateResult, Progress
from convert.training.run_folder import RunFolder
from convert.training.saved_detector import open_saved_model
from edge.config import DetectorConfig
from edge.detection.detector import Detections, open_detector
from edge.detection.session import read_detector

REPORTED = ("test", "eval")


def evaluate(request: EvaluateRequest, progress: Progress) -> EvaluateResult:
    """See ``EvaluateRequest``. Raises ConvertError, DatasetError, DetectorError."""
    data = open_dataset(str(request.data))
    split, pictures = _pictures(data, request.split)
    progress("load the model")
    detect = _detector(request.model)
    found = []
    for number, picture in enumerate(pictures, 1):
        progress(f"picture {number} of {len(pictures)}")
        found.append(detect(read_rgb(picture.path)))
    if request.misses is not None:
        examples.draw_misses(pictures, found, request.misses)
    counted = figures.tally([one.objects for one in pictures], found, figures.counts, watch.MATCH_IOU)
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


def _detector(path: Path) -> Callable[[Array], Detections]:
    """From uint8 ``[H, W, 3]`` RGB to boxes in its pixels, for whatever lies at this path."""
    if path.suffix == ".onnx":
        return _onnx(path)
    if (path / "run.json").is_file():
        folder = RunFolder(path)
        recipe = RECIPES[folder.read_asked().model]
        network = recipe.make_network()
        network.set_weights(checkpoint.in_order("mean", checkpoint.load(folder.weights)))
        return NetworkDetector(network, recipe).detect
    return open_saved_model(path)


def _onnx(path: Path) -> Callable[[Array], Detections]:
    """A detector as the box runs it on a single view, but from ``LOWEST_SCORE`` on."""
    config = DetectorConfig(path=path, provider="cpu", tiles="1x1", timeout_seconds=600)
    detector = open_detector(read_detector(path), config)
    detector.score_begin = detector.score_continue = LOWEST_SCORE
    return lambda picture: detector.detect(np.ascontiguousarray(picture[..., ::-1]))
