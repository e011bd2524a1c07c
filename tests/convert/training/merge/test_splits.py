"""The division into train, val and test: the same each time, and never with a picture in two splits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.training.merge.collect import Entry
from convert.training.merge.request import Shares, parse_shares
from convert.training.merge.splits import assign
from tests.convert.training.merge.sets import FACE, line, merged, picture, plain_set, write_labels, written

TENTHS = Shares(0.8, 0.1, 0.1)


def entry(number: int, own: str | None = None, part: str = "a") -> Entry:
    digest = f"{number:064x}"
    return Entry(f"{part}{number}", (9, 9), part, "", digest, own, [])  # type: ignore[arg-type]


def splits(out: Path) -> dict[str, str]:
    return {each["image"].removeprefix("images/"): each["split"] for each in written(out)}


def test_the_shares_hold_roughly_and_the_seed_changes_who_is_where() -> None:
    entries = [entry(number) for number in range(3000)]
    one, two = (assign(entries, TENTHS, seed, (), resplit=False) for seed in (0, 1))
    for places in (one, two):
        counts = Counter(places.values())
        assert counts["train"] == pytest.approx(2400, abs=80)
        assert counts["val"] == pytest.approx(300, abs=60)
    assert one != two
    assert one == assign(entries[::-1], TENTHS, 0, (), resplit=False)


@given(st.sets(st.integers(0, 10**6), min_size=4, max_size=60), st.integers(0, 9))
def test_a_picture_stays_where_it_is_when_others_come(numbers: set[int], seed: int) -> None:
    entries = [entry(number) for number in range(10**6, 10**6 + 60)]
    more = [*entries, *(entry(number) for number in numbers)]
    before, after = (assign(some, TENTHS, seed, (), resplit=False) for some in (entries, more))
    assert all(after[image] == place for image, place in before.items())


@pytest.mark.parametrize("count", [2, 3, 5, 12])
def test_few_pictures_still_fill_what_they_can(count: int) -> None:
    for seed in range(20):
        places = assign([entry(n) for n in range(count)], TENTHS, seed, (), resplit=False)
        assert set(places.values()) >= ({"train", "val", "test"} if count > 2 else {"train"})


def test_what_a_set_brings_is_kept(tmp_path: Path) -> None:
    names = {"a.png": "train", "b.png": "val", "c.png": "test", "d.png": "eval"}
    for number, name in enumerate(names):
        picture(tmp_path / "set" / name, number)
    write_labels(tmp_path / "set", *(line(name, FACE, split=split) for name, split in names.items()))
    for seed in range(4):
        merged(tmp_path / str(seed), tmp_path / "set", seed=seed)
        assert splits(tmp_path / str(seed)) == {
            "set_a.png": "train",
            "set_b.png": "val",
            "set_c.png": "test",
            "set_d.png": "test",
        }
    again = [
        merged(tmp_path / f"again{seed}", tmp_path / "set", seed=seed, resplit=True).places
        for seed in range(6)
    ]
    assert len({tuple(places.values()) for places in again}) > 1


def test_val_is_cut_out_of_train_where_a_set_has_none() -> None:
    entries = [entry(n, "train") for n in range(900)] + [entry(n, "eval", "a") for n in range(900, 1000)]
    places = assign(entries, TENTHS, 0, {"a"}, resplit=False)
    counts = Counter(places.values())
    assert counts["test"] == 100
    assert counts["val"] == pytest.approx(100, abs=30)
    assert {places[f"a{n}"] for n in range(900, 1000)} == {"test"}
    kept = assign([*entries, entry(1000, "val")], TENTHS, 0, (), resplit=False)
    assert Counter(kept.values()) == {"train": 900, "val": 1, "test": 100}


def test_shares_of_zero_leave_a_split_empty(tmp_path: Path) -> None:
    plain_set(tmp_path / "set", 6)
    result = merged(tmp_path / "out", tmp_path / "set", shares=parse_shares("100/0/0"))
    assert set(splits(tmp_path / "out").values()) == {"train"}
    assert "no pictures for val and test; --resplit divides all pictures anew" in result.warnings()


def test_equal_pictures_in_two_splits_are_held_out(tmp_path: Path) -> None:
    for name, seed in (("a.png", 1), ("b.png", 1), ("c.png", 2), ("d.png", 3)):
        picture(tmp_path / "set" / name, seed)
    write_labels(
        tmp_path / "set",
        line("a.png", FACE, split="train"),
        line("b.png", FACE, split="eval"),
        line("c.png", FACE, split="train"),
        line("d.png", FACE, split="val"),
    )
    merged(tmp_path / "out", tmp_path / "set")
    assert splits(tmp_path / "out") == {"set_a.png": "test", "set_c.png": "train", "set_d.png": "val"}


@pytest.mark.parametrize("text", ["80/20", "0/50/50", "a/b/c", "80/10/-10", "80/10/10/0", "", "8e1/1/1"])
def test_wrong_shares_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not TRAIN/VAL/TEST .* such as 80/10/10"):
        parse_shares(text)
