"""What a double auction comes to: awards with reasons, records of trades, money that adds up.

Knows the book and numpy. Knows no mechanism: who gets how much and for what is told to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.auction_book import Book, IndexArray, Orders, Side
from peerwatt.mechanisms.auction_crossing import DIGITS


class Unmet(IntEnum):
    """Why an order was not awarded all its energy."""

    NOTHING = 0
    PRICE = 1
    MARGIN = 2
    REDUCED = 3
    RATIONED = 4
    LOTTERY = 5
    MINIMUM = 6
    OTHER_SIDE = 7
    HALF = 8

    @property
    def words(self) -> str:
        """The reason in a few words."""
        return _WORDS[self]


_WORDS = {
    Unmet.NOTHING: "awarded in full",
    Unmet.PRICE: "its price does not reach the other side's, after fees and losses",
    Unmet.MARGIN: "at the marginal price there was not enough for it",
    Unmet.REDUCED: "left out so that no order sets the price that it trades at",
    Unmet.RATIONED: "its side is the longer one, and its share was cut by size, not by price",
    Unmet.LOTTERY: "its side is the longer one, and others were drawn before it",
    Unmet.MINIMUM: "less than its minimum was left for it",
    Unmet.OTHER_SIDE: "the other side is empty",
    Unmet.HALF: "the other half of the market had no price to offer",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trades:
    """Who sends what to whom, a row each, (trades,)."""

    buyer: IndexArray
    """Row of the order among the bids."""
    seller: IndexArray
    sent_kwh: FloatArray
    """At the seller's plug."""
    received_kwh: FloatArray
    """At the buyer's plug."""
    paid: FloatArray
    """Coin, by the buyer, its fee included."""
    earned: FloatArray
    """Coin, by the seller, its fee taken off."""

    @property
    def buyer_price(self) -> FloatArray:
        """(trades,) coin per kWh received."""
        return self.paid / self.received_kwh

    @property
    def seller_price(self) -> FloatArray:
        """(trades,) coin per kWh sent."""
        return self.earned / self.sent_kwh


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Auction:
    """One double auction. Energy at plugs, money in coin; `paid.sum()` is `earned.sum()` plus
    `fees` plus `surplus`, to rounding."""

    mechanism: str
    seed: int
    """Of all that was decided by lot."""
    bid_price: float
    """Of a kWh at the hub, to buyers; NaN where no bid reaches an ask, or each has its own."""
    ask_price: float
    bought_kwh: FloatArray
    """(bids,)"""
    sold_kwh: FloatArray
    """(asks,)"""
    paid: FloatArray
    """(bids,) fees included."""
    earned: FloatArray
    """(asks,) fees taken off."""
    bid_unmet: NDArray[np.int8]
    """(bids,) `Unmet`: why not all of the order was awarded."""
    ask_unmet: NDArray[np.int8]
    trades: Trades
    fees: float
    """The network's."""
    surplus: float
    """The auctioneer's; below zero where it has to add money."""
    welfare: float
    """Worth of what was bought less cost of what was sold, as the orders state them, less fees."""
    case: str = ""
    """Which branch of the mechanism's rules was taken, where there is one."""


class Money(NamedTuple):
    """What is due for energy at the hub, fees apart, (orders,) each."""

    bids: FloatArray
    asks: FloatArray


def welfare_of(orders: Orders, kwh: FloatArray) -> float:
    """Worth of (orders,) `kwh` at the plug by the orders' own prices, best step first, in coin."""
    of = np.asarray(orders.order)
    before = np.cumsum(orders.kwh) - orders.kwh
    before -= before[orders.first][of]
    return float((orders.price * np.clip(kwh[of] - before, 0.0, orders.kwh)).sum())


def money_at(price: float, kwh: FloatArray) -> FloatArray:
    """Money for energy; none for none, though there may be no price."""
    return np.where(kwh > 0, price * kwh, 0.0)


