"""The markets of an audit: drawn from a seed, or one that a file of orders says is true.

Knows order files and markets of one price an owner. Knows nothing of what is measured.
"""

from __future__ import annotations

from pathlib import Path

from peerwatt.market_lab.order_file import OrderFileError, read_orders
from peerwatt.market_lab.subjects import Market, Subject, random_market
from peerwatt.mechanisms.auction_book import Band

PLAIN = "mcafee"
"""Whose columns mechanisms of curves and cars are audited with: one price, no minimum."""


def drawn_markets(subject: Subject, count: int, seed: int) -> list[tuple[int, Market]]:
    """`count` random markets, each with its own seed, the first `seed`."""
    return [
        (number, random_market(number, one_size=subject.one_size))
        for number in range(seed, seed + count)
    ]


def market_of_file(path: Path, subject: Subject, band: Band | None) -> Market:
    """The market in which a file's orders are what their owners truly want.

    Raises ValueError without the grid's prices, and OrderFileError for orders that cannot be
    audited: with steps, minima or places, or of one side alone.
    """
    if band is None:
        raise ValueError("--orders: an audit needs the grid's prices, --retail and --feed-in")
    file = read_orders(path, subject.name if subject.one_size else PLAIN, band=band)
    for name, side in (("buy", file.bids), ("sell", file.asks)):
        if not side.ids:
            raise OrderFileError(f"{path.name}: nobody would {name}: there is nothing to audit")
        if side.of_order("place_km", 0.0).any():
            raise OrderFileError(f"{path.name}: column place_km: an audit has no use for it")
    return Market(
        value=file.bids.of_order("price", 0.0),
        need_kwh=file.bids.of_order("kwh", 0.0),
        cost=file.asks.of_order("price", 0.0),
        have_kwh=file.asks.of_order("kwh", 0.0),
        band=band,
    )
