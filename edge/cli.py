"""The command line: a declaration for each command. What a command does is in ``edge/commands``.

Modules that load OpenCV or the detector are imported inside the commands, so that ``--help`` and shell
completion answer quickly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import edge
from edge.commands import options
from edge.commands.endings import ends_clearly, exit_unless
from edge.commands.terminal import console, errors, print_plain
from edge.config.privacy import SMALLEST_FACE_IN_FILES


class _ConfigGroup(TyperGroup):
    """``edge config``: names the command for an option that looks like one, such as ``--check``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0].lstrip("-")
        if args[0].startswith("-"):
            way_out = f"; write it without dashes: edge config {name}" if name in self.commands else ""
            ctx.fail(f"No such option: {args[0]}{way_out}")
        return super().resolve_command(ctx, args)


_SETTINGS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name="edge",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=_SETTINGS,
    help="Anonymize faces beside the camera: a raw face never reaches a disk.",
    epilog="Exit codes: 0 success, 1 something failed, 2 wrong command line, 78 bad configuration.",
)
config_app = typer.Typer(
    name="config",
    no_args_is_help=True,
    cls=_ConfigGroup,
    # So that unknown options reach _ConfigGroup
    context_settings={**_SETTINGS, "ignore_unknown_options": True},
    help="Write, check or show a configuration.",
)
app.add_typer(config_app)


