"""`peerwatt network`: a network of validators on this machine, for tests and studies.

Knows the names and options of the commands, and shows what they did.
"""

from __future__ import annotations

import re
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from peerwatt.hosts.cometbft.localnet import Network

app = typer.Typer(
    help="Several validators on this machine that run one ledger together.",
    no_args_is_help=True,
)


class ClockName(StrEnum):
    """What moves market time."""

    TICK = "tick"
    BLOCK = "block"


class AppName(StrEnum):
    """What the validators run."""

    PEERWATT = "peerwatt"
    KVSTORE = "kvstore"


class PartName(StrEnum):
    """Whose log."""

    APP = "app"
    ENGINE = "engine"
    KEEPER = "keeper"


ARCHIVE = "regulator"
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The network's folder.")]
NodeOption = Annotated[str | None, typer.Option(help="One node only, by its name.")]


@app.command()
def create(
    folder: Folder,
    validators: Annotated[int, typer.Option(min=1, max=32, help="How many.")] = 4,
    clock: Annotated[ClockName, typer.Option(help="What moves market time.")] = ClockName.TICK,
    chain_id: Annotated[
        str | None, typer.Option(help="Begins with 'sim-'; made of the folder's name if left out.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="From which all its keys follow.")] = 1,
    base_port: Annotated[int, typer.Option(help="The first of two ports a node.")] = 26_650,
    snapshot_every: Annotated[
        int, typer.Option(min=0, help="In how many blocks each node takes a snapshot; 0: never.")
    ] = 1_000,
    keep_blocks: Annotated[
        int, typer.Option(min=0, help="How many blocks all but the regulator keep; 0: all.")
    ] = 0,
    runs: Annotated[AppName, typer.Option("--app", help="What they run.")] = AppName.PEERWATT,
) -> None:
    """Make a network's folder: genesis, members and roles, test keys, a home for each node."""
    from peerwatt.cli.consortium import founded
    from peerwatt.hosts.cometbft import localnet

    names, genesis, keys = founded(
        seed, chain_id or _chain_id_of(folder), validators, ticks=clock is ClockName.TICK
    )
    network = localnet.create(
        folder,
        genesis,
        names,
        keys,
        seed=seed,
        time_s=int(time.time()),
        app=runs,
        base_port=base_port,
        snapshot_every=snapshot_every,
        keep_blocks=keep_blocks,
        archive=[ARCHIVE],
    )
    faults, many = (validators - 1) // 3, "s" if validators > 1 else ""
    typer.echo(
        f"chain {network.chain_id}: {validators} validator{many}, {faults} of which may fail"
    )
    for node in network.nodes:
        typer.echo(f"  {node.name:<24}{node.rpc}")
    typer.echo(f"Start it: peerwatt network start {folder}")


def _chain_id_of(folder: Path) -> str:
    return "sim-" + re.sub(r"[^a-z0-9._-]", "-", folder.absolute().name.lower())[:40]


@app.command()
def start(
    folder: Folder,
    node: NodeOption = None,
    timeout_s: Annotated[float, typer.Option(min=1, help="Until it must be ready.")] = 90,
) -> None:
    """Start all nodes, or one; done when they answer and the height grows."""
    from peerwatt.hosts.cometbft import engine, running
    from peerwatt.hosts.cometbft.localnet import Network

    network = Network(folder)
    nodes = network.nodes if node is None else (network.node(node),)
    program = engine.find().program
    running.start(network, program, nodes, timeout_s=timeout_s)
    _show(network)


@app.command()
def stop(folder: Folder, node: NodeOption = None) -> None:
    """Stop all nodes, or one; what they hold stays."""
    from peerwatt.hosts.cometbft import running
    from peerwatt.hosts.cometbft.localnet import Network

    network = Network(folder)
    nodes = network.nodes if node is None else (network.node(node),)
    stopped = running.stop(network, nodes)
    typer.echo(f"stopped: {', '.join(each.name for each in stopped) or 'none ran'}")


@app.command()
def status(folder: Folder) -> None:
    """Show each node's height, app hash, peers and processes; exit 1 unless all answer."""
    from peerwatt.hosts.cometbft.localnet import Network

    if not _show(Network(folder)):
        raise typer.Exit(1)


@app.command()
def logs(
    folder: Folder,
    node: NodeOption = None,
    part: Annotated[PartName, typer.Option(help="Whose log.")] = PartName.ENGINE,
    lines: Annotated[int, typer.Option(min=0, help="How many of the last lines.")] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on as lines come; with --node only.")
    ] = False,
) -> None:
    """Show the last lines of the nodes' logs."""
    from peerwatt.hosts.cometbft import running
    from peerwatt.hosts.cometbft.localnet import Network

    network = Network(folder)
    if follow and node is None:
        raise ValueError("--follow: needs --node, whose log to follow")
    for each in network.nodes if node is None else (network.node(node),):
        path = running.log_of(network, each, part)
        for line in running.tail(path, lines) if lines else ():
            typer.echo(line if node else f"{each.name}: {line}")
        if follow:
            for line in running.follow(path):
                typer.echo(line)


@app.command("add-validator")
def add_validator(
    folder: Folder,
    name: Annotated[
        str, typer.Argument(help="Of the node: a member's without one, or a new member's.")
    ],
    state_sync: Annotated[
        bool, typer.Option("--state-sync", help="Begin from a snapshot, not from the first block.")
    ] = False,
    follower: Annotated[
        bool, typer.Option("--follower", help="Follow the chain only: members are not asked.")
    ] = False,
) -> None:
    """Add a node to a running network, start it, and have the members vote it in."""
    from peerwatt.cli import consortium
    from peerwatt.hosts.cometbft import engine, running
    from peerwatt.hosts.cometbft.localnet import Network

    network, program = Network(folder), engine.find().program
    with consortium.host_of(network) as host:
        height, header_hash = consortium.newest_header(host)
        if any(name == each.name for each in network.nodes):
            node = network.node(name)  # from a try that did not come to its end
        else:
            start_at = (height, header_hash) if state_sync else (0, "")
            node = network.add(name, trust_height=start_at[0], trust_hash=start_at[1])
        if not running.is_running(network.home(node)):
            running.start(network, program, [node])
        consortium.wait_until_level(network, node, height)
        typer.echo(f"{name}: {node.rpc} has caught up")
        if not follower:
            at = consortium.vote_in(network, host, node)
            typer.echo(f"{name}: voted in at height {at}")
    _show(network)


def _show(network: Network) -> bool:
    """The table of nodes; whether all of them answer."""
    from peerwatt.hosts.cometbft import running

    found = running.statuses(network, network.nodes)
    rows: list[tuple[str, ...]] = [
        ("node", "height", "app hash", "peers", "role", "engine", "app", "keeper")
    ]
    for each in found:
        state = ("-", "-", "-", "silent" if each.pids else "stopped")
        if each.height is not None:
            role = "validator" if each.validator else "follower"
            role += ", behind" if each.catching_up else ""
            state = (str(each.height), each.app_hash[:16], str(each.peers), role)
        pids = (str(each.pids.get(part, "-")) for part in ("engine", "app", "keeper"))
        rows.append((each.name, *state, *pids))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    typer.echo(f"chain {network.chain_id}; processes by their ids")
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
    return all(each.height is not None for each in found)
