"""A configuration of any bytes is either refused by name, or a whole and valid one. No third outcome.

Names of cameras become names of folders, so they are attacked here as well. Run as a program, this file is
``edge config check`` on many files: ``python -m tests.privacy.test_files_config FILE...``.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.commands.sample import sample_text
from edge.config import Config, read_config
from edge.config.whole import NAME
from edge.errors import ConfigError
from tests.conftest import DATA
from tests.privacy.conftest import Proof
from tests.privacy.daemon import run_bare
from tests.sweeping import sampled

ROOT = Path(__file__).resolve().parents[2]
CAMERA = '[cameras.front]\nsource = "/dev/video0"\n'
BIG, BIG_HEX = "9" * 5000, "0x" + "f" * 5000
VALUES = [
    "1e400", "-1", "0", "nan", "-inf", BIG, BIG_HEX, f"[1, 2, {BIG_HEX}]", "true", "{}", "[]", "[[]]", "''",
    '"../x"', '"\\u0000"', '"a\\u0000b"', '"\\n\\u001b[2J"', "1979-05-27", "1979-05-27T07:32:00Z", "25:61:61",
    '"""', "'''", '"', "{a = {b = {}}}", "[" * 200 + "]" * 200, "[" * 5000, f'"{"x" * 10_000}"', "_", "+1",
]  # fmt: skip
KEYS = [
    "source", "folder", "_cli_parse_args", "_env_file", "_env_prefix", "_secrets_dir", "_case_sensitive", "-",
    "__class__", "__init__", "self", "model_config", '""', '"../x"', '"\\u0000"', "cameras", "store.folder",
    "a." * 300 + "a", "é", "'_audit'", "fill", "0",
]  # fmt: skip
SECTIONS = [
    "[store]", "[[store]]", "[cameras]", "[cameras.'../x']", "[cameras.front.front]", "[store.folder]", "[]",
    "[_env_file]", "[privacy", "privacy]", f"[{'a.' * 300}a]", "[cameras.front]", "[a]", "[[cameras.front]]",
]  # fmt: skip
Random = np.random.Generator


def pick(rng: Random, things: list[str]) -> str:
    return things[int(rng.integers(len(things)))]


