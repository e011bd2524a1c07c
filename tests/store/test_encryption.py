"""With ``store.recipient`` set, the box cannot read its images, and no private key is ever shown."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage  # type: ignore[import-untyped]
import pytest

from edge.config import StoreConfig, make_config, read_config
from edge.errors import ConfigError, StoreError
from edge.store.encryption import decrypt, encrypt, identities_of, new_identity, recipient_of
from edge.store.usage import Usage
from tests.store.keys import ALL_ZERO, JPEG, SECRET, Run, shows


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
    with pytest.raises(StoreError, match="no identity can open it"):
        decrypt(encrypted, [])
    with pytest.raises(StoreError, match="no identity can open it"):
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
def test_an_invalid_public_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigError, match="not an age public key") as caught:
        recipient_of(text)
    assert text == "" or text == "age1" or text not in str(caught.value)


def test_a_panic_of_the_library_is_a_failed_image_and_ends_no_thread() -> None:
    recipient = pyrage.x25519.Recipient.from_str(ALL_ZERO)
    with pytest.raises(BaseException, match="all-zero") as caught:
        pyrage.encrypt(JPEG, [recipient])
    assert not isinstance(caught.value, Exception)
    with pytest.raises(StoreError, match="the age library failed"):
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
