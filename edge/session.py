"""ONNX Runtime: read one detector file, choose a provider, and prove that it is the one running."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from edge import contract
from edge.boxes import Floats
from edge.contract import Contract
from edge.errors import ContractError, DetectionError, DetectorError, ProviderError
from edge.reasons import Reason

DEFAULT_SIZE = (640, 384)
"""Canvas of a detector without a size of its own: width, height. See docs/benchmarks.md."""

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
_NVIDIA_DEVICES = ("/dev/nvidia0", "/dev/nvgpu", "/dev/nvhost-gpu")


@dataclass(frozen=True)
class DetectorFile:
    """The bytes of a detector, read once and verified against the hash beside it."""

    name: str
    data: bytes
    sha256: str


def read_detector(path: Path | None) -> DetectorFile:
    """Read a detector file (None: the shipped CenterFace) and check ``<name>.sha256`` beside it.

    Raises DetectorError when a file is missing or the hash differs, ContractError when it refers to
    external data.
    """
    shipped = resources.files("edge") / "models" / "centerface.onnx"
    target = path if path is not None else Path(str(shipped))
    way_out = (
        "install the wheel again: its build makes this file"
        if path is None
        else "correct detector.path, or make the file with edge-convert"
    )
    beside = target.with_suffix(".sha256")
    try:
        data = target.read_bytes()
        wanted = beside.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DetectorError(f"detector {target}: {error}; {way_out}") from error
    digest = hashlib.sha256(data).hexdigest()
    if not wanted or digest != wanted[0].lower():
        raise DetectorError(
            f"detector {target} has sha256 {digest}, but {beside.name} says "
            f"{wanted[0] if wanted else 'nothing'}; the file was changed or is incomplete: {way_out}"
        )
    contract.refuse_external_data(data)
    return DetectorFile(target.stem, data, digest)


class Session:
    """One detector on one provider.

    ``size`` is the canvas (width, height) in pixels, or None when any multiple of the contract's
    ``letterbox_multiple`` will do. ``run`` may be called from several threads.
    """

    def __init__(
        self,
        file: DetectorFile,
        *,
        provider: str,
        size: tuple[int, int] | None,
        native: bool,
        threads: int,
        timeout_seconds: float,
    ) -> None:
        """Open the session; ``native`` leaves height and width free (one thread per call).

        Raises ContractError, DetectorError, ProviderError.
        """
        self._timeout = timeout_seconds
        self.sha256 = file.sha256
        self.name = file.name
        wanted = _candidates(provider)
        self._session, self.provider = _open(file, wanted, provider, None, threads)
        self.contract = _read_contract(self._session, file)
        batch, height, width = next(
            i.shape[:3] for i in self._session.get_inputs() if i.name == contract.INPUT
        )
        if isinstance(batch, int) and batch != 1:
            raise DetectorError(f"detector {file.name} takes {batch} frames at once; convert with --batch 1")
        if isinstance(height, int) and isinstance(width, int):
            if size is not None and size != (width, height):
                raise DetectorError(
                    f"detector {file.name} has the fixed size {width}x{height}, but detector.size_pixels "
                    f"is {size[0]}x{size[1]}; leave the key out, or convert with --size"
                )
            self.size: tuple[int, int] | None = (width, height)
        elif native:
            self.size = None
        else:
            self.size = size or DEFAULT_SIZE
            multiple = self.contract.letterbox_multiple
            if any(side % multiple for side in self.size):
                raise DetectorError(
                    f"detector.size_pixels {self.size[0]}x{self.size[1]}: both sides must be "
                    f"multiples of {multiple}"
                )
            self._session, self.provider = _open(file, wanted, provider, self.size, threads)
        if self.size is not None:  # the first run allocates; a size that cannot work fails here
            width, height = self.size
            try:
                self.run(np.zeros((height, width, 3), np.uint8))
            except DetectionError as error:
                raise DetectorError(
                    f"detector {file.name} does not run at {width}x{height}: {error}"
                ) from error

    def run(self, canvas: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Run the graph on one canvas, uint8 ``[H, W, 3]`` RGB.

        Returns boxes float32 ``[K, 4]`` (``x1 y1 x2 y2``, pixels of the canvas) and scores float32
        ``[K]``. Raises DetectionError on an error, a timeout, a wrong shape, NaN or infinity.
        """
        options = ort.RunOptions()
        expired = threading.Event()

        def stop() -> None:
            expired.set()
            options.terminate = True

        timer = threading.Timer(self._timeout, stop)
        timer.daemon = True
        timer.start()
        try:
            boxes, scores = self._session.run(
                [contract.BOXES, contract.SCORES], {contract.INPUT: canvas[None]}, options
            )
        # ONNX Runtime's errors have no common base but Exception
        except Exception as error:
            reason = Reason.DETECTOR_TIMEOUT if expired.is_set() else Reason.DETECTOR_ERROR
            raise DetectionError(reason, f"{type(error).__name__}: {error}"[:500]) from error
        finally:
            timer.cancel()
        if expired.is_set():
            raise DetectionError(
                Reason.DETECTOR_TIMEOUT, f"the detector took longer than {self._timeout} seconds"
            )
        return check_output(boxes, scores)


