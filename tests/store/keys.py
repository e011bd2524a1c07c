"""Keys, encrypted files, and a check that a text shows no private key."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from edge.store.encryption import encrypt, recipient_of
from tests.conftest import DATA

JPEG = (DATA / "astronaut.jpg").read_bytes()
SECRET = "AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0S5JKWZ4"
ALL_ZERO = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z"
"""Well formed, but no key: X25519 with it gives zeros, at which the library panics."""


Run = Callable[..., "subprocess.CompletedProcess[str]"]


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


def shows(secret: str, text: str) -> bool:
    """Whether a text holds any 12 characters of a private key's secret part, in small letters or large."""
    body = secret.rsplit("-1", 1)[1].upper()
    assert len(body) > 50
    return any(body[i : i + 12] in text.upper() for i in range(len(body) - 11))
