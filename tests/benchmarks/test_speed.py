"""``python -m benchmarks speed`` measures what it says; no test here looks at how long anything takes."""

from __future__ import annotations

import json
import math
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest

for _package in ("tensorflow", "tf2onnx", "onnx", "onnxscript"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages themselves, while they are imported
        pytest.importorskip(_package)

from benchmarks.speed import result as speed_result  # noqa: E402
from benchmarks.speed import rows as speed_rows  # noqa: E402
from benchmarks.speed import run as speed_module  # noqa: E402
from benchmarks.speed.result import SpeedResult, as_markdown  # noqa: E402
from benchmarks.speed.rows import Row  # noqa: E402
from convert.build import build  # noqa: E402
from convert.one_look import ONE_LOOK  # noqa: E402
from convert.options import ModelOptions  # noqa: E402
from convert.request import BuildRequest  # noqa: E402
from edge.errors import DetectionError  # noqa: E402
from tests import saved_models  # noqa: E402
from tests.benchmarks import front_door  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.sweep]
NUMBERS = ("median_ms", "p95_ms", "min_ms", "images_per_second", "ratio_to_tf", "bytes", "rss_megabytes")


def is_positive(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value > 0


def speed(*arguments: str) -> subprocess.CompletedProcess[str]:
    return front_door.run("speed", *arguments)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> SpeedResult:
    """A whole run, with a detector that the benchmark builds itself."""
    folder = tmp_path_factory.mktemp("speed")
    model = saved_models.object_detection(folder / "tiny")
    file = folder / "result.json"
    quick = (
        "--rounds",
        "2",
        "--precision",
        "fp32",
        "--threads",
        "1",
        "--profile",
        "--no-wait",
        "--json",
        str(file),
    )
    done = speed(str(model), *quick)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "edge-fp32" in done.stdout
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    return SpeedResult.model_validate_json(file.read_bytes())


def test_the_result_says_what_was_measured_where(result: SpeedResult) -> None:
    assert (result.model, result.threads, result.rounds) == ("tiny", [1], 2)
    assert result.command.startswith("python -m benchmarks speed ")
    assert {"numpy", "tf2onnx", "onnx"} <= set(result.machine.packages)
    assert len(result.machine.load_begin) == 3


def test_every_row_has_figures_or_an_error(result: SpeedResult) -> None:
    assert [row.name for row in result.rows] == ["tf", "tf-xla", "plain-tf2onnx", "edge-fp32"]
    for row in result.rows:
        if row.error is not None:
            assert row.name in ("tf-xla", "plain-tf2onnx")
            assert row.median_ms is row.ratio_to_tf is None
            continue
        assert all(is_positive(getattr(row, key)) for key in NUMBERS), row
        assert row.min_ms <= row.median_ms <= row.p95_ms  # type: ignore[operator]
    assert result.rows[0].ratio_to_tf == 1
    parity = result.rows[-1].parity
    assert parity is not None
    assert parity["ok"] is True


def test_a_process_without_tensorflow_takes_less_memory(result: SpeedResult) -> None:
    memory = {row.name: row.rss_megabytes for row in result.rows}
    assert memory["edge-fp32"] < memory["tf"]  # type: ignore[operator]


def test_the_profile_adds_up(result: SpeedResult) -> None:
    profile = result.profile["edge-fp32"]
    assert sum(entry.ms for entry in profile.operators) == pytest.approx(profile.kernels_ms, abs=0.1)
    assert "Conv" in {entry.type for entry in profile.operators}
    whole = profile.convolutions["all"]
    parts = [entry for kind, entry in profile.convolutions.items() if kind != "all"]
    assert {"pointwise", "depthwise", "other"} == set(profile.convolutions) - {"all"}
    assert sum(part.nodes for part in parts) == whole.nodes
    assert sum(part.gmac for part in parts) == pytest.approx(whole.gmac, abs=3e-4)
    assert result.peak is not None
    assert profile.floor_ms == pytest.approx(profile.gmac / result.peak.gmac_per_s * 1e3, abs=0.05)


def test_the_text_names_rows_and_warns_of_a_busy_machine(result: SpeedResult) -> None:
    busy = result.machine.model_copy(update={"busy": ["somebody compiles"]})
    text = as_markdown(result.model_copy(update={"machine": busy}))
    assert all(row.name in text for row in result.rows)
    assert "BUSY" in text
    assert "somebody compiles" in text
    quiet = result.machine.model_copy(update={"busy": []})
    assert "BUSY" not in as_markdown(result.model_copy(update={"machine": quiet}))


def test_a_row_without_figures_is_drawn(result: SpeedResult, tmp_path: Path) -> None:
    refused = result.rows[1].model_copy(update={"median_ms": None, "p95_ms": None, "error": "refused"})
    other = result.model_copy(update={"rows": [result.rows[0], refused], "profile": {}})
    speed_result.plot(other, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_generic_model_takes_its_options_from_the_detector(tmp_path: Path) -> None:
    model = saved_models.generic(tmp_path / "plain")
    options = ModelOptions(input_range="0..1", box_format="yxyx", labels=("0",))
    built = build(BuildRequest(model, tmp_path / "out", options)).detectors
    file = tmp_path / "result.json"
    quick = ("--rounds", "2", "--threads", "1", "--no-wait", "--json", str(file))
    done = speed(str(model), "--detector", str(built[0].path), *quick)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = SpeedResult.model_validate_json(file.read_bytes()).rows
    assert [row.name for row in rows] == ["tf", "plain-tf2onnx", "edge-fp32"]
    assert not any(row.error for row in rows)
    assert len({row.faces for row in rows}) == 1


def test_no_model_ends_with_2_and_its_name(tmp_path: Path) -> None:
    done = speed(str(tmp_path / "absent"))
    assert done.returncode == 2
    assert "absent" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--data", "absent"), "absent"),
        (("--data", "faces", "--calibration", "."), "choose one"),
    ],
)
def test_no_pictures_or_two_kinds_of_them_end_with_2(
    arguments: tuple[str, ...], named: str, tmp_path: Path
) -> None:
    done = speed(str(tmp_path), *arguments)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_detectors_are_calibrated_on_the_train_pictures_alone(tmp_path: Path) -> None:
    face = {"box": [1, 1, 20, 20], "invalid": False, "masked": False}
    lines = []
    for name, split in (("a", "train"), ("b", "eval"), ("c", "train")):
        (tmp_path / f"{name}.jpg").write_bytes(name.encode())
        picture = {"image": f"{name}.jpg", "width": 40, "height": 40, "faces": [face], "split": split}
        lines.append(json.dumps(picture))
    (tmp_path / "annotations.jsonl").write_text("\n".join(lines))
    draft = tmp_path / "draft"
    draft.mkdir()
    folder = speed_module.train_pictures(str(tmp_path), draft)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a.jpg": b"a", "c.jpg": b"c"}


