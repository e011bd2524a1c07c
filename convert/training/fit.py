"""``edge-train fit``: labelled pictures to weights."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import keras
import tensorflow as tf

import edge
from convert.training import checkpoint, weights
from convert.training.complete import complete
from convert.training.course import Run, resumed, train
from convert.training.datasets import DataSet, open_dataset
from convert.training.open_model import open_model
from convert.training.recipe import Recipe
from convert.training.recipes import recipe_of
from convert.training.requests import FitRequest, FitResult, Progress
from convert.training.run_folder import Asked, RunFolder
from convert.training.samples import Sample, read_samples
from convert.training.schedule import Schedule
from convert.training.trainer import Trainer

BFLOAT16_CAPABILITY = (8, 0)
"""Compute capability of NVIDIA GPUs from which bfloat16 is computed in hardware; it needs no loss scaling."""

FACE = "face"
"""Objects with this word in their label are those that the published networks find."""


def fit(request: FitRequest, progress: Progress) -> FitResult:
    """Train, or go on with a run that was interrupted; see ``FitRequest``.

    The same request gives the same batches in the same order. On one thread it gives the same weights within
    1e-5 after a few steps; on several, sums are not always in the same order. Raises ConvertError,
    DatasetError.
    """
    _use_threads(request.threads)
    recipe, folder = recipe_of(request.model, request.weights), RunFolder(request.out)
    data = open_dataset(str(request.data))
    samples, watched = read_samples(data)
    asked = _asked(request, recipe, data)
    folder.open(asked, resume=request.resume)
    with folder.locked():
        if folder.ended():
            result = folder.read_result()
            return FitResult(folder.folder, result["figures"], result["seconds"], result["steps"], data.notes)
        folder.examples.mkdir(exist_ok=True)
        progress("load the weights to begin with")
        trainer, samples = _prepare(request, _suited(recipe, request, asked), folder, samples, progress)
        schedule = Schedule(
            max(1, asked.epochs * len(samples) // recipe.batch),
            None if asked.minutes is None else asked.minutes * 60,
            asked.rate,
        )
        run = Run(trainer, samples, watched, schedule, asked.seed, folder)
        return replace(train(run, resumed(run), progress), notes=data.notes)


def _suited(recipe: Recipe, request: FitRequest, asked: Asked) -> Recipe:
    """Only faces wear masks, and only weights that know the object can teach it or complete its labels."""
    knows = _knows(request.weights, asked.label)
    return replace(
        recipe,
        masks=FACE in asked.label.casefold(),
        has_teacher=recipe.has_teacher and knows,
        completes=recipe.completes and knows,
    )


def _knows(begin: str, label: str) -> bool:
    """Whether the weights to begin with find objects of this label: the published files find faces."""
    if begin in (weights.NONE, weights.IMAGENET):
        return False
    if Path(begin).is_dir():
        return RunFolder(Path(begin)).read_asked().label.casefold() == label.casefold()
    return FACE in label.casefold()


def _use_threads(threads: int | None) -> None:
    if threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


def _use_half_precision() -> None:
    """Compute in bfloat16 where a GPU has it, in all networks that are made from now on."""
    for device in tf.config.list_physical_devices("GPU"):
        capability = tf.config.experimental.get_device_details(device).get("compute_capability", (0, 0))
        if capability >= BFLOAT16_CAPABILITY:
            keras.mixed_precision.set_global_policy("mixed_bfloat16")


def _asked(request: FitRequest, recipe: Recipe, data: DataSet) -> Asked:
    return Asked(
        model=recipe.name,
        data=data.name,
        data_sha256=_hash(data),
        label=next(one.label for picture in data.pictures for one in picture.objects),
        weights=weights.named(request.weights),
        complete=None if request.complete is None else weights.hash_at(request.complete, "--complete"),
        seed=request.seed,
        epochs=request.epochs or recipe.epochs,
        minutes=request.minutes,
        rate=request.rate or recipe.rate,
        version=edge.__version__,
    )


def _hash(data: DataSet) -> str:
    """Of every picture's name, split and objects."""
    lines = [
        f"{picture.path.name} {picture.split} {[(o.box, o.ignore, o.masked) for o in picture.objects]}"
        for picture in data.pictures
    ]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _prepare(
    request: FitRequest, recipe: Recipe, folder: RunFolder, samples: list[Sample], progress: Progress
) -> tuple[Trainer, list[Sample]]:
    """The network to train, and the samples with the objects that it is sure of already."""
    keras.utils.set_random_seed(request.seed)
    network = recipe.make_network()
    if folder.start.exists():
        network.set_weights(folder.read_start())
    else:
        weights.begin(recipe, network, request.weights)
        checkpoint.save(folder.start, checkpoint.numbered("mean", network.get_weights()))
    # Only now: a published file is compared with the network in full precision
    _use_half_precision()
    trainer = Trainer(recipe, network)
    if request.complete is not None:
        detect = open_model(request.complete)
    elif recipe.completes:
        detect = trainer.detector.detect
    else:
        return trainer, samples
    progress("look for objects that nobody labelled")
    completed, added = complete(samples, detect)
    progress(f"{added} objects that nobody labelled became labels")
    return trainer, completed
