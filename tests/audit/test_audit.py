"""An untouched store passes, and the figures are those of its runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import StoreError
from edge.store import log_format
from tests.audit.boxes import (
    audit,
    images,
    notes,
    rechain,
    run_box,
    wrongs,
)


def test_an_untouched_store_passes(store: Path) -> None:
    result = audit(store)
    assert wrongs(result) == {}
    assert result
    assert result.images == len(images(store)) == 18
    assert result.bytes == sum(path.stat().st_size for path in images(store))
    assert (result.first, result.number) == (1, 24)
    checked = {check.name: check.checked for check in result.checks}
    assert checked["chain"] == checked["fields"] == 24
    assert checked["missing"] == checked["altered"] == checked["paths"] == 18
    assert checked["settings"] == 3
    assert checked["log"] == len(log_format.log_files(store)) == result.log_files
    assert result.rescanned == checked["faces"] == 0


def test_the_figures_are_those_of_the_runs(store: Path) -> None:
    figures = audit(store).figures
    assert (figures.starts, figures.records, figures.not_stored, figures.clock_steps) == (3, 24, 0, 0)
    front, yard = figures.cameras["front"], figures.cameras["yard"]
    assert (front.images, front.regions, front.held, yard.held) == (9, 9, 0, 9)
    assert 0 < front.covered < 0.5
    assert front.dropped == {"stale": 9}  # three runs that each ended with 3
    assert yard.dropped == {"stale": 3, "overtaken": 3}
    assert front.covered_whole == {"too_dark": 3}
    assert figures.detectors == {"ab" * 32: 18}
    (settings,) = figures.settings
    assert (settings.first, settings.images, settings.last_look) == (1, 18, "always")
    assert figures.reidentifiable == figures.without_last_look == figures.unknown == []


def test_totals_of_a_run_that_was_killed_count_too(tmp_path: Path) -> None:
    run_box(tmp_path, range(1, 4), stop=False)
    run_box(tmp_path, range(11, 13), stop=False)
    assert audit(tmp_path).figures.cameras["front"].dropped == {"stale": 3}


def test_a_clock_that_was_set_back_is_a_note(store: Path) -> None:
    rechain(store, lambda records: records[5].__setitem__("time", "2001-01-01T00:00:00.000+00:00"))
    result = audit(store)
    assert result
    assert result.figures.clock_steps == 1
    assert notes(result, "chain")[0].startswith("record 6: its time is ")


def test_files_that_are_being_written_are_a_note(store: Path) -> None:
    (images(store)[0].parent / ".0123456789abcdef.part").write_bytes(b"x")
    result = audit(store)
    assert result
    assert (
        ".0123456789abcdef.part: is being written, or was when the power failed" in notes(result, "extra")[0]
    )


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"give the folder set as store\.folder"):
        audit(tmp_path / "nowhere")
