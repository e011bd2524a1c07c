"""Runs that were interrupted or killed end as others do, and what cannot be trained is refused at once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")
pytest.importorskip("matplotlib", reason="needs the train extra")

import keras
import tensorflow as tf

from convert.errors import ConvertError
from convert.training import checkpoint, fit, run_folder
from convert.training.datasets import DatasetError
from convert.training.export import export
from convert.training.open_model import open_model
from convert.training.recipes import recipe_of
from convert.training.requests import ExportRequest, FitRequest
from convert.training.run_folder import RunFolder
from tests.convert.training.sets import make_set, quick_runs, request

TOLERANCE = 1e-5
"""Of weights of about 0.1, after a few steps on one thread."""
STEPS = 8
"""4 pictures, 4 epochs, 2 canvases a step."""
RUN = """
import pickle, sys
from tests.convert.training.sets import quick_runs
from convert.training.fit import fit
with quick_runs():
    fit(pickle.loads(bytes.fromhex(sys.argv[1])), lambda text: print(text, flush=True))
"""


class InterruptedRunError(Exception):
    """As if the power had gone."""


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with quick_runs():
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was not interrupted."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    with quick_runs():
        fit.fit(request(data, out), lambda text: None)
    return out


def stop_after(rows: int) -> Any:
    """Progress that ends the run when this many rows of the log were announced."""
    seen = []

    def progress(text: str) -> None:
        if text.startswith("epoch"):
            seen.append(text)
        if len(seen) == rows:
            raise InterruptedRunError

    return progress


def furthest(first: Path, second: Path) -> float:
    """The largest difference between the weights of two runs."""
    pairs = zip(RunFolder(first).read_weights(), RunFolder(second).read_weights(), strict=True)
    return max(float(np.abs(one - other).max(initial=0)) for one, other in pairs)


def losses(run: Path) -> list[dict[str, float]]:
    return [row for row in RunFolder(run).read_log() if "loss" in row]


def test_a_run_leaves_everything_that_it_promises(whole: Path) -> None:
    present = {str(file.relative_to(whole)) for file in whole.rglob("*") if file.is_file()}
    events = {name for name in present if name.startswith("tensorboard/")}
    assert len(events) == 1
    assert present - events == {
        "run.json", "log.csv", "curves.png", "examples/augmented.jpg", "examples/misses.jpg",
        "start.npz", "checkpoint.npz", "weights.npz", "result.json",
    }  # fmt: skip
    result = json.loads((whole / "result.json").read_text())
    assert result["steps"] == STEPS
    assert {"ap50", "ap75", "recall all at 0.1"} <= set(result["figures"])
    assert [row["step"] for row in losses(whole)] == [2, 4, 6, 8]
    assert {"box", "class", "object", "loss", "rate"} <= set(losses(whole)[0])


@pytest.mark.parametrize("rows", [1, pytest.param(3, marks=pytest.mark.sweep)])
def test_an_interrupted_run_ends_as_a_whole_one(data: Path, whole: Path, tmp_path: Path, rows: int) -> None:
    asked = request(data, tmp_path / "run")
    with pytest.raises(InterruptedRunError):
        fit.fit(asked, stop_after(rows))
    assert not RunFolder(asked.out).ended()
    fit.fit(replace(asked, resume=True), lambda text: None)
    assert furthest(asked.out, whole) < TOLERANCE
    assert [row["step"] for row in losses(asked.out)] == [2, 4, 6, 8]
    mine, others = ([row["loss"] for row in losses(run)] for run in (asked.out, whole))
    assert mine == pytest.approx(others, rel=1e-3)


@pytest.mark.sweep
def test_a_run_that_is_killed_at_any_moment_ends_as_a_whole_one(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    rng = random.Random(0)
    out, kills, ended = tmp_path / "run", 0, False
    while not ended:
        asked = request(data, out, threads=1, resume=out.exists())
        patience = rng.choice([2, 3, 4]) if kills < 3 else 1000
        with started(asked) as process:
            assert process.stdout is not None
            for number, _ in enumerate(process.stdout, 1):
                if number >= patience:
                    break
            else:
                ended = process.wait(60) == 0
                assert ended
                continue
            try:
                process.wait(rng.uniform(0, 0.3))
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
    assert kills >= 2
    assert furthest(out, whole) < TOLERANCE
    assert [row["step"] for row in losses(out)] == [2, 4, 6, 8]


def started(asked: FitRequest) -> subprocess.Popen[str]:
    import pickle

    return subprocess.Popen(
        [sys.executable, "-c", RUN, pickle.dumps(asked).hex()],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )


def test_a_run_that_has_ended_is_not_trained_again(data: Path, whole: Path) -> None:
    before = (whole / "log.csv").read_bytes()
    result = fit.fit(request(data, whole, resume=True), stop_after(1))
    assert result.steps == STEPS
    assert (whole / "log.csv").read_bytes() == before


def test_a_folder_with_something_in_it_is_left_alone(data: Path, whole: Path) -> None:
    with pytest.raises(ConvertError, match="is not empty; name a new folder, or continue that run"):
        fit.fit(request(data, whole), stop_after(1))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"seed": 4}, "seed was 3 and is 4"),
        ({"epochs": 5, "rate": 0.5}, "epochs was 4 and is 5; rate was 0.001"),
    ],
)
def test_a_resumed_run_must_be_the_same(data: Path, whole: Path, more: dict[str, Any], told: str) -> None:
    with pytest.raises(ConvertError, match=told):
        fit.fit(request(data, whole, resume=True, **more), stop_after(1))


def test_other_labels_are_another_run(whole: Path, tmp_path: Path) -> None:
    other = make_set(tmp_path / "set", count=12)
    with pytest.raises(ConvertError, match="data_sha256 was"):
        fit.fit(request(other, whole, resume=True), stop_after(1))


def test_what_is_no_run_cannot_be_resumed(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match="is not a folder of edge-train fit"):
        fit.fit(request(data, tmp_path / "none", resume=True), stop_after(1))


@pytest.mark.sweep
def test_a_folder_in_which_only_a_draft_was_written_can_be_used(data: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json.part").write_text("{")
    with pytest.raises(InterruptedRunError):
        fit.fit(request(data, tmp_path / "run"), stop_after(1))


@pytest.mark.sweep
def test_objects_of_another_label_are_left_out_and_told(tmp_path: Path) -> None:
    data = make_set(tmp_path / "set")
    file = data / "annotations.jsonl"
    file.write_text(file.read_text().replace('"FACE"', '"PLATE"', 1))
    result = fit.fit(request(data, tmp_path / "run", epochs=1), lambda text: None)
    assert any("PLATE" in note for note in result.notes)


def test_pictures_to_watch_with_are_needed(tmp_path: Path) -> None:
    data = make_set(tmp_path / "set", splits=("train",))
    with pytest.raises(DatasetError, match="6 pictures to train on and 0 to watch the training with"):
        fit.fit(request(data, tmp_path / "run"), stop_after(1))


@pytest.mark.sweep
def test_a_run_that_has_not_ended_is_neither_exported_nor_judged(data: Path, tmp_path: Path) -> None:
    asked = request(data, tmp_path / "run")
    with pytest.raises(InterruptedRunError):
        fit.fit(asked, stop_after(2))
    told = "the run has not ended; go on with it: edge-train fit --resume"
    with pytest.raises(ConvertError, match=told):
        export(ExportRequest(asked.out, tmp_path / "out"), lambda text: None)
    with pytest.raises(ConvertError, match=told):
        open_model(asked.out)
    with pytest.raises(ConvertError, match=told):
        fit.fit(request(data, tmp_path / "next", weights=str(asked.out)), stop_after(1))


@pytest.mark.sweep
def test_a_run_can_begin_with_the_weights_of_another(data: Path, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(InterruptedRunError):
        fit.fit(request(data, tmp_path / "run", weights=str(whole)), stop_after(1))
    start = checkpoint.in_order("mean", checkpoint.load(tmp_path / "run" / "start.npz"))
    for one, other in zip(start, RunFolder(whole).read_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ConvertError, match="a run of tiny, which does not fit --model centre"):
        fit.fit(request(data, tmp_path / "run", weights=str(whole), model="centre"), stop_after(1))


def test_one_process_at_a_time(data: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "LOCK_TRIES", 2)
    monkeypatch.setattr(run_folder, "LOCK_PAUSE", 0.01)
    with (
        RunFolder(whole).locked(),
        pytest.raises(ConvertError, match="another edge-train fit works on this run"),
    ):
        fit.fit(request(data, whole, resume=True), stop_after(1))


@pytest.mark.sweep
def test_a_loss_that_is_no_number_ends_the_run(data: Path, tmp_path: Path) -> None:
    def broken(maps: Any, targets: Any, teacher: Any) -> dict[str, Any]:
        return {"box": tf.add_n([tf.reduce_sum(value) for value in maps.values()]) * float("nan")}

    with (
        quick_runs(loss=broken),
        pytest.raises(ConvertError, match=r"step 0: the loss is nan; .* lower --rate"),
    ):
        fit.fit(request(data, tmp_path / "run"), stop_after(1))


@pytest.mark.sweep
def test_a_damaged_checkpoint_is_named(data: Path, tmp_path: Path) -> None:
    asked = request(data, tmp_path / "run")
    with pytest.raises(InterruptedRunError):
        fit.fit(asked, stop_after(2))
    (asked.out / "checkpoint.npz").write_bytes((asked.out / "checkpoint.npz").read_bytes()[:999])
    with pytest.raises(
        ConvertError, match=r"checkpoint\.npz: .*was not written by edge-train fit, or is damaged"
    ):
        fit.fit(replace(asked, resume=True), stop_after(1))


def test_a_checkpoint_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "checkpoint.npz"
    checkpoint.save(file, {"a": np.arange(3)})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(file, {"a": np.arange(9)})
    assert checkpoint.load(file)["a"].tolist() == [0, 1, 2]


def test_published_weights_teach_and_complete_faces_alone(data: Path, whole: Path, tmp_path: Path) -> None:
    asked = RunFolder(whole).read_asked()
    centre, plate = recipe_of("centre", "none"), asked.model_copy(update={"label": "PLATE"})
    none, published, run = (request(data, tmp_path, weights=w) for w in ("none", "file.onnx", str(whole)))
    for begun, label, knows in [
        (none, asked, False),
        (published, asked, True),
        (published, plate, False),
        (run, asked, True),
        (run, plate, False),
    ]:
        suited = fit._suited(centre, begun, label)
        assert (suited.has_teacher, suited.completes) == (knows, knows)
        assert suited.masks == (label is asked)


@pytest.mark.sweep
def test_half_precision_trains_and_its_weights_are_float32(data: Path, tmp_path: Path) -> None:
    before = keras.mixed_precision.global_policy()
    asked = request(data, tmp_path / "run", epochs=1)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                fit, "_use_half_precision", lambda: keras.mixed_precision.set_global_policy("mixed_bfloat16")
            )
            result = fit.fit(asked, lambda text: None)
    finally:
        keras.mixed_precision.set_global_policy(before)
    assert np.isfinite(list(result.figures.values())).all()
    assert {array.dtype for array in RunFolder(asked.out).read_weights()} == {np.dtype(np.float32)}
