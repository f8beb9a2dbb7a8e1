"""`peerwatt demo`: the day that shows most, with lies in it, run, settled, proved and verified."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from peerwatt.audit.folder import verify_folder
from peerwatt.cli.day import place_of
from peerwatt.cli.screen import console, plain, progress, show_day, show_findings, show_refused
from peerwatt.records.codec import encode
from peerwatt.records.receipts import Reason
from peerwatt.reporting.run_folder import RunFolder
from peerwatt.simulation.attacks import AttackedWorld
from peerwatt.simulation.config import DayConfig, load
from peerwatt.simulation.contest import ContestedWorld
from peerwatt.simulation.run import DayRun, sessions_of
from peerwatt.simulation.sessions import ZONE, Session
from peerwatt.simulation.world import World
from peerwatt.units import UCOIN_PER_COIN

FOLDER = "peerwatt-demo"
RECEIPT = "car.receipt"


def run_demo(out: Path | None, seed: int, network: Path | None) -> None:
    """Two days, one folder, one receipt; says where to look next."""
    path = _free_folder() if out is None else out
    with RunFolder(path) as folder:
        run = _live(seed, network)
        run.write(folder)
    witness = run.world.keys.key("grid-operator").public
    console.print(f"\n[bold]peerwatt verify {plain(str(path))} --witness {witness.hex()}[/]")
    with progress("blocks") as step:
        report = verify_folder(path, witness=witness, progress=step)
    show_findings(report.findings)
    show_refused(report.refused)
    _where_next(path, _write_receipt(run, path))


def _live(seed: int, network: Path | None) -> DayRun:
    """The day behind a small connection, with the lies; the same without a limit beside it. Only
    the first is lived on the network, whose chain holds one day."""
    limited = load(seed=seed)
    sessions = sessions_of(limited, None)
    run = DayRun(limited, sessions)
    world = run.found(AttackedWorld, at=place_of(limited, network))
    console.print(
        "[bold]A day at a real charging site.[/] Sessions, times, energy and tariff are real; "
        "which cars sell and how small the connection is are assumed."
    )
    world.tempt()
    with progress("72 kW connection") as step:
        run.live(step)
    show_day(run.summary)
    open_ended = DayRun(limited.model_copy(update={"limit_kw": None}), sessions)
    open_ended.found(World)
    with progress("no limit") as step:
        open_ended.live(step)
    _show_open_ended(run, open_ended)
    where = "turned away at admission and, smuggled in, in a block:"
    if network is not None:
        where = (
            "offered to the validators, who alone could smuggle one into a block. An order that is "
            "sent once more is the same order to them, and changes nothing; two are turned away:"
        )
    console.print(f"\n[bold]Three lies[/], {where}")
    show_refused(run.tables["refused"].rows(named=True))
    _show_proof(limited, sessions)
    return run


def _show_proof(config: DayConfig, sessions: Sequence[Session]) -> None:
    """One round of the same morning in which the operator, who clears, would rather cheat."""
    pairs = config.model_copy(update={"mechanism": "welfare-pairs"})
    with progress("a contested round"):
        contest = DayRun(pairs, sessions).found(ContestedWorld).contest()
    clearing, start_s = contest.clearing, contest.market_round.slot_start_s
    console.print(
        f"\n[bold]Whoever clears must prove it.[/] The round of "
        f"{dt.datetime.fromtimestamp(start_s, ZONE):%H:%M}: {contest.buyers} cars want energy, "
        f"{contest.sellers} offer some, 72 kW for all. The hub's operator proposes a price for "
        "every car; the ledger works out from the prices who gets what, and checks:"
    )
    for lie in contest.lies:
        reason = Reason(lie.receipt.reason)
        console.print(
            f" - it {lie.what}: [red]refused[/], and costs it "
            f"{lie.fine_ucoin / UCOIN_PER_COIN:.2f} coins. {plain(reason.words)} "
            f"[dim](reason {int(reason)}, {reason.name})[/]"
        )
    gap, traded = clearing.gap_ucoin / UCOIN_PER_COIN, clearing.traded_ucoin / UCOIN_PER_COIN
    console.print(
        f" - it proposes what it can prove: [green]accepted[/]. {clearing.bought_wh / 1000:.1f} "
        f"kWh, {clearing.sold_wh / 1000:.1f} of them from cars, worth {traded:.2f} coins. "
        f"[bold]No other clearing of this book, found by anybody, can be better by more than "
        f"{gap:.6f} coins[/] ({gap / max(traded, 1):.1e} of it)."
    )
    console.print(
        "[dim]   Why that is sure: at its price each car says by its own bid how much more it "
        "could gain. The sum over all cars is the most that anything better could add; the ledger "
        "adds it up in whole numbers, without trusting whoever solved the market.[/]"
    )


def _show_open_ended(limited: DayRun, open_ended: DayRun) -> None:
    """The honest other half: what trade between cars is worth where the connection is large."""
    show_day(open_ended.summary)

    def gain(run: DayRun) -> float:
        rows = run.summary["baselines"]
        best: float = rows["best_grid_only"]["cost_usd"] - rows["optimum"]["cost_usd"]
        return best

    console.print(
        f"[bold]Trade between cars pays where the connection is too small.[/] It could save "
        f"${gain(limited):.0f} behind 72 kW, but only ${gain(open_ended):.0f} of "
        f"${open_ended.summary['baselines']['best_grid_only']['cost_usd']:.0f} without a limit."
    )


def _write_receipt(run: DayRun, folder: Path) -> Path:
    """The receipt of the seller that delivered most in one round, beside the folder."""
    awards = run.tables["awards"]
    best = awards.filter(awards["side"] == "sell").sort("metered_wh", descending=True)
    row = (best if best.height else awards).row(0, named=True)
    host = run.world.host
    round_id = next(k for k, r in host.items("rounds") if r.slot_start_s == row["slot_start_s"])
    bundle = host.receipt("settlements", round_id, bytes.fromhex(row["order_id"]))
    path = folder.with_name(f"{folder.name}-{RECEIPT}")
    path.write_bytes(encode(bundle))
    return path


def _where_next(folder: Path, receipt: Path) -> None:
    console.print("\n[bold]Where to look next[/]")
    for what, why in (
        (f"{folder / 'report.html'}", "the day as a page: open it in a browser"),
        (f"peerwatt verify {folder}", "change a byte of it first, and see"),
        (f"peerwatt verify {receipt}", "one car's receipt, checked alone"),
        ("peerwatt day --date 2019-06-12 --site caltech --out caltech", "another day"),
        ("docs/a-bid-travels.md", "how an order becomes energy and money"),
    ):
        console.print(f" {what}   {why}", markup=False)


def _free_folder() -> Path:
    number, path = 1, Path(FOLDER)
    while path.exists():
        number += 1
        path = Path(f"{FOLDER}-{number}")
    return path
