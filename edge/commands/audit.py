"""``edge audit``: tables, report files."""

from __future__ import annotations

import json
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
from edge.commands.progress import progress_bar
from edge.errors import StoreError
from edge.store.text import write_text


def audit_folder(
    folder: Path, options: Options, json_file: Path | None, html_file: Path | None, console: Console
) -> bool:
    """Audit a store, print what was found and write the reports; return whether nothing is wrong.

    Raises EdgeError when there is no such folder, the detector cannot be trusted, or a report cannot be
    written.
    """
    _check_target(json_file, "--json", ".json", folder)
    _check_target(html_file, "--html", ".html", folder)
    with progress_bar("looking", None) as advance:
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
        raise StoreError(f"{option} {path}: lies in the store, where the next audit would find it; elsewhere")


def _print(result: AuditResult, console: Console) -> None:
    console.print(checks_table(result))
    if result.figures.cameras:
        console.print(cameras_table(result))
    console.print(figures_table(result))
    for line in warnings_of(result):
        console.print(f"WARNING: {line}", style="bold red", markup=False, highlight=False, soft_wrap=True)
    style = None if result else "bold red"
    last = f"Last hash (record {result.number}): {result.head}"
    console.print(last, markup=False, highlight=False, soft_wrap=True)
    if result:
        console.print(KEEP, markup=False, highlight=False, soft_wrap=True)
    console.print(verdict_of(result), style=style, markup=False, highlight=False, soft_wrap=True)
