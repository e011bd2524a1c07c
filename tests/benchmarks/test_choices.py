"""``python -m benchmarks choices`` in a tiny form; nothing here is timed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("av")

from benchmarks.choices import run as choices
from benchmarks.choices.result import CANDIDATES, Candidate, ChoicesResult, as_markdown, chosen
from convert.training.datasets import DataSet, LabelledObject, Picture
from edge.config import DetectorConfig
from edge.detection import views
from edge.detection.detector import open_detector
from edge.detection.session import read_detector
from edge.pictures import read_picture
from tests.conftest import DATA

FACE = (181, 58, 270, 178)


def test_candidates_are_named_by_what_they_change() -> None:
    names = [candidate.name for candidate in CANDIDATES]
    assert names[0] == "as it comes"
    assert len(set(names)) == len(names)
    assert Candidate(last_look="face-fast", score_last_look=0.8).name == (
        "last_look face-fast, score_last_look 0.8"
    )
    assert [one.name for one in chosen(["growth", "overlap 3"])] == [
        "as it comes",
        "growth 0.5",
        "overlap 3.0",
    ]
    assert chosen([]) == list(CANDIDATES)


def test_what_comes_as_it_is_has_the_scores_of_the_product() -> None:
    rig, product = choices.Rig(), open_detector(read_detector(None), DetectorConfig(provider="cpu"))
    detector, session = rig.detector("face", Candidate())
    scores = ("score_begin", "score_continue", "score_last_look")
    assert [getattr(detector, name) for name in scores] == [getattr(product, name) for name in scores]
    other, same = rig.detector("face", Candidate(score_last_look=0.9, score_begin=0.4))
    assert same is session
    assert (other.score_begin, other.score_last_look) == (0.4, 0.9)
    assert session.contract.score_last_look == product.score_last_look  # as it was


def test_a_canvas_runs_once_and_is_charged_each_time() -> None:
    session = choices.RememberedSession("face-fast")
    canvas = np.full((64, 64, 3), 90, np.uint8)
    first = session.run(canvas)
    once = session.charged
    second = session.run(canvas.copy())
    assert all(a is b for a, b in zip(first, second, strict=True))
    assert once > 0
    assert session.charged == pytest.approx(2 * once)


def test_each_candidate_is_judged_by_what_it_leaves(tmp_path: Path) -> None:
    pixels = cv2.resize(read_picture(DATA / "astronaut.jpg").pixels, None, fx=0.4, fy=0.4)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    face = LabelledObject((FACE[0] * 0.4, FACE[1] * 0.4, FACE[2] * 0.4, FACE[3] * 0.4))
    dataset = DataSet("portrait", "jsonl", (Picture(tmp_path / "a.png", (face,), "val"),))
    blind = Candidate(score_begin=0.99, score_continue=0.99)  # finds nothing, not even in the last look
    found = choices.measure(
        dataset, command="", split="val", candidates=(Candidate(), Candidate(last_look="off"), blind),
        size=(320, 240), frames=3, every=2, deface=None, folder=tmp_path,
    )  # fmt: skip
    ours, unchecked, nothing = found.rows
    assert (ours.video.promised, ours.stills.promised) == ((0, 2), (0, 1))  # frames 0 and 2
    assert unchecked.video.promised == (0, 2)
    assert unchecked.video.cpu < ours.video.cpu
    assert (nothing.video.promised, nothing.stills.promised) == ((2, 2), (1, 1))
    assert (nothing.video.beside, nothing.video.dropped) == (0.0, 0)
    assert Candidate().overlap == views.OVERLAP  # as it was
    assert ChoicesResult.model_validate_json(found.model_dump_json()) == found
    assert all(row.name in as_markdown(found) for row in found.rows)
