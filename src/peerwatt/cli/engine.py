"""`peerwatt engine`: the consensus engine that a network of several validators needs.

Knows the names and options of the commands, and shows what they did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from peerwatt.hosts.cometbft.engine import Engine

app = typer.Typer(
    help="The consensus engine (CometBFT) of a network; nothing else needs it.",
    no_args_is_help=True,
)


@app.command()
def install(
    again: Annotated[bool, typer.Option("--again", help="Build it even where it is.")] = False,
    fetch_go: Annotated[
        bool, typer.Option("--fetch-go", help="Without Go, have pip fetch one for this build.")
    ] = False,
) -> None:
    """Build the pinned engine from its source, into peerwatt's own folder."""
    from peerwatt.hosts.cometbft import engine

    _show(engine.install(again=again, fetch_go=fetch_go, say=typer.echo))


@app.command()
def status() -> None:
    """Say which engine is installed, and check that it is what was built."""
    from peerwatt.hosts.cometbft import engine

    _show(engine.find())


def _show(installed: Engine) -> None:
    from peerwatt.hosts.cometbft import engine

    for label, value in (
        ("CometBFT", installed.version),
        ("source", f"{engine.MODULE} {engine.SUM}"),
        ("program", installed.program),
        ("SHA-256", installed.sha256),
        ("built with", installed.go),
    ):
        typer.echo(f"{label:<11}{value}")
