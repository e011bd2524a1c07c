"""A storm of faults over long plays: nothing raw, nothing acknowledged lost, no frame unaccounted for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import blur
from edge.daemon.finisher import Finisher
from edge.detection.gate import Gate
from tests.privacy import storm as storm_module
from tests.privacy.conftest import Proof
from tests.privacy.storm import Outcome, Storm
from tests.privacy.storm_plan import REAL_REGIONS
from tests.sweeping import fewer

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # on the box they are no errors


@pytest.fixture(scope="module")
def storm() -> Iterator[Storm]:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Storm(Path(folder))


def check(total: Outcome, proof: Proof, said: list[str]) -> None:
    assert total.good, said
    assert total.images > total.frames / 5
    proof(faults=total.faults, leaked=total.raw, lost=total.lost)


def test_a_storm_of_faults_leaves_nothing_raw_and_loses_nothing(storm: Storm, proof: Proof) -> None:
    said: list[str] = []
    check(storm.rage(500, 1, said.append), proof, said)


@pytest.mark.sweep
def test_a_long_storm(storm: Storm, proof: Proof) -> None:
    said: list[str] = []
    check(storm.rage(fewer(8000), 1000, said.append), proof, said)


def test_a_frame_of_which_not_all_is_known_leaves_nothing_known(storm: Storm) -> None:
    """Where what was looked at got lost on its way, the next frames kept what had been there before."""
    outcome = storm.play(20046)
    assert outcome.kept > 0
    assert outcome.good


# The storm notices what it is there for


def test_a_blur_that_always_leaves_faces_is_seen(storm: Storm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blur, "regions_of", lambda *args: REAL_REGIONS(*args)[:0])
    monkeypatch.setattr(Finisher, "_last_look_is_due", lambda self, image: False)
    assert storm.play(1, 60).raw > 0


def test_an_image_that_is_gone_or_not_as_recorded_is_seen(
    storm: Storm, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Storm._run

    def run(self: Storm, *args: object) -> object:
        metrics = real(self, *args)  # type: ignore[arg-type]
        files = sorted(self.folder.rglob("*.png"))
        files[0].unlink()
        files[1].write_bytes(files[2].read_bytes())
        return metrics

    monkeypatch.setattr(Storm, "_run", run)
    outcome = storm.play(1, 60)
    assert outcome.lost == 2
    assert outcome.unanswered == 1


def test_a_gate_that_keeps_what_was_never_searched_is_seen(
    storm: Storm, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = storm.play(1, 40, gated=True)
    assert honest.good
    assert honest.kept > honest.frames
    monkeypatch.setattr(Gate, "fail", staticmethod(lambda plan: None))
    assert storm.play(1, 40, gated=True).raw > 0


def test_blindness_would_leak_without_the_known_face(storm: Storm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storm_module.Eyes, "check", lambda self, detector: 1.0)
    assert sum(storm.play(seed, 100).raw for seed in range(1, 4)) > 0
