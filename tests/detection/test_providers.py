"""A provider counts as running only when the session says so; TensorRT's engines stay apart.

No accelerator is needed: a session that runs on the CPU plays the others, and says of itself what a
test wants it to say. The test with the real OpenVINO runs where ONNX Runtime has it.
"""

from __future__ import annotations

import ctypes
import itertools
import logging
import os
import shutil
import socket
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from edge.config import DetectorConfig
from edge.config.detector import ShippedName
from edge.detection import known_face
from edge.detection import providers as engines
from edge.detection.detector import Detector, open_detector
from edge.detection.providers import PROVIDERS, Settings
from edge.detection.session import read_detector
from edge.detection.shipped import FILES
from edge.errors import DetectionError, DetectorError, ProviderError
from tests.models import save, tiny

CPU, CUDA, TENSORRT = (PROVIDERS[name] for name in ("cpu", "cuda", "tensorrt"))
PICTURE = np.full((64, 64, 3), 90, np.uint8)
REAL = ort.InferenceSession


@dataclass
class Box:
    """A pretended machine. Each session that is opened leaves its options and its providers here."""

    nodes: dict[str, dict[str, int]] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    on_open: Callable[[str], None] = lambda name: None
    on_run: Callable[[str], None] = lambda name: None
    opened: list[tuple[list[Any], dict[str, str], int]] = field(default_factory=list)


