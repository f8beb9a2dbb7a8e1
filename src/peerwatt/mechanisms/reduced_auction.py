"""Double auctions that leave trades out so that no order sets its own price: McAfee, Huang, SBBA.

Knows the book of limit orders and numpy. Knows neither ledger nor agents.

All find the marginal bid b_L and ask s_K of the largest volume at which one still reaches the
other, and differ in who then trades at what price. They are truthful in price, individually
rational and never short of money. "Truthful" is meant for an owner of one order whose worth per
kWh is constant, and in price alone: a larger stated quantity shifts L, K and the shares of the
longer side, and whoever has several orders gains by some of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.auction_book import (
    Book,
    Side,
    UnfitOrderError,
    refuse_minima,
    refuse_steps,
)
from peerwatt.mechanisms.auction_crossing import DIGITS, Sides, band_of, sides_of
from peerwatt.mechanisms.auction_result import Auction, Money, Unmet, money_at, settle

Share = Callable[[FloatArray, float], FloatArray]
"""How (orders,) energy is cut to a total, by sizes alone."""


def clear_mcafee(book: Book, *, seed: int = 0, count: str = "volume") -> Auction:
    """McAfee's auction (1992, doi:10.1016/0022-0531(92)90091-U): truthful in price.

    With p = (b_{L+1} + s_{K+1}) / 2, orders up to L and K trade at p if s_K <= p <= b_L;
    otherwise those before them do, buyers at b_L, sellers at s_K, and the auctioneer keeps the
    difference. Where a side has no further order the grid stands in its place, b = feed-in and
    s = retail, and without a `band` there is no p. Of the longer side each gets its share by
    size. One price an order, no minima.

    `count="orders"` is McAfee's rule taken literally: L = K = k, the largest k with b_k >= s_k,
    whatever the sizes. `count="volume"` takes L and K where the volumes cross. The first case
    then needs both to end there at once: else a buyer who outbids a large marginal order would
    lower b_{L+1}, and with it the price, without displacing it. Orders of one size make both the
    same. Where volumes never match it is `clear_huang` but for the shares.
    """
    refuse_steps(book, "McAfee's auction")
    refuse_minima(book, "McAfee's auction")
    sides = sides_of(book, seed)
    if count == "orders":
        sides = _by_count(sides)
        exact = sides.last_bid >= 0
    elif count == "volume":
        exact = sides.last_bid >= 0 and sides.bid_filled and sides.ask_filled
    else:
        raise ValueError(f"count must be 'orders' or 'volume', not {count!r}")
    price = _mcafee_price(sides, band_of(book)) if exact else np.nan
    name = "mcafee" if count == "volume" else "mcafee-paper"
    reached = (
        exact and sides.asks.price[sides.last_ask] <= price <= sides.bids.price[sides.last_bid]
    )
    if reached:
        return _traded(book, sides, name, seed, _proportional, (price, price), 0, "all trade at p")
    return _reduced(book, sides, name, seed, _proportional)


def clear_huang(book: Book, *, seed: int = 0) -> Auction:
    """Huang, Scheller-Wolf and Sycara (Computational Intelligence 18(4), 2002): price-truthful.

    Orders before L and K trade, buyers at b_L and sellers at s_K. Of the longer side each gives
    up the same amount, whoever has less than that all of it, until the sides are equal. A
    seller or buyer gains by overstating its quantity: it then gives up a smaller part. One price
    an order, no minima.
    """
    refuse_steps(book, "Huang's auction")
    refuse_minima(book, "Huang's auction")
    return _reduced(book, sides_of(book, seed), "huang", seed, _equal_cuts)


def clear_sbba(book: Book, *, seed: int = 0) -> Auction:
    """SBBA (Segal-Halevi, Hassidim and Aumann, SAGT 2016, arXiv:1607.05139): truthful, balanced.

    One price p = min(b_k, s_{k+1}). If it is s_{k+1}, k pairs trade; otherwise the buyers before
    k do, with all but one of the k sellers, who is drawn by lot. Truthful in expectation, and for
    each lot too, as it is drawn before prices are known; exactly balanced; at most one trade is
    lost. All orders must be of one size at the hub, with one price and no minimum: for other
    sizes p = s_{k+1} could be raised by whoever undercuts a large marginal seller.
    """
    refuse_steps(book, "SBBA")
    refuse_minima(book, "SBBA")
    sides = sides_of(book, seed)
    _refuse_sizes(sides)
    bids, asks, _, last, _ = sides
    if last < 0:
        return _reduced(book, sides, "sbba", seed, _proportional)
    above = asks.price[last + 1] if last + 1 < len(asks.price) else np.inf
    if above <= bids.price[last]:
        price = float(above)
        return _traded(book, sides, "sbba", seed, _proportional, (price, price), 0, "k trade")
    price = float(bids.price[last])
    drawn = np.random.default_rng((seed, 1)).permutation(asks.orders)[asks.order]
    out = int(np.argmax(np.where(np.arange(len(drawn)) <= last, drawn, -1)))
    bought, sold = _up_to(bids, last - 1), _up_to(asks, last)
    sold[asks.order[out]] = 0.0
    unmet = _by_rank(bids, last, Unmet.REDUCED), _by_rank(asks, last, Unmet.LOTTERY)
    return settle(
        *(book, bids, asks),
        mechanism="sbba",
        seed=seed,
        bought=bought,
        sold=sold,
        money=Money(price * bought, price * sold),
        unmet=unmet,
        prices=(price, price),
        case="one seller is drawn out",
    )


def _refuse_sizes(sides: Sides) -> None:
    """Raises `UnfitOrderError` unless all orders are of one size at the hub."""
    for name, side in (("bids", sides.bids), ("asks", sides.asks)):
        size = sides.bids.kwh[0] if len(sides.bids.kwh) else sides.asks.kwh[:1].sum()
        other = np.flatnonzero(np.abs(side.kwh - size) > DIGITS * size)
        if len(other):
            row = int(side.order[other].min())
            raise UnfitOrderError(
                f"{name}.kwh: SBBA takes orders of one size at the hub, {size:g} kWh (row {row})"
            )


def _by_count(sides: Sides) -> Sides:
    """The same sides with L = K = k, the largest k with b_k >= s_k, whatever the sizes."""
    pairs = min(len(sides.bids.price), len(sides.asks.price))
    k = int(np.count_nonzero(sides.bids.price[:pairs] >= sides.asks.price[:pairs]))
    return sides._replace(last_bid=k - 1, last_ask=k - 1)


def _mcafee_price(sides: Sides, band: tuple[float, float]) -> float:
    """(b_{L+1} + s_{K+1}) / 2 with the grid behind the last order."""
    bids, asks = np.append(sides.bids.price, band[0]), np.append(sides.asks.price, band[1])
    with np.errstate(invalid="ignore"):
        return float((bids[sides.last_bid + 1] + asks[sides.last_ask + 1]) / 2)


def _reduced(book: Book, sides: Sides, name: str, seed: int, share: Share) -> Auction:
    """The last trade is left out: buyers pay b_L, sellers get s_K."""
    prices = np.nan, np.nan
    if sides.last_bid >= 0:
        prices = (
            float(sides.bids.price[sides.last_bid]),
            float(sides.asks.price[sides.last_ask]),
        )
    return _traded(book, sides, name, seed, share, prices, 1, "the last trade is left out")


def _traded(
    book: Book,
    sides: Sides,
    name: str,
    seed: int,
    share: Share,
    prices: tuple[float, float],
    left_out: int,
    case: str,
) -> Auction:
    """Orders up to L and K, or those before, trade what the shorter side has at `prices`."""
    bids, asks, _, last_bid, last_ask = sides
    bought, sold = _up_to(bids, last_bid - left_out), _up_to(asks, last_ask - left_out)
    volume = min(float(bought.sum()), float(sold.sum()))
    bought, sold = share(bought, volume), share(sold, volume)
    unmet = (
        _by_rank(bids, last_bid, Unmet.RATIONED, Unmet.REDUCED if left_out else None),
        _by_rank(asks, last_ask, Unmet.RATIONED, Unmet.REDUCED if left_out else None),
    )
    return settle(
        *(book, bids, asks),
        mechanism=name,
        seed=seed,
        bought=bought,
        sold=sold,
        money=Money(money_at(prices[0], bought), money_at(prices[1], sold)),
        unmet=unmet,
        prices=prices,
        case=case if last_bid >= 0 else "no bid reaches an ask",
    )


def _up_to(side: Side, last: int) -> FloatArray:
    """(orders,) energy of the orders up to rank `last`."""
    return side.of_orders(np.where(np.arange(len(side.kwh)) <= last, side.kwh, 0.0))


def _by_rank(side: Side, last: int, within: Unmet, at: Unmet | None = None) -> NDArray[np.int8]:
    """(orders,) reasons: `within` before the marginal order, `at` for itself, then the price."""
    rank = np.arange(len(side.order))
    why = np.full(side.orders, Unmet.PRICE, dtype=np.int8)
    why[side.order[rank <= last]] = within
    if at is not None and last >= 0:
        why[side.order[last]] = at
    return why


def _proportional(kwh: FloatArray, total_kwh: float) -> FloatArray:
    """Each its share by size."""
    whole = float(kwh.sum())
    return kwh * (total_kwh / whole) if whole > total_kwh else kwh


def _equal_cuts(kwh: FloatArray, total_kwh: float) -> FloatArray:
    """Each gives up the same, or all it has: (kwh - cut)+ summing to `total_kwh`."""
    over = float(kwh.sum()) - total_kwh
    if over <= 0:
        return kwh
    rising = np.sort(kwh[kwh > 0])
    others = len(rising) - np.arange(len(rising))
    # What is given up in all if the cut is as large as each one's energy.
    given_up = np.cumsum(rising) - rising + others * rising
    at = min(int(np.searchsorted(given_up, over)), len(rising) - 1)
    cut = (over - float(rising[:at].sum())) / others[at]
    left: FloatArray = np.maximum(kwh - cut, 0.0)
    return left
