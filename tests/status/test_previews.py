"""Previews are files of the store and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from tests.status.http_calls import code, get, raw
from tests.statuses import TOKEN, Box


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[str], Path]:
    def make(ending: str) -> Path:
        path = tmp_path / f"image{ending}"
        good, data = cv2.imencode(ending, np.full((16, 16, 3), 127, np.uint8))
        assert good
        path.write_bytes(data.tobytes())
        return path

    return make


def preview(box: Box, path: str) -> httpx.Response:
    return get(box, path, Authorization=f"Bearer {TOKEN}")


@pytest.mark.parametrize(
    ("ending", "media_type"), [(".jpg", "image/jpeg"), (".png", "image/png"), (".webp", "image/webp")]
)
def test_a_preview_is_the_file(
    locked: Box, picture: Callable[[str], Path], ending: str, media_type: str
) -> None:
    locked.images["front"] = picture(ending)
    answer = preview(locked, "/preview/front.jpg")
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.content == locked.images["front"].read_bytes()
    assert get(locked, "/preview/front.jpg").status_code == 401


def test_a_preview_that_is_missing_or_not_an_image_is_404(
    locked: Box, picture: Callable[[str], Path], tmp_path: Path
) -> None:
    path = picture(".jpg")
    link = tmp_path / "link.jpg"
    link.symlink_to(path)
    other = tmp_path / "secret.txt"
    other.write_text("secret")
    os.mkfifo(tmp_path / "pipe.jpg")
    for file in (tmp_path / "gone.jpg", link, other, tmp_path, tmp_path / "pipe.jpg"):
        locked.images["front"] = file
        assert preview(locked, "/preview/front.jpg").status_code == 404
    locked.images.clear()
    assert preview(locked, "/preview/front.jpg").status_code == 404


@pytest.mark.parametrize(
    "name",
    ["back", "..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "front%00", "FRONT", "front%2f", "", "front.jpg"],
)
def test_only_names_of_cameras_have_a_preview(locked: Box, picture: Callable[[str], Path], name: str) -> None:
    # Even if a file could be had for the name, it is asked for known cameras alone.
    image = picture(".jpg")
    for key in ("front", "back", "..", "../../etc/passwd", "FRONT", ""):
        locked.images[key] = image
    request = (
        f"GET /preview/{name}.jpg HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Connection: close\r\n\r\n"
    )
    assert code(raw(locked, request.encode())) == 404


def test_no_preview_unless_it_is_switched_on(box: Box, picture: Callable[[str], Path]) -> None:
    box.images["front"] = picture(".jpg")
    assert get(box, "/preview/front.jpg").status_code == 404
