"""``edge purge``: remove the images of a stretch of time, on record."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from rich.console import Console

from edge.commands.terminal import print_plain
from edge.config import read_config
from edge.daemon.recorded_settings import settings_of
from edge.errors import ConfigError, StoreError
from edge.store.images import ImageStore
from edge.store.stretch import images_between


def purge(
    config_file: Path,
    stretch: tuple[datetime, datetime],
    camera: str | None,
    confirmed: Callable[[str], bool],
    console: Console,
) -> bool:
    """Remove the images that were captured within ``stretch``, both ends included, once ``confirmed``.

    Returns whether that was done. Raises ConfigError, and StoreError when the store cannot be read, a daemon
    holds it, or it belongs to another user.
    """
    first, last = stretch
    if last < first:
        raise ConfigError(f"--to {last.isoformat()} is before --from {first.isoformat()}")
    config = read_config(config_file)
    folder = config.store.folder
    _check_owner(folder)
    images = images_between(folder, first, last, camera)
    if not images:
        print_plain(console, f"{folder}: no image of that stretch")
        return True
    what = f"{len(images)} images, {images[0].name} to {images[-1].name}"
    if not confirmed(f"{folder}: remove {what}?"):
        print_plain(console, "nothing was removed")
        return False
    store = ImageStore(config.store, config.audit, settings=settings_of(config))
    try:
        failed = store.purge(images)
        store.record("stop", {})
    finally:
        store.close()
    for error in failed.values():
        print_plain(console, str(error), style="red")
    print_plain(console, f"{len(images) - len(failed)} images removed, on record {store.audit_number}")
    return not failed


def _check_owner(folder: Path) -> None:
    """The daemon could not go on with a log that another user has written to."""
    try:
        owner = folder.stat().st_uid
    except OSError as error:
        raise StoreError(
            f"{folder}: {error.strerror or error}; store.folder must be that of the box"
        ) from error
    if owner != os.geteuid():
        raise StoreError(
            f"{folder}: belongs to another user; go on as that one: sudo -u '#{owner}' edge purge ..."
        )
