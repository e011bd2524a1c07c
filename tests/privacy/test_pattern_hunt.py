"""The hunt for raw faces in everything that the daemon leaves behind, whatever is done to it.

It runs with fresh folders for all that it may call its own, on a camera file with a known pattern in the face
region, and is asked for its status all the time. Then something happens to it. Afterwards all files, answers
and log lines are searched for the pattern, in every form in which it could be hidden there.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import shlex
import shutil
import signal
import struct
import subprocess
import textwrap
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.models import save, tiny
from tests.privacy.conftest import Proof
from tests.privacy.daemon import Daemon, running
from tests.privacy.hunt import ALIKE, Hunter
from tests.privacy.world import (
    FACE,
    Asking,
    Bytes,
    Scene,
    Tables,
    ask,
    decode,
    draw,
    edge_command,
    environment,
    files_below,
    fill,
    free_port,
    images_below,
    make_scene,
    packets,
    run_daemon,
    write_settings,
)
from tests.sweeping import EVERY

SHARED_FOLDERS = ("/dev/shm", "/var/tmp", "/var/crash")
"""Folders of the whole machine into which something could be written; root gives the daemon its own ones."""
ODD_PATHS = ("/preview/..%2f..%2fcamera.avi", "/preview/none.jpg", "/../camera.avi", "/" + "x" * 9000)
ENOUGH = 12
"""Images before anything happens, and again afterwards."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def hunter(scene: Scene) -> Hunter:
    return Hunter(scene.frames, packets(scene.camera))


def encoded(frame: Bytes, ending: str = ".jpg", quality: int = 50, scale: float = 1) -> bytes:
    small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if ending == ".jpg" else []
    return cv2.imencode(ending, small, options)[1].tobytes()


def page(data: bytes, number: int = 45) -> bytes:
    """One page of a picture in memory; this one has some rows of the pattern."""
    return data[4096 * number : 4096 * (number + 1)]


def with_thumbnail(frame: Bytes) -> bytes:
    """A harmless JPEG file that carries a small raw one in front of its own picture."""
    thumbnail = encoded(frame, quality=80, scale=0.25)
    return b"\xff\xd8\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + encoded(frame * 0)[2:]


HIDDEN: dict[str, Callable[[Bytes], bytes]] = {
    "blue, green, red": lambda frame: page(frame.tobytes()),
    "red, green, blue": lambda frame: page(frame[..., ::-1].tobytes()),
    "grey": lambda frame: page(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).tobytes(), 15),
    "planes": lambda frame: page(frame.transpose(2, 0, 1).tobytes(), 64 + 15),
    "luma": lambda frame: page(cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420).tobytes(), 15),
    "floats": lambda frame: page(frame[..., ::-1].astype(np.float32).tobytes(), 4 * 45),
    "at an odd place of a disk": lambda frame: bytes(5 << 20) + b"x" + page(frame.tobytes()) + bytes(5 << 20),
    "jpeg": lambda frame: encoded(frame, quality=30),
    "png": lambda frame: encoded(frame, ".png"),
    "webp": lambda frame: encoded(frame, ".webp"),
    "bmp": lambda frame: encoded(frame[:200, 150:300], ".bmp"),
    "tiff": lambda frame: encoded(frame[:200, 150:300], ".tiff"),
    "a part of a jpeg": lambda frame: (jpeg := encoded(frame, quality=90))[: len(jpeg) * 2 // 3],
    "jpeg inside": lambda frame: b"PK\3\4 something" + encoded(frame) + b" behind",
    "half as large": lambda frame: encoded(frame, scale=0.5),
    "a thumbnail": with_thumbnail,
    "base64": lambda frame: base64.b64encode(page(frame.tobytes())),
    "base64 from the second byte on": lambda frame: base64.b64encode(b"1" + page(frame.tobytes())),
    "base64 from the third byte on": lambda frame: base64.b64encode(b"12" + page(frame.tobytes())),
    "base64 for addresses": lambda frame: b"?q=" + base64.urlsafe_b64encode(page(frame.tobytes())),
    "base64 in lines": lambda frame: base64.encodebytes(encoded(frame)),
    "a picture in JSON": lambda frame: json.dumps(
        {"image": base64.b64encode(encoded(frame)).decode()}
    ).encode(),
    "hex": lambda frame: page(frame.tobytes()).hex().encode(),
    "hex in capitals": lambda frame: b"0x0" + page(frame.tobytes()).hex().upper().encode(),
    "a literal of Python": lambda frame: repr(page(frame.tobytes())).encode(),
    "a list of numbers": lambda frame: repr(list(page(frame.tobytes()))).encode(),
    "an array in a log": lambda frame: textwrap.dedent(str(frame[100, FACE[0] : FACE[2]])).encode(),
    "zlib": lambda frame: b"head" + zlib.compress(page(frame.tobytes())),
    "gzip": lambda frame: gzip.compress(page(frame.tobytes())),
    "zlib in base64": lambda frame: base64.b64encode(zlib.compress(encoded(frame))),
    "the camera's own data": lambda frame: b"",
}


