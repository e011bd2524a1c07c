"""What a detector file is: tensor names, types, shapes and metadata keys.

``convert`` writes detectors and ``edge`` reads them; this module is the only thing that they share,
and it imports neither ONNX nor ONNX Runtime.

One ONNX file without external data:

* input ``image``: uint8 ``[B, H, W, 3]``, RGB, letterboxed as the metadata say (``Contract``). Cast,
  normalisation and layout happen inside the graph. ``B``, ``H`` and ``W`` are
  numbers, or the symbols ``batch``, ``height`` and ``width``, which are frozen when a session opens.
* output ``boxes``: float32 ``[B, K, 4]``, ``x1 y1 x2 y2`` in pixels of the input.
* output ``scores``: float32 ``[B, K]``, 0..1, sorted from high to low.

Non-maximum suppression is left to the host, so that one graph runs on every provider.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

from edge.errors import ContractError

VERSION = 4
INPUT = "image"
BOXES = "boxes"
SCORES = "scores"
SYMBOLS = ("batch", "height", "width")
PREFIX = "edge."
"""Every metadata key of the contract starts with this."""

LETTERBOXES = ("pad-right-bottom", "stretch")
INTERPOLATIONS = ("area", "linear", "linear-corner")
PRECISIONS = ("fp32", "fp16", "int8")
TARGETS = ("any", "cpu", "cuda", "tensorrt", "openvino")

# An entry of ONNX external data is a key-value message whose key is "location"; these are its length and
# its bytes on the wire. Protobuf takes the fields in any order, and a length with idle bits. A metadata key
# or a tensor of exactly that name looks the same and is refused as well.
_EXTERNAL_DATA = re.compile(rb"(?:\x08|\x88\x80*\x00)location")


@dataclass(frozen=True)
class Contract:
    """The metadata that every detector carries.

    ``letterbox`` is ``pad-right-bottom`` (aspect kept, the rest filled with ``letterbox_rgb``, three
    numbers 0..255 as ``R,G,B``) or ``stretch`` (both sides scaled to the input's, aspect lost).
    ``letterbox_multiple`` is in pixels: both sides of the input are multiples of it.
    ``letterbox_short_side`` limits the shorter side of the scaled frame, in pixels; 0: no limit.
    ``interpolation`` is how the model saw pictures when it was trained: ``area`` averages when it
    shrinks, ``linear`` samples at pixel centres, ``linear-corner`` at their top left corners (as
    ``tf.compat.v1.image.resize_bilinear`` does).
    ``labels`` says which classes of the source count as a face.
    ``score_begin`` starts a region, ``score_continue`` keeps one alive, and from ``score_last_look`` on a
    detection on a picture that is covered already is a face; all are 0..1. The last is higher where weak
    detections are mostly hair and collars beside what was covered.
    ``nms_iou`` is the overlap above which the host drops the weaker of two boxes.
    ``smallest_face`` is the width in pixels of the canvas from which the detector was measured to find a face
    reliably; 0 where nobody measured.
    ``tools`` and ``parity`` are JSON texts: versions of what built the file, and measured figures.
    """

    contract_version: int
    name: str
    family: str
    source_sha256: str
    licence: str
    letterbox: str
    letterbox_multiple: int
    letterbox_short_side: int
    letterbox_rgb: str
    interpolation: str
    labels: str
    normalisation: str
    score_begin: float
    score_continue: float
    score_last_look: float
    score_reason: str
    nms_iou: float
    smallest_face: int
    precision: str
    target: str
    tools: str
    parity: str

    @property
    def padding(self) -> tuple[int, int, int]:
        """The colour of the padding: red, green, blue, 0..255."""
        red, green, blue = (int(part) for part in self.letterbox_rgb.split(","))
        return red, green, blue

    def to_metadata(self) -> dict[str, str]:
        """Return the ONNX ``metadata_props`` of this contract (every value a string)."""
        return {PREFIX + key: str(value) for key, value in asdict(self).items()}


def from_metadata(metadata: Mapping[str, str]) -> Contract:
    """Read the contract back from ONNX ``metadata_props``.

    Raises ContractError when a key is missing, unreadable or off.
    """
    values: dict[str, object] = {}
    for field in fields(Contract):
        key = PREFIX + field.name
        if key not in metadata:
            raise ContractError(
                f"metadata key {key!r} is missing: this is not a detector of this project; "
                "make one with edge-convert"
            )
        values[field.name] = _parse(key, metadata[key], str(field.type))
        if field.name == "contract_version" and values[field.name] != VERSION:
            raise ContractError(
                f"contract version {values[field.name]}, but this program reads version {VERSION}; "
                "use an edge-anonymizer of the version that made the file, or convert the model again"
            )
    contract = Contract(**values)  # type: ignore[arg-type]
    _check(contract)
    return contract


def _parse(key: str, text: str, kind: str) -> object:
    try:
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
    except ValueError as error:
        raise ContractError(f"metadata key {key!r} is not a number: {text!r}") from error
    if not text:
        raise ContractError(f"metadata key {key!r} is empty")
    return text


def _check(contract: Contract) -> None:
    checks = (
        ("letterbox", contract.letterbox in LETTERBOXES, f"one of {LETTERBOXES}"),
        ("letterbox_multiple", 1 <= contract.letterbox_multiple <= 512, "1..512"),
        ("letterbox_short_side", 0 <= contract.letterbox_short_side <= 8192, "0..8192"),
        ("letterbox_rgb", _is_colour(contract.letterbox_rgb), "three numbers 0..255 as R,G,B"),
        ("interpolation", contract.interpolation in INTERPOLATIONS, f"one of {INTERPOLATIONS}"),
        ("precision", contract.precision in PRECISIONS, f"one of {PRECISIONS}"),
        ("target", contract.target in TARGETS, f"one of {TARGETS}"),
        ("smallest_face", 0 <= contract.smallest_face <= 8192, "0..8192"),
        ("nms_iou", 0 < contract.nms_iou < 1, "between 0 and 1"),
        (
            "score_continue",
            0 < contract.score_continue <= contract.score_begin < 1,
            "0 < score_continue <= score_begin < 1",
        ),
        (
            "score_last_look",
            contract.score_begin <= contract.score_last_look < 1,
            "score_begin <= score_last_look < 1",
        ),
        ("source_sha256", _is_sha256(contract.source_sha256), "64 hexadecimal digits"),
        ("tools", _is_json_object(contract.tools), "a JSON object"),
        ("parity", _is_json_object(contract.parity), "a JSON object"),
    )
    for name, good, wanted in checks:
        if not good:
            raise ContractError(
                f"metadata key {PREFIX + name!r} is {getattr(contract, name)!r}; wanted {wanted}"
            )
    if not all(math.isfinite(v) for v in asdict(contract).values() if isinstance(v, float)):
        raise ContractError("a metadata value is not finite")


def _is_colour(text: str) -> bool:
    parts = text.split(",")
    digits = all(part.isascii() and part.isdigit() and len(part) <= 3 for part in parts)
    return len(parts) == 3 and digits and all(int(part) <= 255 for part in parts)


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and all(c in "0123456789abcdef" for c in text)


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


Tensor = tuple[str, str, Sequence[object]]
"""Name, ONNX Runtime type such as ``tensor(uint8)``, and shape."""


def check_tensors(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
    """Check names, types and ranks of a graph's inputs and outputs. Raises ContractError."""
    wanted_in = {INPUT: ("tensor(uint8)", 4)}
    wanted_out = {BOXES: ("tensor(float)", 3), SCORES: ("tensor(float)", 2)}
    for what, wanted, found in (("input", wanted_in, inputs), ("output", wanted_out, outputs)):
        names = [name for name, _, _ in found]
        if sorted(names) != sorted(wanted):
            raise ContractError(f"{what}s are {names}; the contract wants {sorted(wanted)}")
        for name, kind, shape in found:
            if (kind, len(shape)) != wanted[name]:
                raise ContractError(
                    f"{what} {name!r} is {kind} of rank {len(shape)}; "
                    f"wanted {wanted[name][0]} of rank {wanted[name][1]}"
                )
    shape = next(s for name, _, s in inputs if name == INPUT)
    if shape[3] != 3:
        raise ContractError(f"input {INPUT!r} has shape {list(shape)}; the last side must be 3 (RGB)")
    for side, symbol in zip(shape[:3], SYMBOLS, strict=True):
        if not isinstance(side, int) and side != symbol:
            raise ContractError(f"input {INPUT!r} has a free side {side!r}; wanted a number or {symbol!r}")


def refuse_external_data(data: bytes) -> None:
    """Refuse a model whose weights lie in other files, which the hash does not cover.

    Raises ContractError.
    """
    if _EXTERNAL_DATA.search(data):
        raise ContractError("the model refers to external data; a detector is one single file")
