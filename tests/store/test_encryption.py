"""With ``store.recipient`` the box cannot read its images; ``edge decrypt`` writes only what is proven."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage  # type: ignore[import-untyped]
import pytest
from rich.console import Console

from edge.commands.decrypt import decrypt_files
from edge.config import StoreConfig, make_config, read_config
from edge.errors import ConfigError, StoreError
from edge.store.encryption import SUFFIX, decrypt, encrypt, identities_of, new_identity, recipient_of
from edge.store.usage import Usage
from tests.conftest import DATA

JPEG = (DATA / "astronaut.jpg").read_bytes()
SECRET = "AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0S5JKWZ4"
ALL_ZERO = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z"
"""Well formed, but no key: X25519 with it gives zeros, at which the library panics."""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def key() -> tuple[str, str]:
    """The text of an identity file, and the public key."""
    return new_identity()


@pytest.fixture
def identity(key: tuple[str, str], tmp_path: Path) -> Path:
    path = tmp_path / "key.txt"
    path.write_text(key[0])
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def run(edge_script: str) -> Run:
    """Run ``edge`` with arguments; ``env`` is added to the environment."""

    def run(*arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [edge_script, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "COLUMNS": "300", **(env or {})},
        )

    return run


def lock(path: Path, public: str, data: bytes = JPEG) -> Path:
    """Write an encrypted file as the store does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encrypt(data, recipient_of(public)))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if not path.is_dir()
    }


# The library


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 1_000_000], ids=str)
def test_what_was_encrypted_comes_back(key: tuple[str, str], size: int) -> None:
    data = os.urandom(size)
    encrypted = encrypt(data, recipient_of(key[1]))
    assert encrypted.startswith(b"age-encryption.org/v1\n")
    assert encrypted != encrypt(data, recipient_of(key[1]))
    assert decrypt(encrypted, identities_of(key[0], "test")) == data


def test_the_picture_does_not_show_in_what_is_stored(key: tuple[str, str]) -> None:
    encrypted = encrypt(JPEG, recipient_of(key[1]))
    assert 0 < len(encrypted) - len(JPEG) < 1000
    pieces = {JPEG[i : i + 8] for i in range(len(JPEG) - 7)}
    assert len(pieces) > 10_000
    assert not pieces & {encrypted[i : i + 8] for i in range(len(encrypted) - 7)}


def test_the_public_key_alone_encrypts_and_cannot_decrypt(key: tuple[str, str]) -> None:
    recipient = recipient_of(key[1])
    encrypted = encrypt(JPEG, recipient)
    with pytest.raises(ConfigError, match="line 1: not an age private key"):
        identities_of(key[1], "test")
    with pytest.raises(StoreError, match="no identity opens it"):
        decrypt(encrypted, [])
    with pytest.raises(StoreError, match="no identity opens it"):
        decrypt(encrypted, identities_of(new_identity()[0], "test"))


def test_any_flipped_bit_and_any_cut_is_refused(key: tuple[str, str]) -> None:
    encrypted = encrypt(b"a picture", recipient_of(key[1]))
    identities = identities_of(key[0], "test")
    assert decrypt(encrypted, identities) == b"a picture"
    for place in range(len(encrypted)):
        for bit in range(8):
            altered = bytearray(encrypted)
            altered[place] ^= 1 << bit
            with pytest.raises(StoreError):
                decrypt(bytes(altered), identities)
        with pytest.raises(StoreError):
            decrypt(encrypted[:place], identities)
    with pytest.raises(StoreError, match="damaged"):
        decrypt(encrypted + b"\0", identities)


def test_an_image_cut_where_a_piece_ends_is_refused(key: tuple[str, str]) -> None:
    """Age encrypts in pieces of 64 KiB; a file without its last ones is not taken for a shorter one."""
    encrypted = encrypt(bytes(3 * 65536), recipient_of(key[1]))
    piece = 65536 + 16
    for pieces in (1, 2):
        with pytest.raises(StoreError, match="damaged"):
            decrypt(encrypted[: len(encrypted) - pieces * piece], identities_of(key[0], "test"))


