"""Nothing leaves by the network: no telemetry, no name look-up, no socket but the status listener.

The commands run with a fresh home, without ``CI`` (with it ONNX Runtime would be quiet by itself), in a
network namespace that has nothing but a loopback, and under strace, which sees every call that they make.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.clips import write_clip
from tests.conftest import DATA
from tests.privacy import strace
from tests.privacy.conftest import Proof
from tests.privacy.daemon import bare_environment, stored, write_config
from tests.privacy.strace import Call, Trace, traced

pytestmark = pytest.mark.slow

ALONE = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
TRACED = "network,%file,io_uring_setup"

ON_LISTENER = {"accept", "accept4", "listen"}
ON_OPEN_SOCKET = {
    *("getsockname", "getpeername", "getsockopt", "setsockopt", "recvfrom", "recvmsg", "shutdown"),
    *("sendto", "sendmsg"),
}
NAME_LOOK_UP = {
    *("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf", "/etc/services"),
    *("/etc/nsswitch.conf", "/run/nscd/socket", "/var/run/nscd/socket", "/etc/ssl/certs"),
}
MAKES_FILES = {
    *("mkdir", "mkdirat", "mknod", "mknodat", "link", "linkat", "symlink", "symlinkat", "rename"),
    *("renameat", "renameat2", "creat"),
}
ADDRESS = re.compile(r'sin_port=htons\((\d+)\), sin_addr=inet_addr\("([0-9.]+)"\)')


def violations(calls: Sequence[Call], *, home: Path, unix_socket: Path | None = None) -> list[str]:
    """What a run did beyond its own status listener on 127.0.0.1 (or ``unix_socket``) and a question to that.

    A TCP socket for IPv4 may be made; it may listen on loopback, or connect to what listens there in this
    very run. A pair of unix sockets, by which asyncio wakes itself, reaches nobody. All else is named.
    """
    ports: set[str] = set()
    found = []
    for call in calls:
        problem = _file_problem(call, home)
        if call.name in ("bind", "connect") or call.name in ON_LISTENER:
            problem = problem or _address_problem(call, ports, unix_socket)
        elif call.name == "socket":
            kind = call.arguments[:2]
            tcp = kind[0] == "AF_INET" and kind[1].startswith("SOCK_STREAM")
            unix = kind[0] == "AF_UNIX" and unix_socket is not None
            problem = "" if tcp or unix else "a socket of another kind"
        elif call.name == "socketpair":
            problem = "" if call.arguments[0] == "AF_UNIX" else "a pair of another kind"
        elif call.name in ("sendto", "sendmsg"):
            connected = "NULL" in call.arguments[-2:] or "msg_name=NULL" in call.arguments[1]
            problem = "" if connected else "data to an address"
        elif not call.paths and call.name not in ON_OPEN_SOCKET and call.name not in ("execve", "fchdir"):
            problem = problem or "a call that no command needs"
        if problem:
            found.append(f"{problem}: {call.name}({', '.join(call.arguments)}) = {call.result} {call.error}")
    return found


def _file_problem(call: Call, home: Path) -> str:
    for path in call.paths:
        if path in NAME_LOOK_UP:
            return "a name look-up"
        opened = " ".join(call.arguments)
        made = call.name in MAKES_FILES or re.search(r"\bO_(CREAT|WRONLY|RDWR|TMPFILE)\b", opened)
        if made and Path(path).is_relative_to(home):
            return "a file in the home folder"
    return ""


def _address_problem(call: Call, ports: set[str], unix_socket: Path | None) -> str:
    """``ports`` are those that this run listens on; listening adds to them."""
    if unix_socket is not None and f'"{unix_socket}"' in " ".join(call.arguments):
        return ""
    if call.name in ON_LISTENER:
        found = re.fullmatch(r"TCP:\[127\.0\.0\.1:(\d+)\]", call.descriptor())
        if found and call.name == "listen":
            ports.add(found[1])
        return "" if found and found[1] in ports else "a listener that is not on loopback"
    match = ADDRESS.search(call.arguments[1])
    if match is None or match[2] != "127.0.0.1":
        return "an address that is not loopback"
    if call.name == "connect" and match[1] not in ports:
        return "a connection to somebody else"
    return ""


@pytest.fixture(scope="module", autouse=True)
def _possible() -> None:
    """Skip, with the reason, where nothing can be traced or no network namespace can be made."""
    if reason := strace.why_not():
        pytest.skip(reason)
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("unshare or ip is not installed")
    done = subprocess.run([*ALONE, "ip", "route"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no network namespace can be made here: {done.stderr.strip()}")
    assert done.stdout == ""  # there is no route to anywhere


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=8, rate=10)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return bare_environment(tmp_path / "home")


def alone(command: Sequence[str | Path], cwd: Path, env: Mapping[str, str]) -> Trace:
    return traced(command, trace=TRACED, cwd=cwd, env=env, prefix=ALONE)


def check_quiet(trace: Trace, home: Path, unix_socket: Path | None = None) -> None:
    opened = [call for call in trace.calls if call.name == "openat" and call.result is not None]
    assert len(opened) > 100  # the calls were seen
    assert violations(trace.calls, home=home, unix_socket=unix_socket) == []
    assert list(home.rglob("*")) == []


def test_the_daemon_is_quiet(
    tmp_path: Path, clip: Path, edge_script: str, env: dict[str, str], proof: Proof
) -> None:
    config = write_config(tmp_path, {"front": (clip, "pace = false")})
    trace = alone([edge_script, "run", "--config", config], tmp_path, env)
    assert trace.returncode == 0, trace.stderr
    assert "status endpoint: http://127.0.0.1:" in trace.stderr
    assert len(stored(tmp_path)) == 8
    assert [call.name for call in trace.calls].count("bind") == 1
    check_quiet(trace, tmp_path / "home")
    proof(faults=1)


def test_the_daemon_is_quiet_behind_a_unix_socket(
    tmp_path: Path, clip: Path, edge_script: str, env: dict[str, str], proof: Proof
) -> None:
    socket = tmp_path / "status"
    config = write_config(tmp_path, {"front": (clip, "pace = false")})
    config.write_text(config.read_text().replace("port = 0", f'socket = "{socket}"'))
    trace = alone([edge_script, "run", "--config", config], tmp_path, env)
    assert trace.returncode == 0, trace.stderr
    assert len(stored(tmp_path)) == 8
    families = {call.arguments[0] for call in trace.calls if call.name in ("socket", "socketpair")}
    assert families == {"AF_UNIX"}
    check_quiet(trace, tmp_path / "home", socket)
    proof(faults=1)


def test_the_demo_is_quiet(tmp_path: Path, edge_script: str, env: dict[str, str], proof: Proof) -> None:
    """It also asks its own status endpoint, over loopback."""
    trace = alone([edge_script, "demo", "--out", tmp_path / "out", "--seconds", "2"], tmp_path, env)
    assert trace.returncode in (0, 1), trace.stderr  # 1 where this machine is too slow to store an image
    assert "status endpoint" in trace.stdout
    assert "connect" in {call.name for call in trace.calls}
    check_quiet(trace, tmp_path / "home")
    proof(faults=1)


def test_edge_blur_is_quiet(
    tmp_path: Path, clip: Path, edge_script: str, env: dict[str, str], proof: Proof
) -> None:
    files = (str(DATA / "hopper.jpg"), str(clip))
    command = [edge_script, "blur", *files, "--out", "out"]
    trace = alone(command, tmp_path, env)
    assert trace.returncode == 0, trace.stdout + trace.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"hopper.jpg", "clip.mp4"}
    assert {call.name for call in trace.calls} & {"socket", "bind", "connect"} == set()
    check_quiet(trace, tmp_path / "home")
    proof(faults=1)


def test_the_doctor_is_quiet(
    tmp_path: Path, clip: Path, edge_script: str, env: dict[str, str], proof: Proof
) -> None:
    config = write_config(tmp_path, {"front": (clip, "")})
    trace = alone([edge_script, "doctor", "--config", config, "--json"], tmp_path, env)
    assert trace.returncode == 0, trace.stdout + trace.stderr
    assert {call.name for call in trace.calls} & {"socket", "bind", "connect"} == set()
    check_quiet(trace, tmp_path / "home")
    proof(faults=1)


LURES = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://192.0.2.1/a.ts\n#EXT-X-ENDLIST\n",
    "sdp": "v=0\no=- 0 0 IN IP4 192.0.2.1\ns=x\nc=IN IP4 192.0.2.1\nt=0 0\n"
    "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "concat": "ffconcat version 1.0\nfile http://192.0.2.1/a.mp4\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
    '<AdaptationSet mimeType="video/mp4"><Representation id="1"><BaseURL>http://192.0.2.1/a.mp4</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>",
    "redirect": "rtsptext\nrtsp://192.0.2.1/stream\n",
    "playlist": "http://example.invalid/a.mp4\n",
}
"""Files named like videos that tell a video library to fetch something from the network."""


def test_a_video_file_cannot_make_the_box_call_somebody(
    tmp_path: Path, edge_script: str, env: dict[str, str], proof: Proof
) -> None:
    for name, text in LURES.items():
        (tmp_path / f"{name}.mp4").write_text(text)
    config = write_config(tmp_path, {name: (tmp_path / f"{name}.mp4", "") for name in LURES})
    daemon = alone([edge_script, "run", "--config", config], tmp_path, env)
    assert daemon.returncode == 1, daemon.stderr
    for name in LURES:
        assert f"camera {name}: captured 0, written 0" in daemon.stderr
    check_quiet(daemon, tmp_path / "home")
    assert stored(tmp_path) == []
    batch = alone(
        [edge_script, "blur", *sorted(tmp_path.glob("*.mp4")), "--out", tmp_path / "out"], tmp_path, env
    )
    assert batch.returncode == 1
    assert batch.stdout.count("refused ") == len(LURES)
    check_quiet(batch, tmp_path / "home")
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []
    proof(faults=2 * len(LURES))


CALLS_HOME = """
import pathlib, socket
def attempt(act, *arguments):
    try: act(*arguments)
    except OSError: pass
