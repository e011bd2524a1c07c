"""``edge confirm-clock``: a person says that the clock of the box is right."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import typer
from rich.console import Console

from edge.commands.terminal import print_plain
from edge.store.clock_evidence import write_note


def confirm_clock(store: Path, yes: bool, console: Console) -> bool:
    """Show the time, ask unless ``yes``, and leave a note for the box; return whether it was confirmed.

    Raises StoreError when there is no store in this folder, or the note cannot be written.
    """
    now = datetime.now(timezone.utc)
    print_plain(
        console, f"This machine's clock says {now:%Y-%m-%d %H:%M:%S} UTC ({now.astimezone():%H:%M:%S %Z})."
    )
    if not yes and not typer.confirm("Is that right, by another clock?"):
        print_plain(console, "nothing was confirmed; set the clock, or let a time server do that")
        return False
    write_note(store)
    print_plain(
        console, "confirmed; a box that runs takes note within a minute, another one at its next start"
    )
    return True
