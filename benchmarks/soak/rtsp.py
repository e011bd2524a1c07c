"""An RTSP camera that shows pictures which another process draws: GStreamer's RTSP server.

Run by the system's Python, which has Debian's packages (tests/rtsp_server.py says which); imports nothing
else. ``FILE`` begins with a 64-byte head, of which the first 8 bytes are the number of the newest picture
(little endian, 0: none yet), and goes on with ``SLOTS`` pictures of I420; picture N lies in slot N modulo
``SLOTS``. The newest one is sent at the camera's rate, whether it is new or not, as a sensor does::

    /usr/bin/python3 benchmarks/soak/rtsp.py FILE --width 1280 --height 720 --fps 10

prints ``READY PORT`` once it listens on 127.0.0.1, path ``/cam``.
"""

from __future__ import annotations

import argparse
import importlib
import mmap
import struct
import threading
import time
from typing import Any

HEAD_BYTES, SLOTS = 64, 4


class Newest:
    """Reads the newest whole picture of the file."""

    def __init__(self, path: str, size: int) -> None:
        self._size = size
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), HEAD_BYTES + SLOTS * size, prot=mmap.PROT_READ)

    def number(self) -> int:
        return int(struct.unpack_from("<Q", self._map)[0])

    def read(self) -> bytes | None:
        """The newest picture, or None before the first."""
        while number := self.number():
            begin = HEAD_BYTES + number % SLOTS * self._size
            data = self._map[begin : begin + self._size]
            # This process may have been stopped in the middle of the copy.
            if self.number() - number < SLOTS - 1:
                return data
        return None


def push(appsrc: Any, newest: Newest, fps: int, gst: Any) -> None:
    """Send the newest picture at the camera's rate until the stream ends."""
    due = time.monotonic()
    while True:
        data = newest.read()
        if data is not None:
            flow = appsrc.emit("push-buffer", gst.Buffer.new_wrapped(data))
            if flow != gst.FlowReturn.OK:
                return
        due = max(due + 1 / fps, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


def main() -> None:
    """The process that serves."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--height", type=int, required=True)
    parser.add_argument("--fps", type=int, required=True)
    parser.add_argument("--kbit", type=int, default=2500, help="bit rate, 1000 bit/s")
    options = parser.parse_args()

    gi = importlib.import_module("gi")  # not in any virtual environment, so not for mypy either
    gi.require_version("GstRtspServer", "1.0")
    glib, gst, rtsp = (
        importlib.import_module(f"gi.repository.{name}") for name in ("GLib", "Gst", "GstRtspServer")
    )
    gst.init(None)
    newest = Newest(options.file, options.width * options.height * 3 // 2)
    factory = rtsp.RTSPMediaFactory.new()
    factory.set_launch(
        "( appsrc name=camera is-live=true format=time do-timestamp=true caps=video/x-raw,format=I420,"
        f"width={options.width},height={options.height},framerate={options.fps}/1 "
        "! x264enc tune=zerolatency speed-preset=ultrafast threads=1 "
        f"bitrate={options.kbit} key-int-max={options.fps} "
        "! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
    )
    factory.set_shared(True)

    def configure(_factory: Any, media: Any) -> None:
        appsrc = media.get_element().get_by_name("camera")
        threading.Thread(target=push, args=(appsrc, newest, options.fps, gst), daemon=True).start()

    factory.connect("media-configure", configure)
    server = rtsp.RTSPServer.new()
    server.set_address("127.0.0.1")
    server.set_service("0")
    server.get_mount_points().add_factory("/cam", factory)
    if server.attach(None) == 0:
        raise SystemExit("no port can be listened on")
    print(f"READY {server.get_bound_port()}", flush=True)
    glib.MainLoop().run()


if __name__ == "__main__":
    main()
