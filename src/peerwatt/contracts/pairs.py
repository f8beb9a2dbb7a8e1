"""A clearing of buyers and sellers pair by pair: derived from its prices, and proved by them.

Knows the book and the bounds; nothing of who found the prices, or how. A seller's cost rises with
what it sends to each buyer, so that at a buyer's price p and a seller's reserve t the pair trades
e = (p - t)_+ / slope, whatever the others do (PETCON: Kang et al., IEEE Trans. Ind. Informatics
13(6), 2017, doi:10.1109/TII.2017.2709784). From these sums follow everybody's energy, what the
grid adds and takes, what each pays and is paid, and the gap

    sum_i B_i + sum_j g_j left_j + sum_j x_j (t_j - fee - f) + (F - f) export room left
    + (P - R) import room left + sum_i (P - p_i) fetched_i,

g_j = t_j - fee - ask_j, P = max(R, max p), f = min(F, min t - fee), R and F the grid's prices: no
clearing of the same book is better by more. Orders are never listed in pairs; two sorted sweeps
do, in whole numbers throughout: prices in pcoin/kWh, energy in 1/UNITS_PER_WH.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from peerwatt.contracts.auction import Book, apportion
from peerwatt.contracts.certificates import allowed_gap_ucoin, ceil_div, elastic_gap
from peerwatt.records.market import BuyOrder, SellOrder
from peerwatt.records.receipts import Reason
from peerwatt.units import PCOIN_PER_UCOIN, WH_PER_KWH

SLOPE_BITS = 64
# e_Wh = (p - t) / slope x WH_PER_KWH / PCOIN_PER_UCOIN, counted with 2^64 / slope, rounded down.
UNITS_PER_WH = (PCOIN_PER_UCOIN // WH_PER_KWH) << SLOPE_BITS
UNITS_PER_UCOIN = PCOIN_PER_UCOIN * WH_PER_KWH * UNITS_PER_WH


class Flaw(NamedTuple):
    """Why prices prove no clearing; `at` is the place of the order to blame, none if it is all."""

    reason: Reason
    at: int | None


class PairPrices(NamedTuple):
    """Proposed prices in pcoin/kWh, in the book's order: what buyers pay, sellers' reserves."""

    buyers: list[int]
    sellers: list[int]


class PairsOutcome(NamedTuple):
    """Energy in Wh and prices in ucoin/kWh per order, the net flows of the grid, and the proof."""

    bought_wh: list[int]
    sold_wh: list[int]
    import_wh: int
    export_wh: int
    buyer_prices: list[int]
    seller_prices: list[int]
    grid_price: int
    gap_ucoin: int
    traded_ucoin: int


class _Flows(NamedTuple):
    """What prices make everybody trade, before any rounding."""

    bought: list[int]
    """From sellers, per buyer."""
    fetched: list[int]
    """From the grid, per buyer."""
    sold: list[int]
    """To buyers, per seller."""
    handed: list[int]
    """To the grid, per seller."""
    income: list[int]
    """What buyers pay for it, per seller; price times energy."""


def certify(book: Book, prices: PairPrices) -> PairsOutcome | Flaw:
    """The clearing that these prices mean, if they prove one; else the first thing that is wrong.

    Energies may miss a limit of an order or the connection by up to 1 Wh, to which they are then
    cut; the gap bears what that is worth.
    """
    flaw = _bad_prices(book, prices)
    if flaw is not None:
        return flaw
    flows = _flows(book, prices)
    flaw = _beyond_limits(book, prices, flows)
    if flaw is not None:
        return flaw
    bought = [
        min(b + g, order.max_wh * UNITS_PER_WH)
        for b, g, order in zip(flows.bought, flows.fetched, book.buys, strict=True)
    ]
    gap_ucoin = ceil_div(_gap(book, prices, flows, bought), UNITS_PER_UCOIN)
    value = sum(p * b for p, b in zip(prices.buyers, bought, strict=True))
    traded_ucoin = value // UNITS_PER_UCOIN
    bought_wh, sold_wh, net_wh = _whole(book, flows, bought)
    awards = sum(1 for energy_wh in (*bought_wh, *sold_wh) if energy_wh)
    if gap_ucoin > allowed_gap_ucoin(traded_ucoin, awards, book.prices.retail_ucoin_per_kwh):
        return Flaw(Reason.NOT_OPTIMAL, None)
    buyer_prices = [ceil_div(price, PCOIN_PER_UCOIN) for price in prices.buyers]
    due = _due(book, flows, bought_wh, sold_wh, net_wh, buyer_prices)
    if due is None:
        return Flaw(Reason.NOT_OPTIMAL, None)
    return PairsOutcome(
        bought_wh=bought_wh,
        sold_wh=sold_wh,
        import_wh=max(net_wh, 0),
        export_wh=max(-net_wh, 0),
        buyer_prices=buyer_prices,
        seller_prices=due,
        grid_price=max([book.prices.retail_ucoin_per_kwh, *buyer_prices]),
        gap_ucoin=gap_ucoin,
        traded_ucoin=traded_ucoin,
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


def _flows(book: Book, prices: PairPrices) -> _Flows:
    rising = sorted(prices.buyers)
    sums = [0, *accumulate(rising)]
    squares = [0, *accumulate(price * price for price in rising)]
    slopes = [(1 << SLOPE_BITS) // order.slope_ucoin_per_kwh2 for order in book.sells]
    sold, income = [], []
    for reserve, slope in zip(prices.sellers, slopes, strict=True):
        below = bisect_right(rising, reserve)
        above = sums[-1] - sums[below]
        sold.append(slope * (above - (len(rising) - below) * reserve))
        income.append(slope * (squares[-1] - squares[below] - above * reserve))
    merit = sorted(zip(prices.sellers, slopes, strict=True))
    reserves = [reserve for reserve, _ in merit]
    steepness = [0, *accumulate(slope for _, slope in merit)]
    offset = [0, *accumulate(slope * reserve for reserve, slope in merit)]
    bought = []
    for price in prices.buyers:
        below = bisect_left(reserves, price)
        bought.append(price * steepness[below] - offset[below])
    return _Flows(
        bought=bought,
        fetched=_fetched(book, prices, bought),
        sold=sold,
        handed=_handed(book, sold),
        income=income,
    )


def _fetched(book: Book, prices: PairPrices, bought: list[int]) -> list[int]:
    """Who pays at least retail gets from the grid what sellers leave open; where the connection is
    full, those at lost load share what the others leave of it."""
    retail = book.prices.retail_ucoin_per_kwh * PCOIN_PER_UCOIN
    fetched = [
        max(wanted(order, price) - b, 0) if price >= retail else 0
        for order, price, b in zip(book.buys, prices.buyers, bought, strict=True)
    ]
    room = book.import_limit_wh * UNITS_PER_WH
    total = sum(fetched)
    if total <= room:
        return fetched
    lost_load = book.prices.lost_load_ucoin_per_kwh * PCOIN_PER_UCOIN
    needy = sum(g for g, price in zip(fetched, prices.buyers, strict=True) if price == lost_load)
    left = max(room - (total - needy), 0)
    return [
        g * left // needy if price == lost_load and needy else g
        for g, price in zip(fetched, prices.buyers, strict=True)
    ]


def wanted(order: BuyOrder, price: int) -> int:
    """A buyer's demand at a price in pcoin/kWh, as `auction.demand_wh` but in units."""
    low, high = _curve(order)
    if price >= high:
        return order.min_wh * UNITS_PER_WH
    if price <= low:
        return order.max_wh * UNITS_PER_WH
    elastic = (order.max_wh - order.min_wh) * UNITS_PER_WH
    return order.min_wh * UNITS_PER_WH + elastic * low * (high - price) // ((high - low) * price)


