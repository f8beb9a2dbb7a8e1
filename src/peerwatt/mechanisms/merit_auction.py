"""Double auctions by merit order alone: uniform price and pay-as-bid, the yardsticks.

Knows the book of limit orders and numpy. Knows neither ledger nor agents. Both award what
maximises welfare at the stated prices, are individually rational and truthful in nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.auction_book import Book, Side
from peerwatt.mechanisms.auction_crossing import (
    DIGITS,
    Sides,
    best_first,
    clearing_prices,
    cross,
    sides_of,
)
from peerwatt.mechanisms.auction_result import Auction, Money, Unmet, money_at, settle


def clear_uniform_price(book: Book, *, seed: int = 0, k: float = 0.5) -> Auction:
    """All trade at one price p = low + k (high - low) of the prices that clear the book.

    The k-double auction (Satterthwaite and Williams 1989, doi:10.1016/0022-0531(89)90121-X):
    k = 0 is the buyers' best price, k = 1 the sellers'. Maximal welfare at stated prices.
    Orders may have steps and minima. With minima the marginal order that would get less than its
    own is taken out and the rest cleared again: a heuristic, not the best choice among them.
    """
    if not 0 <= k <= 1:
        raise ValueError(f"k must lie in [0, 1], not {k}")
    sides, filled, missed = _with_minima(book, seed)
    low, high = clearing_prices(sides, (-np.inf, np.inf))
    price = low + k * (high - low) if sides.last_bid >= 0 else np.nan
    bought, sold = sides.bids.of_orders(filled[0]), sides.asks.of_orders(filled[1])
    money = Money(money_at(price, bought), money_at(price, sold))
    return settle(
        *(book, sides.bids, sides.asks),
        mechanism="uniform",
        seed=seed,
        bought=bought,
        sold=sold,
        money=money,
        unmet=_unmet(sides, missed),
        prices=(price, price),
    )


def clear_pay_as_bid(book: Book, *, seed: int = 0) -> Auction:
    """The same awards as at one price, but every buyer pays its bid, every seller gets its ask.

    The auctioneer keeps the difference: all the gain that was stated. Steps and minima as in
    `clear_uniform_price`.
    """
    sides, filled, missed = _with_minima(book, seed)
    bids, asks = sides.bids, sides.asks
    bought, sold = bids.of_orders(filled[0]), asks.of_orders(filled[1])
    money = Money(bids.of_orders(filled[0] * bids.price), asks.of_orders(filled[1] * asks.price))
    return settle(
        *(book, bids, asks),
        mechanism="pay-as-bid",
        seed=seed,
        bought=bought,
        sold=sold,
        money=money,
        unmet=_unmet(sides, missed),
    )


def _with_minima(
    book: Book, seed: int
) -> tuple[Sides, tuple[FloatArray, FloatArray], tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Sides without whom a minimum shuts out, what each step gets, and who was shut out."""
    sides = sides_of(book, seed)
    missed = np.zeros(len(book.bids), dtype=np.bool_), np.zeros(len(book.asks), dtype=np.bool_)
    while True:
        filled = tuple(best_first(side, sides.volume_kwh) for side in sides[:2])
        short = _short_of_minimum(book, sides, (filled[0], filled[1]))
        if short is None:
            return sides, (filled[0], filled[1]), missed
        which, order = short
        missed[which][order] = True
        kept = [sides.bids, sides.asks]
        kept[which] = _without(kept[which], order)
        sides = cross(*kept)


def _short_of_minimum(
    book: Book, sides: Sides, filled: tuple[FloatArray, FloatArray]
) -> tuple[int, int] | None:
    """(0 or 1 for bids or asks, order): of the marginal orders the one with the least energy
    among those that get something, but less than their minimum."""
    found = []
    for which, (orders, side, last) in enumerate(
        ((book.bids, sides.bids, sides.last_bid), (book.asks, sides.asks, sides.last_ask))
    ):
        if last < 0:
            return None
        order = int(side.order[last])
        got = float(filled[which][side.order == order].sum())
        at_plug = got * side.arrives[order] if which == 0 else got / side.arrives[order]
        if 0 < at_plug < np.asarray(orders.minimum_kwh)[order] * (1 - DIGITS):
            found.append((got, which, order))
    return min(found)[1:] if found else None


def _without(side: Side, order: int) -> Side:
    keep = side.order != order
    kwh = side.kwh[keep]
    return side._replace(
        price=side.price[keep], kwh=kwh, total=np.cumsum(kwh), order=side.order[keep]
    )


def _unmet(
    sides: Sides,
    missed: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Why orders at one price got less than all: the margin, their minimum, or their price."""
    reasons = []
    for side, last, shut in zip(sides[:2], sides[3:], missed, strict=True):
        why = np.full(side.orders, Unmet.PRICE, dtype=np.int8)
        if last >= 0:
            why[side.order[side.price == side.price[last]]] = Unmet.MARGIN
        why[shut] = Unmet.MINIMUM
        reasons.append(why)
    return reasons[0], reasons[1]