def _version(wanted: bool) -> None:
    if wanted:
        print_plain(console, f"edge-anonymizer {edge.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options that need no command."""


@app.command()
@ends_clearly
def demo(out: options.DemoFolder = None, seconds: options.DemoSeconds = 10) -> None:
    """Run the whole appliance on a synthetic camera, and check what it stored.

    The camera exists only in memory and moves over public-domain portraits. Afterwards every stored image
    is searched for faces again. The exit code is 0 only if images were stored,
    the status endpoint answered, and no face (score 0.5 or more) is found on any image.
    """
    from edge.commands.demo import demo as command

    exit_unless(command(out, seconds, console, errors))


@app.command()
@ends_clearly
def blur(
    paths: options.Inputs,
    out: options.OutFolder,
    resume: options.Resume = False,
    report: options.ReportFile = None,
    convert: options.ConvertPictures = False,
    keep_audio: options.KeepAudio = False,
    strict: options.Strict = False,
    fill: options.FillChoice = "infill",
    region: options.RegionChoice = "head",
    top_fraction: options.TopFraction = 0.6,
    allow_reidentifiable: options.AllowReidentifiable = False,
    detector: options.Detectors = [],  # noqa: B006
    provider: options.ProviderChoice = "auto",
    smallest_face: options.SmallestFace = SMALLEST_FACE_IN_FILES,
    any_orientation: options.AnyOrientation = False,
    score: options.ScoreFrom = None,
    quality: options.Quality = 95,
    jobs: options.Jobs = 0,
) -> None:
    """Anonymize picture files, video files and folders of them.

    Pictures: JPEG, PNG, WebP, BMP, TIFF. Videos: MP4, MOV, MKV, AVI, WebM.
    Results carry no metadata and, unless asked for, no sound; inputs are never overwritten. A file that is
    broken, hostile or of another format (HEIC, AVIF, GIF, camera raw, MTS, WMV and the like) is listed with
    the reason, nothing is written for it, the other files are still processed, and the exit code is 1.
    Files that are neither pictures nor videos are ignored.
    """
    from edge.commands.blur import blur_config, blur_files, blur_options

    config = blur_config(
        fill=fill,
        region=region,
        top_fraction=top_fraction,
        allow_reidentifiable=allow_reidentifiable,
        detectors=detector,
        provider=provider,
        smallest_face=smallest_face,
        any_orientation=any_orientation,
        score=score,
    )
    work = blur_options(resume=resume, convert=convert, keep_audio=keep_audio, quality=quality, jobs=jobs)
    exit_unless(blur_files(paths, out, config, work, report, console, strict=strict))


@app.command()
@ends_clearly
def run(config: options.ConfigFile, verbose: options.Verbose = False) -> None:
    """Run the daemon: capture, detect, blur and store anonymized images until it is stopped.

    On SIGTERM or SIGINT it finishes the current tick, stores the waiting frames and ends; a second signal
    ends it at once. The exit code is 0 after a signal or when all files are done, 1 when something failed,
    78 when the configuration is bad.
    """
    from edge import logs
    from edge.config import read_config
    from edge.daemon.run import run_daemon

    logs.start(verbose)
    exit_unless(run_daemon(read_config(config)))


@app.command()
@ends_clearly
def doctor(config: options.CheckedConfig = None, as_json: options.AsJson = False) -> None:
    """Check the detector, provider, cameras, store, swap and core dumps, and say what to do.

    The exit code is 0 when nothing fails (warnings are allowed), 1 otherwise.
    """
    from edge.commands.doctor import doctor as command

    exit_unless(command(config, as_json, console))


@app.command("confirm-clock")
@ends_clearly
def confirm_clock(config: options.ConfigFile, yes: options.ClockIsRight = False) -> None:
    """Say that this machine's clock is right, when the status says that removal by age is off.

    Compare the time that is shown with another clock first: images that are too old by a wrong clock are
    removed. A box that runs takes note within a minute, another one at its next start.
    """
    from edge.commands.confirm_clock import confirm_clock as command
    from edge.config import read_config

    exit_unless(command(read_config(config).store.folder, yes, console))


@config_app.command("init")
@ends_clearly
def config_init(out: options.NewConfig = Path("edge.toml")) -> None:
    """Write a configuration in which every key is explained. An existing file is never overwritten."""
    from edge.commands.config import init

    init(out, console)


@config_app.command("check")
@ends_clearly
def config_check(file: options.ExistingConfig) -> None:
    """Check a configuration file and the environment.

    Ends with exit code 78 and the key in question when something is wrong.
    """
    from edge.commands.config import check

    check(file, console)


@config_app.command("show")
@ends_clearly
def config_show(file: options.ExistingConfig) -> None:
    """Print the configuration in force: the file, the environment and the defaults. No secret is shown.

    A camera's source is shown without user name, password, path and query.
    """
    from edge.commands.config import show

    show(file, console)


@app.command()
@ends_clearly
def install(root: options.Root = Path("/"), drop_in: options.DropIns = []) -> None:  # noqa: B006
    """Write the systemd unit, its user and folders, and a configuration if there is none.

    A file that somebody changed is never overwritten. Nothing is started; the commands to run next are
    printed.
    """
    from edge.commands.install import install, running_program

    for line in install(root, drop_in, running_program()):
        print_plain(console, line)


@app.command()
@ends_clearly
def uninstall(root: options.Root = Path("/")) -> None:
    """Remove the files that edge install wrote and nobody changed. Configuration and images stay."""
    from edge.commands.install import uninstall

    for line in uninstall(root):
        print_plain(console, line)


@app.command()
@ends_clearly
def decrypt(paths: options.EncryptedInputs, identity: options.Identity, out: options.OutFolder) -> None:
    """Decrypt images stored by a box with store.recipient (needs the extra "encrypt").

    Run it on a machine other than the box. Nothing is overwritten. A file that is damaged, altered or
    encrypted for another key is listed with the reason, nothing is written for it, the other files are still
    decrypted, and the exit code is 1.
    """
    from edge.commands.decrypt import decrypt_files

    exit_unless(decrypt_files(paths, out, identity, console))


@app.command()
@ends_clearly
def keygen(out: options.NewKey) -> None:
    """Make a key pair for store.recipient (needs the extra "encrypt"). Do not run it on the box.

    The private key is written to FILE, which only its owner can read; the public key is printed. An existing
    file is never overwritten.
    """
    from edge.commands.decrypt import make_key

    make_key(out, console)


@app.command()
@ends_clearly
def audit(
    folder: options.Store,
    sample: options.Sample = None,
    head: options.Head = None,
    identity: options.AuditIdentity = None,
    detector: options.DetectorFile = None,
    json_file: options.JsonFile = None,
    html_file: options.HtmlFile = None,
    jobs: options.Jobs = 0,
) -> None:
    """Check a store: its log, every image on record, and whether a face is found on any image.

    The exit code is 1 if a file is missing, altered or not on record, or a face is found (score 0.5 or
    more, of 20 pixels and more). The box may go on storing meanwhile. Only --head can prove that
    nothing was cut off the end of the log; take the hash from /status, MQTT or the status page.
    """
    from edge.commands.audit import audit_folder, audit_options

    work = audit_options(sample=sample, head=head, identity=identity, detector=detector, jobs=jobs)
    exit_unless(audit_folder(folder, work, json_file, html_file, console))


@app.command()
@ends_clearly
def purge(
    config: options.ConfigFile,
    first: options.From,
    last: options.To,
    camera: options.OneCamera = None,
    yes: options.Yes = False,
) -> None:
    """Remove the images of a stretch of time from a store, on record.

    For images that must not be there, such as those on which edge audit has found a face. Each removal is in
    the log before it is done. Stop the daemon first.
    """
    from edge.commands.purge import purge

    exit_unless(purge(config, (first, last), camera, lambda text: yes or typer.confirm(text), console))
