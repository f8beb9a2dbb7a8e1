"""A clearing at one price a feeder: derived from the proposed prices, and proved by them.

Knows the book and the bounds; nothing of who found the prices, or how. Energy has a price at the
site's bus, and on each limited feeder one that differs from it by mu: above zero where no more
can flow in, below where no more can flow out. From its own price follows each order's energy, and
from all of them the net flows and the gap

    sum_i B_i + sum_j S_j + sum_k (mu_k+ (import_k - net_k) + mu_k- (export_k + net_k))
    + the same of the connection, with the bus price less retail and feed-in and fee less it,

B_i and S_j what buyers and sellers could gain at their own prices: no clearing of the same book
is better by more. Prices are in pcoin/kWh, energy in 1/UNITS_PER_WH.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from peerwatt.contracts.auction import Book
from peerwatt.contracts.certificates import ceil_div, linear_gap
from peerwatt.contracts.feeders import (
    MWH_PER_WH,
    Places,
    cut_alike,
    feeders_gap,
    net_flows,
    places_of,
    whole_awards,
)
from peerwatt.contracts.pairs import buyer_gap, mwh, wanted
from peerwatt.contracts.proved import UNITS_PER_WH, Flaw, ProvedOutcome, outcome_of
from peerwatt.records.market import SellOrder
from peerwatt.records.receipts import Reason
from peerwatt.units import PCOIN_PER_UCOIN, WH_PER_KWH


class _Flows(NamedTuple):
    """What own prices make everybody trade, before any rounding to Wh; net flows by place."""

    taken: list[int]
    given: list[int]
    net: list[int]


def certify(book: Book, bus: int, differences: Sequence[int]) -> ProvedOutcome | Flaw:
    """The clearing that these prices mean, if they prove one; else the first thing that is wrong.
    A flaw's `at` is the place of the price to blame: the feeders' in their order, then the bus's.
    """
    lost_load = book.prices.lost_load_ucoin_per_kwh * PCOIN_PER_UCOIN
    own = own_prices(bus, differences)
    for place, price in enumerate(own):
        if not 0 <= price <= lost_load:
            return Flaw(Reason.AGAINST_BID, place)
    places = places_of(book)
    flows = _flows(book, own, places)
    for place, (net, room) in enumerate(zip(flows.net, _rooms(book), strict=True)):
        if not -room[1] - UNITS_PER_WH <= net <= room[0] + UNITS_PER_WH:
            return Flaw(Reason.BEYOND_LIMIT, place)
    net_wh = mwh(abs(flows.net[-1])) // MWH_PER_WH
    net_wh = min(net_wh, book.import_limit_wh) if flows.net[-1] > 0 else -net_wh
    awards = whole_awards(
        book,
        [mwh(each) for each in flows.taken],
        [mwh(each) for each in flows.given],
        max(net_wh, -book.export_limit_wh),
    )
    fee = book.prices.local_fee_ucoin_per_kwh
    return outcome_of(
        book,
        awards,
        paid=[own[at] for at in places.buys],
        taken=flows.taken,
        fair=[max(own[at] // PCOIN_PER_UCOIN - fee, 0) for at in places.sells],
        grid_price=bus,
        gap=_gap(book, own, places, flows),
    )


def own_prices(bus: int, differences: Sequence[int]) -> list[int]:
    """The price at each place, the bus last."""
    return [*(bus + difference for difference in differences), bus]


def _rooms(book: Book) -> list[tuple[int, int]]:
    """What may flow into and out of each feeder, and last the whole site."""
    limits = [(room.import_limit_wh, room.export_limit_wh) for room in book.feeders]
    limits.append((book.import_limit_wh, book.export_limit_wh))
    return [(into * UNITS_PER_WH, out * UNITS_PER_WH) for into, out in limits]


def _flows(book: Book, own: Sequence[int], places: Places) -> _Flows:
    """Everybody's energy at its own price; at lost load minima share what there is, first behind
    each feeder, then at the connection. The last net flow is the site's."""
    fee = book.prices.local_fee_ucoin_per_kwh * PCOIN_PER_UCOIN
    lost_load = book.prices.lost_load_ucoin_per_kwh * PCOIN_PER_UCOIN
    taken = [wanted(order, own[at]) for order, at in zip(book.buys, places.buys, strict=True)]
    given = [
        _offered(order, own[at] - fee, book.prices.retail_ucoin_per_kwh)
        for order, at in zip(book.sells, places.sells, strict=True)
    ]
    rooms = _rooms(book)
    for place in range(len(book.feeders)):
        over = net_flows(book, taken, given)[place] - rooms[place][0]
        if over > 0 and own[place] == lost_load:
            cut_alike(taken, [at for at, where in enumerate(places.buys) if where == place], over)
    if own[-1] == lost_load:
        _share_connection(book, own, places, taken, given)
    net = net_flows(book, taken, given)
    return _Flows(taken, given, [*net[:-1], sum(net)])


