"""What ``edge doctor`` says of the box's clock."""

from __future__ import annotations

from edge.commands.doctor_check import Check
from edge.config import StoreConfig
from edge.errors import StoreError
from edge.store.audit_log import newest_records
from edge.store.clock_evidence import kept_by_outside
from edge.store.retention import has_images
from edge.store.trusted_clock import Clock

_SET = "if it is wrong, set it; if it is right, say so: edge confirm-clock"


def clock_check(config: StoreConfig) -> Check:
    """Whether a time server keeps the clock, and what a start now would make of it."""
    kept = kept_by_outside()
    server = "a time server keeps it" if kept else "no time server keeps it"
    try:
        records = newest_records(config.folder)
        images = not records and config.folder.is_dir() and has_images(config.folder)
    except StoreError as error:
        return Check("clock", "warn", f"{server}; {error}", "correct store.folder, or its permissions")
    clock = Clock(config.clock_confirmed, trust_battery=config.trust_battery_clock)
    clock.judge(records, images=images)
    if clock.doubt:
        return Check("clock", "warn", f"{server}; {clock.doubt}", _SET)
    if not kept and config.max_age_days is not None and not config.trust_battery_clock:
        way_out = "let a time server keep it (timesyncd, chrony), or see docs/operations.md, The clock"
        text = f"{server}: while the box is off, images do not age for store.max_age_days"
        return Check("clock", "warn", text, way_out)
    return Check("clock", "ok", server)