@pytest.mark.parametrize("form", HIDDEN)
def test_the_hunt_finds_the_pattern_in_each_form(
    form: str, scene: Scene, hunter: Hunter, tmp_path: Path
) -> None:
    number = 3
    data = HIDDEN[form](scene.frames[number]) or packets(scene.camera)[number][1000:3000]
    (tmp_path / "file").write_bytes(data)
    finds = hunter.hunt([tmp_path / "file"], {"/": data}, data.decode("utf-8", "surrogateescape"))
    assert len(finds) >= 3
    assert all(f"frame {number}" in find for find in finds)
    clean = HIDDEN[form](without_pattern(scene.frames[number]))
    assert hunter.search(clean) == []


def without_pattern(frame: Bytes) -> Bytes:
    """The same frame without its secret: a hunter that finds something there sees ghosts."""
    x1, y1, x2, y2 = FACE
    clean: Bytes = frame.copy()
    clean[y1:y2, x1:x2] = frame[y1 - 1 : y1, x1:x2]
    return clean


@pytest.mark.slow
def test_what_is_stored_shows_the_frame_but_not_the_pattern(scene: Scene, hunter: Hunter) -> None:
    x1, y1, x2, y2 = FACE
    around = np.ones(scene.frames[0].shape[:2], np.bool_)
    # A little more than the region, which is larger than the face by 72, 24 and 18 pixels
    around[max(0, y1 - 76) : y2 + 26, x1 - 20 : x2 + 20] = False
    for number, data in scene.undisturbed("png").items():
        pixels, frame = decode(data), scene.frames[number]
        assert np.array_equal(frame, draw(number))
        assert np.array_equal(pixels[around], frame[around])
        assert np.ptp(pixels[y1:y2, x1:x2].astype(int), axis=(0, 1)).max() < 40
        assert hunter.likeness(pixels) < ALIKE - 0.15 < ALIKE + 0.3 < hunter.likeness(frame)
        assert hunter.search(data) == []


@dataclass(eq=False)
class Attack:
    """A daemon at work. ``camera`` and ``detector`` are its own copies; everything that it may write to is in
    ``box``."""

    scene: Scene
    camera: Path
    detector: Path
    box: Path
    config: Path
    port: int
    daemon: Daemon
    asking: Asking

    @property
    def store(self) -> Path:
        return self.box / "store"

    def wait_for_images(self) -> None:
        """Wait until so many images were added."""
        before = len(images_below(self.store))
        self.daemon.wait_for(lambda: len(images_below(self.store)) >= before + ENOUGH)

    def camera_state(self) -> str:
        code, body = ask(self.port, "/status")
        return str(json.loads(body)["cameras"][0]["state"]) if code == 200 else ""


def enclosed(box: Path) -> list[str]:
    """What to put before a command: core files of any size are allowed, and what it writes for the whole
    machine comes to lie in the box."""
    if os.geteuid() != 0:
        return ["sh", "-c", 'ulimit -c unlimited && exec "$@"', "sh"]
    mounts = []
    for name in SHARED_FOLDERS:
        if Path(name).is_dir():
            own = box / name.replace("/", "_")
            own.mkdir()
            mounts.append(f"mount --bind {shlex.quote(str(own))} {name}")
    return [
        "unshare",
        "--mount",
        "sh",
        "-c",
        " && ".join([*mounts, 'ulimit -c unlimited && exec "$@"']),
        "sh",
    ]


