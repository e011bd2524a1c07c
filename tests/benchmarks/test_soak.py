"""The soak and the start-up benchmark: what they see, what they conclude, and a short run of each."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks import startup
from benchmarks.soak import run as soak
from benchmarks.soak.box import Box
from benchmarks.soak.cameras import Proxy, flip
from benchmarks.soak.chain import Chain, read_chain
from benchmarks.soak.checks import LEAST_FRAMES, WARM_UP_SECONDS, Check, Record, judge, last_words
from benchmarks.soak.faults import CLOCK, STORE, Fault, draw_faults, note_recovery, recovery_bound
from benchmarks.soak.scene import FACE_LEFT, HEIGHT, WIDTH, Scene, Stamp, read_strip, write_strip
from benchmarks.soak.store import SmallDisk
from benchmarks.soak.watch import Image, Poll, Reader, Sample, in_flight, judge_image
from edge.blur import anonymize, cover_whole
from edge.config import BlurConfig, CameraConfig, StoreConfig
from edge.detection.detector import Detector
from edge.frames import Pixels, RawFrame
from edge.store.images import Entry, ImageStore
from tests.benchmarks import front_door
from tests.disks import EXT4, why_not

pytestmark = pytest.mark.slow

NAME = "20231114T221325.000Z-000001.jpg"
NAMED = 1_700_000_005.0
"""The time in NAME."""


@pytest.fixture(scope="module")
def scenes(small_detector: Detector) -> list[Scene]:
    return [Scene(number, small_detector) for number in range(2)]


def as_jpeg(pixels: Pixels, quality: int) -> Pixels:
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


@pytest.mark.parametrize("stamp", [Stamp(0, 0), Stamp(3, 1234), Stamp(15, (1 << 26) - 1)])
def test_a_strip_survives_coarse_jpeg(stamp: Stamp) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    write_strip(pixels, stamp)
    assert read_strip(as_jpeg(pixels, 20)) == stamp


def test_a_strip_that_was_covered_or_damaged_is_not_read() -> None:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    write_strip(pixels, Stamp(1, 5000))
    covered, damaged = pixels.copy(), pixels.copy()
    covered[:, 600:700] = 128
    damaged[:48, 320:352] = 255 - damaged[:48, 320:352]  # one bit
    assert read_strip(covered) == "covered"
    assert read_strip(damaged) == "damaged"
    assert read_strip(pixels[:100]) == "damaged"


def test_the_known_face_is_seen_before_blurring_and_not_after(
    scenes: list[Scene], small_detector: Detector
) -> None:
    for scene, ms in itertools.product(scenes, (0, 1700, 9000)):
        pixels = scene.draw(ms)
        assert read_strip(pixels) == Stamp(scene.camera, ms)
        raw = as_jpeg(pixels, 50)
        assert min(scene.face_left(raw, ms), scene.face_left(raw, None)) > 0.8
        boxes = small_detector.detect(pixels).at_least(small_detector.score_last_look).boxes
        assert len(boxes) == 1
        safe = anonymize(RawFrame(pixels, "c", 0, 0.0, 0.0, 0), boxes, BlurConfig()).pixels
        stored = as_jpeg(safe, 90)
        assert scene.face_left(stored, ms) < 0.2
        assert scene.face_left(stored, None) < FACE_LEFT - 0.05


def test_an_image_is_judged_by_its_strip_and_its_name(scenes: list[Scene]) -> None:
    zero = NAMED - 4.0
    pixels = scenes[1].draw(3500)
    image = judge_image(pixels, NAME, NAMED + 1, "b", {"b": scenes[1]}, zero)
    assert (image.shown, image.late, image.age, image.at) == (3.5, 0.5, 1.5, 5.0)
    assert image.right_camera
    assert image.face_left > 0.8  # nothing was covered here
    assert not judge_image(pixels, NAME, NAMED, "a", {"a": scenes[0]}, zero).right_camera
    grey = np.full_like(pixels, 128)
    image = judge_image(grey, NAME, NAMED, "b", {"b": scenes[1]}, zero)
    assert (image.strip, image.shown, image.age, image.face_left) == ("covered", None, None, 0.0)
    with pytest.raises(ValueError, match="not a name"):
        judge_image(pixels, "x.jpg", NAMED, "b", {"b": scenes[1]}, zero)


def test_faults_come_in_a_seeded_order_and_each_in_every_round() -> None:
    targets = {"a": ("kill", "hold"), STORE: ("full",)}
    first, again = (list(itertools.islice(draw_faults(targets, 7), 6)) for _ in range(2))
    other = list(itertools.islice(draw_faults(targets, 8), 6))
    assert first == again != other
    for part in (first[:3], first[3:]):
        assert sorted((f.target, f.kind) for f in part) == [("a", "hold"), ("a", "kill"), (STORE, "full")]
    config = CameraConfig(source="http://127.0.0.1/")
    bounds = [recovery_bound(Fault("a", "kill", seconds), config) for seconds in (2.0, 10.0)]
    assert bounds[1] - bounds[0] == pytest.approx(1.2 * 8)
    assert recovery_bound(Fault(STORE, "full", 8), config) < bounds[0]


def poll(at: float, state: str = "live", last: float | None = None, **changed: Any) -> Poll:
    made = Poll(
        at,
        {"a": state},
        {"a": last},
        {"a": round(at * 10)},
        {"a": 4},
        {"a": round(at * 5)},
        "",
        "full",
        [],
        {"a": 0},
    )
    return replace(made, **changed)


def test_a_camera_is_back_when_it_is_live_and_a_later_picture_is_stored() -> None:
    fault = Fault("a", "kill", 4, begin=10, end=14)
    polls = [poll(9, "live", 8.5), poll(12, "down", 9.9), poll(15, "live", 9.9)]
    note_recovery(fault, polls, ["a"])
    assert fault.recovered is None
    assert fault.states == ["down", "live"]
    note_recovery(fault, [*polls, poll(17, "live", 16.0, store_error="full")], ["a"])
    assert fault.recovered is None
    note_recovery(fault, [*polls, poll(18, "live", 17.0)], ["a"])
    assert fault.recovered == 4


DOUBT = "removal by age is off: since the start the clock has gained 60 minutes"


def test_the_box_is_back_when_its_clock_is_trusted_again() -> None:
    """An image that was stored while the clock was ahead says nothing about the time after it."""
    fault = Fault(CLOCK, "+1h", 4, begin=10, end=14)
    polls = [
        poll(12, last=3610.0, degraded=[DOUBT]),
        poll(15, last=3613.0),
        poll(16, last=14.5, degraded=[DOUBT]),
    ]
    note_recovery(fault, polls, ["a"])
    assert fault.recovered is None
    note_recovery(fault, [*polls, poll(17, last=14.5, damaged={"a": 3})], ["a"])
    assert fault.recovered == 3
    assert fault.said == [DOUBT, "damaged"]


def image(at: float, **changed: Any) -> Image:
    made = Image("a", f"{at}.jpg", at, at - 1, 0.2, 1.0, "read", True, 0.1, 0.2)
    return replace(made, **changed)


LOG = """\
2026-01-01 00:00:00,000 INFO detector face on cpu finds the known face (overlap 0.88)
2026-01-01 00:00:09,000 INFO camera a: captured 100, written 40, dropped {'overtaken': 58, 'undecodable': 7, \
'no_lookahead': 2}, state ended
"""


def good_record() -> Record:
    samples = [
        Sample(WARM_UP_SECONDS + n, n * LEAST_FRAMES // 10, 300 + n % 2, 20, 30, True) for n in range(13)
    ]
    return Record(
        ["a"],
        1,
        polls=[poll(n, last=n - 1.0) for n in range(20)],
        samples=samples,
        images=[image(n + 2) for n in range(40)],
        faults=[
            Fault("a", "kill", 4, 10, 14, 20, 5.0),
            Fault("a", "noise", 4, 30, 34, 20, 5.0),
            Fault(CLOCK, "+1h", 4, 36, 40, 20, 5.0, said=[DOUBT]),
        ],
        chain=Chain(acknowledged=40, purged=Counter(min_free=2)),
        exit_code=0,
        log=LOG,
        most_in_flight=13,
    )


def verdicts(record: Record) -> dict[str, bool | None]:
    return {check.name: check.good for check in judge(record)}


FROZEN = "a camera frozen behind its encoder is noticed"


def test_a_run_without_a_flaw_is_good() -> None:
    good = verdicts(good_record())
    assert good.pop(FROZEN) is None  # no such fault in this run
    assert set(good.values()) == {True}
    assert last_words(LOG) == {"a": (100, 40, {"overtaken": 58, "undecodable": 7, "no_lookahead": 2})}
    camera = {"captured": 100, "written": 40, "dropped": {"overtaken": 50, "undecodable": 7}}
    assert in_flight(camera) == 10


def images(**changed: Any) -> list[Image]:
    """Forty images, of which the one at 20 s, long after the first fault, has a flaw."""
    return [image(n + 2, **(changed if n == 18 else {})) for n in range(40)]


def grown(name: str, by: float) -> list[Sample]:
    return [
        replace(s, **{name: type(getattr(s, name))(getattr(s, name) + by * s.captured / LEAST_FRAMES)})
        for s in good_record().samples
    ]


FLAWS: list[tuple[str, dict[str, Any]]] = [
    ("the process lived", {"exit_code": 1}),
    ("the process lived", {"exit_code": None}),
    ("the process lived", {"gone": 7.0}),
    ("the process lived", {"log": LOG + LOG.splitlines()[0]}),
    ("no traceback", {"log": LOG + "Traceback (most recent call last):"}),
    ("no face is left", {"images": images(face_left=0.9)}),
    ("no face is left", {"images": images(score=0.6)}),
    ("every image shows its strip", {"images": images(strip="damaged", shown=None, late=None, age=None)}),
    ("every image shows its strip", {"images": images(right_camera=False)}),
    ("every image shows its strip", {"images": [image(n, strip="covered") for n in range(40)]}),
    ("every image shows its strip", {"broken": ["a/x.jpg: cut off"], "images": images()[1:]}),
    ("no image is older", {"images": images(age=9.0)}),
    ("the time in each name", {"images": images(late=5.0)}),
    ("no picture is stored twice", {"images": images(shown=2.0)}),
    ("every camera was back", {"faults": [Fault("a", "kill", 4, 10, 14, 20, 21.0)]}),
    ("every camera was back", {"faults": [Fault("a", "kill", 4, 10, 14, 20, None)]}),
    ("the status says", {"faults": [Fault(CLOCK, "+1h", 4, 36, 40, 20, 5.0)]}),
    ("the status says", {"faults": [Fault(STORE, "unmounted", 4, 36, 40, 20, 5.0, said=["full"])]}),
    ("the status says", {"faults": [Fault(STORE, "full", 4, 36, 40, 20, 5.0, said=["full"], flaws=["x"])]}),
    ("no acknowledged image is lost", {"chain": Chain(acknowledged=40, lost=["a/x.jpg"])}),
    ("no acknowledged image is lost", {"chain": Chain(acknowledged=40, unrecorded=["a/x.jpg"])}),
    ("no acknowledged image is lost", {"chain": Chain(acknowledged=40, purged=Counter(age=1))}),
    ("no acknowledged image is lost", {"chain": Chain(acknowledged=40, wrong=["records in sequence"])}),
    ("the accounts", {"log": LOG.replace("captured 100", "captured 101")}),
    ("the accounts", {"images": images()[1:]}),
    ("the accounts", {"polls": [poll(n, last=0.0, in_flight={"a": 40}) for n in range(20)]}),
    ("the machine is quick enough", {"polls": [poll(n, last=0.0, detections={"a": n}) for n in range(20)]}),
    ("memory does not grow", {"samples": grown("rss_mb", 3)}),
    ("threads and open files", {"samples": grown("threads", 8)}),
    ("threads and open files", {"samples": grown("descriptors", 12)}),
]


@pytest.mark.parametrize(("check", "flaw"), FLAWS, ids=[f"{n}-{f[0]}" for n, f in enumerate(FLAWS)])
def test_each_flaw_fails_its_check_and_no_other(check: str, flaw: dict[str, Any]) -> None:
    bad = [name for name, good in verdicts(replace(good_record(), **flaw)).items() if good is False]
    assert len(bad) == 1
    assert bad[0].startswith(check)


def test_nothing_seen_is_nothing_proved() -> None:
    empty = verdicts(Record(["a"], 1))
    assert True not in empty.values()
    short = replace(good_record(), samples=good_record().samples[:2])
    assert verdicts(short)["memory does not grow"] is None
    assert verdicts(short)["threads and open files do not grow"] is None


def test_damage_while_bytes_are_changed_is_no_flaw() -> None:
    damaged = image(35.5, strip="damaged", shown=None, late=None, age=None)
    record = replace(good_record(), images=[*images()[1:], damaged])
    assert False not in verdicts(record).values()


def test_a_camera_frozen_behind_its_encoder_fails_a_check_of_its_own() -> None:
    frozen = Fault("a", "frozen", 6, 18.2, 24.2, 20, 1.0)
    stored = [image(n + 2, **({"shown": 18.1, "age": n - 16.1, "late": n - 17.1} if 17 <= n < 22 else {}))
              for n in range(40)]  # fmt: skip
    record = replace(good_record(), images=stored)
    record.faults.append(frozen)
    good = verdicts(record)
    assert [name for name, value in good.items() if value is False] == [FROZEN]
    record.images = [image(n + 2) for n in range(40)]
    assert verdicts(record)[FROZEN] is True


def test_the_proxy_passes_holds_and_spoils() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while connection.recv(1):
                connection.sendall(b"0123456789" * 100)

    thread = threading.Thread(target=serve)
    thread.start()
    proxy = Proxy(lambda: int(listener.getsockname()[1]), 0)

    def answer(client: socket.socket) -> bytes:
        client.sendall(b"?")
        data = b""
        while len(data) < 1000:
            data += client.recv(2000)
        return data

    wanted = b"0123456789" * 100
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
        assert answer(client) == wanted
        proxy.mode = "flip"
        changed = sum(a != b for a, b in zip(answer(client), wanted, strict=True))
        assert 1 <= changed <= 10
        proxy.mode = "noise"
        assert sum(a != b for a, b in zip(answer(client), wanted, strict=True)) > 900
        proxy.mode = "hold"
        client.sendall(b"?")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.mode = "pass"
        client.settimeout(10)
        late = b""
        while len(late) < 1000:
            late += client.recv(2000)
        assert late == wanted
    thread.join(10)
    listener.close()
    proxy.close()
    assert not thread.is_alive()
    assert flip(b"a" * 100, 3, random.Random(0)) != b"a" * 100


def written(store: ImageStore, raw: Callable[..., RawFrame], count: int) -> list[Path]:
    results = store.write([Entry(cover_whole(raw(number=number))) for number in range(count)])
    return [result for result in results if isinstance(result, Path)]


def test_the_chain_is_compared_with_what_was_found(tmp_path: Path, raw: Callable[..., RawFrame]) -> None:
    store = ImageStore(StoreConfig(folder=tmp_path / "images"))
    paths = written(store, raw, 4)
    store.purge(paths[3:])
    store.record("stop", {})
    store.close()
    found = {p.relative_to(store.folder).as_posix(): sha256(p.read_bytes()).hexdigest() for p in paths[:3]}
    first, second, _ = found
    (store.folder / first).unlink()  # by the soak's reader
    chain = read_chain(store.folder, found, [first])
    assert (chain.acknowledged, chain.lost, chain.unrecorded, chain.wrong) == (4, [], [], [])
    assert (chain.purged, chain.unseen) == ({"operator": 1}, {"test": 1})
    altered = {**found, second: "0", "test/x.jpg": "1"}
    chain = read_chain(store.folder, altered, [])
    assert (chain.lost, chain.unrecorded) == ([second], ["test/x.jpg"])
    assert chain.wrong == ["images present: 1 instead of 0"]


def test_faults_of_the_box_leave_no_trace_or_are_found_out(
    tmp_path: Path, small_detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can be mounted and the clock cannot be set, the report says so."""
    monkeypatch.delenv("SOAK_INSIDE_NAMESPACE", raising=False)
    monkeypatch.setattr("benchmarks.soak.clock.kept_by_outside", lambda: True)
    disk = SmallDisk(tmp_path / "store", tmp_path)
    assert (disk.kind, disk.inside) == ("", tmp_path / "store")
    left_out = Box(disk, tmp_path)
    assert (left_out.faults, len(left_out.left_out)) == ({}, 2)
    monkeypatch.setattr("benchmarks.soak.clock.why_not", lambda: "")
    monkeypatch.setattr("benchmarks.soak.clock.SetClock.environment", lambda self: {})
    box = Box(disk, tmp_path)
    box.reader = Reader(disk.folder / "images", {}, 0.0, small_detector, 1)
    kept = [disk.folder / "images" / "a" / "2026-01-01" / f"{number}.jpg" for number in range(2)]
    kept[0].parent.mkdir(parents=True)
    for path in kept:
        path.touch()
    fault = Fault(CLOCK, "+25h", 4)
    box.begin(fault)
    assert (tmp_path / "clock").read_text() == "+25h\n"
    kept[1].unlink()
    box.end(fault)
    assert (tmp_path / "clock").read_text() == "+0s\n"
    assert fault.flaws == ["1 images are not there any more, 1.jpg among them"]


