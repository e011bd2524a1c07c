"""``edge keygen`` and ``edge decrypt``: only what passes authentication is written."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from edge.commands.decrypt import decrypt_files
from edge.errors import ConfigError
from edge.store.encryption import SUFFIX, decrypt, encrypt, identities_of, new_identity, recipient_of
from tests.conftest import DATA
from tests.store.keys import JPEG, SECRET, Run, contents, lock, shows


def test_keygen_writes_a_private_file_and_prints_the_public_key(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "keys" / "box.txt"
    result = run("keygen", "--out", path)
    assert result.returncode == 0, result.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert re.fullmatch(
        r"# created: \S+\n# public key: (age1[0-9a-z]{58})\nAGE-SECRET-KEY-1[0-9A-Z]{58}\n", text
    )
    public = re.findall(r"age1[0-9a-z]{58}", text)[0]
    assert f"public key: {public}\n" in result.stdout
    assert f'recipient = "{public}"' in result.stdout
    assert "must not be on the box" in result.stdout
    assert "AGE-SECRET-KEY" not in result.stdout + result.stderr
    assert decrypt(encrypt(b"x", recipient_of(public)), identities_of(text, "test")) == b"x"

    again = run("keygen", "--out", path)
    assert again.returncode == 1
    assert "File exists" in again.stderr
    assert path.read_text() == text
    assert os.listdir(path.parent) == ["box.txt"]


NAMES = (
    "front/2024-05-06/a.jpg",
    "front/2024-05-06/new\nline.jpg",
    "yard/b\udcffd \x1b[2J.png",
    ".hidden.webp",
)


def test_decrypt_writes_what_was_stored_and_keeps_the_paths(
    tmp_path: Path, run: Run, key: tuple[str, str], identity: Path
) -> None:
    images = {name: JPEG + os.urandom(9) for name in NAMES}
    for name, data in images.items():
        lock(tmp_path / "images" / (name + SUFFIX), key[1], data)
    (tmp_path / "images" / "plain.jpg").write_bytes(b"not encrypted")
    alone = lock(tmp_path / "alone.jpg.age", key[1])
    before = contents(tmp_path / "images")
    out = tmp_path / "images" / "out"  # below an input; it is not searched itself
    result = run("decrypt", tmp_path / "images", alone, "--identity", identity, "--out", out)
    assert result.returncode == 0, result.stdout + result.stderr
    assert contents(out) == {**images, "alone.jpg": JPEG}
    assert result.stdout.startswith(f"5 decrypted to {out}, 1 other files left alone, 0 refused; ")
    assert result.stderr == ""
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.rglob("*.jpg")} == {0o600}
    for name, data in before.items():
        assert (tmp_path / "images" / name).read_bytes() == data

    again = run("decrypt", tmp_path / "images", "--identity", identity, "--out", out)
    assert again.returncode == 0
    assert again.stdout.startswith(
        f"0 decrypted to {out}, 4 there already, 1 other files left alone, 0 refused"
    )


def test_decrypt_lists_what_it_refuses_and_writes_nothing_of_it(
    tmp_path: Path, run: Run, key: tuple[str, str], identity: Path
) -> None:
    folder = tmp_path / "images"
    good = lock(folder / "good.jpg.age", key[1]).read_bytes()
    (folder / "flipped.jpg.age").write_bytes(good[:-9] + bytes([good[-9] ^ 1]) + good[-8:])
    (folder / "cut\n.jpg.age").write_bytes(good[:-1])
    (folder / "empty.jpg.age").write_bytes(b"")
    (folder / "plain.jpg.age").write_bytes(JPEG)
    (folder / "folder.age" / "x").mkdir(parents=True)
    os.mkfifo(folder / "pipe.age")
    (folder / "gone.age").symlink_to("nowhere")
    lock(folder / "other.jpg.age", new_identity()[1])
    lock(folder / "different.jpg.age", key[1])
    for name in ("...age", "..age", ".age"):  # without their ending these are folders
        lock(folder / name, key[1])
    out = tmp_path / "out"
    out.mkdir()
    (out / "different.jpg").write_bytes(b"mine")

    result = run(
        "decrypt", folder, folder / "...age", tmp_path / "no.age", "--identity", identity, "--out", out
    )
    assert result.returncode == 1
    assert contents(out) == {"good.jpg": JPEG, "different.jpg": b"mine"}
    reasons = {
        "flipped.jpg.age": "damaged",
        "cut\\n.jpg.age": "damaged",
        "empty.jpg.age": "not an age file",
        "plain.jpg.age": "not an age file",
        "pipe.age": "not a regular file",
        "gone.age": "No such file",
        "other.jpg.age": "no identity can open it",
        "different.jpg.age": "is there and different",
        "...age": "its name has no",
        "no.age": "No such file",
    }
    lines = [line for line in result.stdout.splitlines() if line.startswith("refused ")]
    for name, reason in reasons.items():
        assert [line for line in lines if f'/{name}": ' in line and reason in line], name
    assert len(lines) == len(reasons)
    assert f"1 decrypted to {out}, 3 other files left alone, {len(reasons)} refused" in result.stdout


def test_decrypt_needs_a_good_identity_file(tmp_path: Path, key: tuple[str, str]) -> None:
    image = lock(tmp_path / "a.jpg.age", key[1])
    out = tmp_path / "out"
    bad = {
        "none.txt": None,
        "binary.txt": b"\xff\xfe",
        "long.txt": b"#" * 70_000,
        "public.txt": key[1].encode(),
        "cut.txt": SECRET[:-1].encode(),
    }
    for name, data in bad.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(ConfigError, match=name) as caught:
            decrypt_files([image], out, tmp_path / name, Console())
        assert not shows(SECRET, str(caught.value))
    assert not out.exists()


def test_an_identity_file_that_others_can_read_is_warned_of(
    tmp_path: Path, run: Run, key: tuple[str, str], identity: Path
) -> None:
    image = lock(tmp_path / "a.jpg.age", key[1])
    identity.chmod(0o640)
    result = run("decrypt", image, "--identity", identity, "--out", tmp_path / "out")
    assert result.returncode == 0
    assert "other users can read" in result.stderr
    assert "0640" in result.stderr
    assert (tmp_path / "out" / "a.jpg").read_bytes() == JPEG


def test_the_command_names_the_missing_extra(tmp_path: Path, run: Run, identity: Path) -> None:
    (tmp_path / "without" / "pyrage").mkdir(parents=True)
    (tmp_path / "without" / "pyrage" / "__init__.py").write_text("raise ImportError('not here')")
    without = {"PYTHONPATH": str(tmp_path / "without")}
    result = run("decrypt", tmp_path, "--identity", identity, "--out", tmp_path / "out", env=without)
    assert result.returncode == 78
    assert "pip install 'edge-anonymizer[encrypt]'" in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_standard_age_program_opens_images_and_its_files_are_opened(
    tmp_path: Path, run: Run, key: tuple[str, str], identity: Path
) -> None:
    age, keygen = shutil.which("age"), shutil.which("age-keygen")
    if age is None or keygen is None:
        pytest.skip("needs the programs age and age-keygen (Debian: apt install age)")
    ours = lock(tmp_path / "ours.jpg.age", key[1])
    opened = subprocess.run([age, "-d", "-i", identity, ours], capture_output=True, check=True, timeout=60)
    assert opened.stdout == JPEG
    told = subprocess.run([keygen, "-y", identity], capture_output=True, check=True, text=True, timeout=60)
    assert told.stdout.strip() == key[1]

    theirs = tmp_path / "theirs.txt"
    subprocess.run([keygen, "-o", theirs], capture_output=True, check=True, timeout=60)
    public = re.findall(r"age1[0-9a-z]{58}", theirs.read_text())[0]
    target = tmp_path / "theirs.jpg.age"
    subprocess.run([age, "-r", public, "-o", target, DATA / "astronaut.jpg"], check=True, timeout=60)
    result = run("decrypt", target, "--identity", theirs, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "out" / "theirs.jpg").read_bytes() == JPEG
    altered = bytearray(ours.read_bytes())
    altered[-1] ^= 1
    ours.write_bytes(bytes(altered))
    refused = subprocess.run([age, "-d", "-i", identity, ours], capture_output=True, check=False, timeout=60)
    assert refused.returncode != 0
