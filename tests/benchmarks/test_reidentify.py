"""The people of the re-identification benchmark, its arithmetic, and a tiny run of it."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.__main__ import app
from benchmarks.reidentify import run as reidentify
from benchmarks.reidentify.identities import SIDE, Person, make_person, make_scene
from benchmarks.reidentify.portraits import render
from benchmarks.reidentify.recognisers import VIEW, Size, fisher, whiten
from benchmarks.reidentify.run import ROWS, Row, corners, cover, surround
from edge import blur
from edge.boxes import Floats
from edge.config import BlurConfig
from edge.frames import Pixels
from tests.benchmarks import front_door

HIDING = [row for row in ROWS if row.region is not None and not row.config.reidentifiable]
SEEN_THROUGH = [row for row in ROWS if row.config.fill in ("gaussian", "mosaic")]
SEED = 5


def with_other_features(person: Person) -> Person:
    """Another person who differs between brows and mouth only."""
    other = make_person(SEED, 77)
    names = ["brow_angle", "brow_weight", "eye_distance", "eye_size", "eye_slant", "iris", "nose_length"]
    names += ["nose_width", "mouth_height", "mouth_width", "lips", "lip_red", "mole"]
    return dataclasses.replace(person, glasses=2, **{name: getattr(other, name) for name in names})


def inside(box: Floats, region: str) -> np.ndarray:
    """A mask of the picture, true in the region."""
    left, top, right, bottom = corners(box, region)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top:bottom, left:right] = True
    return mask


def changed(first: Pixels, second: Pixels) -> np.ndarray:
    return np.asarray((first != second).any(axis=2))


# ------------------------------------------------------------------------------------------------- people


def test_the_same_seeds_draw_the_same_picture() -> None:
    first, box = render(make_person(SEED, 3), make_scene(SEED, 9))
    again, same = render(make_person(SEED, 3), make_scene(SEED, 9))
    assert first.tobytes() == again.tobytes()
    assert box.tobytes() == same.tobytes()
    other, _ = render(make_person(SEED + 1, 3), make_scene(SEED + 1, 9))
    assert first.tobytes() != other.tobytes()


def test_the_face_box_lies_inside_the_picture() -> None:
    widths = []
    for number in range(60):
        pixels, box = render(make_person(SEED, number), make_scene(SEED, number))
        assert pixels.shape == (SIDE, SIDE, 3)
        assert pixels.dtype == np.uint8
        assert box.shape == (1, 4)
        assert box.dtype == np.float32
        x1, y1, x2, y2 = box[0].tolist()
        assert 0 < x1 < x2 < SIDE
        assert 0 < y1 < y2 < SIDE
        widths.append(x2 - x1)
    assert len(widths) == 60
    assert 55 < min(widths) < max(widths) < 105


def test_people_differ() -> None:
    people = [make_person(SEED, number) for number in range(40)]
    assert len(set(people)) == 40
    pictures = {render(person, make_scene(SEED, 1))[0].tobytes() for person in people}
    assert len(pictures) == 40


def test_a_scene_does_not_depend_on_who_is_in_it() -> None:
    """Outside of the head and the shoulders, two people in one scene give the same pixels."""
    scene = make_scene(SEED, 4)
    one, box = render(make_person(SEED, 1), scene)
    two, _ = render(make_person(SEED, 2), scene)
    differs = changed(one, two)
    assert differs.any()
    middle = (box[0, 0] + box[0, 2]) / 2
    width = box[0, 2] - box[0, 0]
    far = np.abs(np.arange(SIDE) - middle) > width
    assert far.sum() > SIDE / 10
    assert not differs[:, far].any()


def test_a_scene_changes_the_picture_of_a_person() -> None:
    person = make_person(SEED, 1)
    first, _ = render(person, make_scene(SEED, 1))
    second, _ = render(person, make_scene(SEED, 2))
    assert changed(first, second).mean() > 0.9


# --------------------------------------------------------------------------------------------- covering


@pytest.mark.parametrize("row", HIDING, ids=lambda row: row.key)
def test_two_people_who_differ_only_in_the_region_are_the_same_when_covered(row: Row) -> None:
    person, scene = make_person(SEED, 1), make_scene(SEED, 4)
    one, box = render(person, scene)
    two, same_box = render(with_other_features(person), scene)
    np.testing.assert_array_equal(box, same_box)
    differs = changed(one, two)
    assert differs.sum() > 200
    assert row.region is not None
    assert not differs[~inside(box, row.region)].any()
    assert cover(one, box, row).tobytes() == cover(two, box, row).tobytes()


@pytest.mark.parametrize("row", SEEN_THROUGH, ids=lambda row: row.key)
def test_other_fills_keep_the_difference(row: Row) -> None:
    person, scene = make_person(SEED, 1), make_scene(SEED, 4)
    one, box = render(person, scene)
    two, _ = render(with_other_features(person), scene)
    assert cover(one, box, row).tobytes() != cover(two, box, row).tobytes()


def test_there_are_rows_of_both_kinds() -> None:
    assert [row.key for row in HIDING] == [
        "infill (default), head",
        "solid, head",
        "infill, box",
        "solid, box",
    ]
    assert len(SEEN_THROUGH) == 3
    assert len({row.key for row in ROWS}) == len(ROWS) == 10
    assert ROWS[1].config == BlurConfig()


@pytest.mark.parametrize("row", [row for row in ROWS if row.region], ids=lambda row: row.key)
def test_the_surround_is_black_where_the_product_covers(row: Row) -> None:
    """The benchmark works the region out by itself; it is the product's to the pixel."""
    assert row.region is not None
    for number in range(20):
        pixels, box = render(make_person(SEED, number), make_scene(SEED, number))
        region = blur.regions_of(box, SIDE, SIDE, row.config)
        assert region.tolist() == [list(corners(box, row.region))]
        alone = surround(pixels, box, row.region)
        mask = inside(box, row.region)
        assert not alone[mask].any()
        np.testing.assert_array_equal(alone[~mask], pixels[~mask])
        np.testing.assert_array_equal(cover(pixels, box, row)[~mask], pixels[~mask])


