"""A detector that truly looks: a few nodes of ONNX that find the secret in a frame."""

from __future__ import annotations

from dataclasses import replace

import onnx
import onnx.parser
from onnx import helper

from tests.models import GOOD


def looking(width: int, height: int) -> onnx.ModelProto:
    """One face at most in each half of uint8 ``[1, height, width, 3]`` RGB: the hull of all pixels whose blue
    is near 0 or 255, which the secret has and nothing else."""
    middle = width // 2
    halves = "".join(
        f"""
        part{h} = Slice (mask, from{h}, to{h}, one)
        columns{h} = ReduceMax <axes = [0], keepdims = 0> (part{h})
        rows{h} = ReduceMax <axes = [1], keepdims = 0> (part{h})
        left{h} = ArgMax <axis = 0> (columns{h})
        top{h} = ArgMax <axis = 0> (rows{h})
        right{h} = ArgMax <axis = 0, select_last_index = 1> (columns{h})
        bottom{h} = ArgMax <axis = 0, select_last_index = 1> (rows{h})
        corners{h} = Concat <axis = 0> (left{h}, top{h}, right{h}, bottom{h})
        moved{h} = Add (corners{h}, offset{h})
        row{h} = Unsqueeze (moved{h}, zero)
        most{h} = ReduceMax <axes = [0], keepdims = 1> (columns{h})
        share{h} = Mul (most{h}, good)
        score{h} = Add (share{h}, poor)
        """
        for h in (0, 1)
    )
    text = f"""
    <ir_version: 9, opset_import: ["" : 17]>
    looking (uint8[1, {height}, {width}, 3] image) => (float[1, 3, 4] boxes, float[1, 3] scores)
    <int64[1] zero = {{0}}, int64[1] one = {{1}}, int64[1] two = {{2}}, int64[1] three = {{3}},
     int64[1] from0 = {{0}}, int64[1] to0 = {{{middle}}},
     int64[1] from1 = {{{middle}}}, int64[1] to1 = {{{width}}},
     int64[4] offset0 = {{0, 0, 1, 1}}, int64[4] offset1 = {{{middle}, 0, {middle + 1}, 1}},
     int64[1, 4] nowhere = {{0, 0, 1, 1}}, float[1] worst = {{0.01}},
     float half = {{127.5}}, float far = {{120.0}}, float good = {{0.9}}, float poor = {{0.02}}>
    {{
        blue = Slice (image, two, three, three)
        numbers = Cast <to = 1> (blue)
        centred = Sub (numbers, half)
        distance = Abs (centred)
        secret = Greater (distance, far)
        seen = Cast <to = 1> (secret)
        batch = Squeeze (seen, zero)
        mask = Squeeze (batch, two)
        {halves}
        integers = Concat <axis = 0> (row0, row1, nowhere)
        candidates = Cast <to = 1> (integers)
        unsorted = Concat <axis = 0> (score0, score1, worst)
        best, order = TopK (unsorted, three)
        found = Gather (candidates, order)
        boxes = Unsqueeze (found, zero)
        scores = Unsqueeze (best, zero)
    }}
    """
    model = onnx.parser.parse_model(text)
    onnx.checker.check_model(model)
    helper.set_model_props(model, replace(GOOD, letterbox_rgb="114,114,114").to_metadata())
    return model