@contextmanager
def attacked(scene: Scene, folder: Path, changes: Tables, **extra: str) -> Iterator[Attack]:
    """Start the daemon, and ask it all the time; at the end it is stopped, if it still runs."""
    inputs, box, port = folder / "inputs", folder / "box", free_port()
    for made in (inputs, box / "cwd", box / "store"):
        made.mkdir(parents=True, exist_ok=True)
    for source in (scene.camera, scene.detector, scene.detector.with_suffix(".sha256")):
        shutil.copy(source, inputs)
    camera, detector = inputs / scene.camera.name, inputs / scene.detector.name
    own: dict[str, dict[str, Any]] = {
        "cameras.front": {"source": str(camera), "loop": True, "pace": True},
        "detector": {"path": str(detector)},
        "status": {"port": port, "preview": True},
    }
    tables = scene.tables(
        box / "store", {name: {**own.get(name, {}), **changes.get(name, {})} for name in {**own, **changes}}
    )
    config = write_settings(box / "cwd" / "edge.toml", tables)
    [script] = edge_command()
    log, env = folder / "log", environment(box / "own", **extra)
    prefix = enclosed(box)
    with running(script, config, log_file=log, env=env, prefix=prefix) as daemon, Asking(port) as asking:
        attack = Attack(scene, camera, detector, box, config, port, daemon, asking)
        attack.wait_for_images()
        yield attack
        if daemon.process.poll() is None:
            assert daemon.stop() == 0, daemon.log


Deed = Callable[[Attack], None]


def terminate(attack: Attack) -> None:
    assert attack.daemon.stop() == 0


def kill(attack: Attack) -> None:
    attack.daemon.process.kill()
    attack.daemon.process.wait()


def abort(attack: Attack) -> None:
    attack.daemon.process.send_signal(signal.SIGABRT)
    assert attack.daemon.process.wait() == -signal.SIGABRT


def replace_detector(attack: Attack) -> None:
    """The one at work is the one that was read at the start; one that finds nothing never starts."""
    save(tiny([[0, 0, 9, 9], [0, 0, 1, 1]], [0.9, 0.1]), attack.detector)
    attack.wait_for_images()
    assert attack.daemon.stop() == 0
    again = run_daemon(attack.config, environment(attack.box / "own"), attack.config.parent)
    assert again.returncode == 1
    assert "does not find the known face" in again.stderr
    (attack.box / "second log").write_text(again.stderr)


def garble_camera(attack: Attack) -> None:
    """The file turns into noise, at which FFmpeg complains in the log in its own words."""
    data = bytearray(attack.camera.read_bytes())
    half = len(data) // 2
    data[half : half + 20_000] = np.random.default_rng(0).bytes(20_000)
    attack.camera.write_bytes(data)
    attack.wait_for_images()


def cut_camera(attack: Attack) -> None:
    attack.camera.write_bytes(attack.camera.read_bytes()[:3000])
    attack.daemon.wait_for(lambda: attack.camera_state() == "down")


def remove_store(attack: Attack) -> None:
    """Somebody clears the disk while images are written. It goes on in a new folder."""
    saved = attack.box / "saved"
    attack.store.rename(saved)
    attack.daemon.wait_for(lambda: bool(images_below(attack.store)))
    attack.daemon.process.terminate()
    assert attack.daemon.process.wait(60) in (0, 1)
    shutil.copytree(saved, attack.store, dirs_exist_ok=True)


DEEDS: list[Deed] = [kill, replace_detector, garble_camera, remove_store, abort, terminate, cut_camera]
"""What is done to the daemon."""
FEW = {(kill, 0), (replace_detector, 1), (garble_camera, 2), (remove_store, 0)}
"""What is tried with which of the settings outside of the sweep."""
ALTERS_FRAMES = (garble_camera,)
SETTINGS: list[Tables] = [
    {
        "privacy": {"last_look": last_look, "on_failure": on_failure},
        "blur": {"hold_before_frames": hold},
        "store": {"format": kind},
    }
    for last_look, on_failure, hold, kind in (
        ("always", "drop", 10, "jpeg"),
        ("off", "cover", 0, "png"),
        ("off", "drop", 10, "jpeg"),
        ("always", "cover", 3, "webp"),
    )
]


