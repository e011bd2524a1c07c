"""Random configurations and random boxes: a mistake is named, and what is accepted covers what it says."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import blur
from edge.boxes import Floats
from edge.config import CameraConfig, Config, make_config
from edge.detection.detector import Detections
from edge.errors import ConfigError
from edge.frames import Pixels, RawFrame
from edge.hold import Held, Hold
from edge.masking import key_label
from tests.privacy.faults import Mask
from tests.raw_frames import raw_frame
from tests.sweeping import fewer

Table = dict[str, Any]
Key = tuple[st.SearchStrategy[Any], list[Any]]
"""How to make a good value, and bad ones."""

NAN, INFINITY = math.nan, math.inf
DATE = datetime.date(2024, 2, 29)  # TOML has dates


def number(low: float, high: float, *bad: float, above: bool = False) -> Key:
    good = st.one_of(
        st.floats(low, high, exclude_min=above), st.sampled_from([high] if above else [low, high])
    )
    odd = [NAN, INFINITY, -INFINITY, low - 0.01, high * 1.01 + 0.01, "many", "", [], {}, DATE, None]
    return good, [*odd, *bad, *([low] if above else [])]


def whole_number(low: int, high: int) -> Key:
    return st.integers(low, high), [low - 1, high + 1, 10**30, 1.5, NAN, "many", [], {}, DATE, None]


def one_of(*values: Any) -> Key:
    return st.sampled_from(values), ["", "none of these", values[0] * 2, 12345, [values[0]], {}, DATE, None]


SWITCH: Key = (st.booleans(), ["perhaps", 2, 0.5, [], {}, DATE, None])
KEYS: dict[str, Key] = {
    "blur.fill": one_of("infill", "solid", "gaussian", "mosaic"),
    "blur.region": one_of("head", "top"),
    "blur.top_fraction": number(0, 1, above=True),
    "blur.margin_sides": number(0, 2),
    "blur.margin_top": number(0, 2),
    "blur.margin_bottom": number(0, 2),
    "blur.solid_rgb": (
        st.lists(st.integers(0, 255), min_size=3, max_size=3),
        [[], [1, 2], [1, 2, 3, 4], [0, 0, 256], [-1, 0, 0], [0.5, 0, 0], ["red", 0, 0], "red", 7, None],
    ),
    "blur.gaussian_sigma": number(0, 2, above=True),
    "blur.mosaic_cells": whole_number(1, 16),
    "blur.hold_before_frames": whole_number(0, 250),
    "blur.hold_after_seconds": number(0, 60),
    "privacy.on_failure": one_of("drop", "cover"),
    "privacy.last_look": one_of("always", "sampled", "off"),
    "privacy.last_look_every_images": whole_number(1, 10_000),
    "privacy.max_frame_age_seconds": number(0, 60, above=True),
    "privacy.known_face_interval_seconds": number(0, 86_400, above=True),
    "privacy.check_visibility": SWITCH,
    "privacy.allow_reidentifiable": SWITCH,
    "detector.score_begin": (st.floats(0.5, 0.99), [0, 1, -0.5, 1.5, NAN, INFINITY, "high", [], DATE]),
    "detector.score_continue": (st.floats(0.01, 0.6), [0, 1, -0.5, 1.5, NAN, INFINITY, "low", {}, DATE]),
    "detector.canvas": (
        st.none() | st.sampled_from(["640x384", "100x9999"]),
        ["64x64", "0x640", "640x", "x", "", 640, []],
    ),
    "privacy.smallest_face_pixels": whole_number(8, 1000),
    "privacy.any_orientation": SWITCH,
    "privacy.sweep_seconds": number(0, 60),
    "cameras.door.smallest_face_pixels": (st.none() | st.integers(8, 1000), [7, 1001, "small", []]),
    "cameras.door.any_orientation": (st.none() | st.booleans(), [2, "maybe", []]),
    "cameras.door.mounting": one_of("wall", "ceiling"),
    "detector.timeout_seconds": number(0, 600, above=True),
    "detector.threads": whole_number(0, 256),
    "store.format": one_of("jpeg", "png", "webp"),
    "store.quality": whole_number(1, 100),
    "store.interval_seconds": number(0, 86_400),
    "load.hot_celsius": number(30, 120),
    "status.port": whole_number(0, 65_535),
    "cameras.door.source": (st.just("/dev/video0"), ["", "  ", 5, [], {}, DATE, None]),
    "cameras.door.rotate_degrees": (st.sampled_from([0, 90, 180, 270]), [45, -90, 360, "up", [], None]),
    "cameras.door.crop": (
        st.just([0.25, 0, 1, 0.5]),
        [[0.5, 0, 0.2, 1], [0, 0, 1], [0, 0, 2, 1], [0, NAN, 1, 1], [0, 0, 0, 0], "all", 1],
    ),
    "cameras.door.privacy_zones": (
        st.just([[[0, 0], [1, 0], [0, 1]]]),
        [[[[0, 0], [1, 1]]], [[]], [[[0, 0], [0, 0], [0, 0]]], [[[0, 0], [2, 0], [0, 1]]], "all", 1, None],
    ),
}
UNKNOWN = st.one_of(
    st.text(min_size=1, max_size=12),
    # Options of pydantic-settings' constructor.
    st.sampled_from(
        ["_env_file", "_env_prefix", "_secrets_dir", "_case_sensitive", "_cli_parse_args", "self"]
    ),
)
SECTIONS = {".".join(key.split(".")[:-1]) for key in KEYS} | {"", "mqtt", "audit", "cameras"}


@dataclass(frozen=True)
class Draft:
    """A table as TOML gives it, what it says rightly, and the keys that must be named when it is refused: all
    wrong ones, but next to an unknown section nothing else."""

    table: Table
    good: dict[str, Any]
    bad: list[str]


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    """Some keys, half of the time all good; now and then one that does not exist."""
    names = draw(st.lists(st.sampled_from(sorted(KEYS)), unique=True, max_size=12))
    spoilt = draw(st.lists(st.sampled_from(names), unique=True, max_size=3)) if names else []
    spoilt = spoilt if draw(st.booleans()) else []
    good = {name: draw(KEYS[name][0]) for name in names if name not in spoilt}
    bad = {name: draw(st.sampled_from(KEYS[name][1])) for name in spoilt}
    table: Table = {}
    for name, value in {"cameras.door.source": "0", **good, **bad}.items():
        _put(table, name.split("."), value)
    if draw(st.integers(0, 9)) == 0:
        section, key = draw(st.sampled_from(sorted(SECTIONS))), draw(UNKNOWN)
        path = [*section.split("."), key] if section else [key]
        name = ".".join(path)
        known = SECTIONS | set(KEYS) | {"detector", "load", "status"}
        if name not in known and not _is_field(path):
            _put(table, path, draw(st.sampled_from([1, "x", True, ["y"]])))
            bad = {**bad, name: None} if section else {name: None}
    return Draft(table, good, list(bad))


def _put(table: Table, path: list[str], value: Any) -> None:
    for parent in path[:-1]:
        table = table.setdefault(parent, {})
    table[path[-1]] = value


def _is_field(path: list[str]) -> bool:
    """Whether there is such a key, which merely is not in ``KEYS``."""
    if path[0] == "cameras":
        return path[2:] == [] or path[-1] in CameraConfig.model_fields
    inner: Any = Config.model_fields.get(path[0])
    if len(path) == 1:
        return inner is not None
    return path[1] in inner.annotation.model_fields


def check_draft(draft: Draft) -> None:
    good = draft.good
    fill, region = good.get("blur.fill", "infill"), good.get("blur.region", "head")
    weak = (fill in ("gaussian", "mosaic") or region == "top") and not good.get(
        "privacy.allow_reidentifiable"
    )
    begin, on = good.get("detector.score_begin"), good.get("detector.score_continue")
    disordered = begin is not None and on is not None and on > begin
    if not draft.bad and not weak and not disordered:
        config = make_config(draft.table, "table").model_dump(mode="json")
        for name, value in good.items():
            found: Any = config
            for part in name.split("."):
                found = found[part]
            assert found == value, name
        return
    with pytest.raises(ConfigError) as caught:
        make_config(draft.table, "table")
    text = str(caught.value)
    assert text.startswith("table: ")
    assert len(text) < 4000
    for name in draft.bad:
        # What may be a URL in place of a key is called by its label; a key may have dots in it.
        pieces = name.split(".")
        shown = [".".join([*pieces[:at], key_label(".".join(pieces[at:]))]) for at in range(len(pieces))]
        assert any(repr(each)[1:-1] in text for each in shown), f"{name} is not named in {text}"
    if not draft.bad:
        assert ("allow_reidentifiable" in text) or ("score_continue" in text)


@pytest.mark.slow
@settings(max_examples=500)
@given(drafts())
def test_a_table_is_refused_by_the_name_of_each_wrong_key_or_means_what_it_says(draft: Draft) -> None:
    check_draft(draft)


@pytest.mark.sweep
@pytest.mark.timeout(3600)
@settings(max_examples=fewer(5000))
@given(drafts())
def test_the_same_with_many_tables(draft: Draft) -> None:
    check_draft(draft)


# What is accepted covers what it says


@dataclass(frozen=True)
class Scene:
    """Frames of one camera, and the boxes that a detector gives for each: float32 ``[N, 4]`` in pixels."""

    config: Config
    width: int
    height: int
    boxes: list[Floats]


HUGE = [-3e38, -1e9, -1e5, 1e5, 1e9, 3e38]
TINY = [0.0, -0.0, 1e-40, -1e-40, 1e-30, 1e-7]


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    blur_table = {
        name.removeprefix("blur."): draw(KEYS[name][0])
        for name in draw(
            st.lists(st.sampled_from([key for key in KEYS if key.startswith("blur.")]), unique=True)
        )
    }
    blur_table["hold_before_frames"] = draw(st.integers(0, 4))
    if draw(st.integers(0, 3)):  # most of the time what hides the face
        blur_table["fill"] = draw(st.sampled_from(["infill", "solid"]))
    config = make_config({"blur": blur_table, "privacy": {"allow_reidentifiable": True}}, "table")
    width, height = draw(st.integers(16, 120)), draw(st.integers(16, 120))
    sides = [-1, 0, 1, 7, 8, width - 8, width - 1, width, width + 1, height - 1, height, height + 1]
    coordinate = st.one_of(
        st.floats(-40, 160, width=32),
        st.sampled_from([float(side) for side in sides]),
        st.sampled_from([np.float32(value).item() for value in HUGE + TINY]),
    )
    box = st.tuples(coordinate, coordinate, coordinate, coordinate).map(_in_order)
    wider = (
        st.tuples(coordinate, coordinate).map(sorted).map(lambda pair: [HUGE[0], pair[0], HUGE[-1], pair[1]])
    )
    higher = wider.map(lambda sides: [sides[1], sides[0], sides[3], sides[2]])
    frames = draw(st.lists(st.lists(st.one_of(box, box, wider, higher), max_size=4), min_size=1, max_size=5))
    return Scene(config, width, height, [np.array(boxes, np.float32).reshape(-1, 4) for boxes in frames])


def _in_order(box: tuple[float, float, float, float]) -> list[float]:
    (x1, x2), (y1, y2) = sorted([box[0], box[2]]), sorted([box[1], box[3]])
    return [x1, y1, x2, y2]


def regions(boxes: Floats, config: Config) -> list[tuple[list[float], list[float]]]:
    """What is to be covered for each box, ``x1 y1 x2 y2``, and how exact float32 can be about each side."""
    blur_config, found = config.blur, []
    for x1, y1, x2, y2 in boxes.astype(np.float64).tolist():
        if blur_config.region == "top":
            added = [0.0, 0.0, 0.0, (blur_config.top_fraction - 1) * (y2 - y1)]
        else:
            sides = blur_config.margin_sides * (x2 - x1)
            added = [
                -sides,
                -blur_config.margin_top * (y2 - y1),
                sides,
                blur_config.margin_bottom * (y2 - y1),
            ]
        doubts = [1e-3 + 1e-6 * (abs(at) + abs(by)) for at, by in zip((x1, y1, x2, y2), added, strict=True)]
        if blur_config.region == "top":
            doubts[3] += 1e-6 * abs(y1) if y2 - y1 < np.finfo(np.float32).max else INFINITY
        found.append(([at + by for at, by in zip((x1, y1, x2, y2), added, strict=True)], doubts))
    return found


def mask(boxes: Floats, scene: Scene, *, least: bool) -> Mask:
    """Pixels that must be covered (``least``), or that may be."""
    covered = np.zeros((scene.height, scene.width), bool)
    for (x1, y1, x2, y2), doubts in regions(boxes, scene.config):
        d1, e1, d2, e2 = (doubt if least else -doubt for doubt in doubts)
        left, top = max(0.0, x1 + d1), max(0.0, y1 + e1)
        right, bottom = min(float(scene.width), x2 - d2), min(float(scene.height), y2 - e2)
        if right > left and bottom > top:
            covered[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)] = True
    return covered


def owed(scene: Scene, number: int) -> Floats:
    """Boxes that must be covered in a frame: its own; those of the last frame with any, while they live; and
    in the first frames, if none has any before, those that come in within the delay. With ``region = top``
    hold promises less: of a box that has grown with doubt, the upper part lies higher."""
    blur_config, boxes = scene.config.blur, scene.boxes
    due = [boxes[number]]
    if blur_config.region == "top":
        return boxes[number]
    filled = [n for n, found in enumerate(boxes) if len(found)]
    if not len(boxes[number]) and filled:
        before = [n for n in filled if n < number]
        if before:
            gap = number - before[-1]
            lives = gap == 1 or gap * STEP <= blur_config.hold_after_seconds - 1e-6
            if blur_config.hold_after_seconds > 0 and lives:
                due.append(boxes[before[-1]])
        elif filled[0] - number <= blur_config.hold_before_frames:
            due.append(boxes[filled[0]])
    return np.concatenate(due)


STEP = 0.04


def hold_all(scene: Scene, frames: list[RawFrame]) -> list[Held]:
    hold = Hold(scene.config.blur.hold_before_frames, scene.config.blur.hold_after_seconds, 0.35)
    due: list[Held] = []
    for frame, boxes in zip(frames, scene.boxes, strict=True):
        due += hold.push(frame, Detections(boxes, np.full(len(boxes), 0.9, np.float32)))
    return due + hold.flush()


def noise(scene: Scene, seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (scene.height, scene.width, 3), np.uint8)


def check_scene(scene: Scene) -> None:
    frames = [raw_frame(noise(scene, n), n, n * STEP) for n in range(len(scene.boxes))]
    held = hold_all(scene, frames)
    assert [entry.frame.number for entry in held] == list(range(len(frames)))
    for number, entry in enumerate(held):
        try:
            safe = blur.anonymize(entry.frame, entry.boxes, scene.config.blur).pixels
        except ValueError:  # the frame is dropped; float32 ends at 3.4e38
            assert max(float(np.abs(boxes).max(initial=0)) for boxes in scene.boxes) > 1e30
            continue
        may, must = mask(entry.boxes, scene, least=False), mask(owed(scene, number), scene, least=True)
        assert not (must & ~may).any()
        np.testing.assert_array_equal(safe[~may], entry.frame.pixels[~may])
        if scene.config.blur.fill in ("infill", "solid"):
            # Whatever is below the regions, the picture is the same.
            other = entry.frame.pixels.copy()
            other[must] = noise(scene, 1000 + number)[must]
            twin = raw_frame(other, number, number * STEP)
            again = blur.anonymize(twin, entry.boxes, scene.config.blur).pixels
            assert again.tobytes() == safe.tobytes()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # on the box an overflow is no error
@settings(max_examples=1000)
@given(scenes())
def test_each_region_is_covered_and_nothing_else_changes(scene: Scene) -> None:
    check_scene(scene)


@pytest.mark.sweep
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(max_examples=fewer(7000))
@given(scenes())
def test_the_same_with_many_scenes(scene: Scene) -> None:
    check_scene(scene)
