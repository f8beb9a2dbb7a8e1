"""What commands show: progress, tables and findings on a terminal.

Knows rich and the summary's fields. Knows nothing of how they came about.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from peerwatt.records.bundles import Finding, Verdict
from peerwatt.reporting.clearing_gap import at_most, gap_ppb
from peerwatt.reporting.day_series import clock
from peerwatt.units import UCOIN_PER_COIN, WH_PER_KWH

if TYPE_CHECKING:
    from peerwatt.audit.rederive import Certified

console = Console(highlight=False, soft_wrap=True)

MOST_CLEARINGS = 400

ROWS = {
    "plug_and_charge": "plug and charge",
    "best_grid_only": "best plan, grid only",
    "market": "market",
    "optimum": "best plan, all known",
}
MARKS = {
    Verdict.HOLDS: "[green]✓[/]",
    Verdict.FAILS: "[red]✗[/]",
    Verdict.NOT_SHOWN: "[yellow]?[/]",
}


def plain(text: str) -> str:
    """Text from a file as it stands there: it can neither style nor steer the terminal."""
    return escape("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text))


@contextmanager
def progress(label: str) -> Iterator[Any]:
    """A bar; yields a function that hears of what is done and how much there is."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    unseen = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=unseen) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total=None: bar.update(task, completed=done, total=total)


