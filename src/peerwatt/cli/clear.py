"""`peerwatt clear`: a file of orders in, awards, trades and prices out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from peerwatt import __version__
from peerwatt.cli.screen import console, plain
from peerwatt.market_lab.clearing import Cleared, Terms, clear_file
from peerwatt.market_lab.order_file import read_orders
from peerwatt.mechanisms.auction_book import Band, Network
from peerwatt.mechanisms.v2v import Profit
from peerwatt.reporting.run_folder import RunFolder


def run_clear(
    orders: Path,
    mechanism: str,
    out: Path,
    grid: tuple[float | None, float | None],
    fees: tuple[float, float, float],
    profit_to: str,
    seed: int,
) -> None:
    """Raises ValueError, before anything is written, for orders or terms that cannot be used."""
    terms = Terms(
        band=band_of(*grid),
        network=Network(local_fee=fees[0], fee_per_km=fees[1], loss_per_km=fees[2]),
        seed=seed,
        profit_to=_profit(profit_to),
    )
    if str(out) == "-":
        print(json.dumps(_as_json(_cleared(orders, mechanism, terms)), indent=2))
        return
    with RunFolder(out) as folder:
        cleared = _cleared(orders, mechanism, terms)
        folder.write_json("summary.json", cleared.summary)
        folder.write_text("awards.csv", cleared.awards.write_csv())
        folder.write_text("trades.csv", cleared.trades.write_csv())
        folder.finish_described(_about(orders, mechanism, terms))
    _show(cleared)
    console.print(f"Awards, trades and prices: {out}", markup=False)


def band_of(feed_in: float | None, retail: float | None) -> Band | None:
    """The grid's prices, both or neither."""
    if feed_in is None and retail is None:
        return None
    if feed_in is None or retail is None:
        raise ValueError("--retail and --feed-in come together or not at all")
    return Band(feed_in=feed_in, retail=retail)


def _profit(name: str) -> Profit:
    if name not in list(Profit):
        raise ValueError(f"--profit-to must be one of {', '.join(Profit)}, is {name!r}")
    return Profit(name)


def _cleared(orders: Path, mechanism: str, terms: Terms) -> Cleared:
    file = read_orders(orders, mechanism, band=terms.band, network=terms.network)
    return clear_file(file, mechanism, terms)


def _about(orders: Path, mechanism: str, terms: Terms) -> dict[str, object]:
    """What makes the same folder again."""
    band = None if terms.band is None else [terms.band.feed_in, terms.band.retail]
    return {
        "command": "clear",
        "peerwatt": __version__,
        "mechanism": mechanism,
        **digest_of(orders),
        "grid": band,
        "network": asdict(terms.network),
        "profit_to": str(terms.profit_to),
        "seed": terms.seed,
    }


def digest_of(orders: Path) -> dict[str, str]:
    """For a manifest: which bytes were read."""
    return {"orders_sha256": hashlib.sha256(orders.read_bytes()).hexdigest()}


def _as_json(cleared: Cleared) -> dict[str, object]:
    return {
        "summary": cleared.summary,
        "awards": cleared.awards.to_dicts(),
        "trades": cleared.trades.to_dicts(),
    }


def _show(cleared: Cleared) -> None:
    for name, value in cleared.summary.items():
        if name == "outcomes":
            for words, count in value.items():
                console.print(f" - {count:,} order{'s' * (count != 1)}: {plain(words)}")
        elif isinstance(value, dict):
            inside = ", ".join(f"{key} {_figure(each)}" for key, each in value.items())
            console.print(f"{name}: {inside}", markup=False)
        elif value != "":
            console.print(f"{name}: {_figure(value)}", markup=False)


def _figure(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_figure, value))
    if value is None:
        return "none"
    return f"{value:z,.6g}" if isinstance(value, float) else str(value)
