"""Pages of crops for a person to judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.frames import Pixels

SIDE, CAPTION = 160, 34
"""Width of a tile and height of the text below it, in pixels."""
COLUMNS, ROWS = 8, 12
INK, PAPER, MARK = (255, 255, 255), 40, (0, 255, 255)


def tile(pixels: Pixels, box: list[float], lines: tuple[str, str]) -> Pixels:
    """A box (``x1 y1 x2 y2``) with half of its size around it, marked, over two lines of text.

    Returns uint8 ``[SIDE + CAPTION, SIDE, 3]``.
    """
    x1, y1, x2, y2 = (round(value) for value in box)
    margin = max(x2 - x1, y2 - y1) // 2
    padded = cv2.copyMakeBorder(pixels, margin, margin, margin, margin, cv2.BORDER_CONSTANT)
    crop = padded[y1 : y2 + 2 * margin, x1 : x2 + 2 * margin]
    scale = SIDE / max(crop.shape[:2])
    size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    inset = round(margin * scale)
    cv2.rectangle(small, (inset, inset), (size[0] - inset, size[1] - inset), MARK, 1)
    result = np.full((SIDE + CAPTION, SIDE, 3), PAPER, np.uint8)
    result[: size[1], : size[0]] = small
    for line, text in enumerate(lines):
        place = (2, SIDE + 13 + 15 * line)
        cv2.putText(result, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, INK, 1, cv2.LINE_AA)
    return result


def write(file: Path, tiles: list[Pixels]) -> list[Path]:
    """Write the tiles as pages, ``file`` and then ``NAME-2.png`` and so on; return the pages."""
    pages: list[Path] = []
    for start in range(0, len(tiles), COLUMNS * ROWS):
        some = tiles[start : start + COLUMNS * ROWS]
        some = some + [np.full_like(some[0], PAPER)] * (-len(some) % COLUMNS)
        rows = [np.hstack(some[i : i + COLUMNS]) for i in range(0, len(some), COLUMNS)]
        page = file if not pages else file.with_stem(f"{file.stem}-{len(pages) + 1}")
        page.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(page), np.vstack(rows)):
            raise OSError(f"{page} could not be written")
        pages.append(page)
    return pages


def caption(hit: dict[str, Any]) -> tuple[str, str]:
    """Two lines for a hit of ``python -m benchmarks leftover``: its number in the raw list, file, frame;
    then detector, score, size in pixels, kind, and how much of it is painted over."""
    x1, y1, x2, y2 = (round(value) for value in hit["box"])
    size = f"{x2 - x1}x{y2 - y1}"
    return (
        f"{hit['number']} {Path(hit['file']).stem[-14:]} f{hit['frame']}",
        f"{hit['detector']} {hit['score']:.2f} {size} {hit['kind'][:4]} {hit['painted_share']:.0%}",
    )
