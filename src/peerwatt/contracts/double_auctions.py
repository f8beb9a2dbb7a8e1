"""Double auctions among cars in whole numbers: the ledger's own sweeps over limit orders.

Knows records and arithmetic. Energy meets at the hub, where an ask counts with the local fee, so
that the fee is inside the merit order. With the bids falling and the asks rising, L and K are the
orders in which the largest volume ends at which a bid still reaches an ask; b_L and s_K are their
prices. Of equal prices, and wherever a lot decides, the lesser lot comes first: the hash of the
round's seed and the order's id, which no price is part of.

`mechanisms.double_auction` has the same mechanisms on arrays of floats, and says what holds for
each.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

from peerwatt.contracts.auction import apportion
from peerwatt.records.codec import digest
from peerwatt.records.market import Mechanism


class Limit(NamedTuple):
    """An order as an auction takes it: its lot, its price at the hub, ucoin/kWh, and its energy."""

    lot: bytes
    price: int
    energy_wh: int


class Limits(NamedTuple):
    """Both sides of an auction as the book lists them; the grid's prices, which stand behind the
    last order of a side; the one size of all orders, where the mechanism wants one."""

    bids: Sequence[Limit]
    asks: Sequence[Limit]
    feed_in: int
    retail: int
    lot_wh: int


class Traded(NamedTuple):
    """What cars trade, per order as the book lists it: energy in Wh and money at the hub, ucoin/kWh
    times Wh; the two prices, where each side has one and a bid reaches an ask."""

    bought_wh: list[int]
    sold_wh: list[int]
    paid: list[int]
    earned: list[int]
    prices: tuple[int, int] | None = None


class Side(NamedTuple):
    """One side at the hub, best price first, without those that want nothing: each order's place in
    the book, price, energy and the running sum of energies; how many orders the book has."""

    at: list[int]
    price: list[int]
    wh: list[int]
    total: list[int]
    orders: int


class Sides(NamedTuple):
    """Both sides, the volume at which they cross, and the ranks L and K, -1 where it is nothing."""

    bids: Side
    asks: Side
    volume_wh: int
    last_bid: int
    last_ask: int


Share = Callable[[list[int], int], list[int]]
"""How energies are cut to a total, by sizes alone."""


def lot_of(seed: bytes, order_id: bytes) -> bytes:
    """An order's lot: nobody knows it before the book is closed."""
    return digest(seed + order_id)


def auction(mechanism: Mechanism, limits: Limits) -> Traded:
    """Clear both sides by a mechanism of one sweep."""
    return AUCTIONS[mechanism](limits)


def sides_of(limits: Limits) -> Sides:
    """Both sides at the hub, and where they cross."""
    return cross(_side(limits.bids, -1), _side(limits.asks, 1))


def _side(orders: Sequence[Limit], sign: int) -> Side:
    wanting = (at for at, each in enumerate(orders) if each.energy_wh)
    ranked = sorted(wanting, key=lambda at: (sign * orders[at].price, orders[at].lot))
    wh = [orders[at].energy_wh for at in ranked]
    prices = [orders[at].price for at in ranked]
    return Side(ranked, prices, wh, list(accumulate(wh)), len(orders))


def cross(bids: Side, asks: Side) -> Sides:
    """The most energy in trades that neither side loses by, and where it ends."""
    volume_wh = 0
    for price, wanted_wh in zip(bids.price, bids.total, strict=True):
        reached = bisect_right(asks.price, price)
        volume_wh = max(volume_wh, min(wanted_wh, asks.total[reached - 1] if reached else 0))
    if volume_wh == 0:
        return Sides(bids, asks, 0, -1, -1)
    return Sides(bids, asks, volume_wh, _marginal(bids, volume_wh), _marginal(asks, volume_wh))


def _marginal(side: Side, volume_wh: int) -> int:
    """The rank in which a side's volume ends."""
    return bisect_left(side.total, volume_wh)


def clearing_prices(sides: Sides) -> tuple[int, int]:
    """The least and the greatest price at which both sides want just the volume, above zero."""
    bids, asks, volume_wh, last_bid, last_ask = sides
    outbid = _price(bids, last_bid + (bids.total[last_bid] == volume_wh))
    undercut = _price(asks, last_ask + (asks.total[last_ask] == volume_wh))
    low, high = asks.price[last_ask], bids.price[last_bid]
    low = low if outbid is None else max(low, outbid)
    high = high if undercut is None else min(high, undercut)
    return low, max(low, high)


