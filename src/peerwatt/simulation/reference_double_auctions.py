"""What a double auction among cars must come to, told along two lines of energy.

Knows the records. Each side's orders lie end to end on a line, best price first, of equal prices
the least lot; what stands at one place of both lines could trade. Prices are ucoin per kWh at the
hub, where an ask has the local fee on top.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from peerwatt.records.market import Mechanism
from peerwatt.simulation.reference_market import split


class Stand(NamedTuple):
    """An order on its line: from where to where, and at what price."""

    order_id: bytes
    price: int
    begin_wh: int
    end_wh: int

    @property
    def wh(self) -> int:
        """How much it wants."""
        return self.end_wh - self.begin_wh


class Offer(NamedTuple):
    """What an order says to an auction."""

    order_id: bytes
    price: int
    wh: int


class Hall(NamedTuple):
    """What an auction is told: offers by id, the seed of its lots, the grid's prices, one size."""

    bids: Sequence[Offer]
    asks: Sequence[Offer]
    seed: bytes
    feed_in: int
    retail: int
    lot_wh: int

    def lot(self, order_id: bytes) -> bytes:
        """What is drawn for an order."""
        return sha256(self.seed + order_id).digest()


class Deals(NamedTuple):
    """Energy by order, and the price at which each has it; the two prices, if there are such."""

    energies: dict[bytes, int]
    prices: dict[bytes, int]
    two: tuple[int, int] | None = None


Lines = tuple[list[Stand], list[Stand]]


def lines(hall: Hall) -> Lines:
    """Both sides, laid out."""
    bids = sorted(hall.bids, key=lambda each: (-each.price, hall.lot(each.order_id)))
    asks = sorted(hall.asks, key=lambda each: (each.price, hall.lot(each.order_id)))
    return _laid(bids), _laid(asks)


def _laid(offers: Sequence[Offer]) -> list[Stand]:
    line, end_wh = [], 0
    for order_id, price, wh in offers:
        if wh:
            line.append(Stand(order_id, price, end_wh, end_wh + wh))
            end_wh += wh
    return line


def volume(both: Lines) -> int:
    """How far from their beginnings bids reach the asks beside them."""
    ends = sorted({each.end_wh for line in both for each in line})
    reached = 0
    for end_wh in ends:
        bid, ask = (up_to(line, end_wh) for line in both)
        if bid is None or ask is None or bid.price < ask.price:
            break
        reached = end_wh
    return reached


def up_to(line: Sequence[Stand], wh: int) -> Stand | None:
    """Who stands just before this place."""
    return next((each for each in line if each.begin_wh < wh <= each.end_wh), None)


def beyond(line: Sequence[Stand], wh: int) -> Stand | None:
    """Who stands just behind this place."""
    return next((each for each in line if each.begin_wh <= wh < each.end_wh), None)


def both_want(both: Lines, wh: int) -> tuple[int, int]:
    """The prices between which both sides want just this much."""
    bid, ask = (up_to(line, wh) for line in both)
    no_bid, no_ask = (beyond(line, wh) for line in both)
    if bid is None or ask is None:
        raise ValueError("nothing is traded here")
    low = max(each.price for each in (ask, no_bid) if each is not None)
    high = min(each.price for each in (bid, no_ask) if each is not None)
    return low, max(low, high)


def best_first(both: Lines, wh: int) -> dict[bytes, int]:
    """Everybody's part of what lies before this place."""
    return {
        each.order_id: max(min(wh, each.end_wh) - each.begin_wh, 0)
        for line in both
        for each in line
    }


def deals(hall: Hall, mechanism: Mechanism) -> Deals:
    """Hold the auction."""
    if mechanism == Mechanism.MUDA:
        return _halves(hall)
    if mechanism == Mechanism.SBBA:
        sized = [
            [each._replace(wh=hall.lot_wh) for each in side if each.wh >= hall.lot_wh]
            for side in (hall.bids, hall.asks)
        ]
        hall = hall._replace(bids=sized[0], asks=sized[1])
    both = lines(hall)
    reached = volume(both)
    if not reached:
        return Deals({}, {})
    return RULES[mechanism](hall, both, reached)


def _at_two(energies: Mapping[bytes, int], both: Lines, two: tuple[int, int]) -> Deals:
    prices = {each.order_id: price for line, price in zip(both, two, strict=True) for each in line}
    return Deals(dict(energies), prices, two)


def _middle(hall: Hall, both: Lines, reached: int) -> Deals:
    price = sum(both_want(both, reached)) // 2
    return _at_two(best_first(both, reached), both, (price, price))


def _as_bid(hall: Hall, both: Lines, reached: int) -> Deals:
    prices = {each.order_id: each.price for line in both for each in line}
    return Deals(best_first(both, reached), prices)


Cut = Callable[[dict[bytes, int], int], dict[bytes, int]]


def _by_size(wanted: dict[bytes, int], total: int) -> dict[bytes, int]:
    ids = sorted(wanted)
    return dict(zip(ids, split(total, [wanted[each] for each in ids]), strict=True))


