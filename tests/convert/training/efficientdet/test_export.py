"""A trained network leaves as the Object Detection API's do, and edge-convert takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")
pytest.importorskip("tf2onnx", reason="needs the convert extra")
pytest.importorskip("onnxscript", reason="needs the convert extra")

import tensorflow as tf

from convert import build as conversion
from convert.request import BuildRequest
from convert.sample import sample_picture
from convert.training.efficientdet.export import write_saved_model
from convert.training.efficientdet.loss import read
from convert.training.efficientdet.network import FusedBatchNorm, core
from convert.training.efficientdet.recipe import RECIPES, SCALE, variant
from convert.training.zipped import write_zip

NAME, SIDE = "efficientdet-d0-lite0", 128


@pytest.fixture(scope="module")
def model() -> Any:
    """With weights that tell places of a picture apart, as trained ones do."""
    made = RECIPES[NAME].make_network()
    rng = np.random.default_rng(0)
    picture = tf.image.resize(sample_picture()[None], (SIDE, SIDE))
    layers = [layer for layer in core(made)._flatten_layers() if isinstance(layer, FusedBatchNorm)]
    for layer in layers:
        layer.trainable, layer.momentum = True, 0.0
    made(picture, training=True)
    head = core(made).get_layer("classes")
    head.pointwise_kernel.assign(rng.normal(0, 1, head.pointwise_kernel.shape))
    head.bias.assign(np.full(head.bias.shape, -3.0))
    return made


@pytest.fixture(scope="module")
def exported(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "saved_model"
    write_saved_model(model, folder, 'FA"CE', {}, variant=variant(NAME), scale=SCALE, side=SIDE)
    return folder


@pytest.mark.slow
def test_the_signature_gives_what_the_network_does(exported: Path, model: Any) -> None:
    picture = tf.image.resize(sample_picture()[None], (SIDE, SIDE), antialias=True)
    picture = tf.cast(tf.round(picture), tf.uint8)
    signature = tf.saved_model.load(str(exported)).signatures["serving_default"]
    found = signature(input_tensor=picture)
    outputs = model(tf.cast(picture, tf.float32), training=False)
    scores = tf.sigmoid(outputs["classes"])
    assert scores.numpy().std() > 0.01
    np.testing.assert_allclose(found["raw_detection_scores"], scores, atol=1e-4)
    boxes, best = read(outputs, (SIDE, SIDE), SCALE)
    assert found["detection_scores"][0, 0].numpy() == pytest.approx(best[0, 0].numpy(), abs=1e-4)
    clipped = np.clip(boxes[0, 0].numpy() / SIDE, 0, 1)[[1, 0, 3, 2]]
    assert found["detection_boxes"][0, 0].numpy() == pytest.approx(clipped, abs=1e-3)


@pytest.mark.slow
def test_edge_convert_takes_the_zip(exported: Path, tmp_path: Path) -> None:
    archive = write_zip(exported, tmp_path / "saved_model.zip")
    (built,) = conversion.build(BuildRequest(archive, tmp_path / "built")).detectors
    assert built.parity, built.parity.text()
    assert len(built.parity.canvas.matches) > 20
