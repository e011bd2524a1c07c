"""What a camera may deliver in the place of a picture, and the ways in which it breaks."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge.errors import SourceError
from edge.frames import RawFrame
from tests.privacy.faults import HEIGHT, WIDTH
from tests.raw_frames import raw_frame


def grey_of(shape: tuple[int, ...], kind: type = np.uint8) -> np.ndarray[Any, Any]:
    return np.full(shape, 90, kind)


USELESS: dict[str, object] = {
    "nothing": None,
    "floats": grey_of((HEIGHT, WIDTH, 3), np.float32),
    "16 bits": grey_of((HEIGHT, WIDTH, 3), np.uint16),
    "objects": grey_of((HEIGHT, WIDTH, 3), object),
    "grey": grey_of((HEIGHT, WIDTH)),
    "one channel": grey_of((HEIGHT, WIDTH, 1)),
    "two channels": grey_of((HEIGHT, WIDTH, 2)),
    "four channels": grey_of((HEIGHT, WIDTH, 4)),
    "a video": grey_of((2, HEIGHT, WIDTH, 3)),
    "a number": grey_of(()),
    "no pixel": grey_of((0, 0, 3)),
    "no column": grey_of((HEIGHT, 0, 3)),
}
WRONG_SIZE: dict[str, object] = {
    "17x17": grey_of((17, 17, 3)),
    "one row": grey_of((1, WIDTH, 3)),
    "one column": grey_of((2000, 16, 3)),
    "8000x6000": grey_of((6000, 8000, 3)),
    "a ribbon": grey_of((50, 1001, 3)),
}


def bad_frame() -> RawFrame:
    return raw_frame(grey_of((HEIGHT, WIDTH, 3), np.float32))


BREAKS: dict[str, object] = {
    "SourceError": SourceError("the stream broke off"),
    "RuntimeError": RuntimeError("bug"),
    "MemoryError": MemoryError(),
    "OSError": OSError(19, "No such device"),
    "StopIteration": StopIteration(),
    "a frame of floats": bad_frame,
    "text": "no picture at all",
}
