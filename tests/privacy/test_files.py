"""Hostile pictures and videos: the daemon survives them and stores nothing raw.

What ``edge blur`` says of each of them is tested in tests/commands/test_blur.py and
tests/files/test_video_refused.py; here the same files come by a camera's folder, and as a camera.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import hostile
from tests.clips import write_clip
from tests.conftest import DATA
from tests.files.broken_videos import BAD
from tests.privacy.conftest import Proof
from tests.privacy.daemon import (
    bare_environment,
    check_log,
    check_store,
    run_bare,
    running,
    stored,
    write_config,
)

QUICK = "poll_seconds = 0.1"


@pytest.mark.slow
def test_a_folder_of_hostile_pictures(tmp_path: Path, edge_script: str, proof: Proof) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    broken = {maker(inbox).name for maker in hostile.BROKEN} - {"dangling.jpg"}  # which is not there
    accepted = {maker(inbox).name for maker in [*hostile.ODD, hostile.good]}
    config = write_config(tmp_path, {"front": (inbox, QUICK)})
    env = bare_environment(tmp_path / "home")
    before = {path.name for path in inbox.iterdir()}
    with running(edge_script, config, log_file=tmp_path / "log", env=env) as daemon:
        daemon.wait_for(lambda: daemon.has_dealt_with("front", len(broken | accepted)))
        status = daemon.cameras()["front"]
        assert daemon.stop() == 1  # the broken ones are missing for good
    assert status["dropped"].pop("undecodable") == len(broken)
    assert status["dropped"] in ({}, {"too_dark": 1})  # one of the odd kinds is mostly black
    assert len(check_store(tmp_path)) == status["written"] >= len(accepted) - 1
    for name in broken:
        assert f"picture '{name}': " in daemon.log
    assert {path.name for path in inbox.iterdir()} == before
    check_log(daemon.log)
    proof(faults=len(broken) + len(accepted))


@pytest.mark.slow
def test_links_that_lead_nowhere_do_not_stop_a_folder(tmp_path: Path, edge_script: str, proof: Proof) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    links = {
        "a-loop.jpg": "a-loop.jpg",
        "a-pair.jpg": "b-pair.jpg",
        "b-pair.jpg": "a-pair.jpg",
        "a-through.jpg": f"{DATA / 'hopper.jpg'}/x",
        "a-long.jpg": "x" * 300,
        "a-gone.jpg": "gone",
        "a-folder.jpg": str(tmp_path),
    }
    for name, target in links.items():
        (inbox / name).symlink_to(target)
    hostile.good(inbox)
    config = write_config(tmp_path, {"front": (inbox, QUICK)})
    env = bare_environment(tmp_path / "home")
    with running(edge_script, config, log_file=tmp_path / "log", env=env) as daemon:
        daemon.wait_for(
            lambda: "front" in daemon.cameras() and daemon.cameras()["front"]["state"] != "connecting"
        )
        daemon.wait_for(lambda: stored(tmp_path) or daemon.cameras()["front"]["state"] == "down")
        assert daemon.stop() == 0
    assert len(check_store(tmp_path)) == 1, daemon.log
    check_log(daemon.log)
    proof(faults=len(links))


@pytest.mark.slow
def test_hostile_videos_as_cameras(tmp_path: Path, edge_script: str, proof: Proof) -> None:
    cameras = {}
    for maker in BAD:
        folder = tmp_path / "in" / maker.__name__
        folder.mkdir(parents=True)
        cameras[maker.__name__] = (maker(folder), "pace = false")
    good = write_clip(tmp_path / "in" / "good.mp4", frames=6, rate=10)
    cameras["good"] = (good, "pace = false")
    config = write_config(tmp_path, {name.replace("_", ""): source for name, source in cameras.items()})
    before = sorted((tmp_path / "in").rglob("*"))
    done = run_bare([edge_script, "run", "--config", str(config)], tmp_path)
    assert done.returncode == 1, done.stderr  # some cameras are down at the end
    assert "Traceback" not in done.stderr
    counts = {
        name: (int(captured), int(written))
        for name, captured, written in re.findall(r"camera (\w+): captured (\d+), written (\d+)", done.stderr)
    }
    assert set(counts) == {name.replace("_", "") for name in cameras}
    assert counts["good"] == (6, 6)
    images = check_store(tmp_path)
    assert len(images) == sum(written for _, written in counts.values())
    for name in ("headless", "novideo", "empty", "soundalone", "tiny"):
        assert counts[name] == (0, 0)
    for name in ("headless", "novideo", "empty", "soundalone"):
        assert re.search(
            rf"WARNING camera {name}: .*bad\.mp4: (broken or not a video|no picture track)", done.stderr
        )
    for name in ("truncated", "truncatedmkv", "damaged"):
        assert re.search(rf"WARNING camera {name}: .*bad\.m..: .*(truncated|damaged)", done.stderr)
    assert sorted((tmp_path / "in").rglob("*")) == before
    proof(faults=len(BAD))
