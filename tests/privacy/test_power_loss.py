"""The power goes while the daemon stores images: what it called written is there afterwards.

The store is an ext4 filesystem in a file, mounted through a loop device. At some moment the daemon is
stopped and the file is copied: whatever the kernel had not given to the device by then is lost, as it is when
the power goes. The copy is then repaired as at a boot (e2fsck plays the journal back), searched for raw faces
in every block, used or free, and mounted, and the daemon is started on it. A disk that says it has written
what is still in a cache of its own is beyond this test, and beyond what a program can know.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.store import log_format
from tests.privacy.conftest import Proof
from tests.privacy.daemon import Daemon, running
from tests.privacy.hunt import Hunter
from tests.privacy.warm import Warm
from tests.privacy.world import (
    Scene,
    Tables,
    ask,
    edge_command,
    environment,
    fill,
    free_port,
    images_below,
    make_scene,
    packets,
    write_camera,
    write_settings,
)
from tests.sweeping import fewer

DISK_MEGABYTES, TINY_MEGABYTES = 32, 16
BRIEF = 2
"""Frames of the camera after the power is back."""
SETTLE_TRIES = 20


def why_not() -> str:
    """Why no filesystem can be mounted here, or an empty text."""
    if os.geteuid() != 0:
        return "only root mounts filesystems"
    missing = [
        name for name in ("mkfs.ext4", "e2fsck", "losetup", "mount", "umount") if not shutil.which(name)
    ]
    if missing:
        return f"not installed: {', '.join(missing)}"
    found = subprocess.run(["losetup", "--find"], capture_output=True, text=True)
    return "" if found.returncode == 0 else f"no loop device: {found.stderr.strip()}"


pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    scene = make_scene(tmp_path_factory.mktemp("scene"))
    scene.undisturbed("jpeg")
    return scene


@pytest.fixture(scope="module")
def hunter(scene: Scene) -> Hunter:
    return Hunter(scene.frames, packets(scene.camera))


def make_disk(path: Path, megabytes: int) -> Path:
    """An ext4 filesystem in a file, all laid out now, so that nothing writes to it in the background."""
    with path.open("wb") as file:
        file.truncate(megabytes << 20)
    options = ["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0"]
    subprocess.run(["mkfs.ext4", *options, str(path)], check=True, capture_output=True)
    return path


@contextmanager
def mounted(disk: Path, folder: Path) -> Iterator[Path]:
    """Mount a disk through a loop device, which goes with it in the end."""
    folder.mkdir()
    subprocess.run(["mount", "-o", "loop", str(disk), str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@dataclass(eq=False)
class Box:
    """A daemon that stores on a disk of its own."""

    scene: Scene
    folder: Path
    disk: Path
    store: Path
    port: int
    daemon: Daemon

    def status(self) -> dict[str, Any]:
        code, body = ask(self.port, "/status")
        return dict(json.loads(body)) if code == 200 else {}

    def written(self) -> int:
        """Images that the daemon calls written."""
        status = self.status()
        return int(status["cameras"][0]["written"]) if status else 0

    def wait_for_images(self, number: int) -> None:
        wanted = self.written() + number
        self.daemon.wait_for(lambda: self.written() >= wanted)

    def cut_power(self, copy: Path) -> list[str]:
        """Copy the disk as it is at this moment; return the images that were called written by then, as paths
        below the store."""
        written = self.written()
        self.daemon.process.send_signal(signal.SIGSTOP)
        try:
            copy.write_bytes(settled(self.disk))
            # As the daemon sees them: on record in the order in which they are written.
            return images_on_record(self.store)[:written]
        finally:
            self.daemon.process.send_signal(signal.SIGCONT)


def settled(disk: Path) -> bytes:
    """What is on a disk, read at one moment: nothing was written to it meanwhile."""
    before = disk.read_bytes()
    for _ in range(SETTLE_TRIES):
        after = disk.read_bytes()
        if after == before:
            return after
        before = after
    raise AssertionError("the disk does not come to rest")


def images_on_record(store: Path) -> list[str]:
    """The images in the log of a store whose last record may be half written, oldest first."""
    lines = [line for path in log_format.log_files(store) for line in path.read_bytes().split(b"\n")[:-1]]
    records = [json.loads(line) for line in lines]
    assert not [record for record in records if record["event"] in ("not_stored", "purged")]
    return [record["image"] for record in records if record["event"] == "image"]


@contextmanager
def box(
    scene: Scene, folder: Path, megabytes: int, changes: Tables | None = None, **extra: str
) -> Iterator[Box]:
    """Start the daemon on a fresh disk; at the end it is stopped, and the disk unmounted."""
    disk, port = make_disk(folder / "disk", megabytes), free_port()
    with mounted(disk, folder / "mounted") as place:
        store = place / "store"
        own: dict[str, dict[str, Any]] = {
            "cameras.front": {"loop": True, "pace": True},
            "status": {"port": port},
        }
        config = write_settings(folder / "edge.toml", scene.tables(store, {**own, **(changes or {})}))
        env, [script] = environment(folder / "own", **extra), edge_command()
        with running(script, config, log_file=folder / "log", env=env) as daemon:
            started = Box(scene, folder, disk, store, port, daemon)
            daemon.wait_for(started.written)
            yield started
            assert daemon.stop() == 0, daemon.log


@dataclass(frozen=True)
class Aftermath:
    """What is on a disk after the power was lost: acknowledged images that are not whole there, raw pieces,
    and all else that is wrong."""

    acknowledged: int
    lost: list[str]
    leaked: list[str]
    problems: list[str]


def bring_back(scene: Scene, hunter: Hunter, copy: Path, acknowledged: list[str], warm: Warm) -> Aftermath:
    """Repair a disk, look at it, and start the daemon on it."""
    leaked = hunter.search(copy.read_bytes())
    repair = subprocess.run(["e2fsck", "-fy", str(copy)], capture_output=True, text=True)
    problems = [] if repair.returncode in (0, 1) else [f"e2fsck: {repair.returncode}: {repair.stdout}"]
    folder = copy.with_suffix(".mounted")
    with mounted(copy, folder):
        store = folder / "store"
        there = images_below(store)
        lost = [name for name in acknowledged if not (store / name).exists() or scene.flaw(store / name)]
        problems += [flaw for path in there if (flaw := scene.flaw(path))]
        problems += start_again(scene, store, copy.parent, warm)
        if len(images_below(store)) != len(there) + BRIEF:
            problems.append(f"{len(there)} images, {len(images_below(store))} after the restart")
    copy.unlink()
    return Aftermath(len(acknowledged), lost, leaked, problems)


def start_again(scene: Scene, store: Path, folder: Path, warm: Warm) -> list[str]:
    """Run the daemon on a store once more, and the audit after it; what is wrong with that."""
    brief = folder / "brief.avi"
    if not brief.exists():
        write_camera(brief, BRIEF)
    changes: Tables = {"cameras.front": {"source": str(brief)}, "status": {"enabled": False}}
    config = write_settings(folder / "again.toml", scene.tables(store, changes))
    env = environment(folder / "own")
    problems = []
    for arguments in (["run", "--config", str(config)], ["audit", str(store), "--sample", "0"]):
        done = warm.edge(arguments, env, folder)
        if done.returncode != 0:
            problems.append(f"edge {arguments[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return problems


def lose_power(
    scene: Scene, hunter: Hunter, folder: Path, moments: int, seed: int, changes: Tables | None = None
) -> list[Aftermath]:
    """Cut the power of one daemon at some moments; in truth it goes on, and each copy is looked at."""
    rng = random.Random(seed)
    copies: dict[Path, list[str]] = {}
    with box(scene, folder, DISK_MEGABYTES, changes) as started:
        for moment in range(moments):
            started.wait_for_images(rng.randint(3, 8))
            time.sleep(rng.uniform(0, 0.05))  # anywhere between two images
            copy = folder / f"copy{moment}"
            copies[copy] = started.cut_power(copy)
    with Warm() as warm:
        return [bring_back(scene, hunter, copy, names, warm) for copy, names in copies.items()]


def check(aftermaths: list[Aftermath], proof: Proof) -> None:
    assert [problem for aftermath in aftermaths for problem in aftermath.problems] == []
    assert [name for aftermath in aftermaths for name in aftermath.lost] == []
    assert [find for aftermath in aftermaths for find in aftermath.leaked] == []
    assert all(aftermath.acknowledged >= 3 for aftermath in aftermaths)
    proof(faults=len(aftermaths))


def test_what_was_acknowledged_is_there_after_a_power_loss(
    scene: Scene, hunter: Hunter, tmp_path: Path, proof: Proof
) -> None:
    check(lose_power(scene, hunter, tmp_path, 3, 20231114), proof)


@pytest.mark.sweep
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("seed", "kind", "rotate"), [(1, "jpeg", 8), (2, "jpeg", 0.002), (3, "png", 8)])
def test_what_was_acknowledged_is_there_after_many_power_losses(
    seed: int, kind: str, rotate: float, scene: Scene, hunter: Hunter, tmp_path: Path, proof: Proof
) -> None:
    changes: Tables = {"store": {"format": kind}, "audit": {"rotate_megabytes": rotate}}
    check(lose_power(scene, hunter, tmp_path, fewer(20), seed, changes), proof)


FORGETFUL = """
import os, pathlib, stat, time
real, real_of_data, gate = os.fsync, os.fdatasync, pathlib.Path("GATE")
def fsync(descriptor):
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        FOLDERS
    else:
        FILES
