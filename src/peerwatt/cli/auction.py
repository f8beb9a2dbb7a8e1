"""`peerwatt auction`: an iterative auction among processes, over lines of this machine or others.

Knows the names and options of the commands, and shows what is said and what came of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from peerwatt.agents.auction_client import Agents
    from peerwatt.market_operator.auctioneer import Auctioneer
    from peerwatt.records.talk import Word
    from peerwatt.simulation.auction_hub import HubDesk, HubFile

app = typer.Typer(
    help="An auction among drivers' agents and an operator, each in a process of its own.",
    no_args_is_help=True,
)
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The hub's folder.")]
Buyers = Annotated[int, typer.Option(min=0, help="Cars that need energy.")]
Sellers = Annotated[int, typer.Option(min=0, help="Cars with energy to spare.")]
Leave = Annotated[float, typer.Option(min=0, max=1, help="Share of all that falls silent.")]
LeaveAfter = Annotated[int, typer.Option(min=0, help="The iteration at which they do.")]
Seed = Annotated[int, typer.Option(min=0, help="Of all that is drawn.")]
AnswerMs = Annotated[int, typer.Option(min=1, help="Who has not bid for so long is absent.")]
SHOWN = 3
"""Of a list, so many are shown."""
DEEPEST = 2


@app.command()
def create(
    folder: Folder,
    buyers: Buyers = 35,
    sellers: Sellers = 45,
    leave: Leave = 0.0,
    leave_after: LeaveAfter = 5,
    seed: Seed = 1,
) -> None:
    """Make a hub's folder: what all know in one file, and a file for each driver."""
    from peerwatt.simulation.auction_hub import create_hub

    hub = create_hub(
        folder, buyers=buyers, sellers=sellers, leave=leave, leave_after=leave_after, seed=seed
    )
    typer.echo(f"{folder}: a hub of {len(hub.plugged)} cars on chain {hub.facts.chain_id}")


@app.command()
def serve(
    folder: Folder,
    listen: Annotated[str, typer.Option(help="host:port, or the path of a socket.")],
    expect: Annotated[int, typer.Option(min=1, help="Processes of agents to wait for.")] = 1,
    wait_s: Annotated[float, typer.Option(min=0.1, help="How long to wait for them.")] = 30,
    answer_ms: AnswerMs = 2_000,
) -> None:
    """Be the operator: collect orders, hold the auction, prove its end; exit 1 without one."""
    import asyncio

    from peerwatt.market_operator.auction import Rules
    from peerwatt.market_operator.auction_server import AuctionServer
    from peerwatt.simulation.auction_hub import HubDesk, read_hub

    hub = read_hub(folder)
    desk = HubDesk(hub)
    server = AuctionServer(
        desk,
        hub.facts.round_id,
        desk.operator,
        expect=expect,
        wait_s=wait_s,
        rules=Rules(answer_ms=answer_ms),
        heard=_Told(),
    )

    async def work() -> Auctioneer:
        lines = await _listen(server, listen)
        typer.echo(f"listening at {listen}")
        async with lines:
            return await server.run()

    auctioneer = asyncio.run(work())
    if not _show_end(hub, desk, auctioneer):
        raise typer.Exit(1)


@app.command()
def join(
    folder: Folder,
    connect: Annotated[str, typer.Option(help="Where the operator listens.")],
    share: Annotated[int, typer.Option(min=1, help="Which share of the drivers this is.")] = 1,
    of: Annotated[int, typer.Option(min=1, help="Of how many.")] = 1,
) -> None:
    """Be the agents of a share of the drivers; exit 1 where an award is not proved."""
    import asyncio

    from peerwatt.agents.auction_client import Agent, Agents, take_part
    from peerwatt.simulation.auction_hub import read_drivers, read_hub

    facts = read_hub(folder).facts
    agents = Agents([Agent(driver, facts) for driver in read_drivers(folder, share, of)])

    async def work() -> None:
        reader, writer = await _connect(connect)
        await take_part(agents, reader, writer)

    asyncio.run(work())
    if not _show_awards(agents):
        raise typer.Exit(1)


@app.command()
def demo(
    buyers: Buyers = 35,
    sellers: Sellers = 45,
    processes: Annotated[int, typer.Option(min=1, max=32, help="That agents run in.")] = 4,
    leave: Leave = 0.1,
    leave_after: LeaveAfter = 5,
    seed: Seed = 1,
    answer_ms: AnswerMs = 2_000,
) -> None:
    """All of it: an operator's process and some of agents, a share of which leaves in between."""
    import subprocess
    import sys
    import tempfile

    command = [sys.executable, "-c", "from peerwatt.cli.main import main; main()", "auction"]
    with tempfile.TemporaryDirectory(prefix="peerwatt-") as place:
        folder, socket = Path(place) / "hub", str(Path(place) / "line")
        create(folder, buyers, sellers, leave, leave_after, seed)
        said = ["serve", str(folder), "--listen", socket, "--expect", str(processes)]
        operator = subprocess.Popen(
            [*command, *said, "--answer-ms", str(answer_ms)], stdout=subprocess.PIPE, text=True
        )
        agents: list[subprocess.Popen[str]] = []
        assert operator.stdout is not None
        for line in operator.stdout:
            typer.echo(line, nl=False)
            if not agents and line.startswith("listening"):
                own = ["join", str(folder), "--connect", socket, "--of", str(processes)]
                agents += [
                    subprocess.Popen(
                        [*command, *own, "--share", str(at + 1)], stdout=subprocess.PIPE, text=True
                    )
                    for at in range(processes)
                ]
        for at, process in enumerate(agents):
            typer.echo(f"agents' process {at + 1}: {process.communicate()[0].splitlines()[-1]}")
        if operator.wait() or any(process.returncode for process in agents):
            raise typer.Exit(1)


