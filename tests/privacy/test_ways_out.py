"""Every system call of the real daemon: where it may write, and whom it may talk to.

The daemon runs under strace while its status is asked for all the time; whatever could carry a picture out of
the process must lead into the store, to the log, or to the status endpoint.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from edge.detection.rescan import find_faces
from tests.clips import write_clip
from tests.privacy import strace
from tests.privacy.strace import Call, Trace
from tests.privacy.system_calls import Promise, promised
from tests.privacy.world import (
    Asking,
    Scene,
    Tables,
    edge_command,
    environment,
    free_port,
    images_below,
    make_scene,
    write_settings,
)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(strace.why_not()), reason=strace.why_not() or "-")]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("scene"), frames=4)


def observe(folder: Path, tables: Tables) -> tuple[Trace, Path]:
    """Trace everything that could carry a picture out of the process; return also the store's folder."""
    folder.mkdir()
    port = free_port()
    config = write_settings(folder / "edge.toml", {**tables, "status": {"port": port, "preview": True}})
    with Asking(port) as asking:
        trace = strace.traced(
            [*edge_command(), "run", "--config", str(config)],
            trace=OUTWARD,
            more=["--seccomp-bpf"],
            cwd=folder,
            env=environment(folder / "own"),
        )
    assert trace.returncode == 0, trace.stderr
    assert {path for path, code in asking.codes if code == 200} == set(asking.PATHS), "it was not asked"
    return trace, folder / "store"


OPENING = {"open", "openat", "openat2", "creat"}
NAMING = {"mkdir", "mkdirat", "mknod", "mknodat", "link", "linkat", "symlink", "symlinkat", "rename",
          "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "truncate", "lsetxattr"}  # fmt: skip
GIVING = {"write": 0, "pwrite64": 0, "writev": 0, "pwritev": 0, "pwritev2": 0, "sendfile": 0, "splice": 2,
          "tee": 1, "vmsplice": 0, "copy_file_range": 2, "ftruncate": 0, "fallocate": 0}  # fmt: skip
"""Calls that give data to a descriptor, and which argument that is."""
SPEAKING = {"sendto", "sendmsg", "sendmmsg"}
STARTING = {"execve", "execveat", "clone", "clone3", "fork", "vfork"}
NEVER = {"memfd_create", "memfd_secret", "io_uring_setup", "io_setup", "ptrace", "process_vm_writev",
         "shmget", "msgget", "mq_open", "add_key", "mount", "pidfd_getfd", "bpf"}  # fmt: skip
OUTWARD = ",".join(
    [
        "%network",
        *(f"?{name}" for name in sorted({*OPENING, *NAMING, *GIVING, *STARTING, *NEVER, "mmap", "fsync"})),
    ]
)
"""What strace is to show of a process."""
WRITABLE = ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND", "O_TMPFILE")
ELSEWHERE = {
    "pipe:": "standard error, where the log goes",
    "TCP:[127.0.0.1:": "the status endpoint",
    "UNIX-STREAM:": "the pair of sockets by which asyncio wakes itself",
    "anon_inode:[eventfd]": "wakes a thread, and carries a number",
}
"""What may be written to outside of the store, with the reason."""


def ways_out(trace: Trace, store: Path) -> list[str]:
    """System calls by which something could have left the process, other than into the store, to the log and
    to the status endpoint."""
    return [
        f"{call.name}({', '.join(call.arguments)})"
        for number, call in enumerate(trace.calls)
        if _leads_out(number, call, store)
    ]


def _leads_out(number: int, call: Call, store: Path) -> bool:
    text = " ".join(call.arguments)
    failed = call.result is None or call.result < 0
    if failed and call.name in OPENING | NAMING | GIVING.keys():
        return False
    if call.name in OPENING:
        return any(flag in text for flag in WRITABLE) and not _below(call.paths[0], store)
    if call.name in NAMING:
        return not _below(call.paths[-1], store)
    if call.name in GIVING or call.name in SPEAKING:
        target = call.descriptor(GIVING.get(call.name, 0))
        return not (_below(target, store) or target.startswith(tuple(ELSEWHERE)))
    if call.name in ("execve", "execveat"):
        return number > 0
    if call.name in STARTING:
        return "CLONE_THREAD" not in text
    if call.name == "mmap":
        return "MAP_SHARED" in text and "PROT_WRITE" in text and not _below(call.descriptor(4), store)
    if call.name == "socket":
        return not text.startswith("AF_INET SOCK_STREAM")
    if call.name == "bind":
        return 'inet_addr("127.0.0.1")' not in text
    return call.name in NEVER or call.name == "connect"


def _below(path: str, store: Path) -> bool:
    return path == str(store) or path.startswith(f"{store}/")


def test_nothing_leaves_but_into_the_store(scene: Scene, tmp_path: Path) -> None:
    slow: Tables = {"cameras.front": {"pace": True, "rate_fps": 1.5}}
    trace, store = observe(tmp_path / "run", scene.tables(tmp_path / "run" / "store", slow))
    assert ways_out(trace, store) == []
    counts = Counter(call.name for call in trace.calls)
    assert counts["execve"] == counts["socket"] == counts["bind"] == counts["socketpair"] == 1
    # One for each image, and one for the position in the camera's file
    assert counts["linkat"] == len(images_below(store)) + 1 > 1
    assert [flaw for path in images_below(store) if (flaw := scene.flaw(path))] == []
    assert promised(trace) == Promise(images_below(store), [])


def test_nothing_leaves_with_the_shipped_detector(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=6)
    tables: Tables = {
        "cameras.front": {"source": str(clip), "rate_fps": 2},
        "store": {"folder": str(tmp_path / "run" / "store")},
        "detector": {"provider": "cpu"},
    }
    trace, store = observe(tmp_path / "run", tables)
    assert ways_out(trace, store) == []
    assert promised(trace) == Promise(images_below(store), [])
    assert images_below(store)
    assert find_faces(images_below(store)) == []


@pytest.mark.parametrize(
    ("code", "sign"),
    [
        ("open(os.path.expanduser('~/frame'), 'wb').write(b'x')", "home/frame"),
        (
            "import mmap; f = os.open('/dev/shm/edge-test', 66); os.ftruncate(f, 9); mmap.mmap(f, 9)",
            "MAP_SHARED",
        ),
        ("import subprocess; subprocess.run(['true'])", "execve"),
        ("import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))", "SOCK_DGRAM"),
        ("import socket; socket.socket().connect_ex(('127.0.0.1', 9))", "connect"),
        ("os.memfd_create('frame')", "memfd_create"),
    ],
)
def test_each_way_out_is_seen(code: str, sign: str, tmp_path: Path) -> None:
    """The check itself: a process that does what the daemon must not."""
    (tmp_path / "sitecustomize.py").write_text(f"import os, sys\n{code}\n")
    trace = strace.traced(
        [sys.executable, "-c", "pass"],
        trace=OUTWARD,
        cwd=tmp_path,
        env=environment(tmp_path / "own", PYTHONPATH=str(tmp_path)),
    )
    Path("/dev/shm/edge-test").unlink(missing_ok=True)
    assert any(sign in text for text in ways_out(trace, tmp_path / "store")), trace.stderr