def _curve(order: BuyOrder) -> tuple[int, int]:
    """Between which prices a buyer's marginal value falls, pcoin/kWh. It falls by a millionth at
    least, so that a price says how much of a flat order is served."""
    high = order.price_high_ucoin_per_kwh * PCOIN_PER_UCOIN
    low = order.price_low_ucoin_per_kwh * PCOIN_PER_UCOIN
    return min(low, high - order.price_high_ucoin_per_kwh), high


def _handed(book: Book, sold: list[int]) -> list[int]:
    """Who asks less than the feed-in gives the grid what is left, lowest asks first."""
    handed = [0] * len(sold)
    room = book.export_limit_wh * UNITS_PER_WH
    feed_in = book.prices.feed_in_ucoin_per_kwh
    asks = [order.ask_ucoin_per_kwh for order in book.sells]
    for at in sorted(range(len(sold)), key=lambda at: (asks[at], at)):
        if asks[at] >= feed_in:
            break
        left = book.sells[at].max_wh * UNITS_PER_WH - sold[at]
        handed[at] = max(min(left, room), 0)
        room -= handed[at]
    return handed


def _beyond_limits(book: Book, prices: PairPrices, flows: _Flows) -> Flaw | None:
    """Nobody gets more than it wants at its price or less than its minimum, gives more than it
    offers, and the connection carries it: each but for 1 Wh."""
    lost_load = book.prices.lost_load_ucoin_per_kwh * PCOIN_PER_UCOIN
    for at, (order, price) in enumerate(zip(book.buys, prices.buyers, strict=True)):
        bought = flows.bought[at] + flows.fetched[at]
        most = wanted(order, price) + UNITS_PER_WH
        least = (order.min_wh - 1) * UNITS_PER_WH if price < lost_load else 0
        if not least <= bought <= most:
            return Flaw(Reason.AGAINST_BID, at)
    for at, offer in enumerate(book.sells):
        if flows.sold[at] > (offer.max_wh + 1) * UNITS_PER_WH:
            return Flaw(Reason.BEYOND_LIMIT, len(prices.buyers) + at)
    if sum(flows.fetched) > (book.import_limit_wh + 1) * UNITS_PER_WH:
        return Flaw(Reason.BEYOND_LIMIT, None)
    return None


