"""The scene of the attacks on the real daemon.

A camera file whose frames carry a known pattern where the face is, a detector that truly looks there, and
what an undisturbed run stores of each frame. Each frame carries its number in a strip of black and white
squares, outside of all regions, so that a stored image tells which frame it was made of.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnx.parser
import pytest
from onnx import helper
from PIL import Image

from edge.boxes import Floats
from edge.config.privacy import SMALLEST_FACE
from edge.detection.known_face import EXPECTED
from edge.detection.known_sheets import SHEETS, draw_sheet
from tests.models import GOOD, save

SIDE = 512
"""Sides of the frames, of the picture with the known face, and of the detector's input, in pixels."""
FACE: tuple[int, int, int, int] = tuple(int(side) for side in EXPECTED[0])  # type: ignore[assignment]
"""Where the pattern is, ``x1 y1 x2 y2`` in pixels: where the known face is, so one detector finds both."""
BLOCK = 8
"""Side of the squares of the pattern, in pixels: large enough to survive JPEG."""
GROUND = (256, 4)
"""A place on the canvas, ``x y``, where each sheet of known faces shows its ground."""
STRIP_BITS, STRIP_SQUARE = 8, 32
FORMATS = {".jpg": "jpeg", ".png": "png", ".webp": "webp"}

Bytes = npt.NDArray[np.uint8]
Tables = Mapping[str, Mapping[str, Any]]


def face_detector() -> onnx.ModelProto:
    """A detector of uint8 ``[1, 512, 512, 3]`` RGB that measures contrast where the known face is.

    Its score is the mean difference of grey values 8 pixels apart, over 16 levels: high on the known face and
    on the pattern, near 0 on a smooth fill. It knows the sheets of known faces by their ground.
    """
    x1, y1, x2, y2 = FACE
    sheets, grounds = known_boxes()
    places = [*FACE, 0, 0, 1, 1, *sheets.ravel().tolist()]
    count = len(places) // 4
    numbers = ", ".join(map(str, places))
    text = f"""
    <ir_version: 9, opset_import: ["" : 17]>
    face (uint8[1, {SIDE}, {SIDE}, 3] image) => (float[1, {count}, 4] boxes, float[1, {count}] scores)
    <int64[2] first = {{{y1}, {x1}}}, int64[2] last = {{{y2}, {x2}}}, int64[2] axes = {{1, 2}},
     int64[1] left = {{{x1}}}, int64[1] right = {{{x2}}}, int64[1] inner_left = {{{x1 + BLOCK}}},
     int64[1] inner_right = {{{x2 - BLOCK}}}, int64[1] top = {{{y1}}}, int64[1] bottom = {{{y2}}},
     int64[1] columns = {{2}}, int64[1] rows = {{1}}, int64[2] row = {{1, 1}}, int64[1] all = {{{count}}},
     float[{count}, 4] places = {{{numbers}}}, float[1, 1] worst = {{0.01}},
     int64[2] from = {{{GROUND[1]}, {GROUND[0]}}}, int64[2] to = {{{GROUND[1] + 1}, {GROUND[0] + 1}}},
     float[1, {len(grounds)}] grounds = {{{", ".join(map(str, grounds))}}}, float half = {{0.5}},
     float sure = {{0.9}}, float levels = {{16}}, float least = {{0.02}}, float most = {{0.99}}>
    {{
        numbers = Cast <to = 1> (image)
        grey = ReduceMean <axes = [3], keepdims = 0> (numbers)
        band = Slice (grey, top, bottom, rows)
        ahead = Slice (band, inner_left, right, columns)
        behind = Slice (band, left, inner_right, columns)
        step = Sub (ahead, behind)
        size = Abs (step)
        mean = ReduceMean <axes = [1, 2], keepdims = 0> (size)
        share = Div (mean, levels)
        score = Clip (share, least, most)
        best = Reshape (score, row)
        ground = Slice (grey, from, to, axes)
        here = Reshape (ground, row)
        apart = Sub (here, grounds)
        distance = Abs (apart)
        near = Less (distance, half)
        known = Cast <to = 1> (near)
        found = Mul (known, sure)
        unsorted = Concat <axis = 1> (best, worst, found)
        scores, order = TopK (unsorted, all)
        boxes = Gather <axis = 0> (places, order)
    }}
    """
    model = onnx.parser.parse_model(text)
    onnx.checker.check_model(model)
    helper.set_model_props(model, GOOD.to_metadata())
    return model


