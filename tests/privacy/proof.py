"""``make proof``: every claim of docs/privacy.md, the command that shows it, and what came of it here.

``python -m tests.privacy.proof [--html FILE] [--json FILE] [--quick] [--small] [--tests FILE...]``

Runs the attack suite with its long sweeps, the deliberate breaks, and the two experiments on privacy; prints
one row per claim and writes a page. Exit code 0 when nothing failed and the bar is met: 2,000 injected
faults or more, no raw piece outside, no acknowledged image lost. What this machine cannot show (no root, no
strace, no clips) is called *not shown*, with the reason, and never passed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks import common
from tests.privacy import mutations, proof_page
from tests.privacy.claims import CLAIMS, EXPERIMENTS, Claim, Experiment

BAR_FAULTS = 2000
QUICK = "not sweep"


@dataclass
class Row:
    """One claim and what was seen: ``state`` is shown, failed or not shown."""

    claim: str
    command: str
    state: str = "not shown"
    result: str = ""
    faults: int = 0
    leaked: int = 0
    lost: int = 0
    details: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """One test as pytest saw it."""

    name: str
    outcome: str
    text: str
    faults: int
    leaked: int
    lost: int


def run_tests(paths: Sequence[str], marks: str) -> list[Case]:
    """Run tests, two files at a time, and return what came of each."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.xml"
        options = ["-q", "-m", marks, "-p", "no:cacheprovider", f"--junitxml={file}"]
        options += ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
        command = [sys.executable, "-m", "pytest", *options, *paths]
        done = subprocess.run(command, cwd=mutations.ROOT, check=False)
        if not file.exists():
            raise SystemExit(f"pytest ended with {done.returncode} and left no result")
        return list(read_results(file))


def read_results(file: Path) -> Iterable[Case]:
    """What a run of pytest wrote with ``--junitxml``."""
    for element in ElementTree.parse(file).getroot().iter("testcase"):
        name = f"{element.get('file')}::{element.get('name')}"
        outcome, text = "passed", ""
        for child in element:
            if child.tag in ("failure", "error", "skipped"):
                outcome = "skipped" if child.tag == "skipped" else "failed"
                text = (child.get("message") or "").splitlines()[0][:200] if child.get("message") else ""
        numbers = {
            p.get("name"): int(p.get("value") or 0)
            for p in element.iter("property")
            if p.get("name") in ("faults", "leaked", "lost")  # hypothesis leaves properties, too
        }
        yield Case(
            name, outcome, text, numbers.get("faults", 0), numbers.get("leaked", 0), numbers.get("lost", 0)
        )


def judge(claim: Claim, cases: Sequence[Case]) -> Row:
    """What the tests of a claim say of it."""
    mine = [case for case in cases if case.name.startswith(claim.tests)]
    row = Row(claim.text, f"pytest {' '.join(claim.tests)}")
    for case in mine:
        row.faults += case.faults
        row.leaked += case.leaked
        row.lost += case.lost
    count = {state: sum(case.outcome == state for case in mine) for state in ("passed", "failed", "skipped")}
    row.details = [f"{case.name}: {case.text}" for case in mine if case.outcome != "passed"]
    if count["failed"]:
        row.state = "failed"
    elif count["passed"]:
        row.state = "shown"
    row.result = ", ".join(f"{number} {state}" for state, number in count.items() if number) or "no test ran"
    return row


def experiment(one: Experiment, small: bool) -> Row:
    """Run an experiment, and take its last lines as the result."""
    command = [*one.command, *(one.small if small else ())]
    row = Row(one.text, f"python -m {' '.join(command)}")
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=mutations.ROOT, capture_output=True, text=True, check=False
    )
    print(done.stdout, flush=True)
    # 2: it cannot be measured here, and the last line says why (benchmarks/common.py)
    row.state = {0: "shown", 2: "not shown"}.get(done.returncode, "failed")
    lines = [line for line in (done.stderr if done.returncode else done.stdout).splitlines() if line.strip()]
    row.result = lines[-1][:300] if row.state != "shown" and lines else ""
    row.details = [line for line in done.stdout.splitlines() if line.startswith("|")]
    return row


