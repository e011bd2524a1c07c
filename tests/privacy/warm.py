"""``edge`` commands in processes that are forked from one which has loaded the program.

Loading it takes longer than a whole run on a few frames, and hundreds of runs are attacked one system call at
a time. A forked process has its own arguments, environment, working folder and output, and goes through the
whole command; it only does not import the modules.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.privacy import strace
from tests.privacy.world import environment

SECONDS = 240
"""Limit on the time of one command."""
PRINTED = ("printed.out", "printed.err")
"""Files in the working folder of a command, with its standard output and standard error."""
_SERVER = """
import ctypes, gc, json, os, subprocess, sys, tempfile, time
sys.path.remove("")
import uvicorn.lifespan.off, uvicorn.loops.asyncio, uvicorn.protocols.http.auto
import edge.cli, edge.commands.audit, edge.daemon.run

PR_SET_PTRACER = 0x59616D61
ATTACH_SECONDS = 30

def start(arguments, env, cwd, before, gate):
    os.close(gate[1])
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None
    for number, name in enumerate(("/dev/null", "printed.out", "printed.err")):
        handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(handle, number)
        os.close(handle)
    os.read(gate[0], 1)
    os.close(gate[0])
    exec(before, {})
    sys.argv = ["edge", *arguments]
    edge.cli.app()

def attach(tracer, log):
    deadline = time.monotonic() + ATTACH_SECONDS
    while b" attached" not in open(log, "rb").read():
        if tracer.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"strace did not attach: {open(log).read()}")
        time.sleep(0.002)

gc.collect()
gc.freeze()  # otherwise each child copies nearly all memory as soon as it collects garbage
for line in sys.stdin:
    arguments, env, cwd, before, options, log = json.loads(line)
    gate = os.pipe()
    pid = os.fork()
    if pid == 0:
        start(arguments, env, cwd, before, gate)
    os.close(gate[0])
    if options:
        with open(log, "wb") as file:
            command = ["strace", *options, "-p", str(pid)]
            tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=file)
        attach(tracer, log)
    os.close(gate[1])
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if options:
        tracer.wait()
    print(code, flush=True)
"""
"""One command at a time. It begins when the gate is closed, and stands in ``read`` until then. strace reports
that it is attached after it has told the kernel to stop the process, so it misses no call of a command."""


@dataclass(frozen=True)
class Run:
    """How a command ended (minus the signal when one killed it), and what it printed."""

    returncode: int
    stdout: str
    stderr: str


class Warm:
    """One process that forks others, for one thread."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="warm-")
        own = Path(self._folder.name)
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            cwd=own,
            env=environment(own, OPENBLAS_NUM_THREADS="1"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Warm:
        return self

    def __exit__(self, *error: object) -> None:
        for pipe in (self._server.stdin, self._server.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._server.wait(60)
        finally:
            self._end()
            self._folder.cleanup()

    def _end(self) -> None:
        """End it with all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._server.pid, signal.SIGKILL)
        self._server.wait()

    def edge(self, arguments: Sequence[str], env: Mapping[str, str], cwd: Path) -> Run:
        """Run ``edge`` with these arguments to its end."""
        return self._run(arguments, env, cwd)

    def traced(
        self,
        arguments: Sequence[str],
        *,
        trace: str,
        cwd: Path,
        env: Mapping[str, str],
        inject: Sequence[str] = (),
        more: Sequence[str] = (),
        before: str = "",
    ) -> strace.Trace:
        """The same under strace, from the first call of the command on; see ``strace.traced``. ``before`` is
        Python that the process runs first."""
        with tempfile.TemporaryDirectory(prefix="strace-") as folder:
            log = Path(folder) / "log"
            options = strace.options(log, trace=trace, inject=inject, more=more)
            done = self._run(arguments, env, cwd, before, options, log)
            calls = list(strace.parse(log.read_text("ascii", "backslashreplace")))
        return strace.Trace(calls, done.returncode, done.stdout, done.stderr)

    def _run(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        before: str = "",
        options: Sequence[str] = (),
        log: Path | None = None,
    ) -> Run:
        """Raises ``subprocess.TimeoutExpired``, after the whole process group was killed."""
        request, answers = self._server.stdin, self._server.stdout
        assert request is not None
        assert answers is not None
        words = [list(arguments), dict(env), str(cwd), before, list(options), f"{log}.attached"]
        request.write(json.dumps(words) + "\n")
        request.flush()
        if not select.select([answers], [], [], SECONDS)[0]:
            self._end()
            raise subprocess.TimeoutExpired(["edge", *arguments], SECONDS)
        answer = answers.readline()
        assert answer, "the process that forks has ended; its own message is above"
        return Run(int(answer), *((cwd / name).read_text("utf-8", "replace") for name in PRINTED))
