"""``python -m benchmarks fixed-camera``: its faces and its sums; nothing here is timed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")

from benchmarks import fixed_camera
from benchmarks.fixed_camera import BAR, EVERYTHING, FixedCameraResult, Row, Way
from benchmarks.leak.reference import ClipReference
from benchmarks.leak.tracks import Track
from benchmarks.machine import watched
from benchmarks.pipeline.result import Run
from benchmarks.scenes.result import Count


def way(frames: int, seconds: float, left: int) -> Way:
    run = Run(
        frames=frames, images=frames - 1, regions=0, dropped={}, seconds=seconds, cpu_seconds=2 * seconds,
        detector_cpu_seconds=0.0, views=4 * frames, bare_cpu_seconds=0.0, stages={}, rss_megabytes=1.0,
    )  # fmt: skip
    faces = [
        Count(low=12, high=20, masked=None, faces=9, left=9),
        Count(low=20, high=30, masked=None, faces=5, left=left),
        Count(low=80, high=None, masked=None, faces=2, left=0),
    ]
    return Way(run=run, faces=faces)


def test_sums_are_those_of_frames_and_seconds() -> None:
    with watched() as watch:
        pass
    rows = [
        Row(name="walkers-0", gate=way(10, 1, 0), everything=way(10, 4, 1)),
        Row(name="walkers-1", gate=way(30, 4, 0), everything=way(30, 6, 0)),
        Row(name="few-walkers-0", gate=way(10, 1, 0), everything=way(10, 3, 0)),
        Row(name="classroom", gate=way(10, 2, 2), everything=way(10, 2, 2)),
    ]
    assert rows[0].everything.left == (1, 7)
    result = FixedCameraResult(command="", machine=watch.machine, size=(1920, 1080), bar=BAR, rows=rows)
    lines = {line.split("|")[1].strip(): line for line in fixed_camera.as_markdown(result).splitlines()[2:8]}
    assert list(lines)[4:] == ["**all walkers**", "**all few-walkers**"]
    cells = [cell.strip() for cell in lines["**all walkers**"].split("|")][2:-1]
    assert cells[:4] == ["38 / 38", "0 of 14 / 1 of 14", "8.00 / 4.00", "2.00"]
    assert cells[4:] == ["0.250 / 0.500", "2.00", "4.0 / 4.0"]


def test_faces_of_a_clip_grow_with_it() -> None:
    track = Track(3, np.array([[10, 20, 30, 50], [12, 20, 32, 50]]), "mm")
    truth = fixed_camera._truth_of(ClipReference("", 9, 480, 270, [track]), (1920, 1080))
    boxes, faces = truth(4)
    np.testing.assert_array_equal(boxes, [[48, 80, 128, 200]])
    assert [(face.box, face.side) for face in faces] == [((48, 80, 128, 200), 80)]
    assert [len(truth(number)[0]) for number in (2, 5)] == [0, 0]
    film = ClipReference("", 9, 480, 270, [track])
    judged = fixed_camera._truth_of(film, (480, 270), [(track.name, 4, 4, "a table")])
    assert [len(judged(number)[0]) for number in (3, 4)] == [1, 0]


def test_a_clip_that_the_reference_does_not_know_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "classroom.mp4"
    clip.write_bytes(b"another film")
    with pytest.raises(SystemExit):
        fixed_camera.measure([clip], None, command="", folder=tmp_path / "build")
    assert "is of another file" in capsys.readouterr().err
    assert list((tmp_path / "build").iterdir()) == []


def test_both_ways_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[str, dict[str, Any]]] = []

    def fake(clips: Sequence[Path], draft: Path, settings: dict[str, Any]) -> tuple[Run, Path]:
        taken.append((clips[0].stem, settings))
        return way(2, 1, 0).run, draft

    monkeypatch.setattr(fixed_camera, "run_appliance", fake)
    monkeypatch.setattr(fixed_camera, "stored_images", lambda store: {"camera1": {}})
    monkeypatch.setattr(fixed_camera, "_enlarged", lambda clips, *_: [(clip, None) for clip in clips])
    monkeypatch.setattr(fixed_camera, "outputs_of", lambda *_: iter(()))
    found = fixed_camera.measure([Path("a.mp4"), Path("b.mp4")], None, command="", folder=tmp_path)
    assert taken == [(name, settings) for name in "ab" for settings in ({}, EVERYTHING)]
    assert [row.name for row in found.rows] == ["a", "b"]
