"""What proved prices come to: everybody's energy and money, once the gap is allowed and paid for.

Knows awards, prices and a gap, nothing of how prices mean energy (`pairs`, `own_prices`). Prices
are in pcoin/kWh and energy in parts of a Wh until here; from here on in ucoin/kWh and Wh.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from peerwatt.contracts.auction import Book
from peerwatt.contracts.certificates import allowed_gap_ucoin, ceil_div
from peerwatt.contracts.feeders import Whole, covered_prices
from peerwatt.records.receipts import Reason
from peerwatt.units import PCOIN_PER_UCOIN, WH_PER_KWH

SLOPE_BITS = 64
# e_Wh = (p - t) / slope x WH_PER_KWH / PCOIN_PER_UCOIN, counted with 2^64 / slope, rounded down.
UNITS_PER_WH = (PCOIN_PER_UCOIN // WH_PER_KWH) << SLOPE_BITS


class Flaw(NamedTuple):
    """Why prices prove no clearing; `at` is the place of the order to blame, none if it is all."""

    reason: Reason
    at: int | None


class ProvedOutcome(NamedTuple):
    """Energy in Wh and prices in ucoin/kWh per order, the net flows of the grid, and the proof."""

    bought_wh: list[int]
    sold_wh: list[int]
    import_wh: int
    export_wh: int
    buyer_prices: list[int]
    seller_prices: list[int]
    grid_price: int
    gap_ucoin: int
    traded_ucoin: int


def outcome_of(
    book: Book,
    awards: Whole,
    *,
    paid: Sequence[int],
    taken: Sequence[int],
    fair: list[int],
    grid_price: int,
    gap: int,
    units_per_wh: int = UNITS_PER_WH,
) -> ProvedOutcome | Flaw:
    """The clearing with these awards, if its gap is allowed and its money suffices: what buyers
    pay and the grid's price in pcoin/kWh, what they take in units, sellers' fair prices in
    ucoin/kWh, and the gap as price times energy."""
    units_per_ucoin = PCOIN_PER_UCOIN * WH_PER_KWH * units_per_wh
    gap_ucoin = ceil_div(gap, units_per_ucoin)
    value = sum(price * energy for price, energy in zip(paid, taken, strict=True))
    traded_ucoin = value // units_per_ucoin
    count = sum(1 for energy_wh in (*awards.bought_wh, *awards.sold_wh) if energy_wh)
    if gap_ucoin > allowed_gap_ucoin(traded_ucoin, count, book.prices.retail_ucoin_per_kwh):
        return Flaw(Reason.NOT_OPTIMAL, None)
    buyer_prices = [ceil_div(price, PCOIN_PER_UCOIN) for price in paid]
    seller_prices = covered_prices(book, awards, buyer_prices, fair)
    if seller_prices is None:
        return Flaw(Reason.NOT_OPTIMAL, None)
    return ProvedOutcome(
        bought_wh=awards.bought_wh,
        sold_wh=awards.sold_wh,
        import_wh=max(awards.net_wh, 0),
        export_wh=max(-awards.net_wh, 0),
        buyer_prices=buyer_prices,
        seller_prices=seller_prices,
        grid_price=ceil_div(grid_price, PCOIN_PER_UCOIN),
        gap_ucoin=gap_ucoin,
        traded_ucoin=traded_ucoin,
    )
