"""A build is published whole or not at all; TensorFlow is not needed to test that."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from convert import parity
from convert.parity import Comparison, Parity
from convert.publish import REPORTS, open_draft, publish, write_detector, write_report
from convert.result import BuiltDetector

NOTHING_COMPARED = Parity(
    "fp32",
    0,
    Comparison(parity.CANVAS_LIMITS["fp32"], ()),
    Comparison(parity.PATH_LIMITS["fp32"], ()),
)


def write_draft(draft: Path, *targets: str) -> list[BuiltDetector]:
    detectors = []
    for target in targets:
        path = draft / f"faces-{target}-fp32.onnx"
        digest = write_detector(path, target.encode())
        detectors.append(BuiltDetector(path, target, "fp32", digest, (), {}, (), NOTHING_COMPARED))
    for name in REPORTS:
        write_report(draft / name, "a report")
    return detectors


def test_everything_is_moved(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with open_draft(out) as draft:
        detectors = write_draft(draft, "cpu", "cuda")
        published = publish(detectors, draft, out)
        assert not list(draft.iterdir())
    assert [detector.path.parent for detector in published] == [out, out]
    for detector in published:
        assert detector.sha256 == hashlib.sha256(detector.path.read_bytes()).hexdigest()
        text = detector.path.with_suffix(".sha256").read_text()
        assert text == f"{detector.sha256}  {detector.path.name}\n"
    assert len(list(out.iterdir())) == 6


@pytest.mark.parametrize("moves", range(6))
def test_no_hash_is_there_before_its_detector_and_the_reports(
    tmp_path: Path, moves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails after some of the six moves."""
    out = tmp_path / "out"
    replace = os.replace
    done: list[Path] = []

    def fail_later(source: Path, target: Path) -> None:
        if len(done) == moves:
            raise OSError("no space left")
        replace(source, target)
        done.append(target)

    monkeypatch.setattr(os, "replace", fail_later)
    with pytest.raises(OSError, match="no space left"), open_draft(out) as draft:
        publish(write_draft(draft, "cpu", "cuda"), draft, out)
    assert len(done) == moves
    names = {path.name for path in out.iterdir()} if out.exists() else set()
    assert len(names) == moves
    if any(name.endswith(".sha256") for name in names):
        assert names >= {"faces-cpu-fp32.onnx", "faces-cuda-fp32.onnx", *REPORTS}


def test_a_draft_leaves_nothing_behind(tmp_path: Path) -> None:
    out = tmp_path / "some" / "out"
    with pytest.raises(FileNotFoundError), open_draft(out) as draft:
        publish(write_draft(draft, "cpu")[:1], tmp_path / "elsewhere", out)
    assert not out.exists()


def test_a_draft_does_not_touch_what_is_published(tmp_path: Path) -> None:
    (tmp_path / "older.onnx").write_text("a detector")
    with open_draft(tmp_path) as draft:
        assert draft.parent == tmp_path
        (draft / "half").write_text("a detector")
    assert [path.name for path in tmp_path.iterdir()] == ["older.onnx"]
