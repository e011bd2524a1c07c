"""``edge blur`` as people run it: the installed command on folders with good, odd and hostile pictures."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.boxes import iou
from edge.detection import known_face
from edge.detection.detector import Detector
from edge.detection.rescan import find_faces
from edge.pictures import read_picture
from tests import hostile
from tests.commands.blurred import HOPPER, Run, faces_of, files, refusals, shows_the_known_face

GOOD = {
    "good.jpg": "JPEG",
    "capital.JPG": "JPEG",
    "sub/good.jpeg": "JPEG",
    "sub/good.png": "PNG",
    "sub/good.webp": "WEBP",
    "sub/deep er/good.bmp": "BMP",
    "sub/deep er/good.tif": "TIFF",
    "sub/deep er/good.tiff": "TIFF",
    "folder.jpg/inside.jpg": "JPEG",
    "new\nline.jpg": "JPEG",
    "b\udcffd.jpg": "JPEG",
}
"""Good pictures of the mixed folder, and Pillow's names of their formats."""


@dataclass(frozen=True)
class Mixed:
    """One run over a folder with everything in it. ``before``: its files and their hashes."""

    source: Path
    out: Path
    report: Path
    before: dict[str, str]
    refused: dict[str, str]  # relative name: part of the reason that is due
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, blur: Run) -> Mixed:
    folder = tmp_path_factory.mktemp("mixed")
    source, out, report = folder / "in", folder / "out", folder / "report.json"
    for name in GOOD:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        hostile.good((source / name).parent, Path(name).name)
    refused = {}
    for number, (maker, reason) in enumerate({**hostile.BROKEN, **hostile.ODD}.items()):
        place = source / ("bad" if number % 2 else "bad/below")
        place.mkdir(parents=True, exist_ok=True)
        refused[str(maker(place).relative_to(source))] = reason
    refused[str(hostile.png_named_jpg(source).relative_to(source))] = "named .jpg, but is PNG"
    (source / "notes.txt").write_text("no picture, by its name")
    (source / ".hidden").write_text("nor this")
    before = files(source)
    done = blur(source, "--out", out, "--report", report)
    return Mixed(source, out, report, before, refused, done)


def test_good_pictures_keep_their_relative_paths_and_nothing_else_is_written(mixed: Mixed) -> None:
    assert set(files(mixed.out)) == set(GOOD)
    assert {p.name for p in mixed.out.rglob("*") if p.is_dir()} == {"sub", "deep er", "folder.jpg"}


def test_every_refused_file_is_listed_with_its_reason(mixed: Mixed) -> None:
    listed = refusals(mixed.done.stdout)
    # A file that is not there to begin with is named as it was found
    listed = {name.removeprefix(f"{mixed.source}/"): reason for name, reason in listed.items()}
    assert set(listed) == set(mixed.refused)
    for name, reason in mixed.refused.items():
        # The plan finds a dangling link before anyone tries to read it
        assert (reason in listed[name]) or (name.endswith("dangling.jpg") and "no such file" in listed[name])


def test_the_exit_code_says_that_something_was_refused(mixed: Mixed) -> None:
    assert mixed.done.returncode == 1


def test_nothing_but_the_summary_is_printed(mixed: Mixed) -> None:
    assert mixed.done.stderr.strip() == ""
    lines = mixed.done.stdout.splitlines()
    assert len(lines) == len(mixed.refused) + 1
    assert re.fullmatch(
        rf"{len(GOOD)} written to \S+, {len(GOOD)} regions covered, "
        rf"faces of 12 pixels and more looked for, 2 other files left alone, "
        rf"{len(mixed.refused)} refused; [\d.]+ s, [\d.]+ pictures per second",
        lines[-1],
    )


def test_inputs_are_left_as_they_were(mixed: Mixed) -> None:
    assert files(mixed.source) == mixed.before


@pytest.mark.parametrize(("name", "kind"), GOOD.items())
def test_each_picture_comes_back_in_its_own_format_and_size(mixed: Mixed, name: str, kind: str) -> None:
    with Image.open(mixed.out / name) as image:
        image.load()
        assert (image.format, image.size, image.mode) == (kind, (512, 512), "RGB")
    written = read_picture(mixed.out / name).pixels
    outside = np.abs(written.astype(int) - hostile.bgr(hostile.portrait()).astype(int))[256:]
    assert outside.mean() < 4