ENTRIES = ("session.disable_cpu_ep_fallback", "session.record_ep_graph_assignment_info")


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Box:
    """A machine with every provider, on which each takes all nodes."""
    machine = Box()

    class Session:
        def __init__(self, data: bytes, options: Any, providers: list[Any], enable_fallback: int = 1) -> None:
            self.name = providers[0] if isinstance(providers[0], str) else providers[0][0]
            entries = {}
            for entry in ENTRIES:
                try:
                    entries[entry] = options.get_session_config_entry(entry)
                except RuntimeError:
                    continue
            if not isinstance(providers[0], str):  # reading the contract is no session of the detector
                machine.opened.append((providers, entries, enable_fallback))
                machine.on_open(self.name)
            self.inner = REAL(data, providers=[CPU])
            self.fallback = bool(enable_fallback)

        def get_providers(self) -> list[str]:
            return [machine.runs.get(self.name, self.name)]

        def get_provider_graph_assignment_info(self) -> list[Any]:
            nodes = machine.nodes.get(self.name, {self.name: 50})
            return [SimpleNamespace(ep_name=n, get_nodes=lambda c=c: [None] * c) for n, c in nodes.items()]

        def disable_fallback(self) -> None:
            self.fallback = False

        def run(self, *arguments: Any) -> Any:
            assert not self.fallback
            machine.on_run(self.name)
            return self.inner.run(*arguments)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    monkeypatch.setattr(ort, "InferenceSession", Session)
    monkeypatch.setattr(ort, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    monkeypatch.setattr(ort, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(engines, "gpu", lambda: ("Orin (nvgpu)", "8.7"))
    monkeypatch.setattr(engines, "tensorrt_version", lambda: "101300")
    monkeypatch.setattr(engines, "_NVIDIA_DEVICES", ("/dev/null",))
    return machine


@pytest.fixture
def tiny_file(tmp_path: Path) -> Path:
    model = tiny([[4, 4, 20, 24], [0, 0, 1, 1]], [0.9, 0.1])
    return save(model, tmp_path / "tiny.onnx")


def open_file(path: Path, **settings: object) -> Detector:
    config = DetectorConfig.model_validate({"cache_folder": path.parent / "engines", **settings})
    return open_detector(read_detector(path), config)


def fail(text: str, *names: str) -> Callable[[str], None]:
    def check(name: str) -> None:
        if name in names:
            raise RuntimeError(text)

    return check


def test_a_named_provider_runs_and_says_where_its_nodes_are(box: Box, tiny_file: Path) -> None:
    session = open_file(tiny_file, provider="cuda").session
    assert (session.provider, session.assignment, session.fallback) == ("cuda", {CUDA: 50}, "")
    [(chain, entries, enable_fallback)] = box.opened
    assert chain == [(CUDA, {}), (CPU, {})]
    assert entries == {"session.record_ep_graph_assignment_info": "1"}
    assert enable_fallback == 0


@pytest.mark.parametrize("count", [0, 30, 89])
def test_a_provider_that_leaves_nodes_to_the_cpu_is_refused(box: Box, tiny_file: Path, count: int) -> None:
    box.nodes[CUDA] = {CPU: 100 - count} | ({CUDA: count} if count else {})
    with pytest.raises(ProviderError, match=rf"'cuda'.*only {count} of 100 nodes.*{CPU} {100 - count}"):
        open_file(tiny_file, provider="cuda")


def test_a_few_nodes_on_the_cpu_are_reported(box: Box, tiny_file: Path) -> None:
    box.nodes[CUDA] = {CUDA: 90, CPU: 10}
    session = open_file(tiny_file, provider="cuda").session
    assert (session.provider, session.assignment) == ("cuda", {CUDA: 90, CPU: 10})


def test_nodes_on_cuda_do_not_count_for_tensorrt(box: Box, tiny_file: Path) -> None:
    box.nodes[TENSORRT] = {TENSORRT: 10, CUDA: 90}
    with pytest.raises(ProviderError, match=r"only 10 of 100 nodes"):
        open_file(tiny_file, provider="tensorrt")


TROUBLE: dict[str, tuple[dict[str, Any], str]] = {
    "falls back": ({"runs": {CUDA: CPU}}, "fell back to CPUExecutionProvider"),
    "raises": ({"on_open": fail("no kernel\nimage", CUDA)}, "RuntimeError: no kernel image"),
    "cannot run": ({"on_run": fail("out of memory", CUDA)}, "out of memory"),
    "nodes elsewhere": ({"nodes": {CUDA: {CPU: 50}}}, "only 0 of 50 nodes"),
}


@pytest.mark.parametrize(("trouble", "text"), TROUBLE.values(), ids=TROUBLE)
def test_a_provider_in_trouble(box: Box, tiny_file: Path, trouble: dict[str, Any], text: str) -> None:
    for name, value in trouble.items():
        setattr(box, name, value)
    with pytest.raises(ProviderError, match=rf"'cuda' does not run: cuda: .*{text}.*provider_fallback"):
        open_file(tiny_file, provider="cuda")

    detector = open_file(tiny_file, provider="cuda", provider_fallback=True)
    assert (detector.session.provider, detector.session.assignment) == ("cpu", {CPU: 50})
    assert detector.session.fallback.startswith("the detector runs on cpu instead of cuda: cuda: ")
    assert text in detector.session.fallback
    assert len(detector.detect(PICTURE).scores) == 1

    session = open_file(tiny_file, provider="auto").session  # there is an NVIDIA device
    assert session.provider == "cpu"
    assert text in session.fallback


def test_a_provider_that_fails_later_is_not_replaced(box: Box, tiny_file: Path) -> None:
    detector = open_file(tiny_file, provider="cuda", provider_fallback=True)
    box.on_run = fail("the device is gone", CUDA)
    with pytest.raises(DetectionError, match="the device is gone"):
        detector.detect(PICTURE)
    assert [chain[0][0] for chain, _, _ in box.opened] == [CUDA]


def test_the_first_run_of_an_accelerator_may_take_longer(box: Box, tiny_file: Path) -> None:
    box.on_run = lambda name: time.sleep(0.2)
    with pytest.raises(DetectorError, match="longer than"):
        open_file(tiny_file, provider="cpu", timeout_seconds=0.05)
    detector = open_file(tiny_file, provider="cuda", timeout_seconds=0.05)
    with pytest.raises(DetectionError, match="longer than") as caught:
        detector.detect(PICTURE)
    assert caught.value.reason == "detector_timeout"


def test_a_version_that_cannot_count_must_forbid_the_cpu(
    box: Box, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(ort.InferenceSession, "get_provider_graph_assignment_info")
    for provider in ("cuda", "tensorrt"):
        session = open_file(tiny_file, provider=provider).session
        assert (session.provider, session.assignment) == (provider, {})
        chain, entries, _ = box.opened.pop()
        assert [name for name, _ in chain] == [PROVIDERS[provider]]
        assert entries == {"session.disable_cpu_ep_fallback": "1"}
    assert open_file(tiny_file, provider="cpu").session.fallback == ""
    assert box.opened.pop()[1] == {}


def test_the_cpu_runs_everything() -> None:
    session = open_detector(read_detector(None), DetectorConfig(provider="cpu")).session
    assert (session.provider, session.fallback) == ("cpu", "")
    if hasattr(REAL, "get_provider_graph_assignment_info"):
        assert list(session.assignment) == [CPU]
        assert session.assignment[CPU] > 100


def test_the_real_runtime_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where CUDA is in the build but cannot run, ONNX Runtime opens a session on the CPU silently."""
    if CUDA not in ort.get_available_providers():
        pytest.skip("this build of ONNX Runtime has no CUDA")
    monkeypatch.setattr(engines, "_NVIDIA_DEVICES", ("/dev/null",))
    session = open_detector(read_detector(None), DetectorConfig(provider="auto")).session
    assert (session.provider == "cuda") == (session.fallback == "")
    if session.provider != "cuda":
        assert "runs on cpu instead of cuda: cuda: " in session.fallback
        # 1.31 says nothing and takes the CPU; with the CPU forbidden, older versions say that
        assert "fell back to CPUExecutionProvider" in session.fallback or "CPU EP" in session.fallback


def test_auto_takes_cuda_where_there_is_a_device(box: Box, tiny_file: Path) -> None:
    assert open_file(tiny_file).session.provider == "cuda"
    assert [chain[0][0] for chain, _, _ in box.opened] == [CUDA]  # TensorRT is never tried


def test_auto_without_accelerator_is_not_degraded(
    box: Box, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_NVIDIA_DEVICES", ())
    session = open_file(tiny_file).session
    assert (session.provider, session.fallback) == ("cpu", "")


def test_a_device_without_the_build_for_it_is_noticed(
    box: Box, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CPU])
    session = open_file(tiny_file).session
    assert session.provider == "cpu"
    assert "instead of cuda: cuda: not in this build of ONNX Runtime" in session.fallback
    with pytest.raises(ProviderError, match="not in this build"):
        open_file(tiny_file, provider="openvino")


def test_a_bad_detector_is_not_the_fault_of_the_provider(box: Box, tiny_file: Path) -> None:
    box.on_run = fail("broken", CUDA, CPU)
    with pytest.raises(DetectorError, match=r"cannot be opened at 64x64.*cuda: .*broken; cpu: .*broken"):
        open_file(tiny_file, provider="cuda", provider_fallback=True)


def test_options_of_cuda_and_openvino(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = PROVIDERS["openvino"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: [openvino, CUDA, CPU])
    for provider in ("cuda", "openvino"):
        config = DetectorConfig.model_validate({"provider": provider, "threads": 2})
        open_detector(read_detector(None), config)
    (cuda, *_), (other, *_) = (chain for chain, _, _ in box.opened)
    assert cuda == (CUDA, {"cudnn_conv_algo_search": "HEURISTIC"})
    assert other == (openvino, {"num_of_threads": "2"})


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_tensorrt_computes_in_the_detectors_precision(precision: str) -> None:
    assert engines.tensorrt_options(Path("/engines/key"), precision) == {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": "/engines/key",
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": "/engines/key",
        "trt_fp16_enable": "True" if precision == "fp16" else "False",
        "trt_int8_enable": "True" if precision == "int8" else "False",
    }


def test_the_engine_is_built_once_and_said_so(
    box: Box, tiny_file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_file.parent / "engines"

    def build(name: str) -> None:
        if name == TENSORRT:
            [place] = folder.iterdir()
            (place / "graph.engine").write_bytes(b"engine")

    box.on_open = build
    caplog.set_level(logging.INFO, "edge.detection.providers")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tiny_file.parent / "notify"))
        supervisor.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tiny_file.parent / "notify"))
        session = open_file(tiny_file, provider="tensorrt").session
        assert supervisor.recv(4096) == b"EXTEND_TIMEOUT_USEC=1800000000"
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert session.provider == "tensorrt"
    [place] = folder.iterdir()
    [(chain, _, _)] = box.opened  # one session: a second one would build a second engine
    assert chain == [(TENSORRT, engines.tensorrt_options(place, "fp32")), (CUDA, {}), (CPU, {})]
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, place)] == [0o700, 0o700]
    first = caplog.text
    assert "building the TensorRT engine, first start only; this can take minutes" in first
    assert "TensorRT engine built in" in first

    caplog.clear()
    open_file(tiny_file, provider="tensorrt")
    assert list(folder.iterdir()) == [place]
    assert f"TensorRT engine in {place}" in caplog.text
    assert "building" not in caplog.text

    box.on_open = fail("could not deserialize", TENSORRT)
    with pytest.raises(ProviderError, match=rf"could not deserialize.*rm -r {place}"):
        open_file(tiny_file, provider="tensorrt")


def settings_of(folder: Path) -> Settings:
    return Settings(b"", "a" * 64, "fp32", (640, 384), 0, folder)


def test_whatever_an_engine_depends_on_changes_its_folder(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = settings_of(tmp_path)
    keys = [engines.engine_key(base), engines.engine_key(replace(base, sha256="b" * 64))]
    keys.append(engines.engine_key(replace(base, precision="fp16")))
    keys.append(engines.engine_key(replace(base, size=(384, 640))))
    for module, name, value in (
        (engines, "gpu", lambda: ("Orin (nvgpu)", "9.0")),
        (engines, "gpu", lambda: ("Xavier", "8.7")),
        (engines, "tensorrt_version", lambda: "101400"),
        (ort, "__version__", "1.99.0"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            keys.append(engines.engine_key(base))
    assert all(one != other for one, other in itertools.combinations(keys, 2))
    assert engines.engine_key(replace(base, threads=4, cache_folder=Path("/x"))) == keys[0]
    assert keys[0].startswith("fp32-640x384-")


def test_a_folder_that_others_may_write_is_refused(box: Box, tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "engines")
    folder = engines.engine_folder(settings)
    folder.chmod(0o777)
    with pytest.raises(ProviderError, match=rf"{folder} .*chmod 700"):
        engines.engine_folder(settings)
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(ProviderError, match="must be a folder of this user"):
        engines.engine_folder(settings)


def test_a_folder_that_cannot_be_used_is_named(
    box: Box, tmp_path: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ProviderError, match=rf"{tmp_path}/file/.*detector\.cache_folder"):
        open_file(tiny_file, provider="tensorrt", cache_folder=tmp_path / "file")
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)
        with pytest.raises(ProviderError, match=r"not writable; correct detector\.cache_folder"):
            open_file(tiny_file, provider="tensorrt")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**20))
    with pytest.raises(ProviderError, match="1 MiB free"):
        open_file(tiny_file, provider="tensorrt")
    assert box.opened == []


def test_tensorrt_gets_a_fixed_size(box: Box, tmp_path: Path) -> None:
    """It would build an engine for each size; tiles take what one canvas cannot."""
    free = Settings(b"", "0" * 64, "fp32", None, 1, tmp_path)
    with pytest.raises(ProviderError, match=r"fixed size; set detector\.canvas"):
        engines.open_session("tensorrt", free)
    for canvas, size in ((None, (1920, 1088)), ("640x384", (640, 384))):
        config = DetectorConfig(provider="tensorrt", canvas=canvas, cache_folder=tmp_path)
        detector = open_detector(read_detector(None), config)
        assert (detector.session.provider, detector.session.size) == ("tensorrt", size)
        sizes = {(v.letterbox.width, v.letterbox.height) for v in detector.views(3840, 2160)}
        assert sizes == {size}


class FakeCuda:
    """The five calls of the CUDA driver interface that are used."""

    def __init__(self, code: int = 0) -> None:
        self.code = code

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self.code

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:  # noqa: N802
        return self.code

    def cuDeviceGetName(self, name: Any, length: int, device: Any) -> int:  # noqa: N802
        name.value = b"NVIDIA Test"
        return self.code

    def cuDeviceGetAttribute(self, value: Any, which: int, device: Any) -> int:  # noqa: N802
        value._obj.value = {75: 8, 76: 7}[which]
        return self.code


def test_the_gpu_is_asked_from_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def load(name: str) -> FakeCuda:
        asked.append(name)
        return FakeCuda()

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert engines.gpu() == ("NVIDIA Test", "8.7")
    assert asked == ["libcuda.so.1"]
    monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeCuda(100))
    with pytest.raises(ProviderError, match="reports no GPU"):
        engines.gpu()


def test_the_version_is_that_of_the_library_which_the_provider_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_LIBRARIES", tmp_path)
    with pytest.raises(ProviderError, match="no TensorRT library"):
        engines.tensorrt_version()
    (tmp_path / "libonnxruntime_providers_tensorrt.so").write_bytes(b"\0libnvinfer.so.10\0libc.so.6\0")

    def missing(name: str) -> object:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(ProviderError, match=r"libnvinfer\.so\.10: cannot open.*LD_LIBRARY_PATH"):
        engines.tensorrt_version()
    libraries = {"libnvinfer.so.10": SimpleNamespace(getInferLibVersion=lambda: 101300)}
    monkeypatch.setattr(ctypes, "CDLL", libraries.__getitem__)
    assert engines.tensorrt_version() == "101300"


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_shipped_detector_suits_every_target(name: ShippedName) -> None:
    ir = pytest.importorskip("onnx_ir", reason="the conversion is not installed")
    pytest.importorskip("onnxscript", reason="the conversion is not installed")
    import onnx

    from convert.choices import TARGETS
    from convert.passes.constants import FoldConstants
    from convert.passes.select import MAX_CANDIDATES
    from convert.targets import problems

    proto = onnx.load_from_string(read_detector(None, name).data)
    sides = proto.graph.input[0].type.tensor_type.shape.dim
    for side, value in zip(sides, (1, 384, 640), strict=False):
        side.dim_value = value
    for output in proto.graph.output:
        output.type.tensor_type.shape.dim[0].dim_value = 1
        output.type.tensor_type.shape.dim[1].dim_value = MAX_CANDIDATES
    model = ir.from_proto(proto)
    FoldConstants()(model)
    assert {target: problems(model, target) for target in TARGETS} == {target: [] for target in TARGETS}


@pytest.mark.parametrize("canvas", [None, "640x384"])
def test_openvino_really(canvas: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if PROVIDERS["openvino"] not in ort.get_available_providers():
        pytest.skip("this build of ONNX Runtime has no OpenVINO (pip install onnxruntime-openvino)")
    monkeypatch.setattr(engines, "_NVIDIA_DEVICES", ())
    for provider in ("openvino", "auto"):
        detector = open_detector(
            read_detector(None), DetectorConfig.model_validate({"provider": provider, "canvas": canvas})
        )
        assert (detector.session.provider, detector.session.fallback) == ("openvino", "")
        assert detector.session.assignment.get(PROVIDERS["openvino"], 1) > 0
        assert known_face.check(detector) > known_face.MIN_IOU
