"""Leak rate, leftover and pipeline on scenes of a camera's size, in a tiny form; nothing here is timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("matplotlib")

from benchmarks import figures
from benchmarks.last_look_rate import clip_frames
from benchmarks.leak import run as leak_rate
from benchmarks.leak import scenes as leak_scenes
from benchmarks.machine import watched
from benchmarks.pipeline import appliance, shown
from benchmarks.pipeline import run as pipeline
from benchmarks.pipeline.compare import Taken, Way
from benchmarks.pipeline.result import (
    DEFACE_FULL,
    EDGE,
    EDGE_BLUR,
    EDGE_NO_LAST_LOOK,
    Compared,
    Leak,
    PipelineResult,
    Row,
    Run,
    as_markdown,
)
from benchmarks.scenes import tools, walkers
from convert.training.datasets import DataSet, DatasetError, LabelledObject, Picture
from edge.boxes import Floats
from edge.pictures import read_picture
from tests.benchmarks import front_door
from tests.conftest import DATA

FACE = (181, 58, 270, 178)
SIZE = 320, 240
RUN = Run(
    frames=3,
    images=3,
    regions=0,
    dropped={},
    seconds=1.0,
    cpu_seconds=1.0,
    detector_cpu_seconds=0.5,
    views=1,
    bare_cpu_seconds=0.1,
    stages={},
    rss_megabytes=1.0,
)


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """The shipped portrait at two sizes: faces of 18 and 36 pixels."""
    folder = tmp_path_factory.mktemp("portraits")
    pixels = read_picture(DATA / "astronaut.jpg").pixels
    pictures = []
    for number, scale in enumerate((0.2, 0.4)):
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        box = (FACE[0] * scale, FACE[1] * scale, FACE[2] * scale, FACE[3] * scale)
        pictures.append(Picture(path, (LabelledObject(box),), "eval"))
    return DataSet("portraits", "jsonl", tuple(pictures))


def test_a_face_is_one_track_as_long_as_it_is_wholly_there() -> None:
    stays, goes, small = (LabelledObject((0, 0, side, side)) for side in (30, 30, 8))
    assert stays == goes  # two faces may have equal labels

    def truth(number: int) -> tuple[Floats, list[LabelledObject]]:
        faces = [stays, small] if number in (2, 3) else [stays, goes, small]
        left = {id(stays): 10.4 + number, id(goes): 200.0, id(small): 0.0}
        boxes = [[left[id(face)], 5, left[id(face)] + face.side, 5 + face.side] for face in faces]
        return np.array(boxes, np.float32), faces

    (reference,) = leak_scenes.references_of(tools.Footage([Path("a.mp4")], [truth], 6), (320, 240)).values()
    assert (reference.frames, reference.width, reference.height) == (6, 320, 240)
    tracks = {(track.first, len(track.boxes)): track for track in reference.tracks}
    assert sorted(tracks) == [(0, 2), (0, 6), (4, 2)]  # the small one does not count
    assert tracks[0, 6].boxes[[0, 5]].tolist() == [[10, 5, 40, 35], [15, 5, 45, 35]]
    assert [box for _, box, letter in reference.at(3) if letter == leak_scenes.LABELLED] == [[13, 5, 43, 35]]


def test_what_the_box_leaves_on_scenes_is_counted(
    portraits: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leak_scenes, "MOVING_FRAMES", 3)
    monkeypatch.setattr(leak_scenes, "FIXED_FRAMES", 3)
    found = leak_rate.run_scenes(portraits, SIZE)
    assert set(found) == set(leak_scenes.KINDS)
    figures, total = leak_rate.figures_of(found)
    assert {name: figures[name]["frames"] for name in leak_scenes.KINDS} == dict.fromkeys(
        leak_scenes.KINDS, 3
    )
    drifting = figures[leak_scenes.KINDS[0]]
    assert (drifting["judged"]["face_frames"], drifting["small_judged"]["face_frames"]) == (3, 3)
    assert total["judged"]["uncovered"]["both"] == 0
    assert total["judged"]["face_frames"] >= 6


def test_a_share_above_the_aim_misses_it(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {"face_frames": 1000, "uncovered": {"both": 1}}
    assert leak_rate._within("scenes", figures)
    assert not leak_rate._within("scenes", figures | {"face_frames": 999})
    assert (
        capsys.readouterr().out
        == "scenes: target 0.1% with both: met\nscenes: target 0.1% with both: MISSED\n"
    )


def test_nothing_to_measure_is_refused(tmp_path: Path) -> None:
    done = front_door.run("leak-rate", "--no-scenes", "--no-real")
    assert done.returncode == 2
    assert "leave nothing to measure" in done.stderr
    done = front_door.run("leftover", "--scenes", "faces", "--originals", str(tmp_path))
    assert done.returncode == 2
    assert "give either --originals and --anonymized, or --scenes" in done.stderr


def test_the_appliance_is_shown_both_cameras(
    portraits: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[int, int, int]] = []

    def fake(files: Sequence[Path], draft: Path, settings: dict[str, Any]) -> tuple[Run, Path]:
        frames = list(clip_frames(files[0]))
        ran.append((len(files), len(frames), frames[0].width))
        return RUN, draft

    def taken(file: Path, size: tuple[int, int], *_: object) -> list[Way]:
        nothing = Taken(3, 1.0, 1.0, 1.0, {number: [] for number in range(3)})
        whole = replace(nothing, covered={number: [[0, 0, *size]] for number in range(3)})
        return [Way("none", "", lambda: nothing), Way("all", "", lambda: whole)]

    for size in ("480p", "1080p"):
        monkeypatch.setitem(appliance.SIZES, size, SIZE)
    monkeypatch.setattr(pipeline, "run_appliance", fake)
    monkeypatch.setattr(pipeline, "ways_of", taken)
    found = pipeline.measure(
        None,
        command="",
        dataset=portraits,
        rounds=1,
        frames=3,
        compared=3,
        cameras=(1, 2),
        sizes=("480p",),
        faces=(),
        deface=None,
        folder=tmp_path,
    )
    assert [row.name for row in found.rows] == [
        "1 x 1080p, a fixed camera",
        "2 x 1080p, a fixed camera",
        "1 x 480p, a fixed camera",
        "1 x 1080p, a camera that drifts",
    ]
    assert ran == [(1, 3, 320), (2, 3, 320), (1, 3, 320), (1, 3, 320)]
    for ways in (found.compared, found.drifting):
        left = [way.leak for way in ways]
        assert left[0] is not None
        assert left[0].face_frames == left[0].uncovered >= 3
        assert left[1] == Leak(face_frames=left[0].face_frames, uncovered=0)
    assert PipelineResult.model_validate_json(found.model_dump_json()) == found
    assert "Scenes of portraits at 1080p, a fixed camera, 3 frames" in as_markdown(found)


def test_the_readme_has_both_cameras(tmp_path: Path) -> None:
    def ways(*left: int) -> list[Compared]:
        names = (DEFACE_FULL, EDGE, EDGE_NO_LAST_LOOK, EDGE_BLUR)
        return [
            Compared(
                name=name,
                writes="",
                frames=1,
                fps=1,
                fps_min=1,
                fps_max=1,
                cpu_ms=1,
                rss_megabytes=1,
                times_deface=number + 0.5,
                leak=Leak(face_frames=1000, uncovered=uncovered),
            )
            for number, (name, uncovered) in enumerate(zip(names, left, strict=True))
        ]

    runs = [
        Row(
            name="",
            cameras=1,
            size=size,
            faces=None,
            threads=0,
            fps=1,
            fps_min=1,
            fps_max=1,
            cpu_ms=1,
            outside_ms=None,
            bare_ms=1,
            runs=[RUN],
        )
        for size in ("720p", "1080p")
    ]
    with watched() as watch:
        pass
    result = PipelineResult(
        command="",
        machine=watch.machine,
        clip="portraits",
        scenes=True,
        reference=True,
        rounds=1,
        rows=runs,
        compared=ways(30, 5, 9, 7),
        drifting=tuple(ways(20, 4, 8, 6)),
        deface={},
        targets=[],
    )
    (tmp_path / "pipeline.json").write_text(result.model_dump_json())
    (what, figure, command), _ = figures.rows_of(tmp_path)
    assert "1080p" in what
    assert figure == (
        "`edge run` 1.5x and 1.5x, left 0.5% and 0.4%; without last look 2.5x and 2.5x; "
        "`edge blur` 3.5x and 3.5x, left 0.7% and 0.6%; deface left 3.0% and 2.0%"
    )
    assert command == "pipeline"


def test_a_set_without_scenes_is_refused(portraits: DataSet) -> None:
    with pytest.raises(DatasetError, match="no pictures of split eval"):
        shown.writers_of(None, DataSet("none", "jsonl", ()))
    assert walkers.fixed_scenes(portraits.pictures, SIZE, 3)
