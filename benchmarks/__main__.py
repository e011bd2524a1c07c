"""``python -m benchmarks NAME``: every measurement of this project is a command here.

A command imports its module when it runs, since several need TensorFlow, PyAV or matplotlib.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks import common
from benchmarks.commands import compared, cost, privacy

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Measure how fast and how good the anonymizer is.",
    epilog="Exit codes: 0 measured, 1 a check failed, 2 nothing could be measured. "
    "A result taken on a busy machine says so.",
)
PANELS = {
    "Beside other tools": (
        compared.speed,
        compared.accuracy,
        compared.pipeline,
        compared.scenes,
        compared.choices,
        compared.fixed_camera,
        compared.kept,
        compared.orientation,
        compared.deface_parity,
        compared.reference_models,
    ),
    "What is left of a face": (
        privacy.reidentify,
        privacy.leak_rate,
        privacy.leftover,
        privacy.last_look_rate,
        privacy.visibility,
        privacy.loss_faces,
    ),
    "Cost and endurance": (
        cost.soak,
        cost.startup,
        cost.store_cost,
        cost.blur_cost,
        cost.known_face,
        cost.loss,
        cost.damaged_files,
        cost.camera_memory,
    ),
}
for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)


@app.command()
def report(
    results: Annotated[Path, typer.Option(help="Folder of results.")] = common.RESULTS,
    out: Annotated[Path, typer.Option(help="The page.")] = common.ROOT / "docs" / "benchmarks.md",
    readme: Annotated[Path, typer.Option(help="File with the block of figures.")] = common.ROOT / "README.md",
) -> None:
    """Write docs/benchmarks.md and the figures in README.md from the last results."""
    from benchmarks import figures
    from benchmarks import report as pages

    print(f"{out}: {', '.join(pages.write(results, out))}")
    print(f"{readme}: {figures.write(results, readme)} rows of figures")


if __name__ == "__main__":
    app()