def _price(side: Side, rank: int) -> int | None:
    return side.price[rank] if rank < len(side.price) else None


def k_price(limits: Limits) -> Traded:
    """All trade at the middle of the prices that clear the book."""
    sides = sides_of(limits)
    if sides.last_bid < 0:
        return _nothing(sides)
    low, high = clearing_prices(sides)
    price = (low + high) // 2
    return _at_prices(*_best_first(sides), (price, price))


def pay_as_bid(limits: Limits) -> Traded:
    """The same energies, but every buyer pays its bid and every seller gets its ask."""
    bought, sold = _best_first(sides_of(limits))
    paid = [each.price * wh for each, wh in zip(limits.bids, bought, strict=True)]
    earned = [each.price * wh for each, wh in zip(limits.asks, sold, strict=True)]
    return Traded(bought, sold, paid, earned)


def mcafee(limits: Limits) -> Traded:
    """McAfee by volume: at (b_{L+1} + s_{K+1}) / 2 where both volumes end with their orders and
    that price lies between s_K and b_L; otherwise without the last trade."""
    sides = sides_of(limits)
    exact = all(sides.volume_wh in side.total for side in (sides.bids, sides.asks))
    return _mcafee(limits, sides) if exact else reduced(sides, proportional)


def mcafee_paper(limits: Limits) -> Traded:
    """McAfee by count, as the paper has it: L = K = k, the last pair whose bid reaches its ask,
    whatever the sizes."""
    sides = sides_of(limits)
    pairs = zip(sides.bids.price, sides.asks.price, strict=False)
    last = sum(1 for bid, ask in pairs if bid >= ask) - 1
    return _mcafee(limits, sides._replace(last_bid=last, last_ask=last))