@pytest.mark.parametrize("name", GOOD)
def test_no_face_is_left(mixed: Mixed, name: str, detector: Detector) -> None:
    assert not shows_the_known_face(detector, mixed.out / name)
    assert name != "good.jpg" or shows_the_known_face(detector, mixed.source / name)


@pytest.mark.parametrize("name", GOOD)
def test_outputs_carry_no_metadata(mixed: Mixed, name: str) -> None:
    data = (mixed.out / name).read_bytes()
    for mark in (b"Exif", b"EXIF", b"eXIf", b"Eileen", b"1999:07", b"ns.adobe.com", b"ICC", b"iCCP", b"tEXt"):
        assert mark not in data
    with Image.open(mixed.out / name) as image:
        tags = set(image.getexif())
        allowed = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "compression"}
        allowed |= {"loop", "background", "timestamp", "duration", "predictor", "resolution"}
        assert set(image.info) <= allowed
    # TIFF keeps its layout in the same kind of tags: baseline ones below 340, no text, no maker
    assert all(254 <= tag <= 339 and tag not in (270, 271, 272, 305, 306, 315, 316) for tag in tags)


def test_outputs_are_private(mixed: Mixed) -> None:
    for path in [mixed.out, *mixed.out.rglob("*"), mixed.report]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_the_report_is_coco_with_the_known_face(mixed: Mixed) -> None:
    report = json.loads(mixed.report.read_text())
    assert report["categories"] == [{"id": 1, "name": "face", "supercategory": "person"}]
    assert [image["file_name"] for image in report["images"]] == sorted(GOOD)
    assert [image["id"] for image in report["images"]] == list(range(1, len(GOOD) + 1))
    assert all((image["width"], image["height"]) == (512, 512) for image in report["images"])
    assert [a["id"] for a in report["annotations"]] == list(range(1, len(GOOD) + 1))
    assert {a["image_id"] for a in report["annotations"]} == {i["id"] for i in report["images"]}
    for annotation in report["annotations"]:
        x, y, width, height = annotation["bbox"]
        box = np.array([[x, y, x + width, y + height]], np.float32)
        assert iou(box, known_face.EXPECTED)[0, 0] > known_face.MIN_IOU
        assert annotation["area"] == pytest.approx(width * height, rel=0.01)
        assert 0.35 <= annotation["score"] <= 1
        assert (annotation["category_id"], annotation["iscrowd"]) == (1, 0)


def test_only_good_pictures_end_with_exit_code_0(tmp_path: Path, blur: Run) -> None:
    done = blur(HOPPER, hostile.good(tmp_path, "good.png"), "--out", tmp_path / "out", "--jobs", 1)
    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert "2 written" in done.stdout
    assert "0 refused" in done.stdout
    assert set(files(tmp_path / "out")) == {"hopper.jpg", "good.png"}


def test_the_second_look_of_the_demo_finds_nothing(tmp_path: Path, blur: Run) -> None:
    """``find_faces`` looks at the whole picture; with a portrait without a collar that is fair."""
    names = ["hopper.jpg", "hopper.png", "hopper.webp"]
    (tmp_path / "in").mkdir()
    with Image.open(HOPPER) as image:
        for name in names:
            image.save(tmp_path / "in" / name, quality=95)
    assert len(find_faces([tmp_path / "in" / name for name in names])) == 3
    assert blur(tmp_path / "in", "--out", tmp_path / "out").returncode == 0
    assert find_faces([tmp_path / "out" / name for name in names]) == []


def test_convert_takes_the_odd_ones(tmp_path: Path, blur: Run, detector: Detector) -> None:
    (tmp_path / "in").mkdir()
    names = [maker(tmp_path / "in").name for maker in hostile.ODD]
    done = blur(tmp_path / "in", "--out", tmp_path / "out", "--convert")
    assert (done.returncode, refusals(done.stdout)) == (0, {})
    assert set(files(tmp_path / "out")) == set(names)
    for name in names:
        assert not shows_the_known_face(detector, tmp_path / "out" / name), name
        with Image.open(tmp_path / "out" / name) as image:
            assert image.mode == "RGB", name


