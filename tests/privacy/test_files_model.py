"""A detector file that was changed, or leads elsewhere, never runs: nothing starts, and the reason is said.

Run as a program, this file opens changed detectors: ``python -m tests.privacy.test_files_model SEED COUNT``.
A process of its own, because a changed graph may end ONNX Runtime itself.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from edge import contract
from edge.config import DetectorConfig
from edge.detection import known_face
from edge.detection.detector import Detector, open_detector
from edge.detection.session import DetectorFile, read_detector
from edge.errors import ContractError, DetectorError, EdgeError, KnownFaceError
from tests.conftest import DATA
from tests.models import GOOD, save, tiny
from tests.privacy.conftest import Proof
from tests.privacy.daemon import run_bare
from tests.sweeping import fewer, sampled

SHIPPED = DATA.parent / "models" / "face.onnx"
ROOT = Path(__file__).resolve().parents[2]
BOXES, SCORES = [[4, 4, 20, 24], [30, 30, 50, 60]], [0.9, 0.1]
CPU = DetectorConfig(provider="cpu", threads=1)


def small() -> onnx.ModelProto:
    return tiny(BOXES, SCORES)


def open_file(path: Path) -> Detector:
    return open_detector(read_detector(path), CPU)


def write(data: bytes, path: Path) -> Path:
    """Write a detector and the hash that belongs to it."""
    path.write_bytes(data)
    path.with_suffix(".sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  {path.name}\n")
    return path


@pytest.fixture
def shipped_copy(tmp_path: Path) -> Path:
    return write(SHIPPED.read_bytes(), tmp_path / "model.onnx")


@pytest.mark.parametrize("count", [200, pytest.param(fewer(5000), marks=pytest.mark.sweep)])
def test_a_flipped_bit_anywhere_is_refused_by_the_hash(shipped_copy: Path, count: int, proof: Proof) -> None:
    size = shipped_copy.stat().st_size
    rng = np.random.default_rng(count)
    places = [*range(16), *range(size - 16, size), *rng.integers(0, size, count - 32).tolist()]
    for place in places:
        with shipped_copy.open("r+b") as file:
            file.seek(place)
            [byte] = file.read(1)
            for value in (byte ^ 1 << int(rng.integers(8)), byte):
                file.seek(place)
                file.write(bytes([value]))
                file.flush()
                if value != byte:
                    with pytest.raises(DetectorError, match=r"sha256 .* changed or is incomplete"):
                        read_detector(shipped_copy)
    assert read_detector(shipped_copy).data == SHIPPED.read_bytes()  # each was put back
    proof(faults=len(places))


def open_changed(seed: int, count: int) -> None:
    """Open the shipped detector with one bit flipped, as if the hash beside it were that of the changed file;
    print what came of it. Every second place is outside of the weights, where a bit means more."""
    data = SHIPPED.read_bytes()
    weights = np.zeros(len(data), bool)
    for tensor in onnx.load_from_string(data).graph.initializer:
        if len(tensor.raw_data) > 64:
            begin = data.index(tensor.raw_data)
            weights[begin : begin + len(tensor.raw_data)] = True
    rng = np.random.default_rng(seed)
    for number in range(count):
        place = int(rng.choice(np.flatnonzero(~weights)) if number % 2 else rng.integers(len(data)))
        changed = bytearray(data)
        changed[place] ^= 1 << int(rng.integers(8))
        file = DetectorFile("changed", bytes(changed), hashlib.sha256(changed).hexdigest())
        try:
            contract.refuse_external_data(file.data)
            known_face.check(open_detector(file, CPU))
        except EdgeError as error:
            outcome = type(error).__name__
        else:
            outcome = "finds the known face"
        print(json.dumps(["place", place, outcome]), flush=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "count"),
    [(1, 10), *(pytest.param(seed, 50, marks=pytest.mark.sweep) for seed in sampled(range(2, 10)))],
)
def test_a_flipped_bit_with_a_matching_hash_is_refused_or_harmless(
    tmp_path: Path, seed: int, count: int, proof: Proof
) -> None:
    done = run_bare(
        [sys.executable, "-m", "tests.privacy.test_files_model", str(seed), str(count)], tmp_path, cwd=ROOT
    )
    # ONNX Runtime's Python wrapper prints there too when a graph cannot be opened
    outcomes = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('["place"')]
    assert done.returncode == 0, (outcomes[-1:], done.stderr[-2000:])
    assert len(outcomes) == count
    allowed = {ContractError, DetectorError, KnownFaceError}
    assert {outcome for _, _, outcome in outcomes} <= {"finds the known face", *(e.__name__ for e in allowed)}
    proof(faults=count)


TEXTS = {"name", "family", "licence", "labels", "normalisation", "score_reason"}
"""Keys whose value is any text; only an empty one is off."""
OFF = [
    "",
    " ",
    "-1",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "1,5",
    "0x10",
    "true",
    "{",
    "[]",
    "null",
    "\0",
    "../../up",
]
OFF += ["9" * 5000, "[" * 100_000, "9" * 5000 + ",0,0", '{"a":' * 100_000]


@pytest.mark.parametrize("key", list(GOOD.to_metadata()))
def test_a_metadata_value_that_is_off_is_refused(tmp_path: Path, key: str, proof: Proof) -> None:
    values = [""] if key.removeprefix(contract.PREFIX) in TEXTS else OFF
    for value in values:
        model = tiny(BOXES, SCORES, metadata={**GOOD.to_metadata(), key: value})
        with pytest.raises(ContractError, match="detector tiny: "):
            open_file(save(model, tmp_path / "tiny.onnx"))
    proof(faults=len(values))


@pytest.mark.parametrize("version", ["0", "1", "2", "3", "5", "999", "99999999999999999999", "-2", "2.0"])
def test_another_contract_version_is_refused(tmp_path: Path, version: str, proof: Proof) -> None:
    metadata = {**GOOD.to_metadata(), "edge.contract_version": version}
    with pytest.raises(ContractError, match=r"version|not a number"):
        open_file(save(tiny(BOXES, SCORES, metadata=metadata), tmp_path / "tiny.onnx"))
    proof(faults=1)


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        (b"made up", b"made\xff\xfe!"),
        (b"image", b"imag\xff"),
        (b"scores", b"score\xff"),
        (b"edge.", b"edg\xff."),
    ],
)
def test_names_that_are_no_text_are_refused(
    tmp_path: Path, text: bytes, changed: bytes, proof: Proof
) -> None:
    data = small().SerializeToString()
    assert text in data
    with pytest.raises(EdgeError):
        open_file(write(data.replace(text, changed), tmp_path / "tiny.onnx"))
    proof(faults=1)


if __name__ == "__main__":
    open_changed(int(sys.argv[1]), int(sys.argv[2]))
