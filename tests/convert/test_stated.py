"""What a SavedModel states about itself, and the zip that it is handed out in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from convert.errors import ConvertError
from convert.source import open_source
from convert.stated import STATED, Stated, read_stated
from convert.training.zipped import write_zip
from tests.convert.source_files import saved_model

SCORES = {"score_begin": 0.3, "score_continue": 0.2, "score_last_look": 0.4}


def state(folder: Path, text: str) -> Path:
    (folder / STATED).parent.mkdir(parents=True)
    (folder / STATED).write_text(text)
    return folder


def test_nothing_is_stated(tmp_path: Path) -> None:
    assert read_stated(tmp_path) == Stated()
    assert read_stated(tmp_path).given() == {}


def test_values_are_read(tmp_path: Path) -> None:
    stated = {**SCORES, "smallest_face": 14, "licence": "MIT", "nms_iou": 0.3, "score_reason": "measured"}
    assert Stated.parse(stated, "here").given() == stated


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"threshold": 0.3}, "unknown key 'threshold'; known are score_begin"),
        ({**SCORES, "score_begin": "0.3"}, "score_begin is '0.3'; wanted a number between 0 and 1"),
        ({**SCORES, "score_begin": True}, "score_begin is True"),
        ({**SCORES, "score_begin": float("nan")}, "score_begin is nan"),
        ({"smallest_face": 12.5}, "smallest_face is 12.5; wanted a whole number of pixels"),
        ({"smallest_face": -1}, "smallest_face is -1"),
        ({"licence": " "}, "licence is ' '; wanted one line of text"),
        ({"licence": "a\nb"}, "wanted one line of text"),
        ({"score_begin": 0.3}, "belong together; state all three"),
        ({**SCORES, "score_continue": 0.35}, "wanted score_continue <= score_begin"),
        ({**SCORES, "score_last_look": 0.25}, "wanted score_continue <= score_begin"),
    ],
)
def test_a_value_that_is_off_is_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConvertError) as caught:
        Stated.parse(values, "here")
    assert str(caught.value).startswith("here: ")
    assert text in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"score_begin": 0.3', "[" * 100_000])
def test_a_file_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConvertError, match=r"detector\.json .*correct it or remove it"):
        read_stated(state(tmp_path, text))


def test_a_zip_is_opened_as_its_folder(tmp_path: Path) -> None:
    folder = state(saved_model(tmp_path / "faces"), '{"licence": "MIT"}')
    path = write_zip(folder, tmp_path / "faces.zip")
    with open_source(folder) as plain, open_source(path) as found:
        assert (found.name, found.sha256) == (plain.name, plain.sha256)
        assert found.stated == plain.stated == Stated(licence="MIT")
    before = path.read_bytes()
    assert write_zip(folder, path).read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["faces", "faces.zip"]


def test_new_figures_do_not_make_another_model(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "faces")
    with open_source(folder) as before, open_source(state(folder, '{"licence": "MIT"}')) as after:
        assert before.sha256 == after.sha256
