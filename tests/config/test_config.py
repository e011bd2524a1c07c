"""Every mistake in the configuration is named, with the way out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from edge.commands.sample import sample_text
from edge.config import Config, DetectorConfig, FurtherDetectorConfig, make_config, read_config
from edge.config.detector import ShippedName
from edge.config.explain import REMOVED, RENAMED
from edge.detection.shipped import FILES
from edge.detection.views import Search
from edge.errors import ConfigError

CAMERA = '[cameras.front]\nsource = "/dev/video0"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "edge.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[stor]\n", r"unknown key 'stor'; did you mean 'store'\?"),
        ("[store]\nfoldr = 'x'\n", r"unknown key 'store\.foldr'; did you mean 'folder'\?"),
        (CAMERA + "lop = true\n", r"'cameras\.front\.lop'; did you mean 'loop'\?"),
        ("[blur]\nxyzzy = 1\n", r"'blur\.xyzzy'; known are: fill, region"),
        ("[blur]\nfill = 'pixelate'\n", r"'blur\.fill'.*'infill', 'solid'.*got 'pixelate'"),
        ("[blur]\nfill = 'mosaic'\n", "allow_reidentifiable"),
        ("[blur]\nregion = 'top'\n", "allow_reidentifiable"),
        ("[blur]\nsolid_rgb = [1, 2, 300]\n", r"blur\.solid_rgb.*0 to 255"),
        ("[blur]\nhold_after_seconds = nan\n", r"blur\.hold_after_seconds"),
        ("[blur]\nmargin_top = -0.1\n", r"blur\.margin_top"),
        ("[store]\nformat = 'gif'\n", r"'store\.format'.*'jpeg', 'png' or 'webp'"),
        ("[store]\nquality = 0\n", r"store\.quality"),
        ("[store]\nquality = 'high'\n", r"store\.quality"),
        ("[store]\nclock_confirmed = 2026-07-14T12:00:00\n", r"store\.clock_confirmed.*zone.*end it with Z"),
        ("[store]\nclock_confirmed = 'today'\n", r"store\.clock_confirmed"),
        ("[detector]\nscore_begin = 0.2\nscore_continue = 0.3\n", "must not be higher"),
        ("[detector]\nscore_begin = 1.0\n", r"detector\.score_begin"),
        ("[detector]\ncanvas = 'big'\n", r"detector\.canvas"),
        ("[detector]\ncanvas = '64x64'\n", r"detector\.canvas"),
        ("[detectors.plate]\npath = 'x'\ncanvas = '640'\n", r"detectors\.plate\.canvas"),
        ("[privacy]\nsmallest_face_pixels = 7\n", r"privacy\.smallest_face_pixels"),
        ("[privacy]\nsmallest_face_pixels = 20.5\n", r"privacy\.smallest_face_pixels"),
        ("[privacy]\nany_orientation = 'often'\n", r"privacy\.any_orientation"),
        ("[privacy]\nsweep_seconds = -1\n", r"privacy\.sweep_seconds"),
        ("[privacy]\nsweep_seconds = nan\n", r"privacy\.sweep_seconds"),
        ("[cameras.b]\nsource = 'x'\nsmallest_face_pixels = 1001\n", r"cameras\.b\.smallest_face_pixels"),
        ("[cameras.b]\nsource = 'x'\nmounting = 'floor'\n", r"cameras\.b\.mounting.*'wall' or 'ceiling'"),
        ("[detector]\nprovider = 'tpu'\n", r"detector\.provider"),
        ("[detector]\nname = 'face'\npath = 'x.onnx'\n", r"'detector'.*name = 'face' and path.*leave one"),
        ("[detector]\nname = 'plate'\n", r"'detector\.name'.*'face'.*got 'plate'"),
        ("[detectors.plate]\nlabel = 'plate'\n", r"'detectors\.plate'.*'path' is missing"),
        ("[detectors.plate]\n", r"'detectors\.plate'.*'path' is missing"),
        ("[detectors.plate]\nname = 'face'\npath = 'x.onnx'\n", r"'detectors\.plate'.*leave one"),
        ("[detectors.plate]\npth = 'x'\n", r"'detectors\.plate\.pth'; did you mean 'path'\?"),
        ("[detectors.plate]\npath = 'x'\nregion = 'top'\n", r"'detectors\.plate\.region'.*'head' or 'box'"),
        ("[detectors.plate]\npath = 'x'\nlabel = 'a plate'\n", r"detectors\.plate\.label"),
        ("[detectors.plate]\npath = 'x'\nscore_begin = 0.2\nscore_continue = 0.3\n", "must not be higher"),
        ("[detectors.'../up']\npath = 'x'\n", "detector name"),
        ("[detectors]\nplate = 'x.onnx'\n", r"detectors\.plate"),
        ("detectors = 3\n", "detectors"),
        ("[status]\nhost = '0.0.0.0'\n", r"status\.host.*status\.token_file"),
        ("[status]\nhost = 'a b'\n", r"status\.host.*not an address"),
        ("[mqtt]\nhost = ''\n", r"mqtt\.host"),
        ("[mqtt]\npassword_file = 'x'\n", r"mqtt\.username"),
        ("[cameras.b]\nsource = 'x'\ncrop = [0.5, 0, 0.2, 1]\n", r"cameras\.b\.crop.*left < right"),
        ("[cameras.b]\nsource = 'x'\nprivacy_zones = [[[0, 0], [1, 1]]]\n", r"three different corners"),
        ("[status]\nport = 70000\n", r"status\.port"),
        ("[privacy]\non_failure = 'store'\n", r"privacy\.on_failure"),
        ("[cameras.Front]\nsource = 'x'\n", "camera name 'Front'"),
        ("[cameras.'../up']\nsource = 'x'\n", "camera name"),
        ("[cameras.front]\nkind = 'video'\n", r"'cameras\.front\.source' is missing"),
        ("[cameras.front]\nsource = ''\n", r"cameras\.front\.source"),
        ("cameras = 3\n", "cameras"),
        ("[store\n", "not valid TOML"),
        ("", "no camera"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert re.search(expected, message), message


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="edge config init"):
        read_config(tmp_path / "none.toml")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_config(path)


def test_the_environment_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, CAMERA + "[store]\nfolder = 'a'\nquality = 50\n")
    monkeypatch.setenv("EDGE_STORE__FOLDER", "/srv/b")
    monkeypatch.setenv("EDGE_CAMERAS__BACK__SOURCE", "rtsp://cam/1")
    config = read_config(path)
    assert (str(config.store.folder), config.store.quality) == ("/srv/b", 50)
    assert sorted(config.cameras) == ["back", "front"]


@pytest.mark.parametrize("variable", ["EDGE_STOR__FOLDER", "EDGE_STORE__FOLDR", "EDGE_STORE__QUALITY"])
def test_a_mistake_in_the_environment_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "x")
    with pytest.raises(ConfigError, match=r"(?i)stor"):
        read_config(write(tmp_path, CAMERA))


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_key_is_told_its_new_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    section, key = old.split(".")
    expected = rf"unknown key '{re.escape(old)}': it is called {re.escape(new)} now$"
    with pytest.raises(ConfigError, match=expected):
        read_config(write(tmp_path, f"{CAMERA}[{section}]\n{key} = 7\n"))
    monkeypatch.setenv(f"EDGE_{section}__{key}".upper(), "7")
    with pytest.raises(ConfigError, match=expected):
        read_config(write(tmp_path, CAMERA))


def test_no_old_key_is_in_use_again() -> None:
    for old, new in RENAMED.items():
        for name, known in ((old, False), (new, True)):
            section, key = name.split(".")
            model = Config.model_fields[section].annotation
            assert (key in model.model_fields) is known, name  # type: ignore[union-attr]


@pytest.mark.parametrize("key", sorted(key for _, key in REMOVED))
@pytest.mark.parametrize("section", ["detector", "detectors.plate"])
def test_a_removed_key_is_told_what_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: str, key: str
) -> None:
    expected = (
        rf": unknown key '{re.escape(section)}\.{key}'; leave it out: .*privacy\.smallest_face_pixels, "
        "the smallest face .* in pixels of the camera's picture$"
    )
    path = "path = 'x.onnx'\n"
    with pytest.raises(ConfigError, match=expected):
        read_config(write(tmp_path, f"{CAMERA}[{section}]\n{path}{key} = '1x1'\n"))
    monkeypatch.setenv(f"EDGE_{section.replace('.', '__')}__{key}".upper(), "1x1")
    with pytest.raises(ConfigError, match=expected):
        read_config(write(tmp_path, f"{CAMERA}[{section}]\n{path}"))


def test_no_removed_key_is_in_use_again() -> None:
    for model in (DetectorConfig, FurtherDetectorConfig):
        assert not {key for _, key in REMOVED} & set(model.model_fields)


def test_what_is_looked_for_is_the_cameras_own_where_it_says_so() -> None:
    privacy = {"smallest_face_pixels": 16, "any_orientation": True}
    cameras = {
        "near": {"source": "a", "smallest_face_pixels": 60, "any_orientation": False},
        "other": {"source": "b"},
    }
    config = make_config({"privacy": privacy, "cameras": cameras}, "test")
    assert Search.of(config.privacy) == Search(16, any_orientation=True)
    assert Search.of(config.privacy, config.cameras["other"]) == Search(16, any_orientation=True)
    near = Search.of(config.privacy, config.cameras["near"], continuous=True)
    assert near == Search(60, any_orientation=False, in_parts=True)


def test_settings_are_frozen() -> None:
    config = make_config({}, "test")
    with pytest.raises(ValueError, match="frozen"):
        config.store.quality = 1  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        config.store = config.store  # type: ignore[misc]


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("/dev/video0", "v4l2"),
        ("rtsp://user:password@192.0.2.1/stream", "stream"),
        ("HTTP://192.0.2.1/mjpeg", "stream"),
        ("clip.mp4", "video"),
        (str(Path(__file__).parent), "folder"),
    ],
)
def test_the_kind_of_source_is_told_by_its_form(source: str, kind: str) -> None:
    assert make_config({"cameras": {"a": {"source": source}}}, "test").cameras["a"].resolved_kind() == kind


def test_the_sample_is_valid_and_complete(tmp_path: Path) -> None:
    text = sample_text()
    assert list(read_config(write(tmp_path, text)).cameras) == ["front"]
    # With every default written out it is still valid, and says the same.
    explicit = re.sub(r"(?m)^#(\w+ = (?!\.\.\.).*)$", r"\1", text)
    assert explicit != text
    assert read_config(write(tmp_path, explicit)) == read_config(write(tmp_path, text))
    for name, field in Config.model_fields.items():
        if name != "cameras":
            section: Any = FurtherDetectorConfig if name == "detectors" else field.annotation
            for key, inner in section.model_fields.items():
                assert f"#{key} = " in text
                assert inner.description


def test_a_further_detector_takes_what_it_lacks_from_the_first() -> None:
    config = make_config(
        {
            "detector": {"threads": 2, "provider": "cpu", "score_begin": 0.6, "canvas": "640x384"},
            "detectors": {
                "plate": {"path": "plate.onnx", "threads": 1},
                "veiled": {"name": "face", "score_begin": 0.3, "canvas": "960x544"},
            },
        },
        "test",
    )
    plate = config.detectors["plate"].completed(config.detector)
    assert (plate.path, plate.name) == (Path("plate.onnx"), None)
    assert (plate.threads, plate.provider) == (1, "cpu")
    assert (plate.score_begin, plate.canvas_size) == (None, None)  # these belong to the file
    veiled = config.detectors["veiled"].completed(config.detector)
    assert (veiled.path, veiled.name, veiled.threads) == (None, "face", 2)
    assert (veiled.score_begin, veiled.canvas_size) == (0.3, (960, 544))


def test_each_shipped_name_has_a_file() -> None:
    assert set(FILES) == set(get_args(ShippedName))
