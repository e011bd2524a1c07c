"""``edge run`` as a process of its own on a machine whose clock is set, with libfaketime."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import pytest

from edge import blur
from edge.audit.run import Options, audit_store
from edge.boxes import NO_BOXES
from edge.config import BlurConfig, StoreConfig
from edge.frames import Pixels, RawFrame
from edge.store import trusted_clock
from edge.store.images import Entry, ImageStore
from edge.store.log_format import Record
from tests.privacy.daemon import Daemon, bare_environment, running, stored, write_config
from tests.store.records import records_of
from tests.sweeping import sampled

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
pytestmark = pytest.mark.skipif(not LIBRARIES, reason="needs libfaketime (package faketime)")
STEPS = ["-1h", "+1h", "+25h", "+400d", "@1970-01-01 00:00:10"]


class Machine:
    """A box on which a program puts pictures into a folder, and whose clock can be set at any time."""

    def __init__(self, folder: Path, script: str, face: Pixels, days: float) -> None:
        self.folder = folder
        self._script = script
        self._face = cv2.resize(face, (256, 256))
        self._clock = folder / "clock"
        self._inbox = folder / "inbox"
        self._inbox.mkdir()
        self._runs = 0
        camera = self._inbox, 'kind = "folder"\npoll_seconds = 0.05'
        self._config = write_config(folder, {"front": camera})
        text = self._config.read_text().replace("[store]", f"[store]\nmax_age_days = {days}")
        self._config.write_text(text)

    def set_clock(self, to: str) -> None:
        """Such as ``+25h``, from the true time, or ``@1970-01-01 00:00:10``."""
        whole = self._clock.with_suffix(".new")
        whole.write_text(f"{to}\n")
        whole.rename(self._clock)

    @contextmanager
    def running(self) -> Iterator[Daemon]:
        self._runs += 1
        before = self.starts()
        env = bare_environment(
            self.folder / "home",
            TZ="UTC",
            LD_PRELOAD=str(LIBRARIES[0]),
            FAKETIME_TIMESTAMP_FILE=str(self._clock),
            FAKETIME_NO_CACHE="1",
            DONT_FAKE_MONOTONIC="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1",  # the name in later versions of libfaketime
            NO_FAKE_STAT="1",
        )
        log_file = self.folder / f"run-{self._runs}.log"
        with running(self._script, self._config, log_file=log_file, env=env) as daemon:
            daemon.wait_for(lambda: self.starts() > before)
            yield daemon
            assert daemon.stop() == 0

    def store_picture(self, daemon: Daemon) -> None:
        """A new picture arrives; returns once it is stored. What is too old goes before."""
        before = self.written()
        number = len(list(self._inbox.iterdir()))
        assert cv2.imwrite(str(self._inbox / f".{number:03d}.png"), self._face)
        (self._inbox / f".{number:03d}.png").rename(self._inbox / f"{number:03d}.png")
        daemon.wait_for(lambda: self.written() > before)

    def written(self) -> int:
        return sum(path.suffix == ".jpg" for path in stored(self.folder))

    def starts(self) -> int:
        """How often the store was opened."""
        return sum(record["event"] == "start" for record in self.records())

    def records(self) -> list[Record]:
        return records_of(self.folder / "images")

    def check(self) -> None:
        """Nothing was removed, names follow the chain, and the audit finds nothing wrong."""
        records = self.records()
        names = [Path(record["image"]).name for record in records if record["event"] == "image"]
        assert names == sorted(names)
        assert [path.name for path in stored(self.folder)] == names
        assert not [record for record in records if record["event"] == "purged"]
        assert audit_store(self.folder / "images", Options(sample=0), lambda done, total: None)


def machine_of_yesterday(folder: Path, script: str, face: Pixels, days: float) -> Machine:
    """One that was switched off with an image that is 23 hours old now."""
    folder.mkdir(exist_ok=True)
    ago = 23 * 3600
    frame = RawFrame(face, "front", 0, 0, time.monotonic(), time.time_ns() - ago * 10**9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trusted_clock, "read_clocks", lambda: (time.time() - ago, time.monotonic()))
        store = ImageStore(StoreConfig(folder=folder / "images"))
        store.write([Entry(blur.anonymize(frame, NO_BOXES, BlurConfig()))])
        store.close()
    return Machine(folder, script, face, days)


def check_start(machine: Machine, step: str) -> None:
    machine.set_clock(step)
    with machine.running() as daemon:
        machine.store_picture(daemon)
        doubts = [record["why"] for record in machine.records() if record["event"] == "clock"]
        assert bool(doubts) == (step != "+1h" and step != "-1h")  # it may have been off for 24 hours, or 22
        assert ("removal by age is off: at the start" in daemon.log) == bool(doubts)
    machine.check()


def test_a_start_with_a_wrong_clock_removes_nothing(
    tmp_path: Path, edge_script: str, astronaut: Pixels
) -> None:
    machine = machine_of_yesterday(tmp_path, edge_script, astronaut, 1)
    check_start(machine, "+400d")


@pytest.mark.sweep
def test_no_start_removes_an_image_too_early(tmp_path: Path, edge_script: str, astronaut: Pixels) -> None:
    for days, steps in ((1, STEPS), (365, ["+400d"])):
        first = machine_of_yesterday(tmp_path / f"{days}", edge_script, astronaut, days)
        kept = tmp_path / f"kept-{days}"
        shutil.copytree(first.folder / "images", kept)
        for step in steps:
            shutil.rmtree(first.folder / "images")
            shutil.copytree(kept, first.folder / "images")
            check_start(first, step)


@pytest.mark.sweep
@pytest.mark.parametrize("days", sampled([1, 365]))
def test_no_step_removes_an_image_too_early(
    tmp_path: Path, edge_script: str, astronaut: Pixels, days: float
) -> None:
    machine = machine_of_yesterday(tmp_path, edge_script, astronaut, days)
    machine.set_clock("+0s")
    with machine.running() as daemon:
        for step in STEPS:
            machine.set_clock(step)
            machine.store_picture(daemon)
        assert daemon.log.count("removal by age is off: since the start the clock has lost") == 1
        machine.set_clock("+0s")
        machine.store_picture(daemon)
        assert "removal by age is on again" in daemon.log
    states = [record["state"] for record in machine.records() if record["event"] == "clock"]
    assert states == ["in_doubt", "unproven"]
    machine.check()
