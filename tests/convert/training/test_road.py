"""The whole road by the commands that a user types: labelled pictures, a run that is killed, a detector."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")
pytest.importorskip("tf2onnx", reason="needs the convert extra")
pytest.importorskip("matplotlib", reason="needs the train extra")

from convert.training.run_folder import RunFolder
from tests.conftest import DATA

ROOT = Path(__file__).parents[3]
PICTURES = 40
FACES = {"astronaut.jpg": (170, 50, 280, 200), "hopper.jpg": (180, 90, 370, 350)}
"""``x1 y1 x2 y2`` of a part with the face, in the shipped portraits."""
PROGRAMS = {"edge": "edge.cli", "edge-train": "convert.training.cli", "edge-convert": "convert.cli"}


def command(program: str, *arguments: str | Path) -> list[str]:
    code = f"from {PROGRAMS[program]} import app; app()"
    return [sys.executable, "-c", code, *map(str, arguments)]


def run(program: str, *arguments: str | Path) -> str:
    done = subprocess.run(
        command(program, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def labelled(folder: Path) -> Path:
    """COCO: two classes of faces and one of other things, on noise at random places and scales."""
    (folder / "images").mkdir(parents=True)
    rng, images, annotations = np.random.default_rng(0), [], []
    for number in range(PICTURES):
        canvas = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (256, 192))
        name = ("astronaut.jpg", "hopper.jpg")[number % 2]
        x1, y1, x2, y2 = FACES[name]
        face = np.asarray(cv2.imread(str(DATA / name)))[y1:y2, x1:x2]
        height = int(rng.integers(50, 120))
        width = round(height * (x2 - x1) / (y2 - y1))
        x, y = int(rng.integers(0, 256 - width)), int(rng.integers(0, 192 - height))
        canvas[y : y + height, x : x + width] = cv2.resize(face, (width, height))
        assert cv2.imwrite(str(folder / "images" / f"{number:02}.jpg"), canvas)
        images.append({"id": number, "file_name": f"{number:02}.jpg", "width": 256, "height": 192})
        box = {"image_id": number, "bbox": [x, y, width, height], "iscrowd": 0, "area": width * height}
        annotations.append({"id": 2 * number, "category_id": 1 + number % 2, **box})
        other = {**box, "bbox": [0, 0, 20, 20], "area": 400}
        annotations.append({"id": 2 * number + 1, "category_id": 3, **other})
    categories = [{"id": 1, "name": "face"}, {"id": 2, "name": "with_mask"}, {"id": 3, "name": "corner"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "images" / "_annotations.coco.json").write_text(json.dumps(content))
    return folder / "images"


def kill_in_the_middle(folder: RunFolder, arguments: list[str | Path]) -> None:
    """Start a run and kill the command alone as soon as it trains; its child must not go on for long."""
    process = subprocess.Popen(
        command("edge-train", *arguments), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (folder.examples / "augmented.jpg").exists():  # drawn from the first batch
        assert process.poll() is None
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
    time.sleep(0.1)
    assert not folder.ended()


@pytest.mark.sweep
@pytest.mark.timeout(600)
def test_pictures_become_a_saved_model_that_edge_convert_reads(tmp_path: Path) -> None:
    data, merged, out = labelled(tmp_path / "raw"), tmp_path / "merged", tmp_path / "run"
    run("edge-train", "merge", data, "--out", merged, "--licence", "images=CC0-1.0")
    lines = [json.loads(line) for line in (merged / "annotations.jsonl").read_text().splitlines()]
    assert len(lines) == PICTURES
    assert {one["label"] for line in lines for one in line["objects"]} == {"FACE"}
    assert sum(len(line["objects"]) for line in lines) == PICTURES

    fit: list[str | Path] = [
        "fit",
        merged,
        "--model",
        "tiny",
        "--out",
        out,
        "--epochs",
        "13",
        "--threads",
        "2",
    ]
    kill_in_the_middle(RunFolder(out), fit)
    assert "steps in" in run("edge-train", *fit, "--resume")
    rows = RunFolder(out).read_log()
    steps = [row["step"] for row in rows if "loss" in row]
    assert steps == sorted(set(steps))
    assert rows[-1]["step"] == json.loads((out / "result.json").read_text())["steps"]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert len(losses) > 1  # so few steps teach nothing yet: the road is shown here, not the learning
    assert np.isfinite(losses).all()

    figures = tmp_path / "figures.json"
    run("edge-train", "evaluate", out, "--data", merged, "--split", "all", "--json", figures)
    assert json.loads(figures.read_text())["objects"] == PICTURES

    run("edge-train", "export", out, "--out", tmp_path / "export")
    archive = tmp_path / "export" / "saved_model.zip"
    inspected = run("edge-convert", "inspect", archive)
    assert "tiny" in inspected
    # A network that has learnt nothing yet finds something everywhere, or nothing: it is not published.
    built = tmp_path / "built"
    refused = subprocess.run(
        command("edge-convert", "build", archive, "--out", built),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert refused.returncode == 1
    assert "is not published" in refused.stderr
    assert not list(built.glob("*.onnx"))
