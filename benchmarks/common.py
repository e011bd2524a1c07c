"""What the benchmarks share: the machine, results, tables, data and environments of other tools."""

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
PACKAGES = ("numpy", "onnxruntime", "onnxruntime-gpu", "opencv-python-headless", "opencv-python")


def begin(benchmark: str) -> dict[str, Any]:
    """Start a result: what ran and on what machine, with the load average before the work."""
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
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


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
    """The folder of test data: the given one, else the one beside the checkout; None when absent."""
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
    """What the processor calls itself."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> list[float]:
    """Load averages over 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]
