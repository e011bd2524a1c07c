"""System calls of a command, as strace prints them, read into objects; and faults injected into them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PathLike = str | Path

_LINE = re.compile(r"(\d+)\s+(.*)")
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)")
_UNFINISHED = re.compile(r"(.*?)\s*<unfinished \.\.\.>")
# A device is /dev/null<char 1:3>; < and > inside of names are escaped
_DESCRIPTOR = re.compile(r"(?:\d+|AT_FDCWD)<([^<]*)(?:<.*>)?>(?:\(deleted\))?")
_RESULT = re.compile(r"\s*= (\?|-?0x[0-9a-f]+|-?\d+)(?: ([A-Z][A-Z0-9]*))?")
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|x[0-9a-f]{2}|.)")
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"f": b"\f", b"v": b"\v", b"a": b"\a", b"b": b"\b"}


@dataclass(frozen=True)
class Call:
    """One system call of one thread.

    ``arguments`` are texts as strace prints them, one per argument: ``'"/etc/hosts"'``, ``"O_RDONLY"``,
    ``"3</tmp/x>"``. ``result`` is None when the call never came back (``?``). ``error`` is a name such as
    ``ENOSPC``, or empty. ``injected`` calls did not happen: strace made up their result.
    """

    pid: int
    name: str
    arguments: tuple[str, ...]
    result: int | None
    error: str
    injected: bool

    def descriptor(self, position: int = 0) -> str:
        """What a file descriptor among the arguments stands for: a path (of an unnamed file
        ``/folder/#123``), or a text such as ``TCP:[127.0.0.1:8377]``; empty when it is none."""
        found = _DESCRIPTOR.fullmatch(self.arguments[position]) if position < len(self.arguments) else None
        return _unescape(found[1]) if found else ""

    @property
    def paths(self) -> list[str]:
        """The path arguments in order, joined to the folder that they are relative to where it is known.

        Meant for calls that take paths; the data of a ``write`` would look like one.
        """
        found, folder = [], ""
        for position, text in enumerate(self.arguments):
            if text.startswith('"'):
                name = _unescape(text[1 : text.rindex('"')])
                found.append(os.path.join(folder, name) if name else folder)
            folder = self.descriptor(position)
        return found


@dataclass(frozen=True)
class Trace:
    """Calls in the order in which they ended, and how the command itself ended (minus the signal when one
    killed it)."""

    calls: list[Call]
    returncode: int
    stdout: str
    stderr: str


@cache
def why_not() -> str:
    """Why nothing can be traced here, or an empty text."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    done = subprocess.run(["strace", "-f", "-o", os.devnull, "true"], capture_output=True, text=True)
    return f"strace does not work here: {done.stderr.strip()}" if done.returncode else ""


def traced(
    command: Sequence[PathLike],
    *,
    trace: str,
    cwd: Path,
    env: Mapping[str, str],
    inject: Sequence[str] = (),
    prefix: Sequence[PathLike] = (),
    more: Sequence[PathLike] = (),
    string_limit: int = 64,
    timeout: float = 240,
) -> Trace:
    """Run a command and everything that it starts under strace, to its end.

    ``trace`` is strace's set: ``"network,%file,fsync"``. Each text of ``inject`` is one fault, such as
    ``"fsync:error=ENOSPC:when=2"`` or ``"linkat:signal=SIGKILL:when=1"``; its calls are traced too. strace
    counts ``when`` in each thread by itself. ``prefix`` is put before strace, for example
    ``("unshare", "--net")``; ``more`` are further options of strace. Data longer than ``string_limit`` bytes
    is cut off; paths never are. Raises ``subprocess.TimeoutExpired``, after the whole process group was
    killed.
    """
    with tempfile.TemporaryDirectory(prefix="strace-") as folder:
        log = Path(folder) / "log"
        how = options(log, trace=trace, inject=inject, more=map(str, more), string_limit=string_limit)
        process = subprocess.Popen(
            [*map(str, prefix), "strace", "-q", *how, "--", *map(str, command)],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        finally:
            # What strace leaves behind when it is killed would run on by itself.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        calls = list(parse(log.read_text("ascii", "backslashreplace"))) if log.exists() else []
    return Trace(calls, process.returncode, stdout, stderr)


def options(
    log: Path, *, trace: str, inject: Sequence[str], more: Iterable[str], string_limit: int = 64
) -> list[str]:
    """What strace is called with, so that ``parse`` can read the log; see ``traced``."""
    sets = ",".join([trace, *(fault.split(":")[0] for fault in inject)])
    common = ["-f", "-yy", "-s", str(string_limit), "-o", str(log), "-e", f"trace={sets}"]
    return [*common, *(word for fault in inject for word in ("-e", f"inject={fault}")), *more]


def parse(log: str) -> Iterator[Call]:
    """Read what ``strace -f -o`` wrote. Calls that other threads interrupt are put together again.

    >>> [call] = parse('7 openat(AT_FDCWD</tmp>, "a, (b", O_RDONLY) = -1 ENOENT (No such file)')
    >>> call.name, call.paths, call.result, call.error
    ('openat', ['/tmp/a, (b'], -1, 'ENOENT')
    """
    waiting: dict[int, str] = {}
    for line in log.split("\n"):
        match = _LINE.fullmatch(line)
        if match is None or match[2].startswith(("+++", "---")):
            continue
        pid, text = int(match[1]), match[2]
        if resumed := _RESUMED.fullmatch(text):
            text = waiting.pop(pid) + resumed[2]
        if unfinished := _UNFINISHED.fullmatch(text):
            waiting[pid] = unfinished[1]
        else:
            yield _call(pid, text)
    for pid, text in waiting.items():
        yield _call(pid, text)


def _call(pid: int, text: str) -> Call:
    name, _, rest = text.partition("(")
    arguments, end = _split(rest)
    found = _RESULT.match(rest, end)
    number = found[1] if found else "?"
    result = None if number == "?" else int(number, 0)
    error = (found[2] or "") if found and (result is None or result < 0) else ""
    return Call(pid, name, arguments, result, error, "(INJECTED)" in rest[end:])


def _split(text: str) -> tuple[tuple[str, ...], int]:
    """Split at the commas of the outermost level; return also where the closing bracket ends."""
    parts, depth, angles, start, position, quoted = [], 0, 0, 0, 0, False
    while position < len(text):
        char = text[position]
        if char == "\\":
            position += 1
        elif char == '"':
            quoted = not quoted
        elif quoted:
            pass
        elif char == "<" and _opens_angle(text, position, angles):
            angles += 1
        elif char == ">" and angles and text[position - 1] != "-":
            angles -= 1
        elif angles:
            pass
        elif char in "([{":
            depth += 1
        elif char in ")]}" and depth:
            depth -= 1
        elif char == ")" or (char == "," and not depth):
            parts.append(text[start:position].strip())
            start = position + 1
            if char == ")":
                return tuple(part for part in parts if part), start
        position += 1
    return tuple(part for part in [*parts, text[start:].strip()] if part), len(text)


def _opens_angle(text: str, position: int, angles: int) -> bool:
    """Whether ``<`` begins the name of a descriptor, as in ``3</tmp>``, and is no shift as in ``1<<20``."""
    if angles:
        return True
    return text[position + 1 : position + 2] != "<" and (
        text[position - 1].isdigit() or text.endswith("AT_FDCWD", 0, position)
    )


def _unescape(text: str) -> str:
    def plain(match: re.Match[bytes]) -> bytes:
        body = match[1]
        if body[:1].isdigit():
            return bytes([int(body, 8)])
        if len(body) == 3:
            return bytes([int(body[1:], 16)])
        return _LETTERS.get(body, body)

    return os.fsdecode(_ESCAPE.sub(plain, text.encode("ascii", "backslashreplace")))