def _alike(wanted: dict[bytes, int], total: int) -> dict[bytes, int]:
    """All give up the same number of Wh, as far as they have it; the largest what is left over."""
    over = sum(wanted.values()) - total

    def given(level: int) -> int:
        return sum(min(wh, level) for wh in wanted.values())

    level = bisect_right(range(over + 1), over, key=given) - 1
    left = {each: max(wh - level, 0) for each, wh in wanted.items()}
    largest = sorted((each for each in wanted if left[each]), key=lambda each: (wanted[each], each))
    for each in largest[len(largest) - (over - given(level)) :]:
        left[each] -= 1
    return left


def _before(both: Lines, counts: tuple[int, int], two: tuple[int, int], cut: Cut) -> Deals:
    """So many of each line, the longer side cut to the shorter."""
    sides = [
        {each.order_id: each.wh for each in line[:count]}
        for line, count in zip(both, counts, strict=True)
    ]
    total = min(sum(side.values()) for side in sides)
    served = [cut(side, total) if sum(side.values()) > total else side for side in sides]
    return _at_two(served[0] | served[1], both, two)


def _without_the_last(both: Lines, last: tuple[int, int], cut: Cut) -> Deals:
    two = both[0][last[0]].price, both[1][last[1]].price
    return _before(both, last, two, cut)


def _last(both: Lines, reached: int) -> tuple[int, int]:
    """Which of each line the volume ends with."""
    found = [[at for at, each in enumerate(line) if each.begin_wh < reached][-1] for line in both]
    return found[0], found[1]


def _huang(hall: Hall, both: Lines, reached: int) -> Deals:
    return _without_the_last(both, _last(both, reached), _alike)


def _mcafee(hall: Hall, both: Lines, reached: int) -> Deals:
    last = _last(both, reached)
    if any(line[at].end_wh != reached for line, at in zip(both, last, strict=True)):
        return _without_the_last(both, last, _by_size)
    return _at_next_price(hall, both, last)


def _mcafee_paper(hall: Hall, both: Lines, reached: int) -> Deals:
    pairs = [at for at, (bid, ask) in enumerate(zip(*both, strict=False)) if bid.price >= ask.price]
    return _at_next_price(hall, both, (pairs[-1], pairs[-1]))


def _at_next_price(hall: Hall, both: Lines, last: tuple[int, int]) -> Deals:
    grid = hall.feed_in, hall.retail
    after = [
        line[at + 1].price if at + 1 < len(line) else price
        for line, at, price in zip(both, last, grid, strict=True)
    ]
    bid, ask = both[0][last[0]].price, both[1][last[1]].price
    if not 2 * ask <= sum(after) <= 2 * bid:
        return _without_the_last(both, last, _by_size)
    return _before(both, (last[0] + 1, last[1] + 1), (sum(after) // 2,) * 2, _by_size)


def _sbba(hall: Hall, both: Lines, reached: int) -> Deals:
    trades = reached // hall.lot_wh
    bid, after = both[0][trades - 1].price, [each.price for each in both[1][trades : trades + 1]]
    if after and after[0] <= bid:
        return _before(both, (trades, trades), (after[0], after[0]), _by_size)
    sellers = [each.order_id for each in both[1][:trades]]
    sellers.remove(max(sellers, key=hall.lot))
    buyers = [each.order_id for each in both[0][: trades - 1]]
    return _at_two(dict.fromkeys([*buyers, *sellers], hall.lot_wh), both, (bid, bid))


def _halves(hall: Hall) -> Deals:
    found = Deals({}, {})
    parts = [
        hall._replace(
            bids=[each for each in hall.bids if hall.lot(each.order_id)[-1] % 2 == half],
            asks=[each for each in hall.asks if hall.lot(each.order_id)[-1] % 2 == half],
        )
        for half in (0, 1)
    ]
    for here, there in (parts, parts[::-1]):
        price = _price_of(lines(there))
        if price is None:
            continue
        willing = [
            [each for each in here.bids if each.price >= price],
            [each for each in here.asks if each.price <= price],
        ]
        total = min(sum(each.wh for each in side) for side in willing)
        for side in willing:
            line = _laid(sorted(side, key=lambda each: here.lot(each.order_id)))
            found.energies.update(best_first((line, []), total))
            found.prices.update((each.order_id, price) for each in side)
    return found


def _price_of(both: Lines) -> int | None:
    reached = volume(both)
    if reached:
        return sum(both_want(both, reached)) // 2
    firsts = [line[0].price for line in both if line]
    return sum(firsts) // len(firsts) if firsts else None


RULES: dict[Mechanism, Callable[[Hall, Lines, int], Deals]] = {
    Mechanism.PAY_AS_BID: _as_bid,
    Mechanism.K_PRICE: _middle,
    Mechanism.MCAFEE: _mcafee,
    Mechanism.MCAFEE_PAPER: _mcafee_paper,
    Mechanism.HUANG: _huang,
    Mechanism.SBBA: _sbba,
}
