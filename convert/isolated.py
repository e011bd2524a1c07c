"""Run a conversion in a process of its own.

TensorFlow can abort the process on a damaged file, holds gigabytes until it ends, and prints to file
descriptor 2 from C++. A child process shields the user from all three: its crash becomes an error message,
its memory is given back, and its output is shown with ``--verbose`` only.
"""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing
import os
import signal
import tempfile
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from convert.errors import ConvertError, ParityError
from convert.request import Progress
from edge.errors import EdgeError

Request = TypeVar("Request")
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Stage:
    """A stage of the work has begun."""

    name: str


@dataclass(frozen=True)
class _Success:
    """The work is done."""

    result: Any


@dataclass(frozen=True)
class _Failure:
    """The work failed; ``text`` is for the user."""

    text: str
    in_parity: bool = False


def run(
    work: Callable[[Request, Progress], Result],
    request: Request,
    *,
    progress: Progress,
    verbose: bool = False,
) -> Result:
    """Call ``work(request, progress)`` in a child process and return its result.

    ``work``, ``request`` and the result must be picklable. Raises ConvertError, or ParityError when the
    child raised that, with the text of the child's EdgeError; ConvertError as well when the child crashed or
    raised anything else.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    # The child's temporary files go here, so that they are removed even when it is killed.
    with tempfile.TemporaryDirectory(prefix="edge-convert-") as scratch:
        child = context.Process(target=_child, args=(sender, verbose, scratch, work, request), daemon=True)
        child.start()
        sender.close()
        try:
            while True:
                try:
                    message = receiver.recv()
                except EOFError:
                    child.join()
                    raise ConvertError(_cause_of_death(child.exitcode)) from None
                if isinstance(message, _Success):
                    result: Result = message.result
                    return result
                if isinstance(message, _Failure):
                    raise (ParityError if message.in_parity else ConvertError)(message.text)
                progress(message.name)
        finally:
            receiver.close()
            if child.is_alive():
                child.join(5)
                child.kill()
            child.join()


def _cause_of_death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        cause = (
            "there may be too little memory"
            if name == "SIGKILL"
            else "the file is probably damaged: get it again"
        )
        return f"TensorFlow crashed ({name}) while it worked on this model; {cause}"
    return f"the conversion ended without a result (exit code {code}); run it again with --verbose"


def _child(
    sender: Connection,
    verbose: bool,
    scratch: str,
    work: Callable[[Request, Progress], Result],
    request: Request,
) -> None:
    tempfile.tempdir = scratch
    _end_with_parent()
    if verbose:
        faulthandler.enable()
    else:
        _silence()
    try:
        result = work(request, lambda stage: sender.send(_Stage(stage)))
    except EdgeError as error:
        sender.send(_Failure(str(error), in_parity=isinstance(error, ParityError)))
    # The last line of defence: whatever a damaged model makes a library raise, the user gets a sentence.
    except Exception as error:
        if verbose:
            logging.getLogger(__name__).exception("the conversion failed")
        text = (str(error).strip().splitlines() or [""])[0][:300]
        advice = "the file may be damaged or of an unknown kind; run again with --verbose to see everything"
        sender.send(_Failure(f"{type(error).__name__} while working on this model: {text}; {advice}"))
    else:
        sender.send(_Success(result))
    finally:
        sender.close()


def _end_with_parent() -> None:
    """End this process when its parent is gone: a parent that was killed could not see to it."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch(sentinel: int) -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()


def _silence() -> None:
    """Send the output of this process to nowhere, also that of C++."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
