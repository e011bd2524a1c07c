"""One detector file on one execution provider: read it, check it, open it, run it."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from edge import contract
from edge.boxes import Floats
from edge.config.detector import ShippedName
from edge.contract import Contract
from edge.detection import providers as engines
from edge.detection import views
from edge.detection.shipped import shipped_file
from edge.errors import ContractError, DetectionError, DetectorError, ProviderError
from edge.reasons import Reason

FIRST_SIZE = (640, 384)
"""Width and height of the first run of a detector without a fixed canvas, in pixels."""
TENSORRT_SIZE = (views.LONGEST_SIDE, 1088)
"""Width and height of the canvas for TensorRT, which needs a fixed one, unless the configuration sets it."""

FIRST_RUN_SECONDS = 120.0
"""Time limit for the first run on an accelerator, which then loads its kernels and measures algorithms."""


@dataclass(frozen=True)
class DetectorFile:
    """The bytes of a detector, read once and verified against the hash beside it."""

    name: str
    data: bytes
    sha256: str


def read_detector(path: Path | None, name: ShippedName | None = None) -> DetectorFile:
    """Read a detector file and check ``<name>.sha256`` beside it. ``path`` None: the shipped detector of this
    ``name``, or the default one.

    Raises DetectorError when a file is missing or the hash differs, ContractError when it refers to external
    data.
    """
    target = path if path is not None else shipped_file(name)
    way_out = (
        "install the wheel again, which contains this file"
        if path is None
        else "correct detector.path, or make the file with edge-convert"
    )
    try:
        beside = target.with_suffix(".sha256")
        data = _read_file(target)
        wanted = _read_file(beside).split()
        stated = wanted[0].decode("ascii").lower() if wanted else "nothing"
    except UnicodeDecodeError as error:
        raise DetectorError(f"detector {target}: {beside.name} is not a text file; {way_out}") from error
    except (OSError, ValueError) as error:  # ValueError: not possible as a file name
        raise DetectorError(f"detector {target}: {error}; {way_out}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != stated:
        raise DetectorError(
            f"detector {target} has sha256 {digest}, but {beside.name} has {stated}; "
            f"the file was changed or is incomplete: {way_out}"
        )
    contract.refuse_external_data(data)
    return DetectorFile(target.stem, data, digest)


def _read_file(path: Path) -> bytes:
    """Read a regular file: a pipe could block forever, a device never end. Raises OSError, ValueError."""
    if path.exists() and not path.is_file():
        raise OSError(f"{path.name} is not a regular file")
    return path.read_bytes()


class Session:
    """One detector on one provider.

    ``size`` is the canvas (width, height) in pixels, or None if any multiple of the contract's
    ``letterbox_multiple`` is accepted. ``provider`` is the short name of the one that runs, ``assignment``
    the number of nodes per provider of ONNX Runtime (empty if it cannot report that). ``fallback`` says why
    it is not the configured one; it is empty if it is. ``run`` may be called from several threads.
    """

    def __init__(
        self,
        file: DetectorFile,
        *,
        provider: str,
        size: tuple[int, int] | None,
        threads: int,
        timeout_seconds: float,
        provider_fallback: bool = False,
        cache_folder: Path = Path("engines"),
    ) -> None:
        """Open the session. With ``size`` None, width and height stay free; TensorRT gets a fixed canvas
        instead.

        Raises ContractError, DetectorError, ProviderError.
        """
        self._timeout = timeout_seconds
        self.sha256 = file.sha256
        self.name = file.name
        self.contract, fixed = _inspect(file)
        if size is None and fixed is None and provider == "tensorrt":
            multiple = self.contract.letterbox_multiple
            size = (_rounded_up(TENSORRT_SIZE[0], multiple), _rounded_up(TENSORRT_SIZE[1], multiple))
        self.size = self._choose_size(fixed, size)
        settings = engines.Settings(
            file.data, file.sha256, self.contract.precision, self.size, threads, cache_folder
        )
        order = engines.candidates(provider)
        if provider_fallback and "cpu" not in order:
            order.append("cpu")
        failures = []
        for name in order:
            try:
                self._session, self.assignment = engines.open_session(name, settings)
                self._first_run(name)
            except (ProviderError, DetectionError) as error:
                failures.append(f"{name}: {error}")
                continue
            self.provider = name
            break
        else:
            raise self._failure(provider, order, "; ".join(failures))
        self.fallback = (
            f"the detector runs on {name} instead of {order[0]}: {'; '.join(failures)}" if failures else ""
        )

    def _choose_size(
        self, fixed: tuple[int, int] | None, size: tuple[int, int] | None
    ) -> tuple[int, int] | None:
        if fixed is not None:
            if size is not None and size != fixed:
                raise DetectorError(
                    f"detector {self.name} has the fixed size {fixed[0]}x{fixed[1]}, but "
                    f"detector.canvas is {size[0]}x{size[1]}; leave the key out, or convert with --size"
                )
            return fixed
        if size is None:
            return None
        multiple = self.contract.letterbox_multiple
        if any(side % multiple for side in size):
            raise DetectorError(
                f"detector.canvas {size[0]}x{size[1]}: both sides must be multiples of {multiple}"
            )
        return size

    def _first_run(self, provider: str) -> None:
        """Run once, so that memory is allocated, and a size or provider that cannot work fails here."""
        if self.size is None and provider == "cpu":
            return
        multiple = self.contract.letterbox_multiple
        width, height = self.size or (_rounded_up(side, multiple) for side in FIRST_SIZE)
        limit = self._timeout if provider == "cpu" else max(self._timeout, FIRST_RUN_SECONDS)
        self._run(np.zeros((height, width, 3), np.uint8), limit)

    def _failure(self, wanted: str, order: list[str], text: str) -> DetectorError:
        if order[-1] != "cpu":
            return ProviderError(
                f"provider {wanted!r} does not run: {text}; set detector.provider = 'auto', or "
                "detector.provider_fallback = true"
            )
        at = ""
        if self.size is not None:
            at = f" at {self.size[0]}x{self.size[1]} (is that too small for it? try 640x384 or larger)"
        return DetectorError(f"detector {self.name} cannot be opened{at}: {text}")

    def run(self, canvas: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Run the graph on one canvas, uint8 ``[H, W, 3]`` RGB.

        Returns boxes float32 ``[K, 4]`` (``x1 y1 x2 y2``, pixels of the canvas) and scores float32
        ``[K]``. Raises DetectionError on an error, a timeout, a wrong shape, NaN or infinity.
        """
        return self._run(canvas, self._timeout)

    def _run(self, canvas: npt.NDArray[np.uint8], limit: float) -> tuple[Floats, Floats]:
        options = ort.RunOptions()
        expired = threading.Event()

        def stop() -> None:
            expired.set()
            options.terminate = True

        timer = threading.Timer(limit, stop)
        timer.daemon = True
        timer.start()
        try:
            boxes, scores = self._session.run(
                [contract.BOXES, contract.SCORES], {contract.INPUT: canvas[None]}, options
            )
        # ONNX Runtime's errors have no common base but Exception
        except Exception as error:
            if not expired.is_set():
                text = f"{type(error).__name__}: {error}"[:500]
                raise DetectionError(Reason.DETECTOR_ERROR, text) from error
        finally:
            timer.cancel()
        if expired.is_set():
            raise DetectionError(Reason.DETECTOR_TIMEOUT, f"the detector took longer than {limit} seconds")
        return check_output(boxes, scores)


