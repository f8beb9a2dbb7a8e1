"""Where the two sides of a book cross at the hub, and which prices clear it there.

Knows the book's sides and numpy. Knows no mechanism. Which order comes first of two with the same
price is drawn from a seed before any price is looked at, so that no bid can change it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.auction_book import Book, Side, ask_side, bid_side

DIGITS = 1e-12
"""Share of all energy below which a difference is the rounding of sums."""


class Sides(NamedTuple):
    """Both sides at the hub and the volume at which they cross."""

    bids: Side
    asks: Side
    volume_kwh: float
    last_bid: int
    """L, the step in which the volume ends, -1 where it is nothing."""
    last_ask: int
    """K."""

    @property
    def bid_filled(self) -> bool:
        """Whether the volume ends with step L and not within it."""
        return abs(float(self.bids.total[self.last_bid]) - self.volume_kwh) <= slack(*self[:2])

    @property
    def ask_filled(self) -> bool:
        """Whether the volume ends with step K."""
        return abs(float(self.asks.total[self.last_ask]) - self.volume_kwh) <= slack(*self[:2])


def sides_of(book: Book, seed: int) -> Sides:
    """Both sides of `book` at the hub, ties by the lot of `seed`."""
    chance = np.random.default_rng(seed)
    bids = bid_side(book, chance.permutation(len(book.bids)))
    asks = ask_side(book, chance.permutation(len(book.asks)))
    return cross(bids, asks)


def cross(bids: Side, asks: Side) -> Sides:
    """Where two sides cross."""
    volume = crossing(bids, asks)
    if volume <= 0:
        return Sides(bids, asks, 0.0, -1, -1)
    return Sides(bids, asks, volume, marginal(bids, volume), marginal(asks, volume))


def clearing_prices(sides: Sides, band: tuple[float, float]) -> tuple[float, float]:
    """The least and the greatest price at which both sides want just the crossing's volume.

    Where a side has no further step, `band` = (feed-in, retail) bounds them. Without volume:
    (b_1, s_1) the other way round, any price between which nobody would trade at.
    """
    bids, asks, _, last_bid, last_ask = sides
    if last_bid < 0:
        high = asks.price[0] if len(asks.price) else band[1]
        low = bids.price[0] if len(bids.price) else band[0]
        return min(float(low), float(high)), float(high)
    next_bid = last_bid + sides.bid_filled
    next_ask = last_ask + sides.ask_filled
    outbid = bids.price[next_bid] if next_bid < len(bids.price) else band[0]
    undercut = asks.price[next_ask] if next_ask < len(asks.price) else band[1]
    low = max(float(asks.price[last_ask]), float(outbid))
    return low, max(low, min(float(bids.price[last_bid]), float(undercut)))


def band_of(book: Book) -> tuple[float, float]:
    """(feed-in, retail), or without a band prices that bound nothing."""
    return (-np.inf, np.inf) if book.band is None else (book.band.feed_in, book.band.retail)


def crossing(bids: Side, asks: Side) -> float:
    """The most energy, at the hub, in trades that no side loses by: max over p of
    min(demand(p), supply(p))."""
    if len(bids.price) == 0 or len(asks.price) == 0:
        return 0.0
    supply = np.concatenate(([0.0], asks.total))
    offered = supply[np.searchsorted(asks.price, bids.price, side="right")]
    return float(np.minimum(bids.total, offered).max())


def marginal(side: Side, volume_kwh: float) -> int:
    """The step in which a side's `volume_kwh` > 0 ends; sums that rounding parts count as equal."""
    found = np.searchsorted(side.total, volume_kwh - slack(side), side="left")
    return min(int(found), len(side.price) - 1)


def slack(*sides: Side) -> float:
    """Energy that is not told from rounding."""
    return DIGITS * max((float(side.total[-1]) for side in sides if len(side.total)), default=0.0)


def best_first(side: Side, volume_kwh: float) -> FloatArray:
    """(steps,) `volume_kwh` served best price first, the last step in part."""
    filled = np.clip(volume_kwh - (side.total - side.kwh), 0.0, side.kwh)
    filled[filled <= slack(side)] = 0.0
    return filled