def fdatasync(descriptor):
    if gate.exists():
        gate.with_suffix(".closed").touch()
    while gate.exists():
        time.sleep(0.01)
    real_of_data(descriptor)
os.fsync, os.fdatasync = fsync, fdatasync
"""
"""A daemon that flushes its log, but only some of the images and folders. While there is a file GATE it
stands still before it flushes the log for its next image: on ext4 any flushed file takes all names along
that were given before it, so only the name of the last image is not on the disk, and only until then."""


@pytest.mark.parametrize(
    ("folders", "files"),
    [
        ("pass", "pass"),
        pytest.param("pass", "real(descriptor)", marks=pytest.mark.sweep),
        pytest.param("real(descriptor)", "pass", marks=pytest.mark.sweep),
    ],
    ids=["none", "files only", "folders only"],
)
def test_a_daemon_that_does_not_flush_is_caught(
    folders: str, files: str, scene: Scene, hunter: Hunter, tmp_path: Path
) -> None:
    """The control: without flushing, images that were called written are lost in just this test."""
    copy, gate = tmp_path / "copy", tmp_path / "gate"
    code = FORGETFUL.replace("FOLDERS", folders).replace("FILES", files).replace("GATE", str(gate))
    (tmp_path / "sitecustomize.py").write_text(code)
    with box(scene, tmp_path, DISK_MEGABYTES, PYTHONPATH=str(tmp_path)) as started:
        started.wait_for_images(12)
        gate.touch()
        started.daemon.wait_for(gate.with_suffix(".closed").exists)
        acknowledged = started.cut_power(copy)
        gate.unlink()
    with Warm() as warm:
        aftermath = bring_back(scene, hunter, copy, acknowledged, warm)
    assert aftermath.acknowledged >= 12
    assert aftermath.lost


def test_a_full_disk_is_told_and_left_behind(
    scene: Scene, hunter: Hunter, tmp_path: Path, proof: Proof
) -> None:
    """Other files fill the disk: the daemon removes its oldest images, then says since when it is full, and
    goes on by itself as soon as there is room."""
    changes: Tables = {"audit": {"rotate_megabytes": 0.5}}
    with Warm() as warm, box(scene, tmp_path, TINY_MEGABYTES, changes) as started:
        ballast = started.store.parent / "ballast"
        fill(ballast)
        started.daemon.wait_for(lambda: ask(started.port, "/readyz")[0] == 503)
        code, body = ask(started.port, "/readyz")
        assert (code, "full" in body.decode()) == (503, True), body
        assert started.status()["store_error_since"] is not None
        assert ask(started.port, "/healthz")[0] == 200
        assert hunter.search(settled(tmp_path / "disk")) == []
        ballast.unlink()
        started.daemon.wait_for(lambda: ask(started.port, "/readyz")[0] == 200)
        assert started.status()["store_error_since"] is None
        started.wait_for_images(3)
        started.daemon.process.send_signal(signal.SIGSTOP)
        assert [flaw for path in images_below(started.store) if (flaw := scene.flaw(path))] == []
        started.daemon.process.send_signal(signal.SIGCONT)
        assert started.daemon.stop() == 0
        assert start_again(scene, started.store, tmp_path, warm) == []
    assert "Traceback" not in started.daemon.log
    proof(faults=1)
