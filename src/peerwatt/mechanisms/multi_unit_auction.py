"""Double auctions truthful in price and quantity: MUDA by lot and VCG, orders of many steps.

Knows the book of limit orders and numpy. Knows neither ledger nor agents. Truthful is meant for
owners of one order each, whose next kWh is never worth more to a buyer, nor costs a seller less,
than the one before; hence neither takes minima.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.auction_book import Book, IndexArray, Side, refuse_minima
from peerwatt.mechanisms.auction_crossing import (
    best_first,
    clearing_prices,
    cross,
    sides_of,
    slack,
)
from peerwatt.mechanisms.auction_result import Auction, Money, Unmet, settle


def clear_muda(book: Book, *, seed: int = 0) -> Auction:
    """MUDA by lot (Segal-Halevi, Hassidim and Aumann, AAAI 2018, arXiv:1712.06848).

    A coin for each order parts the market into halves. Each half's clearing price, the middle of
    those that clear it, is the other half's price: there the shorter side trades all that it
    wants at that price, the longer in an order drawn by lot, until nothing is left. Truthful in
    price and quantity for every lot, individually rational, exactly balanced. Welfare nears the
    optimum as markets grow; small ones lose much. A half without orders has no price to offer.
    """
    refuse_minima(book, "MUDA")
    sides = sides_of(book, seed)
    chance = np.random.default_rng((seed, 2))
    halves = tuple(chance.integers(0, 2, side.orders) for side in sides[:2])
    lots = tuple(chance.permutation(side.orders) for side in sides[:2])
    bought, sold = np.zeros(sides.bids.orders), np.zeros(sides.asks.orders)
    money = Money(np.zeros(sides.bids.orders), np.zeros(sides.asks.orders))
    prices, unmet = [], _unmet_by_half(halves)
    for here in (0, 1):
        elsewhere = (_half(sides.bids, halves[0], 1 - here), _half(sides.asks, halves[1], 1 - here))
        price = _price_of_half(*elsewhere)
        prices.append(price)
        if price is None:
            continue
        bids, asks = _half(sides.bids, halves[0], here), _half(sides.asks, halves[1], here)
        wanted = bids.of_orders(np.where(bids.price >= price, bids.kwh, 0.0))
        offered = asks.of_orders(np.where(asks.price <= price, asks.kwh, 0.0))
        volume = min(float(wanted.sum()), float(offered.sum()))
        for each, total, amount, due, which in (
            (bought, wanted, volume, money.bids, 0),
            (sold, offered, volume, money.asks, 1),
        ):
            drawn = _in_turn(total, amount, lots[which])
            each += drawn
            due += price * drawn
            here_of = halves[which] == here
            lost = Unmet.LOTTERY if volume > 0 else Unmet.OTHER_SIDE
            unmet[which][here_of] = np.where(total > 0, lost, Unmet.PRICE)[here_of]
    shown = " and ".join("none" if price is None else f"{price:.6g}" for price in prices)
    return settle(
        *(book, sides.bids, sides.asks),
        mechanism="muda",
        seed=seed,
        bought=bought,
        sold=sold,
        money=money,
        unmet=(unmet[0], unmet[1]),
        case=f"prices of the halves at the hub: {shown}",
    )


def clear_vcg(book: Book, *, seed: int = 0) -> Auction:
    """Vickrey, Clarke and Groves, with a DEFICIT: somebody must add `-surplus` to every round.

    Awards maximise stated welfare. A buyer pays, and a seller gets, what the others' welfare
    would gain, or lose, if it were away: for each kWh the best use that others have for it, a bid
    served in its place or an ask spared; the cheapest replacement of it, an ask more or a bid
    less. Truthful in price and quantity, individually rational, no trade lost. O(n log n); the
    few orders whose own next step is among the best alternatives are worked out one by one.
    """
    refuse_minima(book, "VCG")
    sides = sides_of(book, seed)
    bids, asks = sides.bids, sides.asks
    filled = best_first(bids, sides.volume_kwh), best_first(asks, sides.volume_kwh)
    money = Money(
        _externality(bids, filled[0], asks, filled[1], -1.0),
        _externality(asks, filled[1], bids, filled[0], 1.0),
    )
    reasons = []
    for side, last in zip(sides[:2], sides[3:], strict=True):
        why = np.full(side.orders, Unmet.PRICE, dtype=np.int8)
        if last >= 0:
            why[side.order[side.price == side.price[last]]] = Unmet.MARGIN
        reasons.append(why)
    return settle(
        *(book, bids, asks),
        mechanism="vcg",
        seed=seed,
        bought=bids.of_orders(filled[0]),
        sold=asks.of_orders(filled[1]),
        money=money,
        unmet=(reasons[0], reasons[1]),
    )


def _half(side: Side, halves: NDArray[np.int64], half: int) -> Side:
    keep = halves[side.order] == half
    kwh = side.kwh[keep]
    return side._replace(
        price=side.price[keep], kwh=kwh, total=np.cumsum(kwh), order=side.order[keep]
    )


def _price_of_half(bids: Side, asks: Side) -> float | None:
    """The middle of the prices that clear a half; with one side alone its best price."""
    low, high = clearing_prices(cross(bids, asks), (-np.inf, np.inf))
    if np.isfinite(low) and np.isfinite(high):
        return (low + high) / 2
    return low if np.isfinite(low) else high if np.isfinite(high) else None


def _in_turn(wanted: FloatArray, total_kwh: float, lot: IndexArray) -> FloatArray:
    """Each all it wants, in the order of the lot, until `total_kwh` are gone."""
    in_line = wanted[lot]
    drawn = np.zeros(len(wanted))
    drawn[lot] = np.clip(total_kwh - (np.cumsum(in_line) - in_line), 0.0, in_line)
    return drawn


def _unmet_by_half(halves: tuple[NDArray[np.int64], ...]) -> list[NDArray[np.int8]]:
    return [np.full(len(half), Unmet.HALF, dtype=np.int8) for half in halves]


def _externality(
    own: Side, filled: FloatArray, other: Side, other_filled: FloatArray, sign: float
) -> FloatArray:
    """(orders,) what the others make of each order's energy without it, or replace it for.

    The alternatives are what of `own` was not served, and what of `other` was; sorted by
    `sign` times price, best for the others first, their running sum is read at each order's
    energy, its own unserved steps left out.
    """
    left = own.kwh - filled
    price = np.concatenate((own.price, other.price))
    kwh = np.concatenate((left, other_filled))
    owner = np.concatenate((own.order, np.full(len(other.order), -1)))
    ranked = np.argsort(sign * price, kind="stable")
    ranked = ranked[kwh[ranked] > 0]
    price, kwh, owner = price[ranked], kwh[ranked], owner[ranked]
    total = np.concatenate(([0.0], np.cumsum(kwh)))
    worth = np.concatenate(([0.0], np.cumsum(kwh * price)))
    energy = own.of_orders(filled)
    due = np.interp(energy, total, worth)
    mine = owner >= 0
    near = mine & (total[:-1] < energy[np.where(mine, owner, 0)] - slack(own, other))
    unserved = own.of_orders(left)
    for order in np.unique(owner[near]):
        reach = int(np.searchsorted(total, energy[order] + unserved[order])) + 1
        others = owner[:reach] != order
        amount, value = kwh[:reach][others], (kwh * price)[:reach][others]
        due[order] = np.interp(
            energy[order],
            np.concatenate(([0.0], np.cumsum(amount))),
            np.concatenate(([0.0], np.cumsum(value))),
        )
    return due