def breaks(cases: Sequence[Case], pool: Executor) -> Row:
    """The deliberate breaks, and which test caught each. ``cases`` are what tests without a break showed."""
    row = Row("each deliberate break of the product is caught by a test", "python -m tests.privacy.mutations")
    needed = mutations.files_needed()
    unsound = [case.name for case in cases if case.outcome == "failed" and case.name.startswith((*needed,))]
    seen = {case.name.split("::")[0] for case in cases}
    if unseen := [file for file in needed if file not in seen]:
        unsound += mutations.untouched(unseen)
    if unsound:
        row.state, row.result, row.details = "failed", "tests fail without any break", unsound
        return row
    outcomes = list(mutations.try_all(pool))
    row.details = [mutations.line(outcome) for outcome in outcomes]
    caught = sum(map(bool, outcomes))
    row.state = "shown" if caught == len(outcomes) else "failed"
    row.result = f"{caught} of {len(outcomes)} caught"
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description="Show every claim about privacy.")
    parser.add_argument(
        "--html", type=Path, default=Path("proof.html"), help="the page (default: proof.html)"
    )
    parser.add_argument("--json", type=Path, help="the same as JSON")
    parser.add_argument("--quick", action="store_true", help="without the sweeps")
    parser.add_argument("--small", action="store_true", help="the experiments in their small form")
    parser.add_argument(
        "--tests",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="results of make test and make sweep just now, in place of running tests",
    )
    arguments = parser.parse_args()
    begin, result = time.monotonic(), common.begin("proof")
    paths = sorted({test.split("::")[0] for claim in CLAIMS for test in claim.tests})
    cases = [case for file in arguments.tests for case in read_results(file)]
    if not arguments.tests:
        cases = run_tests(paths, QUICK if arguments.quick else "sweep or not sweep")
    rows = [judge(claim, cases) for claim in CLAIMS]
    with ThreadPoolExecutor(2) as pool:
        # The experiments first: the last of them takes longer than all breaks.
        running = [pool.submit(experiment, one, arguments.small) for one in EXPERIMENTS]
        rows.append(breaks(cases, pool))
        rows += [one.result() for one in running]
    total = {name: sum(getattr(case, name) for case in cases) for name in ("faults", "leaked", "lost")}
    met = total["faults"] >= BAR_FAULTS and not total["leaked"] and not total["lost"]
    good = met and all(row.state != "failed" for row in rows)
    print(text_of(rows))
    closing = (
        f"{total['faults']} faults injected (bar: {BAR_FAULTS}), {total['leaked']} raw pieces outside, "
        f"{total['lost']} acknowledged images lost; "
        f"{sum(row.state == 'shown' for row in rows)} of {len(rows)} claims shown, "
        f"{sum(row.state == 'not shown' for row in rows)} not shown here, "
        f"{sum(row.state == 'failed' for row in rows)} failed"
    )
    print(closing)
    result |= {
        "commit": _commit(),
        "minutes": round((time.monotonic() - begin) / 60, 1),
        "root": os.geteuid() == 0,
        "quick": arguments.quick,
        "small": arguments.small,
        "total": total,
        "good": good,
        "closing": closing,
        "rows": [asdict(row) for row in rows],
    }
    common.finish(result, arguments.json)
    arguments.html.parent.mkdir(parents=True, exist_ok=True)
    arguments.html.write_text(proof_page.page(result), encoding="utf-8")
    print(f"wrote {arguments.html}")
    return 0 if good else 1


def text_of(rows: Sequence[Row]) -> str:
    """The table of claims, as Markdown."""
    header = ["claim", "result", "faults", "command"]
    lines = [
        [row.claim, f"{row.state}: {row.result}" if row.result else row.state, row.faults or "", row.command]
        for row in rows
    ]
    details = [f"  {row.state}: {detail}" for row in rows if row.state == "failed" for detail in row.details]
    return "\n".join([common.table(header, lines), *details])


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=mutations.ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
