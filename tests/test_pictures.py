"""Hostile pictures are refused with their reason, odd ones converted on request, none takes the memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from edge.boxes import iou
from edge.detection import known_face
from edge.detection.detector import Detector
from edge.errors import PictureError
from edge.frames import Pixels
from edge.pictures import MAX_PICTURE_BYTES, Picture, read_picture
from tests import hostile

FORMATS = {
    "good.jpg": "JPEG",
    "good.JPEG": "JPEG",
    "good.png": "PNG",
    "good.webp": "WEBP",
    "good.bmp": "BMP",
    "good.tif": "TIFF",
    "good.tiff": "TIFF",
}
TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: np.rot90(p, 2),
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.rot90(p, 2).transpose(1, 0, 2),
    8: lambda p: np.rot90(p, 1),
}
"""What each EXIF orientation asks for (EXIF 2.32, tag 0x0112), said with arrays."""


def names(makers: Iterable[hostile.Maker]) -> list[str]:
    return [maker.__name__ for maker in makers]


def coarse(pixels: Pixels) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """A thumbnail, in which dithering and compression do not count."""
    return np.asarray(cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_AREA)).astype(np.float64)


@pytest.mark.parametrize(("name", "kind"), FORMATS.items())
def test_plain_pictures_are_read_as_they_are(tmp_path: Path, name: str, kind: str) -> None:
    path = hostile.good(tmp_path, name)
    picture = read_picture(path)
    assert picture.format == kind
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.flags["C_CONTIGUOUS"]
    with Image.open(path) as image:
        np.testing.assert_array_equal(picture.pixels, hostile.bgr(image))


@pytest.mark.parametrize("convert", [False, True], ids=["as is", "convert"])
@pytest.mark.parametrize(("maker", "reason"), hostile.BROKEN.items(), ids=names(hostile.BROKEN))
def test_hostile_pictures_are_refused(
    tmp_path: Path, maker: hostile.Maker, reason: str, convert: bool
) -> None:
    with pytest.raises(PictureError) as caught:
        read_picture(maker(tmp_path), convert=convert)
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", ["cut.jpg", "cut.png", "cut.webp", "cut.bmp", "cut.tif"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.99])
def test_a_picture_that_breaks_off_is_refused_wherever_it_does(
    tmp_path: Path, name: str, share: float
) -> None:
    path = hostile.good(tmp_path, name)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(PictureError, match=r"broken|truncated"):
        read_picture(path)


def check_the_portrait(path: Path, picture: Picture, detector: Detector) -> None:
    """What it became is still a picture in which the detector sees the face."""
    assert picture.pixels.shape == (512, 512, 3)
    assert picture.pixels.dtype == np.uint8
    grey = "grey" in path.name or path.name == "one_bit.png"
    portrait = hostile.portrait()
    if "alpha" in path.name:
        portrait.paste("white", (0, 0, hostile.ERASED, hostile.ERASED))
        assert picture.pixels[: hostile.ERASED - 8, : hostile.ERASED - 8].min() > 250
    wanted = hostile.bgr(portrait.convert("L") if grey else portrait)
    assert np.abs(coarse(picture.pixels) - coarse(wanted)).mean() < 3
    if grey:
        assert (picture.pixels == picture.pixels[..., :1]).all()
    found = detector.detect(picture.pixels)
    assert (
        iou(found.boxes[found.scores >= detector.score_begin], known_face.EXPECTED).max() > known_face.MIN_IOU
    )


@pytest.mark.parametrize("maker", hostile.UNUSUAL, ids=names(hostile.UNUSUAL))
def test_what_loses_nothing_as_rgb_is_taken(tmp_path: Path, maker: hostile.Maker, detector: Detector) -> None:
    path = maker(tmp_path)
    check_the_portrait(path, read_picture(path), detector)


@pytest.mark.parametrize(("maker", "kind"), hostile.ODD.items(), ids=names(hostile.ODD))
def test_odd_pictures_need_convert(
    tmp_path: Path, maker: hostile.Maker, kind: str, detector: Detector
) -> None:
    path = maker(tmp_path)
    with pytest.raises(PictureError, match=rf"^{kind}: not 8-bit RGB; --convert converts it"):
        read_picture(path)
    check_the_portrait(path, read_picture(path, convert=True), detector)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("bits", [9, 10, 12])
def test_a_16_bit_file_with_fewer_bits_stays_visible_to_the_detector(
    tmp_path: Path, bits: int, mode: str, detector: Detector
) -> None:
    """Cameras deliver 10 or 12 bits. Made almost black, a face is missed, and brightening shows it."""
    pixels = np.asarray(hostile.portrait().convert(mode)).astype(np.uint16)
    path = tmp_path / "dark.png"
    assert cv2.imwrite(str(path), pixels[..., ::-1] << (bits - 8) if mode == "RGB" else pixels << (bits - 8))
    try:
        picture = read_picture(path, convert=True)
    except PictureError:
        return  # refusing it is as good
    assert picture.pixels.max() >= 127
    found = detector.detect(picture.pixels)
    assert (
        iou(found.boxes[found.scores >= detector.score_begin], known_face.EXPECTED).max() > known_face.MIN_IOU
    )


def test_floating_point_from_0_to_1_is_not_made_black(tmp_path: Path) -> None:
    path = tmp_path / "float.tif"
    Image.fromarray(np.asarray(hostile.portrait().convert("L")).astype(np.float32) / 255).save(path)
    try:
        picture = read_picture(path, convert=True)
    except PictureError:
        return
    assert picture.pixels.max() >= 127


@pytest.mark.parametrize("orientation", sorted(TURNS))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    path = hostile.rotated(tmp_path, orientation)
    pixels = read_picture(path).pixels
    with Image.open(path) as image:
        np.testing.assert_array_equal(pixels, TURNS[orientation](hostile.bgr(image)))
        np.testing.assert_array_equal(pixels, hostile.bgr(ImageOps.exif_transpose(image)))


@pytest.mark.parametrize("name", ["turned.png", "turned.webp", "turned.tif"])
def test_exif_orientation_counts_in_every_format(tmp_path: Path, name: str) -> None:
    upright = read_picture(hostile.rotated(tmp_path, 1, "upright" + Path(name).suffix)).pixels
    np.testing.assert_array_equal(read_picture(hostile.rotated(tmp_path, 6, name)).pixels, TURNS[6](upright))


def test_the_first_picture_of_a_burst_is_taken(tmp_path: Path) -> None:
    """Phones append further pictures to a JPEG (MPO); nothing but the first is read, or written."""
    path = tmp_path / "burst.jpg"
    first, second = hostile.portrait(), hostile.portrait().rotate(180)
    first.save(path, format="MPO", save_all=True, append_images=[second])
    picture = read_picture(path)
    assert picture.format == "JPEG"
    assert np.abs(coarse(picture.pixels) - coarse(hostile.bgr(first))).mean() < 3


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    path.touch()
    os.truncate(path, MAX_PICTURE_BYTES + 1)  # a hole: it takes no space
    with pytest.raises(PictureError, match="over the limit"):
        read_picture(path)


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="not a regular file"):
        read_picture(tmp_path)


def test_a_missing_file_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="No such file"):
        read_picture(tmp_path / "missing.jpg")


@pytest.mark.parametrize("name", ["new\nline.jpg", "b\udcffd.jpg", " .jpg", "100%.jpg"])
def test_any_name_will_do(tmp_path: Path, name: str) -> None:
    assert read_picture(hostile.good(tmp_path, name)).pixels.shape == (512, 512, 3)


@pytest.mark.parametrize("side", [15, 16])
def test_the_smallest_side(tmp_path: Path, side: int) -> None:
    path = tmp_path / "small.png"
    Image.new("RGB", (40, side)).save(path)
    if side == 16:
        assert read_picture(path).pixels.shape == (16, 40, 3)
    else:
        with pytest.raises(PictureError, match="40x15 is smaller than 16x16"):
            read_picture(path)


MEASURE = """
import resource, sys, time
from pathlib import Path
from edge.errors import PictureError
from edge.pictures import read_picture

read_picture(Path(sys.argv[1]))  # whatever the readers need once
before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
for name in sys.argv[2:]:
    try:
        read_picture(Path(name), convert=True)
    except PictureError:
        continue
    sys.exit(f"{name} was taken")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, time.monotonic() - begin)
"""


@pytest.mark.parametrize(
    "maker", [hostile.bomb, hostile.header_bomb, hostile.webp_bomb], ids=["PNG", "PNG header", "WebP"]
)
def test_a_bomb_is_refused_without_unpacking_it(tmp_path: Path, maker: hostile.Maker) -> None:
    path = maker(tmp_path)
    assert path.stat().st_size < 60_000
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, hostile.good(tmp_path), path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    mebibytes, seconds = done.stdout.split()
    assert int(mebibytes) < 300
    assert float(seconds) < 10


@pytest.mark.parametrize("maker", [hostile.bomb, hostile.webp_bomb], ids=["PNG", "WebP"])
def test_the_bombs_are_good_pictures_but_for_their_size(
    tmp_path: Path, maker: Callable[[Path, int], Path]
) -> None:
    """The oracle of the test above: they would have gone off."""
    assert read_picture(maker(tmp_path, 2200), convert=True).pixels.shape == (2200, 2200, 3)
