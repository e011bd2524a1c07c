"""What to do about faces that an audit found in a store."""

from __future__ import annotations

from collections.abc import Iterable

from edge.store.stretch import captured_at


def purge_command(paths: Iterable[str]) -> str:
    """The command that removes the stretch from the first to the last of these images; empty without any.

    ``paths`` are those of images below the store, ``CAMERA/YYYY-MM-DD/NAME``.
    """
    cameras, moments = set(), []
    for path in paths:
        moment = captured_at(path.rsplit("/", 1)[-1])
        if moment is not None:
            cameras.add(path.split("/", 1)[0])
            moments.append(moment)
    if not moments:
        return ""
    first, last = (
        f"{each:%Y-%m-%dT%H:%M:%S}.{each.microsecond // 1000:03d}Z" for each in (min(moments), max(moments))
    )
    only = f" --camera {cameras.pop()}" if len(cameras) == 1 else ""
    return f"edge purge --config edge.toml --from {first} --to {last}{only}"
