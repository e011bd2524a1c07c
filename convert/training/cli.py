"""The command line of the training: declarations only. What takes long to load is loaded by the commands."""

from __future__ import annotations

import os

import typer

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from convert.training import child, terminal
from convert.training import command_options as given
from convert.training.merge.request import MergeRequest
from convert.training.requests import EvaluateRequest, ExportRequest, FitRequest

app = typer.Typer(
    name="edge-train",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="From labelled pictures to a SavedModel that edge-convert turns into a detector.",
    epilog="Exit codes: 0 success, 1 something failed and nothing was written, 2 wrong command line.",
)


@app.callback()
def main(version: given.Version = False) -> None:
    pass


@app.command()
@terminal.fails_clearly
def merge(
    datasets: given.Datasets,
    out: given.MergedFolder,
    into: given.Into = "FACE",
    keep: given.Keep = None,
    format: given.Formats = None,
    licence: given.Licences = None,
    source: given.Sources = None,
    split: given.Split = "80/10/10",  # type: ignore[assignment]  # Typer parses defaults, too
    seed: given.Seed = 0,
    resplit: given.Resplit = False,
) -> None:
    """Merge labelled sets into one with one label, divided into train, val and test.

    Mistakes in the labels are corrected and counted, or refused; nothing is dropped without a word.
    """
    from convert.training.merge.run import merge as run

    request = MergeRequest(
        tuple(datasets), out, into=into, keep=tuple(keep or ()), kinds=tuple(format or ()),
        licences=tuple(licence or ()), sources=tuple(source or ()), shares=split, seed=seed, resplit=resplit,
    )  # fmt: skip
    with terminal.progress() as progress:
        result = run(request, progress)
    terminal.show_merge(result, request)


@app.command()
@terminal.fails_clearly
def fit(
    data: given.MergedSet,
    model: given.Model,
    out: given.RunFolder,
    weights: given.Weights = "none",
    complete: given.Complete = None,
    epochs: given.Epochs = None,
    minutes: given.Minutes = None,
    rate: given.Rate = None,
    seed: given.TrainSeed = 0,
    threads: given.Threads = None,
    resume: given.Resume = False,
    verbose: given.Verbose = False,
) -> None:
    """Train a detector on a merged set; a run that was interrupted goes on with --resume."""
    request = FitRequest(
        data, model.value, out, weights, complete=complete, epochs=epochs, minutes=minutes, rate=rate,
        seed=seed, resume=resume, threads=threads,
    )  # fmt: skip
    terminal.show_fit(terminal.run(child.fit, request, verbose=verbose))


@app.command()
@terminal.fails_clearly
def evaluate(
    model: given.Judged,
    data: given.LabelledSet,
    split: given.Reported = None,
    misses: given.Misses = None,
    json: given.Json = None,
    verbose: given.Verbose = False,
) -> None:
    """Print the average precision and the recall of a run, a SavedModel or a detector."""
    request = EvaluateRequest(model, data, split, misses)
    terminal.show_evaluate(terminal.run(child.evaluate, request, verbose=verbose), json)


@app.command()
@terminal.fails_clearly
def export(
    run: given.Run,
    out: given.ExportFolder,
    blend: given.Blend = 0.0,
    stated: given.Stated = None,
    verbose: given.Verbose = False,
) -> None:
    """Write a run as a SavedModel, and as saved_model.zip, for edge-convert build."""
    result = terminal.run(child.export, ExportRequest(run, out, blend, stated), verbose=verbose)
    terminal.show_export(result)