def known_boxes() -> tuple[Floats, list[int]]:
    """The faces of all sheets on the canvas, float32 ``[N, 4]``, and the grey value of the ground at each."""
    side = int(SIDE * SMALLEST_FACE / GOOD.smallest_face)
    sheets = [draw_sheet(number, side, side, SMALLEST_FACE) for number in range(SHEETS)]
    x, y = (round(at * side / SIDE) for at in GROUND)
    grounds = [int(sheet.pixels[y, x, 0]) for sheet in sheets for _ in sheet.faces]
    return np.concatenate([sheet.faces for sheet in sheets]) * np.float32(SIDE / side), grounds


def pattern(number: int) -> Bytes:
    """The secret of a frame, uint8 ``[120, 89, 3]`` BGR: random squares, and noise that makes every few
    pixels of it unlike any others."""
    rng = np.random.default_rng([20231114, number])
    width, height = FACE[2] - FACE[0], FACE[3] - FACE[1]
    cells = rng.choice(np.array([28, 228], np.int16), (-(-height // BLOCK), -(-width // BLOCK), 3))
    squares = cells.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)[:height, :width]
    noise = rng.integers(-12, 13, (height, width, 3))
    return (squares + noise).astype(np.uint8)


def draw(number: int) -> Bytes:
    """A frame, uint8 ``[512, 512, 3]`` BGR: soft ground, the pattern, boards beside it, its number below."""
    y, x = np.mgrid[:SIDE, :SIDE]
    ground = np.stack([90 + x // 12, 100 + y // 14, 120 - x // 16 + y // 20], axis=-1)
    boards = (x >= 368) & (y >= 64) & (y < 448)
    ground[boards] = np.where(((x + 5 * number) // 24 + y // 24) % 2, 60, 180)[boards][:, None]
    pixels = ground.astype(np.uint8)
    for bit in range(STRIP_BITS):
        left = STRIP_SQUARE * bit
        pixels[-STRIP_SQUARE:, left : left + STRIP_SQUARE] = 255 * (number >> bit & 1)
    pixels[-STRIP_SQUARE:, STRIP_SQUARE * STRIP_BITS :] = 128
    x1, y1, x2, y2 = FACE
    pixels[y1:y2, x1:x2] = pattern(number)
    return pixels


def number_of(pixels: Bytes) -> int:
    """The number of the frame that a stored image was made of. Raises ValueError when it cannot be read."""
    if pixels.shape != (SIDE, SIDE, 3):
        raise ValueError(f"its shape is {pixels.shape}")
    strip = pixels[-STRIP_SQUARE:, : STRIP_SQUARE * STRIP_BITS].mean(axis=(0, 2))
    levels = strip.reshape(STRIP_BITS, STRIP_SQUARE)[:, 8:-8].mean(axis=1)
    if ((levels > 40) & (levels < 215)).any():
        raise ValueError("its number is covered")
    return sum(int(level > 127) << bit for bit, level in enumerate(levels))


def write_camera(path: Path, frames: int, rate: int = 20) -> Path:
    """Write a camera file without any loss: FFV1 in AVI, in red, green and blue."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "bgr0"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(draw(number), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def decoded(path: Path) -> list[Bytes]:
    """The frames of a video file as the daemon sees them."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    frames: list[Bytes] = []
    while (answer := capture.read())[0]:
        frames.append(np.asarray(answer[1], np.uint8))
    capture.release()
    return frames


def packets(path: Path) -> list[bytes]:
    """The frames of a video file as they are encoded there."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def environment(folder: Path, **extra: str) -> dict[str, str]:
    """Variables for a daemon: fresh folders for all that it may call its own, and what the unit sets. ``CI``
    is not among them."""
    fresh = {"HOME": "home", "TMPDIR": "tmp", "XDG_CACHE_HOME": "cache", "XDG_CONFIG_HOME": "config"}
    fresh |= {"XDG_DATA_HOME": "data", "XDG_STATE_HOME": "state", "XDG_RUNTIME_DIR": "runtime"}
    for name in fresh.values():
        (folder / name).mkdir(parents=True, exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    unit = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200", "NO_COLOR": "1"}
    return {**kept, **unit, **{key: str(folder / name) for key, name in fresh.items()}, **extra}


def write_settings(path: Path, tables: Tables) -> Path:
    """Write a configuration. JSON's texts, numbers, truth values and lists are TOML's."""
    lines = []
    for name, table in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def edge_command() -> list[str]:
    """The installed ``edge`` command."""
    return [str(Path(sys.executable).with_name("edge"))]


def run_daemon(config: Path, env: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """``edge run`` to its end."""
    command = [*edge_command(), "run", "--config", str(config)]
    return subprocess.run(command, cwd=cwd, env=dict(env), capture_output=True, text=True, timeout=240)


def free_port() -> int:
    """A TCP port on which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def ask(port: int, path: str) -> tuple[int, bytes]:
    """Status code and body of an answer of the status endpoint; code 0 when there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


class Asking:
    """Asks everything that the status endpoint answers, all the time, until it is left. ``bodies`` are all
    different answers, by path and a number; ``codes`` counts status codes, 0 for no answer."""

    PATHS = ("/", "/status", "/metrics", "/healthz", "/readyz", "/preview/front.jpg")

    def __init__(self, port: int) -> None:
        self.bodies: dict[str, bytes] = {}
        self.codes: Counter[tuple[str, int]] = Counter()
        self._port = port
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._left.set()
        self._thread.join()

    def _ask(self) -> None:
        seen: set[tuple[str, bytes]] = set()
        while not self._left.wait(0.2):
            for path in self.PATHS:
                code, body = ask(self._port, path)
                self.codes[path, code] += 1
                if code and (path, body) not in seen:
                    seen.add((path, body))
                    self.bodies[f"{path} {len(seen)}"] = body


def fill(path: Path) -> None:
    """Write a file until the disk is full."""
    with (
        Path("/dev/zero").open("rb") as zeros,
        path.open("wb", buffering=0) as file,
        pytest.raises(OSError, match="No space left"),
    ):
        shutil.copyfileobj(zeros, file)


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def images_below(store: Path) -> list[Path]:
    """Stored images, by their final names."""
    return [path for path in files_below(store) if path.suffix in FORMATS]


@dataclass(eq=False)
class Scene:
    """Files that many runs share. ``frames`` are uint8 ``[512, 512, 3]`` BGR, as the daemon sees them."""

    folder: Path
    camera: Path
    detector: Path
    frames: list[Bytes]
    _images: dict[str, dict[int, bytes]] = field(default_factory=dict)

    def tables(self, store: Path, changes: Tables | None = None) -> dict[str, dict[str, Any]]:
        """A configuration, some of its tables changed: no frame is skipped, and none waits for others or for
        the known face."""
        tables: dict[str, dict[str, Any]] = {
            "cameras.front": {"source": str(self.camera), "pace": False},
            "detector": {"path": str(self.detector), "provider": "cpu", "threads": 1},
            "blur": {"hold_before_frames": 0},
            "privacy": {"known_face_interval_seconds": 1e-6},
            "store": {"folder": str(store), "min_free_megabytes": 1},
            "status": {"port": 0},
            "load": {"hot_celsius": 120, "slowest_interval_seconds": 3600},
        }
        for name, table in (changes or {}).items():
            tables[name] = {**tables.get(name, {}), **table}
        return tables

    def undisturbed(self, kind: str) -> dict[int, bytes]:
        """What a run that nothing disturbs stores of each frame; ``kind`` is jpeg, png or webp. Its store
        stays in the folder ``undisturbed-KIND/store``."""
        if kind not in self._images:
            folder = self.folder / f"undisturbed-{kind}"
            env = environment(folder)
            tables = self.tables(folder / "store", {"store": {"format": kind}})
            done = run_daemon(write_settings(folder / "edge.toml", tables), env, folder)
            assert done.returncode == 0, done.stderr
            stored = [path.read_bytes() for path in images_below(folder / "store")]
            images = {number_of(decode(data)): data for data in stored}
            assert list(images) == list(range(len(self.frames))), "an undisturbed run skips a frame"
            self._images[kind] = images
        return self._images[kind]

    def flaw(self, path: Path) -> str:
        """Why a stored file is not what an undisturbed run stores of its frame; empty when it is."""
        data = path.read_bytes()
        if data in self.undisturbed(FORMATS[path.suffix]).values():
            return ""
        try:
            number = number_of(decode(data))
        except (OSError, SyntaxError, ValueError) as error:
            return f"{path.name} ({len(data)} bytes) is no whole image: {error}"
        return f"{path.name} is not what is stored of frame {number}"


def decode(data: bytes) -> Bytes:
    """Decode an image file strictly, to uint8 ``[H, W, 3]`` BGR. Raises OSError, SyntaxError, ValueError."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"), np.uint8)[..., ::-1]


def make_scene(folder: Path, frames: int = 6) -> Scene:
    """Write the camera file and the detector."""
    camera = write_camera(folder / "camera.avi", frames)
    detector = save(face_detector(), folder / "face.onnx")
    return Scene(folder, camera, detector, decoded(camera))
