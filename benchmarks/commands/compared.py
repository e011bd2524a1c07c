"""Commands that measure beside TensorFlow and deface: options only, the work lies in its own module."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from benchmarks import common, options
from convert.choices import Precision
from edge.errors import EdgeError

if TYPE_CHECKING:
    from benchmarks.machine import Result
    from benchmarks.scenes.detectors import Wanted
    from convert.training.datasets import Kind, Split


DEFAULT_SIZE = "1920x1080"


def speed(
    model: Annotated[Path, typer.Argument(help="SavedModel of a detector: a folder or a zip.")],
    detector: Annotated[
        list[Path] | None, typer.Option(help="Detector made from it; repeat for several.")
    ] = None,
    calibration: Annotated[Path | None, typer.Option(help="Pictures for the detectors built here.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Labelled set whose train pictures take the place of such a folder.")
    ] = None,
    anchors: Annotated[Path | None, typer.Option(help="Anchors that a detector was built with.")] = None,
    precision: Annotated[
        list[Precision] | None, typer.Option(help="Build only this one; repeat for several.")
    ] = None,
    threads: Annotated[
        list[int] | None, typer.Option(help="Threads; repeat for several (default: 1, and all cores).")
    ] = None,
    rounds: Annotated[int, typer.Option(min=2, help="Measured rounds.")] = 15,
    profile: Annotated[bool, typer.Option(help="Split the time by operator type.")] = False,
    wait: options.Wait = True,
    json: options.Kept = None,
) -> None:
    """Time from picture to boxes: converted detectors beside TensorFlow."""
    from benchmarks.speed import result as form
    from benchmarks.speed import run

    if calibration is not None and data is not None:
        raise common.give_up("--calibration and --data are two ways to give pictures: choose one")
    try:
        result = run.measure(
            model,
            command=_command(),
            detectors=detector or (),
            precisions=[one.value for one in precision or Precision],
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
    form.plot(result, file.with_suffix(".png"))
    print(form.as_markdown(result))


def accuracy(
    detector: Annotated[list[str], typer.Argument(help="Detector files; 'default' is the shipped one.")],
    data: options.LabelledSet,
    kind: Annotated[
        options.Kind | None,
        typer.Option("--format", help="Format of the labels, where the folder has several."),
    ] = None,
    category: Annotated[str | None, typer.Option(help="The class that is a face.")] = None,
    split: Annotated[options.Reported | None, typer.Option(help="Report on this split.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many pictures per split.")] = None,
    json: options.Kept = None,
) -> None:
    """Average precision, recall by size and mask, and the threshold to record in a detector."""
    from benchmarks.accuracy import result as form
    from benchmarks.accuracy import run
    from convert.training.datasets import open_dataset

    paths = [None if name == "default" else Path(name) for name in detector]
    try:
        dataset = open_dataset(
            data,
            kind=cast("Kind | None", kind and kind.value),
            category=category,
            data=common.data_folder(None),
            held_out_as_eval=True,
        )
        result = run.measure(paths, dataset, command=_command(), split=split and split.value, limit=limit)
    except EdgeError as error:
        raise common.give_up(str(error)) from error
    file = _keep(result, json, f"accuracy_{Path(data).name}")
    form.plot(result, file.with_suffix(".png"))
    print(form.as_markdown(result))


def pipeline(
    clip: Annotated[Path | None, typer.Argument(help="Video (default: the camera of edge demo).")] = None,
    scenes: Annotated[
        str | None,
        typer.Option(help="In place of a video: a labelled set, made into scenes of the camera's size."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each row.")] = 3,
    frames: Annotated[int, typer.Option(min=1, help="Frames per camera in the rows of the appliance.")] = 40,
    deface: options.Deface = True,
    wait: options.Wait = True,
    json: options.Kept = None,
) -> None:
    """The whole appliance on a clip, beside deface."""
    from benchmarks.pipeline import result as form
    from benchmarks.pipeline import run
    from convert.training.datasets import open_dataset

    if clip is not None and scenes is not None:
        raise common.give_up("a video and --scenes are two things to show: choose one")
    environment = options.DEFACE_FOLDER if deface else None
    try:
        result = run.measure(
            clip,
            command=_command(),
            dataset=None
            if scenes is None
            else open_dataset(scenes, data=common.data_folder(None), held_out_as_eval=True),
            rounds=rounds,
            frames=frames,
            deface=environment,
            wait=wait,
        )
    except EdgeError as error:
        raise common.give_up(str(error)) from error
    file = _keep(result, json, "pipeline")
    form.plot(result, file.with_suffix(".png"))
    print(form.as_markdown(result))


def _data_folder(data: Path | None) -> Path:
    """The folder of test data. Raises SystemExit (2) where there is none."""
    folder = common.data_folder(data)
    if folder is None:
        raise common.give_up("there is no folder of test data; name it with --data")
    return folder


def kept(
    reference: Annotated[Path, typer.Argument(help="The published detector, an .onnx file of the contract.")],
    detector: Annotated[
        list[str] | None, typer.Option(help="An .onnx file, or 'shipped' (default); may be repeated.")
    ] = None,
    sure: Annotated[float, typer.Option(help="Score from which the published detector's boxes count.")] = 0.5,
    every: options.Every = 3,
    data: options.TestData = None,
    json: options.Kept = None,
    sheet: options.Sheet = None,
) -> None:
    """Faces of clips and pictures that a published detector is sure of and another one misses."""
    from benchmarks import contact_sheet
    from benchmarks import kept as work

    folder = _data_folder(data)
    files = [None if name == "shipped" else Path(name) for name in detector or ["shipped"]]
    try:
        result, tiles = work.measure(files, reference, folder, sure=sure, every=every, command=_command())
    except EdgeError as error:
        raise common.give_up(str(error)) from error
    common.write_json(json or common.RESULTS / "kept.json", result.model_dump(mode="json"))
    print(work.as_markdown(result))
    if sheet is not None:
        for row, some in zip(result.rows, tiles, strict=True):
            if some:
                contact_sheet.write(sheet.with_stem(f"{sheet.stem}-{row.name}"), some)


def orientation(
    data: options.LabelledSet,
    split: Annotated[options.Split, typer.Option(help="Split to measure on.")] = options.Split.eval,
    limit: Annotated[int, typer.Option(min=1, help="At most this many pictures.")] = 100,
    json: options.Kept = None,
) -> None:
    """Faces that do not stand upright, found with and without turned views."""
    from benchmarks import orientation as work
    from convert.training.datasets import open_dataset

    try:
        dataset = open_dataset(data, data=common.data_folder(None), held_out_as_eval=True)
        result = work.measure(dataset, split.value, limit, command=_command())
    except EdgeError as error:
        raise common.give_up(str(error)) from error
    common.write_json(json or common.RESULTS / "orientation.json", result.model_dump(mode="json"))
    print(work.as_markdown(result))


def scenes(
    data: options.LabelledSet,
    split: Annotated[options.Split | None, typer.Option(help="Split to measure on (default: eval).")] = None,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of the camera's frames, in pixels.")] = DEFAULT_SIZE,
    frames: Annotated[int, typer.Option(min=0, help="Length of each clip; 0: none.")] = 10,
    fixed_frames: Annotated[
        int, typer.Option(min=0, help="Length of clips of a fixed camera; 0: none.")
    ] = 60,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many scenes.")] = None,
    detector: Annotated[
        list[str] | None,
        typer.Option(
            help="FILE[@CANVAS[@SCORE]] that looks once: an .onnx file (YuNet as OpenCV publishes it, too) "
            "or 'shipped'; may be repeated (default: the shipped one at 640x384, 1280x736, 1920x1088)."
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="FILE@CANVAS@SCORE to whose number of false boxes the others are compared (default: "
            "CenterFace as published at 1920x1088 and 0.2)."
        ),
    ] = None,
    tools: Annotated[
        bool, typer.Option(help="Run edge and deface; without them, only --json keeps the result.")
    ] = True,
    scores: Annotated[
        list[str] | None,
        typer.Option(
            help="BEGIN/CONTINUE (0.35/0.2, say) to compare with the detector's own; may be repeated."
        ),
    ] = None,
    deface: options.Deface = True,
    wait: options.Wait = True,
    json: options.Kept = None,
    sheet: options.Sheet = None,
) -> None:
    """Faces at camera resolution: missed by one look, and left by edge run, edge blur and deface."""
    from benchmarks.scenes import detectors, page, run
    from convert.training.datasets import open_dataset

    try:
        result = run.measure(
            open_dataset(data, data=common.data_folder(None), held_out_as_eval=True),
            command=_command(),
            split=cast("Split | None", split and split.value),
            size=_size(size),
            frames=frames,
            fixed_frames=fixed_frames,
            limit=limit,
            reference=_reference(reference) if reference else None,
            detectors=[detectors.parse(text) for text in detector or ()] or run.DEFAULT_LOOKS,
            tools=tools,
            scores=[_scores(pair) for pair in scores or ()],
            deface=options.DEFACE_FOLDER if deface else None,
            sheet=sheet,
            wait=wait,
        )
    except EdgeError as error:
        raise common.give_up(str(error)) from error
    if tools or json is not None:
        at = "" if size == DEFAULT_SIZE else f"_{size}"
        file = _keep(result, json, f"scenes_{Path(data).name}_{result.split}{at}")
        page.plot(result, file.with_suffix(".png"))
    print(page.as_markdown(result))


def choices(
    data: options.LabelledSet,
    split: Annotated[
        options.Watched, typer.Option(help="Split to choose on; val is what no training learnt from.")
    ] = options.Watched.val,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of the camera's frames, in pixels.")] = DEFAULT_SIZE,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only candidates of which this is a part of the name; may be repeated."),
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Length of each clip.")] = 20,
    every: options.Every = 5,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many scenes.")] = None,
    deface: options.Deface = True,
    json: options.Kept = None,
) -> None:
    """Which detector, scale, scores, hold and last look leave the fewest faces."""
    from benchmarks.choices import result as form
    from benchmarks.choices import run
    from convert.training.datasets import open_dataset

    try:
        result = run.measure(
            open_dataset(data, data=common.data_folder(None)),
            command=_command(),
            split=split.value,
            candidates=form.chosen(only or ()),
            size=_size(size),
            frames=frames,
            every=every,
            limit=limit,
            deface=options.DEFACE_FOLDER if deface else None,
        )
    except EdgeError as error:
        raise common.give_up(str(error)) from error
    at = "" if size == DEFAULT_SIZE else f"_{size}"
    file = _keep(result, json, f"choices_{Path(data).name}_{result.split}{at}")
    form.plot(result, file.with_suffix(".png"))
    print(form.as_markdown(result))


def fixed_camera(
    data: options.TestData = None,
    frames: Annotated[int | None, typer.Option(min=1, help="At most this many frames of each clip.")] = None,
    scenes: Annotated[int, typer.Option(min=0, max=4, help="Scenes of walkers; 0: none.")] = 4,
    scene_frames: Annotated[int, typer.Option(min=2, help="Length of the clip of each scene.")] = 40,
    clip: Annotated[
        list[str] | None, typer.Option(help="Take only this clip; may be repeated; 'none': no clip.")
    ] = None,
    wait: options.Wait = True,
    json: options.Kept = None,
) -> None:
    """Frames per second of a camera that hangs still, with the gate and with all of every frame."""
    from benchmarks import fixed_camera as work
    from convert.training.datasets import open_dataset

    folder = _data_folder(data)
    clips = [path for path in sorted((folder / "clips").glob("*.mp4")) if not clip or path.stem in clip]
    try:
        dataset = open_dataset("faces", data=folder, held_out_as_eval=True) if scenes else None
        result = work.measure(
            clips,
            dataset,
            command=_command(),
            frames=frames,
            scenes=scenes,
            scene_frames=scene_frames,
            wait=wait,
        )
    except EdgeError as error:
        raise common.give_up(str(error)) from error
    _keep(result, json, "fixed_camera")
    print(work.as_markdown(result))


def deface_parity(
    data: options.TestData = None,
    venv: options.DefaceFolder = options.DEFACE_FOLDER,
    json: options.Json = None,
    raw: options.Raw = None,
) -> None:
    """Boxes of CenterFace as published, by our pipeline and by deface's own class."""
    from benchmarks.deface_parity import main

    main(data=data, venv=venv, file=json, raw=raw)


