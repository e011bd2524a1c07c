"""A secret that is recognised wherever it turns up, whole or in part."""

from __future__ import annotations

from typing import Any

HEAD, TAIL = "S3cr3t", "M4rk"
SECRET = HEAD + TAIL
IP, NAME = "192.0.2.10:554", "yard.example"
URL = f"rtsp://admin:{SECRET}@{IP}/{SECRET}"


def numbered(cases: list[Any]) -> list[str]:
    """Ids without the secret, which the name of ``tmp_path`` would show."""
    return [str(number) for number in range(len(cases))]


def assert_clean(text: str) -> None:
    for piece in (HEAD, TAIL, HEAD[1:]):
        assert piece.lower() not in text.lower(), text
