"""Damaged SavedModels end in a sentence or in a detector that passed parity, whatever is damaged.

Run as a program, it works through a range of cases in one process: TensorFlow takes seconds to load.
Where a case brings that process down, the test goes on behind it.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

for _package in ("tensorflow", "tf2onnx", "onnxscript"):  # looked up only: loading them is for the children
    if importlib.util.find_spec(_package) is None:
        pytest.skip(f"{_package} is not installed: needs the convert extra", allow_module_level=True)

from convert import isolated  # noqa: E402
from convert.errors import ConvertError, ParityError  # noqa: E402
from convert.options import ModelOptions  # noqa: E402
from convert.request import BuildRequest, no_progress  # noqa: E402
from edge.errors import DetectorError, EdgeError, PictureError  # noqa: E402
from tests.sweeping import fewer  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
CASES = max(25, fewer(100))
SECONDS_PER_CASE = 60
OPTIONS = {"exported": ModelOptions(), "generic": ModelOptions(input_range="0..1", box_format="yxyx")}
PARTS = (
    "saved_model.pb",
    "fingerprint.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
)


def cut_off(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def flip_bits(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 50)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def flip_one_bit(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def overwrite(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data))
    length = min(rng.randint(1, 2000), len(data) - place)
    data[place : place + length] = rng.randbytes(length)


def fill_with_zeros(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data))
    length = rng.randint(1, len(data) - place)
    data[place : place + length] = bytes(length)


def drop_a_block(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data))
    del data[place : place + rng.randint(1, 500)]


def append(data: bytearray, rng: random.Random) -> None:
    data += rng.randbytes(rng.randint(1, 500))


def change_a_number(data: bytearray, rng: random.Random) -> None:
    """Digits are sides of shapes and counts in the graph's text parts."""
    digits = [place for place, byte in enumerate(data) if 0x30 <= byte <= 0x39] or [0]
    data[rng.choice(digits)] = rng.choice(b"0123456789")


def nothing(data: bytearray, rng: random.Random) -> None:
    pass


DAMAGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    cut_off,
    flip_bits,
    flip_one_bit,
    overwrite,
    fill_with_zeros,
    drop_a_block,
    append,
    change_a_number,
)


def make_case(number: int, root: Path) -> tuple[Path, str, str]:
    """Damage a copy of a SavedModel; returns its path, which of the two it was, and what was done."""
    rng = random.Random(number)
    name = rng.choice(sorted(OPTIONS))
    folder = root / f"case{number}"
    shutil.copytree(root / name, folder)
    kind = number % 5
    if kind == 3:  # files missing or of the other model
        part = rng.choice([*PARTS, "variables"])
        if rng.random() < 0.5:
            shutil.rmtree(folder / part) if part == "variables" else (folder / part).unlink()
            return folder, name, f"{part} removed"
        other = next(other for other in OPTIONS if other != name)
        if part == "variables":
            shutil.rmtree(folder / part)
            shutil.copytree(root / other / part, folder / part)
        else:
            shutil.copy(root / other / part, folder / part)
        return folder, name, f"{part} of another model"
    target, where = folder, ""
    if kind == 4:
        target = folder / "model.zip"
        method = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
        with zipfile.ZipFile(target, "w", method) as archive:
            for part in PARTS:
                archive.write(folder / part, part)
        path, where = target, "the zip"
    else:
        # The checksum in fingerprint.pb finds damage first; without it, TensorFlow has to.
        if rng.random() < 0.6:
            (folder / "fingerprint.pb").unlink()
        where = rng.choice([part for part in PARTS if (folder / part).exists()] + ["saved_model.pb"] * 2)
        path = folder / where
    damage = nothing if number % 25 == 0 else rng.choice(DAMAGES)
    data = bytearray(path.read_bytes())
    damage(data, rng)
    path.write_bytes(data)
    return target, name, f"{where}: {damage.__name__}"


def work_through(root: Path, first: int, last: int) -> None:
    """The program: one line of JSON for each case."""
    from convert import child

    for number in range(first, last):
        path, name, what = make_case(number, root)
        out = root / f"out{number}"
        print(json.dumps({"case": number, "model": name, "damage": what}), flush=True)
        faulthandler.dump_traceback_later(SECONDS_PER_CASE, exit=True)
        begin = time.monotonic()
        error = ""
        try:
            child.build(BuildRequest(path, out, OPTIONS[name]), no_progress)
            kind = "published"
        except EdgeError as caught:
            kind, error = type(caught).__name__, str(caught)
        # As the last line of defence in convert.isolated.
        except Exception as caught:
            kind, error = f"other {type(caught).__name__}", str(caught)
        faulthandler.cancel_dump_traceback_later()
        left = sorted(file.name for file in out.rglob("*")) if out.exists() else []
        print(
            json.dumps(
                {"case": number, "kind": kind, "error": error, "left": left, "s": time.monotonic() - begin}
            ),
            flush=True,
        )
        shutil.rmtree(root / f"case{number}")