def test_a_rotated_picture_is_written_upright(tmp_path: Path, blur: Run, detector: Detector) -> None:
    upright = hostile.rotated(tmp_path, 1, "upright.jpg")
    assert len(faces_of(detector, upright)) == 1
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[hostile.ORIENTATION] = 6
    with Image.open(upright) as image:
        # Stored a quarter to the left; the orientation says: turn it to the right
        image.convert("RGB").transpose(Image.Transpose.ROTATE_90).save(turned, exif=exif, quality=95)
    done = blur(turned, "--out", tmp_path / "out", "--report", tmp_path / "report.json")
    assert "1 regions covered" in done.stdout
    with Image.open(tmp_path / "out" / "turned.jpg") as image:
        assert image.size == (400, 320)
        assert not image.getexif()
    assert len(faces_of(detector, tmp_path / "out" / "turned.jpg")) == 0
    written, wanted = (read_picture(p).pixels.astype(int) for p in (tmp_path / "out" / "turned.jpg", upright))
    assert np.abs(written - wanted)[220:].mean() < 6
    assert json.loads((tmp_path / "report.json").read_text())["images"][0]["width"] == 400


def test_resume_does_what_is_left(tmp_path: Path, blur: Run) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "sub").mkdir(parents=True)
    hostile.good(source, "first.jpg")
    second = hostile.good(source / "sub", "second.jpg")
    assert blur(source, "--out", out).returncode == 0
    before = {path: path.stat() for path in (out / "first.jpg", out / "sub" / "second.jpg")}
    hostile.good(source, "third.jpg")
    done = blur(source, "--out", out, "--resume")
    assert done.returncode == 0
    assert re.search(
        r"^1 written .* 1 regions covered, faces of 12 .* for, 2 done before, 0 refused", done.stdout
    )
    for path, old in before.items():
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (old.st_ino, old.st_mtime_ns)
    # An input that changed since is done again.
    later = time.time() + 10
    os.utime(second, (later, later))
    assert "1 written" in blur(source, "--out", out, "--resume").stdout


def test_inputs_are_never_overwritten(tmp_path: Path, blur: Run) -> None:
    (tmp_path / "sub").mkdir()
    hostile.good(tmp_path)
    hostile.good(tmp_path / "sub", "other.png")
    before = files(tmp_path)
    for arguments in (
        [tmp_path, "--out", tmp_path, "--resume"],
        [tmp_path / "sub" / "other.png", "--out", tmp_path / "sub" / ".." / "sub"],
    ):
        done = blur(*arguments)
        assert done.returncode == 1
        assert set(refusals(done.stdout).values()) == {"would overwrite an input; choose another --out"}
        assert "0 written" in done.stdout
    assert files(tmp_path) == before


def test_links_do_not_lead_to_an_input(tmp_path: Path, blur: Run) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    before = {}
    for name in ("symbolic.jpg", "hard.jpg", "elsewhere.jpg"):
        hostile.good(source, name)
    victim = hostile.good(tmp_path, "victim.jpg")
    (out / "symbolic.jpg").symlink_to(source / "symbolic.jpg")
    os.link(source / "hard.jpg", out / "hard.jpg")
    (out / "elsewhere.jpg").symlink_to(victim)
    before = files(source) | {"victim": hashlib.sha256(victim.read_bytes()).hexdigest()}
    done = blur(source, "--out", out)
    assert list(refusals(done.stdout).values()) == ["would overwrite an input; choose another --out"]
    assert files(source) | {"victim": hashlib.sha256(victim.read_bytes()).hexdigest()} == before
    # The other two names now belong to files of their own.
    assert set(files(out)) == {"hard.jpg", "elsewhere.jpg"}


def test_a_result_folder_inside_the_inputs_is_no_input(tmp_path: Path, blur: Run) -> None:
    hostile.good(tmp_path)
    for _ in range(2):
        done = blur(tmp_path, "--out", tmp_path / "sub" / "anonymized")
        assert done.returncode == 0
        assert done.stdout.startswith("1 written")
    assert set(files(tmp_path)) == {"good.jpg", "sub/anonymized/good.jpg"}


