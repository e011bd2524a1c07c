"""Result of ``python -m benchmarks speed``: its form, tables and plot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.machine import Result, Strict


class SpeedRow(Strict):
    """One way from the picture to boxes, with one number of threads; no figures where ``error`` says why.

    ``ratio_to_tf``: how many times faster than the SavedModel's own signature in the same process.
    ``rss_megabytes``: peak of a process of its own; tf-xla has that of tf. ``faces``: boxes of score 0.3 or
    more, which shows that rows do the same work. ``parity`` is what the detector's file records.
    """

    name: str
    threads: int
    median_ms: float | None = None
    p95_ms: float | None = None
    min_ms: float | None = None
    images_per_second: float | None = None
    ratio_to_tf: float | None = None
    cores_used: float | None = None
    faces: int | None = None
    rss_megabytes: float | None = None
    bytes: int | None = None
    nodes: int | None = None
    parity: dict[str, Any] | None = None
    error: str | None = None
    note: str | None = None


class Peak(Strict):
    """The best rate of multiply-adds in fp32 that ONNX Runtime reached in this run."""

    gmac_per_s: float
    shape: str
    threads: int
    tried: list[dict[str, Any]]


class Operator(Strict):
    """All nodes of one type; ``share`` of the profiled run."""

    type: str
    ms: float
    share: float
    nodes: int


class Convolutions(Strict):
    """All convolutions of one kind."""

    nodes: int
    gmac: float
    ms: float
    gmac_per_s: float
    share_of_peak: float


class Profile(Strict):
    """Where one detector's time goes, with the first number of threads. ``floor_ms``: its multiply-adds at
    the machine's peak."""

    rounds: int
    run_ms: float
    kernels_ms: float
    outside_kernels_ms: float
    operators: list[Operator]
    convolutions: dict[str, Convolutions]
    gmac: float
    floor_ms: float


class SpeedResult(Result):
    """What the command measured."""

    model: str
    picture: str
    rounds: int
    threads: list[int]
    rows: list[SpeedRow]
    peak: Peak | None
    profile: dict[str, Profile]


def as_markdown(result: SpeedResult) -> str:
    """The tables and notes."""
    header = ["row", "threads", "p50 ms", "p95 ms", "images/s", "times TF", "RSS MB", "file MB", "faces"]
    header += ["parity"]
    lines = []
    for row in result.rows:
        cells: list[object] = [row.median_ms, row.p95_ms, row.images_per_second, row.ratio_to_tf]
        size = None if row.bytes is None else round(row.bytes / 1e6, 1)
        cells += [row.rss_megabytes, size, row.faces, _parity(row.parity)]
        lines.append([row.name, row.threads, *("-" if cell is None else cell for cell in cells)])
    parts = [
        f"{result.model}, {result.rounds} rounds, {result.picture}:",
        "",
        common.table(header, lines),
        "",
    ]
    notes = dict.fromkeys(
        f"* {row.name}: {text}" for row in result.rows for text in (row.error, row.note) if text is not None
    )
    parts += [*notes, ""] if notes else []
    if result.peak is not None:
        peak = result.peak
        parts += [
            f"The peak is {peak.gmac_per_s:g} G multiply-adds per second in fp32 ({peak.shape}, "
            f"{peak.threads} thread(s)).",
            "",
        ]
    for name, profile in result.profile.items():
        parts += [*_profile(name, profile), ""]
    return "\n".join([*parts, result.machine.line(), *filter(None, [result.machine.verdict()])])


def _parity(parity: dict[str, Any] | None) -> str:
    if not parity:
        return "-"
    same = parity.get("same_canvas", parity)
    if "recall" not in same:
        return "ok" if parity.get("ok") else "no"
    return f"{'ok' if parity.get('ok') else 'NO'}: {same['recall']:.1%} of {same['boxes']} boxes"


