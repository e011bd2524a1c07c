"""A real RTSP camera for tests: GStreamer's RTSP server, in a process of its own.

Run by the system's Python, which has Debian's packages (``PACKAGES``); imports nothing else::

    /usr/bin/python3 tests/rtsp_server.py --port 0 --width 1280 --height 720 --fps 30

prints ``READY rtsp://127.0.0.1:PORT/cam`` once it listens, and serves H.264 over TCP and UDP until it is
ended. Tests import ``RtspServer`` and ``missing`` from here.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import select
import signal
import subprocess
import time
from types import TracebackType

PYTHON = "/usr/bin/python3"
PACKAGES = (
    "python3-gst-1.0 gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good "
    "gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly"
)
START_SECONDS = 30.0
_MODULES = ("GLib", "Gst", "GstRtspServer")

_PROBE = """
import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
names = "videotestsrc x264enc jpegdec clocksync h264parse rtph264pay h265parse rtph265pay".split()
lacking = [name for name in [*names, "rtpbin", "udpsink"] if Gst.ElementFactory.find(name) is None]
raise SystemExit(f"no {lacking}" if lacking else 0)
"""


@functools.cache
def missing() -> str:
    """Why the server cannot run on this machine, with the way out; empty when it can."""
    try:
        probe = subprocess.run(
            [PYTHON, "-c", _PROBE], capture_output=True, text=True, timeout=START_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{PYTHON}: {error}; apt install {PACKAGES}"
    if probe.returncode == 0:
        return ""
    said = (probe.stderr.strip().splitlines() or ["?"])[-1]
    return f"{PYTHON} has no GStreamer RTSP server ({said}); apt install {PACKAGES}"


class RtspServer:
    """One server process. Use it as a context manager; ``url`` stays the same after ``restart``."""

    def __init__(
        self,
        *,
        width: int = 1280,
        height: int = 720,
        fps: int = 30,
        pattern: str = "moving",
        pictures: str = "",
        clock: float = 1.0,
        video: str = "",
        drop: float = 0.0,
        port: int = 0,
    ) -> None:
        """Start it and wait until it listens. Raises RuntimeError when it does not. Its clock runs ``clock``
        times as fast as the world's."""
        self._options = [
            *("--width", str(width), "--height", str(height), "--fps", str(fps), "--pattern", pattern),
            *("--clock", str(clock)),
            *(("--pictures", pictures) if pictures else ()),
            *(("--video", video, "--drop", str(drop)) if video else ()),
        ]
        self._process: subprocess.Popen[str] | None = None
        self.port = port
        self.url = ""
        self.start()

    @property
    def pid(self) -> int:
        """The process id; 0 while it does not run."""
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        """Whether the process is there; it may be paused."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, on the port that it had before if there was one."""
        process = subprocess.Popen(
            [PYTHON, os.path.abspath(__file__), "--port", str(self.port), *self._options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._process = process
        assert process.stdout is not None
        deadline = time.monotonic() + START_SECONDS
        said = ""
        while select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            line = process.stdout.readline()
            if line.startswith("READY "):
                self.url = line.split()[1]
                self.port = int(self.url.split(":")[2].split("/")[0])
                return
            if not line:
                break
            said = line.strip()
        self.kill()
        raise RuntimeError(f"tests/rtsp_server.py did not start: {said or 'no output'}")

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing comes any more."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: what was held back in sockets comes late, then all goes on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, as if the power went; does nothing when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def restart(self) -> None:
        """Kill it and start it again on the same port."""
        self.kill()
        self.start()

    def __enter__(self) -> RtspServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()


def launch_text(options: argparse.Namespace) -> str:
    """The pipeline of the camera, as gst-launch-1.0 takes it."""
    if options.video:
        codec = "h265" if options.video.endswith("h265.mkv") else "h264"
        return (
            f'( filesrc location="{options.video}" ! matroskademux ! {codec}parse '
            f"! identity drop-probability={options.drop} "
            f"! rtp{codec}pay name=pay0 pt=96 config-interval=-1 mtu=600 )"
        )
    size = f"width={options.width},height={options.height},framerate={options.fps}/1"
    if options.pictures:
        # JPEG files by number, again from the start, at the camera's rate
        source = (
            f'multifilesrc location="{options.pictures}" loop=true '
            f'caps="image/jpeg,framerate={options.fps}/1" '
            "! jpegdec ! videoconvert ! videoscale ! clocksync"
        )
    elif options.pattern == "moving":
        # smpte has a corner of noise, so that no two pictures are the same
        source = "videotestsrc is-live=true pattern=smpte horizontal-speed=3"
    else:
        source = f"videotestsrc is-live=true pattern={options.pattern}"
    if options.clock != 1:
        # Presentation times grow by so much less than the pictures' own, and the rate follows
        source += f" ! video/x-raw,{size} ! videorate rate={1 / options.clock}"
    return (
        f"( {source} ! video/x-raw,{size} ! videoconvert ! video/x-raw,format=I420 "
        f"! x264enc tune=zerolatency speed-preset=ultrafast bitrate={options.kbit} key-int-max={options.fps} "
        "! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
    )


def main() -> None:
    """The process that serves."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1; 0: any free one")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--kbit", type=int, default=3000, help="bit rate, 1000 bit/s")
    parser.add_argument("--clock", type=float, default=1.0, help="how fast its clock runs; 1: right")
    parser.add_argument(
        "--pattern", default="moving", help="moving, or a pattern of videotestsrc (black, ...)"
    )
    parser.add_argument(
        "--pictures", default="", help="JPEG files instead, in a loop: FOLDER/%%05d.jpg from 0"
    )
    parser.add_argument("--video", default="", help="a Matroska file instead: NAME.h264.mkv or .h265.mkv")
    parser.add_argument("--drop", type=float, default=0.0, help="share of its pictures that are never sent")
    options = parser.parse_args()

    gi = importlib.import_module("gi")  # not in any virtual environment, so not for mypy either
    gi.require_version("GstRtspServer", "1.0")
    glib, gst, rtsp = (importlib.import_module(f"gi.repository.{name}") for name in _MODULES)
    gst.init(None)
    server = rtsp.RTSPServer.new()
    server.set_address("127.0.0.1")
    server.set_service(str(options.port))
    factory = rtsp.RTSPMediaFactory.new()
    factory.set_launch(launch_text(options))
    factory.set_shared(not options.video)  # a file begins for each viewer
    server.get_mount_points().add_factory("/cam", factory)
    if server.attach(None) == 0:
        raise SystemExit(f"port {options.port} cannot be listened on")
    print(f"READY rtsp://127.0.0.1:{server.get_bound_port()}/cam", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    glib.MainLoop().run()


if __name__ == "__main__":
    main()