def change_bytes(text: bytes, rng: Random) -> bytes:
    """One to eight changes: a bit, a byte more or less, a piece twice, or the end cut off."""
    data = bytearray(text)
    for _ in range(int(rng.integers(1, 9))):
        place = int(rng.integers(len(data)))
        kind = rng.integers(5)
        if kind == 0:
            data[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data.insert(place, int(rng.integers(256)))
        elif kind == 2:
            del data[place : place + int(rng.integers(1, 20))]
        elif kind == 3:
            data[place:place] = data[place : place + int(rng.integers(1, 200))]
        elif rng.random() < 0.2:
            del data[place:]
        if not data:
            break
    return bytes(data)


def change_tokens(text: bytes, rng: Random) -> bytes:
    """One to four lines get another key, another value, or another section, move, or come twice."""
    lines = text.decode().splitlines()
    for _ in range(int(rng.integers(1, 5))):
        places = [n for n, line in enumerate(lines) if "=" in line or line.startswith("[")]
        place = places[int(rng.integers(len(places)))]
        key, _, value = lines[place].partition("=")
        kind = rng.integers(5)
        if lines[place].startswith("["):
            lines[place] = pick(rng, SECTIONS)
        elif kind == 0:
            lines[place] = f"{pick(rng, KEYS)} ={value}"
        elif kind == 1:
            lines.insert(int(rng.integers(len(lines))), lines[place])
        elif kind == 2:
            lines.insert(0, f"{pick(rng, KEYS)} = {pick(rng, VALUES)}")
        else:
            lines[place] = f"{key}= {pick(rng, VALUES)}"
    return "\n".join(lines).encode()


def bases() -> list[bytes]:
    """The sample as it is, one with every key that has a default in force, and the shortest there is."""
    spelled_out = re.sub(r"^#(\w+ = (?!\.\.\.))", r"\1", sample_text(), flags=re.MULTILINE)
    assert spelled_out.count("\n#") < sample_text().count("\n#") - 50
    return [sample_text().encode(), spelled_out.encode(), CAMERA.encode()]


def cases(count: int, seed: int) -> list[bytes]:
    rng = np.random.default_rng(seed)
    changes: list[Callable[[bytes, Random], bytes]] = [change_bytes, change_tokens, change_tokens]
    texts = bases()
    return [changes[n % 3](texts[int(rng.integers(3))], rng) for n in range(count)]


def outcome(path: Path) -> Config | str:
    """A valid configuration, or the message that refuses the file. Any other ending is a failure."""
    try:
        config = read_config(path)
    except ConfigError as error:
        return str(error)
    except (Exception, SystemExit) as error:
        pytest.fail(f"{type(error).__name__}: {str(error)[:200]}\n{path.read_text(errors='replace')[:5000]}")
    return config


def check(found: Config | str, path: Path) -> bool:
    """Whether it was accepted."""
    if isinstance(found, str):
        assert found.startswith(f"{path}: ")
        return False
    assert found.cameras
    assert all(NAME.fullmatch(name) for name in found.cameras)
    assert found.privacy.allow_reidentifiable or not found.blur.reidentifiable
    assert found.status.loopback or found.status.token_file or not found.status.enabled
    assert "\0" not in str(found.store.folder)
    return True


@pytest.mark.parametrize(
    ("count", "seed"),
    [(600, 1), *(pytest.param(2500, s, marks=pytest.mark.sweep) for s in sampled(range(2, 6)))],
)
def test_a_random_configuration_is_refused_by_name_or_valid(
    tmp_path: Path, count: int, seed: int, proof: Proof
) -> None:
    path = tmp_path / "edge.toml"
    for text in bases():
        path.write_bytes(text)
        assert check(outcome(path), path)
    accepted = 0
    for text in cases(count, seed):
        path.write_bytes(text)
        accepted += check(outcome(path), path)
    assert count * 0.02 < accepted < count * 0.6  # both endings are really met
    proof(faults=count)


@pytest.mark.parametrize("value", VALUES)
def test_a_hostile_value_is_refused_by_name_or_valid_under_every_key(
    tmp_path: Path, value: str, proof: Proof
) -> None:
    path = tmp_path / "edge.toml"
    lines = bases()[1].decode().splitlines()
    places = [n for n, line in enumerate(lines) if re.match(r"\w+ = ", line)]
    assert len(places) > 50
    for place in places:
        key = lines[place].partition(" =")[0]
        path.write_text("\n".join([*lines[:place], f"{key} = {value}", *lines[place + 1 :]]))
        check(outcome(path), path)
    proof(faults=len(places))


@pytest.mark.parametrize("key", sorted({*KEYS} - {"store.folder"}))  # that one is a good key
def test_a_hostile_key_at_the_top_is_refused(tmp_path: Path, key: str, proof: Proof) -> None:
    path = tmp_path / "edge.toml"
    values = ["true", "3", '"X"', '"/etc/passwd"', '["--help"]', "{}"]
    for value in values:
        path.write_text(f"{key} = {value}\n{CAMERA}")
        assert not check(outcome(path), path), value
    proof(faults=len(values))


LEAVING = [
    "../x", "..", ".", "", "a/b", "/etc", "_audit", "a\n", "a\0", "A", "a" * 33, ".hidden", "a b", "-x", "~",
    "$(x)", "ä", "..\\x", "a/../../x", "%2e%2e", "\x1b[2J",
]  # fmt: skip


@pytest.mark.parametrize("name", LEAVING)
def test_a_camera_name_cannot_leave_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, proof: Proof
) -> None:
    """Whether it comes from the file or from the environment."""
    path = tmp_path / "edge.toml"
    path.write_text(f"[cameras.{json.dumps(name)}]\nsource = {json.dumps(str(DATA))}\n")
    with pytest.raises(ConfigError, match="camera name"):
        read_config(path)
    path.write_text(CAMERA)
    monkeypatch.setenv("EDGE_CAMERAS", json.dumps({name: {"source": str(DATA)}}))
    with pytest.raises(ConfigError, match="camera name"):
        read_config(path)
    proof(faults=2)


COMMAND_CASES = [
    *(f"[store]\nquality = {value}\n" for value in (BIG, BIG_HEX, "[" * 5000, '"\\u0000"')),
    *(f"{key}\n" for key in ('_cli_parse_args = ["--help"]', '_env_file = "/etc/passwd"', "self = 1")),
    *('[store]\nfolder = "\\u0000"\n', "[cameras.'../x']\nsource = 'x'\n", "\0"),
]


def check_by_command(paths: list[str]) -> None:
    """What ``edge config check`` makes of each file: print its exit code, stdout and stderr as JSON.

    Each is a process of its own, forked after the import, which takes most of the time of a command.
    """
    from edge.cli import app

    for path in paths:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = os.fork()
            if child == 0:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                app(["config", "check", path])
            _, status = os.waitpid(child, 0)
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        print(json.dumps([os.waitstatus_to_exitcode(status), *texts]))


@pytest.mark.slow
def test_the_command_ends_as_it_says(tmp_path: Path, proof: Proof) -> None:
    texts = [(text + CAMERA).encode() for text in COMMAND_CASES] + cases(11, 99)
    paths = [tmp_path / f"{number}.toml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text)
    done = run_bare(
        [sys.executable, "-m", "tests.privacy.test_files_config", *map(str, paths)], tmp_path, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ends) == len(paths)
    for path, (code, stdout, stderr) in zip(paths, ends, strict=True):
        assert "Traceback" not in stderr
        assert code in (0, 78), stderr
        if code == 0:
            assert stdout.startswith(f"{path}: ok (cameras: ")
        else:
            assert stdout == ""
            assert stderr.startswith(f"edge: {path}: ")
    assert [code for code, _, _ in ends[: len(COMMAND_CASES)]] == [78] * len(COMMAND_CASES)
    assert set(tmp_path.rglob("*")) == {*paths, tmp_path / "home"}
    proof(faults=len(texts))


if __name__ == "__main__":
    check_by_command(sys.argv[1:])
