"""``edge run`` as a process of its own, for attacks from outside."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.detection.rescan import find_faces
from edge.store import log_format

CLOSED = ("EDGE_", "ORT_", "XDG_")
MANY = 16
STORED_NAME = re.compile(r"images/[a-z]+/\d{4}-\d\d-\d\d/\d{8}T\d{6}\.\d{3}Z-\d+\.jpg")
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR) ")


def bare_environment(home: Path, **extra: str) -> dict[str, str]:
    """What a process gets whose user has set nothing: a home folder, and no ``CI``, which would keep ONNX
    Runtime quiet. ``home`` is made; temporary files go there too."""
    home.mkdir(parents=True, exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(CLOSED) and k != "CI"}
    # Python's own compiled files would be the only thing written beside the sources
    own = {"HOME": str(home), "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}
    return {**kept, **own, "COLUMNS": "200", **extra}


def run_bare(
    command: Sequence[str], folder: Path, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in such an environment; its home is ``folder/home``, and it works in ``cwd``
    or else in ``folder``."""
    return subprocess.run(
        command,
        cwd=cwd or folder,
        env=bare_environment(folder / "home"),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def write_config(folder: Path, cameras: Mapping[str, tuple[Path, str]], extra: str = "") -> Path:
    """Write ``folder/edge.toml``. Each camera has a source and further lines; images go to ``folder/images``.

    ``extra`` comes last, behind the section ``[detector]``.
    """
    sections = [f'[cameras.{name}]\nsource = "{source}"\n{more}' for name, (source, more) in cameras.items()]
    path = folder / "edge.toml"
    path.write_text(
        "\n".join(sections) + f'\n[store]\nfolder = "{folder / "images"}"\n[status]\nport = 0\n'
        f'[detector]\nprovider = "cpu"\nthreads = 1\n{extra}\n'
    )
    return path


def stored(folder: Path) -> list[Path]:
    """All files in the store but the product's own records."""
    found = folder / "images"
    return sorted(path for path in found.rglob("*") if path.is_file() and log_format.FOLDER not in path.parts)


def check_store(folder: Path) -> list[Path]:
    """Whatever is stored has the store's own kind of name and shows no face. Returns the images."""
    images = stored(folder)
    assert all(STORED_NAME.fullmatch(str(path.relative_to(folder))) for path in images)
    check_faces(images)
    return images


def check_faces(images: Sequence[Path]) -> None:
    """No face is found. The look is dear, so equal images are looked at once, and of many every third."""
    different = list({path.read_bytes(): path for path in images}.values())
    assert find_faces(different if len(different) <= MANY else different[::3]) == []


def check_log(log: str) -> None:
    """No name of a file wrote a line of its own, or a control character."""
    *lines, last = log.split("\n")
    assert lines
    assert last == ""
    for line in lines:
        assert LOG_LINE.match(line), ascii(line)
        assert line.isprintable(), ascii(line)


@dataclass
class Daemon:
    """A daemon that runs; ``log`` is what it wrote to stderr."""

    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def wait_for(self, condition: Callable[[], object], seconds: float = 90) -> None:
        """Wait until something is so; fails when the daemon ends before, or after a long time."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def cameras(self) -> dict[str, dict[str, Any]]:
        """The cameras of ``/status`` by name; none before the endpoint listens."""
        address = re.search(r"status endpoint: (http://\S+)", self.log)
        if address is None:
            return {}
        with urllib.request.urlopen(f"{address[1]}/status", timeout=30) as answer:
            return {camera["name"]: camera for camera in json.load(answer)["cameras"]}

    def has_dealt_with(self, camera: str, count: int) -> bool:
        """Whether so many pictures of a camera were stored or dropped."""
        found = self.cameras().get(camera)
        return found is not None and found["written"] + sum(found["dropped"].values()) >= count

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        self.process.terminate()
        return self.process.wait(60)


@contextmanager
def running(
    script: str, config: Path, *, log_file: Path, env: Mapping[str, str], prefix: Sequence[str] = ()
) -> Iterator[Daemon]:
    """Start the daemon in its configuration's folder; kill it at the end if it still runs.

    ``prefix`` is a command that ends in replacing itself, such as ``setpriv``, so that the process id is the
    daemon's.
    """
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [*prefix, script, "run", "--config", str(config)],
            cwd=config.parent,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield Daemon(process, log_file)
    finally:
        process.kill()
        process.wait()
