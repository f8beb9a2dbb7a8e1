"""A clearing of buyers and sellers pair by pair: derived from its prices, and proved by them.

Knows the book and the bounds; nothing of who found the prices, or how. A seller's cost rises with
what it sends to each buyer, so that at a buyer's price p and a seller's reserve t the pair trades
e = (p - t)_+ / slope, whatever the others do (PETCON: Kang et al., IEEE Trans. Ind. Informatics
13(6), 2017, doi:10.1109/TII.2017.2709784). From these sums follow everybody's energy, what the
grid adds and takes, what each pays and is paid, and the gap

    sum_i B_i + sum_j g_j left_j + sum_j x_j (t_j - fee - f) + (F - f) export room left
    + (P - R) import room left,

g_j = t_j - fee - ask_j, P = max(R, max p), f = min(F, min t - fee), R and F the grid's prices: no
clearing of the same book is better by more. Behind a limited feeder energy is dearer by mu, below
zero where no more can flow out: all of this holds with p - mu and t - mu, the prices at the bus,
in place of p and t but in B_i and g_j, and the gap gains what the feeders' room left is worth.
Orders are never listed in pairs; two sorted sweeps do, in whole numbers throughout: prices in
pcoin/kWh, energy in 1/UNITS_PER_WH.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from peerwatt.contracts.auction import Book
from peerwatt.contracts.certificates import elastic_gap
from peerwatt.contracts.feeders import (
    MWH_PER_WH,
    Whole,
    cut_alike,
    feeders_gap,
    net_flows,
    places_of,
    sums_by_place,
    whole_awards,
)
from peerwatt.contracts.proved import SLOPE_BITS, UNITS_PER_WH, Flaw, ProvedOutcome, outcome_of
from peerwatt.records.market import BuyOrder, SellOrder
from peerwatt.records.receipts import Reason
from peerwatt.units import PCOIN_PER_UCOIN


class PairPrices(NamedTuple):
    """Proposed prices in pcoin/kWh, in the book's order: what buyers pay, sellers' reserves, and by
    how much energy is dearer on each limited feeder."""

    buyers: list[int]
    sellers: list[int]
    feeders: Sequence[int] = ()

    def dearer(self, place: int) -> int:
        """Than at the bus."""
        return self.feeders[place] if place < len(self.feeders) else 0

    def at_bus(self, book: Book) -> PairPrices:
        """The same prices as the bus sees them."""
        places = places_of(book)
        return PairPrices(
            [p - self.dearer(at) for p, at in zip(self.buyers, places.buys, strict=True)],
            [t - self.dearer(at) for t, at in zip(self.sellers, places.sells, strict=True)],
        )


class _Flows(NamedTuple):
    """What prices make everybody trade, before any rounding to Wh."""

    sent: list[int]
    """From sellers, per buyer."""
    fetched: list[int]
    """From the grid, per buyer."""
    taken: list[int]
    """Of both, per buyer: never more than it wants at its price."""
    sold: list[int]
    """To buyers, per seller."""
    handed: list[int]
    """To the grid, per seller."""
    income: list[int]
    """What buyers pay for it, per seller; price times energy."""


def certify(book: Book, prices: PairPrices) -> ProvedOutcome | Flaw:
    """The clearing that these prices mean, if they prove one; else the first thing that is wrong.

    Sellers may send up to 1 Wh more than a buyer wants or than they offer, which nobody takes;
    the gap bears what that is worth.
    """
    flaw = _bad_prices(book, prices)
    if flaw is not None:
        return flaw
    want = [wanted(order, p) for order, p in zip(book.buys, prices.buyers, strict=True)]
    bus = prices.at_bus(book)
    flows = _flows(book, prices, bus, want)
    flaw = _beyond_limits(book, prices, bus, flows, want)
    if flaw is not None:
        return flaw
    return outcome_of(
        book,
        _whole(book, flows),
        paid=prices.buyers,
        taken=flows.taken,
        fair=_fair_prices(book, prices, flows),
        grid_price=_highest(book, bus),
        gap=_gap(book, prices, bus, flows),
    )


def _bad_prices(book: Book, prices: PairPrices) -> Flaw | None:
    """Buyers' prices end at lost load, reserves begin at what a seller asks and the fees."""
    highest = book.prices.lost_load_ucoin_per_kwh * PCOIN_PER_UCOIN
    for at, price in enumerate(prices.buyers):
        if price > highest:
            return Flaw(Reason.AGAINST_BID, at)
    for at, reserve in enumerate(prices.sellers):
        if reserve < _cost(book, book.sells[at]):
            return Flaw(Reason.BELOW_COST, len(prices.buyers) + at)
    return None


