"""`peerwatt study`: papers' numerical claims, run again.

Knows the names and options of the commands, and shows what a study came to.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from peerwatt.studies.runner import Finished

app = typer.Typer(help="Run the studies of papers again, claim by claim.", no_args_is_help=True)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A study, or a YAML file of one's own for one.")
]


@app.command("list")
def list_all() -> None:
    """Name the studies and their scenarios."""
    from peerwatt.cli.screen import console, plain
    from peerwatt.studies.catalogue import NAMES, opened

    for name in NAMES:
        _, file = opened(name)
        console.print(f"[bold]{name}[/]: {plain(file.title)}")
        for scenario, about in file.scenarios.items():
            console.print(f"  {scenario}: {plain(about.about)}")


@app.command()
def show(name: NameArgument) -> None:
    """Print a study's file, to start one's own from."""
    from peerwatt.studies.catalogue import text_of

    typer.echo(text_of(name), nl=False)


@app.command()
def schema(name: NameArgument) -> None:
    """Print the JSON Schema of a study's files."""
    import json

    from peerwatt.studies.catalogue import study_named
    from peerwatt.studies.files import schema_of

    typer.echo(json.dumps(schema_of(study_named(name)), indent=2))


@app.command()
def run(
    name: NameArgument,
    out: Annotated[Path, typer.Option(help="Folder for the results; must not exist yet.")],
    scenario: Annotated[
        str | None, typer.Option(help="A named run of the study; its first if left out.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A parameter; again for more."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=1024, help="Processes at once.")] = 1,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler, 'tcp://host:port'.")
    ] = None,
) -> None:
    """Run a study; exit 1 where a claim misses what is expected. A run that was cut off goes on
    where the same is run again."""
    # Threads within a small matrix cost more than they give, and might round otherwise.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from peerwatt.cli.screen import console, plain, progress
    from peerwatt.studies.catalogue import opened
    from peerwatt.studies.files import plan, settings_of
    from peerwatt.studies.runner import check_jobs, run_plan
    from peerwatt.studies.workers import here, on_cluster

    check_jobs(jobs, cluster)
    study, file = opened(name)
    chosen = plan(study, file, scenario, settings_of(settings or []))
    work_on = partial(here, jobs=jobs)
    if cluster is not None:
        work_on = partial(on_cluster, address=cluster)
    with progress(f"{study.name} {chosen.scenario}") as heard:
        finished = run_plan(chosen, out, work_on, heard)
    if finished.resumed:
        console.print(f"{finished.resumed} of {finished.tasks} tasks had been done before.")
    _show_verdicts(finished)
    console.print(f"\nReport: {plain(str(out / 'report.html'))}")
    if not finished.as_expected:
        raise typer.Exit(1)


def _show_verdicts(finished: Finished) -> None:
    from rich.table import Table

    from peerwatt.cli.screen import console, plain

    table = Table(box=None, pad_edge=False)
    for name in ("claim", "paper", "ours", "95% interval", "expected", "verdict"):
        table.add_column(name, overflow="fold", no_wrap=name in ("claim", "ours"))
    for verdict in finished.verdicts:
        row = verdict.row()
        word = f"{row.verdict} [red]missed[/]" if verdict.missed else row.verdict
        cells = (verdict.claim, row.paper, row.ours, row.interval, row.expected)
        table.add_row(*map(plain, cells), word)
    console.print(table)
    missed = sum(verdict.missed for verdict in finished.verdicts)
    console.print(
        f"[red]{missed} claims miss what is expected.[/]" if missed else "All is as expected."
    )
