"""The temperature that the kernel reports."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from edge.daemon.temperature import hottest


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


def test_only_thermal_zones_count(tmp_path: Path) -> None:
    zones(tmp_path, "41000\n")
    fan = tmp_path / "cooling_device0"
    fan.mkdir()
    (fan / "temp").write_text("99000\n", encoding="ascii")
    (tmp_path / "thermal_zone7").write_text("a file, not a folder", encoding="ascii")
    assert hottest(tmp_path) == 41.0


@pytest.mark.parametrize(
    ("text", "celsius"),
    [
        ("0\n", 0.0), ("-5500", -5.5), ("-40000", -40.0), ("-40001", None), ("150000", 150.0),
        ("150001", None), ("nan", None), ("inf", None), ("45.5", None), ("9" * 5000, None), ("\0", None),
        ("  52000  \n", 52.0),
    ],
)  # fmt: skip
def test_one_zone(tmp_path: Path, text: str, celsius: float | None) -> None:
    assert hottest(zones(tmp_path, text)) == celsius


def test_a_sensor_that_errs_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EINVAL and ENODATA are what sensors of sleeping parts answer."""
    real = Path.read_text

    def read(self: Path, *args: Any, **words: Any) -> str:
        if "zone0" in str(self):
            raise OSError(errno.ENODATA, "No data available")
        return real(self, *args, **words)

    monkeypatch.setattr(Path, "read_text", read)
    assert hottest(zones(tmp_path, "99000", "41000")) == 41.0


def test_this_machine_gives_a_plausible_answer_or_none() -> None:
    celsius = hottest()
    assert celsius is None or -40 <= celsius <= 150


def test_no_zone_is_no_temperature(tmp_path: Path) -> None:
    assert hottest(tmp_path) is None
    assert hottest(tmp_path / "missing") is None