def check_output(boxes: Any, scores: Any) -> tuple[Floats, Floats]:
    """Check what a graph returned for one frame and take the batch side off.

    Raises DetectionError on a wrong shape, type or order, NaN or infinity.
    """
    if not (isinstance(boxes, np.ndarray) and isinstance(scores, np.ndarray)):
        raise DetectionError(Reason.DETECTOR_OUTPUT, "the detector returned no arrays")
    count = scores.shape[1] if scores.ndim == 2 else -1
    if scores.shape != (1, count) or boxes.shape != (1, count, 4) or count == 0:
        raise DetectionError(
            Reason.DETECTOR_OUTPUT,
            f"boxes {list(boxes.shape)} and scores {list(scores.shape)}; wanted [1, K, 4] and [1, K]",
        )
    if boxes.dtype != np.float32 or scores.dtype != np.float32:
        raise DetectionError(Reason.DETECTOR_OUTPUT, f"{boxes.dtype} and {scores.dtype}; wanted float32")
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise DetectionError(Reason.DETECTOR_OUTPUT, "a box or score is NaN or infinite")
    if (np.diff(scores[0]) > 0).any():
        raise DetectionError(Reason.DETECTOR_OUTPUT, "scores are not sorted from high to low")
    return boxes[0], scores[0]


def _candidates(provider: str) -> list[str]:
    """ONNX Runtime's names of the providers to try, best first. Raises ProviderError."""
    available = ort.get_available_providers()
    if provider != "auto":
        name = _PROVIDERS[provider]
        if name not in available:
            raise ProviderError(
                f"provider {provider!r} is not in this build of ONNX Runtime ({', '.join(available)}); "
                "install the build for it, or set detector.provider = 'auto'"
            )
        return [name]
    gpu = any(Path(device).exists() for device in _NVIDIA_DEVICES)
    order = [_PROVIDERS["cuda"]] if gpu else []
    order.append(_PROVIDERS["openvino"])
    return [name for name in [*order, _PROVIDERS["cpu"]] if name in available]


def _open(
    file: DetectorFile, candidates: list[str], wanted: str, size: tuple[int, int] | None, threads: int
) -> tuple[ort.InferenceSession, str]:
    """Open the file on the first provider that really runs; return it with the provider's name."""
    options = ort.SessionOptions()
    options.log_severity_level = 4  # errors are raised; printing them too helps nobody
    options.intra_op_num_threads = threads
    # Threads that go on spinning between two frames take the cores from capture and encoding.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if size is not None:
        for symbol, side in zip(contract.SYMBOLS, (1, size[1], size[0]), strict=True):
            options.add_free_dimension_override_by_name(symbol, side)
    failures = []
    for name in candidates:
        fallback = [] if name == _PROVIDERS["cpu"] else [_PROVIDERS["cpu"]]
        try:
            session = ort.InferenceSession(file.data, options, providers=[name, *fallback])
        # ONNX Runtime's errors have no common base but Exception
        except Exception as error:
            failures.append(f"{name}: {type(error).__name__}: {error}"[:300])
            continue
        # ONNX Runtime falls back to the CPU without an error; only the session knows.
        running = session.get_providers()[0]
        if running == name:
            return session, next(short for short, long in _PROVIDERS.items() if long == name)
        failures.append(f"{name}: ONNX Runtime fell back to {running}")
    text = "; ".join(failures)
    if wanted in ("auto", "cpu"):
        at = f" at {size[0]}x{size[1]} (is that too small for it? try 640x384 or larger)" if size else ""
        raise DetectorError(f"detector {file.name} cannot be opened{at}: {text}")
    raise ProviderError(f"provider {wanted!r} does not run: {text}; set detector.provider = 'auto'")


def _read_contract(session: ort.InferenceSession, file: DetectorFile) -> Contract:
    try:
        contract.check_tensors(
            [(i.name, i.type, i.shape) for i in session.get_inputs()],
            [(o.name, o.type, o.shape) for o in session.get_outputs()],
        )
        return contract.from_metadata(session.get_modelmeta().custom_metadata_map)
    except ContractError as error:
        raise ContractError(f"detector {file.name}: {error}") from error
