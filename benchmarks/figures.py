"""The figures in README.md: one table, between two markers, all of it from the results that are kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.pipeline.result import (
    DEFACE_FULL,
    EDGE,
    EDGE_BLUR,
    EDGE_NO_LAST_LOOK,
    SCENES_SIZE,
    PipelineResult,
)
from benchmarks.scenes.page import percent
from benchmarks.scenes.result import PROMISED_SIDE, ScenesResult
from benchmarks.speed.result import SpeedResult

BEGIN = "<!-- figures: python -m benchmarks report -->"
END = "<!-- end of figures -->"

LARGER = "3840x2160"
Row = tuple[str, str, str]
"""What, figure, measured by."""


def write(results: Path, readme: Path) -> int:
    """Put the table between the markers of a file; return its number of rows.

    Raises SystemExit (2) when a marker is missing.
    """
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise common.give_up(f"{readme}: the markers {BEGIN} and {END} are missing")
    rows = rows_of(results)
    readme.write_text(f"{before}{BEGIN}\n{as_markdown(rows)}\n{END}{after}", encoding="utf-8")
    return len(rows)


def as_markdown(rows: list[Row]) -> str:
    """The table."""
    cells = [(_spaced(what), _spaced(figure), f"`{command}`") for what, figure, command in rows]
    return common.table(["what", "figure", "measured by"], cells)


def rows_of(results: Path) -> list[Row]:
    """The rows whose results are there."""
    makers: tuple[tuple[str, Callable[[Path], list[Row]]], ...] = (
        ("scenes_faces_eval.json", _scenes),
        ("reidentify.json", _reidentify),
        ("pipeline.json", _pipeline),
        ("soak.json", _soak),
        ("speed_efficientdet_d0_face.json", _speed),
    )
    return [row for name, make in makers if (results / name).is_file() for row in make(results / name)]


def _scenes(file: Path) -> list[Row]:
    result = ScenesResult.model_validate_json(file.read_bytes())
    rows = {row.name: row for row in result.rows}

    def left(name: str) -> str:
        return percent(*rows[name].share_left(PROMISED_SIDE, None))

    def faces(name: str) -> str:
        return f"{rows[name].share_left(PROMISED_SIDE, None)[1]:,}"

    where = f"{result.size[0]}x{result.size[1]}"
    if not rows:
        return _looks(result, where)
    clips = rows["edge run, defaults"]
    masked, everyone = (clips.share_left(PROMISED_SIDE, None, kind)[1] for kind in (True, None))
    command = "scenes"
    return [
        *_looks(result, where),
        (
            f"faces of {PROMISED_SIDE} px and more left on {where} video, {masked / everyone:.0%} masked; "
            f"frames per second on {result.machine.cores} cores",
            f"`edge run` {left('edge run, defaults')} of {faces('edge run, defaults')} at "
            f"{rows['edge run, defaults'].fps}; deface {left('deface, defaults, clips')} at "
            f"{rows['deface, defaults, clips'].fps}, with its solid fill {left('deface, solid fill, clips')}"
            + _larger(file.with_stem(f"{file.stem}_{LARGER}")),
            command,
        ),
        (
            f"the same on {where} stills",
            f"`edge blur` {left('edge blur, defaults')} of {faces('edge blur, defaults')}; deface "
            f"{left('deface, defaults, stills')}, with its solid fill {left('deface, solid fill, stills')}",
            command,
        ),
    ]


def _larger(file: Path) -> str:
    """The same where the frames are larger; nothing where that was not measured."""
    if not file.is_file():
        return ""
    result = ScenesResult.model_validate_json(file.read_bytes())
    left, faces = next(row for row in result.rows if row.name == "edge run, defaults").share_left(
        PROMISED_SIDE, None
    )
    deface = next(row for row in result.rows if row.name == "deface, defaults, clips")
    return (
        f"; on {result.size[0]}x{result.size[1]} {percent(left, faces)} of {faces:,}, deface "
        f"{percent(*deface.share_left(PROMISED_SIDE, None))}"
    )


def _looks(result: ScenesResult, where: str) -> list[Row]:
    """The detectors at their own scores; nothing where the result is older than these rows."""
    parts = []
    for look in result.looks:
        if look.points:
            point = look.points[0]
            parts.append(
                f"{look.name} at {look.canvas[0]}x{look.canvas[1]} "
                f"{percent(*point.share_missed(PROMISED_SIDE, None))} with {point.false_per_scene:.0f} false "
                f"boxes a scene, {look.milliseconds:.0f} ms"
            )
    what = f"faces of {PROMISED_SIDE} px and more missed by one look at {where} stills"
    return [(what, "; ".join(parts), "scenes")] if parts else []


def _reidentify(file: Path) -> list[Row]:
    result = _read(file)

    def best(entry: dict[str, Any], key: str) -> float:
        return max(float(entry[attacker][key]) for attacker in ("network", "linear"))

    rows = {(row["fill"], row["region"]): row for row in result["rows"]}
    covered, gaussian = rows["infill (default)", "head"], rows["gaussian, sigma 0.5", "head"]
    return [
        (
            f"synthetic people recognised behind the default fill, {result['people']} to choose from",
            f"{best(covered, 'top1'):.1%}; by the surroundings alone {best(covered, 'surround_top1'):.1%}; "
            f"by chance {result['chance']:.1%}; behind gaussian {best(gaussian, 'top1'):.0%}",
            "reidentify",
        )
    ]


def _pipeline(file: Path) -> list[Row]:
    result = PipelineResult.model_validate_json(file.read_bytes())
    ways = {way.name: way for way in result.compared}
    memory = {
        row.size: round(max(run.rss_megabytes for run in row.runs))
        for row in result.rows
        if row.cameras == 1 and row.faces is None
    }
    full, edge, unchecked = ways[DEFACE_FULL], ways[EDGE], ways[EDGE_NO_LAST_LOOK]
    rows = []
    if result.scenes:
        rows.append(_beside_deface(result))
    elif full.leak is not None and all(
        ways[name].leak == full.leak for name in (EDGE, EDGE_NO_LAST_LOOK, EDGE_BLUR)
    ):
        rows.append(
            (
                f"speed on a 720p clip against deface, {full.leak.uncovered} of {full.leak.face_frames} "
                "face-frames left by any",
                f"`edge run` {edge.times_deface}x; without last look {unchecked.times_deface}x; "
                f"`edge blur` {ways[EDGE_BLUR].times_deface}x",
                "pipeline",
            )
        )
    rows.append(
        (
            "peak memory of `edge run`, one camera",
            f"720p {memory['720p']:,} MB; 1080p {memory['1080p']:,} MB",
            "pipeline",
        )
    )
    return rows


def _beside_deface(result: PipelineResult) -> Row:
    """Speed on scenes, a fixed camera first and one that drifts second, and the faces left of each."""

    def times(name: str) -> str:
        return " and ".join(f"{way.times_deface}x" for way in both if way.name == name)

    def left(name: str) -> str:
        leaks = [way.leak for way in both if way.name == name and way.leak is not None]
        return " and ".join(percent(leak.uncovered, leak.face_frames) for leak in leaks)

    both = [*result.compared, *result.drifting]
    return (
        f"speed on {SCENES_SIZE} against deface, a fixed camera and one that drifts; face-frames left",
        f"`edge run` {times(EDGE)}, left {left(EDGE)}; without last look {times(EDGE_NO_LAST_LOOK)}; "
        f"`edge blur` {times(EDGE_BLUR)}, left {left(EDGE_BLUR)}; deface left {left(DEFACE_FULL)}",
        "pipeline",
    )


def _soak(file: Path) -> list[Row]:
    result = _read(file)
    figures = {check["name"]: check["figures"] for check in result["checks"]}
    good = {check["name"]: check["good"] for check in result["checks"]}
    faces, memory = "no face is left on any image", "memory does not grow"
    raw = "no raw face" if good[faces] else f"**raw faces** on {len(figures[faces]['suspects'])} or more"
    minutes, images = result["plan"]["minutes"], figures[faces]["images"]
    faults = sum(result["faults"].values())
    cameras = result["plan"]["rtsp"] + result["plan"]["mjpeg"]
    verdict = "within" if good[memory] else "**over**"
    return [
        (
            f"{minutes:.0f} minutes, {cameras} cameras, {faults} faults, {images:,} images stored",
            f"{raw}; memory +{figures[memory]['mb_per_10000_frames']:.1f} MB per 10,000 "
            f"frames, {verdict} the bound of {figures[memory]['bound']:g}",
            "soak",
        )
    ]


def _speed(file: Path) -> list[Row]:
    result = SpeedResult.model_validate_json(file.read_bytes())
    ratios = [
        f"{row.ratio_to_tf:.1f}x on {row.threads} thread{'s' if row.threads > 1 else ''}"
        for row in result.rows
        if row.name == "edge-fp32" and row.ratio_to_tf is not None
    ]
    return [("EfficientDet-D0 converted to ONNX against TensorFlow, fp32", "; ".join(ratios), "speed")]


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _spaced(text: str) -> str:
    return text.replace("%", " %")
