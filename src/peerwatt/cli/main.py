"""The `peerwatt` command: what it can be asked, and nothing of how that is done.

Knows the names and options of the commands. Each command imports its room inside its own
function, so that `peerwatt --help` loads none of numpy, polars, matplotlib or the solvers.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from peerwatt import __version__
from peerwatt.cli import auction, engine, network, study
from peerwatt.cli.choices import MechanismName, PeerName, SiteName

INTERRUPTED = 130
"""What Typer makes of Ctrl-C, without a word."""

app = typer.Typer(
    name="peerwatt",
    help="Electric vehicles trade energy with one another, settled on a ledger anyone can check.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="Look at and check configuration files.", no_args_is_help=True)
soak_app = typer.Typer(help="Long runs that look for faults.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(soak_app, name="soak")
app.add_typer(auction.app, name="auction")
app.add_typer(engine.app, name="engine")
app.add_typer(network.app, name="network")
app.add_typer(study.app, name="study")


Network = Annotated[
    Path | None,
    typer.Option("--network", metavar="DIR", help="Folder of a running network to do it on."),
]


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


@app.command()
def demo(
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; a new one beside you if left out.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of what is assumed: who sells.")] = 1,
    on: Network = None,
) -> None:
    """A real day at a charging hub, with three lies in it, run, settled and verified."""
    from peerwatt.cli.demo import run_demo

    run_demo(out, seed, on)


@app.command()
def day(
    out: Annotated[Path, typer.Option(help="Folder for the results; must not exist yet.")],
    date: Annotated[str | None, typer.Option(help="Local date, such as 2019-08-21.")] = None,
    sessions: Annotated[
        Path | None, typer.Option(help="Charging sessions as CSV; those of the site if left out.")
    ] = None,
    site: Annotated[SiteName | None, typer.Option(help="Whose sessions.")] = None,
    mechanism: Annotated[MechanismName | None, typer.Option(help="How rounds clear.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of assumptions.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of what is assumed.")] = None,
    sites: Annotated[
        str | None,
        typer.Option(help="Several hubs on one ledger: a YAML file, or 'three' or 'texas'."),
    ] = None,
    on: Network = None,
    chain_id: Annotated[
        str | None,
        typer.Option(help="The chain's name, 'sim-…'; the assumptions' fingerprint if left out."),
    ] = None,
) -> None:
    """One day of real charging sessions on the market, in a folder that `verify` can check."""
    from peerwatt.cli.day import run_day, run_hubs
    from peerwatt.simulation.config import load

    chosen = load(config, site=site, date=date, mechanism=mechanism, seed=seed)
    if sites is None:
        run_day(chosen, sessions, out, on, chain_id)
    else:
        run_hubs(chosen, sites, sessions, out, on, chain_id)


@app.command()
def compare(
    out: Annotated[Path, typer.Option(help="Folder for the results; must not exist yet.")],
    date: Annotated[str | None, typer.Option(help="Local date, such as 2019-08-21.")] = None,
    site: Annotated[SiteName | None, typer.Option(help="Whose sessions.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of assumptions.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of what is assumed.")] = None,
    mechanisms: Annotated[str, typer.Option(help="Names with commas between.")] = ",".join(
        MechanismName
    ),
) -> None:
    """One real day under several mechanisms, side by side: cost, prices, who gains, proofs."""
    from peerwatt.cli.compare import run_compare

    run_compare(config, site, date, seed, mechanisms, out)


@app.command()
def verify(
    what: Annotated[
        Path | None, typer.Argument(help="A run's folder, or a receipt's file.")
    ] = None,
    trusted_head: Annotated[
        str | None, typer.Option(help="Id (hex) of a block that you have from elsewhere.")
    ] = None,
    witness: Annotated[
        str | None, typer.Option(help="Key (hex) of a member whose co-signature you trust.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--network",
            metavar="DIR",
            help="A running network that it must be of; alone: check that network's chain.",
        ),
    ] = None,
) -> None:
    """Check a run or a receipt without believing it; exit 1 where something does not hold."""
    from peerwatt.cli.verify import run_verify

    if not run_verify(what, trusted_head, witness, against):
        raise typer.Exit(1)


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run's folder.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
) -> None:
    """Compare awards, receipts and balances of two runs, whatever chains they are on; exit 1
    where they differ."""
    from peerwatt.cli.diff import run_diff

    if not run_diff(first, second):
        raise typer.Exit(1)


@app.command()
def receipt(
    folder: Annotated[Path, typer.Argument(help="A run's folder.")],
    order: Annotated[str, typer.Argument(help="An order's id (hex), or how it begins.")],
    out: Annotated[Path | None, typer.Option(help="File for the receipt.")] = None,
) -> None:
    """Write what proves one order's settlement to a stranger; `verify` checks it alone."""
    from peerwatt.cli.verify import write_receipt

    write_receipt(folder, order, out)