def test_two_inputs_never_share_a_target(tmp_path: Path, blur: Run, detector: Detector) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = hostile.good(tmp_path / "a")
    second = tmp_path / "b" / "good.jpg"
    second.write_bytes(HOPPER.read_bytes())
    done = blur(tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert refusals(done.stdout) == {str(second): f"would be written to the same place as {first}"}
    assert set(files(tmp_path / "out")) == {"good.jpg"}
    assert read_picture(tmp_path / "out" / "good.jpg").pixels.shape == (512, 512, 3)


def test_files_that_are_missing_or_of_another_kind(tmp_path: Path, blur: Run) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    done = blur("gone.jpg", "gone", "notes.txt", HOPPER, "--out", "out", cwd=tmp_path)
    assert done.returncode == 1
    listed = refusals(done.stdout)
    assert listed.pop("gone") in ("missing", "no such file")
    assert listed == {"gone.jpg": "no such file", "notes.txt": "not a picture or video by its name"}
    assert set(files(tmp_path / "out")) == {"hopper.jpg"}


def test_a_target_that_cannot_be_written_is_refused_and_leaves_nothing(tmp_path: Path, blur: Run) -> None:
    out = tmp_path / "out"
    (out / "hopper.jpg").mkdir(parents=True)
    done = blur(HOPPER, "--out", out)
    assert done.returncode == 1
    assert "Is a directory" in refusals(done.stdout)["hopper.jpg"]
    assert files(out) == {}


@pytest.mark.parametrize("kind", ["missing", "changed"])
def test_a_bad_detector_fails_clearly_and_writes_nothing(tmp_path: Path, blur: Run, kind: str) -> None:
    path = tmp_path / "other.onnx"
    if kind != "missing":
        path.write_text("no detector")
        digest = hashlib.sha256(b"another").hexdigest()
        path.with_suffix(".sha256").write_text(f"{digest}  other.onnx\n")
    done = blur(HOPPER, "--out", tmp_path / "out", "--detector", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("edge: detector ")
    assert "other" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["in", "out"])
def test_the_report_never_replaces_a_picture(tmp_path: Path, blur: Run, place: str) -> None:
    (tmp_path / "in").mkdir()
    hostile.good(tmp_path / "in")
    before = files(tmp_path / "in")
    blur("in", "--out", "out", "--report", f"{place}/good.jpg", cwd=tmp_path)
    assert files(tmp_path / "in") == before
    path = tmp_path / place / "good.jpg"
    assert not path.exists() or read_picture(path).pixels.shape == (512, 512, 3)


@pytest.mark.parametrize("name", ["a\x1b[2Jb.jpg", "a\n0 refused.jpg", "b\udcffd.jpg"])
def test_no_name_can_write_to_the_terminal(tmp_path: Path, blur: Run, name: str) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        hostile.good(tmp_path / folder, name)
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = blur("a", "b", "--out", "out", cwd=tmp_path, env=environment)
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stdout
    assert len(done.stdout.splitlines()) == 2


def test_a_folder_that_may_not_be_read_is_not_passed_over(tmp_path: Path, blur: Run) -> None:
    """Otherwise exit code 0 says that all is done."""
    locked = tmp_path / "in" / "locked"
    locked.mkdir(parents=True)
    hostile.good(tmp_path / "in")
    hostile.good(locked)
    locked.chmod(0)
    try:
        if os.access(locked, os.R_OK):
            pytest.skip("this user may read everything")
        done = blur(tmp_path / "in", "--out", tmp_path / "out")
    finally:
        locked.chmod(0o700)
    assert done.returncode == 1
    assert "locked" in done.stdout
    assert set(files(tmp_path / "out")) == {"good.jpg"}


def test_a_path_that_may_not_be_looked_at_does_not_stop_the_others(tmp_path: Path, blur: Run) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    path = hostile.good(locked)
    locked.chmod(0)
    try:
        if os.access(locked, os.X_OK):
            pytest.skip("this user may read everything")
        done = blur(path, HOPPER, "--out", tmp_path / "out")
    finally:
        locked.chmod(0o700)
    assert done.returncode == 1
    assert set(refusals(done.stdout)) == {str(path)}
    assert set(files(tmp_path / "out")) == {"hopper.jpg"}


def test_an_interrupt_stops_soon_and_leaves_nothing_partial(tmp_path: Path, edge_script: str) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    count = 20
    data = HOPPER.read_bytes()
    for number in range(count):
        (source / f"{number}.jpg").write_bytes(data)
    report = tmp_path / "report.json"
    command = [edge_script, "blur", str(source), "--out", str(out), "--jobs", "1", "--report", str(report)]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # A shell's background job ignores interrupts, and would hand that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        deadline = time.monotonic() + 60
        while not (out.is_dir() and files(out)) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) not in (0, 1)
    names = list(files(out))
    assert 0 < len(names) < count
    assert all(name.endswith(".jpg") and not name.startswith(".") for name in names)
    for name in names:
        assert read_picture(out / name).pixels.size
    # So that --resume goes on with it
    reported = [image["file_name"] for image in json.loads(report.read_text())["images"]]
    assert reported == sorted(names)