def _profile(name: str, profile: Profile) -> list[str]:
    rows = [[e.type, e.nodes, f"{e.ms:.2f}", f"{e.share:.1%}"] for e in profile.operators[:10]]
    convolutions = [
        [kind, e.nodes, e.gmac, f"{e.ms:.2f}", e.gmac_per_s, f"{e.share_of_peak:.0%}"]
        for kind, e in profile.convolutions.items()
    ]
    return [
        f"{name}: kernels {profile.kernels_ms} ms, outside of them about {profile.outside_kernels_ms} ms; "
        f"{profile.gmac} G multiply-adds, {profile.floor_ms} ms at the peak.",
        "",
        common.table(["operator", "nodes", "ms", "share"], rows),
        "",
        common.table(["convolutions", "nodes", "G", "ms", "G/s", "of peak"], convolutions),
    ]


def plot(result: SpeedResult, file: Path) -> None:
    """Time of each row, one panel per number of threads; below, time per operator type of each detector."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = len(result.threads) + bool(result.profile)
    figure: Any
    figure, axes = pyplot.subplots(panels, 1, figsize=(8, 3.2 * panels), squeeze=False, layout="constrained")
    for axis, threads in zip(axes[:, 0], result.threads, strict=False):
        _draw_rows(axis, [row for row in result.rows if row.threads == threads])
        busy = " - BUSY MACHINE" if result.machine.busy else ""
        axis.set_title(f"{result.model}, {threads} thread(s){busy}", fontsize=10)
    if result.profile:
        _draw_operators(axes[-1][0], result.profile)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def _draw_rows(axis: Any, rows: Sequence[SpeedRow]) -> None:
    shown = list(rows)[::-1]
    longest = max((row.p95_ms or 0 for row in shown), default=1)
    for place, row in enumerate(shown):
        if row.median_ms is None or row.p95_ms is None:
            axis.text(longest * 0.01, place, "no figures", va="center", fontsize=8, color="0.4")
            continue
        colour = "tab:blue" if row.name.startswith("edge") else "0.6"
        spread = [[0], [max(0, row.p95_ms - row.median_ms)]]
        axis.barh(place, row.median_ms, color=colour, xerr=spread, error_kw={"elinewidth": 1})
        text = f" {row.median_ms:.1f} ms" + ("" if row.name == "tf" else f", {row.ratio_to_tf:.2f}x")
        axis.text(row.p95_ms, place, text, va="center", fontsize=8)
    axis.set_yticks(range(len(shown)), [row.name for row in shown])
    axis.set_xlim(0, longest * 1.35)
    axis.set_ylim(-0.6, len(shown) - 0.4)
    axis.set_xlabel("picture to boxes, ms (median, up to p95)")
    axis.spines[["top", "right"]].set_visible(False)


def _draw_operators(axis: Any, profiles: dict[str, Profile], largest: int = 7) -> None:
    total: dict[str, float] = defaultdict(float)
    for profile in profiles.values():
        for entry in profile.operators:
            total[entry.type] += entry.share
    kinds = sorted(total, key=lambda kind: -total[kind])[:largest]
    names = list(profiles)[::-1]
    for place, name in enumerate(names):
        times = {entry.type: entry.ms for entry in profiles[name].operators}
        parts = {kind: times.pop(kind, 0.0) for kind in kinds}
        parts |= {"other operators": sum(times.values()), "outside": profiles[name].outside_kernels_ms}
        left = 0.0
        for number, (kind, ms) in enumerate(parts.items()):
            axis.barh(place, ms, left=left, color=f"C{number}", label=kind if place == 0 else None)
            left += ms
        axis.plot([profiles[name].floor_ms] * 2, [place - 0.42, place + 0.42], color="black", linestyle=":")
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel("time per operator type, ms (dotted: multiply-adds at the peak)")
    axis.set_ylim(-0.6, len(names) + 0.6)
    axis.legend(fontsize=7, ncols=5, frameon=False, loc="upper left")
    axis.spines[["top", "right"]].set_visible(False)
