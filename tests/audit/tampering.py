"""Ways to tamper with a store. Each function changes one thing."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

from edge.store import log_format
from tests.audit.boxes import (
    edit_lines,
    images,
)


def alter_a_byte(store: Path) -> None:
    data = bytearray(images(store)[3].read_bytes())
    data[40] ^= 1
    images(store)[3].write_bytes(data)


def cut_an_image(store: Path) -> None:
    os.truncate(images(store)[3], 100)


def remove_an_image(store: Path) -> None:
    images(store)[3].unlink()


def remove_the_last_image(store: Path) -> None:
    images(store)[-1].unlink()


def remove_a_camera(store: Path) -> None:
    shutil.rmtree(store / "yard")


def swap_two_images(store: Path) -> None:
    first, second, *_ = images(store)
    held = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(held)


def add_an_image(store: Path) -> None:
    shutil.copy(images(store)[3], images(store)[3].with_name("20260101T000000.000Z-000001.png"))


def add_a_hidden_file(store: Path) -> None:
    (store / "front" / ".raw").write_bytes(b"x")


def add_a_file_to_the_log(store: Path) -> None:
    (store / log_format.FOLDER / "faces.jpg").write_bytes(b"x")


def add_a_log_of_another_name(store: Path) -> None:
    (store / log_format.FOLDER / "1.jsonl").write_bytes(b"x")


def add_a_file_with_a_name_like_a_log(store: Path) -> None:
    (store / "000000000001.jsonl").write_bytes(b"x")


def link_instead_of_an_image(store: Path) -> None:
    image = images(store)[3]
    shutil.move(image, store.parent / "outside.png")
    image.symlink_to(store.parent / "outside.png")


def link_instead_of_a_camera(store: Path) -> None:
    shutil.move(store / "front", store.parent / "elsewhere")
    (store / "front").symlink_to(store.parent / "elsewhere")


def link_that_leads_nowhere(store: Path) -> None:
    (store / "front" / "link").symlink_to("/nowhere")


def pipe_instead_of_an_image(store: Path) -> None:
    image = images(store)[3]
    image.unlink()
    os.mkfifo(image)


def folder_instead_of_an_image(store: Path) -> None:
    image = images(store)[3]
    image.unlink()
    image.mkdir()


def add_a_socket(store: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(store)  # the path of a socket may have 107 bytes
        try:
            server.bind("socket")
        finally:
            os.chdir(here)


def change_a_line(store: Path) -> None:
    edit_lines(
        log_format.log_files(store)[1], lambda lines: lines.__setitem__(0, lines[0].replace(b"sha", b"shb"))
    )


def change_a_number_in_a_line(store: Path) -> None:
    def edit(lines: list[bytes]) -> None:
        lines[0] = lines[0].replace(b'"regions":1', b'"regions":0')

    edit_lines(log_format.log_files(store)[1], edit)


def spoil_a_line(store: Path) -> None:
    edit_lines(log_format.log_files(store)[1], lambda lines: lines.__setitem__(0, b"{" + lines[0]))


def spoil_the_line_before_the_last(store: Path) -> None:
    edit_lines(log_format.log_files(store)[-1], lambda lines: lines.__setitem__(-2, b"{" + lines[-2]))


def remove_a_line(store: Path) -> None:
    edit_lines(log_format.log_files(store)[1], lambda lines: lines.__delitem__(1))


def insert_a_line(store: Path) -> None:
    edit_lines(log_format.log_files(store)[1], lambda lines: lines.insert(1, lines[0]))


def swap_two_lines(store: Path) -> None:
    edit_lines(log_format.log_files(store)[1], lambda lines: lines.__setitem__(slice(0, 2), lines[1::-1]))


def remove_a_log_file_in_the_middle(store: Path) -> None:
    log_format.log_files(store)[1].unlink()


def remove_the_first_log_file(store: Path) -> None:
    log_format.log_files(store)[0].unlink()


def remove_the_last_log_file(store: Path) -> None:
    log_format.log_files(store)[-1].unlink()


def rename_a_log_file(store: Path) -> None:
    path = log_format.log_files(store)[-1]
    path.rename(path.with_name(log_format.file_name(999)))


def empty_a_log_file(store: Path) -> None:
    os.truncate(log_format.log_files(store)[1], 0)


def fill_a_log_file(store: Path) -> None:
    log_format.log_files(store)[-1].write_bytes(b"x" * 3 * 2**20)


def link_instead_of_a_log_file(store: Path) -> None:
    path = log_format.log_files(store)[1]
    shutil.move(path, store.parent / "log")
    path.symlink_to(store.parent / "log")


def pipe_instead_of_a_log_file(store: Path) -> None:
    path = log_format.log_files(store)[1]
    path.unlink()
    os.mkfifo(path)


def remove_the_log(store: Path) -> None:
    shutil.rmtree(store / log_format.FOLDER)


def link_instead_of_the_log(store: Path) -> None:
    shutil.move(store / log_format.FOLDER, store.parent / "log")
    (store / log_format.FOLDER).symlink_to(store.parent / "log")


def remove_all_log_files(store: Path) -> None:
    for path in log_format.log_files(store):
        path.unlink()
