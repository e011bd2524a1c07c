"""The result of an audit as one HTML page without scripts, pictures or external resources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import edge
from edge.audit.findings import Check
from edge.audit.report import (
    CAMERA_COLUMNS,
    KEEP,
    camera_rows,
    figure_rows,
    findings_of,
    verdict_of,
    warnings_of,
)
from edge.audit.run import AuditResult
from edge.logs import printable

_MARKS = {"ok": "✓", "note": "!", "wrong": "✕"}
_STYLE = """
:root {
  color-scheme: light dark;
  --text: #1b1f24; --dim: #57606a; --ground: #fff; --line: #d5dae0;
  --ok: #12662d; --ok-ground: #e3f4e7; --note: #7a4b00; --note-ground: #fff2d6;
  --wrong: #a31515; --wrong-ground: #fde7e7;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --text: #e4e8ed; --dim: #9da7b3; --ground: #14181d; --line: #38414b;
    --ok: #7ddb94; --ok-ground: #143222; --note: #f0c16b; --note-ground: #3a2c10;
    --wrong: #ff9c94; --wrong-ground: #431a1a;
  }
}
* { box-sizing: border-box; }
body {
  background: var(--ground); color: var(--text); font: 15px/1.45 system-ui, sans-serif;
  margin: 0 auto; max-width: 66rem; padding: 1.2rem 1rem 2rem;
}
h1 { font-size: 1.25rem; margin: 0 0 .8rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 1.8rem 0 .5rem; }
.banner {
  border-left: 5px solid; border-radius: 4px; font-weight: 600; margin: .4rem 0; overflow-wrap: anywhere;
  padding: .6rem .9rem;
}
.ok { background: var(--ok-ground); color: var(--ok); }
.note { background: var(--note-ground); color: var(--note); }
.wrong { background: var(--wrong-ground); color: var(--wrong); }
.badge { border: 1px solid; border-radius: 4px; font-weight: 600; padding: 0 .45rem; white-space: nowrap; }
table { border-collapse: collapse; width: 100%; }
th, td {
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; padding: .4rem .8rem .4rem 0;
  text-align: left; vertical-align: top;
}
thead th { color: var(--dim); font-size: .85rem; white-space: nowrap; }
tbody th { font-weight: 600; min-width: 8rem; }
ul { list-style: none; margin: 0; padding: 0; }
li { border-radius: 4px; margin-bottom: .2rem; padding: .1rem .4rem; }
.dim { color: var(--dim); }
code { overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
@media screen and (max-width: 44rem) {
  .checks thead { display: none; }
  .checks tr { border-bottom: 1px solid var(--line); display: block; padding: .4rem 0; }
  .checks th, .checks td { border: 0; display: block; padding: .1rem 0; }
  .checks td:nth-child(3)::before { color: var(--dim); content: "checked: "; }
}
@media print {
  body { font-size: 10pt; max-width: none; padding: 0; }
  tr, .banner { break-inside: avoid; }
  .banner, .badge, li { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
""".strip()


def result_page(result: AuditResult) -> str:
    """A complete HTML document. Everything that comes from the store is escaped."""
    title = f"edge audit {printable(str(result.store))}"
    verdict = "ok" if result else "wrong"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<link rel="icon" href="data:,">',
            f"<title>{escape(title)}</title>",
            f"<style>\n{_STYLE}\n</style>",
            "</head>",
            "<body>",
            f"<h1>{escape(title)}</h1>",
            f'<p class="banner {verdict}">{_MARKS[verdict]} {escape(verdict_of(result))}</p>',
            *(f'<p class="banner wrong">! {escape(line)}</p>' for line in warnings_of(result)),
            "<h2>Checks</h2>",
            *_checks(result.checks),
            "<h2>Cameras</h2>",
            *_cameras(result),
            "<h2>Figures</h2>",
            "<table>",
            *(_row(name, [escape(value)]) for name, value in figure_rows(result)),
            "</table>",
            "<h2>Last hash</h2>",
            f"<p><code>{escape(result.head)}</code> (record {result.number})</p>",
            f'<p class="dim">{escape(_footer(result))}</p>',
            "</body>",
            "</html>",
            "",
        ]
    )


def _checks(checks: Sequence[Check]) -> Iterator[str]:
    yield '<table class="checks">'
    yield _head("check", "state", "checked", "found")
    for check in checks:
        lines = "".join(f'<li class="{level}">{escape(line)}</li>' for line, level in findings_of(check))
        badge = f'<span class="badge {check.state}">{_MARKS[check.state]} {check.state}</span>'
        yield _row(check.title, [badge, str(check.checked), f"<ul>{lines}</ul>" if lines else ""])
    yield "</table>"


def _cameras(result: AuditResult) -> Iterator[str]:
    yield '<div class="wide"><table>'
    yield _head(*CAMERA_COLUMNS)
    for name, *values in camera_rows(result):
        yield _row(name, [escape(value) for value in values])
    yield "</table></div>"


def _head(*columns: str) -> str:
    return "<thead><tr>" + "".join(f"<th>{escape(column)}</th>" for column in columns) + "</tr></thead>"


def _row(name: str, cells: Sequence[str]) -> str:
    """``name`` is plain text and is escaped here; ``cells`` are HTML."""
    return f"<tr><th>{escape(name)}</th>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _footer(result: AuditResult) -> str:
    made = result.made.isoformat(timespec="seconds")
    return f"Made {made} by edge-anonymizer {edge.__version__}. {KEEP if result else ''}"
