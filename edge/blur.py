"""Cover regions of a frame: this makes the anonymized frames, the only ones that may be stored.

``infill`` paints each region from a smooth surface fitted to the pixels around all regions: "pull-push"
interpolation (Gortler et al. 1996, "The Lumigraph", section 3.4), on a grid of 8x8-pixel cells. A cell that a
region touches is left out, so the result does not depend on any pixel inside a region: two different faces
under the same region give the same bytes. ``solid`` trivially has that property.

``gaussian`` and ``mosaic`` are computed from the face itself, and people can be recognised from what is left.
The configuration refuses them unless ``privacy.allow_reidentifiable`` is set.

The margins around a face, and their defaults, are settings: edge/config/blur.py. What further detectors find
may be covered with ``BOX_MARGIN`` instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from edge import boxes as geometry
from edge.boxes import Floats, Ints
from edge.config import BlurConfig
from edge.config.detectors import BoxRegion
from edge.detection.kinds import Kind
from edge.frames import _SEAL, AnonymizedFrame, Pixels, RawFrame

CELL = 8
"""Side of the cells that ``infill`` works on, in pixels."""
RING_CELLS = 8
"""Width of the ring around each region from which ``infill`` takes colours, in cells."""
SATURATION = 8
"""Largest factor by which the weight of a coarse cell is raised towards 1."""
BOX_MARGIN = 0.1
"""How far each edge of a box moves outward whose region is ``box``, as a share of the box's side."""
SMALL_SIGMA = 4.0
"""``gaussian`` shrinks a region until sigma is about this, in pixels."""
GREY = 128
"""Grey level of zones, of frames covered whole, and of ``infill`` where no pixel is outside the regions."""

Zones = tuple[tuple[tuple[float, float], ...], ...]
"""Polygons, each a sequence of corners ``x, y`` as shares of the frame's width and height."""


