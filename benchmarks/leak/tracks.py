"""Boxes of single frames, linked over time into tracks that stand in for the truth.

Two detectors run on each frame. A hit is *sure* from the score at which its own detector calls it a
face, and weak below. A hit continues the track whose next place, at constant velocity, is
nearest (greedy; by distance, because a face that passes the camera moves by more than half of its width per
frame, so that its boxes hardly overlap). A weak hit continues or begins a track like a sure one, but only
sure hits make a track count. Short gaps are filled by linear interpolation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge import boxes as geometry
from edge.boxes import Floats, Ints

SAME_OVERLAP = 0.5
"""Two hits in one frame are the same face when this share of the smaller box lies in the other."""
MAX_STEP, MAX_RATIO = 1.0, 2.0
"""Farthest that a hit is from the expected place, centre to centre, in longer sides of the track's last box;
and largest ratio of their longer sides."""
MAX_GAP_SECONDS = 0.5
"""Longest gap in a track. A head that is turned away for longer ends it."""
MIN_SURE_HITS = 3
"""A track with fewer sure hits does not count: false alarms are short."""


@dataclass(frozen=True, eq=False)
class Hit:
    """``box`` is float32 ``[4]``, ``x1 y1 x2 y2`` in pixels of the frame; ``seen_by`` says by which detector:
    ``m`` MTCNN, ``c`` CenterFace, ``b`` both."""

    box: Floats
    sure: bool
    seen_by: str


@dataclass(frozen=True, eq=False)
class Track:
    """One face over time: ``boxes`` int64 ``[N, 4]`` in the frames ``first``, ``first + 1``, ...

    ``seen_by`` has one letter per frame: that of the hit, or ``.`` where the box is interpolated.
    """

    first: int
    boxes: Ints
    seen_by: str

    @property
    def name(self) -> str:
        """First frame and corner: identifies the track across runs."""
        return "-".join(map(str, [self.first, *self.boxes[0, :2].tolist()]))


@dataclass(eq=False)
class _Chain:
    numbers: list[int] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)

    def expected(self, number: int) -> Floats:
        """The last box, moved as from the one before it."""
        last = self.hits[-1].box
        if len(self.hits) < 2:
            return last
        before = self.hits[-2].box
        moved = (last[:2] + last[2:] - before[:2] - before[2:]) / 2 / (self.numbers[-1] - self.numbers[-2])
        return np.asarray(last + np.tile(moved, 2) * (number - self.numbers[-1]), np.float32)


def merge(
    mtcnn: Floats, centerface: Floats, sure_scores: tuple[float, float], width: int, height: int
) -> list[Hit]:
    """Hits of one frame, each face once.

    Both arrays are float32 ``[N, 5]`` (``x1 y1 x2 y2 score``, pixels of the frame); ``sure_scores`` says
    from which score a hit of the first and of the second is sure. Where both see a face, the box is the
    mean of the two. Boxes are cut to the frame.
    """
    first, second = _once(mtcnn), _once(centerface)
    same = _overlap(first, second) >= SAME_OVERLAP
    sure_first, sure_second = first[:, 4] >= sure_scores[0], second[:, 4] >= sure_scores[1]
    rows = []
    for row, sure, twins in zip(first, sure_first, same, strict=True):
        both = bool(twins.any())
        box = (row[:4] + second[twins.argmax(), :4]) / 2 if both else row[:4]
        rows.append((box, bool(sure or (twins & sure_second).any()), "b" if both else "m"))
    alone = ~same.any(axis=0)
    rows += [(row[:4], bool(sure), "c") for row, sure in zip(second[alone], sure_second[alone], strict=True)]
    cut = [(geometry.clip(box[None], width, height)[0], sure, by) for box, sure, by in rows]
    return [Hit(box, sure, by) for box, sure, by in cut if (box[2:] - box[:2]).min() >= 1]


def _overlap(first: Floats, second: Floats) -> Floats:
    """Share of the smaller box of each pair that lies in the other, ``[N, M]``."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:4], second[None, :, 2:4])
    common = np.clip(high - low, 0, None).prod(axis=2)
    smaller = np.minimum(geometry.area(first[:, :4])[:, None], geometry.area(second[:, :4])[None])
    return np.asarray(common / np.maximum(smaller, 1e-9), np.float32)


def _once(hits: Floats) -> Floats:
    """The best hit of each face: MTCNN sometimes reports a face twice."""
    kept: list[int] = []
    for index in np.argsort(-hits[:, 4], kind="stable").tolist():
        if not (_overlap(hits[[index]], hits[kept]) >= SAME_OVERLAP).any():
            kept.append(index)
    return hits[kept]


def link(frames: Iterable[Sequence[Hit]], rate_fps: float) -> list[Track]:
    """Tracks of a clip, from the hits of its frames in order; those that count, by first frame."""
    max_gap = round(MAX_GAP_SECONDS * rate_fps)
    chains: list[_Chain] = []
    for number, hits in enumerate(frames):
        live = [chain for chain in chains if number - chain.numbers[-1] - 1 <= max_gap]
        owners = _owners([chain.expected(number) for chain in live], [hit.box for hit in hits])
        for index, hit in enumerate(hits):
            if index in owners:
                chain = live[owners[index]]
            else:
                chain = _Chain()
                chains.append(chain)
            chain.numbers.append(number)
            chain.hits.append(hit)
    return [_filled(chain) for chain in chains if sum(hit.sure for hit in chain.hits) >= MIN_SURE_HITS]


def _owners(expected: list[Floats], boxes: list[Floats]) -> dict[int, int]:
    """For each hit the track that it continues, nearest first, one to one."""
    if not expected or not boxes:
        return {}
    new, old = np.stack(boxes)[:, None], np.stack(expected)[None]
    sides = [np.maximum(b[..., 2] - b[..., 0], b[..., 3] - b[..., 1]) for b in (new, old)]
    centres = [(b[..., :2] + b[..., 2:]) / 2 for b in (new, old)]
    step = np.linalg.norm(centres[0] - centres[1], axis=2) / sides[1]
    ratio = np.maximum(sides[0] / sides[1], sides[1] / sides[0])
    step[ratio > MAX_RATIO] = np.inf
    owners: dict[int, int] = {}
    for flat in np.argsort(step, axis=None, kind="stable").tolist():
        hit, track = divmod(flat, len(expected))
        if step[hit, track] > MAX_STEP:
            break
        if hit not in owners and track not in owners.values():
            owners[hit] = track
    return owners


def _filled(chain: _Chain) -> Track:
    """Every frame from the first hit to the last, gaps interpolated, in whole pixels."""
    first, last = chain.numbers[0], chain.numbers[-1]
    known = np.stack([hit.box for hit in chain.hits])
    wanted = np.arange(first, last + 1)
    edges = [np.interp(wanted, chain.numbers, known[:, edge]) for edge in range(4)]
    letters = dict(zip(chain.numbers, (hit.seen_by for hit in chain.hits), strict=True))
    seen_by = "".join(letters.get(int(number), ".") for number in wanted)
    return Track(first, np.rint(np.stack(edges, axis=1)).astype(np.int64), seen_by)
