"""A detector whose weights lie in another file, or that is no file of its own, never runs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge import contract
from edge.detection.session import read_detector
from edge.errors import ContractError, DetectorError, EdgeError
from tests.conftest import DATA
from tests.models import GOOD, save, tiny
from tests.privacy.conftest import Proof
from tests.privacy.daemon import run_bare, write_config
from tests.privacy.test_files_model import BOXES, SCORES, SHIPPED, open_file, small, write

DIGEST = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()


def external(location: str) -> onnx.TensorProto:
    """Two floats that lie in another file; these bytes are all that is said about it."""
    tensor = numpy_helper.from_array(np.array(SCORES, np.float32)[None], "elsewhere")
    onnx.external_data_helper.set_external_data(tensor, location)
    tensor.ClearField("raw_data")
    return tensor


def in_weights(tensor: onnx.TensorProto) -> onnx.ModelProto:
    model = small()
    [old] = [weight for weight in model.graph.initializer if weight.name == "score"]
    tensor.name = "score"
    old.CopyFrom(tensor)
    return model


def in_constant(tensor: onnx.TensorProto) -> onnx.ModelProto:
    model = small()
    model.graph.initializer.remove(next(w for w in model.graph.initializer if w.name == "score"))
    model.graph.node.insert(0, helper.make_node("Constant", [], ["score"], value=tensor))
    return model


def _in_branch(nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto]) -> onnx.ModelProto:
    """The scores are computed in both branches of an If."""
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, [1, 2])
    branch = helper.make_graph(nodes, "branch", [], [result], weights)
    model = small()
    model.graph.node.pop()  # the Add that makes the scores
    model.graph.initializer.remove(next(w for w in model.graph.initializer if w.name == "score"))
    model.graph.node.extend(
        [
            helper.make_node("Cast", ["nothing"], ["condition"], to=TensorProto.BOOL),
            helper.make_node("If", ["condition"], [contract.SCORES], then_branch=branch, else_branch=branch),
        ]
    )
    return model


def in_weights_of_a_branch(tensor: onnx.TensorProto) -> onnx.ModelProto:
    return _in_branch([helper.make_node("Identity", ["elsewhere"], ["result"])], [tensor])


def in_constant_of_a_branch(tensor: onnx.TensorProto) -> onnx.ModelProto:
    return _in_branch([helper.make_node("Constant", [], ["result"], value=tensor)], [])


def as_written(data: bytes, location: bytes) -> bytes:
    return data


def value_before_key(data: bytes, location: bytes) -> bytes:
    """The same message with its two fields in the other order, which protobuf allows."""
    key, value = b"\n\x08location", b"\x12" + bytes([len(location)]) + location
    assert key + value in data
    return data.replace(key + value, value + key)


PLACES = (in_weights, in_constant, in_weights_of_a_branch, in_constant_of_a_branch)


@pytest.mark.parametrize("order", [as_written, value_before_key])
@pytest.mark.parametrize("place", PLACES)
def test_weights_in_another_file_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: Callable[[onnx.TensorProto], onnx.ModelProto],
    order: Callable[[bytes, bytes], bytes],
    proof: Proof,
) -> None:
    """The hash does not cover them. Each of these files exists and would do."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.chdir(folder)
    weights = np.array(SCORES, np.float32).tobytes()
    for path in (tmp_path / "w.bin", folder / "w.bin"):
        path.write_bytes(weights)
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    locations = ("w.bin", "./w.bin", "../w.bin", "../models/w.bin", "link.bin", str(tmp_path / "w.bin"))
    for location in locations:
        data = order(place(external(location)).SerializeToString(), location.encode())
        with pytest.raises((ContractError, DetectorError)):
            open_file(write(data, folder / "tiny.onnx"))
    # The control: with the weights inside, this very graph opens
    inside = numpy_helper.from_array(np.array(SCORES, np.float32)[None], "elsewhere")
    assert open_file(save(place(inside), folder / "tiny.onnx")).session.name == "tiny"
    proof(faults=len(locations))


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def zeros(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100 * 2**20)


