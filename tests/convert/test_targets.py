"""What a target could refuse is named before a detector is published."""

from __future__ import annotations

import onnx.parser
import pytest

pytest.importorskip("onnxscript", reason="needs the convert extra")
import onnx_ir as ir

from convert.choices import TARGETS
from convert.targets import problems

CLEAN = """
    wide = Cast <to = 1> (image)
    turned = Transpose <perm = [0, 3, 1, 2]> (wide)
    maps = Conv (turned, weights)
    rows = Reshape (maps, shape)
    scores, index = TopK <axis = 1> (rows, k)
"""
DECLARED = """
    float[2, 3, 1, 1] weights = {1, 2, 3, 4, 5, 6}, int64[2] shape = {1, 32}, int64[1] k = {8}
"""


def graph(
    body: str, *, image: str = "uint8[1, 4, 4, 3] image", outputs: str = "float[1, 8] scores", more: str = ""
) -> ir.Model:
    text = f"""<ir_version: 9, opset_import: ["": 18, "com.microsoft": 1]>
        net ({image}) => ({outputs}) <{DECLARED}{more}> {{ {body} }}"""
    model = onnx.parser.parse_model(text)
    return ir.from_proto(onnx.shape_inference.infer_shapes(model, data_prop=True))


@pytest.mark.parametrize("target", TARGETS)
def test_a_clean_graph_has_no_problem(target: str) -> None:
    assert problems(graph(CLEAN), target) == []


@pytest.mark.parametrize("target", TARGETS)
def test_quantized_convolutions_are_taken(target: str) -> None:
    body = """
        wide = Cast <to = 1> (image)
        bytes = QuantizeLinear (wide, scale, zero)
        near = DequantizeLinear (bytes, scale, zero)
        scores = Relu (near)
    """
    model = graph(body, outputs="float[1, 4, 4, 3] scores", more=", float scale = {1}, uint8 zero = {0}")
    assert problems(model, target) == []


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('other = Einsum <equation = "ij->ji"> (scores)', "operator ai.onnx.Einsum is not on the list"),
        ("other = com.microsoft.FusedConv (scores, scores)", "operator com.microsoft.FusedConv is not on"),
        ("other = NonZero (scores)", "operator ai.onnx.NonZero is not on the list"),
        ("other = Add (index, index)", "Add computes with int64"),
        ("other = Cast <to = 7> (scores)", "Cast computes with int64"),
        ("other = Cast <to = 11> (scores)", "Cast computes with float64"),
    ],
)
def test_an_operator_or_a_type_that_may_be_refused_is_named(target: str, line: str, text: str) -> None:
    found = problems(graph(CLEAN + line), target)
    assert any(problem.startswith(text) for problem in found), found


@pytest.mark.parametrize("target", TARGETS)
def test_a_shape_that_is_not_static_is_named(target: str) -> None:
    found = problems(graph(CLEAN, image="uint8[1, height, 4, 3] image"), target)
    assert "the shape of the input image is not static" in found
    assert "Cast: the shape of wide is not static" in found
    assert all("not static" in problem for problem in found)


@pytest.mark.parametrize(("k", "count"), [(3840, 0), (3841, 1)])
def test_a_large_top_k_is_named(k: int, count: int) -> None:
    body = """
        wide = Cast <to = 1> (image)
        scores, index = TopK <axis = 1> (wide, many)
    """
    model = graph(
        body,
        image="uint8[1, 5000] image",
        outputs=f"float[1, {k}] scores",
        more=f", int64[1] many = {{{k}}}",
    )
    found = problems(model, "tensorrt")
    assert found == [f"TopK takes {k} of its input; TensorRT takes at most 3840"] * count


def test_only_tensorrt_minds_bytes_that_are_moved() -> None:
    body = """
        turned = Transpose <perm = [0, 3, 1, 2]> (image)
        wide = Cast <to = 1> (turned)
        scores = Relu (wide)
    """
    model = graph(body, outputs="float[1, 3, 4, 4] scores")
    assert problems(model, "cpu") == []
    assert problems(model, "tensorrt") == ["Transpose moves bytes; TensorRT only casts them"]


def test_the_same_problem_is_said_once() -> None:
    lines = "a = Add (index, index)\n b = Add (index, index)\n"
    assert problems(graph(CLEAN + lines), "cpu") == ["Add computes with int64"]