def _cost(book: Book, order: SellOrder) -> int:
    """What a seller's first Wh costs a buyer, pcoin/kWh."""
    return (order.ask_ucoin_per_kwh + book.prices.local_fee_ucoin_per_kwh) * PCOIN_PER_UCOIN


def _highest(book: Book, bus: PairPrices) -> int:
    """What grid energy is worth, P: retail, and more where the connection is full."""
    return max([book.prices.retail_ucoin_per_kwh * PCOIN_PER_UCOIN, *bus.buyers])


def wanted(order: BuyOrder, price: int) -> int:
    """A buyer's demand at a price in pcoin/kWh, as `auction.demand_wh` but in units. Its curve
    falls by a millionth at least, so that a price says how much of a flat order is served."""
    high = order.price_high_ucoin_per_kwh * PCOIN_PER_UCOIN
    low = order.price_low_ucoin_per_kwh * PCOIN_PER_UCOIN
    least = order.min_wh * UNITS_PER_WH
    if price >= high or low == 0:
        return least
    low = min(low, high - order.price_high_ucoin_per_kwh)
    if price <= low:
        return order.max_wh * UNITS_PER_WH
    elastic = (order.max_wh - order.min_wh) * UNITS_PER_WH
    return least + elastic * low * (high - price) // ((high - low) * price)