def _share_connection(
    book: Book, own: Sequence[int], places: Places, taken: list[int], given: list[int]
) -> None:
    """Cut those at lost load, alike, to what the connection carries; but behind a feeder that can
    send out no more of what it has, no further, and the others by so much more."""
    lost_load = own[-1]
    for _ in own:
        flows = net_flows(book, taken, given)
        over = sum(flows) - book.import_limit_wh * UNITS_PER_WH
        slack = [n + out for n, (_, out) in zip(flows, _rooms(book), strict=True)]
        slack[-1] = sum(taken)
        short = [
            [at for at, where in enumerate(places.buys) if where == place and slack[place] > 0]
            if own[place] == lost_load
            else []
            for place in range(len(own))
        ]
        whole = sum(taken[at] for members in short for at in members)
        if over <= 0 or whole == 0:
            return
        for members, room in zip(short, slack, strict=True):
            part = ceil_div(sum(taken[at] for at in members) * over, whole)
            cut_alike(taken, members, min(part, room))


def _full_rise(order: SellOrder, retail: int) -> int:
    """By how much, in pcoin/kWh, a seller's cost rises to its last Wh: a millionth of retail at
    least, so that a price says how much of a flat order is served."""
    rise = order.slope_ucoin_per_kwh2 * order.max_wh * (PCOIN_PER_UCOIN // WH_PER_KWH)
    return max(rise, retail)


def _offered(order: SellOrder, price: int, retail: int) -> int:
    margin = price - order.ask_ucoin_per_kwh * PCOIN_PER_UCOIN
    most, rise = order.max_wh * UNITS_PER_WH, _full_rise(order, retail)
    return most * min(max(margin, 0), rise) // rise


def _gap(book: Book, own: Sequence[int], places: Places, flows: _Flows) -> int:
    """The gap of these flows, price times energy; what flows beyond a limit is lost load's worth,
    for so much has to be cut."""
    prices = book.prices
    lost_load = prices.lost_load_ucoin_per_kwh * PCOIN_PER_UCOIN
    fee = prices.local_fee_ucoin_per_kwh * PCOIN_PER_UCOIN
    buys = zip(book.buys, places.buys, flows.taken, strict=True)
    sells = zip(book.sells, places.sells, flows.given, strict=True)
    gap = sum(buyer_gap(order, own[at], taken, lost_load) for order, at, taken in buys)
    gap += sum(_seller_gap(order, own[at] - fee, given) for order, at, given in sells)
    dearer = [price - own[-1] for price in own[:-1]]
    gap += feeders_gap(book, dearer, flows.net, UNITS_PER_WH, lost_load)
    into, out = _rooms(book)[-1]
    # What would come in has to be cut, and may be missed; what would go out is just not paid for.
    gap += lost_load * max(flows.net[-1] - into, 0)
    gap += (prices.feed_in_ucoin_per_kwh * PCOIN_PER_UCOIN + fee) * max(-out - flows.net[-1], 0)
    gap += linear_gap(
        own[-1] - prices.retail_ucoin_per_kwh * PCOIN_PER_UCOIN, max(flows.net[-1], 0), into
    )
    spared = prices.feed_in_ucoin_per_kwh * PCOIN_PER_UCOIN + fee - own[-1]
    return gap + linear_gap(spared, max(-flows.net[-1], 0), out)


def _seller_gap(order: SellOrder, price: int, given: int) -> int:
    """What a seller could gain at this price: its true marginal cost may differ from it only
    where its curve is flat, or by rounding."""
    most = order.max_wh * UNITS_PER_WH
    rise = order.slope_ucoin_per_kwh2 * order.max_wh * (PCOIN_PER_UCOIN // WH_PER_KWH)
    missed = (price - order.ask_ucoin_per_kwh * PCOIN_PER_UCOIN) * most - rise * given
    return ceil_div(linear_gap(missed, given, most), most)
