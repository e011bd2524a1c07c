"""What ``edge blur`` printed and wrote."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from edge.boxes import Floats, iou
from edge.config import make_config
from edge.detection import known_face
from edge.detection.detector import Detector
from edge.files.search import search_of
from edge.pictures import read_picture
from tests import hostile

SEARCH = search_of(make_config({}, "test"))
HOPPER = hostile.ASTRONAUT.with_name("hopper.jpg")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def files(folder: Path) -> dict[str, str]:
    """Every regular file below a folder, hidden ones too: relative path and a hash of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def refusals(output: str) -> dict[str, str]:
    """What a run listed as refused: name and reason."""
    found = re.findall(r'^refused ("(?:[^"\\]|\\.)*"): (.+)$', output, re.MULTILINE)
    return {json.loads(name): reason for name, reason in found}


def faces_of(detector: Detector, path: Path) -> Floats:
    """Boxes that begin a region in a stored picture, to which ``edge blur`` looks just as closely."""
    found = detector.detect(read_picture(path).pixels, SEARCH)
    return found.boxes[found.scores >= detector.score_begin]


def shows_the_known_face(detector: Detector, path: Path) -> bool:
    """Whether anything is found where the face of the shipped portrait is.

    Boxes around another place do not count: with the head covered, the collar of the suit looks like
    a face to the detector (score 0.35, in grey 0.53), and in the picture it is a collar.
    """
    boxes = faces_of(detector, path)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    face = known_face.EXPECTED[0]
    inside = ((face[:2] <= centre) & (centre <= face[2:])).all(axis=1)
    return bool(inside.any() or (iou(boxes, known_face.EXPECTED) > 0.1).any())
