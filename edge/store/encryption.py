"""Encrypt images to a public key in the age format, so that the box can write them but not read them.

The format is age-encryption.org/v1 (X25519, HKDF-SHA-256, ChaCha20-Poly1305), so that the standard program
``age`` opens the files too. pyrage comes with the extra ``encrypt`` and is imported on first use.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

from edge.config.store import PRIVATE_KEY, PRIVATE_KEY_REFUSED
from edge.errors import ConfigError, StoreError

SUFFIX = ".age"
"""Appended to the names of encrypted images, after the ending of the image format."""

_FIRST_LINE = b"age-encryption.org/v1\n"
_LAST_HEADER_LINE = b"\n--- "
# A header for one recipient has 200 to 400 bytes. The library's parser starts over with each piece that it
# reads: it took 26 seconds for a hostile header of 32 KB, and half a second for one of 4 KB.
_LONGEST_HEADER_BYTES = 4096


def recipient_of(text: str) -> Any:
    """The public key ``age1...`` as a pyrage.x25519.Recipient, which threads may share.

    Raises ConfigError, which never shows the text: it might be the private key.
    """
    if PRIVATE_KEY.search(text):
        raise ConfigError(PRIVATE_KEY_REFUSED)
    library = _library()
    try:
        recipient = library.x25519.Recipient.from_str(text.strip())
        # Some invalid keys, such as all zeros, are only noticed when something is encrypted.
        encrypt(b"", recipient)
    except (library.RecipientError, StoreError):
        raise ConfigError(
            "not an age public key: one letter of age1... may be wrong; copy it again"
        ) from None
    return recipient


def encrypt(data: bytes, recipient: Any) -> bytes:
    """Encrypt for the holder of the private key. Raises StoreError.

    The result is longer by 200 to 400 bytes (at random) plus 16 bytes for each 64 KiB.
    """
    library = _library()
    try:
        with _without_panic():
            encrypted: bytes = library.encrypt(data, [recipient])
    except library.EncryptError as error:
        raise StoreError(f"encryption failed: {error}") from error
    return encrypted


def decrypt(data: bytes, identities: Sequence[Any]) -> bytes:
    """Return the whole content once all of it has been authenticated. Raises StoreError."""
    if data.startswith(b"-----BEGIN AGE"):
        raise StoreError("an age file in armored (text) form; decrypt it with: age -d")
    if not data.startswith(_FIRST_LINE):
        raise StoreError("not an age file, or its beginning is damaged")
    if data.find(_LAST_HEADER_LINE, 0, _LONGEST_HEADER_BYTES) < 0:
        raise StoreError(f"damaged: the age header does not end within {_LONGEST_HEADER_BYTES} bytes")
    library = _library()
    try:
        with _without_panic():
            decrypted: bytes = library.decrypt(data, list(identities))
    except library.DecryptError as error:
        raise StoreError(_reason(str(error))) from error
    return decrypted


def identities_of(text: str, origin: str) -> list[Any]:
    """The private keys in a file as age-keygen writes it: one per line; comments begin with #.

    ``origin`` names the file in errors. Raises ConfigError, which never shows a line of the text.
    """
    library = _library()
    identities = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line == _FIRST_LINE.decode().strip():
            raise ConfigError(f"{origin} is itself encrypted; decrypt it first with: age -d")
        try:
            identities.append(library.x25519.Identity.from_str(line))
        except library.IdentityError:
            raise ConfigError(
                f"{origin}, line {number}: not an age private key (AGE-SECRET-KEY-1...)"
            ) from None
    if not identities:
        raise ConfigError(f"{origin}: contains no age private key (AGE-SECRET-KEY-1...)")
    return identities


def new_identity() -> tuple[str, str]:
    """Make a private key: the text of an identity file, and the public key. Raises ConfigError."""
    identity = _library().x25519.Identity.generate()
    public = str(identity.to_public())
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return f"# created: {now}\n# public key: {public}\n{identity}\n", public


def _library() -> Any:
    try:
        import pyrage  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigError(
            f"encryption needs the package pyrage: pip install 'edge-anonymizer[encrypt]' ({error})"
        ) from error
    return pyrage


@contextlib.contextmanager
def _without_panic() -> Iterator[None]:
    """Turn a panic in Rust into a StoreError; it arrives as a BaseException whose type cannot be imported."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise StoreError(f"the age library failed: {error}") from error


def _reason(text: str) -> str:
    if text == "No matching keys found":
        return "no identity can open it: it is encrypted for another key, or damaged"
    if text == "decryption error":
        return "damaged: its content is not what was encrypted"
    return f"damaged: {text.splitlines()[0] if text else 'the library gives no reason'}"