def settle(
    book: Book,
    bids: Side,
    asks: Side,
    *,
    mechanism: str,
    seed: int,
    bought: FloatArray,
    sold: FloatArray,
    money: Money,
    unmet: tuple[NDArray[np.int8], NDArray[np.int8]],
    prices: tuple[float, float] = (np.nan, np.nan),
    case: str = "",
) -> Auction:
    """The result of (orders,) `bought` and `sold` at the hub, equal in sum, for that `money`.

    `unmet` counts for orders that were not awarded in full.
    """
    paid = money.bids + bids.fee * bought
    earned = money.asks - asks.fee * sold
    fees = float((bids.fee * bought).sum() + (asks.fee * sold).sum())
    bought_kwh, sold_kwh = bought * bids.arrives, sold / asks.arrives
    surplus = float(money.bids.sum() - money.asks.sum())
    if abs(surplus) <= DIGITS * float(np.abs(money.bids).sum()):
        surplus = 0.0
    welfare = welfare_of(book.bids, bought_kwh) - welfare_of(book.asks, sold_kwh) - fees
    reasons = (
        _reasons(book.bids, bought_kwh, unmet[0], len(book.asks)),
        _reasons(book.asks, sold_kwh, unmet[1], len(book.bids)),
    )
    buyer, seller, kwh = pair_off(bought, sold)
    trades = Trades(
        buyer=buyer,
        seller=seller,
        sent_kwh=kwh / asks.arrives[seller],
        received_kwh=kwh * bids.arrives[buyer],
        paid=kwh * (paid[buyer] / bought[buyer]),
        earned=kwh * (earned[seller] / sold[seller]),
    )
    for array in (bought_kwh, sold_kwh, paid, earned, *reasons, *_arrays(trades)):
        array.setflags(write=False)
    return Auction(
        mechanism=mechanism,
        seed=seed,
        bid_price=prices[0],
        ask_price=prices[1],
        bought_kwh=bought_kwh,
        sold_kwh=sold_kwh,
        paid=paid,
        earned=earned,
        bid_unmet=reasons[0],
        ask_unmet=reasons[1],
        trades=trades,
        fees=fees,
        surplus=surplus,
        welfare=welfare,
        case=case,
    )


def pair_off(bought: FloatArray, sold: FloatArray) -> tuple[IndexArray, IndexArray, FloatArray]:
    """(buyer, seller, kWh) of at most buyers + sellers - 1 trades: both sides laid end to end.

    As all energy meets at the hub, any other pairs would have the same losses and fees.
    """
    total = min(float(bought.sum()), float(sold.sum()))
    ends = np.concatenate((np.cumsum(bought), np.cumsum(sold)))
    ends = np.sort(ends[ends <= total * (1 + DIGITS)], kind="stable")
    kwh = np.diff(ends, prepend=0.0)
    real = kwh > DIGITS * total
    # What rounding parts is added to the trade after it, so that nothing is dropped.
    ends = ends[real]
    kwh = np.diff(ends, prepend=0.0)
    middle = ends - kwh / 2
    buyer = np.searchsorted(np.cumsum(bought), middle, side="right")
    seller = np.searchsorted(np.cumsum(sold), middle, side="right")
    return buyer, seller, kwh


def _reasons(
    orders: Orders, kwh: FloatArray, unmet: NDArray[np.int8], others: int
) -> NDArray[np.int8]:
    full = kwh >= orders.whole_kwh * (1 - DIGITS)
    why = unmet if others else np.full(len(orders), Unmet.OTHER_SIDE, dtype=np.int8)
    return np.where(full, np.int8(Unmet.NOTHING), why).astype(np.int8)


def _arrays(trades: Trades) -> tuple[IndexArray | FloatArray, ...]:
    return (
        *(trades.buyer, trades.seller, trades.sent_kwh),
        *(trades.received_kwh, trades.paid, trades.earned),
    )