def check_all_that_is_left(deed: Deed, settings: Tables, scene: Scene, hunter: Hunter, folder: Path) -> None:
    """Do something to a daemon, and search whatever it left behind."""
    with attacked(scene, folder, settings) as attack:
        for path in ODD_PATHS:
            code, attack.asking.bodies[path[:40]] = ask(attack.port, path)
            assert 400 <= code < 500, path
        deed(attack)
    files = files_below(attack.box)
    log = attack.daemon.log
    assert hunter.hunt(files, attack.asking.bodies, log) == []
    assert "Traceback" not in log
    assert not [path for path in files if path.name.startswith("core")]
    images = images_below(attack.store)
    assert len(images) >= ENOUGH
    if deed not in ALTERS_FRAMES:
        assert [flaw for path in images if (flaw := scene.flaw(path))] == []
    answered = {path for path, code in attack.asking.codes if code == 200}
    assert answered >= {"/", "/status", "/metrics", "/healthz", "/preview/front.jpg"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("deed", "settings"),
    [
        pytest.param(deed, settings, id=f"{deed.__name__}-{number}", marks=marks)
        for place, deed in enumerate(DEEDS)
        for number, settings in enumerate(SETTINGS)
        for marks in [() if (deed, number) in FEW else (pytest.mark.sweep,)]
        # A sample has each deed in it, and each of the settings
        if not marks or EVERY == 1 or (place - number) % len(SETTINGS) == 0
    ],
)
def test_no_raw_face_is_left_behind(
    deed: Deed, settings: Tables, scene: Scene, hunter: Hunter, tmp_path: Path, proof: Proof
) -> None:
    check_all_that_is_left(deed, settings, scene, hunter, tmp_path)
    proof(faults=1)


LEAKS = """
import logging, os
import edge.blur, edge.daemon.pipeline
real = edge.blur.anonymize
def anonymize(frame, *rest, **options):
    folder = os.environ["TMPDIR"]
    frame.pixels.tofile(f"{folder}/frame")
    logging.getLogger("edge").warning("row %r", frame.pixels[100, 190:230].tobytes())
    return real(frame, *rest, **options)
edge.blur.anonymize = anonymize
edge.blur._infill = lambda pixels, regions: None
"""


@pytest.mark.slow
def test_a_daemon_that_leaks_is_caught(scene: Scene, hunter: Hunter, tmp_path: Path) -> None:
    """The control: one that covers nothing, logs a row and leaves a frame in its temporary folder."""
    (tmp_path / "sitecustomize.py").write_text(LEAKS)
    with attacked(scene, tmp_path, {"privacy": {"last_look": "off"}}, PYTHONPATH=str(tmp_path)) as attack:
        pass
    finds = hunter.hunt(files_below(attack.box), attack.asking.bodies, attack.daemon.log)
    for place in (
        "own/tmp/frame: blue-green-red",
        "log: escapes of",
        "answer /preview/front.jpg",
        "store/front/",
    ):
        assert any(place in find for find in finds), place


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts filesystems")
def test_no_raw_face_is_left_on_a_store_in_memory_that_fills_up(
    scene: Scene, hunter: Hunter, tmp_path: Path, proof: Proof
) -> None:
    store = tmp_path / "box" / "store"
    store.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(store)], check=True)
    try:
        with attacked(scene, tmp_path, {"audit": {"rotate_megabytes": 0.2}}) as attack:
            ballast = store / "ballast"
            fill(ballast)
            attack.daemon.wait_for(lambda: ask(attack.port, "/readyz")[0] == 503)
            ballast.unlink()
            attack.wait_for_images()
        assert hunter.hunt(files_below(attack.box), attack.asking.bodies, attack.daemon.log) == []
        assert [flaw for path in images_below(store) if (flaw := scene.flaw(path))] == []
    finally:
        subprocess.run(["umount", str(store)], check=True)
    proof(faults=1)