@pytest.mark.skipif(bool(why_not(EXT4)), reason=why_not(EXT4) or "-")
def test_the_disk_is_taken_away_and_given_back(
    tmp_path: Path, small_detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOAK_INSIDE_NAMESPACE", "1")
    folder = tmp_path / "store"
    folder.mkdir()
    disk = SmallDisk(folder, tmp_path)
    try:
        box = Box(disk, tmp_path)
        box.reader = Reader(disk.inside / "images", {}, 0.0, small_detector, 1)
        kept = folder / "images" / "a" / "2026-01-01" / "0.jpg"
        kept.parent.mkdir(parents=True)
        kept.touch()
        good, bad = Fault(STORE, "unmounted", 4), Fault(STORE, "unmounted", 4)
        for fault in (good, bad):
            box.begin(fault)
            assert not kept.exists()
            assert (disk.inside / kept.relative_to(folder)).exists()
            if fault is bad:
                (folder / "stray").touch()
            box.end(fault)
            assert kept.exists()
        assert (good.flaws, bad.flaws) == ([], ["written below the mount point: ['stray']"])
    finally:
        disk.close()
    assert not folder.is_mount()


@pytest.mark.sweep
@pytest.mark.slow
def test_a_short_soak_tells_what_it_saw(tmp_path: Path) -> None:
    plan = soak.Plan(0.2, rtsp=0, mjpeg=1, fps=5, fault_seconds=8, interval_seconds=0.2, detector_every=2)
    result, checks = soak.run(plan, tmp_path / "soak.json", tmp_path / "edge.log", tmp_path / "raw.json")
    assert (tmp_path / "soak.json").stat().st_size > 1000
    raw = json.loads((tmp_path / "raw.json").read_text())
    assert sum(result["faults"].values()) == len(raw["faults"]) >= 1
    assert raw["memory_mb"]
    by_name: dict[str, Check] = {check.name: check for check in checks}
    # Those that do not depend on how busy the machine is
    for name in (
        "the process lived to the end and ended with 0",
        "no traceback in the log",
        "no face is left on any image",
        "the accounts of every camera add up",
    ):
        assert by_name[name].good, by_name[name]
    assert by_name["memory does not grow"].good is None
    assert result["good"] == all(check.good is not False for check in checks)
    assert (tmp_path / "edge.log").read_text().count("captured") == 1


@pytest.mark.sweep
@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare (util-linux) is not installed")
def test_the_command_stores_on_its_own_small_file_system(tmp_path: Path) -> None:
    file = tmp_path / "soak.json"
    plan = ["--minutes", "0.2", "--fault-seconds", "8", "--rtsp", "0", "--http", "1", "--json", str(file)]
    done = front_door.run("soak", *plan)
    assert done.returncode in (0, 1), done.stderr[-2000:]  # 1: a check that this short plan cannot pass
    result = json.loads(file.read_text())
    if result["store"] == "the machine's own file system":
        pytest.skip("no file system can be mounted here")
    accounts = next(check for check in result["checks"] if "accounts" in check["name"])
    assert accounts["good"], accounts
    assert all(camera["written"] > 0 for camera in accounts["figures"]["cameras"].values())


@pytest.mark.sweep
@pytest.mark.slow
def test_one_start_tells_its_stages(tmp_path: Path, small_detector: Detector) -> None:
    startup.write_clip(tmp_path / "clip.mp4", Scene(0, small_detector))
    startup.write_config(tmp_path / "edge.toml", tmp_path / "images", str(tmp_path / "clip.mp4"))
    (start,) = startup.measure(tmp_path / "edge.toml", tmp_path, 1)
    parts = start.to_detector + start.to_endpoint + start.to_first_frame + start.wait
    assert start.total == pytest.approx(parts)
    assert min(start.to_detector, start.wait) > 0
    steps = startup.measure_steps(tmp_path / "edge.toml", 1)
    assert len(steps) == 9
    assert startup.summary([start])["total"]["median"] == round(start.total, 3)


def test_a_start_without_its_lines_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="finds the known face"):
        startup.stages("nothing", 0, 1)
