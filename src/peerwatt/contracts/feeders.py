"""Feeders of a book: who is behind which, and whole awards that keep their limits.

Knows records and the book. A limited feeder is a group of a site's ports whose net energy stays
within limits of its own; whoever is behind none is at the site's bus. A place counts the book's
feeders in their order, and the bus last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from peerwatt.contracts.auction import Book, apportion, clear
from peerwatt.contracts.certificates import ceil_div
from peerwatt.records.market import BuyOrder, Mechanism, PriceRule, SellOrder

MWH_PER_WH = 1_000
"""Energies become whole from thousandths of a Wh."""


class Places(NamedTuple):
    """Behind which feeder each buyer and each seller of a book is."""

    buys: list[int]
    sells: list[int]


class Whole(NamedTuple):
    """Awards in Wh per buyer and seller, and what comes in from the grid, net."""

    bought_wh: list[int]
    sold_wh: list[int]
    net_wh: int


def places_of(book: Book) -> Places:
    """Where the buyers and sellers of a book are."""
    return Places(find(book, book.buys), find(book, book.sells))


def find(book: Book, orders: Sequence[BuyOrder | SellOrder]) -> list[int]:
    """The place of each order; feeders that the round does not limit count as the bus."""
    places = {room.feeder: place for place, room in enumerate(book.feeders)}
    return [places.get(order.feeder, len(book.feeders)) for order in orders]


def sums_by_place(places: Sequence[int], amounts: Sequence[int], feeders: int) -> list[int]:
    """Amounts summed by place, the bus last."""
    sums = [0] * (feeders + 1)
    for place, amount in zip(places, amounts, strict=True):
        sums[place] += amount
    return sums


def net_flows(book: Book, bought: Sequence[int], sold: Sequence[int]) -> list[int]:
    """What flows into each place, bought less sold."""
    places, feeders = places_of(book), len(book.feeders)
    into = sums_by_place(places.buys, bought, feeders)
    out = sums_by_place(places.sells, sold, feeders)
    return [b - s for b, s in zip(into, out, strict=True)]


def whole_awards(
    book: Book, wanted_mwh: Sequence[int], given_mwh: Sequence[int], net_wh: int
) -> Whole:
    """Whole Wh of what was derived in thousandths, with `net_wh` from the grid or, where feeders
    leave less way, less; sums balance and no feeder's limit is exceeded.

    Each place's totals round down, are cut to its limits, and then to what meets the other side;
    shares by floor and largest remainder, so that nobody exceeds an order.
    """
    places, feeders = places_of(book), len(book.feeders)
    into = [each // MWH_PER_WH for each in sums_by_place(places.buys, wanted_mwh, feeders)]
    out = [each // MWH_PER_WH for each in sums_by_place(places.sells, given_mwh, feeders)]
    unlimited = sum(into) + sum(out)
    most_in = [*(room.import_limit_wh for room in book.feeders), unlimited]
    most_out = [*(room.export_limit_wh for room in book.feeders), unlimited]
    for at in range(feeders + 1):
        into[at] = min(into[at], out[at] + most_in[at])
        out[at] = min(out[at], into[at] + most_out[at])
    over = sum(into) - sum(out) - net_wh
    for at in reversed(range(feeders + 1)):
        net = into[at] - out[at]
        less_in = max(min(over, into[at], net + most_out[at]), 0)
        less_out = max(min(-over, out[at], most_in[at] - net), 0)
        into[at] -= less_in
        out[at] -= less_out
        over += less_out - less_in
    return Whole(
        _shares(into, places.buys, wanted_mwh),
        _shares(out, places.sells, given_mwh),
        sum(into) - sum(out),
    )


def _shares(totals: Sequence[int], places: Sequence[int], weights: Sequence[int]) -> list[int]:
    shares = [0] * len(weights)
    for place, total in enumerate(totals):
        members = [at for at, where in enumerate(places) if where == place]
        parts = apportion(total, [weights[at] for at in members])
        for at, part in zip(members, parts, strict=True):
            shares[at] = part
    return shares


def feeders_gap(
    book: Book, dearer: Sequence[int], net: Sequence[int], units_per_wh: int, lost_load: int
) -> int:
    """What the room that feeders have left is worth at their prices; what flows beyond their limits
    has to be cut, and may then be missing at lost load. Price times energy, by place."""
    gap = 0
    for room, price, flow in zip(book.feeders, dearer, net, strict=False):
        into = room.import_limit_wh * units_per_wh - flow
        out = room.export_limit_wh * units_per_wh + flow
        gap += price * into if price > 0 else -price * out
        gap += lost_load * max(-into, -out, 0)
    return gap


def cut_alike(amounts: list[int], among: Sequence[int], over: int) -> None:
    """Take from these what is over in all, in equal shares of what each has."""
    whole = sum(amounts[at] for at in among)
    for at in among:
        amounts[at] -= min(ceil_div(amounts[at] * over, whole), amounts[at]) if whole else 0


def covered_prices(
    book: Book, awards: Whole, paid: Sequence[int], fair: list[int]
) -> list[int] | None:
    """Sellers' prices, ucoin/kWh, that what buyers pay covers after fees and the grid's account:
    the fair ones, or, where rounding leaves too little for all, each less by an equal amount,
    never below an ask. None where even the asks are not covered."""
    prices = book.prices
    export_wh = max(-awards.net_wh, 0)
    collected = sum(p * e for p, e in zip(paid, awards.bought_wh, strict=True))
    collected += prices.feed_in_ucoin_per_kwh * export_wh
    collected -= prices.retail_ucoin_per_kwh * max(awards.net_wh, 0)
    collected -= prices.local_fee_ucoin_per_kwh * (sum(awards.sold_wh) - export_wh)
    asks = [order.ask_ucoin_per_kwh for order in book.sells]

    def less(cut: int) -> list[int]:
        return [max(price - cut, ask) for price, ask in zip(fair, asks, strict=True)]

    def covered(due: list[int]) -> bool:
        return sum(p * e for p, e in zip(due, awards.sold_wh, strict=True)) <= collected

    if covered(fair):
        return fair
    low, high = 1, prices.lost_load_ucoin_per_kwh
    while low < high:
        middle = (low + high) // 2
        if covered(less(middle)):
            high = middle
        else:
            low = middle + 1
    return less(low) if covered(less(low)) else None


def buyers_alone(book: Book) -> Book:
    """The buyers of a book as the grid alone can serve them behind their feeders: each order is
    cut to what it gets where its feeder is cleared by itself, so that what is left to share is
    the connection. A curve that is cut is a curve, which ends at the price where it was cut."""
    prices = replace(book.prices, price_rule=PriceRule.MIDPOINT)
    alone = book._replace(
        mechanism=Mechanism.WELFARE, sells=[], prices=prices, export_limit_wh=0, feeders=()
    )
    buys = list(book.buys)
    places = places_of(book).buys
    for place, room in enumerate(book.feeders):
        members = [at for at, where in enumerate(places) if where == place]
        limit_wh = min(room.import_limit_wh, book.import_limit_wh)
        found = clear(alone._replace(buys=[buys[at] for at in members], import_limit_wh=limit_wh))
        for at, energy_wh in zip(members, found.bought_wh, strict=True):
            buys[at] = _cut(buys[at], energy_wh, found.price_ucoin_per_kwh)
    return alone._replace(buys=buys)


def _cut(order: BuyOrder, energy_wh: int, price: int) -> BuyOrder:
    """The order, no longer than this energy, at which its marginal value is the price."""
    if energy_wh == order.max_wh:
        return order
    low = min(max(order.price_low_ucoin_per_kwh, price), order.price_high_ucoin_per_kwh)
    least = min(order.min_wh, energy_wh)
    return replace(order, min_wh=least, max_wh=energy_wh, price_low_ucoin_per_kwh=low)