def reference_models(
    variant: Annotated[options.EfficientDet, typer.Argument(help="Size of the network.")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    size: Annotated[
        int | None, typer.Option(help="Side of the canvas in pixels (default: the paper's).")
    ] = None,
    classes: Annotated[int, typer.Option(help="Number of classes.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the weights.")] = 0,
) -> None:
    """Write an EfficientDet with random weights as a SavedModel: a baseline that needs no download."""
    from benchmarks.reference_models.export import export

    try:
        export(variant.value, out, size, classes, seed)
    except (ValueError, OSError) as error:
        raise common.give_up(str(error)) from error
    print(f"{out}: EfficientDet-{variant.value} with random weights")


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 64):
        raise common.give_up(f"--size {text}: expected WIDTHxHEIGHT of 64 pixels or more, such as 1920x1080")
    return int(width), int(height)


def _reference(text: str) -> Wanted:
    from benchmarks.scenes import detectors

    wanted = detectors.parse(text)
    if wanted.score is None:
        raise common.give_up(f"--reference {text}: expected FILE@CANVAS@SCORE, such as shipped@1920x1088@0.2")
    return wanted


def _scores(text: str) -> tuple[float, float]:
    begin, _, carry_on = text.partition("/")
    try:
        pair = float(begin), float(carry_on)
    except ValueError:
        pair = (0.0, 0.0)
    if not 0 < pair[1] <= pair[0] < 1:
        raise common.give_up(f"--scores {text}: expected BEGIN/CONTINUE with 0 < CONTINUE <= BEGIN < 1")
    return pair


def _command() -> str:
    """The command line as typed, with the data folder given relative to the checkout."""
    shared = common.data_folder(None)
    line = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    return line if shared is None else line.replace(str(shared), "../shared/data")


def _keep(result: Result, file: Path | None, name: str) -> Path:
    """Write a result as JSON; return the file."""
    target = file if file is not None else common.RESULTS / f"{name}.json"
    common.write_json(target, result.model_dump(mode="json"))
    return target
