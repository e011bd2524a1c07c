"""Read the configuration: a TOML file and the environment, which overrides it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge.config.explain import explain, nearest, without_keys
from edge.config.whole import Config
from edge.errors import ConfigError
from edge.masking import key_label

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_config(path: Path) -> Config:
    """Read a configuration file and the environment.

    Raises ConfigError, which names the file, the key and the way out.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}; write one with: edge config init") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a text file in UTF-8") from error
    try:
        table = tomllib.loads(text)
    except (
        ValueError,
        RecursionError,
    ) as error:  # a number with thousands of digits raises a plain ValueError
        raise ConfigError(f"{path}: not valid TOML: {without_keys(str(error))}") from error
    config = make_config(table, str(path))
    if not config.cameras:
        raise ConfigError(f'{path}: no camera; add a section [cameras.NAME] with source = "..."')
    return config


def make_config(table: Mapping[str, Any], origin: str) -> Config:
    """Make a configuration from a table, as TOML gives it, and the environment.

    Errors begin with ``origin``. Raises ConfigError.
    """
    _refuse_unknown_environment(os.environ)
    for key in table:
        # Keys such as _env_file would be options of pydantic-settings' constructor.
        if key not in Config.model_fields:
            known = list(Config.model_fields)
            raise ConfigError(f"{origin}: unknown key {key_label(key)!r}{nearest(key, known)}")
    try:
        return Config(**table)
    except ValidationError as error:
        raise ConfigError("\n".join(explain(origin, item) for item in error.errors())) from error
    except ValueError as error:  # pydantic-settings raises SettingsError on unreadable variables
        raise ConfigError(f"{origin}: {error}") from error
    except TypeError as error:  # a key of the table that cannot be a keyword
        raise ConfigError(f"{origin}: {error}") from error


def _refuse_unknown_environment(environment: Mapping[str, str]) -> None:
    for variable in environment:
        if not variable.upper().startswith("EDGE_"):
            continue
        section = variable[len("EDGE_") :].split("__")[0].lower()
        if section not in Config.model_fields:
            raise ConfigError(
                f"environment variable {key_label(variable)}: no section {key_label(section)!r}"
                f"{nearest(section, list(Config.model_fields))}; unset it or correct its name"
            )
