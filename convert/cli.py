"""The command line of the conversion. TensorFlow is loaded in a child process, so ``--help`` is quick."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from convert import child, choices, terminal
from convert import command_options as given
from convert.options import DetectorOptions, ModelOptions
from convert.publish import open_draft
from convert.request import BuildRequest, InspectRequest, VerifyRequest

app = typer.Typer(
    name="edge-convert",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Turn a TensorFlow 2 SavedModel into a verified detector for edge.",
    epilog="Exit codes: 0 success, 1 something failed and nothing was published, 2 wrong command line.",
)


@app.callback()
def main(version: given.Version = False) -> None:
    pass


@app.command()
@terminal.fails_clearly
def build(
    saved_model: given.SavedModelPath,
    out: given.OutFolder,
    target: given.Targets = None,
    precision: given.Precision = choices.Precision.FP32,
    size: given.InputSize = None,
    batch: given.Batch = 1,
    calibration: given.Calibration = None,
    signature: given.Signature = None,
    label: given.Labels = None,
    boxes: given.Boxes = None,
    scores: given.Scores = None,
    box_format: given.BoxFormat = None,
    normalized: given.Normalized = None,
    input_range: given.InputRange = None,
    mean: given.Mean = None,
    std: given.Std = None,
    resize: given.Resize = None,
    anchors: given.Anchors = None,
    variances: given.Variances = None,
    verbose: given.Verbose = False,
) -> None:
    """Convert a SavedModel, compare it with TensorFlow, and publish it only if both agree.

    Writes NAME-TARGET-PRECISION.onnx with its .sha256 for each target, report.md and report.json.
    """
    model = ModelOptions(
        labels=tuple(label or ()), boxes=boxes, scores=scores, box_format=_value(box_format),
        normalized=normalized, input_range=_value(input_range), mean=mean, std=std, resize=_value(resize),
        anchors=anchors, variances=variances, size=size, signature=signature,
    )  # fmt: skip
    targets = tuple(one.value for one in target or [choices.Target.CPU])
    detector = DetectorOptions(targets, precision.value, batch, calibration)
    detector.check()
    with open_draft(out) as draft:
        request = BuildRequest(saved_model, out, model, detector, draft)
        result = terminal.run(child.build, request, verbose=verbose)
    terminal.show_build(result, out)


@app.command()
@terminal.fails_clearly
def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A SavedModel, its zip, or an ONNX file.")],
    size: given.InputSize = None,
    signature: given.Signature = None,
    label: given.Labels = None,
    boxes: given.Boxes = None,
    scores: given.Scores = None,
    box_format: given.BoxFormat = None,
    normalized: given.Normalized = None,
    input_range: given.InputRange = None,
    mean: given.Mean = None,
    std: given.Std = None,
    resize: given.Resize = None,
    anchors: given.Anchors = None,
    variances: given.Variances = None,
    verbose: given.Verbose = False,
) -> None:
    """Describe a SavedModel or an ONNX file, and what build would do with it."""
    model = ModelOptions(
        labels=tuple(label or ()), boxes=boxes, scores=scores, box_format=_value(box_format),
        normalized=normalized, input_range=_value(input_range), mean=mean, std=std, resize=_value(resize),
        anchors=anchors, variances=variances, size=size, signature=signature,
    )  # fmt: skip
    terminal.show_facts(terminal.run(child.inspect, InspectRequest(path, model), verbose=verbose))


@app.command()
@terminal.fails_clearly
def verify(
    detector: Annotated[Path, typer.Argument(metavar="DETECTOR", help="An .onnx file made by build.")],
    saved_model: Annotated[
        Path, typer.Option(metavar="PATH", help="The SavedModel that the detector was built from.")
    ],
    images: Annotated[Path, typer.Option(metavar="DIR", help="Folder of pictures with faces.")],
    anchors: given.Anchors = None,
    verbose: given.Verbose = False,
) -> None:
    """Compare a detector with its SavedModel on other pictures; exits with 1 when they differ."""
    request = VerifyRequest(detector, saved_model, images, anchors)
    terminal.show_parity(terminal.run(child.verify, request, verbose=verbose))


def _value(choice: choices.BoxFormat | choices.InputRange | choices.Resize | None) -> str | None:
    return None if choice is None else choice.value
