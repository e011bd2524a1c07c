"""docs/smallest-face.md: its figures are those of the formula and of the code."""

from __future__ import annotations

import re
from collections import Counter
from math import floor, radians, tan
from pathlib import Path

import pytest

from edge.config import DetectorConfig, PrivacyConfig
from edge.detection.detector import Detector, open_detector
from edge.detection.session import read_detector
from edge.detection.views import SMALLEST_ON_CANVAS, Search

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "smallest-face.md").read_text(encoding="utf-8")
FACE_METRES = 0.16
CLASSES = {"monitor": 12.5, "detect": 25, "observe": 62.5, "recognise": 125, "identify": 250}
WIDTHS = (12, 20, 40, 80)

DISTANCES = re.findall(r"^\| (\d+)x\d+ \| (\d+) degrees \| (.*) \|$", TEXT, re.MULTILINE)
VIEWS = re.findall(r"^\| (\d+)x(\d+) \| (\d+) px \| (.*) \|$", TEXT, re.MULTILINE)
MEANINGS = re.findall(r"^\| (\d+) px \| (\d+) \| (\w+) \|", TEXT, re.MULTILINE)


@pytest.fixture(scope="module")
def shipped() -> Detector:
    return open_detector(read_detector(None), DetectorConfig(provider="cpu"))


def test_each_width_has_its_pixels_per_metre_and_its_class() -> None:
    assert [int(width) for width, _, _ in MEANINGS] == list(WIDTHS)
    for width, per_metre, named in MEANINGS:
        assert int(per_metre) == round(int(width) / FACE_METRES)
        assert named == [name for name, least in CLASSES.items() if least <= int(per_metre)][-1]


def test_the_distances_follow_from_the_formula() -> None:
    assert len(DISTANCES) == 8
    for picture, angle, cells in DISTANCES:
        across = int(picture) * FACE_METRES / (2 * tan(radians(int(angle) / 2)))
        assert cells.split(" | ") == [f"{floor(10 * across / width) / 10} m" for width in WIDTHS]


@pytest.mark.parametrize(("width", "height", "smallest", "named"), VIEWS)
def test_the_views_are_those_of_the_shipped_detector(
    shipped: Detector, width: str, height: str, smallest: str, named: str
) -> None:
    views = shipped.views(int(width), int(height), Search(int(smallest), in_parts=True))
    sizes = Counter(f"{view.letterbox.width}x{view.letterbox.height}" for view in views)
    assert named == ", ".join(f"{count} of {size}" for size, count in sizes.items())


def test_the_defaults_are_those_of_the_code(shipped: Detector) -> None:
    privacy = PrivacyConfig()
    for key in ("smallest_face_pixels", "any_orientation", "sweep_seconds"):
        value = str(getattr(privacy, key)).lower().removesuffix(".0")
        assert re.search(rf"^{key} = {value} ", TEXT, re.MULTILINE), key
    stated = shipped.session.contract.smallest_face
    assert f"{stated} for the shipped `face`, and {SMALLEST_ON_CANVAS} is assumed" in TEXT
    assert len(VIEWS) >= 6
