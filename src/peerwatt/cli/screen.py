"""What commands show: progress, tables and findings on a terminal.

Knows rich and the summary's fields. Knows nothing of how they came about.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from peerwatt.records.bundles import Finding, Verdict
from peerwatt.units import UCOIN_PER_COIN, WH_PER_KWH

console = Console(highlight=False, soft_wrap=True)

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
    for label in summary["labels"]:
        console.print(f"[dim]{plain(label)}[/]")
    dropped = {k: v for k, v in sessions["dropped"].items() if k != "another date" and v}
    if dropped:
        console.print("[dim]rows dropped: " + ", ".join(f"{k}: {v}" for k, v in dropped.items()))


def show_findings(findings: list[Finding]) -> None:
    """One line for each checked statement."""
    for finding in findings:
        console.print(f" {MARKS[finding.verdict]} {plain(finding.text)}")


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
