"""The measurements of loss: tiny runs, and what the repository keeps of the large ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import common, damaged_files, loss, loss_faces, walk
from benchmarks.options import Way
from edge.config import DetectorConfig
from edge.detection.detector import Detector, open_detector
from edge.detection.session import read_detector
from tests.known_video import number_of
from tests.rtsp_server import missing

NOTHING = np.zeros((0, 4), np.float32)


def test_damaged_files_tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damaged_files, "STREAMS", [("h264", 1, 0)])
    damaged_files.main(copies=1, file=tmp_path / "r.json")
    rows = json.loads((tmp_path / "r.json").read_text())["rows"]
    assert [row["damage"] for row in rows] == list(damaged_files.KINDS)
    assert [(row["said"], row["with_smeared_frames"]) for row in rows[:2]] == [(1, 0)] * 2


@pytest.mark.sweep
@pytest.mark.skipif(bool(missing()), reason=missing() or "the server is there")
def test_loss_tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "STREAMS", [("h264", 1, 2)])
    with pytest.raises(SystemExit) as ended:
        loss.main(frames=80, ways=list(Way), losses=[0.05], file=tmp_path / "r.json")
    assert ended.value.code == 0
    result = json.loads((tmp_path / "r.json").read_text())
    assert [row["way"] for row in result["by_loss"]] == ["udp", "tcp", "camera"]
    assert result["smeared"] == 0


@pytest.fixture(scope="module")
def finder() -> Detector:
    config = DetectorConfig(provider="cpu", canvas="640x384", threads=1)
    return open_detector(read_detector(None), config)


@pytest.mark.parametrize("number", [0, 77])
def test_faces_that_nothing_covers_are_judged_to_be_left(finder: Detector, number: int) -> None:
    raw = walk.draw(number)
    assert number_of(raw) == number
    judged = loss_faces.judge(raw, NOTHING, finder)
    assert (judged.by_template, judged.by_detector, judged.unreadable) == (4, 4, 0)
    recorded = loss_faces.judge(raw, walk.faces(number), finder)
    assert (recorded.by_template, recorded.by_detector) == (4, 0), "the record is not believed by template"


def test_faces_that_stand_where_they_were_are_judged_to_be_left(finder: Detector) -> None:
    """As where a frame is put together from an earlier one."""
    smeared = walk.draw(90)
    for x1, y1, x2, y2 in walk.faces(90).astype(int):
        smeared[y1 - 20 : y2 + 20, x1 - 20 : x2 + 20] = 127
    for x1, y1, x2, y2 in walk.faces(78).astype(int)[1:2]:
        smeared[y1:y2, x1:x2] = walk.draw(78)[y1:y2, x1:x2]
    assert loss_faces.judge(smeared, NOTHING, finder).by_template == 1


def test_a_covered_number_leaves_the_detector_to_judge(finder: Detector) -> None:
    judged = loss_faces.judge(walk.draw(50), np.array([[0, 0, 60, 60]], np.float32), finder)
    assert (judged.unreadable, judged.by_template, judged.by_detector) == (1, 0, 4)


def test_the_page_says_what_was_measured() -> None:
    kept = json.loads((common.RESULTS / "loss.json").read_text())
    page = (common.ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    frames = sum(row["frames"] for row in kept["by_loss"])
    assert f"{kept['kept']:,} frames were handed on from {frames:,}, and **none was smeared**" in page
    assert kept["smeared"] == 0
    for row in kept["by_loss"]:
        share = row["kept_share"] * 100
        assert f"{share:.0f} %" in page or f"{share:.1f} %" in page


def test_the_page_says_what_damage_passes_in_files() -> None:
    rows = json.loads((common.RESULTS / "damaged-files.json").read_text())["rows"]
    page = (common.ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    names = {"512 bytes of noise": "512 bytes of it are noise", "one bit": "one bit of it is another"}
    for kind, name in names.items():
        parts = [
            sum(
                row["with_smeared_frames"]
                for row in rows
                if (row["damage"], row["codec"]) == (kind, codec) and row["slices"] in slices
            )
            for codec, slices in (("h264", (1, 4)), ("h265", (4,)), ("h265", (1,)))
        ]
        cells = " | ".join(f"**{part}**" if part else "0" for part in parts)
        assert f"| {name} | {cells} |" in page