def _mcafee(limits: Limits, sides: Sides) -> Traded:
    bids, asks, _, last_bid, last_ask = sides
    if last_bid < 0:
        return _nothing(sides)
    outbid, undercut = _price(bids, last_bid + 1), _price(asks, last_ask + 1)
    outbid = limits.feed_in if outbid is None else outbid
    undercut = limits.retail if undercut is None else undercut
    twice = outbid + undercut
    if 2 * asks.price[last_ask] <= twice <= 2 * bids.price[last_bid]:
        return _shared(sides, proportional, (twice // 2, twice // 2), 0)
    return reduced(sides, proportional)


def huang(limits: Limits) -> Traded:
    """Without the last trade; of the longer side each gives up as much as any other, or all."""
    return reduced(sides_of(limits), equal_cuts)


def sbba(limits: Limits) -> Traded:
    """One price min(b_k, s_{k+1}), nothing left over; if it is b_k, the last buyer is left out and
    of the sellers the one with the greatest lot. All count with one size, or not if smaller."""
    one = limits.lot_wh
    sized = [
        [each._replace(energy_wh=one if each.energy_wh >= one else 0) for each in side]
        for side in (limits.bids, limits.asks)
    ]
    sides = sides_of(limits._replace(bids=sized[0], asks=sized[1]))
    bids, asks, _, last, _ = sides
    if last < 0:
        return _nothing(sides)
    above = _price(asks, last + 1)
    if above is not None and above <= bids.price[last]:
        return _shared(sides, proportional, (above, above), 0)
    out = max(range(last + 1), key=lambda rank: sized[1][asks.at[rank]].lot)
    sold = _up_to(asks, last)
    sold[asks.at[out]] = 0
    return _at_prices(_up_to(bids, last - 1), sold, (bids.price[last],) * 2)


def muda(limits: Limits) -> Traded:
    """Each half of the market trades at the price that clears the other; the halves are drawn by
    the last bit of the lots, and the longer side is served by lot until nothing is left."""
    halves = [_half(limits, half) for half in (0, 1)]
    bought, sold = [0] * len(limits.bids), [0] * len(limits.asks)
    paid, earned = list(bought), list(sold)
    for half, (buyers, sellers) in enumerate(halves):
        price = _price_of_half(sides_of(_only(limits, halves[1 - half])))
        if price is None:
            continue
        wanted = [limits.bids[at].energy_wh * (limits.bids[at].price >= price) for at in buyers]
        offered = [limits.asks[at].energy_wh * (limits.asks[at].price <= price) for at in sellers]
        volume_wh = min(sum(wanted), sum(offered))
        for at, wh in zip(buyers, _in_turn(wanted, volume_wh), strict=True):
            bought[at], paid[at] = wh, price * wh
        for at, wh in zip(sellers, _in_turn(offered, volume_wh), strict=True):
            sold[at], earned[at] = wh, price * wh
    return Traded(bought, sold, paid, earned)


def _price_of_half(sides: Sides) -> int | None:
    """The middle of the prices that clear a half, or of its best bid and ask where these do not
    meet; with one side alone its best price."""
    if sides.last_bid >= 0:
        return sum(clearing_prices(sides)) // 2
    best = [side.price[0] for side in (sides.bids, sides.asks) if side.price]
    return sum(best) // len(best) if best else None


def _half(limits: Limits, half: int) -> tuple[list[int], list[int]]:
    """The places of the bids and asks of a half, by lot."""
    bids, asks = (
        sorted(
            (at for at, each in enumerate(side) if each.lot[-1] & 1 == half),
            key=lambda at: side[at].lot,
        )
        for side in (limits.bids, limits.asks)
    )
    return bids, asks


def _only(limits: Limits, places: tuple[list[int], list[int]]) -> Limits:
    bids, asks = [limits.bids[at] for at in places[0]], [limits.asks[at] for at in places[1]]
    return limits._replace(bids=bids, asks=asks)


def reduced(sides: Sides, share: Share) -> Traded:
    """Without the last trade: orders before L and K, buyers at b_L and sellers at s_K."""
    if sides.last_bid < 0:
        return _nothing(sides)
    prices = sides.bids.price[sides.last_bid], sides.asks.price[sides.last_ask]
    return _shared(sides, share, prices, 1)


def _nothing(sides: Sides) -> Traded:
    """No bid reaches an ask."""
    bought, sold = ([0] * side.orders for side in (sides.bids, sides.asks))
    return Traded(bought, sold, list(bought), list(sold))


def _shared(sides: Sides, share: Share, prices: tuple[int, int], left_out: int) -> Traded:
    """Orders up to L and K, less those left out, trade what the shorter side has."""
    bought = _up_to(sides.bids, sides.last_bid - left_out)
    sold = _up_to(sides.asks, sides.last_ask - left_out)
    volume_wh = min(sum(bought), sum(sold))
    return _at_prices(share(bought, volume_wh), share(sold, volume_wh), prices)


def _up_to(side: Side, last: int) -> list[int]:
    """The whole energy of the orders up to this rank, by place in the book."""
    return _by_place(side, [wh if rank <= last else 0 for rank, wh in enumerate(side.wh)])


def _best_first(sides: Sides) -> tuple[list[int], list[int]]:
    """The volume, best price first, the last order in part; by place in the book."""
    bids, asks, volume_wh, _, _ = sides
    bought, sold = (_by_place(side, _in_turn(side.wh, volume_wh)) for side in (bids, asks))
    return bought, sold


def _in_turn(energies: Sequence[int], total_wh: int) -> list[int]:
    """Each all it wants, in their order, until the total is gone."""
    served = []
    for wh in energies:
        served.append(min(wh, total_wh))
        total_wh -= served[-1]
    return served


def _by_place(side: Side, figures: list[int]) -> list[int]:
    found = [0] * side.orders
    for place, figure in zip(side.at, figures, strict=True):
        found[place] = figure
    return found


def _at_prices(bought: list[int], sold: list[int], prices: tuple[int, int]) -> Traded:
    paid, earned = (
        [price * wh for wh in side] for price, side in zip(prices, (bought, sold), strict=True)
    )
    return Traded(bought, sold, paid, earned, prices)


def proportional(energies: list[int], total_wh: int) -> list[int]:
    """Each its share by size."""
    return apportion(total_wh, energies) if sum(energies) > total_wh else energies


def equal_cuts(energies: list[int], total_wh: int) -> list[int]:
    """Each gives up the same, or all it has; what does not divide, a Wh each of the largest."""
    over = sum(energies) - total_wh
    if over <= 0:
        return energies
    left = list(energies)
    rising = sorted((at for at, wh in enumerate(energies) if wh), key=lambda at: energies[at])
    for rank, at in enumerate(rising):
        cut = min(energies[at], over // (len(rising) - rank))
        left[at] -= cut
        over -= cut
    return left


AUCTIONS: dict[Mechanism, Callable[[Limits], Traded]] = {
    Mechanism.PAY_AS_BID: pay_as_bid,
    Mechanism.K_PRICE: k_price,
    Mechanism.MCAFEE: mcafee,
    Mechanism.MCAFEE_PAPER: mcafee_paper,
    Mechanism.HUANG: huang,
    Mechanism.SBBA: sbba,
    Mechanism.MUDA: muda,
}