def _gap(book: Book, prices: PairPrices, flows: _Flows, bought: list[int]) -> int:
    """The gap of these flows, price times energy."""
    retail = book.prices.retail_ucoin_per_kwh * PCOIN_PER_UCOIN
    feed_in = book.prices.feed_in_ucoin_per_kwh * PCOIN_PER_UCOIN
    fee = book.prices.local_fee_ucoin_per_kwh * PCOIN_PER_UCOIN
    highest = max([retail, *prices.buyers])
    lowest = min([feed_in, *(reserve - fee for reserve in prices.sellers)])
    gap = (highest - retail) * abs(book.import_limit_wh * UNITS_PER_WH - sum(flows.fetched))
    gap += (feed_in - lowest) * (book.export_limit_wh * UNITS_PER_WH - sum(flows.handed))
    for at, price in enumerate(prices.buyers):
        cut = abs(flows.bought[at] + flows.fetched[at] - bought[at])
        gap += _buyer_gap(book, book.buys[at], price, bought[at]) + price * cut
        gap += (highest - price) * flows.fetched[at]
    for at, reserve in enumerate(prices.sellers):
        order = book.sells[at]
        left = order.max_wh * UNITS_PER_WH - flows.sold[at] - flows.handed[at]
        gap += (reserve - _cost(book, order)) * left if left > 0 else -reserve * left
        gap += flows.handed[at] * (reserve - fee - lowest)
        # 2^64 / slope was rounded down by less than a share of 2^-34, which costs its square.
        gap += (flows.income[at] >> 68) + 1
    return gap


def _buyer_gap(book: Book, order: BuyOrder, price: int, bought: int) -> int:
    """What a buyer could gain, with what the curve that is reckoned with lies below its own."""
    least, most = order.min_wh * UNITS_PER_WH, order.max_wh * UNITS_PER_WH
    low, high = _curve(order)
    lost_load = book.prices.lost_load_ucoin_per_kwh * PCOIN_PER_UCOIN
    gap = elastic_gap(price, low, high, most - least, max(bought - least, 0))
    gap += (order.price_low_ucoin_per_kwh * PCOIN_PER_UCOIN - low) * (most - least)
    return gap + (lost_load - price) * max(least - bought, 0)