def test_rows_are_interleaved_and_each_begins_in_turn() -> None:
    calls: list[str] = []

    def detect(name: str) -> int:
        calls.append(name)
        return 3

    rows = [Row("a", lambda: detect("a")), Row("b", None, error="refused"), Row("c", lambda: detect("c"))]
    figures = speed_rows.measure(rows, rounds=2)
    assert calls == ["a", "c", "c", "a"] * 2 + ["a", "c"]
    assert set(figures) == {"a", "c"}
    assert figures["a"]["faces"] == 3


def test_a_detector_that_sees_faces_everywhere_is_measured_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = saved_models.generic(tmp_path / "plain")
    options = ModelOptions(input_range="0..1", box_format="yxyx", labels=("0",))
    built = build(BuildRequest(model, tmp_path / "out", options)).detectors
    monkeypatch.setattr(speed_rows, "MODEL_BOXES", 5)
    picture = speed_rows.bench_picture()
    _, detector = speed_rows.detector_row(built[0].path, picture, 1)
    detector.score_begin = detector.score_continue = 0.0
    with pytest.raises(DetectionError):
        detector.detect(picture, ONE_LOOK)
    monkeypatch.setattr(speed_rows, "open_at", lambda file, config, canvas: detector)
    row, _ = speed_rows.detector_row(built[0].path, picture, 1)
    assert row.error is None
    assert row.note is not None
    assert "the 5 best" in row.note
    assert 0 < len(detector.detect(picture, ONE_LOOK).scores) <= 5


def test_the_picture_shows_both_portraits() -> None:
    picture = speed_rows.bench_picture()
    assert picture.shape == (720, 1280, 3)
    assert picture.dtype == np.uint8
    assert picture[:, :614].std() > 20 < picture[:, 614:].std()
