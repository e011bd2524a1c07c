"""docs/operations.md names everything that an operator can meet."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from edge.commands import endings
from edge.daemon import run as daemon
from edge.daemon.load import LoadLevel
from edge.reasons import Reason
from edge.sources.state import CameraState
from edge.status.gauges import gauges_text
from edge.status.metrics import Metrics
from edge.status.schema import LoadLevelName
from tests.statuses import make_camera, make_status

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
ROWS = {match.strip(" `*") for match in re.findall(r"^\| ([^|]+) \|", TEXT, re.MULTILINE)}


@pytest.mark.parametrize("reason", [reason.value for reason in Reason])
def test_each_drop_reason_has_a_row(reason: str) -> None:
    assert reason in ROWS


@pytest.mark.parametrize("word", [*get_args(CameraState), *get_args(LoadLevelName)])
def test_each_state_has_a_row(word: str) -> None:
    assert word in ROWS


def test_each_exit_code_has_a_row_and_no_other_is_there() -> None:
    codes = {value for name, value in vars(endings).items() if name.startswith("EXIT_")}
    codes |= {daemon.EXIT_SECOND_SIGNAL, 2}  # 2 is the command line library's own
    assert {str(code) for code in codes} == {row for row in ROWS if row.isdigit()}


def test_each_metric_has_a_row_and_no_other_is_there() -> None:
    metrics = Metrics()
    metrics.add_camera("test")
    metrics.set_detector("name", "0" * 64, "cpu")
    text = (metrics.text() + gauges_text(make_status(make_camera()))).decode()
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
    assert len(names) > 20
    assert names == {row for row in ROWS if row.startswith("edge_")}


def test_load_levels_are_those_of_the_load_control() -> None:
    assert [level.name.lower() for level in LoadLevel] == list(get_args(LoadLevelName))
