"""``python -m benchmarks``: how fast, how good, beside TensorFlow and beside deface."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import common, datasets
from benchmarks import report as pages
from benchmarks.machine import Strict
from edge.errors import EdgeError

RESULTS = common.ROOT / "benchmarks" / "results"
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="How fast and how good: one command each, and `report` for the page of all of them.",
    epilog="Exit codes: 0 measured (a busy machine is said in the result), 2 nothing could be measured.",
)

Json = Annotated[Path | None, typer.Option(help="write the result here (default: benchmarks/results)")]

Wait = Annotated[bool, typer.Option(help="wait for the load average to fall, 3 minutes at most")]


@app.command()
def speed(
    model: Annotated[Path, typer.Argument(help="SavedModel of a detector: a folder or a zip")],
    detector: Annotated[list[Path] | None, typer.Option(help="detector made from it, again for each")] = None,
    calibration: Annotated[Path | None, typer.Option(help="pictures for the detectors built here")] = None,
    data: Annotated[
        str | None, typer.Option(help="labelled set whose train pictures they get, in place of a folder")
    ] = None,
    anchors: Annotated[Path | None, typer.Option(help="the anchors that a detector was built with")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="build this one only, again for each")] = None,
    threads: Annotated[list[int] | None, typer.Option(help="again for each (default: 1, and all)")] = None,
    rounds: Annotated[int, typer.Option(min=2, help="measured rounds")] = 15,
    profile: Annotated[bool, typer.Option(help="split time by operator type")] = False,
    wait: Wait = True,
    json: Json = None,
) -> None:
    """Image in to boxes out, beside TensorFlow."""
    from benchmarks import speed as work
    from benchmarks import speed_result

    if calibration is not None and data is not None:
        raise common.give_up("--calibration and --data are two ways to give pictures: choose one")
    try:
        result = work.measure(
            model,
            command=_command(),
            detectors=detector or (),
            precisions=precision or work.PRECISIONS,
            calibration=calibration,
            data=data,
            anchors=anchors,
            threads=threads or (),
            rounds=rounds,
            profile=profile,
            wait=wait,
        )
    except EdgeError as error:
        raise common.give_up(str(error)) from error
    file = _keep(result, json, f"speed_{model.stem}")
    speed_result.plot(result, file.with_suffix(".png"))
    print(speed_result.as_markdown(result))


@app.command()
def accuracy(
    detector: Annotated[list[str], typer.Argument(help="detector files; 'default' is the shipped one")],
    data: Annotated[str, typer.Option(help="labelled set: a folder, or its name in the test data")],
    kind: Annotated[
        datasets.Kind | None, typer.Option("--format", help="kind of labels, where several lie there")
    ] = None,
    category: Annotated[str | None, typer.Option(help="COCO, VOC: the class that is a face")] = None,
    split: Annotated[str | None, typer.Option(help="report on train, eval or all")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="pictures of each split, for a quick look")] = None,
    json: Json = None,
) -> None:
    """AP, recall by size, mask and false positives, and the threshold to carry."""
    from benchmarks import accuracy as work
    from benchmarks import accuracy_result

    paths = [None if name == "default" else Path(name) for name in detector]
    try:
        dataset = datasets.open_dataset(data, kind=kind, category=category)
        result = work.measure(paths, dataset, command=_command(), split=split, limit=limit)
    except EdgeError as error:
        raise common.give_up(str(error)) from error
    file = _keep(result, json, f"accuracy_{Path(data).name}")
    accuracy_result.plot(result, file.with_suffix(".png"))
    print(accuracy_result.as_markdown(result))


@app.command()
def pipeline(
    clip: Annotated[Path | None, typer.Argument(help="video (default: the camera of edge demo)")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="how often each row runs")] = 3,
    frames: Annotated[int, typer.Option(min=1, help="frames per camera in the rows of the appliance")] = 40,
    deface: Annotated[bool, typer.Option(help="compare with deface")] = True,
    wait: Wait = True,
    json: Json = None,
) -> None:
    """The whole appliance on a clip, beside deface."""
    from benchmarks import pipeline as work
    from benchmarks import pipeline_result

    environment = Path("build/deface-venv") if deface else None
    result = work.measure(
        clip, command=_command(), rounds=rounds, frames=frames, deface=environment, wait=wait
    )
    file = _keep(result, json, "pipeline")
    pipeline_result.plot(result, file.with_suffix(".png"))
    print(pipeline_result.as_markdown(result))


@app.command()
def scenes(
    data: Annotated[str, typer.Option(help="labelled set: a folder, or its name in the test data")],
    split: Annotated[datasets.Split | None, typer.Option(help="train or eval (default: eval)")] = None,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of the camera's frames, in pixels")] = "1920x1080",
    frames: Annotated[int, typer.Option(min=1, help="length of each clip")] = 10,
    limit: Annotated[int | None, typer.Option(min=1, help="scenes at most, for a quick look")] = None,
    scores: Annotated[
        list[str] | None,
        typer.Option(
            help="BEGIN/CONTINUE, such as 0.35/0.2, to compare with the detector's own; again for each"
        ),
    ] = None,
    deface: Annotated[bool, typer.Option(help="compare with deface")] = True,
    wait: Wait = True,
    json: Json = None,
) -> None:
    """Faces left at camera resolution by edge run, edge blur and deface."""
    from benchmarks import scenes as work
    from benchmarks import scenes_result

    width, _, height = size.partition("x")
    if not (width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 64):
        raise common.give_up(f"--size {size}: wanted WIDTHxHEIGHT of 64 pixels or more, such as 1920x1080")
    try:
        result = work.measure(
            datasets.open_dataset(data),
            command=_command(),
            split=split,
            size=(int(width), int(height)),
            frames=frames,
            limit=limit,
            scores=[_scores(pair) for pair in scores or ()],
            deface=Path("build/deface-venv") if deface else None,
            wait=wait,
        )
    except EdgeError as error:
        raise common.give_up(str(error)) from error
    file = _keep(result, json, f"scenes_{Path(data).name}_{result.split}")
    scenes_result.plot(result, file.with_suffix(".png"))
    print(scenes_result.as_markdown(result))


@app.command()
def report(
    results: Annotated[Path, typer.Option(help="folder of results")] = RESULTS,
    out: Annotated[Path, typer.Option(help="the page")] = common.ROOT / "docs" / "benchmarks.md",
) -> None:
    """Gather the last results into docs/benchmarks.md."""
    written = pages.write(results, out)
    print(f"{out}: {', '.join(written)}")


def _scores(text: str) -> tuple[float, float]:
    begin, _, carry_on = text.partition("/")
    try:
        pair = float(begin), float(carry_on)
    except ValueError:
        pair = (0.0, 0.0)
    if not 0 < pair[1] <= pair[0] < 1:
        raise common.give_up(f"--scores {text}: wanted BEGIN/CONTINUE with 0 < CONTINUE <= BEGIN < 1")
    return pair


def _command() -> str:
    """What was typed, with the data folder told by its place beside the checkout."""
    shared = common.data_folder(None)
    line = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    return line if shared is None else line.replace(str(shared), "../shared/data")


def _keep(result: Strict, file: Path | None, name: str) -> Path:
    """Write a result as JSON; returns where."""
    target = file if file is not None else RESULTS / f"{name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return target


if __name__ == "__main__":
    app()