def _rounded_up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple


def check_output(boxes: Any, scores: Any) -> tuple[Floats, Floats]:
    """Check what a graph returned for one frame and remove the batch dimension.

    Raises DetectionError on a wrong shape, type or order, NaN or infinity.
    """
    if not (isinstance(boxes, np.ndarray) and isinstance(scores, np.ndarray)):
        raise DetectionError(Reason.DETECTOR_OUTPUT, "the detector returned no arrays")
    count = scores.shape[1] if scores.ndim == 2 else -1
    if scores.shape != (1, count) or boxes.shape != (1, count, 4) or count == 0:
        raise DetectionError(
            Reason.DETECTOR_OUTPUT,
            f"boxes {list(boxes.shape)} and scores {list(scores.shape)}; expected [1, K, 4] and [1, K]",
        )
    if boxes.dtype != np.float32 or scores.dtype != np.float32:
        raise DetectionError(Reason.DETECTOR_OUTPUT, f"{boxes.dtype} and {scores.dtype}; expected float32")
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise DetectionError(Reason.DETECTOR_OUTPUT, "a box or score is NaN or infinite")
    if (np.diff(scores[0]) > 0).any():
        raise DetectionError(Reason.DETECTOR_OUTPUT, "scores are not sorted from high to low")
    return boxes[0], scores[0]


def _inspect(file: DetectorFile) -> tuple[Contract, tuple[int, int] | None]:
    """Read the contract, and the fixed width and height of the canvas or None, without opening a provider.

    A plain session on one thread without optimisations costs half of a real one. A protobuf parser would be
    cheaper, but it would be one more that has to agree with ONNX Runtime's. Raises ContractError,
    DetectorError.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(file.data, options, providers=["CPUExecutionProvider"])
    # ONNX Runtime's errors have no common base but Exception
    except Exception as error:
        raise DetectorError(f"detector {file.name} cannot be opened: {error}"[:400]) from error
    try:
        inputs = [(i.name, i.type, i.shape) for i in session.get_inputs()]
        contract.check_tensors(inputs, [(o.name, o.type, o.shape) for o in session.get_outputs()])
        found = contract.from_metadata(session.get_modelmeta().custom_metadata_map)
    except (ContractError, UnicodeDecodeError) as error:
        raise ContractError(f"detector {file.name}: {error}") from error
    batch, height, width = next(shape[:3] for name, _, shape in inputs if name == contract.INPUT)
    if isinstance(batch, int) and batch != 1:
        raise DetectorError(f"detector {file.name} takes {batch} frames at once; convert with --batch 1")
    if isinstance(height, int) and isinstance(width, int):
        return found, (width, height)
    return found, None