def test_the_attackers_are_told_where_the_region_is() -> None:
    pixels, box = render(make_person(SEED, 1), make_scene(SEED, 1))
    marked, plain = reidentify.square(pixels, box, "box"), reidentify.square(pixels, box, None)
    assert marked.shape == (VIEW, VIEW, 4)
    assert marked[VIEW // 2, VIEW // 2, 3] == pytest.approx(255, abs=0.01)
    assert marked[0, 0, 3] == plain[..., 3].max() == 0
    np.testing.assert_array_equal(marked[..., :3], plain[..., :3])


# ------------------------------------------------------------------------------------------- arithmetic


@pytest.mark.parametrize(
    ("first", "second", "tested", "z"),
    [
        (60, 40, 100, 0.2 / math.sqrt(0.5 * 0.5 * 0.02)),
        (40, 60, 100, -2.8284271),
        (25, 25, 1000, 0.0),
        (50, 25, 1000, 0.025 / math.sqrt(0.0375 * 0.9625 * 0.002)),
        (0, 0, 50, 0.0),
        (50, 50, 50, 0.0),
    ],
)
def test_z_of_two_proportions(first: int, second: int, tested: int, z: float) -> None:
    assert reidentify.two_proportions(first, second, tested) == pytest.approx(z, abs=1e-6)


def report(row: Row, network: int, linear: int, alone: int, size: Size = reidentify.FULL) -> dict[str, Any]:
    found = {"network": network, "linear": linear}
    return reidentify.report(row, found, {"network": alone, "linear": alone}, size)


def test_a_fill_that_tells_more_or_less_than_the_surround_is_outside() -> None:
    infill = ROWS[1]
    # 1,000 pictures: 3 sigma beside 40 are 58.2 more, so 70 is the first count outside by some margin.
    assert report(infill, 45, 60, 40)["verdict"] == "as the surround"
    assert report(infill, 45, 75, 40)["verdict"] == "OUTSIDE"
    assert report(infill, 75, 45, 40)["verdict"] == "OUTSIDE"
    assert report(infill, 10, 40, 40)["verdict"] == "OUTSIDE"


def test_a_top_region_is_recognisable_even_where_its_fill_leaks_nothing() -> None:
    top = next(row for row in ROWS if row.region == "top 60 %")
    assert report(top, 900, 950, 925)["verdict"] == "recognisable"
    assert report(top, 990, 950, 925)["verdict"] == "OUTSIDE"


def test_a_blur_counts_as_recognisable_only_well_above_chance() -> None:
    gaussian = next(row for row in ROWS if row.config.fill == "gaussian")
    assert report(gaussian, 25, 30, 25)["verdict"] == "not shown"
    assert report(gaussian, 25, 800, 25)["verdict"] == "recognisable"
    assert (
        reidentify.report(ROWS[0], {"network": 1, "linear": 1}, None, reidentify.FULL)["verdict"]
        == "not covered"
    )


def test_an_attack_that_sees_nothing_is_not_strong() -> None:
    none = reidentify.report(ROWS[0], {"network": 950, "linear": 990}, None, reidentify.FULL)
    weak = reidentify.report(ROWS[0], {"network": 850, "linear": 990}, None, reidentify.FULL)
    seen = [report(row, 30, 800, 30) for row in SEEN_THROUGH]
    assert reidentify.is_strong([none, *seen])
    assert not reidentify.is_strong([weak, *seen])
    assert not reidentify.is_strong([none, *seen[:2], report(SEEN_THROUGH[2], 35, 40, 30)])


def test_linear_discriminants_find_a_faint_difference_under_strong_noise() -> None:
    """A constant sum of all columns tells two people apart, whatever else varies a thousand times more."""
    random = np.random.default_rng(SEED)
    who = np.arange(400) % 2
    common_part = random.normal(0, 100, (400, 8))
    features = np.concatenate([common_part, (0.5 * who - common_part.sum(axis=1))[:, None]], axis=1)
    features += random.normal(0, 0.02, features.shape)
    assert (fisher(features, who, 200) == who[200:]).mean() > 0.95
    blind = np.concatenate([common_part, random.normal(0, 1, (400, 1))], axis=1)
    assert (fisher(blind, who, 200) == who[200:]).mean() < 0.65


def test_whitened_components_have_one_standard_deviation() -> None:
    values = np.random.default_rng(SEED).normal(0, [[1, 10, 100]], (500, 3)).astype(np.float32)
    parts = whiten(values, 400, 2)
    assert parts.shape == (500, 2)
    np.testing.assert_allclose(parts[:400].std(axis=0), 1, atol=0.02)
    assert abs(np.corrcoef(parts[:400].T)[0, 1]) < 1e-6


# ---------------------------------------------------------------------------------------------- the run


def test_the_sheet_shows_every_row() -> None:
    picture = reidentify.sheet(SEED, people=2)
    columns = len(ROWS) + len(reidentify.REGIONS)
    assert picture.shape == (20 + 2 * reidentify.TILE, columns * reidentify.TILE, 3)


@pytest.mark.parametrize("line", [["--seed", "-1"], ["--threads", "0"]])
def test_a_wrong_command_line_ends_with_2(line: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app(["reidentify", *line])
    assert ended.value.code == 2


@pytest.mark.sweep
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed")
def test_a_quick_run_attacks_every_row(tmp_path: Path) -> None:
    # In a process of its own, because TensorFlow takes its number of threads once per process.
    file, sheet = tmp_path / "result.json", tmp_path / "sheet.png"
    done = front_door.run("reidentify", "--quick", "--json", str(file), "--sheet", str(sheet))
    assert done.returncode in (0, 1), done.stderr[-2000:]
    result = json.loads(file.read_text(encoding="utf-8"))
    assert (result["benchmark"], result["quick"], result["chance"]) == ("reidentify", True, 0.25)
    assert [(row["fill"], row["region"]) for row in result["rows"]] == [
        (row.name, row.region) for row in ROWS
    ]
    tested = result["test_pictures"]
    verdicts = set()
    for row, wanted in zip(result["rows"], ROWS, strict=True):
        for attacker in reidentify.ATTACKERS:
            attack = row[attacker]
            assert attack["top1"] == attack["correct"] / tested
            if wanted.region is not None:
                z = reidentify.two_proportions(attack["correct"], attack["surround_correct"], tested)
                assert attack["z"] == pytest.approx(z)
        verdicts.add(row["verdict"])
        assert row["fill"] in done.stdout
    assert verdicts <= {"not covered", "as the surround", "OUTSIDE", "recognisable", "not shown"}
    outside = [f"{row['fill']}, {row['region']}" for row in result["rows"] if row["verdict"] == "OUTSIDE"]
    assert result["outside"] == outside
    assert done.returncode == (1 if outside else 0)
    assert "quick: too small to claim anything" in done.stdout
    assert result["rows"][0]["linear"]["top1"] > 0.5
    assert sheet.read_bytes().startswith(b"\x89PNG")
