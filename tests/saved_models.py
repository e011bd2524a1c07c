"""Tiny TensorFlow SavedModels, built as the known exporters build large ones.

Their weights are random but smooth, so that some scores pass the threshold, depend on the picture, and
hardly change when its bytes are rounded. Heads are scaled on the sample pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from convert.sample import sample_pictures
from edge import boxes as geometry
from edge.detection.detector import paint

Array = npt.NDArray[Any]

MEAN, STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
CHANNELS, PER_CELL, STRIDES = 8, 2, (4, 8)
SCORES_OVER = 0.97
"""The quantile of the scores that becomes 0.3."""
NMS_IOU = 0.45
"""The suppression limit of the model "pad": not the default."""


def _smooth(rng: np.random.Generator, side: int, inputs: int, outputs: int) -> Array:
    """A low-pass kernel ``[side, side, inputs, outputs]``; channels are mixed at random."""
    line = np.hanning(side + 2)[1:-1]
    blob = np.outer(line, line)
    mix = rng.normal(0, 1 / np.sqrt(inputs), (inputs, outputs))
    kernel: Array = (blob[:, :, None, None] / blob.sum() * mix).astype(np.float32)
    return kernel


class Network(tf.Module):  # type: ignore[misc]
    """Two levels of maps, a weighted sum of them as in BiFPN, and heads that both levels share."""

    def __init__(self, size: int | None, columns: int, seed: int = 0, *, anchors_fixed: bool = True) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        self.size, self.columns, self.anchors_fixed = size, columns, anchors_fixed

        def variable(value: Any) -> tf.Variable:
            return tf.Variable(np.asarray(value, np.float32))

        self.stem = variable(_smooth(rng, 5, 3, CHANNELS))
        self.gamma = variable(rng.uniform(0.8, 1.5, CHANNELS))
        self.beta = variable(rng.normal(0, 0.3, CHANNELS))
        self.mean = variable(rng.normal(0, 0.1, CHANNELS))
        self.variance = variable(rng.uniform(0.3, 0.8, CHANNELS))
        self.depthwise = variable(np.abs(_smooth(rng, 3, CHANNELS, 1)))
        self.pointwise = variable(_smooth(rng, 1, CHANNELS, CHANNELS) * 1.5)
        self.down = variable(_smooth(rng, 3, CHANNELS, CHANNELS) * 2)
        self.weights = variable([[0.7], [0.4]])
        self.shared = variable(_smooth(rng, 3, CHANNELS, CHANNELS) * 1.5)
        self.shared_bias = variable(rng.normal(0, 0.2, CHANNELS))
        kernel = _smooth(rng, 1, CHANNELS, columns)
        # Both boxes of a cell rank alike, or rounding could decide which one suppresses the other.
        self.scores = variable(np.concatenate([kernel, kernel * 0.8], axis=3))
        self.scores_bias = variable(np.zeros(columns * PER_CELL))
        self.boxes = variable(_smooth(rng, 1, CHANNELS, 4 * PER_CELL))
        self.boxes_bias = variable(np.zeros(4 * PER_CELL))

    def __call__(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Normalised pictures to logits ``[B, N, columns]`` and offsets ``[B, N, 4]`` (cy cx h w)."""
        x = tf.nn.conv2d(x, self.stem, 2, "SAME")
        x, *_ = tf.compat.v1.nn.fused_batch_norm(
            x, self.gamma, self.beta, self.mean, self.variance, is_training=False
        )
        x = _swish(x)
        x = tf.nn.depthwise_conv2d(x, self.depthwise, [1, 2, 2, 1], "SAME")
        low = _swish(tf.nn.conv2d(x, self.pointwise, 1, "SAME"))
        high = tf.nn.conv2d(low, self.down, 2, "SAME")
        low = _swish(self._weigh(low, _double(high)))
        high = _swish(self._weigh(high, tf.nn.max_pool2d(low, 2, 2, "SAME")))
        logits, offsets = [], []
        for level in (low, high):
            y = _swish(tf.nn.bias_add(tf.nn.conv2d(level, self.shared, 1, "SAME"), self.shared_bias))
            batch = tf.shape(y)[0]
            scores = tf.nn.bias_add(tf.nn.conv2d(y, self.scores, 1, "SAME"), self.scores_bias)
            boxes = tf.nn.bias_add(tf.nn.conv2d(y, self.boxes, 1, "SAME"), self.boxes_bias)
            logits.append(tf.reshape(scores, [batch, -1, self.columns]))
            offsets.append(tf.reshape(boxes, [batch, -1, 4]))
        return tf.concat(logits, axis=1), tf.concat(offsets, axis=1)

    def _weigh(self, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        weights = tf.nn.relu(self.weights)
        weights = weights / (tf.reduce_sum(weights) + 1e-4)
        return tf.squeeze(tf.linalg.matmul(tf.stack([first, second], axis=-1), weights), axis=-1)

    def scale_heads(self, canvases: Array) -> None:
        """Bring scores and offsets of these normalised canvases to a range that a detector has."""
        logits, offsets = (value.numpy() for value in self(tf.constant(canvases.astype(np.float32))))
        edge = np.quantile(logits, SCORES_OVER, axis=(0, 1))
        gain = 2.0 / (logits.max(axis=(0, 1)) - edge)
        self.scores.assign(self.scores * np.tile(gain, PER_CELL))
        bias = -0.85 - gain * edge
        self.scores_bias.assign(np.concatenate([bias, bias - 0.2]))
        spread, middle = offsets.std(axis=(0, 1)) + 1e-3, offsets.mean(axis=(0, 1))
        self.boxes.assign(self.boxes * np.tile(1 / spread, PER_CELL))
        self.boxes_bias.assign(np.tile(-middle / spread, PER_CELL))

    def silence_background(self) -> None:
        """Column 0 becomes 0 everywhere, so that softmax does about what sigmoid does."""
        classes = np.tile(np.arange(self.columns) > 0, PER_CELL)
        self.scores.assign(self.scores * classes)
        self.scores_bias.assign(self.scores_bias * classes)


def _swish(x: tf.Tensor) -> tf.Tensor:
    return x * tf.sigmoid(x)


def _double(x: tf.Tensor) -> tf.Tensor:
    """Nearest upsampling as the Object Detection API writes it."""
    batch, height, width = (tf.shape(x)[axis] for axis in range(3))
    if x.shape[1] is not None:
        height, width = x.shape[1], x.shape[2]
    x = tf.stack([x] * 2, axis=3)
    x = tf.stack([x] * 2, axis=2)
    return tf.reshape(x, [batch, height * 2, width * 2, CHANNELS])


def anchors(width: int, height: int) -> Array:
    """``[N, 4]`` as cx cy w h, in shares of the canvas: neighbours hardly overlap, the two of a cell do."""
    found = []
    for stride in STRIDES:
        rows, columns = -(-height // stride), -(-width // stride)
        for row in range(rows):
            for column in range(columns):
                for factor in (1.25, 1.5):
                    found.append(
                        [(column + 0.5) * stride, (row + 0.5) * stride, stride * factor, stride * factor]
                    )
    return np.asarray(found) / [width, height, width, height]


def _decode(offsets: tf.Tensor, cxcywh: Array) -> tf.Tensor:
    """Offsets (cy cx h w) to yxyx: the box coder of Faster R-CNN with the scales 10, 10, 5, 5."""
    cx, cy, w, h = (tf.constant(part, tf.float32) for part in cxcywh.T)
    ty, tx, th, tw = tf.unstack(offsets, axis=-1)
    middle_y, middle_x = ty / 10.0 * h + cy, tx / 10.0 * w + cx
    half_h, half_w = tf.exp(th / 5.0) * h / 2.0, tf.exp(tw / 5.0) * w / 2.0
    return tf.stack([middle_y - half_h, middle_x - half_w, middle_y + half_h, middle_x + half_w], axis=-1)


def _resizer(size: int, pad: bool, short_side: int, variable: bool) -> Callable[..., Any]:
    """A picture, normalised, to canvas and its share that the picture fills (height, width)."""

    def resize(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.cast(image, tf.float32)
        if not pad:
            image = image * (2.0 / 255) - 1.0
            canvas = tf.compat.v1.image.resize_bilinear(image[None], [size, size])[0]
            return canvas, tf.constant([1.0, 1.0])
        image = (image - MEAN.astype(np.float32)) / STD.astype(np.float32)
        sides = tf.cast(tf.shape(image)[:2], tf.float32)
        scale = tf.minimum((short_side or size) / tf.reduce_min(sides), size / tf.reduce_max(sides))
        inner = tf.cast(tf.round(sides * scale), tf.int32)
        image = tf.compat.v1.image.resize_bilinear(image[None], inner)[0]
        if not variable:
            image = tf.image.pad_to_bounding_box(image, 0, 0, size, size)
        return image, tf.cast(inner, tf.float32) / size

    return resize


def _suppress(boxes: tf.Tensor, scores: tf.Tensor, nms_iou: float) -> tuple[tf.Tensor, ...]:
    """Per class, then the 100 best of all."""
    found = []
    for column in range(scores.shape[1]):
        kept, kept_scores = tf.image.non_max_suppression_with_scores(
            boxes, scores[:, column], 100, iou_threshold=nms_iou, score_threshold=1e-8
        )
        place = tf.fill(tf.shape(kept), float(column + 1))
        found.append((tf.gather(boxes, kept), kept_scores, place))
    parts = [tf.concat(part, axis=0) for part in zip(*found, strict=True)]
    order = tf.argsort(parts[1], direction="DESCENDING")[:100]
    parts = [tf.gather(part, order) for part in parts]
    count = tf.shape(order)[0]
    padded = [tf.pad(p, [[0, 100 - count], *[[0, 0]] * (p.shape.rank - 1)]) for p in parts]
    return padded[0], padded[1], padded[2], tf.cast(count, tf.float32)


def object_detection(
    folder: Path,
    *,
    size: int = 64,
    pad: bool = True,
    short_side: int = 0,
    classes: int = 1,
    background: bool = False,
    nms_iou: float = 0.5,
    variable: bool = False,
    labels: dict[int, str] | None = None,
    seed: int = 0,
) -> Path:
    """Save what ``exporter_main_v2.py`` of the TensorFlow Object Detection API would.

    ``variable`` leaves the padding out, so that the canvas depends on the picture.
    """
    network = Network(size, classes + background, seed)
    resize = _resizer(size, pad, short_side, variable)
    canvas_anchors = anchors(size, size)
    padded = _resizer(size, pad, short_side, variable=False)
    network.scale_heads(np.stack([padded(p)[0].numpy() for _, p in sample_pictures(size, size)]))
    if background:
        network.silence_background()

    def detect(input_tensor: tf.Tensor) -> dict[str, tf.Tensor]:
        canvas, filled = tf.map_fn(resize, input_tensor, fn_output_signature=(tf.float32, tf.float32))
        if not variable:
            canvas.set_shape([1, size, size, 3])
        logits, offsets = network(canvas)
        scores = tf.nn.softmax(logits) if background else tf.sigmoid(logits)
        if variable:
            offsets = tf.pad(offsets, [[0, 0], [0, len(canvas_anchors) - tf.shape(offsets)[1]], [0, 0]])
            offsets.set_shape([1, len(canvas_anchors), 4])
        boxes = _decode(offsets, canvas_anchors)
        filled = tf.tile(filled[0], [2])
        # Cut to the true picture first, as the exporter does: what is outside must not count as overlap.
        inside = tf.minimum(tf.maximum(boxes[0], 0.0), filled)
        sides = inside[:, 2:] - inside[:, :2]
        seen = tf.cast(tf.reduce_min(sides, axis=1) > 0, tf.float32)
        if variable:
            seen = seen[: tf.shape(scores)[1]]
            inside = inside[: tf.shape(scores)[1]]
        found, found_scores, found_classes, count = _suppress(
            inside, scores[0, :, int(background) :] * seen[:, None], nms_iou
        )
        return {
            "detection_boxes": (found / filled)[None],
            "detection_scores": found_scores[None],
            "detection_classes": found_classes[None],
            "num_detections": count[None],
            "raw_detection_boxes": tf.identity(boxes),
            "raw_detection_scores": tf.identity(scores),
        }

    module = tf.Module()
    module.network = network
    function = tf.function(detect, input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8)])
    tf.saved_model.save(module, str(folder), signatures=_keep(module, function))
    if labels:
        items = (f'item {{\n  id: {number}\n  name: "{name}"\n}}\n' for number, name in labels.items())
        (folder / "label_map.pbtxt").write_text("".join(items))
    return folder


def _keep(module: tf.Module, function: Any) -> Any:
    """Attach the function, or Python would drop what it captures."""
    module.function = function
    return function


def generic(
    folder: Path,
    *,
    dtype: str = "float32",
    fixed: bool = True,
    box_format: str = "yxyx",
    normalized: bool = True,
    offsets_only: bool = False,
    logits: bool = False,
    classes: int = 1,
    input_range: tuple[float, float] = (1 / 255, 0.0),
    size: tuple[int, int] = (64, 64),
    seed: int = 1,
) -> Path:
    """Save a model of no known exporter: one canvas in, ``boxes`` and ``scores`` out.

    ``offsets_only``: boxes are offsets (cy cx h w) from ``anchors``, with variances 0.1, 0.1, 0.2, 0.2,
    and no anchors are in the graph. ``input_range``: factor and summand from a byte to the input.
    """
    width, height = size
    network = Network(None, classes, seed)
    canvases = []
    for _, picture in sample_pictures(width, height):
        letterbox = geometry.stretch(picture.shape[1], picture.shape[0], width, height)
        canvases.append(paint(picture[..., ::-1], letterbox, "linear", (0, 0, 0)))
    network.scale_heads((np.stack(canvases) / 255 - 0.45) / 0.225)
    canvas_anchors = anchors(width, height)

    def detect(image: tf.Tensor) -> dict[str, tf.Tensor]:
        x = (tf.cast(image, tf.float32) - input_range[1]) / (255.0 * input_range[0])
        scores, offsets = network((x - 0.45) / 0.225)
        if not logits:
            scores = tf.sigmoid(scores)
        if offsets_only:
            return {"boxes": tf.identity(offsets), "scores": scores}
        boxes = _decode(offsets, canvas_anchors)
        if not normalized:
            boxes = boxes * tf.constant([height, width] * 2, tf.float32)
        y1, x1, y2, x2 = tf.unstack(boxes, axis=-1)
        orders = {
            "yxyx": [y1, x1, y2, x2],
            "xyxy": [x1, y1, x2, y2],
            "cxcywh": [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1],
            "cycxhw": [(y1 + y2) / 2, (x1 + x2) / 2, y2 - y1, x2 - x1],
        }
        return {"boxes": tf.stack(orders[box_format], axis=-1), "scores": scores}

    module = tf.Module()
    module.network = network
    sides = [height, width] if fixed else [None, None]
    byte = dtype == "uint8"
    spec = tf.TensorSpec([None, *sides, 3], tf.uint8 if byte else tf.float32, name="image")
    function = tf.function(detect, input_signature=[spec])
    tf.saved_model.save(module, str(folder), signatures=_keep(module, function))
    return folder


def _save(folder: Path, function: Callable[..., Any], *specs: tf.TensorSpec) -> Path:
    module = tf.Module()
    module.weight = tf.Variable(1.5)
    concrete = tf.function(lambda *inputs: function(module.weight, *inputs), input_signature=specs)
    tf.saved_model.save(module, str(folder), signatures=_keep(module, concrete))
    return folder


def two_inputs(folder: Path) -> Path:
    pictures = tf.TensorSpec([1, 64, 64, 3], tf.float32)
    return _save(folder, lambda weight, a, b: {"sum": (a + b) * weight}, pictures, pictures)


def encoded_input(folder: Path) -> Path:
    """Takes JPEG files, as ``--input_type encoded_image_string_tensor`` makes it."""

    def decode(weight: tf.Variable, files: tf.Tensor) -> dict[str, tf.Tensor]:
        picture = tf.io.decode_jpeg(files[0], channels=3)
        return {"boxes": tf.cast(picture[None, ..., 0], tf.float32) * weight}

    return _save(folder, decode, tf.TensorSpec([1], tf.string))


def without_signature(folder: Path) -> Path:
    module = tf.Module()
    module.weight = tf.Variable(1.5)
    tf.saved_model.save(module, str(folder))
    return folder


def grey_input(folder: Path) -> Path:
    picture = tf.TensorSpec([1, 64, 64, 1], tf.float32)
    return _save(folder, lambda weight, x: {"boxes": x * weight, "scores": x}, picture)


MAKERS: dict[str, Callable[[Path], Path]] = {
    "exported": object_detection,
    "pad": lambda p: object_detection(p, nms_iou=NMS_IOU),
    "stretch": lambda p: object_detection(p, pad=False),
    "short side": lambda p: object_detection(p, short_side=48),
    "two": lambda p: object_detection(p, classes=2),
    "named": lambda p: object_detection(p, classes=2, labels={1: "hat", 2: "Human face"}),
    "background": lambda p: object_detection(p, classes=2, background=True),
    "one of two": lambda p: object_detection(p, classes=1, background=True, pad=False),
    "variable": lambda p: object_detection(p, variable=True),
    "generic": generic,
    "generic pixels": lambda p: generic(p, box_format="xyxy", normalized=False),
    "generic centres": lambda p: generic(p, box_format="cxcywh", logits=True, input_range=(2 / 255, -1.0)),
    "generic bytes": lambda p: generic(p, dtype="uint8", input_range=(1.0, 0.0)),
    "generic wide": lambda p: generic(p, size=(96, 64), classes=2),
    "generic free": lambda p: generic(p, fixed=False),
    "generic offsets": lambda p: generic(p, offsets_only=True, logits=True),
    "two inputs": two_inputs,
    "encoded": encoded_input,
    "unsigned": without_signature,
    "grey": grey_input,
}
"""SavedModels by name; ``tests.saved_model_cache`` makes each of them once."""