@app.command()
def clear(
    orders: Annotated[Path, typer.Argument(help="Orders: CSV or Parquet, as in docs/orders.md.")],
    mechanism: Annotated[
        str, typer.Option(help="uniform, pay-as-bid, mcafee, huang, sbba, muda, vcg, v2v, …")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results, or - for JSON on screen.")],
    retail: Annotated[float | None, typer.Option(help="Grid's price; with --feed-in.")] = None,
    feed_in: Annotated[float | None, typer.Option(help="What the grid pays.")] = None,
    local_fee: Annotated[float, typer.Option(help="Per kWh that changes hands.")] = 0.0,
    fee_per_km: Annotated[float, typer.Option(help="Per kWh and km to the hub.")] = 0.0,
    loss_per_km: Annotated[float, typer.Option(help="Share lost per km to the hub.")] = 0.0,
    profit_to: Annotated[
        str, typer.Option(help="v2v: auctioneer, buyers, sellers or both.")
    ] = "auctioneer",
    seed: Annotated[int, typer.Option(min=0, help="Seed of all that is decided by lot.")] = 0,
) -> None:
    """Clear a file of orders by a mechanism; each order's outcome has its reason."""
    from peerwatt.cli.clear import run_clear

    fees = (local_fee, fee_per_km, loss_per_km)
    run_clear(orders, mechanism, out, (feed_in, retail), fees, profit_to, seed)


@app.command()
def audit(
    mechanism: Annotated[str, typer.Argument(help="As for `clear` (not pairs), or all.")],
    orders: Annotated[
        Path | None, typer.Option(help="One market from a file, as true; else drawn ones.")
    ] = None,
    retail: Annotated[float | None, typer.Option(help="With --orders: the grid's price.")] = None,
    feed_in: Annotated[float | None, typer.Option(help="What the grid pays.")] = None,
    markets: Annotated[int, typer.Option(min=1, help="How many random markets.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first; each has its own.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for figures and plots.")] = None,
) -> None:
    """Look for lies that pay, for losers and for deficits; exit 1 where a claim does not hold."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from peerwatt.cli.audit import run_audit

    if not run_audit(mechanism, orders, (feed_in, retail), markets, seed, out):
        raise typer.Exit(1)


@app.command()
def privacy(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of runs.")],
    out: Annotated[Path | None, typer.Option(help="New folder for the figures and a plot.")] = None,
) -> None:
    """What a reader of the ledger can still join: whose orders are one car's, by what evidence."""
    from peerwatt.cli.privacy import run_privacy

    run_privacy(folders, out)


@config_app.command("check")
def config_check(file: Annotated[Path, typer.Argument(help="YAML file of assumptions.")]) -> None:
    """Say whether a configuration can be used; the first wrong key is named."""
    from peerwatt.simulation.config import load

    chosen = load(file)
    typer.echo(f"{file}: good, for {chosen.site} on {chosen.date}")


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of configuration files."""
    import json

    from peerwatt.simulation.config import schema

    typer.echo(json.dumps(schema(), indent=2))


@config_app.command("default")
def config_default() -> None:
    """Print the default configuration, to start one's own from."""
    from importlib.resources import files

    text = (files("peerwatt") / "data" / "hub-day.yaml").read_text(encoding="utf-8")
    typer.echo(text, nl=False)


@soak_app.command("days")
def soak_days(
    sample: Annotated[int, typer.Option(min=1, help="How many random days.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice of days.")] = 1,
) -> None:
    """Random days of both sites on each mechanism: accounts must close, `verify` must pass."""
    from peerwatt.cli.soak import run_days

    if not run_days(sample, seed):
        raise typer.Exit(1)


@soak_app.command("sim")
def soak_sim(
    seeds: Annotated[int, typer.Option(min=1, help="How many chains to attack.")] = 20,
    blocks: Annotated[int, typer.Option(min=1, help="Blocks that each is attacked for.")] = 200,
    first_seed: Annotated[int, typer.Option(min=0, help="Seed of the first chain.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at once.")] = 1,
) -> None:
    """Lying parties, a bad network and a failing disk attack the ledger; no rule may break."""
    from peerwatt.cli.soak import run_faults

    if not run_faults(seeds, blocks, first_seed, jobs):
        raise typer.Exit(1)


@soak_app.command("markets")
def soak_markets(
    count: Annotated[int, typer.Option(min=1, help="How many small markets.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first; each has its own.")] = 0,
    against: Annotated[
        PeerName | None, typer.Option(help="Compare objectives, too; `dual`: SciPy's L-BFGS-B.")
    ] = None,
) -> None:
    """Random small markets: each is cleared with its proof, or refused with one."""
    # Threads would only wait for one another over matrices of a dozen rows.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from peerwatt.cli.soak import run_markets

    if not run_markets(count, seed, against_dual=against is PeerName.DUAL):
        raise typer.Exit(1)


@soak_app.command("mutants")
def soak_mutants(
    only: Annotated[
        list[str] | None, typer.Option(help="A mutant by name; again for more.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Chains to attack with each bug.")] = 32,
    blocks: Annotated[int, typer.Option(min=1, help="Blocks that each is attacked for.")] = 200,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at once.")] = 1,
) -> None:
    """Plant one bug at a time; the simulation must find at least 95 % of them."""
    from peerwatt.cli.soak import run_mutants

    if not run_mutants(only or [], seeds, blocks, jobs):
        raise typer.Exit(1)


@soak_app.command("chaos")
def soak_chaos(
    seeds: Annotated[int, typer.Option(min=1, help="How many networks to disturb.")] = 20,
    first_seed: Annotated[int, typer.Option(min=0, help="Seed of the first network.")] = 1,
    faults: Annotated[
        str, typer.Option(help="These in the place of a seed's own: names with commas between.")
    ] = "",
    out: Annotated[
        Path, typer.Option(help="Folder of results; a seed that held is not run again.")
    ] = Path("chaos"),
    base_port: Annotated[int, typer.Option(help="The first of the nodes' ports.")] = 28_000,
) -> None:
    """Kill, part and deceive four real validators that trade; nothing committed may be lost."""
    from peerwatt.cli.chaos import run_chaos

    if not run_chaos(seeds, first_seed, [n for n in faults.split(",") if n], out, base_port):
        raise typer.Exit(1)


@soak_app.command("fuzz")
def soak_fuzz(
    seconds: Annotated[int, typer.Option(min=1, help="How long, for each target.")] = 60,
    target: Annotated[str | None, typer.Option(help="One target alone, such as ledger.")] = None,
) -> None:
    """Coverage-guided fuzzing of the ledger and of all that reads bytes; from a checkout."""
    from peerwatt.cli.soak import run_fuzz

    raise typer.Exit(run_fuzz(seconds, target))


def main() -> None:
    """Runs the command that the process was started with; bad input is one line and exit 2."""
    try:
        code = app(prog_name="peerwatt", standalone_mode=False)
    except ValueError as error:
        _stop(str(error), 2)
    except OSError as error:
        _stop(f"{error.filename or 'a file'}: {error.strerror or error}", 2)
    except Exception as error:
        # Words that make no command: the classes of Typer's refusals have no public name. Without
        # a message it was no word at all, and help is shown.
        refusal = getattr(error, "format_message", None)
        if refusal is None:
            raise
        if message := refusal():
            _stop(f"{message} (peerwatt --help tells more)", 2)
        code = 2
    if code == INTERRUPTED:
        _stop("stopped", INTERRUPTED)
    sys.exit(code)


def _stop(why: str, code: int) -> NoReturn:
    typer.echo(f"peerwatt: {' '.join(why.splitlines())}", err=True)
    sys.exit(code)