def _whole(book: Book, flows: _Flows, bought: list[int]) -> tuple[list[int], list[int], int]:
    """Whole Wh per buyer and seller, and what the grid adds net; sums balance exactly.

    Totals round down; shares by floor and largest remainder, so that nobody exceeds an order.
    """
    wanted_units = [_snapped(b) for b in bought]
    given_units = [
        _snapped(min(s, order.max_wh * UNITS_PER_WH) + x)
        for s, x, order in zip(flows.sold, flows.handed, book.sells, strict=True)
    ]
    wanted_wh, given_wh = sum(wanted_units) // UNITS_PER_WH, sum(given_units) // UNITS_PER_WH
    fetched_wh = min(_snapped(sum(flows.fetched)) // UNITS_PER_WH, book.import_limit_wh)
    import_wh = min(fetched_wh, wanted_wh)
    export_wh = min(_snapped(sum(flows.handed)) // UNITS_PER_WH, given_wh)
    local_wh = min(wanted_wh - import_wh, given_wh - export_wh)
    bought_wh = apportion(local_wh + import_wh, wanted_units)
    return bought_wh, apportion(local_wh + export_wh, given_units), import_wh - export_wh


def _snapped(units: int) -> int:
    """Up to the next whole Wh where a thousandth of one is missing: prices are rounded too."""
    missing = -units % UNITS_PER_WH
    return units + missing if missing * 1_000 < UNITS_PER_WH else units


def _due(
    book: Book,
    flows: _Flows,
    bought_wh: list[int],
    sold_wh: list[int],
    net_wh: int,
    buyer_prices: list[int],
) -> list[int] | None:
    """Sellers' prices, ucoin/kWh: what their buyers pay less the fee, and feed-in for what the grid
    takes, per kWh; less, where rounding leaves too little for all, an equal amount for each, never
    below an ask. None where even the asks are not covered: no book is known in which rounding
    takes all that sellers gain, and one in which it did would trade nothing worth having."""
    prices = book.prices
    fee = prices.local_fee_ucoin_per_kwh
    export_wh = max(-net_wh, 0)
    collected = sum(p * e for p, e in zip(buyer_prices, bought_wh, strict=True))
    collected += prices.feed_in_ucoin_per_kwh * export_wh
    collected -= prices.retail_ucoin_per_kwh * max(net_wh, 0)
    collected -= fee * (sum(sold_wh) - export_wh)
    fair = [_seller_price(book, flows, at) for at in range(len(sold_wh))]
    asks = [order.ask_ucoin_per_kwh for order in book.sells]

    def less(cut: int) -> list[int]:
        return [max(price - cut, ask) for price, ask in zip(fair, asks, strict=True)]

    def covered(cut: int) -> bool:
        return sum(p * e for p, e in zip(less(cut), sold_wh, strict=True)) <= collected

    low, high = 0, prices.lost_load_ucoin_per_kwh + 1
    while low < high:
        middle = (low + high) // 2
        if covered(middle):
            high = middle
        else:
            low = middle + 1
    return less(low) if covered(low) else None


def _seller_price(book: Book, flows: _Flows, at: int) -> int:
    """What a seller's energy earns per kWh, sum_i p_i e_ij less the fee and what it exports."""
    ask = book.sells[at].ask_ucoin_per_kwh
    given = flows.sold[at] + flows.handed[at]
    if given == 0:
        return ask
    fee = book.prices.local_fee_ucoin_per_kwh * PCOIN_PER_UCOIN
    feed_in = book.prices.feed_in_ucoin_per_kwh * PCOIN_PER_UCOIN
    earned = flows.income[at] - fee * flows.sold[at] + feed_in * flows.handed[at]
    return max(earned // (given * PCOIN_PER_UCOIN), ask)


def split_prices(orders: Sequence[BuyOrder | SellOrder], prices: Sequence[int]) -> PairPrices:
    """Prices listed by order, as they are proposed, parted into buyers' and sellers'."""
    listed = list(zip(orders, prices, strict=True))
    return PairPrices(
        buyers=[price for order, price in listed if isinstance(order, BuyOrder)],
        sellers=[price for order, price in listed if isinstance(order, SellOrder)],
    )