def test_a_hostile_header_does_not_hold_up_the_rest(key: tuple[str, str]) -> None:
    first = b"age-encryption.org/v1\n"
    for header in (
        b"-> a b\n\n" * 200_000,
        b"-> X25519 " + b"a" * 10**6,
        b"-> a b\n\n--- x\n" + b"-> a b\n\n" * 10**5,
    ):
        with pytest.raises(StoreError, match="damaged"):
            decrypt(first + header, identities_of(key[0], "test"))
    with pytest.raises(StoreError, match="age -d"):
        decrypt(pyrage.encrypt(b"", [recipient_of(key[1])], armored=True), identities_of(key[0], "test"))


def test_threads_share_a_recipient(key: tuple[str, str]) -> None:
    recipient, identities = recipient_of(key[1]), identities_of(key[0], "test")
    good: list[bool] = []

    def work(number: int) -> None:
        data = bytes([number]) * 5000
        good.extend(decrypt(encrypt(data, recipient), identities) == data for _ in range(50))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert good == [True] * 200


@pytest.mark.parametrize("text", [SECRET, SECRET.lower(), f" {SECRET}\n", f"age1 {SECRET}"])
def test_a_private_key_as_recipient_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigError, match="this is the private key: keep it away from the box") as caught:
        recipient_of(text)
    assert not shows(SECRET, str(caught.value))


@pytest.mark.parametrize(
    "text", ["", "age1", SECRET[15:], "ssh-ed25519 AAAA", "age1" + "q" * 58, ALL_ZERO, "ä"]
)
def test_what_is_no_public_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigError, match="not an age public key") as caught:
        recipient_of(text)
    assert text == "" or text == "age1" or text not in str(caught.value)


def test_a_panic_of_the_library_is_a_failed_image_and_ends_no_thread() -> None:
    recipient = pyrage.x25519.Recipient.from_str(ALL_ZERO)
    with pytest.raises(BaseException, match="all-zero") as caught:
        pyrage.encrypt(JPEG, [recipient])
    assert not isinstance(caught.value, Exception)
    with pytest.raises(StoreError, match="gave up"):
        encrypt(JPEG, recipient)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    public = new_identity()[1]
    monkeypatch.setitem(sys.modules, "pyrage", None)
    calls: list[Callable[[], Any]] = [
        lambda: recipient_of(public), lambda: identities_of(SECRET, "test"), new_identity,
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ConfigError, match=r"pip install 'edge-anonymizer\[encrypt\]'"):
            call()


# Identity files


def test_an_identity_file_may_hold_comments_and_several_keys(key: tuple[str, str]) -> None:
    other_text, other_public = new_identity()
    identities = identities_of(f"# old and new\n\n{key[0]}\r\n{other_text}", "test")
    assert len(identities) == 2
    for public in (key[1], other_public):
        assert decrypt(encrypt(b"x", recipient_of(public)), identities) == b"x"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no age private key"),
        ("# public key: age1abc\n", "no age private key"),
        (f"# one\n{SECRET[:-1]}\n", "line 2: not an age private key"),
        (f"{SECRET[15:]}\n", "line 1: not an age private key"),
        ("AGE-PLUGIN-YUBIKEY-1QQPQYZ\n", "line 1: not an age private key"),
        ("age-encryption.org/v1\n-> scrypt", "itself encrypted"),
    ],
)
def test_a_bad_identity_file_is_named_and_not_shown(text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"^my key.*{expected}") as caught:
        identities_of(text, "my key")
    assert not shows(SECRET, str(caught.value))


# The configuration


def shows(secret: str, text: str) -> bool:
    """Whether a text holds any 12 characters of a private key's secret part, in small letters or large."""
    body = secret.rsplit("-1", 1)[1].upper()
    assert len(body) > 50
    return any(body[i : i + 12] in text.upper() for i in range(len(body) - 11))


def test_a_text_that_shows_a_key_is_recognised() -> None:
    assert shows(SECRET, f"got '{SECRET[30:50].lower()}...'")
    assert not shows(SECRET, "AGE-SECRET-KEY-1...")


