"""The unit and its drop-ins: systemd accepts them, rates them, and each line that matters is there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.cli import app
from edge.commands.install import HIDDEN, UNIT, UNIT_PROGRAM, DropIn, install, source_folder
from edge.config import read_config

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (package systemd)"
)
COMBINATIONS = [[], [DropIn.JETSON], [DropIn.NUC], [DropIn.USB_ONLY], [DropIn.JETSON, DropIn.USB_ONLY]]
KEPT_BY_ALL = pytest.mark.parametrize("drop_ins", COMBINATIONS, ids=lambda d: "+".join(d) or "plain")


def installed(root: Path, drop_ins: list[DropIn]) -> Path:
    """A root folder with the unit in it, and a program that systemd finds executable."""
    program = root / UNIT_PROGRAM.lstrip("/")
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    list(install(root, drop_ins, program))
    return root


def settings(root: Path, drop_ins: list[DropIn]) -> dict[str, list[str]]:
    """The values of each key of [Service] and [Unit], drop-ins applied; an empty value clears the list."""
    files = [root / UNIT, *(root / f"{UNIT}.d" / f"{drop_in.value}.conf" for drop_in in drop_ins)]
    values: dict[str, list[str]] = {}
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.startswith(("#", "[")) or "=" not in line:
                continue
            key, _, value = line.partition("=")
            values[key] = [*values.get(key, []), value] if value else []
    return values


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@needs_analyze
@KEPT_BY_ALL
def test_systemd_has_nothing_to_complain_about(tmp_path: Path, drop_ins: list[DropIn]) -> None:
    root = installed(tmp_path, drop_ins)
    for folder in ("/usr/lib/systemd/system", "/lib/systemd/system"):  # targets that the unit names
        if Path(folder).is_dir():
            shutil.copytree(folder, root / folder.lstrip("/"), symlinks=True)
    done = analyze("verify", "--man=no", f"--root={root}", "edge.service")
    text = done.stdout + done.stderr
    # Units of the system itself, copied along, may have complaints of their own.
    assert [line for line in text.splitlines() if "edge.service" in line] == []


@needs_analyze
def test_growing_pauses_are_the_only_keys_that_an_old_systemd_ignores(tmp_path: Path) -> None:
    """``RestartSteps`` and ``RestartMaxDelaySec`` came with systemd 254."""
    root = installed(tmp_path, [DropIn.BACKOFF])
    done = analyze("verify", "--man=no", f"--root={root}", "edge.service")
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if "backoff.conf" in line]
    assert all("RestartSteps" in line or "RestartMaxDelaySec" in line for line in complaints)
    version = int(analyze("--version").stdout.split()[1])
    assert len(complaints) == (2 if version < 254 else 0)


@needs_analyze
def test_systemd_complains_about_a_wrong_key(tmp_path: Path) -> None:
    """So that silence above means something."""
    root = installed(tmp_path, [])
    with (root / UNIT).open("a", encoding="utf-8") as file:
        file.write("[Service]\nProtectEverything=yes\n")
    done = analyze("verify", "--man=no", f"--root={root}", "edge.service")
    assert "ProtectEverything" in done.stdout + done.stderr


@needs_analyze
@pytest.mark.parametrize(
    ("drop_ins", "limit"),
    [
        ([], 1.5),
        ([DropIn.JETSON], 1.5),
        ([DropIn.NUC], 1.5),
        ([DropIn.USB_ONLY], 1.0),
        ([DropIn.NUC, DropIn.USB_ONLY], 1.0),
    ],
    ids=str,
)
def test_exposure(tmp_path: Path, drop_ins: list[DropIn], limit: float) -> None:
    root = installed(tmp_path, drop_ins)
    done = analyze(
        "security", "--offline=true", f"--threshold={limit * 10:.0f}", f"--root={root}", "edge.service"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Overall exposure level for edge.service" in done.stdout


PROMISES = [
    ("MemorySwapMax", "0", "memory with raw frames must not be swapped to a disk"),
    ("LimitCORE", "1", "with 0 the kernel still hands a dump to a pipe such as systemd-coredump"),
    ("CoredumpFilter", "0x0", "a dump that happens in spite of that holds no memory"),
    ("WatchdogSignal", "SIGKILL", "the usual SIGABRT asks for a core dump"),
    ("UMask", "0077", "images are for their owner"),
    ("ProtectSystem", "strict", "nothing but the state folder can be written on a disk"),
    ("ProtectHome", "yes", "nothing but the state folder can be written on a disk"),
    ("StateDirectory", "edge", "the one folder that can be written on a disk"),
    ("StateDirectoryMode", "0700", "images are for their owner"),
    ("RuntimeDirectory", "edge", "the status socket, in memory"),
    ("RuntimeDirectoryMode", "0700", "the status socket answers whoever reaches it"),
    ("NoExecPaths", "/var/lib/edge /run/edge", "nothing that was written can be run"),
    ("NoNewPrivileges", "yes", "no way to more rights"),
    ("CapabilityBoundingSet", "", "no rights of root, not even to ask for"),
    ("User", "edge", "not root; static, so that images keep one owner"),
    ("PrivateUsers", "yes", "other users do not exist for it"),
    ("ProtectProc", "invisible", "other processes are not seen"),
    ("RestrictNamespaces", "yes", "no sandbox in which the rules above end"),
    ("DevicePolicy", "closed", "cameras and graphics devices, nothing else"),
    ("IPAddressDeny", "any", "pictures cannot leave to the internet"),
    ("SystemCallErrorNumber", "EPERM", "a library that tries what it need not goes on"),
    ("SystemCallArchitectures", "native", "no second set of system calls"),
    ("Type", "notify", "ready means that the detector found its known face"),
    ("NotifyAccess", "main", "nobody else may feed the watchdog"),
    ("WatchdogSec", "60", "a tick that hangs ends the process"),
    ("Restart", "always", "nobody visits the box"),
    ("StartLimitIntervalSec", "0", "systemd never gives up"),
    ("RestartPreventExitStatus", "78", "a bad configuration needs a person"),
    ("KillMode", "mixed", "the process stores what waits before anything is killed"),
]


@KEPT_BY_ALL
@pytest.mark.parametrize(("key", "value", "reason"), PROMISES, ids=lambda x: x if x.isalnum() else "")
def test_what_the_promise_rests_on(
    tmp_path: Path, drop_ins: list[DropIn], key: str, value: str, reason: str
) -> None:
    assert settings(installed(tmp_path, drop_ins), drop_ins)[key] == ([value] if value else []), reason


@KEPT_BY_ALL
def test_no_key_undoes_it(tmp_path: Path, drop_ins: list[DropIn]) -> None:
    values = settings(installed(tmp_path, drop_ins), drop_ins)
    # ReadWritePaths= opens further folders, PrivateTmp= puts temporary files on the disk and, like a
    # NoExecPaths= with the same path, silently wins over TemporaryFileSystem=; ExecStartPre= is not looked
    # at by RestartPreventExitStatus=.
    for key in ("ReadWritePaths", "PrivateTmp", "ExecStartPre", "CacheDirectory", "LogsDirectory"):
        assert key not in values
    temporary = {entry.split(":")[0] for line in values["TemporaryFileSystem"] for entry in line.split()}
    assert temporary == {"/tmp", "/var/tmp", "/dev/shm"}
    assert not temporary & set(values["NoExecPaths"][0].split())
    assert "ORT_DISABLE_TELEMETRY=1" in values["Environment"][0].split()


def test_the_network_is_private_addresses_or_none(tmp_path: Path) -> None:
    plain = settings(installed(tmp_path / "plain", []), [])
    allowed = plain["IPAddressAllow"][0].split()
    assert set(allowed) == {
        "localhost", "link-local", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7",
    }  # fmt: skip
    assert plain["RestrictAddressFamilies"] == ["AF_UNIX AF_INET AF_INET6"]
    usb = settings(installed(tmp_path / "usb", [DropIn.USB_ONLY]), [DropIn.USB_ONLY])
    assert usb["PrivateNetwork"] == ["yes"]
    assert usb["RestrictAddressFamilies"] == ["AF_UNIX"]
    assert usb["IPAddressAllow"] == []


def test_writable_and_executable_memory_only_where_it_is_needed(tmp_path: Path) -> None:
    for drop_ins in COMBINATIONS:
        values = settings(installed(tmp_path / "+".join(["x", *drop_ins]), drop_ins), drop_ins)
        relaxed = bool({DropIn.JETSON, DropIn.NUC} & set(drop_ins))
        assert values["MemoryDenyWriteExecute"][-1] == ("no" if relaxed else "yes")


def test_the_program_is_seen_in_the_units_own_folders() -> None:
    assert not any(Path(UNIT_PROGRAM).is_relative_to(folder) for folder in HIDDEN)
    unit = (source_folder() / "edge.service").read_text(encoding="utf-8")
    assert f"\nExecStart={UNIT_PROGRAM} run --config /etc/edge/edge.toml\n" in unit


def test_the_sample_configuration_is_good_and_fits_the_unit() -> None:
    path = source_folder() / "edge.toml"
    done = CliRunner().invoke(app, ["config", "check", str(path)])
    assert done.exit_code == 0, done.output
    config = read_config(path)
    assert list(config.cameras) == ["front"]
    assert config.store.folder == Path("/var/lib/edge/images")
    assert config.detector.cache_folder == Path("/var/lib/edge/engines")
    assert config.status.socket == Path("/run/edge/status.sock")  # the only way with usb-only.conf


@pytest.mark.skipif(
    shutil.which("systemd-sysusers") is None or shutil.which("systemd-tmpfiles") is None,
    reason="needs systemd-sysusers and systemd-tmpfiles (package systemd)",
)
def test_user_and_folders(tmp_path: Path) -> None:
    root = installed(tmp_path, [])
    done = subprocess.run(
        ["systemd-sysusers", f"--root={root}", "--dry-run", "edge.conf"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Creating user 'edge'" in done.stdout + done.stderr
    folders = (source_folder() / "edge.tmpfiles").read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in folders if line and not line.startswith("#")]
    assert ["z", "/etc/edge/edge.toml", "0640", "root", "edge", "-"] in rows
    assert ["d", "/var/lib/edge", "0700", "edge", "edge", "-"] in rows
