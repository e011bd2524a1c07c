"""Commands about cost and endurance: options only, the work lies in its own module."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks import options


def soak(
    minutes: Annotated[float, typer.Option(min=0.01, max=240, help="How long faults occur.")] = 30,
    seed: Annotated[int, typer.Option(help="Seed of the faults and their order.")] = 1,
    fault_seconds: Annotated[float, typer.Option(help="Seconds from one fault to the next.")] = 20,
    rtsp: Annotated[int, typer.Option(min=0, help="RTSP cameras.")] = 2,
    http: Annotated[int, typer.Option(min=0, help="HTTP cameras.")] = 2,
    json: options.Json = None,
    log: Annotated[Path | None, typer.Option(help="Write the log of edge run to this file.")] = None,
    raw: options.Raw = None,
) -> None:
    """edge run for a long time, with a fault every few seconds."""
    from benchmarks.soak.run import Plan, main

    main(Plan(minutes, seed, fault_seconds, rtsp, http), file=json, log=log, raw=raw)


def startup(
    runs: Annotated[int, typer.Option(min=1, help="Counted starts with each kind of source.")] = 5,
    rtsp: Annotated[bool, typer.Option(help="Measure with an RTSP camera, too.")] = True,
    json: options.Json = None,
) -> None:
    """Time from the start of edge run to its first durable image."""
    from benchmarks.startup import main

    main(runs=runs, rtsp=rtsp, file=json)


def store_cost(
    folder: Annotated[Path | None, typer.Option(help="Where to write (default: a temporary folder).")] = None,
    images: Annotated[int, typer.Option(min=1, help="Images per row and round.")] = 64,
    json: options.Json = None,
) -> None:
    """Cost of storing an image so that it survives a power cut."""
    from benchmarks.store_cost import main

    main(folder=folder, images=images, file=json)


def blur_cost(
    rounds: Annotated[int, typer.Option(min=50, help="Measured rounds.")] = 60, json: options.Json = None
) -> None:
    """Cost of covering faces, on one core."""
    from benchmarks.blur_cost import main

    main(rounds=rounds, file=json)


def known_face(
    checks: Annotated[int, typer.Option(min=4, help="Counted checks with each detector.")] = 20,
    json: options.Json = None,
) -> None:
    """Cost of checking the known face, and of images that wait for it."""
    from benchmarks.known_face import main

    main(checks=checks, file=json)


def loss(
    frames: Annotated[int, typer.Option(min=40, help="Frames of each video.")] = 400,
    way: Annotated[
        list[options.Way] | None, typer.Option(help="Where they are lost; may be repeated (default: all).")
    ] = None,
    share: Annotated[
        list[float] | None, typer.Option(help="Share that is lost; may be repeated (default: 0 to 0.2).")
    ] = None,
    json: options.Json = None,
) -> None:
    """Smeared frames that pass when an RTSP camera loses packets or pictures, and what is kept."""
    from benchmarks.loss import LOSSES, main

    main(frames=frames, ways=list(way or options.Way), losses=share or list(LOSSES), file=json)


def camera_memory(
    frames: Annotated[int, typer.Option(min=12, help="Length of the clip at its own pace.")] = 150,
    json: options.Kept = None,
) -> None:
    """Memory of each further camera of 1920x1080."""
    import shlex
    import sys

    from benchmarks import camera_memory as work
    from benchmarks import common

    result = work.measure(command=shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]), frames=frames)
    common.write_json(json or common.RESULTS / "camera_memory.json", result.model_dump(mode="json"))
    print(work.as_markdown(result))


def damaged_files(
    copies: Annotated[int, typer.Option(min=1, help="Damaged copies of each video and kind.")] = 20,
    json: options.Json = None,
) -> None:
    """How often damage in a video file is noticed, and how often smeared frames pass."""
    from benchmarks.damaged_files import main

    main(copies=copies, file=json)
