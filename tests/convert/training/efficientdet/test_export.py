"""A trained network leaves as the Object Detection API's do, and edge-convert takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorflow", reason="needs the convert extra")
pytest.importorskip("tf2onnx", reason="needs the convert extra")
pytest.importorskip("onnxscript", reason="needs the convert extra")

import tensorflow as tf

from convert import build as conversion
from convert.options import DetectorOptions
from convert.request import BuildRequest
from convert.sample import sample_picture
from convert.training.efficientdet.export import write_saved_model
from convert.training.efficientdet.loss import read
from convert.training.efficientdet.network import FusedBatchNorm, core
from convert.training.efficientdet.recipe import RECIPES, SCALE, variant
from convert.training.efficientdet.targets import assign
from convert.training.zipped import write_zip

NAME, SIDE = "efficientdet-d0-lite0", 128
FACE = np.array([[44, 13, 70, 47]], np.float32)
"""Of the portrait, ``x1 y1 x2 y2`` in pixels of the canvas."""
MIRROR = np.array([[0, 0, -1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]], np.float32)
RATE, STEPS = 3e-3, 40


@pytest.fixture(scope="module")
def model() -> Any:
    """Taught one face in a few steps: with random weights rounding would change the boxes."""
    recipe = RECIPES[NAME]
    made = recipe.make_network()
    for layer in core(made)._flatten_layers():
        layer.trainable = True
    canvas = tf.cast(tf.image.resize(sample_picture()[None], (SIDE, SIDE)), tf.float32)
    canvas = tf.concat([canvas, canvas[:, :, ::-1]], axis=0)
    mirrored = (FACE @ MIRROR + [SIDE, 0, SIDE, 0]).astype(np.float32)
    targets = assign([FACE, mirrored], [np.zeros(1, bool)] * 2, SIDE, SCALE)
    optimizer = tf.keras.optimizers.AdamW(RATE)
    optimizer.build(made.trainable_variables)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def step() -> Any:
        with tf.GradientTape() as tape:
            parts = recipe.loss(made(canvas, training=True), targets, {})
            total = tf.add_n(list(parts.values()))
        optimizer.apply_gradients(
            zip(tape.gradient(total, made.trainable_variables), made.trainable_variables, strict=True)
        )
        return total

    losses = [float(step()) for _ in range(STEPS)]
    assert losses[-1] < losses[0] / 2
    for layer in core(made)._flatten_layers():
        if isinstance(layer, FusedBatchNorm):
            layer.momentum = 0.0
    made(canvas, training=True)  # so few steps do not settle the statistics
    return made


@pytest.fixture(scope="module")
def exported(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "saved_model"
    write_saved_model(model, folder, 'FA"CE', {}, variant=variant(NAME), scale=SCALE, side=SIDE)
    return folder


@pytest.mark.sweep
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


@pytest.mark.sweep
def test_edge_convert_takes_the_zip(exported: Path, tmp_path: Path) -> None:
    archive = write_zip(exported, tmp_path / "saved_model.zip")
    # It knows one face alone, so that is what it must be judged on, often enough.
    known = tmp_path / "known"
    known.mkdir()
    for number in range(56):
        brighter = np.clip(sample_picture().astype(np.int16) + number % 8, 0, 255).astype(np.uint8)
        Image.fromarray(np.roll(brighter, number // 8, axis=1)).save(known / f"{number}.png")
    request = BuildRequest(archive, tmp_path / "built", detector=DetectorOptions(calibration=known))
    (built,) = conversion.build(request).detectors
    assert built.parity, built.parity.text()
    assert len(built.parity.canvas.matches) > 0
