"""When a system call of the store fails, or the daemon dies in it, nothing acknowledged is lost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.privacy import strace
from tests.privacy.conftest import Proof
from tests.privacy.system_calls import (
    EIO,
    ENOSPC,
    KILL,
    NAMED,
    PLAIN,
    PURGING,
    ROTATING,
    Fault,
    Kind,
    Outcome,
    Range,
    planned,
    strike_all,
)
from tests.sweeping import sampled

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(strace.why_not()), reason=strace.why_not() or "-")]

FEW = [
    Fault(PLAIN, "write", ENOSPC, "3"),
    Fault(PLAIN, "write", KILL, "3"),
    Fault(PLAIN, "write", ENOSPC, "4+"),
    Fault(PLAIN, "fsync", EIO, "6"),
    Fault(PLAIN, "fsync", ENOSPC, "5"),
    Fault(PLAIN, "fsync", EIO, "3"),
    Fault(PLAIN, "fdatasync", EIO, "2"),
    Fault(PLAIN, "linkat", KILL, "2"),
    Fault(PLAIN, "openat", ENOSPC, "8"),
    Fault(NAMED, "linkat", KILL, "1"),
    Fault(PURGING, "unlink", KILL, "3"),
    Fault(PURGING, "getdents64", EIO, "3"),
    Fault(ROTATING, "openat", ENOSPC, "7"),
]


@pytest.fixture(scope="module")
def attacks(tmp_path_factory: pytest.TempPathFactory) -> Range:
    return Range(tmp_path_factory.mktemp("range"))


def check(outcomes: Sequence[Outcome], proof: Proof) -> None:
    bad = {str(outcome.fault): outcome.problems for outcome in outcomes if outcome.problems}
    assert bad == {}
    proof(
        faults=sum(outcome.fired for outcome in outcomes),
        leaked=sum(outcome.leaked for outcome in outcomes),
        lost=sum(outcome.lost for outcome in outcomes),
    )


def test_a_store_call_that_fails_costs_nothing_that_was_acknowledged(
    attacks: Range, tmp_path: Path, proof: Proof
) -> None:
    outcomes = strike_all(attacks, FEW, tmp_path)
    assert [str(outcome.fault) for outcome in outcomes if not outcome.fired] == []
    assert sum(outcome.acknowledged for outcome in outcomes) > len(FEW)
    check(outcomes, proof)


@pytest.mark.sweep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", [PLAIN, ROTATING, NAMED, PURGING], ids=lambda kind: kind.name)
def test_every_store_call_may_fail(attacks: Range, kind: Kind, tmp_path: Path, proof: Proof) -> None:
    faults = sampled(list(planned(attacks, kind)))
    outcomes = strike_all(attacks, faults, tmp_path)
    fired = sum(outcome.fired for outcome in outcomes)
    # Images that wait are stored as a group, so one run has a few calls less than another.
    assert fired > 0.8 * len(faults), f"{fired} of {len(faults)}"
    check(outcomes, proof)
