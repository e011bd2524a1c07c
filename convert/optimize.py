"""Run the passes in their order, and record what each did."""

from __future__ import annotations

import time
from dataclasses import dataclass

import onnx
import onnx_ir as ir

from convert.errors import ConvertError
from convert.passes.constants import FoldConstants
from convert.passes.free import FreeSides
from convert.passes.fuse import FuseConvolutions
from convert.passes.grids import DecodeGrids, Grids
from convert.passes.layout import SinkTransposes
from convert.passes.peaks import Peaks, PickPeaks
from convert.passes.preprocess import TakeBytes
from convert.passes.rows import ReadRows
from convert.passes.select import Head, SelectCandidates
from convert.passes.upsample import NearestToResize
from convert.passes.weighted_sum import ScaleAndAdd
from convert.result import PassStep

AnyHead = Head | Peaks | Grids
"""What the outputs of a source mean: raw boxes and scores, or maps to decode."""


@dataclass(frozen=True)
class Optimized:
    """The detector's graph, without metadata."""

    model: ir.Model
    steps: tuple[PassStep, ...]
    notes: tuple[str, ...]


def optimize(
    exported: onnx.ModelProto,
    head: AnyHead,
    scale: tuple[float, float, float],
    offset: tuple[float, float, float],
    *,
    cast_first: bool = False,
    read_rows: bool = True,
    free_sides: bool = False,
) -> Optimized:
    """Rewrite an export of ``convert.cut`` to the detector contract.

    ``scale`` and ``offset`` are those of ``convert.preprocessing``; ``cast_first`` is for targets that
    cannot move bytes; ``read_rows`` changes the first convolution; ``free_sides`` leaves the sides of the
    canvas free, which heads that predict maps allow. Raises ConvertError when a pass cannot keep its promise.
    """
    model = ir.from_proto(exported)
    take = TakeBytes(scale, offset, cast_first=cast_first)
    decode: SelectCandidates | PickPeaks | DecodeGrids
    passes: list[ir.passes.InPlacePass] = [FoldConstants(), ScaleAndAdd(), NearestToResize()]
    if isinstance(head, Head):
        decode = SelectCandidates(head)
        passes += [decode, FoldConstants(), SinkTransposes(), take, FuseConvolutions()]
    else:
        decode = PickPeaks(head) if isinstance(head, Peaks) else DecodeGrids(head)
        passes += [FoldConstants(), SinkTransposes(free_sides=True), take, FoldConstants()]
        # The picture's own Transpose sinks through the padding of the first convolution.
        passes += [SinkTransposes(free_sides=True), FuseConvolutions(), FoldConstants()]
        passes += [FreeSides()] if free_sides else []
        passes += [ReadRows(), decode] if read_rows else [decode]
    passes.append(FoldConstants())
    steps = []
    for rewrite in passes:
        begin, before = time.perf_counter(), model.graph.num_nodes()
        try:
            result = rewrite(model)
        except (ir.passes.PassError, ir.passes.InvariantError, AssertionError, ValueError) as error:
            raise ConvertError(
                f"pass {type(rewrite).__name__}: {error}; this model is of no known family"
            ) from error
        steps.append(
            PassStep(
                type(rewrite).__name__,
                before,
                model.graph.num_nodes(),
                result.modified,
                round(time.perf_counter() - begin, 3),
            )
        )
    return Optimized(model, tuple(steps), tuple(decode.notes))
