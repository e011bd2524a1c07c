"""Raw frames in memory stay there: no core file, and no look into the process, even for its own user.

Every attack is first made on a process that does not defend itself, to show that it would succeed here. Run
as a program, this file is the attacker: ``python -m tests.privacy.test_memory PID ADDRESS``.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.store import log_format
from tests.clips import write_clip
from tests.privacy.conftest import Proof
from tests.privacy.daemon import Daemon, bare_environment, running, stored, write_config

ROOT = Path(__file__).resolve().parents[2]
USER = 54321
"""A user id that nobody has."""
# The interpreter and the repository may lie in folders that are closed to this user, such as /root. Reading
# any file makes the attacker stronger than an ordinary user; looking into memory stays forbidden to it.
READ_FILES = "-all,+dac_read_search"
AS_USER = (
    *("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", f"--bounding-set={READ_FILES}"),
    *(f"--inh-caps={READ_FILES}", f"--ambient-caps={READ_FILES}", "--"),
)
UNLIMITED = ["sh", "-c", 'ulimit -c unlimited && exec "$@"', "sh"]
SECRET = b"raw pixels of a face"

PTRACE_DETACH, PTRACE_ATTACH, PTRACE_SEIZE = 17, 16, 0x4206  # linux/ptrace.h
SYS_PIDFD_GETFD = 438  # the same number on every architecture
NEED_ATTACH = ("mem", "process_vm_readv", "attach", "seize", "pidfd_getfd")
"""These ask for more than a look, so Yama (ptrace_scope) may forbid them between any two processes."""


class _Range(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    return libc


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _read_mem(pid: int, address: int) -> bytes:
    descriptor = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        return os.pread(descriptor, len(SECRET), address)
    finally:
        os.close(descriptor)


def _process_vm_readv(pid: int, address: int) -> bytes:
    buffer = ctypes.create_string_buffer(len(SECRET))
    mine = _Range(ctypes.addressof(buffer), len(SECRET))
    other = _Range(address, len(SECRET))
    call = _libc().process_vm_readv
    call.restype = ctypes.c_ssize_t
    _checked(call(pid, ctypes.byref(mine), 1, ctypes.byref(other), 1, 0))
    return buffer.raw[: len(SECRET)]


def _attach(pid: int, address: int) -> bytes:
    """As a debugger or gcore does."""
    libc = _libc()
    _checked(libc.ptrace(PTRACE_ATTACH, pid, None, None))
    os.waitpid(pid, 0)
    try:
        return _read_mem(pid, address)
    finally:
        _checked(libc.ptrace(PTRACE_DETACH, pid, None, None))


def _seize(pid: int, address: int) -> bytes:
    _checked(_libc().ptrace(PTRACE_SEIZE, pid, None, None))
    return SECRET  # the kernel lets go of the process when this one ends


def _pidfd_getfd(pid: int, address: int) -> bytes:
    """Take a copy of one of its open files."""
    handle = os.pidfd_open(pid)
    os.close(_checked(_libc().syscall(SYS_PIDFD_GETFD, handle, 1, 0)))
    os.close(handle)
    return SECRET


def _read(name: str) -> Callable[[int, int], bytes]:
    def read(pid: int, address: int) -> bytes:
        return Path(f"/proc/{pid}/{name}").read_bytes()

    return read


ATTACKS: dict[str, Callable[[int, int], object]] = {
    "maps": _read("maps"),
    "smaps": _read("smaps"),
    "environ": _read("environ"),
    "auxv": _read("auxv"),
    "exe": lambda pid, address: os.readlink(f"/proc/{pid}/exe"),
    "cwd": lambda pid, address: os.readlink(f"/proc/{pid}/cwd"),
    "list of files": lambda pid, address: os.readlink(f"/proc/{pid}/fd/0"),
    "mem": _read_mem,
    "process_vm_readv": _process_vm_readv,
    "pidfd_getfd": _pidfd_getfd,
    "attach": _attach,
    "seize": _seize,
}


def attack(pid: int, address: int) -> dict[str, str]:
    """Try every way into a process; for each "open", or the name of the error that refused it."""
    results = {}
    for name, act in ATTACKS.items():
        try:
            found = act(pid, address)
        except OSError as error:
            results[name] = errno.errorcode.get(error.errno or 0, str(error))
        else:
            results[name] = "open" if name not in NEED_ATTACH or found == SECRET else f"read {found!r}"
    return results


def prefix() -> list[str]:
    """Root becomes an ordinary user first; who is one already stays that."""
    return list(AS_USER) if os.geteuid() == 0 else []


def owner() -> int:
    return USER if os.geteuid() == 0 else os.geteuid()


def attack_from_outside(pid: int, address: int, env: dict[str, str]) -> dict[str, str]:
    """The same attacks by another process of the same ordinary user."""
    done = subprocess.run(
        [*prefix(), sys.executable, "-m", "tests.privacy.test_memory", str(pid), str(address)],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results: dict[str, str] = json.loads(done.stdout)
    assert list(results) == list(ATTACKS)
    return results


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=25, rate=25)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that belongs to the ordinary user; pytest's own folders are closed to it."""
    with tempfile.TemporaryDirectory(prefix="edge-memory-") as name:
        for path in (Path(name), Path(name, "home")):
            path.mkdir(exist_ok=True)
            os.chown(path, owner(), -1)
        yield Path(name)