def anonymize(
    frame: RawFrame,
    boxes: Floats,
    config: BlurConfig,
    zones: Zones = (),
    *,
    kinds: Sequence[Kind] = (),
    in_place: bool = False,
) -> AnonymizedFrame:
    """Cover the regions of ``boxes`` (float32 ``[N, 4]``, ``x1 y1 x2 y2``, pixels of the frame), and
    ``zones``, whatever they show. ``kinds`` says what each box is; empty: all are faces.

    Zones are painted first, in one colour, so that no fill is computed from what they hide. ``in_place``
    overwrites the frame's own pixels and saves a copy; use it only when the frame is not needed any more.
    Raises ValueError when a box is not finite, the number of kinds is not that of the boxes, or the fill or
    region is unknown.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
        raise ValueError(f"boxes must be finite and of shape [N, 4], got {list(boxes.shape)}")
    regions, labels = _regions_by_kind(boxes, kinds, frame, config)
    pixels = frame.pixels if in_place or frame.packed else frame.pixels.copy()
    _cover_zones(pixels, zones)
    if len(regions):
        if config.fill == "infill":
            _infill(pixels, regions)
        elif config.fill == "solid":
            _solid(pixels, regions, config.solid_rgb)
        elif config.fill == "gaussian":
            _gaussian(pixels, regions, config.gaussian_sigma)
        elif config.fill == "mosaic":
            _mosaic(pixels, regions, config.mosaic_cells)
        else:
            raise ValueError(f"unknown fill {config.fill!r}")
    covered = _covered_share(regions, zones, frame.width, frame.height)
    return AnonymizedFrame(frame, pixels, regions, covered, whole=False, seal=_SEAL, labels=labels)


def cover_whole(frame: RawFrame) -> AnonymizedFrame:
    """Cover the whole frame: nothing but its size is left."""
    none = np.zeros((0, 4), np.int64)
    grey = np.full((frame.height, frame.width, 3), GREY, np.uint8)
    return AnonymizedFrame(frame, grey, none, 1.0, whole=True, seal=_SEAL)


def _regions_by_kind(
    boxes: Floats, kinds: Sequence[Kind], frame: RawFrame, config: BlurConfig
) -> tuple[Ints, tuple[str, ...]]:
    """The regions of all boxes, one kind after the other, and the label of each region; no labels without
    kinds."""
    if not kinds:
        return regions_of(boxes, frame.width, frame.height, config), ()
    if len(kinds) != len(boxes):
        raise ValueError(f"{len(boxes)} boxes, but {len(kinds)} kinds")
    parts: list[Ints] = []
    labels: list[str] = []
    for kind in dict.fromkeys(kinds):
        own = boxes[[each == kind for each in kinds]]
        parts.append(regions_of(own, frame.width, frame.height, config, kind.region))
        labels += [kind.label] * len(parts[-1])
    return np.concatenate(parts), tuple(labels)


def regions_of(
    boxes: Floats, width: int, height: int, config: BlurConfig, region: BoxRegion = "head"
) -> Ints:
    """Regions of boxes: grown by the margins, or cut to their upper part, in whole pixels. With ``region``
    box they are grown by ``BOX_MARGIN``, whatever the configuration says.

    Takes float32 ``[N, 4]`` and returns int64 ``[M, 4]`` (both ``x1 y1 x2 y2``, pixels of the frame); boxes
    outside the frame have no region. Raises ValueError when a box is too large, or the region is unknown.
    """
    if region == "box":
        grown = geometry.grow(boxes, BOX_MARGIN, BOX_MARGIN, BOX_MARGIN)
    elif config.region == "head":
        grown = geometry.grow(boxes, config.margin_sides, config.margin_top, config.margin_bottom)
    elif config.region == "top":
        grown = boxes.copy()
        grown[:, 3] = boxes[:, 1] + config.top_fraction * (boxes[:, 3] - boxes[:, 1])
    else:
        raise ValueError(f"unknown region {config.region!r}")
    if np.isnan(grown).any():  # infinity times a margin of 0: the box would cover nothing
        raise ValueError("a box is too large for float32")
    return geometry.to_pixels(grown, width, height)


def _cover_zones(pixels: Pixels, zones: Zones) -> None:
    if zones:
        mask = _zone_mask(zones, pixels.shape[1], pixels.shape[0])
        # This takes a fiftieth of the time of pixels[mask] = GREY.
        pixels[:] = cv2.copyTo(np.full_like(pixels, GREY), mask, pixels)


@lru_cache(maxsize=64)
def _zone_mask(zones: Zones, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Pixels to cover, uint8 ``[H, W]``, 1 or 0: those whose centre an outline winds around at least once
    (the nonzero winding rule), so that the middle of a zone that crosses itself is covered too."""
    y, x = np.ogrid[0:height, 0:width]
    mask = np.zeros((height, width), np.uint8)
    for zone in zones:
        corners = np.array(zone) * [width, height]
        turns = np.zeros((height, width), np.int16)
        for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            side = (x2 - x1) * (y + 0.5 - y1) - (x + 0.5 - x1) * (y2 - y1)
            turns += (y1 <= y + 0.5) & (y2 > y + 0.5) & (side > 0)
            turns -= (y2 <= y + 0.5) & (y1 > y + 0.5) & (side < 0)
        mask[turns != 0] = 1
        # The outline too, so that a pixel that the polygon only touches is covered.
        cv2.polylines(mask, [np.floor(corners).astype(np.int32)], True, 1, 3)
    return mask


