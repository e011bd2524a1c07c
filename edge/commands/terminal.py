"""Standard output and standard error, as the commands write to them."""

from __future__ import annotations

from rich.console import Console

console = Console()
errors = Console(stderr=True)


def print_plain(to: Console, text: str, style: str | None = None) -> None:
    """Print text as it is: rich neither reads markup in it, nor turns ``:V:`` into a hand, nor colours
    numbers, nor wraps lines."""
    to.print(text, style=style, markup=False, emoji=False, highlight=False, soft_wrap=True)
