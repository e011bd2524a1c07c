"""Image in, boxes out, beside TensorFlow: ``python -m benchmarks speed SAVED_MODEL``.

benchmarks/speed/rows.py has the rows. All rows of one number of threads run in one process, interleaved. The
peak resident memory of each comes from one more process, which does nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

from benchmarks import common
from benchmarks.machine import gpu, wait_for_quiet, watched
from benchmarks.speed.result import Peak, Profile, SpeedResult, SpeedRow
from benchmarks.speed.rows import PICTURE
from convert.source import open_source
from convert.training.datasets import open_dataset

PRECISIONS = ("fp32", "fp16", "int8")
STEP_SECONDS = 3600


def measure(
    model: Path,
    *,
    command: str,
    detectors: Sequence[Path] = (),
    precisions: Sequence[str] = PRECISIONS,
    calibration: Path | None = None,
    data: str | None = None,
    anchors: Path | None = None,
    threads: Sequence[int] = (),
    rounds: int = 15,
    profile: bool = False,
    wait: bool = False,
) -> SpeedResult:
    """Measure a SavedModel (folder or zip) and detectors of it.

    Without ``detectors`` they are built here, one for each of ``precisions`` on the CPU, and some for each
    other provider of this machine. They are calibrated and compared on pictures of the folder
    ``calibration``, or on the train split of the labelled set ``data``. ``threads``: how many, 1 and all
    cores when empty. ``wait``: first for the load average to fall. Raises SystemExit (2) when the model or a
    detector cannot be opened, and DatasetError when the set cannot.
    """
    wanted = [] if detectors else _wanted(precisions)
    counts = list(dict.fromkeys(threads or (1, common.cores())))
    spec: dict[str, Any] = {
        "model": str(model.absolute()),
        "detectors": [str(path.absolute()) for path in detectors],
        "calibration": str(calibration) if calibration else None,
        "anchors": str(anchors) if anchors else None,
        "rounds": rounds,
        "profile": profile,
        "wanted": wanted,
    }
    with tempfile.TemporaryDirectory(prefix="speed-") as name:
        if data is not None:
            spec["calibration"] = str(train_pictures(data, Path(name)))
        prepared = _step({**spec, "mode": "prepare", "draft": name}, Path(name))
        spec |= {key: prepared[key] for key in ("detectors", "plain", "plain_note")}
        if wait:
            wait_for_quiet()
        with watched() as watch:
            runs = []
            for count in counts:
                print(f"{rounds} rounds with {count} thread(s)", file=sys.stderr, flush=True)
                runs.append(_step({**spec, "mode": "measure", "threads": count}, Path(name)))
        memory = _memory(model, prepared)
    rows = []
    for run, count in zip(runs, counts, strict=True):
        tf_ms = next(row["median_ms"] for row in run["rows"] if row["name"] == "tf")
        rows += [_row(row, tf_ms, memory, prepared["bytes"]) for row in run["rows"]]
        refused = prepared["refused"].items()
        rows += [SpeedRow(name=key, threads=count, error=text) for key, text in refused]
    first = runs[0]
    return SpeedResult(
        command=command,
        machine=watch.machine,
        model=prepared["model"],
        picture=PICTURE,
        rounds=rounds,
        threads=counts,
        rows=rows,
        peak=Peak(**first["peak"]) if profile else None,
        profile={key: Profile(**entry) for key, entry in first.get("profile", {}).items()},
    )


def train_pictures(data: str, draft: Path) -> Path:
    """A folder with links to the train pictures of a labelled set, or to all of one without splits."""
    dataset = open_dataset(data, data=common.data_folder(None), held_out_as_eval=True)
    folder = draft / "train"
    folder.mkdir()
    for picture in dataset.pictures:
        if picture.split != "eval":
            (folder / picture.path.name).symlink_to(picture.path.absolute())
    return folder


def _wanted(precisions: Sequence[str]) -> list[tuple[str, str]]:
    """Precision and target of each detector to build: what ONNX Runtime and this machine can run."""
    here = ort.get_available_providers()
    wanted = [(precision, "cpu") for precision in precisions]
    if "OpenVINOExecutionProvider" in here:
        wanted += [("fp32", "openvino")]
    if gpu() is not None and "CUDAExecutionProvider" in here:
        wanted += [("fp32", "cuda"), ("fp16", "cuda")]
    if gpu() is not None and "TensorrtExecutionProvider" in here:
        wanted += [("fp16", "tensorrt"), ("int8", "tensorrt")]
    return wanted


def _step(spec: dict[str, Any], draft: Path) -> dict[str, Any]:
    """Run benchmarks/speed/_runner.py. Raises SystemExit (2) with what it says when it fails."""
    answer = draft / f"{spec['mode']}.json"
    line = json.dumps({**spec, "answer": str(answer)})
    command = [sys.executable, "-m", "benchmarks.speed._runner", line]
    done = subprocess.run(
        command, cwd=common.ROOT, stderr=subprocess.PIPE, text=True, timeout=STEP_SECONDS, check=False
    )
    if done.returncode != 0:
        raise common.give_up(f"{spec['mode']} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return found


def _memory(model: Path, prepared: dict[str, Any]) -> dict[str, float]:
    """Megabytes by row name, or for detectors by file."""
    ways = [("onnx", prepared["plain"], "plain-tf2onnx")] if prepared["plain"] else []
    ways += [("edge", path, path) for path in prepared["detectors"]]
    with open_source(model) as opened:
        ways.insert(0, ("tf", str(opened.folder), "tf"))
        return {key: _peak_memory(kind, file) for kind, file, key in ways}


def _peak_memory(kind: str, file: str) -> float:
    command = [sys.executable, "-m", "benchmarks.speed._memory_runner", kind, file]
    done = subprocess.run(command, cwd=common.ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise common.give_up(f"{kind} {file}: memory cannot be measured:\n{done.stderr[-2000:]}")
    return round(float(done.stdout.split()[-1]), 1)


def _row(row: dict[str, Any], tf_ms: float, memory: dict[str, float], model_bytes: int) -> SpeedRow:
    middle = row.get("median_ms")
    name = row["name"]
    return SpeedRow(
        name=name,
        threads=row["threads"],
        median_ms=middle,
        p95_ms=row.get("p95_ms"),
        min_ms=row.get("min_ms"),
        images_per_second=None if middle is None else round(1e3 / middle, 2),
        ratio_to_tf=None if middle is None else round(tf_ms / middle, 3),
        cores_used=row.get("cores_used"),
        faces=row.get("faces"),
        rss_megabytes=memory.get(row.get("file") or ("tf" if name == "tf-xla" else name)),
        bytes=model_bytes if name.startswith("tf") else row["bytes"],
        nodes=row["nodes"],
        parity=row["parity"],
        error=row["error"],
        note=row["note"],
    )
