"""The TensorFlow side: load a SavedModel, freeze it, and run parts of its graph."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convert.errors import ConvertError
from convert.graphs import Array

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The reference runs on the CPU, so that a parity figure means the same on every workstation.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


@dataclass(frozen=True)
class Tensor:
    """One input or output of a signature; ``shape`` is None when unknown, and has None for a free side."""

    key: str
    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        sides = "?" if self.shape is None else ", ".join("?" if s is None else str(s) for s in self.shape)
        return f"{self.key}: {self.dtype} [{sides}]"


@dataclass(frozen=True)
class Model:
    """A loaded SavedModel.

    ``graph`` is the frozen ``GraphDef`` (variables are constants, functions inlined), with the tensor
    names of ``input`` and ``outputs``. ``call`` runs the SavedModel's own signature.
    """

    signature: str
    input: Tensor
    outputs: tuple[Tensor, ...]
    tensorflow: str
    graph: Any = field(repr=False)
    function: Any = field(repr=False)
    loaded: Any = field(repr=False)

    def output(self, key: str) -> Tensor | None:
        """The output of this name, if there is one."""
        return next((tensor for tensor in self.outputs if tensor.key == key), None)

    def call(self, picture: Array) -> dict[str, Array]:
        """Run the signature on one input array; returns its outputs by name."""
        import tensorflow as tf

        result = self.function(**{self.input.key: tf.constant(picture)})
        return {key: value.numpy() for key, value in result.items()}


def load(folder: Path, signature: str | None = None) -> Model:
    """Load and freeze a signature of the SavedModel in ``folder``: unless named, ``serving_default`` or the
    only one. Raises ConvertError when TensorFlow cannot, or the signature must be named."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    version = read_version(folder)
    check_fingerprint(folder)
    # TensorFlow has no common base for what a damaged file makes it raise.
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:
        raise ConvertError(
            f"TensorFlow {tf.__version__} cannot load {folder}: {_first_line(error)}; the export or the "
            "download is damaged or incomplete, or it needs custom operators: export it again"
        ) from error
    signatures = dict(getattr(loaded, "signatures", {}))
    name = _choose_signature(folder, sorted(signatures), signature)
    function = signatures[name]
    inputs = list(function.structured_input_signature[1].items())
    if len(inputs) != 1:
        raise ConvertError(
            f"signature {name!r} of {folder} has the inputs {[key for key, _ in inputs]}, but a detector "
            "has one: the picture"
        )
    try:
        frozen = convert_variables_to_constants_v2(function)
    except Exception as error:
        raise ConvertError(f"{folder} cannot be frozen: {_first_line(error)}; export it again") from error
    graph = frozen.graph.as_graph_def()
    outputs = _outputs(function, frozen)
    key, spec = inputs[0]
    picture = Tensor(key, frozen.inputs[0].name, spec.dtype.name, _shape(spec.shape))
    return Model(name, picture, outputs, version, graph, function, loaded)


def _choose_signature(folder: Path, names: list[str], wanted: str | None) -> str:
    if not names:
        raise ConvertError(
            f"{folder} has no signatures; save the model with "
            "tf.saved_model.save(model, folder, signatures=...) or model.export(folder)"
        )
    if wanted is not None and wanted not in names:
        raise ConvertError(f"--signature {wanted}: the signatures of {folder} are {', '.join(names)}")
    if wanted is None and "serving_default" not in names and len(names) > 1:
        raise ConvertError(
            f"{folder} has the signatures {', '.join(names)}, and none is serving_default; say which one "
            "detects with --signature NAME"
        )
    return wanted or ("serving_default" if "serving_default" in names else names[0])


def _outputs(function: Any, frozen: Any) -> tuple[Tensor, ...]:
    import tensorflow as tf

    structured = function.structured_outputs
    keys = sorted(structured) if isinstance(structured, dict) else []
    flat = tf.nest.flatten(structured, expand_composites=True)
    if len(keys) != len(flat) or len(keys) != len(frozen.outputs):
        raise ConvertError(
            "the signature's outputs are nested or have no names; export a dictionary of tensors"
        )
    return tuple(
        Tensor(key, tensor.name, tensor.dtype.name, _shape(tensor.shape))
        for key, tensor in zip(keys, frozen.outputs, strict=True)
    )


def _shape(shape: Any) -> tuple[int | None, ...] | None:
    return None if shape.rank is None else tuple(shape.as_list())


def read_version(folder: Path) -> str:
    """The TensorFlow version that saved the model. Raises ConvertError when the file is damaged."""
    return str(read_proto(folder).meta_graphs[0].meta_info_def.tensorflow_version) or "unknown"


def read_proto(folder: Path) -> Any:
    """Parse ``saved_model.pb``. Raises ConvertError when it is damaged or is something else."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    path = folder / "saved_model.pb"
    proto = saved_model_pb2.SavedModel()
    try:
        proto.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ConvertError(f"{path} is damaged ({error}); get it again") from error
    if not proto.meta_graphs:
        raise ConvertError(
            f"{path} is not a SavedModel: it holds no graph (a frozen graph of TensorFlow 1 looks like "
            "this); export the model again with TensorFlow 2"
        )
    return proto


def tensorflow_version() -> str:
    """The version that is installed; its package may be tensorflow or tensorflow-cpu."""
    import tensorflow as tf

    return str(tf.__version__)


def check_fingerprint(folder: Path) -> None:
    """Compare ``fingerprint.pb``, where it exists, with the graph beside it.

    Raises ConvertError when they differ: the file was changed after it was saved.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import fingerprint_pb2
    from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

    path = folder / "fingerprint.pb"
    if not path.is_file():
        return
    way_out = "the model was changed after it was saved, or the copy is damaged: get it again"
    try:
        stated = fingerprint_pb2.FingerprintDef.FromString(path.read_bytes())
        actual = fingerprint_pb2.FingerprintDef.FromString(fingerprinting.CreateFingerprintDef(str(folder)))
    except (DecodeError, RuntimeError, ValueError, fingerprinting.FingerprintException) as error:
        raise ConvertError(f"{path} cannot be checked ({_first_line(error)}); {way_out}") from error
    if stated.saved_model_checksum != actual.saved_model_checksum:
        raise ConvertError(f"{folder / 'saved_model.pb'} does not belong to its fingerprint.pb: {way_out}")


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]


class Probe:
    """Computes any tensor of a frozen graph."""

    def __init__(self, graph: Any) -> None:
        import tensorflow as tf

        self._graph = tf.Graph()
        with self._graph.as_default():
            tf.import_graph_def(graph, name="")
        config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=2, inter_op_parallelism_threads=1)
        self._session = tf.compat.v1.Session(graph=self._graph, config=config)

    def __call__(self, tensors: list[str], feeds: dict[str, Array]) -> list[Array]:
        """Compute ``tensors`` (names such as ``x:0``). Raises ConvertError when TensorFlow cannot."""
        import tensorflow as tf

        try:
            return [np.asarray(value) for value in self._session.run(tensors, feeds)]
        except (tf.errors.OpError, ValueError, KeyError) as error:
            raise ConvertError(f"TensorFlow cannot run the graph: {_first_line(error)}") from error
