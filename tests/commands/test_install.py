"""``edge install`` and ``edge uninstall``: what is written, what is never overwritten, what stays."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.cli import app
from edge.commands import install as installation
from edge.commands.install import CONFIG, DROP_IN_FOLDER, UNIT, DropIn, install, uninstall
from edge.errors import EdgeError, StoreError

PROGRAM = Path("/opt/anonymizer/bin/edge")
SYSUSERS, TMPFILES = Path("etc/sysusers.d/edge.conf"), Path("etc/tmpfiles.d/edge.conf")


@pytest.fixture(autouse=True)
def umask() -> object:
    """The command sets it for the whole process."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(p.relative_to(root)): (mode(p), p.read_bytes() if p.is_file() else b"") for p in root.rglob("*")
    }


def test_every_file_lands_where_systemd_looks_for_it(tmp_path: Path) -> None:
    lines = list(install(tmp_path, [DropIn.JETSON, DropIn.USB_ONLY], PROGRAM))
    wanted = [UNIT, DROP_IN_FOLDER / "jetson.conf", DROP_IN_FOLDER / "usb-only.conf", SYSUSERS, TMPFILES]
    for path in wanted:
        assert mode(tmp_path / path) == 0o644
        assert f"wrote   {tmp_path / path}" in lines
    assert not (tmp_path / DROP_IN_FOLDER / "nuc.conf").exists()
    files = {p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {*wanted, CONFIG}
    for folder in (p for p in tmp_path.rglob("*") if p.is_dir()):
        assert mode(folder) == 0o755  # systemd and the user edge have to enter them
    text = "\n".join(lines)
    for command in ("systemd-sysusers", "systemd-tmpfiles --create", "daemon-reload", "enable --now edge"):
        assert command in text


def test_the_configuration_is_closed_since_passwords_stand_in_it(tmp_path: Path) -> None:
    list(install(tmp_path, [], PROGRAM))
    assert mode(tmp_path / CONFIG) == 0o600
    assert "z /etc/edge/edge.toml 0640 root edge" in (tmp_path / TMPFILES).read_text("utf-8")


def test_the_unit_starts_the_program_that_was_installed(tmp_path: Path) -> None:
    list(install(tmp_path, [], PROGRAM))
    unit = (tmp_path / UNIT).read_text("utf-8")
    assert f"\nExecStart={PROGRAM} run --config /etc/edge/edge.toml\n" in unit
    assert "/opt/edge/" not in unit


def test_a_program_below_the_root_is_named_as_that_system_sees_it(tmp_path: Path) -> None:
    list(install(tmp_path, [], tmp_path / "opt/box/bin/edge"))
    assert "\nExecStart=/opt/box/bin/edge run" in (tmp_path / UNIT).read_text("utf-8")


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    list(install(tmp_path, [DropIn.NUC], PROGRAM))
    before = snapshot(tmp_path)
    lines = list(install(tmp_path, [DropIn.NUC], PROGRAM))
    assert snapshot(tmp_path) == before
    assert sum(line.startswith("as is") for line in lines) == 4
    assert not [line for line in lines if line.startswith(("wrote", "updated"))]


def test_an_untouched_file_is_updated(tmp_path: Path) -> None:
    list(install(tmp_path, [], Path("/opt/old/bin/edge")))
    assert f"updated {tmp_path / UNIT}" in list(install(tmp_path, [], PROGRAM))
    assert str(PROGRAM) in (tmp_path / UNIT).read_text("utf-8")


@pytest.mark.parametrize("target", [UNIT, DROP_IN_FOLDER / "nuc.conf", SYSUSERS, TMPFILES])
def test_a_changed_file_is_never_overwritten_nor_removed(tmp_path: Path, target: Path) -> None:
    list(install(tmp_path, [DropIn.NUC], PROGRAM))
    path = tmp_path / target
    original = path.read_bytes()
    path.write_bytes(original + b"# mine\n")
    lines = list(install(tmp_path, [DropIn.NUC], PROGRAM))
    assert path.read_bytes() == original + b"# mine\n"
    beside = path.with_name(f"{path.name}.new")
    assert beside.read_bytes() == original
    assert f"kept    {path}: it was changed; the new one is {beside}" in lines

    lines = list(uninstall(tmp_path))
    assert path.read_bytes() == original + b"# mine\n"
    assert not beside.exists()
    assert f"kept    {path}: it was changed; remove it by hand" in lines


def test_a_link_is_somebodys_change(tmp_path: Path) -> None:
    (tmp_path / UNIT).parent.mkdir(parents=True)
    (tmp_path / UNIT).symlink_to("/dev/null")  # systemctl mask
    list(install(tmp_path, [], PROGRAM))
    list(uninstall(tmp_path))
    assert os.readlink(tmp_path / UNIT) == "/dev/null"


def test_the_configuration_is_never_touched_again(tmp_path: Path) -> None:
    list(install(tmp_path, [], PROGRAM))
    path = tmp_path / CONFIG
    path.write_text("# edited\n", encoding="utf-8")
    path.chmod(0o640)
    lines = list(install(tmp_path, [], PROGRAM))
    assert f"kept    {path}" in lines
    assert (path.read_text("utf-8"), mode(path)) == ("# edited\n", 0o640)
    assert [p.name for p in path.parent.iterdir()] == ["edge.toml"]


def test_uninstalling_leaves_configuration_and_images(tmp_path: Path) -> None:
    list(install(tmp_path, list(DropIn), PROGRAM))
    image = tmp_path / "var/lib/edge/images/front/2026-01-01/a.jpg"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"jpeg")
    lines = list(uninstall(tmp_path))
    files = {p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {CONFIG, image.relative_to(tmp_path)}
    assert not (tmp_path / DROP_IN_FOLDER).exists()
    assert f"kept    {tmp_path / CONFIG} (configuration)" in lines
    assert f"kept    {tmp_path / 'var/lib/edge'} (images and engines)" in lines
    again = list(uninstall(tmp_path))
    assert not [line for line in again if line.startswith("removed")]


def test_an_administrators_own_drop_in_survives(tmp_path: Path) -> None:
    list(install(tmp_path, [DropIn.NUC], PROGRAM))
    own = tmp_path / DROP_IN_FOLDER / "override.conf"
    own.write_text("[Service]\nNice=5\n", encoding="utf-8")
    list(uninstall(tmp_path))
    assert [p.name for p in own.parent.iterdir()] == ["override.conf"]


def test_an_enabled_service_is_not_taken_away(tmp_path: Path) -> None:
    list(install(tmp_path, [], PROGRAM))
    link = tmp_path / installation.ENABLED
    link.parent.mkdir(parents=True)
    link.symlink_to(f"/{UNIT}")
    with pytest.raises(EdgeError, match="systemctl disable --now edge"):
        list(uninstall(tmp_path))
    assert (tmp_path / UNIT).is_file()


def test_a_half_written_file_is_never_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list(install(tmp_path, [], Path("/opt/old/bin/edge")))
    before = snapshot(tmp_path)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        list(install(tmp_path, [], PROGRAM))
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_the_running_system_needs_root(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    work = install(Path("/"), [], PROGRAM) if command == "install" else uninstall(Path("/"))
    with pytest.raises(EdgeError, match=f"edge {command} changes files below /etc: run it as root"):
        list(work)


@pytest.mark.parametrize("folder", ["/home/me/venv", "/root/venv", "/tmp/venv"])
def test_a_program_that_the_service_could_not_see_is_refused(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(EdgeError, match=f"{folder}/bin/edge is hidden from the service"):
        next(install(Path("/"), [], Path(folder, "bin/edge")))


def test_an_interpreter_that_the_service_could_not_see_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.base_prefix", "/root/.pyenv/versions/3.12")
    first = next(install(tmp_path, [], PROGRAM))
    assert first.startswith("warning: ")
    monkeypatch.setattr("sys.base_prefix", "/usr")
    lines = list(install(tmp_path, [], PROGRAM))
    assert not [line for line in lines if "hidden" in line]


def test_a_folder_closed_to_the_service_is_named(tmp_path: Path) -> None:
    program = tmp_path / "opt/edge/bin/edge"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    for folder in (tmp_path / "opt", tmp_path / "opt/edge", tmp_path / "opt/edge/bin"):
        folder.chmod(0o755)
    (tmp_path / "opt/edge").chmod(0o700)
    lines = list(install(tmp_path, [], program))
    assert any(f"{tmp_path / 'opt/edge'} is closed to the user edge" in line for line in lines)


def test_the_commands(tmp_path: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["install", "--root", str(tmp_path), "--drop-in", "nuc"])
    assert done.exit_code == 0, done.output
    assert f"wrote   {tmp_path / UNIT}" in done.output
    assert (tmp_path / DROP_IN_FOLDER / "nuc.conf").is_file()
    done = runner.invoke(app, ["uninstall", "--root", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert not (tmp_path / UNIT).exists()
    done = runner.invoke(app, ["install", "--root", str(tmp_path), "--drop-in", "toaster"])
    assert done.exit_code == 2
    assert "toaster" in done.output
