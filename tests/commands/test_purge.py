"""``edge purge`` removes a stretch of images on record, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge import blur
from edge.audit.run import Options, audit_store
from edge.audit.way_out import purge_command
from edge.cli import app
from edge.config import StoreConfig
from edge.errors import StoreError
from edge.frames import RawFrame
from edge.store.images import Entry, ImageStore
from tests.store.records import records_of

Make = Callable[..., RawFrame]


@pytest.fixture
def store(tmp_path: Path, raw: Make) -> Path:
    """Ten images of two cameras, a second apart from 22:13:20 on."""
    folder = tmp_path / "store"
    box = ImageStore(StoreConfig(folder=folder))
    for number in range(5):
        for camera in ("door", "yard"):
            frame = raw(number=number, camera=camera, utc_ns=raw().utc_ns + number * 10**9)
            assert isinstance(box.write([Entry(blur.cover_whole(frame))])[0], Path)
    box.record("stop", {})
    box.close()
    (tmp_path / "edge.toml").write_text(f'[cameras.door]\nsource = "x.mp4"\n[store]\nfolder = "{folder}"\n')
    return folder


def purge(store: Path, *options: str, answer: str = "") -> tuple[int, str]:
    words = ["purge", "--config", str(store.parent / "edge.toml"), *options]
    done = CliRunner().invoke(app, words, input=answer, env={"COLUMNS": "300"})
    return done.exit_code, done.output


def seconds(store: Path, camera: str) -> list[int]:
    return sorted(int(path.name[13:15]) for path in (store / camera).rglob("*.jpg"))


STRETCH = ("--from", "2023-11-14T22:13:21Z", "--to", "2023-11-14T23:13:23+01:00")


@pytest.mark.parametrize("answer", ["y\n", "n\n", ""])
def test_a_stretch_is_removed_on_record_once_a_person_agrees(store: Path, answer: str) -> None:
    code, text = purge(store, *STRETCH, answer=answer)
    assert "remove 6 images" in text
    if answer != "y\n":
        assert code == 1
        assert seconds(store, "door") == [20, 21, 22, 23, 24]
        return
    assert code == 0, text
    assert seconds(store, "door") == seconds(store, "yard") == [20, 24]
    (record,) = [record for record in records_of(store) if record["event"] == "purged"]
    assert record["why"] == "operator"
    assert len(record["images"]) == 6
    result = audit_store(store, Options(sample=0), lambda *_: None)
    assert result
    assert result.figures.purged == {"operator": 6}


def test_one_camera_alone_without_asking(store: Path) -> None:
    code, text = purge(store, *STRETCH, "--camera", "yard", "--yes")
    assert code == 0, text
    assert seconds(store, "door") == [20, 21, 22, 23, 24]
    assert seconds(store, "yard") == [20, 24]


def test_a_daemon_at_work_a_stranger_and_a_mistake_are_refused(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = ImageStore(StoreConfig(folder=store))
    held.open()
    code, text = purge(store, *STRETCH, "--yes")
    held.close()
    assert code == 1
    assert "another process stores images there" in text
    assert purge(store, "--from", "yesterday", "--to", "today")[0] == 2
    assert purge(store, "--from", "2023-11-14T22:13:21", "--to", "2023-11-14T22:13:21")[0] == 2  # which zone?
    assert purge(store, *STRETCH[2:], "--from", "2024-01-01T00:00:00Z", "--yes")[0] == 78
    assert "no image" in purge(store, "--from", "2024-01-01T00:00:00Z", "--to", "2025-01-01T00:00:00Z")[1]
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 12345)
        code, text = purge(store, *STRETCH, "--yes")
    assert (code, "belongs to another user" in text) == (1, True)
    assert seconds(store, "door") == seconds(store, "yard") == [20, 21, 22, 23, 24]


def test_a_removal_that_was_cut_short_is_finished_at_the_next_start(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if "221322" in path.name:
            raise PermissionError(1, "Operation not permitted")
        real(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        code, text = purge(store, *STRETCH, "--yes")
        assert code == 1
        assert "cannot be removed" in text
        box = ImageStore(StoreConfig(folder=store))
        with pytest.raises(StoreError, match="recorded as removed"):
            box.open()
    box.open()
    box.close()
    assert seconds(store, "door") == [20, 24]
    assert audit_store(store, Options(sample=0), lambda *_: None)


def test_the_command_of_an_audit_names_the_stretch() -> None:
    assert purge_command([]) == purge_command(["door/2023-11-14/other.jpg"]) == ""
    first = "door/2023-11-14/20231114T221320.000Z-000002.jpg"
    last = "yard/2023-11-15/20231115T000001.250Z-000003.jpg.age"
    assert purge_command([last, first]) == (
        "edge purge --config edge.toml --from 2023-11-14T22:13:20.000Z --to 2023-11-15T00:00:01.250Z"
    )
    assert purge_command([first]).endswith("--to 2023-11-14T22:13:20.000Z --camera door")
