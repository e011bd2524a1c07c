"""What docs/privacy.md claims, and the tests and experiments that show it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """``tests``: beginnings of the names of tests, ``FILE`` or ``FILE::NAME``."""

    text: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Experiment:
    """A ``python -m`` command; it ends with 0 (shown), 1 (failed) or 2 (cannot be measured here). ``small``:
    its arguments for the small form."""

    text: str
    command: tuple[str, ...]
    small: tuple[str, ...] = ()


_PRIVACY = "tests/privacy"

CLAIMS = (
    Claim(
        "what is painted over a face depends on no pixel of it: two faces give the same bytes",
        ("tests/test_blur.py", "tests/daemon/test_zones.py"),
    ),
    Claim(
        "only a covered picture can be stored, and only one module can make one or open a file for writing",
        ("tests/test_source_rules.py", "tests/test_frames.py"),
    ),
    Claim(
        "a detector that fails, hangs or answers nonsense leads to no raw face",
        (f"{_PRIVACY}/test_faults_detector.py", f"{_PRIVACY}/test_faults_answers.py"),
    ),
    Claim(
        "a camera that repeats, freezes, changes or sends garbage leads to no raw face",
        (f"{_PRIVACY}/test_faults_source.py", f"{_PRIVACY}/test_faults_clocks.py"),
    ),
    Claim(
        "a failure in hold, blur, last look, visibility or known face leads to no raw face",
        (
            f"{_PRIVACY}/test_faults_stages.py",
            f"{_PRIVACY}/test_faults_blur.py",
            "tests/daemon/test_known_face.py",
            "tests/daemon/test_quarantine.py",
            "tests/daemon/test_waiting_files.py",
        ),
    ),
    Claim(
        "a failing encoder or disk costs no image that was acknowledged, and leads to no raw face",
        (f"{_PRIVACY}/test_faults_store.py",),
    ),
    Claim(
        "faults of all kinds by chance, in many frames of long runs, lead to no raw face and cost no image",
        (f"{_PRIVACY}/test_storm.py",),
    ),
    Claim(
        "the checks behind these attacks notice what they are there for",
        (f"{_PRIVACY}/test_faults_oracle.py",),
    ),
    Claim(
        "the daemon writes into the store alone and opens no socket but the status endpoint and cameras",
        (f"{_PRIVACY}/test_ways_out.py",),
    ),
    Claim(
        "no disk error and no kill at any system call of the store leaves a broken image or loses one",
        (f"{_PRIVACY}/test_system_calls.py",),
    ),
    Claim(
        "after faults, no file, answer or log line holds a piece of a raw face in any form",
        (f"{_PRIVACY}/test_pattern_hunt.py",),
    ),
    Claim("when the power goes, every acknowledged image is intact", (f"{_PRIVACY}/test_power_loss.py",)),
    Claim(
        "a crash leaves no core, and no other process of the same user can read the memory",
        (f"{_PRIVACY}/test_memory.py", "tests/test_process.py"),
    ),
    Claim(
        "no telemetry, no name look-up, no connection of its own",
        (f"{_PRIVACY}/test_network.py",),
    ),
    Claim(
        "a changed, foreign or hostile detector file is refused before the first frame",
        (f"{_PRIVACY}/test_files_model.py", f"{_PRIVACY}/test_files_odd_models.py"),
    ),
    Claim(
        "hostile pictures, videos, names and configurations end in a clear refusal",
        (
            f"{_PRIVACY}/test_files.py",
            f"{_PRIVACY}/test_files_names.py",
            f"{_PRIVACY}/test_files_config.py",
            "tests/commands/test_blur.py",
            "tests/test_pictures.py",
        ),
    ),
    Claim(
        "whatever the configuration and the boxes, what must be covered is covered",
        (f"{_PRIVACY}/test_random.py",),
    ),
    Claim(
        "the audit log is chained, durable before each image, and goes on after any failure",
        ("tests/store/test_audit_log.py",),
    ),
    Claim(
        "whoever alters, removes or adds an image or a record is found out",
        ("tests/audit/test_tampering.py", "tests/audit/test_forged_records.py"),
    ),
    Claim(
        "the oldest images make room, on record; a disk of which nobody knows the room counts as full, and a "
        "clock that is in doubt removes nothing",
        (
            "tests/store/test_retention.py",
            "tests/store/test_trusted_clock.py",
            "tests/store/test_clock_steps.py",
            "tests/daemon/test_clock_steps.py",
        ),
    ),
    Claim(
        "with a public key on the box, only the private key opens an image",
        ("tests/store/test_encryption.py", "tests/store/test_decrypt_command.py"),
    ),
    Claim(
        "a face that a look at everything finds is looked at in the frame in which it changes the picture, "
        "and within privacy.sweep_seconds in any case",
        (
            "tests/detection/test_blocks.py",
            "tests/detection/test_gate.py",
            "tests/detection/test_gate_faces.py",
            "tests/test_last_look_views.py",
        ),
    ),
    Claim(
        "a face that the detector misses for some frames stays covered in them",
        ("tests/test_hold.py", "tests/benchmarks/test_leak_rate.py"),
    ),
)

EXPERIMENTS = (
    Experiment(
        "a classifier trained on covered faces learns no more from infill and solid than from the surround",
        ("benchmarks", "reidentify"),
        ("--quick",),
    ),
    Experiment(
        "of the faces of 20 pixels or more on scenes of 1920x1080, and on five clips 480 to 768 pixels wide, "
        "0.1 % or less of the face-frames stay uncovered",
        ("benchmarks", "leak-rate"),
        ("--no-real",),  # scenes alone: they are the stricter half, and take a third of the time
    ),
)
