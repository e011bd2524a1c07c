"""Make docs/status.png: the page of a real appliance, with one synthetic camera and one that is down.

python -m tests.status_screenshot docs/status.png [--width 1000] [--dark] [--preview]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
from pathlib import Path
from time import monotonic, sleep

from edge.config import CameraConfig, make_config
from edge.daemon.appliance import Appliance
from edge.sources import make_source
from edge.sources.synthetic import SyntheticSource
from tests.chromium import chromium, find_chromium

IMAGES, LONGEST_SECONDS = 20, 60.0
"""The picture is taken when this many images have been stored, or after this time."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("path", type=Path)
    options.add_argument("--width", type=int, default=1000)
    options.add_argument("--dark", action="store_true")
    options.add_argument("--preview", action="store_true")
    chosen = options.parse_args()
    program = find_chromium()
    if program is None:
        raise SystemExit("no Chromium is installed")
    with tempfile.TemporaryDirectory() as folder:
        path = chosen.path.resolve()
        path.write_bytes(take(program, Path(folder), chosen))


def take(program: str, folder: Path, chosen: argparse.Namespace) -> bytes:
    os.chdir(folder)  # the page shows the store's folder as it is configured
    config = make_config(
        {
            "store": {"folder": "images", "interval_seconds": 0.5},
            "status": {"port": 0, "preview": chosen.preview},
            "detector": {"provider": "cpu"},
        },
        "screenshot",
    )
    stop = threading.Event()
    unreachable = CameraConfig(source="rtsp://127.0.0.1:9/yard", open_timeout_seconds=1)
    sources = [SyntheticSource("entrance", 600, stop), make_source("yard", unreachable, stop)]
    ended = threading.Event()
    with chromium(program, folder / "profile") as new_page, Appliance(config, sources, stop) as appliance:

        def tick() -> None:
            while not ended.is_set():
                appliance.pipeline.tick(0.1)

        thread = threading.Thread(target=tick)
        thread.start()
        try:
            deadline = monotonic() + LONGEST_SECONDS
            while (
                appliance.pipeline.metrics.count("images_written", "entrance") < IMAGES
                and monotonic() < deadline
            ):
                sleep(0.2)
            page = new_page()
            page.show_as(chosen.width, 700, "dark" if chosen.dark else "light")
            page.open(appliance.address)
            page.wait("document.querySelector('#cameras .bad')")
            if chosen.preview:
                page.wait("document.querySelector('#pictures img')?.naturalWidth")
            return bytes(page.screenshot())
        finally:
            ended.set()
            thread.join()


if __name__ == "__main__":
    main()