def test_a_public_key_is_taken_by_the_configuration(key: tuple[str, str]) -> None:
    assert make_config({"store": {"recipient": f" {key[1]} "}}, "test").store.recipient == key[1]
    assert make_config({}, "test").store.recipient is None


@pytest.mark.parametrize(
    "table",
    [
        {"store": {"recipient": SECRET}},
        {"store": {"recipient": SECRET.lower()}},
        {"store": {"recipient": f"age1 {SECRET}"}},
        {"store": {"recipient": SECRET[15:]}},
        {"store": {"recipient": f"\n{SECRET[:40]}\n{SECRET[40:]}"}},
        {"store": {"recipient": [SECRET]}},
        {"store": {"recipient": {"key": SECRET}}},
        {"store": {"recipent": SECRET}},
        {"store": {"quality": SECRET}},
        {"store": SECRET},
        {"cameras": {"a": {"source": "x", "kind": SECRET}}},
        {"blur": {"solid_rgb": [SECRET]}},
    ],
    ids=str,
)
def test_a_private_key_in_the_configuration_is_never_shown(table: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(table, "edge.toml")
    error: BaseException | None = caught.value
    shown = ""
    while error is not None:  # as a traceback would show it
        shown += f"{error!r} {error}"
        error = error.__cause__ or error.__context__
    assert not shows(SECRET, shown)


def test_the_error_says_what_is_wrong_with_a_recipient() -> None:
    for text, expected in (
        (SECRET, "edge.toml: key 'store.recipient': this is the private key: keep it away from the box"),
        ("age1abc", "edge.toml: key 'store.recipient': not an age public key"),
        ("", "edge.toml: key 'store.recipient': not an age public key"),
    ):
        with pytest.raises(ConfigError) as caught:
            make_config({"store": {"recipient": text}}, "edge.toml")
        assert str(caught.value).startswith(expected)
    with pytest.raises(ValueError, match="private key") as shown:
        StoreConfig(recipient=SECRET)
    assert not shows(SECRET, str(shown.value))


def test_a_box_that_cannot_read_its_images_shows_no_preview(key: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"status\.preview.*store\.recipient"):
        make_config({"store": {"recipient": key[1]}, "status": {"preview": True}}, "test")


@pytest.mark.parametrize(
    "command", [("config", "check"), ("config", "show"), ("run", "--config"), ("doctor", "--config")]
)
def test_no_command_shows_a_private_key(tmp_path: Path, run: Run, command: tuple[str, ...]) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(f"[cameras.a]\nsource = 'x.mp4'\n[store]\nrecipient = '{SECRET}'\n")
    result = run(*command, path)
    assert result.returncode == 78
    assert "this is the private key" in result.stderr
    assert not shows(SECRET, result.stdout + result.stderr)


def test_a_private_key_in_the_environment_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "edge.toml"
    path.write_text("[cameras.a]\nsource = 'x.mp4'\n")
    assert read_config(path).cameras
    for variable, value in (
        ("EDGE_STORE__RECIPIENT", SECRET),
        ("EDGE_STORE", f'{{"recipient": "{SECRET}"}}'),
        ("EDGE_STORE", f'{{"recipient": "{SECRET}'),
    ):
        with monkeypatch.context() as context:
            context.setenv(variable, value)
            with pytest.raises(ConfigError) as caught:
                read_config(path)
        assert str(caught.value)
        assert not shows(SECRET, str(caught.value))


# edge keygen


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


# edge decrypt

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
        "other.jpg.age": "no identity opens it",
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


# Other programs and the rest of the store


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


def test_encrypted_images_count_as_images(tmp_path: Path) -> None:
    folder = tmp_path / "cam" / "2024-05-06"
    folder.mkdir(parents=True)
    names = (
        "a.jpg",
        "b.jpg.age",
        "c.png.age",
        "d.webp.age",
        ".e.jpg.age",
        "f.txt.age",
        "g.age",
        "h.jpg.age.part",
    )
    for number, name in enumerate(names):
        (folder / name).write_bytes(b"x" * 10**number)
    usage = Usage(tmp_path)
    usage.start()
    usage._thread.join(30)
    assert (usage.bytes, usage.images) == (1111, 4)
