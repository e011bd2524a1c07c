"""Fixtures that several test modules use."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, settings

import edge
from edge import process
from edge.config import DetectorConfig
from edge.detection.detector import Detector, open_detector
from edge.detection.session import read_detector
from edge.frames import Pixels, RawFrame
from edge.pictures import read_picture

# Doctests are collected from every module, and this one needs TensorFlow.
collect_ignore = [] if importlib.util.find_spec("tensorflow") else ["saved_models.py"]
# These need the benchmarks, which are not in the wheel.
if importlib.util.find_spec("benchmarks") is None:
    collect_ignore += ["benchmarks", "privacy/proof.py"]

# Tests are never timed; "thorough" is for a long look by hand: HYPOTHESIS_PROFILE=thorough pytest
settings.register_profile("default", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=3000)
# For another Python: whether it runs at all shows soon, and the search has been done on the first one.
settings.register_profile("quick", deadline=None, max_examples=10)
# For the deliberate breaks of tests/privacy/mutations.py: that a test fails is enough, and looking for the
# smallest example can take five minutes per test.
settings.register_profile("unshrunk", deadline=None, phases=(Phase.explicit, Phase.generate))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
DATA = Path(edge.__file__).parent / "data"


SLOWEST_FILES = 10


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first: near the end there are only short ones to share out."""
    weights: Counter[Path] = Counter()
    for item in items:
        weights[item.path] += 10 * ("sweep" in item.keywords) + ("slow" in item.keywords)
    items.sort(key=lambda item: -weights[item.path])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print which files took longest: setup, call and teardown of all their tests."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.split("::")[0]] += report.duration
    if len(seconds) > SLOWEST_FILES:
        terminalreporter.section("slowest files")
        for name, duration in sorted(seconds.items(), key=lambda pair: -pair[1])[:SLOWEST_FILES]:
            terminalreporter.write_line(f"{duration:6.1f} s  {name}")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("EDGE_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_rights_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that run inside a test leave its process as it is: hardening could not be undone, so later
    tests would depend on the order. Hardening itself is tested in processes of their own."""
    monkeypatch.setattr(process, "harden", lambda: None)


@pytest.fixture(scope="session")
def detector() -> Detector:
    """The shipped detector, on one thread per call."""
    config = DetectorConfig(provider="cpu", threads=1, timeout_seconds=60)
    return open_detector(read_detector(None), config)


@pytest.fixture(scope="session")
def small_detector() -> Detector:
    """The shipped detector as the daemon runs it."""
    return open_detector(read_detector(None), DetectorConfig(provider="cpu"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real models, pictures and clips."""
    if not SHARED.is_dir():
        pytest.skip("the real models, pictures and clips are not beside this repository")
    return SHARED


@pytest.fixture(scope="session")
def astronaut() -> Pixels:
    return read_picture(DATA / "astronaut.jpg").pixels


@pytest.fixture(scope="session")
def edge_script() -> str:
    """The installed ``edge`` command."""
    return str(Path(sys.executable).with_name("edge"))


@pytest.fixture
def raw() -> Callable[..., RawFrame]:
    """Make a RawFrame from pixels, or a noisy one of a size."""

    def make(
        pixels: Pixels | None = None,
        *,
        number: int = 0,
        seconds: float = 0.0,
        camera: str = "test",
        utc_ns: int = 1_700_000_000_000_000_000,
    ) -> RawFrame:
        if pixels is None:
            pixels = np.random.default_rng(number).integers(0, 256, (240, 320, 3), np.uint8)
        return RawFrame(pixels, camera, number, seconds, 0.0, utc_ns)

    return make
