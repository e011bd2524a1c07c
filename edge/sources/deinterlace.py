"""Pictures of interlaced video: the two halves of a frame are 1/50 or 1/60 s apart, so what moves is a comb,
in which no detector sees a face."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from av.filter import Graph


class Deinterlacer:
    """Makes one whole picture of each interlaced frame of one stream, with FFmpeg's filter bwdif ("Bob Weaver
    Deinterlacing Filter"). Frames that are not interlaced pass as they are, before the first that is."""

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base
        self._graph: Any = None

    def push(self, frame: Any) -> list[tuple[Any, int | None]]:
        """The pictures that come with an ``av.VideoFrame``, each with its time in units of the time base, or
        None where the frame has none. The filter looks ahead by one frame."""
        if self._graph is None:
            if not frame.interlaced_frame:
                return [(frame, frame.pts)]
            self._graph = Graph()
            source = self._graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=self._time_base
            )
            filtered = self._graph.add("bwdif", "mode=send_frame:deint=interlaced")
            self._graph.link_nodes(source, filtered, self._graph.add("buffersink")).configure()
        frame.time_base = self._time_base
        self._graph.vpush(frame)
        return self._pulled()

    def rest(self) -> list[tuple[Any, int | None]]:
        """The last picture."""
        if self._graph is None:
            return []
        self._graph.vpush(None)
        return self._pulled()

    def _pulled(self) -> list[tuple[Any, int | None]]:
        pictures: list[tuple[Any, int | None]] = []
        while True:
            try:
                picture = self._graph.vpull()
            except (BlockingIOError, EOFError):
                return pictures
            # The filter halves the unit, for those who want a picture of each half
            time = None if picture.pts is None else round(picture.pts * picture.time_base / self._time_base)
            pictures.append((picture, time))
