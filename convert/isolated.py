"""Run a conversion in a process of its own.

TensorFlow can abort the process on a damaged file, holds gigabytes until it ends, and prints to file
descriptor 2 from C++. A child process keeps all three away from the user: its crash becomes an error
message, its memory goes back, and what it prints is kept for ``--verbose`` only.
"""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing
import os
import signal
import tempfile
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from convert.errors import ConvertError, ParityError
from edge.errors import EdgeError


def run(
    function: Callable[..., Any], *arguments: Any, progress: Callable[[str], None], verbose: bool = False
) -> Any:
    """Call ``function(*arguments, progress=...)`` in a child process and return its result.

    ``function`` and its arguments must be picklable. Raises what the child raised when that is an
    EdgeError, and ConvertError when the child crashed or raised anything else.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    # The child's temporary files go here, so that they are removed even when it is killed.
    with tempfile.TemporaryDirectory(prefix="edge-convert-") as scratch:
        child = context.Process(
            target=_child, args=(theirs, verbose, scratch, function, arguments), daemon=True
        )
        child.start()
        theirs.close()
        try:
            while True:
                try:
                    kind, content = ours.recv()
                except EOFError:
                    child.join()
                    raise ConvertError(_death(child.exitcode)) from None
                if kind == "progress":
                    progress(content)
                elif kind == "result":
                    return content
                else:
                    name, text = content
                    raise (ParityError if name == "ParityError" else ConvertError)(text)
        finally:
            ours.close()
            if child.is_alive():
                child.join(5)
                child.kill()
            child.join()


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        cause = (
            "there may be too little memory"
            if name == "SIGKILL"
            else "the file is probably damaged: get it again"
        )
        return f"TensorFlow crashed ({name}) while it worked on this model; {cause}"
    return f"the conversion ended without a result (exit code {code}); run again with --verbose"


def _child(
    pipe: Connection,
    verbose: bool,
    scratch: str,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    tempfile.tempdir = scratch
    if not verbose:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
    else:
        faulthandler.enable()
    try:
        result = function(*arguments, progress=lambda stage: pipe.send(("progress", stage)))
    except EdgeError as error:
        pipe.send(("error", (type(error).__name__, str(error))))
    # The last line of defence: whatever a damaged model makes a library raise, the user gets a sentence.
    except Exception as error:
        if verbose:
            logging.getLogger(__name__).exception("the conversion failed")
        text = (str(error).strip().splitlines() or [""])[0][:300]
        advice = "the file may be damaged or of a kind that is not known; run again with --verbose to see all"
        sentence = f"{type(error).__name__} while working on this model: {text}; {advice}"
        pipe.send(("error", ("ConvertError", sentence)))
    else:
        pipe.send(("result", result))
    finally:
        pipe.close()
