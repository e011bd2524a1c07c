"""``edge config init``, ``check`` and ``show``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from edge.commands.sample import sample_text, toml
from edge.commands.terminal import print_plain
from edge.config import Config, read_config
from edge.config.store import PRIVATE_KEY
from edge.daemon.recorded_settings import settings_of
from edge.detection.shipped import DEFAULT
from edge.errors import ConfigError
from edge.logs import printable
from edge.masking import NOT_SHOWN, PERCENT_ENCODE, is_host, label, place_of
from edge.store.encryption import recipient_of
from edge.store.text import write_text

_HEAD = """\
# The configuration in force: the file, overridden by the environment, completed by the defaults.
# Of a source only scheme, host and port are shown, or its path; of a GStreamer pipeline nothing but its kind.
# Keys that are commented out are not set.
"""
_HIDDEN = "(set, not shown)"
_PERHAPS_SECRET = (("status", "token_file"), ("mqtt", "username"), ("mqtt", "password_file"))
"""Keys whose value may be the secret itself, written in place of a name or of the file that holds it."""
_OF_CAMERAS = ("username", "password_file")
"""The same in each section of a camera."""


def init(out: Path, console: Console) -> None:
    """Write the sample configuration. Raises StoreError when the file exists."""
    write_text(out, sample_text())
    print_plain(console, f"wrote {out}")


def check(file: Path, console: Console) -> None:
    """Check a configuration and name its cameras. Raises ConfigError."""
    config = _checked(file)
    for name, camera in config.cameras.items():
        if camera.resolved_kind() == "stream" and place_of(camera.source) is None:
            raise ConfigError(
                f"{file}: key 'cameras.{name}.source': {label(camera.source)}: no host and port can be read "
                f"from the URL; {PERCENT_ENCODE}"
            )
    print_plain(console, f"{file}: ok (cameras: {', '.join(config.cameras)})")


def show(file: Path, console: Console) -> None:
    """Print the configuration in force, without secrets. Raises ConfigError."""
    print_plain(console, shown_text(_checked(file)).rstrip("\n"))


def shown_text(config: Config) -> str:
    """All settings as TOML, without anything that is a secret or may be one."""
    settings = settings_of(config)
    settings.update(config.model_dump(mode="json", exclude=set(settings)))  # what is not on record
    for name, camera in config.cameras.items():
        settings["cameras"][name]["kind"] = camera.kind  # the one on record is never auto
        for key in _OF_CAMERAS:
            settings["cameras"][name][key] = None if getattr(camera, key) is None else _HIDDEN
    if config.detector.path is None:
        settings["detector"]["name"] = config.detector.name or DEFAULT
    for section, key in _PERHAPS_SECRET:
        if settings[section][key] is not None:
            settings[section][key] = _HIDDEN
    sections: dict[str, dict[str, Any]] = {}
    for group in ("cameras", "detectors"):
        sections |= {f"{group}.{name}": values for name, values in settings.pop(group).items()}
    parts = [_HEAD]
    for name, values in (sections | settings).items():
        parts.append(f"\n[{name}]\n")
        parts += (_line(key, value) for key, value in values.items())
    # A private key may stand wherever any text is accepted, such as in place of a folder.
    return PRIVATE_KEY.sub("(private key)", "".join(parts))


def _line(key: str, value: Any) -> str:
    if value is None:
        return f"#{key} = ...\n"
    return f"{key} = {printable(toml(_shown(key, value)))}\n"


def _shown(key: str, value: Any) -> Any:
    """A value without anything that may be part of a URL or a password."""
    if isinstance(value, list):
        return [_shown(key, part) for part in value]
    if not isinstance(value, str) or key == "clock_confirmed":  # a time is no text of the user's any more
        return value
    if key in ("host", "allowed_hosts"):
        return value if is_host(value) else NOT_SHOWN
    return label(value)


def _checked(file: Path) -> Config:
    config = read_config(file)
    if config.store.recipient is not None:
        recipient_of(config.store.recipient)
    return config
