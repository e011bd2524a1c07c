"""``python -m benchmarks pipeline`` and ``report`` in a tiny form; nothing here is timed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("matplotlib")

from benchmarks import clips, report
from benchmarks.leak.reference import ClipReference
from benchmarks.leak.tracks import Track
from benchmarks.pipeline import appliance, compare, shown
from benchmarks.pipeline import run as pipeline
from benchmarks.pipeline.result import (
    DEFACE_FULL,
    DEFACE_SCALED,
    EDGE,
    EDGE_BLUR,
    Compared,
    Leak,
    PipelineResult,
    Row,
    Run,
    as_markdown,
    plot,
    targets,
)


def frames_of(clip: Path) -> list[np.ndarray]:
    film = cv2.VideoCapture(str(clip))
    frames = []
    while (answer := film.read())[0]:
        frames.append(answer[1])
    return frames


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> PipelineResult:
    folder = tmp_path_factory.mktemp("pipeline")
    with pytest.MonkeyPatch.context() as patch:
        # Counts are the same for larger frames (two views each), which take longer.
        patch.setitem(appliance.SIZES, "720p", (960, 540))
        patch.setitem(appliance.SIZES, "1080p", (960, 540))
        return pipeline.measure(
            None,
            command="python -m benchmarks pipeline",
            rounds=1,
            frames=3,
            compared=4,
            cameras=(1, 2),
            sizes=("720p",),
            faces=(0, 10),
            deface=None,
            folder=folder,
        )


@pytest.mark.slow
def test_every_frame_of_every_camera_is_stored_and_counted(result: PipelineResult, tmp_path: Path) -> None:
    wanted = [(1, None), (2, None), (1, 0), (1, 10), (1, 0)]
    assert [(row.cameras, row.faces) for row in result.rows] == wanted
    for row in result.rows:
        assert len(row.runs) == 1
        for run in row.runs:
            assert run.frames == run.images == 3 * row.cameras
            assert not run.dropped
            # The second is the last look. Each takes two views of a camera's first frame, and as many of
            # later ones as have changed; the known face takes one.
            looks = 1 if "covered" in row.name else 2
            assert run.views >= looks * 2 * row.cameras + 1
            assert run.bare_cpu_seconds > 0
            assert run.detector_cpu_seconds < run.cpu_seconds
            assert set(run.stages) >= {
                "decode",
                "detection",
                "detect",
                "inference",
                "hold",
                "blur",
                "encode",
                "write",
            }
        assert row.fps_min <= row.fps <= row.fps_max
        assert (row.outside_ms is None) == (row.threads != 1)
    assert [run.regions for run in result.rows[-2].runs] == [30]
    assert [way.frames for way in result.compared] == [4, 4, 4, 4]
    assert PipelineResult.model_validate_json(result.model_dump_json()) == result
    text = as_markdown(result)
    assert all(row.name in text for row in result.rows)
    plot(result, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_rows_take_turns_and_each_runs_once_a_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[int, str]] = []

    def fake(clips: Sequence[Path], draft: Path, settings: dict[str, Any]) -> tuple[Run, Path]:
        taken.append((len(clips), settings["privacy"]["last_look"]))
        seconds = float(len(taken))
        run = Run(
            frames=12, images=12, regions=0, dropped={}, seconds=seconds, cpu_seconds=seconds,
            detector_cpu_seconds=0.5, views=24, bare_cpu_seconds=0.1, stages={}, rss_megabytes=1.0,
        )  # fmt: skip
        return run, draft

    monkeypatch.setattr(pipeline, "run_appliance", fake)
    monkeypatch.setattr(shown, "prepare", lambda *_: None)
    monkeypatch.setattr(pipeline, "ways_of", lambda *_: [])
    monkeypatch.setattr(clips, "write_wall", lambda *_: None)
    found = pipeline.measure(
        None, command="", rounds=2, cameras=(1, 2), sizes=("720p",), faces=(0,), deface=None, folder=tmp_path
    )
    rows = [(1, "always"), (2, "always"), (1, "always"), (1, "covered")]
    assert taken == [*rows, *rows[1:], rows[0]]
    assert [[run.seconds for run in row.runs] for row in found.rows] == [[1, 8], [2, 5], [3, 6], [4, 7]]
    first = found.rows[0]
    assert (first.fps_min, first.fps, first.fps_max) == (1.5, 6.75, 12.0)


@pytest.mark.slow
def test_the_report_is_the_last_results_with_their_commands(result: PipelineResult, tmp_path: Path) -> None:
    results, page = tmp_path / "results", tmp_path / "docs" / "page.md"
    results.mkdir()
    (results / "pipeline.json").write_text(result.model_dump_json())
    assert report.write(results, page) == ["pipeline"]
    text = page.read_text(encoding="utf-8")
    assert result.command in text
    assert as_markdown(result) in text
    assert "](pipeline.png)" in text
    assert (page.parent / "pipeline.png").is_file()


def test_a_clip_keeps_its_frames_at_another_size(tmp_path: Path) -> None:
    clips.write_wall(tmp_path / "a.mp4", 320, 180, 3, 5)
    clips.write_scaled(tmp_path / "a.mp4", tmp_path / "b.mp4", 160, 90, frames=4)
    frames = frames_of(tmp_path / "b.mp4")
    assert [frame.shape for frame in frames] == [(90, 160, 3)] * 4


def test_a_wall_has_no_more_places_than_it_has(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there are 108 places"):
        clips.draw_faces(640, 360, 109)


def test_an_ellipse_covers_its_own_area() -> None:
    mask = compare.painted([[10, 20, 110, 80]], 200, 100, ellipses=True)
    assert mask.sum() == pytest.approx(np.pi * 50 * 30, rel=0.05)
    assert compare.painted([[10, 20, 110, 80]], 200, 100, ellipses=False).sum() == 100 * 60


def test_a_face_is_left_when_less_than_its_share_is_covered() -> None:
    boxes = np.array([[10, 10, 40, 40]] * 3, np.int64)
    reference = ClipReference("", 3, 100, 100, [Track(0, boxes, "bbb")])
    whole, little = [[0, 0, 200, 200]], [[20, 20, 50, 80]]  # at twice the size; a half of the box

    def taken(covered: dict[int, list[list[int]]]) -> compare.Taken:
        return compare.Taken(3, 1.0, 1.0, 1.0, covered)

    found = compare.leak("clip", reference, taken({0: whole, 1: little, 2: []}), (200, 200))
    assert found == Leak(face_frames=3, uncovered=2)
    # A frame that was not stored leaks nothing
    assert compare.leak("clip", reference, taken({0: whole}), (200, 200)) == Leak(face_frames=1, uncovered=0)


def way(name: str, fps: float, times: float, uncovered: int | None) -> Compared:
    leak = None if uncovered is None else Leak(face_frames=100, uncovered=uncovered)
    return Compared(
        name=name, writes="images", frames=10, fps=fps, fps_min=fps, fps_max=fps, cpu_ms=1.0,
        rss_megabytes=1.0, times_deface=times, leak=leak,
    )  # fmt: skip


def row(cameras: int, fps: float, faces: int | None = None, outside: float | None = None) -> Row:
    size = "720p" if faces is None else "1080p"
    return Row(
        name="", cameras=cameras, size=size, faces=faces, threads=1 if outside else 0, runs=[], fps=fps,
        fps_min=fps, fps_max=fps, cpu_ms=1.0, outside_ms=outside, bare_ms=1.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "met"),
    [
        (way(EDGE, 50, 5.0, 1), [True, True]),
        (way(EDGE, 50, 4.99, 0), [False, True]),
        (way(EDGE, 50, 6.0, 2), [False, True]),  # faster, but leaks more
        (way(EDGE, 15, 1.5, 1), [False, False]),
        (way(EDGE_BLUR, 15, 1.5, 1), [True]),  # against deface at the picture's own size
    ],
)
def test_faster_counts_only_without_more_faces_left(ours: Compared, met: list[bool]) -> None:
    others = [way(DEFACE_FULL, 10, 1.0, 1), way(DEFACE_SCALED, 20, 2.0, 3)]
    assert [target.met for target in targets([], [*others, ours])] == met


def test_targets_of_the_rows() -> None:
    rows = [row(1, 40), row(2, 39), row(1, 20, faces=10, outside=15.1), row(1, 20, faces=0, outside=99)]
    assert [target.met for target in targets(rows, [])] == [False, False]
    rows = [row(1, 40), row(2, 40), row(1, 20, faces=10, outside=15.0)]
    assert [target.met for target in targets(rows, [])] == [True, True]
