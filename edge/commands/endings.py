"""How a command ends: its exit code, and one message for an error that was raised on purpose."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import NoReturn, ParamSpec

import typer

from edge.commands.terminal import errors, print_plain
from edge.errors import ConfigError, EdgeError

EXIT_OK, EXIT_FAILED, EXIT_CONFIG = 0, 1, 78
"""78 is EX_CONFIG in sysexits.h. Typer itself ends with 2 on a wrong command line."""

P = ParamSpec("P")


def ends_clearly(command: Callable[P, None]) -> Callable[P, None]:
    """Harden the process, run the command, and turn EdgeError and OSError into a message and an exit code."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        # Imported here because it loads OpenCV, which --help and shell completion should not wait for.
        from edge import process

        try:
            process.harden()
            command(*args, **kwargs)
        except ConfigError as error:
            _exit(str(error), EXIT_CONFIG)
        except (EdgeError, OSError) as error:
            _exit(str(error), EXIT_FAILED)

    return guarded


def exit_unless(good: bool) -> None:
    """End with exit code 1 unless the command succeeded."""
    if not good:
        raise typer.Exit(EXIT_FAILED)


def _exit(message: str, code: int) -> NoReturn:
    for line in message.splitlines():
        print_plain(errors, f"edge: {line}", style="red")
    raise typer.Exit(code)