async def _listen(server: Any, where: str) -> Any:
    import asyncio

    host, port = _place(where)
    if port is None:
        return await asyncio.start_unix_server(server.connected, host)
    return await asyncio.start_server(server.connected, host, port)


async def _connect(where: str) -> Any:
    import asyncio

    host, port = _place(where)
    if port is None:
        return await asyncio.open_unix_connection(host)
    return await asyncio.open_connection(host, port)


def _place(where: str) -> tuple[str, int | None]:
    """A host and its port; or a path, and no port."""
    host, colon, port = where.rpartition(":")
    if not colon or "/" in port:
        return where, None
    if not (port.isdigit() and int(port) < 1 << 16):
        raise ValueError(f"{where}: must be host:port or the path of a socket")
    return host, int(port)


class _Told:
    """Shows every kind of word once, with all its fields, and how the auction goes on."""

    def __init__(self) -> None:
        self._kinds: list[str] = []
        self._step = (0, -1)

    def __call__(self, word: Word, came_in: bool) -> None:
        from peerwatt.records.talk import Allocate, Invite

        kind = type(word).__name__
        if kind not in self._kinds:
            self._kinds.append(kind)
            arrow = "agents -> operator" if came_in else "operator -> agents"
            typer.echo(f"{arrow}: {_fields(word)}")
        if isinstance(word, Invite):
            run = word.signed.invitation
            self._step = (run.run, -1)
            typer.echo(f"run {run.run}: {len(run.buyers)} buyers, {len(run.sellers)} sellers")
        elif isinstance(word, Allocate):
            step = (self._step[0], word.signed.allocation.iteration)
            if step != self._step and step[1] % 10 == 0:
                typer.echo(f"  iteration {step[1]}")
            self._step = step


def _fields(record: Any, depth: int = 0) -> str:
    """A record's fields by name, long values cut, and what is deep inside by its name alone."""
    names = getattr(record, "__struct_fields__", None)
    if names is not None:
        if depth > DEEPEST:
            return type(record).__name__
        inside = (f"{name}={_fields(getattr(record, name), depth + 1)}" for name in names)
        return f"{type(record).__name__}({', '.join(inside)})"
    if isinstance(record, bytes):
        return f"{record.hex()[:8]}…" if len(record) > 4 else record.hex() or "none"
    if isinstance(record, tuple):
        more = [f"… {len(record)} in all"] if len(record) > SHOWN else []
        return f"({', '.join([*(_fields(each, depth + 1) for each in record[:SHOWN]), *more])})"
    return str(record)


def _show_end(hub: HubFile, desk: HubDesk, auctioneer: Auctioneer) -> bool:
    from peerwatt.simulation.auction_hub import COINS_PER_DRIVER
    from peerwatt.units import UCOIN_PER_COIN, WH_PER_KWH

    round_id = hub.facts.round_id
    market_round = desk.view.get("rounds", round_id)
    clearing, found = market_round.clearing, auctioneer.conclusion
    if found is None or clearing is None or not clearing.proposer:
        typer.echo(f"no auction cleared the round: {auctioneer.failure or 'its proof was refused'}")
        return False
    typer.echo(
        f"concluded after {found.iterations} iterations in {found.invitation.run} runs; accepted "
        f"on the ledger: {clearing.bought_wh / WH_PER_KWH:.3f} kWh bought, "
        f"{clearing.sold_wh / WH_PER_KWH:.3f} from cars, gap at most {clearing.gap_ucoin} ucoin of "
        f"{clearing.traded_ucoin / UCOIN_PER_COIN:.2f} coins traded"
    )
    prices = [a.price_ucoin_per_kwh for _, a in desk.view.items("awards", round_id) if a.side == 1]
    if prices:
        low, high = (each / UCOIN_PER_COIN for each in (min(prices), max(prices)))
        typer.echo(f"buyers pay {low:.4f} to {high:.4f} coins per kWh")
    orders = dict(desk.view.sealed("orders", round_id))
    for order_id in found.absent:
        order = _order(orders[order_id])
        account = desk.view.get("accounts", order.owner)
        paid = COINS_PER_DRIVER - (account.free_ucoin + account.held_ucoin) / UCOIN_PER_COIN
        typer.echo(f"  {order.port} left and paid {paid:.6f} coins")
    for stalled in found.stalling:
        typer.echo(f"  {_order(orders[stalled.order_id]).port} never came to rest, left out")
    return True


def _order(data: bytes) -> Any:
    from peerwatt.records.codec import decode
    from peerwatt.records.market import Order

    return decode(data, Order)  # type: ignore[arg-type]


def _show_awards(agents: Agents) -> bool:
    """Each agent's award, proved by the operator's own signature, and whether all are."""
    from peerwatt.units import UCOIN_PER_COIN, WH_PER_KWH

    proved = 0
    for agent in agents.all:
        award, name = agent.award, agent.driver.name
        if award is not None:
            side = "buys" if award.side == 1 else "sells"
            price = award.price_ucoin_per_kwh / UCOIN_PER_COIN
            typer.echo(f"{name} {side} {award.energy_wh / WH_PER_KWH:.3f} kWh at {price:.4f}")
            proved += 1
        if agent.problem:
            typer.echo(f"{name}: {agent.problem}")
    for why in agents.refused:
        typer.echo(f"refused: {why}")
    sound = not any(agent.problem for agent in agents.all)
    typer.echo(f"{len(agents.all)} agents, {proved} with a proved award")
    return sound