def _covered_share(regions: Ints, zones: Zones, width: int, height: int) -> float:
    """Share of the 8x8 cells that a region or zone touches, 0..1."""
    mask = np.zeros((-(-height // CELL), -(-width // CELL)), np.uint8)
    if zones:
        mask |= _zone_cells(zones, width, height)
    for x1, y1, x2, y2 in regions.tolist():
        mask[y1 // CELL : -(-y2 // CELL), x1 // CELL : -(-x2 // CELL)] = 1
    return cv2.countNonZero(mask) / mask.size


@lru_cache(maxsize=64)
def _zone_cells(zones: Zones, width: int, height: int) -> npt.NDArray[np.uint8]:
    padded = np.zeros((-(-height // CELL) * CELL, -(-width // CELL) * CELL), np.uint8)
    padded[:height, :width] = _zone_mask(zones, width, height)
    cells = padded.reshape(padded.shape[0] // CELL, CELL, padded.shape[1] // CELL, CELL)
    return np.asarray(cells.max(axis=(1, 3)), np.uint8)


def _solid(pixels: Pixels, regions: Ints, rgb: tuple[int, int, int]) -> None:
    red, green, blue = rgb
    for x1, y1, x2, y2 in regions.tolist():
        cv2.rectangle(pixels, (x1, y1), (x2 - 1, y2 - 1), (blue, green, red), cv2.FILLED)


def _infill(pixels: Pixels, regions: Ints) -> None:
    rows, columns = pixels.shape[0] // CELL, pixels.shape[1] // CELL
    # First and last cell that each region touches. The rest of the frame that makes no whole cell is
    # not sampled; a region in it belongs to the cell next to it.
    limit = [columns - 1, rows - 1]
    first = np.minimum(regions[:, :2] // CELL, limit)
    last = np.minimum((regions[:, 2:] - 1) // CELL, limit)
    # Work on the part of the frame that holds all regions and the ring around them.
    left, top = np.maximum(first.min(axis=0) - RING_CELLS, 0).tolist()
    right, bottom = np.minimum(last.max(axis=0) + 1 + RING_CELLS, [columns, rows]).tolist()
    spans = np.concatenate([first, last + 1], axis=1) - [left, top, left, top]

    known = np.ones((bottom - top, right - left), np.float32)
    for c1, r1, c2, r2 in spans.tolist():
        known[r1:r2, c1:c2] = 0
    # With an integer factor, only pixels of the cell itself are averaged; every fourth row is enough.
    window = pixels[top * CELL : bottom * CELL : 4, left * CELL : right * CELL]
    means = cv2.resize(window, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    surface = cv2.convertScaleAbs(_pull_push(np.asarray(means, np.uint8), known))

    padded = cv2.copyMakeBorder(surface, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    corners = regions - np.array([left, top, left, top]) * CELL
    for (c1, r1, c2, r2), (x1, y1, x2, y2), (fx1, fy1, fx2, fy2) in zip(
        spans.tolist(), corners.tolist(), regions.tolist(), strict=True
    ):
        # One cell of context on each side, which also covers the rest behind the last cell.
        patch = padded[r1 : r2 + 2, c1 : c2 + 2]
        size = (patch.shape[1] * CELL, patch.shape[0] * CELL)
        large = cv2.resize(patch, size, interpolation=cv2.INTER_LINEAR)
        x, y = x1 - (c1 - 1) * CELL, y1 - (r1 - 1) * CELL
        pixels[fy1:fy2, fx1:fx2] = large[y : y + y2 - y1, x : x + x2 - x1]


def _pull_push(means: Pixels, known: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Fill unknown cells smoothly.

    ``means`` is uint8 ``[R, C, 3]`` BGR; ``known`` float32 ``[R, C]`` is 1 where a cell may be used and 0
    where it may not. Returns float32 ``[R, C, 3]`` BGR.
    """
    # One plane of weights per colour: whole-array arithmetic is several times faster than broadcasting
    # over the last axis.
    weight = np.asarray(cv2.merge([known, known, known]), np.float32)
    values = means.astype(np.float32)
    values *= weight
    levels = [(values, weight)]
    while max(values.shape[:2]) > 1:  # pull: weighted colours and weights on ever coarser grids
        values = np.asarray(cv2.pyrDown(values), np.float32)
        weight = np.asarray(cv2.pyrDown(weight), np.float32)
        # A little known colour counts for all of a coarse cell, so that near pixels win.
        gain = np.minimum(1 / np.maximum(weight, 1e-6), SATURATION)
        values *= gain
        weight *= gain
        levels.append((values, weight))
    filled = np.where(weight > 1e-6, values / np.maximum(weight, np.float32(1e-6)), np.float32(GREY))
    for values, weight in reversed(levels[:-1]):  # push: where weight is missing, take the coarser grid
        size = (values.shape[1], values.shape[0])
        filled = np.asarray(cv2.pyrUp(filled, dstsize=size), np.float32)
        filled *= 1 - weight
        filled += values
    return np.asarray(filled, np.float32)


def _gaussian(pixels: Pixels, regions: Ints, sigma_share: float) -> None:
    for x1, y1, x2, y2 in regions.tolist():
        view = pixels[y1:y2, x1:x2]
        sigma = sigma_share * (x2 - x1)
        # A wide kernel on a shrunken region gives the same picture at a fraction of the cost.
        shrink = max(1.0, sigma / SMALL_SIGMA)
        size = (max(1, round((x2 - x1) / shrink)), max(1, round((y2 - y1) / shrink)))
        small = cv2.resize(view, size, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), sigma / shrink, borderType=cv2.BORDER_REPLICATE)
        view[:] = cv2.resize(small, (x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR)


def _mosaic(pixels: Pixels, regions: Ints, cells: int) -> None:
    for x1, y1, x2, y2 in regions.tolist():
        view = pixels[y1:y2, x1:x2]
        small = cv2.resize(view, (min(cells, x2 - x1), min(cells, y2 - y1)), interpolation=cv2.INTER_AREA)
        view[:] = cv2.resize(small, (x2 - x1, y2 - y1), interpolation=cv2.INTER_NEAREST)