if __name__ == "__main__":
    work_through(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))


MAKE = """
import sys
from tests.saved_model_cache import saved_model
for name in sys.argv[1:]:
    print(saved_model(name))
"""


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two good SavedModels."""
    root = tmp_path_factory.mktemp("fuzz")
    done = subprocess.run(
        [sys.executable, "-c", MAKE, *OPTIONS], check=True, capture_output=True, text=True, cwd=ROOT
    )
    for name, folder in zip(OPTIONS, done.stdout.splitlines()[-len(OPTIONS) :], strict=True):
        shutil.copytree(folder, root / name)
    return root


@pytest.mark.sweep
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_damage_ends_in_a_sentence_or_a_good_detector(originals: Path) -> None:
    outcomes: dict[int, dict[str, Any]] = {}
    first = 0
    while first < CASES:
        done = subprocess.run(
            [sys.executable, "-m", "tests.convert.test_fuzz", str(originals), str(first), str(CASES)],
            capture_output=True,
            text=True,
            errors="replace",
            cwd=ROOT,
            timeout=850,
            check=False,
        )
        for line in done.stdout.splitlines():
            if line.startswith('{"case": '):
                part = json.loads(line)
                outcomes.setdefault(part["case"], {}).update(part)
        assert outcomes, done.stderr
        last = max(outcomes)
        if "kind" not in outcomes[last]:
            # A signal is what convert.isolated makes a message of; anything else is a hang or a bug here.
            assert done.returncode < 0, (outcomes[last], done.stderr[-3000:])
            outcomes[last] |= {"kind": "crash", "error": str(done.returncode), "s": 0.0}
            out = originals / f"out{last}"
            outcomes[last]["left"] = sorted(p.name for p in out.rglob("*")) if out.exists() else []
        first = last + 1
    assert sorted(outcomes) == list(range(CASES))
    bad = [o for o in outcomes.values() if not is_good(o)]
    kinds = Counter(outcome["kind"] for outcome in outcomes.values())
    print(dict(kinds), *(o for o in outcomes.values() if o["kind"].startswith(("other", "crash"))), sep="\n")
    assert not bad, json.dumps(bad, indent=1)
    assert all(outcomes[number]["kind"] == "published" for number in range(0, CASES, 25))
    assert kinds["ConvertError"] > CASES / 2


def is_good(outcome: dict[str, Any]) -> bool:
    if outcome["kind"] == "published":
        stem = "model" if outcome["damage"].startswith("the zip") else f"case{outcome['case']}"
        files = [f"{stem}-cpu-fp32.onnx", f"{stem}-cpu-fp32.sha256", "report.json", "report.md"]
        return bool(outcome["left"] == files)
    error = outcome["error"]
    said = outcome["kind"] == "crash" or len(error) > 20 or outcome["kind"].startswith("other")
    return said and "Traceback" not in error and not outcome["left"]


# What convert.isolated makes of the ways in which a child can end; these functions run in the child.


def returns(number: int, progress: Callable[[str], None]) -> dict[str, int]:
    progress("first")
    progress("second")
    return {"number": number}


def raises_convert_error(_: None, progress: Callable[[str], None]) -> None:
    raise ConvertError("no model; give one")


def raises_parity_error(_: None, progress: Callable[[str], None]) -> None:
    raise ParityError("a.jpg differs\nb.jpg too")


def raises_picture_error(_: None, progress: Callable[[str], None]) -> None:
    raise PictureError("broken.jpg is broken")


def raises_detector_error(_: None, progress: Callable[[str], None]) -> None:
    raise DetectorError("the hash differs")


def raises_anything(_: None, progress: Callable[[str], None]) -> None:
    raise ValueError("node 7 is odd\n  at line 3\n" + "x" * 1000)


def raises_without_a_word(_: None, progress: Callable[[str], None]) -> None:
    raise AssertionError


def recurses(_: None, progress: Callable[[str], None]) -> None:
    recurses(_, progress)


def aborts(_: None, progress: Callable[[str], None]) -> None:
    os.abort()


def is_killed(_: None, progress: Callable[[str], None]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def breaks_memory(_: None, progress: Callable[[str], None]) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leaves(_: None, progress: Callable[[str], None]) -> None:
    os._exit(3)


def exits(_: None, progress: Callable[[str], None]) -> None:
    sys.exit(3)


def returns_what_cannot_be_sent(_: None, progress: Callable[[str], None]) -> Any:
    return lambda: None


def talks(_: None, progress: Callable[[str], None]) -> str:
    print("to stdout")
    print("to stderr", file=sys.stderr)
    os.write(1, b"to descriptor 1\n")
    os.write(2, b"to descriptor 2\n")
    return "done"


ENDS: dict[Callable[..., Any], tuple[type[Exception], str]] = {
    raises_convert_error: (ConvertError, r"^no model; give one$"),
    raises_parity_error: (ParityError, r"^a.jpg differs\nb.jpg too$"),
    raises_picture_error: (ConvertError, r"^broken.jpg is broken$"),
    raises_detector_error: (ConvertError, r"^the hash differs$"),
    raises_anything: (ConvertError, r"^ValueError while working on this model: node 7 is odd; .*--verbose"),
    raises_without_a_word: (ConvertError, r"^AssertionError while working on this model"),
    recurses: (ConvertError, r"^RecursionError while working on this model"),
    aborts: (ConvertError, r"^TensorFlow crashed \(SIGABRT\).*get it again$"),
    breaks_memory: (ConvertError, r"^TensorFlow crashed \(SIGSEGV\).*get it again$"),
    is_killed: (ConvertError, r"^TensorFlow crashed \(SIGKILL\).*too little memory$"),
    leaves: (ConvertError, r"ended without a result \(exit code 3\)"),
    exits: (ConvertError, r"ended without a result \(exit code 3\)"),
    returns_what_cannot_be_sent: (ConvertError, r"ended without a result \(exit code 1\)"),
}


@pytest.mark.parametrize("end", ENDS, ids=lambda function: str(function.__name__))
def test_every_end_of_a_child_is_a_message(
    end: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    kind, text = ENDS[end]
    with pytest.raises(EdgeError) as caught:
        isolated.run(end, None, progress=no_progress)
    assert type(caught.value) is kind
    assert re.search(text, str(caught.value)), str(caught.value)
    assert len(str(caught.value)) < 700
    assert capfd.readouterr() == ("", "")


def test_a_result_and_the_stages_come_back() -> None:
    stages: list[str] = []
    assert isolated.run(returns, 7, progress=stages.append) == {"number": 7}
    assert stages == ["first", "second"]


def test_what_a_child_prints_is_for_verbose_only(capfd: pytest.CaptureFixture[str]) -> None:
    assert isolated.run(talks, None, progress=no_progress) == "done"
    assert capfd.readouterr() == ("", "")
    assert isolated.run(talks, None, progress=no_progress, verbose=True) == "done"
    said = "".join(capfd.readouterr())
    assert all(f"to {way}" in said for way in ("stdout", "stderr", "descriptor 1", "descriptor 2"))


# The whole command on damaged models.

COMMAND = [sys.executable, "-c", "from convert.cli import app; app()"]


def test_the_command_refuses_a_damaged_graph(originals: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "faces", tmp_path / "out"
    shutil.copytree(originals / "exported", folder)
    graph = folder / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:-2000])
    done = subprocess.run(
        [*COMMAND, "build", str(folder), "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert not done.stdout
    message = [line for line in done.stderr.splitlines() if not line.endswith(" ...")]
    assert len(message) == 1, done.stderr
    assert message[0].startswith("edge-convert: ")
    assert "damaged" in message[0]
    assert not out.exists() or not list(out.iterdir())


def child_of(pid: int) -> int:
    """The process that runs the conversion."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]
    assert len(found) == 1
    return found[0]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for the child in /proc")
@pytest.mark.parametrize("stage", ["load it in TensorFlow", "compare cpu with TensorFlow"])
def test_the_command_survives_the_end_of_its_child(originals: Path, tmp_path: Path, stage: str) -> None:
    """As when memory runs out."""
    out = tmp_path / "out"
    running = subprocess.Popen(
        [*COMMAND, "build", str(originals / "exported"), "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith(stage):
            os.kill(child_of(running.pid), signal.SIGKILL)
            break
    output, rest = running.communicate(timeout=60)
    assert running.returncode == 1
    assert not output
    assert "edge-convert: TensorFlow crashed (SIGKILL)" in rest
    assert "too little memory" in rest
    assert "Traceback" not in rest
    assert not out.exists() or not list(out.iterdir())
