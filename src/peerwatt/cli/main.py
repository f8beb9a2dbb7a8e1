"""The `peerwatt` command: what it can be asked, and nothing of how that is done.

Knows the names and options of the commands. Each command imports its room inside its own
function, so that `peerwatt --help` loads none of numpy, polars, matplotlib or the solvers.
"""

from __future__ import annotations

from typing import Annotated

import typer

from peerwatt import __version__

app = typer.Typer(
    name="peerwatt",
    help="Electric vehicles trade energy with one another, settled on a ledger anyone can check.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"peerwatt {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    """Holds the options that stand before a command."""


def main() -> None:
    """Runs the command that the process was started with."""
    app()