def _flows(book: Book, prices: PairPrices, bus: PairPrices, want: list[int]) -> _Flows:
    rising = sorted(bus.buyers)
    sums = [0, *accumulate(rising)]
    squares = [0, *accumulate(price * price for price in rising)]
    slopes = [(1 << SLOPE_BITS) // order.slope_ucoin_per_kwh2 for order in book.sells]
    sold, income = [], []
    for reserve, slope in zip(bus.sellers, slopes, strict=True):
        below = bisect_right(rising, reserve)
        above = sums[-1] - sums[below]
        sold.append(slope * (above - (len(rising) - below) * reserve))
        income.append(slope * (squares[-1] - squares[below] - above * reserve))
    merit = sorted(zip(bus.sellers, slopes, strict=True))
    reserves = [reserve for reserve, _ in merit]
    steepness = [0, *accumulate(slope for _, slope in merit)]
    offset = [0, *accumulate(slope * reserve for reserve, slope in merit)]
    sent = []
    for price in bus.buyers:
        below = bisect_left(reserves, price)
        sent.append(price * steepness[below] - offset[below])
    highest = _highest(book, bus)
    fetched = [
        max(most - s, 0) if price == highest else 0
        for price, s, most in zip(bus.buyers, sent, want, strict=True)
    ]
    net = net_flows(book, [s + g for s, g in zip(sent, fetched, strict=True)], sold)
    handed = _handed(book, prices, sold, net)
    fetched = _carried(book, prices, fetched, net, handed)
    return _Flows(
        sent=sent,
        fetched=fetched,
        taken=[min(s + g, most) for s, g, most in zip(sent, fetched, want, strict=True)],
        sold=sold,
        handed=handed,
        income=income,
    )


def _carried(
    book: Book, prices: PairPrices, fetched: list[int], net: list[int], handed: list[int]
) -> list[int]:
    """What those at the highest price, retail or more, get of what they want from the grid. Where a
    feeder does not carry it, its buyers at lost load get an equal share; where the connection does
    not, all do."""
    lost_load = book.prices.lost_load_ucoin_per_kwh * PCOIN_PER_UCOIN
    places = places_of(book)
    out = sums_by_place(places.sells, handed, len(book.feeders))
    for place, feeder in enumerate(book.feeders):
        over = net[place] - out[place] - feeder.import_limit_wh * UNITS_PER_WH
        members = [at for at, where in enumerate(places.buys) if where == place]
        short = [at for at in members if prices.buyers[at] == lost_load]
        if over > 0:
            cut_alike(fetched, short, over)
    room, total = book.import_limit_wh * UNITS_PER_WH, sum(fetched)
    return fetched if total <= room else [each * room // total for each in fetched]


def _handed(book: Book, prices: PairPrices, sold: list[int], net: list[int]) -> list[int]:
    """Who asks less than the feed-in where it is gives the grid what is left, lowest asks first, as
    far as the connection and its feeder let it; on a feeder full of what it sends out, who asks
    just that does, too."""
    handed = [0] * len(sold)
    feed_in = book.prices.feed_in_ucoin_per_kwh * PCOIN_PER_UCOIN
    room = book.export_limit_wh * UNITS_PER_WH
    rooms = [
        n + each.export_limit_wh * UNITS_PER_WH for n, each in zip(net, book.feeders, strict=False)
    ]
    places = places_of(book).sells
    asks = [
        order.ask_ucoin_per_kwh * PCOIN_PER_UCOIN - prices.dearer(place)
        for order, place in zip(book.sells, places, strict=True)
    ]
    for at in sorted(range(len(sold)), key=lambda at: (asks[at], at)):
        place, limited = places[at], places[at] < len(rooms)
        if asks[at] > feed_in or (asks[at] == feed_in and prices.dearer(place) >= 0):
            continue
        left = book.sells[at].max_wh * UNITS_PER_WH - sold[at]
        handed[at] = max(min(left, room, rooms[place] if limited else room), 0)
        room -= handed[at]
        if limited:
            rooms[place] -= handed[at]
    return handed


def _beyond_limits(
    book: Book, prices: PairPrices, bus: PairPrices, flows: _Flows, want: list[int]
) -> Flaw | None:
    """But for 1 Wh, nobody gets more than it wants at its price; below lost load nobody gets less
    than its minimum and, from retail on, than it wants; no seller gives more than it offers, and
    no feeder carries more than it can."""
    retail = book.prices.retail_ucoin_per_kwh * PCOIN_PER_UCOIN
    lost_load = book.prices.lost_load_ucoin_per_kwh * PCOIN_PER_UCOIN
    highest = _highest(book, bus)
    for at, price in enumerate(prices.buyers):
        if flows.sent[at] > want[at] + UNITS_PER_WH:
            return Flaw(Reason.AGAINST_BID, at)
        least = want[at] if price >= retail else book.buys[at].min_wh * UNITS_PER_WH
        if price < lost_load and flows.taken[at] < least - UNITS_PER_WH:
            if bus.buyers[at] == highest:
                return Flaw(Reason.BEYOND_LIMIT, None)
            return Flaw(Reason.AGAINST_BID, at)
    for at, offer in enumerate(book.sells):
        if flows.sold[at] > (offer.max_wh + 1) * UNITS_PER_WH:
            return Flaw(Reason.BEYOND_LIMIT, len(prices.buyers) + at)
    orders = len(prices.buyers) + len(prices.sellers)
    for place, (room, net) in enumerate(zip(book.feeders, _net(book, flows), strict=False)):
        least, most = -room.export_limit_wh - 1, room.import_limit_wh + 1
        if not least * UNITS_PER_WH <= net <= most * UNITS_PER_WH:
            return Flaw(Reason.BEYOND_LIMIT, orders + place)
    return None


def _net(book: Book, flows: _Flows) -> list[int]:
    """What flows into each place, the grid's part included."""
    into = [s + g for s, g in zip(flows.sent, flows.fetched, strict=True)]
    return net_flows(book, into, [s + h for s, h in zip(flows.sold, flows.handed, strict=True)])


def _gap(book: Book, prices: PairPrices, bus: PairPrices, flows: _Flows) -> int:
    """The gap of these flows, price times energy; what is sent in vain is lost, at lost load where
    sellers do not have it or a feeder does not carry it."""
    lost_load = book.prices.lost_load_ucoin_per_kwh * PCOIN_PER_UCOIN
    retail = book.prices.retail_ucoin_per_kwh * PCOIN_PER_UCOIN
    feed_in = book.prices.feed_in_ucoin_per_kwh * PCOIN_PER_UCOIN
    fee = book.prices.local_fee_ucoin_per_kwh * PCOIN_PER_UCOIN
    lowest = min([feed_in, *(reserve - fee for reserve in bus.sellers)])
    import_left = book.import_limit_wh * UNITS_PER_WH - sum(flows.fetched)
    export_left = book.export_limit_wh * UNITS_PER_WH - sum(flows.handed)
    gap = (_highest(book, bus) - retail) * import_left + (feed_in - lowest) * export_left
    for at, price in enumerate(prices.buyers):
        taken = flows.taken[at]
        vain = flows.sent[at] + flows.fetched[at] - taken
        gap += buyer_gap(book.buys[at], price, taken, lost_load) + price * vain
    for at, reserve in enumerate(prices.sellers):
        order = book.sells[at]
        left = order.max_wh * UNITS_PER_WH - flows.sold[at] - flows.handed[at]
        gap += (reserve - _cost(book, order)) * left if left > 0 else (reserve - lost_load) * left
        gap += flows.handed[at] * (bus.sellers[at] - fee - lowest)
        # 2^64 / slope was rounded down by less than a share of 2^-34, which costs its square.
        gap += (flows.income[at] - bus.sellers[at] * flows.sold[at] >> 68) + 1
    return gap + feeders_gap(book, prices.feeders, _net(book, flows), UNITS_PER_WH, lost_load)


def buyer_gap(order: BuyOrder, price: int, taken: int, lost_load: int) -> int:
    """What a buyer could gain at its price, soft minimum included; price times energy."""
    least, most = order.min_wh * UNITS_PER_WH, order.max_wh * UNITS_PER_WH
    low = order.price_low_ucoin_per_kwh * PCOIN_PER_UCOIN
    high = order.price_high_ucoin_per_kwh * PCOIN_PER_UCOIN
    if taken < least:
        return elastic_gap(price, low, high, most - least, 0) + (lost_load - price) * (
            least - taken
        )
    return elastic_gap(price, low, high, most - least, taken - least)


def _whole(book: Book, flows: _Flows) -> Whole:
    """Whole Wh per buyer and seller, and what the grid adds net."""
    wanted_mwh = [mwh(taken) for taken in flows.taken]
    given_mwh = [
        mwh(min(s, order.max_wh * UNITS_PER_WH) + x)
        for s, x, order in zip(flows.sold, flows.handed, book.sells, strict=True)
    ]
    import_mwh = min(mwh(sum(flows.fetched)), sum(wanted_mwh))
    export_mwh = min(mwh(sum(flows.handed)), sum(given_mwh))
    net_wh = import_mwh // MWH_PER_WH - export_mwh // MWH_PER_WH
    return whole_awards(book, wanted_mwh, given_mwh, net_wh)


def mwh(units: int) -> int:
    """Thousandths of a Wh, rounded up: prices are rounded, and take that much from whole Wh."""
    return -(-units >> SLOPE_BITS)


def _fair_prices(book: Book, prices: PairPrices, flows: _Flows) -> list[int]:
    """What sellers' energy earns, ucoin/kWh: what their buyers pay at the bus less the fee, feed-in
    for what the grid takes, and for all of it by how much it is dearer where they are."""
    fee = book.prices.local_fee_ucoin_per_kwh * PCOIN_PER_UCOIN
    feed_in = book.prices.feed_in_ucoin_per_kwh * PCOIN_PER_UCOIN
    fair = []
    for at, place in enumerate(places_of(book).sells):
        ask, given = book.sells[at].ask_ucoin_per_kwh, flows.sold[at] + flows.handed[at]
        earned = flows.income[at] - fee * flows.sold[at] + feed_in * flows.handed[at]
        earned += prices.dearer(place) * given
        fair.append(max(earned // (given * PCOIN_PER_UCOIN), ask) if given else ask)
    return fair


def split_prices(
    orders: Sequence[BuyOrder | SellOrder], prices: Sequence[int], feeder_prices: Sequence[int] = ()
) -> PairPrices:
    """Prices listed by order, as they are proposed, parted into buyers' and sellers'."""
    listed = list(zip(orders, prices, strict=True))
    return PairPrices(
        buyers=[price for order, price in listed if isinstance(order, BuyOrder)],
        sellers=[price for order, price in listed if isinstance(order, SellOrder)],
        feeders=feeder_prices,
    )
