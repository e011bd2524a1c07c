"""``edge audit``: the audit, its tables and its report files."""

from __future__ import annotations

import json
import os
from pathlib import Path

from rich.console import Console

from edge.audit import AuditResult, Options, audit_store
from edge.audit.page import result_page
from edge.audit.report import (
    KEEP,
    cameras_table,
    checks_table,
    figures_table,
    result_json,
    verdict_of,
    warnings_of,
)
from edge.commands.decrypt import read_identities
from edge.commands.progress import progress_bar
from edge.commands.terminal import errors, print_plain
from edge.errors import StoreError
from edge.store.text import write_text


def audit_options(
    *, sample: int | None, head: str | None, identity: Path | None, detector: Path | None, jobs: int
) -> Options:
    """How to audit; ``jobs`` 0 means one per core. Raises ConfigError when ``identity`` cannot be used."""
    return Options(
        sample=sample,
        head=head,
        detector=detector,
        identities=read_identities(identity, errors) if identity is not None else (),
        jobs=jobs or os.cpu_count() or 1,
    )


def audit_folder(
    folder: Path, options: Options, json_file: Path | None, html_file: Path | None, console: Console
) -> bool:
    """Audit a store, print what was found and write the reports; return whether nothing is wrong.

    Raises EdgeError when there is no such folder, the detector cannot be trusted, or a report cannot be
    written.
    """
    _check_target(json_file, "--json", ".json", folder)
    _check_target(html_file, "--html", ".html", folder)
    with progress_bar("checking", None) as advance:
        result = audit_store(folder, options, advance)
    if json_file is not None:
        write_text(json_file, json.dumps(result_json(result), indent=1) + "\n", replace=True)
    if html_file is not None:
        write_text(html_file, result_page(result), replace=True)
    _print(result, console)
    return bool(result)


def _check_target(path: Path | None, option: str, ending: str, store: Path) -> None:
    if path is None:
        return
    if path.suffix.lower() != ending:
        # A picture's name here would replace that picture.
        raise StoreError(f"{option} {path}: the name must end in {ending}")
    if path.resolve().is_relative_to(store.resolve()):
        raise StoreError(f"{option} {path}: lies in the store, where the next audit would object to it")


def _print(result: AuditResult, console: Console) -> None:
    console.print(checks_table(result))
    if result.figures.cameras:
        console.print(cameras_table(result))
    console.print(figures_table(result))
    for line in warnings_of(result):
        print_plain(console, f"WARNING: {line}", style="bold red")
    print_plain(console, f"Last hash (record {result.number}): {result.head}")
    if result:
        print_plain(console, KEEP)
    print_plain(console, verdict_of(result), style=None if result else "bold red")
