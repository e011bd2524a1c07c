"""Passwords lie in files of their own, which other users of the machine cannot read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edge.errors import ConfigError

MOST_BYTES = 65535  # MQTT 3.1.1, 3.1.3.5; cameras take less


def read_secret(path: Path, key: str) -> str:
    """The content of the file, without line ends at its end; ``key`` is where the configuration names it.

    Raises ConfigError, whose text names key and file and never the content.
    """
    where = f"key '{key}': {path}"
    try:
        if not path.is_file():  # opening a pipe would wait for a writer
            raise ConfigError(f"{where}: no such file; write the password into it")
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & stat.S_IRWXO:
                raise ConfigError(f"{where}: every user of this machine can access it; chmod o-rwx {path}")
            password = file.read(MOST_BYTES + 2).rstrip(b"\r\n").decode()
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}; write the password into this file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: not a text file in UTF-8") from error
    if not password or len(password.encode()) > MOST_BYTES:
        raise ConfigError(f"{where}: empty or too long; write the password into it, and nothing else")
    return password
