"""`peerwatt privacy`: what can still be joined in a day's ledger, and who learns what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from peerwatt.audit.folder import open_chain
from peerwatt.audit.lessons import LESSONS, OTHERS
from peerwatt.audit.linkage import linkage, seen_orders
from peerwatt.cli.screen import console, plain, progress
from peerwatt.reporting.linkage import Joined, linkage_plot
from peerwatt.simulation.cast import ROOF
from peerwatt.simulation.tables import mechanism_name

DPI = 150


def run_privacy(folders: list[Path], out: Path | None) -> None:
    """Show it for one day or several, and write figures and plot into a new folder if asked.

    Raises:
        ValueError: a folder is no run's, or `out` exists.
    """
    if out is not None and out.exists():
        raise ValueError(f"--out: {out} exists already")
    days: dict[str, list[Joined]] = {}
    mechanisms: dict[str, None] = {}
    with progress("days") as step:
        for at, folder in enumerate(folders):
            chain = _chain(folder)
            name = f"{folder.name}: {_pseudonyms(folder)}"
            days[name] = linkage(seen_orders(chain), _truth(folder))
            for _, each in chain.items("rounds"):
                mechanisms[mechanism_name(each.mechanism)] = None
            step(at + 1, len(folders))
    for name, rows in days.items():
        _show(name, rows)
    _tell(list(mechanisms))
    if out is not None:
        _write(out, days)
        console.print(f"\nFigures and plot: {plain(str(out))}")


def _chain(folder: Path) -> Any:
    try:
        return open_chain(folder)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None


def _pseudonyms(folder: Path) -> str:
    """How the day's cars used wallets, as its configuration says."""
    try:
        said = msgspec.json.decode((folder / "config.json").read_bytes(), type=dict[str, Any])
    except (OSError, ValueError):
        return "wallets unknown"
    return "a fresh wallet an order" if said.get("pseudonyms") == "fresh" else "a wallet a stay"


def _truth(folder: Path) -> dict[bytes, str]:
    """Which car placed which order, as the simulation's own table says; a roof is no car."""
    import polars as pl

    try:
        table = pl.read_parquet(folder / "orders.parquet", columns=["order_id", "car"])
    except (OSError, pl.exceptions.PolarsError) as error:
        why = " ".join(str(error).split())
        raise ValueError(f"{folder}: orders.parquet: cannot be read: {why:.80}") from None
    rows = table.filter(pl.col("car") != ROOF).iter_rows()
    return {bytes.fromhex(order_id): car for order_id, car in rows}


def _show(name: str, rows: list[Joined]) -> None:
    table = Table(title=plain(name), title_justify="left", box=None)
    table.add_column("evidence")
    for heading in ("orders joined", "of guesses right", "cars followed whole"):
        table.add_column(heading, justify="right")
    for each in rows:
        sure = f"{each.sure:.0%}" if each.guessed else "no guess"
        joined = f"{each.right:,} of {each.later:,} ({each.found:.0%})"
        table.add_row(each.evidence, joined, sure, f"{each.whole} of {each.cars}")
    console.print()
    console.print(table)


def _tell(mechanisms: list[str]) -> None:
    console.print("\nWho learns what:")
    for name in mechanisms:
        console.print(f" - {plain(name)}: {LESSONS[name]}")
    for line in OTHERS:
        console.print(f" - {line}")


def _write(out: Path, days: dict[str, list[Joined]]) -> None:
    figures = {
        name: [each._asdict() | {"found": round(each.found, 6)} for each in rows]
        for name, rows in days.items()
    }
    out.mkdir(parents=True)
    (out / "linkage.json").write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    linkage_plot(days).savefig(out / "linkage.png", dpi=DPI, metadata={"Software": None})
