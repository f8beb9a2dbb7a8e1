"""Clears a made-up round's book by the ledger's own arithmetic."""

from __future__ import annotations

from typing import Any

from peerwatt.contracts.auction import Book, Outcome
from peerwatt.contracts.clearing import Cleared, Pricing, clear_book
from peerwatt.contracts.pairs import certify, split_prices
from peerwatt.contracts.proved import Flaw
from peerwatt.market_operator.quantize import listed_prices, pairs_book
from peerwatt.mechanisms import welfare
from peerwatt.records.market import Mechanism


def cleared_book(book: Book) -> Cleared:
    """As the ledger clears it, or as a member proves it."""
    if book.mechanism != Mechanism.WELFARE_PAIRS:
        return clear_book(book)
    orders: Any = sorted([*book.buys, *book.sells], key=lambda order: order.order_id)
    as_round: Any = book
    arrays = pairs_book(as_round, orders)
    solved = welfare.clear_pairs(
        arrays.buyers, arrays.sellers, arrays.grid, lost_load=arrays.lost_load, tolerance=1e-6
    )
    found = certify(book, split_prices(orders, listed_prices(as_round, orders, solved)))
    assert not isinstance(found, Flaw), found
    flows = (found.bought_wh, found.sold_wh, found.import_wh, found.export_wh)
    paying = [p for p, e in zip(found.buyer_prices, found.bought_wh, strict=True) if e]
    pricing = Pricing(found.buyer_prices, found.seller_prices, max(paying, default=0))
    outcome = Outcome(found.grid_price, *flows)
    return Cleared(book, outcome, pricing, found.gap_ucoin, found.traded_ucoin)
