"""Figures of the accuracy benchmark against figures worked out by hand; what it recommends and writes."""

from __future__ import annotations

import dataclasses
import json
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

for _package in ("pycocotools", "matplotlib"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages themselves, while they are imported
        pytest.importorskip(_package)

from benchmarks.accuracy import result as accuracy_result  # noqa: E402
from benchmarks.accuracy.result import AccuracyResult  # noqa: E402
from benchmarks.accuracy.run import CANVAS, LOWEST_SCORE, RAISED_SCORES, detect, measure  # noqa: E402
from convert.one_look import ONE_LOOK  # noqa: E402
from convert.training.coco_figures import coco_precision  # noqa: E402
from convert.training.datasets import DataSet, DatasetError, LabelledObject, Picture, Split, open_dataset  # noqa: E402
from convert.training.figure_forms import Found  # noqa: E402
from convert.training.figures import (  # noqa: E402
    GRID,
    MARGIN,
    MAX_FALSE,
    Tally,
    at_rate,
    at_score,
    average_precision,
    counts,
    recommend,
    sweep,
    tally,
    wider_precision,
)
from edge.config import DetectorConfig  # noqa: E402
from edge.detection.detector import Detections, Detector, open_detector  # noqa: E402
from edge.detection.session import read_detector  # noqa: E402
from edge.errors import DetectionError, DetectorError  # noqa: E402
from edge.pictures import read_picture  # noqa: E402
from edge.reasons import Reason  # noqa: E402
from tests import models  # noqa: E402
from tests.conftest import DATA  # noqa: E402


def boxes(*rows: tuple[float, ...]) -> Detections:
    """Detections from rows of x1, y1, x2, y2, score, best first."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(table[:, :4], table[:, 4])


def face(x: float, y: float = 0, side: float = 20, **more: Any) -> LabelledObject:
    return LabelledObject((x, y, x + side, y + side), **more)


def on(x: float, score: float, y: float = 0, side: float = 20) -> tuple[float, ...]:
    return x, y, x + side, y + side, score


def made(found: list[float], false: list[float], pictures: int = 10) -> Tally:
    count = len(found)
    return Tally(
        np.array(found, np.float32),
        np.full(count, 30, np.float32),
        [None] * count,
        np.array(false, np.float32),
        pictures,
    )


# ----------------------------------------------------------------------------------------- boxes and faces


def test_each_box_is_judged_by_the_face_it_overlaps_most() -> None:
    truth = [
        [face(0), face(100, ignore=True), face(200, side=11), face(300), face(400)],
        [],
    ]
    found = [
        boxes(
            on(0, 0.9),
            on(1, 0.8),  # the same face again
            on(100, 0.7),  # on an ignored face, and again
            on(101, 0.65),
            on(200, 0.6, side=11),  # on a face that is too small
            on(309, 0.5),  # overlaps by 11/29
            on(408, 0.4),  # overlaps by 12/28
        ),
        boxes(on(0, 0.3)),
    ]
    result = tally(truth, found, counts)
    assert result.found.tolist() == pytest.approx([0.9, 0, 0.4])
    assert result.false.tolist() == pytest.approx([0.8, 0.5, 0.3])
    assert (result.sides.tolist(), result.pictures) == ([20, 20, 20], 2)


def test_a_stronger_box_takes_the_face() -> None:
    result = tally([[face(0)]], [boxes(on(5, 0.9), on(0, 0.8))], counts)
    assert result.found.tolist() == pytest.approx([0.9])
    assert result.false.tolist() == pytest.approx([0.8])


def test_figures_by_size_and_mask() -> None:
    sides = (12, 19.5, 20, 40, 80, 200)
    masked = (True, True, False, None, False, False)
    faces = [face(300 * n, side=side, masked=masked[n]) for n, side in enumerate(sides)]
    found = boxes(*(on(300 * n, 0.9 - 0.1 * n, side=side) for n, side in enumerate(sides)), on(5000, 0.2))
    counted = tally([faces, []], [found, boxes()], counts)
    figures = at_score(counted, 0.6)
    assert figures.all == Found(found=4, faces=6, recall=0.6667)
    assert (figures.precision, figures.false_per_picture) == (1.0, 0.0)
    assert {name: (each.found, each.faces) for name, each in figures.by_size.items()} == {
        "12-20": (2, 2),
        "20-40": (1, 1),
        "40-80": (1, 1),
        "80+": (0, 2),
    }
    assert figures.masked == Found(found=2, faces=2, recall=1.0)
    assert figures.unmasked == Found(found=1, faces=3, recall=0.3333)
    low = at_score(counted, 0.1)
    assert (low.all.recall, low.precision, low.false_per_picture) == (1.0, 0.8571, 0.5)


def test_a_score_is_compared_in_its_own_precision() -> None:
    counted = tally([[face(0)]], [boxes(on(0, 0.35))], counts)
    assert counted.recall(0.35) == 1.0


def test_nothing_to_count_gives_no_share() -> None:
    empty = tally([[]], [boxes()], counts)
    figures = at_score(empty, 0.5)
    assert (figures.all.recall, figures.precision, figures.false_per_picture) == (None, None, 0.0)
    assert at_rate(empty, 0.1).recall is None
    assert average_precision(empty) is None
    assert recommend(empty, LOWEST_SCORE, "nothing").score is None


def test_recall_at_a_rate_of_false_boxes() -> None:
    counted = made([0.9, 0.8, 0.5, 0.3, 0], [0.7, 0.6, 0.5, 0.2])
    none, two, all_of_them = (at_rate(counted, rate) for rate in (0.05, 0.2, 1.0))
    assert none.recall == 0.4
    assert none.above == pytest.approx(0.7)
    # The third false box has the same score as a face: no threshold has one without the other.
    assert (two.recall, two.above) == (0.4, 0.5)
    assert (all_of_them.recall, all_of_them.above) == (0.8, None)


# --------------------------------------------------------------------------------------- average precision


def test_average_precision_by_hand() -> None:
    # Recall 1/3 at precision 1, then 2/3 at 2/3; the third face is never found.
    assert average_precision(made([0.9, 0.7, 0], [0.8])) == pytest.approx(1 / 3 + 2 / 9, abs=1e-4)
    assert average_precision(made([0.9, 0.7], [])) == 1.0
    assert average_precision(made([0, 0], [0.5])) == 0.0
    # Equal scores come together, whatever their order.
    assert average_precision(made([0.5], [0.5])) == 0.5
    # Precision rises again: the best at that recall or more counts.
    assert average_precision(made([0.8, 0.7], [0.9])) == pytest.approx(2 / 3, abs=1e-4)


def test_coco_precision_by_hand() -> None:
    truth = [[face(0), face(100), face(200)]]
    exact = coco_precision(truth, [boxes(on(0, 0.9), on(500, 0.8), on(100, 0.7))])
    # 101 recalls 0, 0.01, ...: 34 of them up to 1/3 at precision 1, 33 more up to 2/3 at 2/3.
    assert exact.ap == exact.ap50 == exact.ap75 == pytest.approx((34 + 33 * 2 / 3) / 101, abs=1e-4)
    assert (exact.medium, exact.large) == (None, None)
    assert exact.small == exact.ap
    # 16 of 20 columns: IoU 16/24 is enough for 0.5, 0.55, 0.6 and 0.65.
    shifted = coco_precision([[face(0)]], [boxes(on(4, 0.9))])
    assert (shifted.ap, shifted.ap50, shifted.ap75) == (0.4, 1.0, 0.0)


def test_coco_precision_by_area_and_with_ignored_faces() -> None:
    truth = [[face(0, side=20), face(100, side=50), face(300, side=100), face(500, ignore=True)], []]
    found = [boxes(on(500, 0.95), on(501, 0.94), on(300, 0.9, side=100), on(100, 0.8, side=50)), boxes()]
    result = coco_precision(truth, found)
    assert (result.small, result.medium, result.large) == (0.0, 1.0, 1.0)
    assert result.ap == pytest.approx(67 / 101, abs=1e-4)


def test_coco_precision_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert coco_precision([[face(0)]], [boxes()]).ap == 0.0
    assert coco_precision([[]], [boxes(on(0, 0.5))]).ap is None
    assert coco_precision([[]], [boxes()]).ap50 is None
    assert capsys.readouterr().out == ""


def test_more_than_a_hundred_faces_in_a_picture_count() -> None:
    found = boxes(*(on(30 * n, 0.9) for n in range(120)))
    assert coco_precision([[face(30 * n) for n in range(120)]], [found]).ap == 1.0


def test_both_ways_of_averaging_agree() -> None:
    rng = np.random.default_rng(1)
    truth, found = [], []
    for _ in range(50):
        truth.append([face(40 * n, sets=frozenset({"hard"})) for n in range(10)])
        rows = [on(40 * n + rng.uniform(-6, 6), score) for n, score in enumerate(rng.uniform(0.05, 1, 12))]
        found.append(boxes(*sorted(rows, key=lambda row: -row[4])))
    wider, coco = wider_precision(truth, found)["hard"], coco_precision(truth, found).ap50
    assert wider == pytest.approx(coco, abs=0.01)
    assert 0.6 < (wider or 0) < 0.95


def test_faces_of_other_levels_are_ignored() -> None:
    easy, hard = frozenset({"easy", "medium", "hard"}), frozenset({"hard"})
    truth = [[face(0, sets=easy), face(100, sets=hard), face(200), face(300, side=8, sets=hard)]]
    found = [boxes(on(200, 0.9), on(100, 0.8), on(0, 0.7), on(900, 0.6), on(4, 0.5))]
    assert wider_precision(truth, found) == {
        "easy": 1.0,
        "medium": 1.0,
        "hard": pytest.approx(2 / 3, abs=1e-4),
    }


# ------------------------------------------------------------------------------------ sweep and threshold

SCORES = st.lists(st.floats(0.0625, 1, width=32), max_size=30)


@given(SCORES, SCORES, st.integers(1, 20))
def test_higher_thresholds_never_find_more(found: list[float], false: list[float], pictures: int) -> None:
    points = sweep(made([*found, 0], false, pictures))
    assert [p.score for p in points] == list(GRID)
    for low, high in pairwise(points):
        assert (low.recall or 0) >= (high.recall or 0)
        assert low.false_per_picture >= high.false_per_picture


@given(SCORES, SCORES, st.integers(1, 20), st.sampled_from((LOWEST_SCORE, *RAISED_SCORES)))
def test_the_recommended_threshold_keeps_its_rule(
    found: list[float], false: list[float], pictures: int, lowest: float
) -> None:
    counted = made(found, false, pictures)
    score = recommend(counted, lowest, "made").score
    recalls = {
        s: float(np.mean(counted.found >= s)) if found else 0.0
        for s in GRID
        if s >= lowest and counted.false_per_picture(s) <= MAX_FALSE
    }
    best = max(recalls.values(), default=0.0)
    if score is None:
        assert best == 0
        return
    assert recalls[score] >= best - MARGIN - 1e-9
    assert all(recall < best - MARGIN + 1e-9 for s, recall in recalls.items() if s > score)


def test_the_recommended_threshold_by_hand() -> None:
    # 200 faces: one may be given up. Ten pictures: ten false boxes are allowed.
    counted = made([0.6] * 198 + [0.4, 0.3], [0.2] * 5 + [0.1] * 6)
    chosen = recommend(counted, LOWEST_SCORE, "these")
    assert (chosen.score, chosen.recall, chosen.false_per_picture) == (0.4, 0.995, 0.0)
    assert "on these with 200 faces" in chosen.reason
    assert "the best with up to 1 is 1.000 at 0.11" in chosen.reason
    # Too many false boxes below 0.5 and the weak faces cannot be had.
    assert recommend(made([0.6] * 198 + [0.4, 0.3], [0.45] * 11), LOWEST_SCORE, "these").score == 0.6
    # Where pictures overflow below 0.7, no threshold below is recommended.
    assert recommend(made([0.75, 0.3], []), 0.7, "these").score == 0.75
    nothing = recommend(made([0.6], [0.99] * 11), LOWEST_SCORE, "these")
    assert (nothing.score, nothing.recall) == (None, None)
    assert "on these no threshold from 0.05 on finds a face" in nothing.reason


# ------------------------------------------------------------------------------------------------ detectors


def plain(path: Path, side: int = 64) -> Path:
    Image.new("RGB", (side, side)).save(path)
    return path


def tiny_set(folder: Path, *splits: Split | None, **more: Any) -> DataSet:
    """A picture for each split, each with a masked face at 0,0 and a bare one at 30,30, of 20 px."""
    faces = (face(0, masked=True, **more), face(30, 30, masked=False))
    return DataSet(
        "tiny",
        "voc",
        tuple(Picture(plain(folder / f"{n}.png"), faces, split, (64, 64)) for n, split in enumerate(splits)),
        ("a note",),
    )


BOXES = [[0, 0, 20, 20], [40, 0, 60, 20], [30, 30, 50, 50], [0, 40, 20, 60], [0, 0, 1, 1]]


def tiny_detector(folder: Path, *scores: float) -> Path:
    return models.save(models.tiny(BOXES[: len(scores)], scores), folder / "tiny.onnx")


def test_a_tiny_detector_on_a_set_without_splits(tmp_path: Path) -> None:
    data = tiny_set(tmp_path, None, None)
    result = measure([tiny_detector(tmp_path, 0.9, 0.6, 0.4, 0.01)], data, command="x --y")
    assert (result.reported_on, result.chosen_on, result.data, result.command) == (
        "all",
        "all",
        "tiny",
        "x --y",
    )
    assert result.splits["all"].model_dump() == {"pictures": 2, "faces": 4, "counted": 4}
    (one,) = result.detectors
    assert (one.name, one.precision, one.size, one.raised, one.wider) == ("tiny", "fp32", (64, 64), {}, {})
    assert (one.own.score, one.own.all.recall, one.own.precision) == (0.5, 0.5, 0.5)
    assert (one.own.masked.recall, one.own.unmasked.recall) == (1.0, 0.0)
    # One false box a picture is allowed, so both faces can be had.
    assert (one.recommended.score, one.recommended.recall) == (0.4, 1.0)
    assert "(all), the same that are reported on," in one.recommended.reason
    assert one.at_recommended is not None
    assert (one.at_recommended.all.recall, one.at_recommended.false_per_picture) == (1.0, 1.0)
    assert [(rate.recall, rate.above) for rate in one.at_rates] == [(0.5, pytest.approx(0.6))] * 2 + [
        (1.0, None)
    ]
    # COCO: of the recalls, 51 up to 1/2 at precision 1, 50 more at 2/3.
    assert one.coco.ap == pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-4)
    assert "the same pictures: figures at them are too good" in accuracy_result.as_markdown(result)


def test_a_threshold_is_chosen_on_train_and_reported_on_eval(tmp_path: Path) -> None:
    found, missing = (face(0),), (face(44, 44),)
    members = [("train", found), ("train", found), ("eval", missing)]
    pictures = [
        Picture(plain(tmp_path / f"{n}.png"), faces, "train" if split == "train" else "eval")
        for n, (split, faces) in enumerate(members)
    ]
    data = DataSet("both", "jsonl", tuple(pictures))
    path = tiny_detector(tmp_path, 0.9, 0.01)
    result = measure([path], data)
    assert (result.reported_on, result.chosen_on) == ("eval", "train")
    assert {name: each.pictures for name, each in result.splits.items()} == {"eval": 1, "train": 2}
    (one,) = result.detectors
    assert (one.recommended.score, one.recommended.recall) == (0.9, 1.0)
    assert "2 pictures of both (train) with 2 faces" in one.recommended.reason
    assert one.at_recommended is not None
    assert one.at_recommended.all == Found(found=0, faces=1, recall=0.0)
    # On all: still chosen on train alone.
    everything = measure([path], data, split="all", limit=2)
    assert (everything.reported_on, everything.chosen_on) == ("all", "train")
    assert everything.splits["all"].pictures == 2
    with pytest.raises(DatasetError, match="both has no split 'val'; it has train, eval, all"):
        measure([], data, split="val")


def test_no_threshold_is_chosen_where_there_is_only_eval(tmp_path: Path) -> None:
    data = tiny_set(tmp_path, "eval", sets=frozenset({"easy", "hard"}))
    result = measure([tiny_detector(tmp_path, 0.9, 0.6, 0.4, 0.01)], data)
    assert (result.reported_on, result.chosen_on) == ("eval", None)
    (one,) = result.detectors
    assert (one.recommended.score, one.at_recommended) == (None, None)
    assert "choosing one needs a train split" in one.recommended.reason
    assert one.wider == {"easy": 1.0, "medium": None, "hard": 1.0}
    text = accuracy_result.as_markdown(result)
    assert "WIDER easy" in text
    assert "tiny: no threshold: tiny has only pictures for reporting" in text
    accuracy_result.plot(result, tmp_path / "plot.png")


def test_thresholds_are_raised_where_a_detector_overflows(tmp_path: Path) -> None:
    data = tiny_set(tmp_path, None)
    result = measure([tiny_detector(tmp_path, 0.9, 0.6, 0.4, 0.25)], data)
    (one,) = result.detectors
    assert one.raised["all"].model_dump() == {"pictures": 1, "highest": 0.3}
    assert one.recommended.score == 0.4
    text = accuracy_result.as_markdown(result)
    assert "on 1 pictures (all) more candidates passed than it returns" in text
    assert "with a threshold of up to 0.3" in text


def test_a_detector_may_have_a_threshold_below_the_grid(tmp_path: Path) -> None:
    metadata = dataclasses.replace(models.GOOD, score_begin=0.03, score_continue=0.02).to_metadata()
    model = models.tiny(BOXES[:3], [0.9, 0.04, 0.01], metadata=metadata)
    (one,) = measure([models.save(model, tmp_path / "low.onnx")], tiny_set(tmp_path, None)).detectors
    assert (one.own.score, one.own.false_per_picture, one.raised) == (0.03, 1.0, {})


def test_a_detector_that_always_overflows_is_an_error(tmp_path: Path) -> None:
    data = tiny_set(tmp_path, None)
    with pytest.raises(DetectionError, match=r"0\.png, threshold 0\.9: all 2 candidates") as caught:
        measure([tiny_detector(tmp_path, 0.95, 0.93)], data)
    assert caught.value.reason == Reason.OVERFLOW
    with pytest.raises(DetectorError, match="nowhere"):
        measure([tmp_path / "nowhere.onnx"], data)


def test_pictures_that_are_not_as_labelled_are_an_error(tmp_path: Path, small_detector: Detector) -> None:
    path = plain(tmp_path / "a.png")
    before = small_detector.score_begin, small_detector.score_continue
    with pytest.raises(DatasetError, match=r"a\.png is 64x64, but its labels are for \(64, 48\)"):
        detect(small_detector, [Picture(path, (), size=(64, 48))])
    path.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"a\.png: not a JPEG"):
        detect(small_detector, [Picture(path, ())])
    assert (small_detector.score_begin, small_detector.score_continue) == before


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> AccuracyResult:
    """The shipped detector on the shipped portraits, whose labels are what it finds there itself."""
    folder = tmp_path_factory.mktemp("portraits")
    detector = open_detector(read_detector(None), DetectorConfig(provider="cpu", canvas=CANVAS))
    lines = []
    for name in ("astronaut.jpg", "hopper.jpg"):
        pixels = read_picture(DATA / name).pixels
        (folder / name).write_bytes((DATA / name).read_bytes())
        x1, y1, x2, y2 = detector.detect(pixels, ONE_LOOK).boxes[0].tolist()
        faces = [{"box": [x1, y1, x2 - x1, y2 - y1], "masked": False}]
        lines.append({"image": name, "width": pixels.shape[1], "height": pixels.shape[0], "faces": faces})
    (folder / "annotations.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return measure([None], open_dataset(str(folder)), command="python -m benchmarks accuracy default")


def test_the_shipped_detector_end_to_end(shipped: AccuracyResult) -> None:
    (one,) = shipped.detectors
    assert (one.name, one.size) == ("face", (640, 384))
    own = open_detector(read_detector(None), DetectorConfig(provider="cpu", canvas=CANVAS))
    assert one.own.score == own.score_begin
    assert one.own.all == Found(found=2, faces=2, recall=1.0)
    assert one.own.masked.faces == 0
    assert one.coco.ap == 1.0
    assert (one.recommended.score or 0) > 0.35
    assert [point.score for point in one.sweep] == list(GRID)
    assert shipped.machine.packages["edge-anonymizer"]


def test_a_result_is_read_again_and_unknown_keys_are_refused(shipped: AccuracyResult) -> None:
    text = shipped.model_dump_json(indent=2)
    assert AccuracyResult.model_validate_json(text) == shipped
    content = json.loads(text)
    content["detectors"][0]["own"]["more"] = 1
    with pytest.raises(ValidationError, match=r"detectors\.0\.own\.more"):
        AccuracyResult.model_validate(content)
    content = json.loads(text)
    del content["detectors"][0]["sweep"][0]["recall"]
    with pytest.raises(ValidationError, match=r"sweep\.0\.recall"):
        AccuracyResult.model_validate(content)


def test_tables_and_plot_are_written(shipped: AccuracyResult, tmp_path: Path) -> None:
    text = accuracy_result.as_markdown(shipped)
    for part in (
        "| face | 640x384 | 1.000 ",
        "own 0.2",
        "recommended 0.",
        "12-20 px",
        "masked",
        "- of 0",
    ):
        assert part in text
    assert shipped.machine.line() in text
    assert text.count("| face, threshold |") == 1
    twice = shipped.model_copy(update={"detectors": shipped.detectors * 2})
    file = tmp_path / "plots" / "accuracy.png"
    accuracy_result.plot(twice, file)
    with Image.open(file) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000


@pytest.mark.shared
def test_ten_real_pictures(shared_data: Path) -> None:
    result = measure([None], open_dataset("faces", data=shared_data), limit=10)
    assert (result.reported_on, result.chosen_on) == ("eval", "train")
    assert [each.pictures for each in result.splits.values()] == [10, 10]
    (one,) = result.detectors
    assert (one.own.all.recall or 0) > 0.8
    assert one.own.masked.faces > 0
    assert (one.coco.ap50 or 0) > 0.7
    assert one.recommended.score is not None
