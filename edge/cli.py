"""The command line. It reads the settings once, calls one function, and prints what came out."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NoReturn, ParamSpec

import typer
from rich.console import Console

import edge
from edge import logs, process
from edge.commands import install as installation
from edge.config import Config, make_config, read_config
from edge.errors import ConfigError, EdgeError

EXIT_OK, EXIT_FAILED, EXIT_CONFIG = 0, 1, 78  # 78: EX_CONFIG of sysexits.h

app = typer.Typer(
    name="edge",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Anonymize faces beside the camera: a raw face never reaches a disk.",
    epilog="Exit codes: 0 all well, 1 something failed, 2 wrong command line, 78 bad configuration.",
)
console = Console()
errors = Console(stderr=True)
P = ParamSpec("P")


def _fails_clearly(command: Callable[P, None]) -> Callable[P, None]:
    """Errors raised on purpose end in one message and the documented exit code."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            process.harden()
            command(*args, **kwargs)
        except ConfigError as error:
            _exit(str(error), EXIT_CONFIG)
        except (EdgeError, OSError) as error:
            _exit(str(error), EXIT_FAILED)

    return guarded


def _exit(message: str, code: int) -> NoReturn:
    for line in message.splitlines():
        errors.print(f"edge: {line}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        console.print(f"edge-anonymizer {edge.__version__}", highlight=False)
        raise typer.Exit


@app.command()
@_fails_clearly
def demo(
    out: Annotated[
        Path | None, typer.Option(help="Folder for the images; without it a new temporary one.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="Length of the synthetic video.")] = 10,
) -> None:
    """Run the whole appliance on a synthetic camera, and check what it stored.

    A camera that exists only in memory moves over public-domain portraits. Afterwards the detector
    looks at every stored image again, at four times the pixels. Exit code 0 only if there are images,
    the status endpoint answered, and no face (score 0.5 or more) is found on any of them.
    """
    from edge.commands.demo import run_demo
    from edge.commands.tables import demo_table

    logs.start()
    folder = out if out is not None else Path(tempfile.mkdtemp(prefix="edge-demo-"))
    table = {"store": {"folder": folder}, "status": {"port": 0}, "detector": {"provider": "auto"}}
    result = run_demo(make_config(table, "edge demo"), seconds, errors.print)
    console.print(demo_table(result))
    for path, score in result.hits:
        kind, style = ("face", "red") if (path, score) in result.leaks else ("weak hit", "yellow")
        errors.print(f"{kind} on {path} (score {score:.2f})", style=style, markup=False, soft_wrap=True)
    if result:
        console.print(f"No face found on {len(result.images)} images in {folder}", highlight=False)
        return
    raise typer.Exit(EXIT_FAILED)


@app.command()
@_fails_clearly
def blur(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Pictures, videos, folders.")],
    out: Annotated[Path, typer.Option(help="Folder for the results; relative paths are kept.")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Skip what is done already; the report keeps its entries.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write boxes and scores as COCO JSON (.json).")
    ] = None,
    convert: Annotated[
        bool,
        typer.Option("--convert", help="Take grey, alpha, palette, 16-bit and CMYK pictures too, as RGB."),
    ] = False,
    keep_audio: Annotated[
        bool, typer.Option("--keep-audio", help="Keep the sound of videos. Voices identify people too.")
    ] = False,
    fill: Annotated[
        str, typer.Option(help="infill, solid; with --allow-reidentifiable also gaussian, mosaic.")
    ] = "infill",
    region: Annotated[str, typer.Option(help="head; with --allow-reidentifiable also top.")] = "head",
    top_fraction: Annotated[float, typer.Option(help="With --region top: share of the box's height.")] = 0.6,
    allow_reidentifiable: Annotated[
        bool,
        typer.Option(
            "--allow-reidentifiable",
            help="Accept gaussian, mosaic and top, by which people can be recognised.",
        ),
    ] = False,
    detector: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Another detector than the shipped one.")
    ] = None,
    provider: Annotated[str, typer.Option(help="auto, cpu, cuda, tensorrt or openvino.")] = "auto",
    size: Annotated[
        str,
        typer.Option(
            help="native: the picture's own size, and tiles above 1920 pixels; or WIDTHxHEIGHT that pictures "
            "are scaled to for detection, at the price of small faces."
        ),
    ] = "native",
    tiles: Annotated[
        str,
        typer.Option(
            help="COLUMNSxROWS, such as 3x2: also look at each tile, for small faces; auto: as the picture's "
            "size demands."
        ),
    ] = "auto",
    score: Annotated[
        float | None, typer.Option(help="Score from which a face is covered; without it the detector's own.")
    ] = None,
    quality: Annotated[int, typer.Option(min=1, max=100, help="JPEG and WebP quality.")] = 95,
    jobs: Annotated[int, typer.Option(min=0, max=256, help="Workers; 0: one per core.")] = 0,
) -> None:
    """Anonymize picture files, video files and folders of them.

    Pictures: JPEG, PNG, WebP, BMP, TIFF. Videos: MP4, MOV, MKV, AVI, WebM (needs the extra "video").
    Results carry no metadata and, unless asked for, no sound; inputs are never overwritten. A broken
    or hostile file, or one of another format (HEIC, AVIF, GIF, camera raw, MTS, WMV and the like), is
    listed with its reason, nothing is written for it, the rest goes on, and the exit code is 1. Files
    that are neither pictures nor videos are left alone.
    """
    from edge.commands.blur import blur_files
    from edge.files import batch

    table: dict[str, Any] = {
        "detector": {
            "path": detector,
            "provider": provider,
            # A fixed size belongs to the detector file; native suits the shipped one.
            "size_pixels": "auto" if detector is not None and size == "native" else size,
            "tiles": tiles,
            "threads": 1,
            "score_begin": score,
            "timeout_seconds": 120,
        },
        "blur": {
            "fill": fill,
            "region": region,
            "top_fraction": top_fraction,
        },
        "privacy": {"allow_reidentifiable": allow_reidentifiable},
    }
    options = batch.Options(resume, convert, keep_audio, quality, jobs or os.cpu_count() or 1)
    if not blur_files(paths, out, make_config(table, "edge blur"), options, report, console):
        raise typer.Exit(EXIT_FAILED)


@app.command()
@_fails_clearly
def run(
    config: Annotated[Path, typer.Option(metavar="FILE", help="The configuration, edge.toml.")],
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Run the daemon: capture, detect, blur, and store anonymized images, until it is told to stop.

    SIGTERM and SIGINT finish the tick, store the frames that wait, and end; a second one ends at once.
    Exit code 0 after a signal or when all files are done, 1 when something failed, 78 when the
    configuration is bad.
    """
    from edge.daemon.run import run_daemon

    logs.start(verbose)
    if not run_daemon(read_config(config)):
        raise typer.Exit(EXIT_FAILED)


@app.command()
@_fails_clearly
def doctor(
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The configuration to check the box for.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check detector, provider, cameras, store, swap and core dumps, and say what to do.

    Exit code 0 when nothing fails (warnings are allowed), 1 otherwise.
    """
    from dataclasses import asdict

    from edge.commands.doctor import examine, hanging
    from edge.commands.tables import doctor_table

    checks = list(examine(read_config(config) if config is not None else make_config({}, "edge doctor")))
    if as_json:
        sys.stdout.write(json.dumps([asdict(check) for check in checks], indent=1) + "\n")
    else:
        console.print(doctor_table(checks))
    failed = any(check.level == "fail" for check in checks)
    if hanging():
        sys.stdout.flush()
        os._exit(EXIT_FAILED if failed else EXIT_OK)
    if failed:
        raise typer.Exit(EXIT_FAILED)


@app.command("config")
@_fails_clearly
def config_command(
    init: Annotated[bool, typer.Option("--init", help="Write a commented edge.toml.")] = False,
    check: Annotated[
        Path | None, typer.Option("--check", metavar="FILE", help="Check a configuration file.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="With --init: where to write.")] = Path(
        "edge.toml"
    ),
) -> None:
    """Write a commented configuration, or check one.

    --init never overwrites a file. --check prints nothing but "ok" when all is well, and ends with
    exit code 78 and the key in question when it is not.
    """
    from edge.commands.sample import sample_text
    from edge.store.text import write_text

    if init == (check is not None):
        raise typer.BadParameter("give either --init or --check FILE")
    if check is not None:
        checked: Config = read_config(check)
        if checked.store.recipient is not None:
            from edge.store.encryption import recipient_of

            recipient_of(checked.store.recipient)
        cameras = ", ".join(checked.cameras)
        console.print(f"{check}: ok (cameras: {cameras})", highlight=False, markup=False, soft_wrap=True)
        return
    write_text(out, sample_text())
    console.print(f"wrote {out}", highlight=False, markup=False)


@app.command()
@_fails_clearly
def install(
    root: Annotated[Path, typer.Option(metavar="DIR", help="The system to install into.")] = Path("/"),
    drop_in: Annotated[
        list[installation.DropIn], typer.Option("--drop-in", help="Adapt the unit; may be given again.")
    ] = [],  # noqa: B006
) -> None:
    """Write the systemd unit, its user and folders, and a configuration where there is none.

    A file that somebody changed is never overwritten. Nothing is started: what to run next is printed.
    """
    for line in installation.install(root, drop_in, installation.running_program()):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


@app.command()
@_fails_clearly
def uninstall(
    root: Annotated[Path, typer.Option(metavar="DIR", help="The system to remove it from.")] = Path("/"),
) -> None:
    """Remove what edge install wrote and nobody changed. Configuration and images stay."""
    for line in installation.uninstall(root):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


@app.command()
@_fails_clearly
def decrypt(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Encrypted images (.age), folders.")],
    identity: Annotated[
        Path, typer.Option(metavar="FILE", help="The private key, from edge keygen or age-keygen.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the images; relative paths are kept.")],
) -> None:
    """Decrypt images that a box with store.recipient has stored (needs the extra "encrypt").

    For another machine than the box. Nothing is overwritten. A file that is damaged, altered or encrypted for
    another key is listed with its reason, nothing is written for it, the rest goes on, and the exit code
    is 1.
    """
    from edge.commands.decrypt import decrypt_files

    if not decrypt_files(paths, out, identity, console):
        raise typer.Exit(EXIT_FAILED)


@app.command()
@_fails_clearly
def keygen(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the private key goes.")],
) -> None:
    """Make a pair of keys for store.recipient (needs the extra "encrypt"); not on the box.

    The private key is written to FILE, for its owner alone, and the public one printed. An existing file
    is never overwritten.
    """
    from edge.commands.decrypt import make_key

    make_key(out, console)


@app.command()
@_fails_clearly
def audit(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The store: the folder of store.folder.")],
    sample: Annotated[
        int | None,
        typer.Option(min=0, help="Look for faces on so many images, drawn at random; without it on all."),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(metavar="SHA256", help="A hash that was kept elsewhere (audit_head of /status)."),
    ] = None,
    identity: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The private key, for a store with store.recipient.")
    ] = None,
    detector: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Another detector than the shipped one.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all findings as JSON (.json).")
    ] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the report as a page (.html).")
    ] = None,
    jobs: Annotated[int, typer.Option(min=0, max=256, help="Images at once; 0: one per core.")] = 0,
) -> None:
    """Check a store: its log, each image on record, and whether a face is found on any.

    Files that are missing, altered or not on record, and faces (score 0.5 or more, at four times the
    daemon's pixels) are wrong: then the exit code is 1. The box may go on storing meanwhile. That nothing was
    cut off the end can only be proven with --head, which /status, MQTT and the status page show.
    """
    from edge.audit import Options
    from edge.commands import audit as command_audit
    from edge.commands import decrypt as command_decrypt

    if head is not None and re.fullmatch(r"[0-9a-fA-F]{64}", head) is None:
        raise typer.BadParameter("--head: not a sha256 (64 hexadecimal digits)")
    identities = command_decrypt.read_identities(identity, errors) if identity is not None else ()
    wanted = head.lower() if head is not None else None
    options = Options(sample, wanted, detector, identities, jobs or os.cpu_count() or 1)
    if not command_audit.audit_folder(folder, options, json_file, html_file, console):
        raise typer.Exit(EXIT_FAILED)
