"""The graph takes bytes and normalises them itself."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

pytest.importorskip("onnxscript", reason="needs the convert extra")
import onnx_ir as ir

from convert import graphs
from convert.passes.preprocess import TakeBytes
from edge import contract
from tests.convert.nets import NCHW, Net, compute, ops, random, wiring

SCALE, OFFSET = (1 / 127.5, 1 / 100, 1 / 50), (-1.0, 0.5, -2.0)


def picture_model(*readers: str, name: str = "image", kind: int = TensorProto.FLOAT) -> ir.Model:
    """``readers``: nchw, through the usual Transpose; nhwc, as it is."""
    net = Net()
    image = net.input(1, 6, 5, 3, name=name, kind=kind)
    if kind == TensorProto.UINT8:
        image = net("Cast", image, to=TensorProto.FLOAT)
    outputs = []
    for reader in readers:
        if reader == "nchw":
            turned = net("Transpose", image, perm=NCHW)
            outputs.append(net("Conv", turned, net.const(random(2, 3, 3, 3)), pads=[1] * 4))
        else:
            outputs.append(net("Softmax", image, axis=2))
    return net.model(*outputs)


@pytest.mark.parametrize("cast_first", [False, True])
@pytest.mark.parametrize("readers", [["nchw"], ["nhwc"], ["nchw", "nhwc"], ["nchw", "nchw"]])
def test_bytes_are_normalised_in_the_graph(readers: list[str], cast_first: bool) -> None:
    model = picture_model(*readers)
    picture = np.random.default_rng(0).integers(0, 256, (1, 6, 5, 3), np.uint8)
    wanted = compute(model, (picture * np.array(SCALE) + OFFSET).astype(np.float32))
    rewrite = TakeBytes(SCALE, OFFSET, cast_first=cast_first)
    assert rewrite(model).modified
    (image,) = model.graph.inputs
    assert (image.name, image.dtype, graphs.shape_of(image)) == ("image", ir.DataType.UINT8, (1, 6, 5, 3))
    for found, array in zip(compute(model, picture), wanted, strict=True):
        np.testing.assert_allclose(found, array, atol=1e-4)
    assert [node.op_type for node, _ in image.uses()] == ["Cast" if cast_first else "Transpose"]
    assert ops(model).count("Transpose") == (2 if "nhwc" in readers else 1)
    before = wiring(model)
    assert not rewrite(model).modified
    assert wiring(model) == before


def test_a_normalisation_that_does_nothing_adds_nothing() -> None:
    model = picture_model("nchw")
    TakeBytes((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))(model)
    assert ops(model) == ["Transpose", "Cast", "Conv"]


@pytest.mark.parametrize("name", ["image", "input_tensor"])
def test_a_model_that_takes_bytes_already_is_left_as_it_is(name: str) -> None:
    model = picture_model("nchw", name=name, kind=TensorProto.UINT8)
    picture = np.random.default_rng(0).integers(0, 256, (1, 6, 5, 3), np.uint8)
    (wanted,) = compute(model, picture)
    nodes = ops(model)
    result = TakeBytes(SCALE, OFFSET)(model)
    assert ops(model) == nodes
    assert model.graph.inputs[0].name == contract.INPUT
    assert result.modified == (name != contract.INPUT)
    np.testing.assert_array_equal(compute(model, picture)[0], wanted)


@pytest.mark.parametrize("shapes", [[(1, 3, 6, 5)], [(6, 5, 3)], [(1, "h", 5, 3)], [(1, 6, 5, 3), (1,)]])
def test_an_input_that_is_no_picture_is_refused(shapes: list[tuple[int | str, ...]]) -> None:
    net = Net()
    values = [net.input(*shape, name=f"x{place}") for place, shape in enumerate(shapes)]
    model = net.model(net("Add", values[0], values[-1]))
    with pytest.raises(ir.passes.PreconditionError, match=r"expected one input \[B, H, W, 3\]"):
        TakeBytes(SCALE, OFFSET)(model)
