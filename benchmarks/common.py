"""What the benchmarks share: machine, results, tables, test data and environments for other tools."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import edge  # first of all: it switches telemetry off, also for the processes started from here

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
JSON_COLUMNS = 110
DEFACE = ("deface==1.5.0", "onnx>=1.17,<2", "onnxruntime>=1.19,<2")
"""Packages of deface's environment."""
PACKAGES = ("numpy", "onnxruntime", "onnxruntime-gpu", "opencv-python-headless", "opencv-python")


def begin(benchmark: str) -> dict[str, Any]:
    """Begin a result: what runs, on which machine, and the load average before the work."""
    return {
        "benchmark": benchmark,
        "machine": {
            "cpu": cpu_model(),
            "cores": cores(),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "packages": {"edge-anonymizer": edge.__version__, **versions(PACKAGES)},
            "load_begin": load(),
        },
    }


def finish(result: dict[str, Any], file: Path | None) -> None:
    """Add the load average after the work, and write the result as JSON where ``file`` is given."""
    result["machine"]["load_end"] = load()
    if file is not None:
        write_json(file, result)


def write_json(file: Path, result: Any) -> None:
    """Write a result as ``as_json`` gives it; makes the folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(as_json(result) + "\n", encoding="utf-8")


def as_json(value: Any, indent: int = 0) -> str:
    """JSON that people can compare line by line: what fits on a line is on one line, such as a table's row.

    >>> print(as_json({"rows": [{"way": "a" * 40, "ms": 1.0}, {"way": "b" * 40, "ms": 2.0}]}))
    {
     "rows": [
      {"way": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ms": 1.0},
      {"way": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "ms": 2.0}
     ]
    }
    """
    line = json.dumps(value, ensure_ascii=False)
    if not value or not isinstance(value, (dict, list)) or indent + len(line) <= JSON_COLUMNS:
        return line
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        parts = [
            f"{json.dumps(key, ensure_ascii=False)}: {as_json(part, indent + 1)}"
            for key, part in value.items()
        ]
    else:
        parts = [as_json(part, indent + 1) for part in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return opening + "\n" + ",\n".join(pad + part for part in parts) + "\n" + " " * indent + closing


def machine_line(result: dict[str, Any]) -> str:
    """One line for people: processor, versions, load."""
    machine = result["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    loads = f"{machine['load_begin'][0]} -> {load()[0]}"
    return f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, {packages}, load {loads}"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table.

    >>> print(table(["a", "b"], [[1, 2]]))
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def data_folder(given: Path | None) -> Path | None:
    """The folder of test data: ``given``, or else the one beside the checkout; None where it is absent."""
    folder = given if given is not None else ROOT.parent / "shared" / "data"
    return folder if folder.is_dir() else None


def give_up(message: str) -> SystemExit:
    """Print why nothing can be measured; raise what this returns (exit code 2)."""
    print(message, file=sys.stderr)
    return SystemExit(2)


def environment(folder: Path, requirements: Sequence[str]) -> Path:
    """Make a virtual environment with these packages, or reuse it; return its Python.

    Other tools live in environments of their own, because their packages exclude ours (deface brings
    another OpenCV, MTCNN brings TensorFlow). Raises SystemExit (2) when pip fails.
    """
    python = folder / "bin" / "python"
    stamp = folder / "requirements.txt"
    wanted = "\n".join(requirements) + "\n"
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print(f"making {folder} with {' '.join(requirements)}", file=sys.stderr)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
    for command in ([sys.executable, "-m", "venv", "--clear", str(folder)], install):
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
            raise give_up(f"{folder}: this failed: {' '.join(command[1:])}")
    stamp.write_text(wanted, encoding="utf-8")
    return python


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of those packages that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cpu_model() -> str:
    """The processor's model name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> list[float]:
    """Load averages over 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]
