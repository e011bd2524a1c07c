"""What each pass of the conversion is worth: nodes and milliseconds with each one left out.

``python -m benchmarks.convert_passes SAVED_MODEL``. The graph of an Object Detection API export is optimized
once with all passes and once without each; all variants then run interleaved in ONNX Runtime on one CPU
thread. As a check on our own passes, onnxslim (if it is installed) gets the finished graph as well.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

from benchmarks import common
from convert import families
from convert import model as tensorflow_model
from convert import optimize as pipeline
from convert.build import export
from convert.model import Probe
from convert.options import ModelOptions
from convert.source import open_source
from edge import contract

LEFT_OUT = ("ScaleAndAdd", "NearestToResize", "SinkTransposes", "FuseConvolutions")


class Nothing(ir.passes.InPlacePass):
    """Stands in for a pass that is left out."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        return ir.passes.PassResult(model, modified=False)


def variants(path: Path) -> dict[str, onnx.ModelProto]:
    """The finished graph, and the same without each pass."""
    with open_source(path) as source:
        model = tensorflow_model.load(source.folder)
        plan = families.make_plan(model, Probe(model.graph), source.labels, ModelOptions())
        exported = export(model, plan, 1)
    rule = plan.preprocessing

    def finish() -> onnx.ModelProto:
        proto = ir.to_proto(pipeline.optimize(exported, plan.head, rule.scale, rule.offset).model)
        proto.ir_version = 9
        return proto

    made = {"all passes": finish()}
    for name in LEFT_OUT:
        with mock.patch.object(pipeline, name, Nothing):
            made[f"without {name}"] = finish()
    if importlib.util.find_spec("onnxslim"):
        import onnxslim

        made["all passes, then onnxslim"] = onnxslim.slim(
            onnx.ModelProto.FromString(finish().SerializeToString())
        )
    return made


def measure(made: dict[str, onnx.ModelProto], rounds: int) -> list[dict[str, Any]]:
    """Run the variants in turn and return a row for each."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    sessions = {
        name: ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for name, proto in made.items()
    }
    shape = next(iter(sessions.values())).get_inputs()[0].shape
    canvas = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    seconds: dict[str, list[float]] = {name: [] for name in made}
    for number in range(rounds + 3):
        for name, session in sessions.items():
            begin = time.perf_counter()
            session.run(None, {contract.INPUT: canvas})
            if number >= 3:
                seconds[name].append(time.perf_counter() - begin)
    base = statistics.median(seconds["all passes"])
    return [
        {
            "variant": name,
            "nodes": len(proto.graph.node),
            "median_ms": round(statistics.median(seconds[name]) * 1e3, 2),
            "ratio": round(statistics.median(seconds[name]) / base, 3),
        }
        for name, proto in made.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("saved_model", type=Path)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = common.begin("convert_passes")
    rows = measure(variants(arguments.saved_model), arguments.rounds)
    header = ("graph", "nodes", "median ms", "of all passes")
    cells = [(r["variant"], r["nodes"], r["median_ms"], f"{r['ratio']:.2f}") for r in rows]
    print(common.table(header, cells))
    print(f"\none thread; {common.machine_line(result)}")
    result |= {"model": arguments.saved_model.name, "threads": 1, "rows": rows}
    common.finish(result, arguments.json)


if __name__ == "__main__":
    main()
