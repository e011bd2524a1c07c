"""The page that ``make proof`` writes: no script, nothing fetched, fit for printing."""

from __future__ import annotations

import html
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --dim: #57606a; --ground: #fff; --line: #d5dae0;
  --good: #12662d; --warn: #7a4b00; --bad: #a31515; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e8ed; --dim: #9da7b3; --ground: #14181d;
  --line: #38414b; --good: #7ddb94; --warn: #f0c16b; --bad: #ff9c94; } }
body { background: var(--ground); color: var(--text); font: 15px/1.45 system-ui, sans-serif; margin: 0 auto;
  max-width: 70rem; padding: 1.2rem 1rem 2rem; }
h1 { font-size: 1.3rem; } .dim { color: var(--dim); }
.closing { border-left: 5px solid; font-size: 1.1rem; font-weight: 600; padding: .5rem .9rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .4rem .8rem .4rem 0; text-align: left;
  vertical-align: top; }
code { font-size: .85rem; overflow-wrap: anywhere; } .n { text-align: right; }
.shown { color: var(--good); } .failed { color: var(--bad); } .not-shown { color: var(--warn); }
td.state { font-weight: 600; white-space: nowrap; }
pre { font-size: .8rem; margin: .3rem 0; white-space: pre-wrap; }
"""


def page(result: dict[str, Any]) -> str:
    """The whole page, from what proof.py writes as JSON."""
    machine = result["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    rows = "\n".join(_row(row) for row in result["rows"])
    kind = "shown" if result["good"] else "failed"
    form = "without the sweeps; " if result["quick"] else ""
    form += "experiments in their small form; " if result["small"] else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Edge anonymizer: proof</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Edge anonymizer: what was claimed, and what was seen</h1>
<p class="closing {kind}">{html.escape(result["closing"])}</p>
<p class="dim">{form}commit {html.escape(result["commit"])}; {html.escape(machine["system"])},
{html.escape(machine["cpu"])}, {machine["cores"]} cores; Python {html.escape(machine["python"])};
{html.escape(packages)}; {"as root" if result["root"] else "not as root"}; {result["minutes"]} minutes</p>
<table>
<thead><tr><th>Claim</th><th>State</th><th class="n">Faults</th><th>Shown by</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
<p class="dim">Made by <code>make proof</code>. What each claim means, and what is not claimed:
docs/privacy.md.</p>
</body>
</html>
"""


def _row(row: dict[str, Any]) -> str:
    details = ""
    if row["details"]:
        lines = html.escape("\n".join(row["details"]))
        details = f"<details><summary>details</summary><pre>{lines}</pre></details>"
    state = row["state"].replace(" ", "-")
    return (
        f"<tr><td>{html.escape(row['claim'])}{details}</td>"
        f'<td class="state {state}">{html.escape(row["state"])}<br><span class="dim">'
        f"{html.escape(row['result'])}</span></td>"
        f'<td class="n">{row["faults"] or ""}</td><td><code>{html.escape(row["command"])}</code></td></tr>'
    )
