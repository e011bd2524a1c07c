"""Execution providers: which are tried, what proves that one runs, and where TensorRT's engines are kept.

When a provider does not take a node, or a whole session, ONNX Runtime puts it on the CPU without an error. So
a session only counts as running on a provider when it reports that the nodes are there. docs/providers.md
explains how to read the result.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import json
import logging
import os
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from edge import contract, notify
from edge.errors import ProviderError

log = logging.getLogger(__name__)

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
"""Names in the configuration, and ONNX Runtime's names."""

MIN_NODE_SHARE = 0.9
"""A provider runs a detector if at least this share of the graph's nodes is assigned to it."""
BUILD_SECONDS = 1800
"""Time that systemd is asked for before a build. ONNX Runtime before 1.31 holds Python's lock while it builds
(1.19 and 1.24 were measured), so that no thread of this process can ask again."""
PROGRESS_SECONDS = 30
MIN_FREE_BYTES = 256 * 2**20
"""Disk space for an engine; ONNX Runtime does not notice when it has written only half of one."""

_CPU = PROVIDERS["cpu"]
_NVIDIA_DEVICES = ("/dev/nvidia0", "/dev/nvgpu", "/dev/nvhost-gpu")
_LIBRARIES = Path(ort.__file__).parent / "capi"


@dataclass(frozen=True)
class Settings:
    """What a session is opened with.

    ``data`` are the bytes of the detector and ``sha256`` their hash; ``size`` is width and height of the
    canvas in pixels, or None if they stay free; ``threads`` is 0 for ONNX Runtime's default.
    """

    data: bytes
    sha256: str
    precision: str
    size: tuple[int, int] | None
    threads: int
    cache_folder: Path


def candidates(wanted: str) -> list[str]:
    """Short names of the providers to try, best first.

    ``auto`` leaves TensorRT out, since its first start takes minutes for the build. CUDA is tried on every
    machine with an NVIDIA device, so that a build of ONNX Runtime without CUDA is noticed there.
    """
    if wanted != "auto":
        return [wanted]
    order = ["cuda"] if any(Path(device).exists() for device in _NVIDIA_DEVICES) else []
    if PROVIDERS["openvino"] in ort.get_available_providers():
        order.append("openvino")
    return [*order, "cpu"]


def open_session(provider: str, settings: Settings) -> tuple[ort.InferenceSession, dict[str, int]]:
    """Open a session on one provider and prove that it runs there.

    Returns the session and the number of nodes that ONNX Runtime assigned to each of its providers (empty if
    this version cannot report that; then the CPU was forbidden to take any). Raises ProviderError.
    """
    name = PROVIDERS[provider]
    available = ort.get_available_providers()
    if name not in available:
        raise ProviderError(
            f"not in this build of ONNX Runtime ({', '.join(available)}); install one that has it"
        )
    if provider in ("cuda", "tensorrt"):
        _load_cuda()
    if provider != "tensorrt":
        return _open(name, [(name, _options(provider, settings))], settings)
    if settings.size is None:
        raise ProviderError("TensorRT needs a fixed size; set detector.canvas, such as 640x384")
    folder = engine_folder(settings)
    chain = [(name, tensorrt_options(folder, settings.precision))]
    with _building(folder):
        try:
            return _open(name, chain, settings)
        except ProviderError as error:
            if any(folder.glob("*.engine")):
                raise ProviderError(f"{error}; if the engine is damaged: rm -r {folder}") from error
            raise


def _open(
    name: str, chain: list[tuple[str, dict[str, str]]], settings: Settings
) -> tuple[ort.InferenceSession, dict[str, int]]:
    options = ort.SessionOptions()
    options.log_severity_level = 4  # errors are raised, so they need not be printed too
    options.intra_op_num_threads = settings.threads
    # Threads that keep spinning between two frames take the cores from capture and encoding.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if settings.size is not None:
        width, height = settings.size
        for symbol, side in zip(contract.SYMBOLS, (1, height, width), strict=True):
            options.add_free_dimension_override_by_name(symbol, side)
    countable = hasattr(ort.InferenceSession, "get_provider_graph_assignment_info")
    if countable:
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if name != _CPU:
        if not countable:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        else:
            if name == PROVIDERS["tensorrt"] and PROVIDERS["cuda"] in ort.get_available_providers():
                chain = [*chain, (PROVIDERS["cuda"], {})]
            chain = [*chain, (_CPU, {})]
    try:
        # Without enable_fallback = 0 a failing provider is replaced, even in run(), with nothing but a print.
        session = ort.InferenceSession(settings.data, options, providers=chain, enable_fallback=0)
        session.disable_fallback()  # for older versions, which do not know the argument
        running = session.get_providers()[0]
        nodes: Counter[str] = Counter()
        if countable and running == name:
            for part in session.get_provider_graph_assignment_info():
                nodes[part.ep_name] += len(part.get_nodes())
    # ONNX Runtime's errors have no common base but Exception
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        raise ProviderError(text + _missing_library(name)) from error
    if running != name:
        raise ProviderError(f"ONNX Runtime fell back to {running}" + _missing_library(name))
    if countable and nodes[name] < MIN_NODE_SHARE * nodes.total():
        raise ProviderError(
            f"only {nodes[name]} of {nodes.total()} nodes run on it ({_text(nodes)}); "
            f"expected {MIN_NODE_SHARE:.0%} or more: this detector does not suit it"
        )
    return session, dict(nodes)


def _text(nodes: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in nodes.most_common())


