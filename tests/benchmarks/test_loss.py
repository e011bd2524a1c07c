"""The measurements of loss: tiny runs, and what the repository keeps of the large ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import common, damaged_files, loss
from benchmarks.options import Way
from tests.rtsp_server import missing


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
