"""The whole command, as a user starts it: SavedModel in, verified detectors or a message out."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")
pytest.importorskip("tf2onnx", reason="needs the convert extra")
pytest.importorskip("onnxscript", reason="needs the convert extra")

from convert.plan import OBJECT_DETECTION
from tests.convert.building import Detectors, Models, check_figures, open_on_cpu

COMMAND = [sys.executable, "-c", "from convert.cli import app; app()"]

NOISE = re.compile(r"[IWE]0000 |tensorflow/|WARNING|absl|oneDNN|Deprecat|Instructions for updating|tf2onnx\.")


def run_command(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """``edge-convert`` as a user starts it, with TensorFlow as talkative as it is."""
    kept = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=kept | environment,
    )


def error_message(done: subprocess.CompletedProcess[str]) -> str:
    """The error message; there is no traceback beside it, and nothing of TensorFlow's."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not NOISE.search(done.stderr), done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("edge-convert: ")]
    assert lines, done.stderr
    return "\n".join(lines)


def test_a_zip_becomes_detectors_for_every_target(models: Models, tmp_path: Path) -> None:
    folder = models("named")
    path = tmp_path / "my faces.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.rglob("*"):
            archive.write(file, Path("export", file.relative_to(folder)))
    out = tmp_path / "out"
    targets = ("cpu", "cuda", "tensorrt", "openvino")
    done = run_command("build", path, "--out", out, *(part for t in targets for part in ("--target", t)))
    assert done.returncode == 0, done.stderr
    detectors = [out / f"my_faces-{target}-fp32.onnx" for target in targets]
    wanted = {p.name for d in detectors for p in (d, d.with_suffix(".sha256"))} | {"report.md", "report.json"}
    assert {p.name for p in out.iterdir()} == wanted

    for name in [*(str(d) for d in detectors), str(out / "report.md")]:
        assert name in done.stdout
    assert not NOISE.search(done.stdout + done.stderr)
    assert "Traceback" not in done.stderr
    stages = [line.removesuffix(" ...") for line in done.stderr.splitlines()]
    assert stages[0] == "read the SavedModel"
    assert "load it in TensorFlow" in stages
    assert all(f"compare {target} with TensorFlow" in stages for target in ("cpu", "tensorrt"))
    assert all(f"check the graph of cpu for {target}" in stages for target in ("cuda", "openvino"))

    report = json.loads((out / "report.json").read_text())
    assert report["family"] == OBJECT_DETECTION
    assert report["labels"] == ["Human face"]
    assert set(report["seconds"]) == set(stages)
    assert [d["file"] for d in report["detectors"]] == [d.name for d in detectors]
    for entry, detector in zip(report["detectors"], detectors, strict=True):
        check_figures(entry["parity"])
        assert entry["sha256"] == hashlib.sha256(detector.read_bytes()).hexdigest()
        assert entry["nodes"] == sum(entry["operators"].values()) < report["nodes_exported"]
        assert entry["sha256"] in (out / "report.md").read_text()
        kept = open_on_cpu(detector).session.contract
        assert (kept.name, kept.target, kept.labels) == ("my_faces", entry["target"], "Human face")
        assert kept.source_sha256 == report["source"]["sha256"]
        check_figures(json.loads(kept.parity))


def test_what_is_missing_is_asked_for(models: Models, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "--input-range" in error_message(run_command("build", models("generic"), "--out", out))
    assert not out.exists() or not list(out.iterdir())


def test_inspect_says_what_build_would_do(models: Models) -> None:
    done = run_command("inspect", models("named"), COLUMNS="200")
    assert done.returncode == 0, done.stderr
    for text in (
        "TensorFlow SavedModel",
        "tf-object-detection-api",
        "pad-right-bottom",
        "1 hat, 2 Human face",
    ):
        assert text in done.stdout
    assert not NOISE.search(done.stdout + done.stderr)


def test_verify_compares_on_other_pictures(
    models: Models, detectors: Detectors, tmp_path: Path, pictures: Path
) -> None:
    built = detectors("pad")
    done = run_command("verify", built.path, "--saved-model", models("pad"), "--images", pictures)
    assert done.returncode == 0, done.stderr
    assert "pictures: 4" in done.stdout
    assert "ok: True" in done.stdout
