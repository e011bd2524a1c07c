"""What the kernel says about heat."""

from __future__ import annotations

from pathlib import Path

from edge.temperature import hottest


def zones(folder: Path, *texts: str) -> Path:
    for number, text in enumerate(texts):
        zone = folder / f"thermal_zone{number}"
        zone.mkdir()
        (zone / "temp").write_text(text, encoding="utf-8")
    return folder


def test_the_hottest_zone_counts(tmp_path: Path) -> None:
    assert hottest(zones(tmp_path, "41000\n", "67500\n", "39000\n")) == 67.5


def test_zones_that_are_off_are_left_out(tmp_path: Path) -> None:
    folder = zones(tmp_path, "-256000\n", "garbage", "", "\u2603", "55000\n", "999999999\n")
    (folder / "thermal_zone9").mkdir()
    (folder / "thermal_zone9" / "temp").mkdir()  # cannot be read
    assert hottest(folder) == 55.0


def test_no_zone_is_no_temperature(tmp_path: Path) -> None:
    assert hottest(tmp_path) is None
    assert hottest(tmp_path / "missing") is None