ODD_FILES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "folder": Path.mkdir,
    "link to itself": loop,
    "link to nothing": lambda path: path.symlink_to("gone"),
    "device": lambda path: path.symlink_to("/dev/null"),
    "empty": Path.touch,
    "100 MB of zeros": zeros,
    "text": lambda path: path.write_text("no detector"),
    "half": lambda path: path.write_bytes(SHIPPED.read_bytes()[: SHIPPED.stat().st_size // 2]),
    "tail": lambda path: path.write_bytes(SHIPPED.read_bytes() + b"\0"),
}


@pytest.mark.parametrize("stated", ["own", "shipped"])
@pytest.mark.parametrize("what", list(ODD_FILES))
def test_what_is_no_detector_is_refused(tmp_path: Path, what: str, stated: str, proof: Proof) -> None:
    """Beside it lies the hash of these very bytes, or that of the shipped detector."""
    path = tmp_path / "model.onnx"
    ODD_FILES[what](path)
    data = path.read_bytes() if path.is_file() and stated == "own" else SHIPPED.read_bytes()
    path.with_suffix(".sha256").write_text(hashlib.sha256(data).hexdigest())
    with pytest.raises(EdgeError) as caught:
        open_file(path)
    assert "model" in str(caught.value)
    proof(faults=1)


@pytest.mark.parametrize(
    "name", [".", "/", "..", "\0", "a\0b.onnx", "a" * 300 + ".onnx", "a/" * 3000 + "b.onnx"]
)
def test_a_path_that_names_no_file_is_refused(name: str, proof: Proof) -> None:
    with pytest.raises(EdgeError):
        open_file(Path(name))
    proof(faults=1)


ODD_HASHES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "empty": Path.touch,
    "spaces": lambda path: path.write_text(" \n\t\n"),
    "binary": lambda path: path.write_bytes(bytes.fromhex(DIGEST)),
    "no text": lambda path: path.write_bytes(b"\xff\xfe" + DIGEST.encode("utf-16-le")),
    "another's": lambda path: path.write_text(f"{hashlib.sha256(b'').hexdigest()}  model.onnx\n"),
    "first half": lambda path: path.write_text(DIGEST[:32]),
    "one digit more": lambda path: path.write_text(DIGEST + "0"),
    "second line": lambda path: path.write_text(f"{'0' * 64}  model.onnx\n{DIGEST}  model.onnx\n"),
    "name first": lambda path: path.write_text(f"model.onnx  {DIGEST}\n"),
    "folder": Path.mkdir,
    "link to itself": loop,
}


@pytest.mark.parametrize("what", list(ODD_HASHES))
def test_without_its_own_hash_a_detector_is_refused(tmp_path: Path, what: str, proof: Proof) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(SHIPPED.read_bytes())
    ODD_HASHES[what](path.with_suffix(".sha256"))
    with pytest.raises(DetectorError, match=r"model\.sha256"):
        read_detector(path)
    proof(faults=1)


def flipped(path: Path) -> None:
    data = bytearray(SHIPPED.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    path.with_suffix(".sha256").write_text(DIGEST)


def from_the_future(path: Path) -> None:
    save(tiny(BOXES, SCORES, metadata={**GOOD.to_metadata(), "edge.contract_version": "5"}), path)


def without_metadata(path: Path) -> None:
    save(tiny(BOXES, SCORES, metadata={}), path)


def leads_elsewhere(path: Path) -> None:
    write(value_before_key(in_weights_of_a_branch(external("w.bin")).SerializeToString(), b"w.bin"), path)
    (path.parent / "w.bin").write_bytes(np.array(SCORES, np.float32).tobytes())


def pipe(path: Path) -> None:
    os.mkfifo(path)
    path.with_suffix(".sha256").write_text(DIGEST)


def pipe_beside(path: Path) -> None:
    path.write_bytes(SHIPPED.read_bytes())
    os.mkfifo(path.with_suffix(".sha256"))


COMMAND_CASES: dict[Callable[[Path], None], str] = {
    flipped: "was changed or is incomplete",
    from_the_future: "contract version 5",
    without_metadata: "metadata key 'edge.contract_version' is missing",
    leads_elsewhere: "external data",
    pipe: "not a regular file",
    pipe_beside: "not a regular file",
}


@pytest.mark.slow
@pytest.mark.parametrize("case", COMMAND_CASES)
def test_the_daemon_does_not_start_on_it(
    tmp_path: Path, edge_script: str, case: Callable[[Path], None], proof: Proof
) -> None:
    model = tmp_path / "model.onnx"
    case(model)
    config = write_config(tmp_path, {"front": (DATA, "")}, f'path = "{model}"')
    before = sorted(path for path in tmp_path.rglob("*"))
    done = run_bare([edge_script, "run", "--config", str(config)], tmp_path)
    assert done.returncode == 1, done.stderr
    assert COMMAND_CASES[case] in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path for path in tmp_path.rglob("*")) == sorted([*before, tmp_path / "home"])
    proof(faults=1)