def show_day(summary: dict[str, Any]) -> None:
    """The day beside its yardsticks, and where energy and money went."""
    sessions, energy = summary["sessions"], summary["energy_wh"]
    limit = f"{summary['limit_kw']:g} kW" if summary["limit_kw"] else "no limit"
    console.print(
        f"\n[bold]{summary['site'].upper()}, {summary['date']}[/]: {sessions['buyers']} cars buy, "
        f"{sessions['sellers']} sell; connection: {limit}; {summary['mechanism']}, "
        f"{summary['price_rule']} prices; battery: {summary['battery']}"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in ("cost, $", "unmet, kWh", "from grid, kWh", "from cars, kWh"):
        table.add_column(name, justify="right")
    for name, label in ROWS.items():
        row = summary["baselines"][name]
        style = "bold" if name == "market" else ""
        values = (row["cost_usd"], row["unmet_kwh"], row["grid_kwh"], row["cars_kwh"])
        table.add_row(label, *(f"{value:,.1f}" for value in values), style=style)
    console.print(table)
    if summary["captured"] is not None:
        console.print(f"The market reached {summary['captured']:.0%} of the saving that was there.")
    kwh = {name: f"{value / WH_PER_KWH:z,.1f}" for name, value in energy.items()}
    console.print(
        f"Energy, kWh: {kwh['from_grid']} from the grid + {kwh['from_cars']} from cars + "
        f"{kwh['from_pv']} from the roof = {kwh['needed']} needed - {kwh['unmet']} unmet + "
        f"{kwh['sold_to_grid']} sold to the grid + {kwh['losses']} lost"
    )
    money = {k: v / UCOIN_PER_COIN for k, v in summary["money_ucoin"].items() if k != "sum"}
    flows = ", ".join(f"{k.replace('_', ' ')} {v:+z,.2f}" for k, v in money.items())
    console.print(f"Money, $: {flows}; sum {summary['money_ucoin']['sum']}")
    orders, rounds, ledger = summary["orders"], summary["rounds"], summary["ledger"]
    console.print(
        f"{rounds['opened']} rounds: {rounds['cleared']} cleared, {rounds['void']} without orders; "
        f"{orders['placed']} orders, {orders['awarded']} awarded, {orders['refused']} refused; "
        f"{ledger['height']} blocks, {ledger['messages']} messages"
    )
    console.print(_clearings_line(summary["clearings"]))
    if "rewards" in summary:
        console.print(_rewards_line(summary["rewards"]))
    for label in summary["labels"]:
        console.print(f"[dim]{plain(label)}[/]")
    dropped = {k: v for k, v in sessions["dropped"].items() if k != "another date" and v}
    if dropped:
        console.print("[dim]rows dropped: " + ", ".join(f"{k}: {v}" for k, v in dropped.items()))


def show_region(summary: dict[str, Any]) -> None:
    """A day at several hubs: who found a port, every hub's outcome, and all hubs'."""
    cars, total = summary["cars"], summary["total"]
    further = cars["parked"] - cars["at_the_nearest"]
    console.print(
        f"\n[bold]{len(summary['hubs']) + len(summary['idle'])} hubs, {summary['date']}[/]: "
        f"{cars['came']} cars looked for one, {cars['at_the_nearest']} found a port at the "
        f"nearest, {further} at another, {cars['turned_away']} were turned "
        f"away; {cars['mean_distance_m']} m on average; {summary['mechanism']}"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("hub")
    for name in ("cars", "cost, $", "plug and charge, $", "unmet, kWh", "from cars, kWh"):
        table.add_column(name, justify="right")
    everybody = ("all", cars["parked"], total, "bold")
    hubs = [(name, len(hub["cars_from"]), hub, "") for name, hub in summary["hubs"].items()]
    for name, came, outcome, style in (*hubs, everybody):
        market, plug = (outcome["baselines"][key] for key in ("market", "plug_and_charge"))
        values = (market["cost_usd"], plug["cost_usd"], market["unmet_kwh"], market["cars_kwh"])
        cells = (plain(name), f"{came}", *(f"{value:,.1f}" for value in values))
        table.add_row(*cells, style=style)
    console.print(table)
    if summary["idle"]:
        console.print(f"No car came to {len(summary['idle'])} more hubs.")
    if cars["turned_away"]:
        kwh = cars["turned_away_wh"] / WH_PER_KWH
        console.print(f"What cars that were turned away needed, {kwh:,.1f} kWh, is in no sum.")
    orders, rounds, ledger = total["orders"], total["rounds"], summary["ledger"]
    console.print(
        f"{rounds['opened']} rounds: {rounds['cleared']} cleared, {rounds['void']} without orders; "
        f"{orders['placed']} orders, {orders['awarded']} awarded, {orders['refused']} refused; "
        f"one ledger: {ledger['height']} blocks, {ledger['messages']} messages; "
        f"money sums to {total['money_ucoin']['sum']}"
    )
    console.print(
        f"{summary['trades_recorded']} trades recorded by buyer and seller; "
        f"{summary['histories_checked']} wallets checked their history"
    )


def _rewards_line(rewards: dict[str, int]) -> str:
    """What was given for rewards, and what was rewarded."""
    given, left = (rewards[name] / UCOIN_PER_COIN for name in ("given_ucoin", "left_ucoin"))
    return (
        f"Rewards, $: {given:,.2f} given; {rewards['contributions']} epochs' largest sellers and "
        f"{rewards['blocks']} proposers paid; {left:,.2f} left"
    )


def _clearings_line(clearings: dict[str, int]) -> str:
    """Who cleared the rounds, and how much better they could have been cleared at most."""
    who = [
        f"{number} {what}"
        for number, what in (
            (clearings["by_members"], "proved by a member"),
            (clearings["by_ledger"], "cleared by the ledger itself"),
            (clearings["grid_alone"], "cleared against the grid alone"),
        )
        if number
    ]
    if clearings["by_members"] + clearings["by_ledger"] == 0:
        return ", ".join(who) or "No round was cleared."
    left = clearings["gap_ucoin"] / UCOIN_PER_COIN
    where = " of the others" if clearings["grid_alone"] else ""
    return (
        f"{', '.join(who)}; welfare left on the table{where}: at most ${left:,.6f} in all, "
        f"{at_most(clearings['largest_gap_ppb'])} of a round's trade"
    )


def show_findings(findings: list[Finding]) -> None:
    """One line for each checked statement."""
    for finding in findings:
        console.print(f" {MARKS[finding.verdict]} {plain(finding.text)}")


def show_clearings(clearings: Sequence[Certified], zone_name: str) -> None:
    """How good each round's clearing is at most; of very many rounds the ones with most gap."""
    if not clearings:
        return
    zone = ZoneInfo(zone_name)
    midnight = datetime.fromtimestamp(clearings[0].slot_start_s, zone).date()
    console.print(
        "What another clearing of the same orders could gain at most, round by round "
        f"({midnight}, {zone_name} time; traded in coins, gap in ucoin):"
    )
    table = Table(box=None, pad_edge=False)
    for name in ("slot", "mechanism", "cleared by"):
        table.add_column(name, max_width=17, no_wrap=True)
    for name in ("orders", "traded", "gap", "of traded"):
        table.add_column(name, justify="right", no_wrap=True)
    shown = sorted(clearings, key=lambda each: -_share(each))[:MOST_CLEARINGS]
    for each in sorted(shown, key=lambda each: each.slot_start_s):
        gap = ("–", "–")
        if each.gap_ucoin is not None:
            gap = (f"{each.gap_ucoin:,}", at_most(_share(each)))
        slot = clock(each.slot_start_s, zone, midnight)
        traded = f"{each.traded_ucoin / UCOIN_PER_COIN:,.2f}"
        cells = (slot, each.mechanism, plain(each.cleared_by), f"{each.orders:,}", traded, *gap)
        table.add_row(*cells)
    console.print(table)
    if len(shown) < len(clearings):
        console.print(f"{len(clearings) - len(shown):,} more rounds have no larger gap.")


def _share(each: Certified) -> int:
    return gap_ppb(each.gap_ucoin or 0, each.traded_ucoin)


def show_refused(rows: list[dict[str, Any]]) -> None:
    """What was turned away, in words; where admission did, only the operator saw it."""
    for where, title in (("admission", "Turned away at admission"), ("block", "Refused on record")):
        found = [row for row in rows if row["where"] == where]
        if found:
            console.print(f"{title}, {len(found)}:")
        for row in found:
            block = "" if row["height"] is None else f" in block {row['height']}"
            console.print(
                f" - {plain(row['message'])}{block}: {plain(row['words'])} [dim](reason "
                f"{row['reason']}, {plain(row['reason_name'])}: {plain(row['field'])})[/]"
            )