@contextmanager
def storing(script: str, place: Path, clip: Path, before: list[str]) -> Iterator[Daemon]:
    """The daemon on a clip that begins again and again, once it has raw frames and has stored images."""
    config = write_config(place, {"front": (clip, "loop = true")})
    os.chown(config, owner(), -1)  # whatever the umask of this process is by now
    env = bare_environment(place / "home")
    log = clip.parent / "log"
    with running(script, config, log_file=log, env=env, prefix=before) as daemon:
        daemon.wait_for(lambda: len(stored(place)) >= 2)
        yield daemon


@contextmanager
def undefended(place: Path) -> Iterator[tuple[int, int]]:
    """A process of the ordinary user that holds a secret and did nothing to keep it: its id, and where."""
    code = (
        "import ctypes, sys, time\n"
        f"kept = ctypes.create_string_buffer({SECRET!r})\n"
        "print(ctypes.addressof(kept), flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [*prefix(), sys.executable, "-c", code], cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process.pid, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
def test_another_process_of_the_same_user_cannot_look_in(
    place: Path, clip: Path, edge_script: str, proof: Proof
) -> None:
    env = bare_environment(place / "home")
    with undefended(place) as (pid, address):
        control = attack_from_outside(pid, address, env)
        assert os.stat(f"/proc/{pid}/mem").st_uid == owner()
    possible = {name for name, result in control.items() if result == "open"}
    assert possible >= set(ATTACKS) - set(NEED_ATTACH), control
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if not scope.exists() or scope.read_text().strip() == "0":
        assert {"mem", "process_vm_readv", "attach"} <= possible, control

    with storing(edge_script, place, clip, prefix()) as daemon:
        pid = daemon.process.pid
        status = Path(f"/proc/{pid}/status").read_text()
        assert f"Uid:\t{owner()}\t{owner()}\t{owner()}" in status
        results = attack_from_outside(pid, address, env)
        # The kernel gives these files to root when a process may not be dumped (proc(5))
        assert os.stat(f"/proc/{pid}/mem").st_uid == 0
        assert os.stat(f"/proc/{pid}/environ").st_uid == 0
        count = len(stored(place))
        daemon.wait_for(lambda: len(stored(place)) > count)  # it was not even stopped
        assert daemon.stop() == 0
    assert {name: result for name, result in results.items() if result not in ("EPERM", "EACCES")} == {}
    proof(faults=len(possible))


def core_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "core" in path.name]


def died_of(process: subprocess.Popen[bytes], number: signal.Signals) -> bool:
    """Send a signal that ends a process with a core; return whether the kernel wrote one."""
    process.send_signal(number)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == -number
    return os.WCOREDUMP(status)


@pytest.fixture(scope="module")
def _cores_are_written(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The control: a process that did nothing against it leaves a core here."""
    folder = tmp_path_factory.mktemp("control")
    code = "import time; print('ready', flush=True); time.sleep(600)"
    process = subprocess.Popen(
        [*UNLIMITED, sys.executable, "-c", code], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process.stdout:
        if not process.stdout.readline():
            process.wait()
            pytest.skip("the limit of core files cannot be lifted here")
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if not died_of(process, signal.SIGABRT):
        pytest.skip(f"no process leaves a core here (core_pattern {pattern!r})")
    if pattern.startswith("core"):
        assert core_files(folder)


DEFAULT_SIGNALS = (signal.SIGABRT, signal.SIGSEGV, signal.SIGQUIT)
MORE_SIGNALS = (signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS, signal.SIGXCPU)


@pytest.fixture
def _quit_is_not_ignored() -> Iterator[None]:
    """A shell lets what it runs in the background ignore this signal, and that is inherited."""
    before = signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGQUIT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("_cores_are_written", "_quit_is_not_ignored")
@pytest.mark.parametrize(
    "number", [*DEFAULT_SIGNALS, *(pytest.param(more, marks=pytest.mark.sweep) for more in MORE_SIGNALS)]
)
def test_a_crash_leaves_no_core(
    place: Path, clip: Path, edge_script: str, number: signal.Signals, proof: Proof
) -> None:
    with storing(edge_script, place, clip, [*prefix(), *UNLIMITED]) as daemon:
        limits = Path(f"/proc/{daemon.process.pid}/limits").read_text()
        [line] = [line for line in limits.splitlines() if line.startswith("Max core file size")]
        # One byte: at 0 the kernel would still hand the core to a program such as systemd-coredump
        assert line.split()[4:] == ["1", "1", "bytes"]
        assert not died_of(daemon.process, number)
    left = {path for path in place.rglob("*") if path.is_file() and log_format.FOLDER not in path.parts}
    images = stored(place)
    assert left == {place / "edge.toml", *images}
    assert {path.suffix for path in images} == {".jpg"}
    proof(faults=1)


if __name__ == "__main__":
    print(json.dumps(attack(int(sys.argv[1]), int(sys.argv[2]))))