def _load_cuda() -> None:
    """Load CUDA and cuDNN from the packages nvidia-*, where the dynamic linker does not search."""
    if hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints which libraries it does not find
            ort.preload_dlls()


def _missing_library(name: str) -> str:
    """Why a provider's library cannot be loaded; ONNX Runtime only prints that to stderr."""
    library = _LIBRARIES / f"libonnxruntime_providers_{name.removesuffix('ExecutionProvider').lower()}.so"
    if not library.exists():
        return ""
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        return f" ({error})"
    return ""


def _options(provider: str, settings: Settings) -> dict[str, str]:
    if provider == "openvino" and settings.threads:
        return {"num_of_threads": str(settings.threads)}
    if provider == "cuda" and settings.size is None:
        # Otherwise cuDNN measures all algorithms again for each size of picture.
        return {"cudnn_conv_algo_search": "HEURISTIC"}
    return {}


def tensorrt_options(folder: Path, precision: str) -> dict[str, str]:
    """Options of the TensorRT provider: engines and timings are kept in ``folder``.

    TensorRT computes in the precision for which parity was shown, and in no lower one.
    """
    return {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(folder),
        "trt_fp16_enable": str(precision == "fp16"),
        "trt_int8_enable": str(precision == "int8"),
    }


def engine_folder(settings: Settings) -> Path:
    """The folder of the engines for this detector, GPU, size and software; it is made if it is missing.

    ONNX Runtime writes the engines itself (weights and code, no pixels). It names them after the graph's
    shape, so everything else that must match is in the name of the folder. An engine is code that no hash
    covers, so the folder must belong to this user and must not be writable by others. Raises ProviderError.
    """
    folder = (settings.cache_folder / engine_key(settings)).absolute()
    try:
        os.makedirs(settings.cache_folder, mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, mode=0o700)
        facts = os.lstat(folder)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise ProviderError(
            f"folder {folder} for engines: {error.strerror or error}; correct detector.cache_folder"
        ) from error
    if facts.st_mode & 0o170022 != 0o040000 or facts.st_uid != os.geteuid():
        raise ProviderError(
            f"folder {folder} for engines must be a folder of this user that others cannot write to: "
            f"chown {os.geteuid()} {folder}; chmod 700 {folder}"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ProviderError(f"folder {folder} for engines is not writable; correct detector.cache_folder")
    if free < MIN_FREE_BYTES and not any(folder.glob("*.engine")):
        raise ProviderError(
            f"folder {folder} for engines: {free // 2**20} MiB free, but {MIN_FREE_BYTES // 2**20} needed; "
            "free some space, or set detector.cache_folder"
        )
    return folder


def engine_key(settings: Settings) -> str:
    """Name of the folder: precision, size, and a hash over everything on which an engine depends."""
    assert settings.size is not None
    size = f"{settings.size[0]}x{settings.size[1]}"
    parts = [settings.sha256, settings.precision, size, ort.__version__, *gpu(), tensorrt_version()]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return f"{settings.precision}-{size}-{digest[:16]}"


def gpu() -> tuple[str, str]:
    """Name and compute capability of the first GPU, from the CUDA driver. Raises ProviderError."""
    name = ctypes.create_string_buffer(256)
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    capability_major, capability_minor = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise ProviderError(f"no NVIDIA driver: {error}") from error
    codes = [
        cuda.cuInit(0),
        cuda.cuDeviceGet(ctypes.byref(device), 0),
        cuda.cuDeviceGetName(name, len(name), device),
        cuda.cuDeviceGetAttribute(ctypes.byref(major), capability_major, device),
        cuda.cuDeviceGetAttribute(ctypes.byref(minor), capability_minor, device),
    ]
    if any(codes):
        raise ProviderError(f"the NVIDIA driver reports no GPU (CUDA codes {codes})")
    return name.value.decode(errors="replace"), f"{major.value}.{minor.value}"


def tensorrt_version() -> str:
    """Version of the TensorRT library that the provider will load. Raises ProviderError."""
    try:
        found = re.search(
            rb"libnvinfer\.so\.\d+", (_LIBRARIES / "libonnxruntime_providers_tensorrt.so").read_bytes()
        )
        library = found.group().decode() if found else "libnvinfer.so"
        return str(ctypes.CDLL(library).getInferLibVersion())
    except (OSError, AttributeError) as error:
        raise ProviderError(f"no TensorRT library: {error}; install it, or set LD_LIBRARY_PATH") from error


@contextlib.contextmanager
def _building(folder: Path) -> Iterator[None]:
    """Log that an engine is being built and how long it takes, and keep systemd waiting."""
    if any(folder.glob("*.engine")):
        log.info("TensorRT engine in %s", folder)
        yield
        return
    what = "building the TensorRT engine, first start only; this can take minutes"
    log.info("%s (%s)", what, folder)
    begin = time.monotonic()
    done = threading.Event()

    def report() -> None:
        while not done.wait(PROGRESS_SECONDS):
            log.info("still building the TensorRT engine, %.0f s", time.monotonic() - begin)

    thread = threading.Thread(target=report, name="engine", daemon=True)
    notify.notify(f"EXTEND_TIMEOUT_USEC={BUILD_SECONDS * 1_000_000}")
    thread.start()
    try:
        with notify.extending(what):
            yield
    finally:
        done.set()
        thread.join()
    os.sync()  # after a power cut, half an engine would make the next start fail
    log.info("TensorRT engine built in %.0f s", time.monotonic() - begin)