attempt(socket.getaddrinfo, "example.invalid", 80)
attempt(socket.create_connection, ("192.0.2.1", 443), 1)
attempt(socket.create_connection, ("127.0.0.1", 9), 1)
attempt(socket.create_connection, ("::1", 9), 1)
attempt(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto, b"x", ("192.0.2.1", 53))
attempt(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).bind, (0, 0))
attempt(socket.create_server, ("0.0.0.0", 0))
attempt(socket.socket(socket.AF_UNIX).connect, "/run/systemd/journal/socket")
attempt(pathlib.Path.home().joinpath(".telemetry").write_text, "x")
pathlib.Path.home().joinpath(".telemetry").unlink()
"""


def test_a_program_that_calls_home_is_noticed(tmp_path: Path, env: dict[str, str]) -> None:
    """The control: the checker names every one of these."""
    trace = alone([sys.executable, "-c", CALLS_HOME], tmp_path, env)
    assert trace.returncode == 0, trace.stderr
    found = "\n".join(violations(trace.calls, home=tmp_path / "home"))
    for line in (
        r'a name look-up: \w+\(.*"/etc/(hosts|resolv\.conf)"',
        r"an address that is not loopback: connect\(.*192\.0\.2\.1",
        r"a connection to somebody else: connect\(.*127\.0\.0\.1",
        r"a socket of another kind: socket\(AF_INET6, SOCK_STREAM",
        r"a socket of another kind: socket\(AF_INET, SOCK_DGRAM",
        r"data to an address: sendto\(.*192\.0\.2\.1",
        r"a socket of another kind: socket\(AF_NETLINK",
        r'an address that is not loopback: bind\(.*"0\.0\.0\.0"',
        r"a listener that is not on loopback: listen\(",
        r"a socket of another kind: socket\(AF_UNIX",
        r"an address that is not loopback: connect\(.*journal",
        r"a file in the home folder: openat\(.*\.telemetry",
    ):
        assert re.search(line, found), f"{line} is not in\n{found}"


def test_onnx_runtime_by_itself_is_noticed(tmp_path: Path, env: dict[str, str]) -> None:
    """What the box would do if it did not switch telemetry off before the import."""
    import onnxruntime

    if tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 29):
        pytest.skip("this ONNX Runtime sends no telemetry")
    code = "import onnxruntime as o; o.InferenceSession(__import__('sys').argv[1])"
    model = DATA.parent / "models" / "face.onnx"
    trace = alone([sys.executable, "-c", code, model], tmp_path, env)
    assert trace.returncode == 0, trace.stderr
    assert violations(trace.calls, home=tmp_path / "home") != []
