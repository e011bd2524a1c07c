"""The appliance: capture, detect, blur in memory, and store anonymized images only.

Libraries read the environment while they are imported, so the variables are set here, before any
module of this package can import them:

* ONNX Runtime 1.29 and later sends telemetry unless ``ORT_DISABLE_TELEMETRY=1``.
* OpenCV decodes pictures of up to 2**30 pixels unless ``OPENCV_IO_MAX_IMAGE_PIXELS`` says less; a
  48 KB file can then take gigabytes of memory.
* OpenCV and its FFmpeg print to standard error by themselves, where a camera's address and password
  could end up. What went wrong is in our own messages; set the variables to see theirs too.
"""

import os

MAX_PICTURE_PIXELS = 120_000_000
"""Largest picture that is decoded, in pixels (width x height)."""

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(MAX_PICTURE_PIXELS)
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

__version__ = "0.1.0"
