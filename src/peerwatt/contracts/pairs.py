"""A clearing of buyers and sellers pair by pair: derived from its prices, and proved by them.

Knows the book and the bounds; nothing of who found the prices, or how. A seller's cost rises with
what it sends to each buyer, so that at a buyer's price p and a seller's reserve t the pair trades
e = (p - t)_+ / slope, whatever the others do (PETCON: Kang et al., IEEE Trans. Ind. Informatics
13(6), 2017, doi:10.1109/TII.2017.2709784). From these sums follow everybody's energy, what the
grid adds and takes, what each pays and is paid, and the gap

    sum_i B_i + sum_j g_j left_j + sum_j x_j (t_j - fee - f) + (F - f) export room left
    + (P - R) import room left,

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
MWH_PER_WH = UNITS_PER_WH >> SLOPE_BITS
"""Thousandths of a Wh, to which energies are rounded up before they become whole."""


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


def certify(book: Book, prices: PairPrices) -> PairsOutcome | Flaw:
    """The clearing that these prices mean, if they prove one; else the first thing that is wrong.

    Sellers may send up to 1 Wh more than a buyer wants or than they offer, which nobody takes;
    the gap bears what that is worth.
    """
    flaw = _bad_prices(book, prices)
    if flaw is not None:
        return flaw
    want = [wanted(order, p) for order, p in zip(book.buys, prices.buyers, strict=True)]
    flows = _flows(book, prices, want)
    flaw = _beyond_limits(book, prices, flows, want)
    if flaw is not None:
        return flaw
    gap_ucoin = ceil_div(_gap(book, prices, flows), UNITS_PER_UCOIN)
    value = sum(p * taken for p, taken in zip(prices.buyers, flows.taken, strict=True))
    traded_ucoin = value // UNITS_PER_UCOIN
    bought_wh, sold_wh, net_wh = _whole(book, flows)
    awards = sum(1 for energy_wh in (*bought_wh, *sold_wh) if energy_wh)
    if gap_ucoin > allowed_gap_ucoin(traded_ucoin, awards, book.prices.retail_ucoin_per_kwh):
        return Flaw(Reason.NOT_OPTIMAL, None)
    buyer_prices = [ceil_div(price, PCOIN_PER_UCOIN) for price in prices.buyers]
    seller_prices = _due(book, flows, bought_wh, sold_wh, net_wh, buyer_prices)
    if seller_prices is None:
        return Flaw(Reason.NOT_OPTIMAL, None)
    return PairsOutcome(
        bought_wh=bought_wh,
        sold_wh=sold_wh,
        import_wh=max(net_wh, 0),
        export_wh=max(-net_wh, 0),
        buyer_prices=buyer_prices,
        seller_prices=seller_prices,
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


def _highest(book: Book, prices: PairPrices) -> int:
    """What grid energy is worth, P: retail, and more where the connection is full."""
    return max([book.prices.retail_ucoin_per_kwh * PCOIN_PER_UCOIN, *prices.buyers])


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


def _flows(book: Book, prices: PairPrices, want: list[int]) -> _Flows:
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
    sent = []
    for price in prices.buyers:
        below = bisect_left(reserves, price)
        sent.append(price * steepness[below] - offset[below])
    fetched = _fetched(book, prices, sent, want)
    return _Flows(
        sent=sent,
        fetched=fetched,
        taken=[min(s + g, most) for s, g, most in zip(sent, fetched, want, strict=True)],
        sold=sold,
        handed=_handed(book, sold),
        income=income,
    )


def _fetched(book: Book, prices: PairPrices, sent: list[int], want: list[int]) -> list[int]:
    """Those at the highest price, retail or more, get from the grid what they want beyond what
    sellers send them; where that is more than the connection carries, each an equal share."""
    highest = _highest(book, prices)
    fetched = [
        max(most - s, 0) if price == highest else 0
        for price, s, most in zip(prices.buyers, sent, want, strict=True)
    ]
    room, total = book.import_limit_wh * UNITS_PER_WH, sum(fetched)
    return fetched if total <= room else [each * room // total for each in fetched]


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


def _beyond_limits(book: Book, prices: PairPrices, flows: _Flows, want: list[int]) -> Flaw | None:
    """But for 1 Wh, nobody gets more than it wants at its price; below lost load nobody gets less
    than its minimum and, from retail on, than it wants; no seller gives more than it offers."""
    retail = book.prices.retail_ucoin_per_kwh * PCOIN_PER_UCOIN
    lost_load = book.prices.lost_load_ucoin_per_kwh * PCOIN_PER_UCOIN
    highest = _highest(book, prices)
    for at, price in enumerate(prices.buyers):
        if flows.sent[at] > want[at] + UNITS_PER_WH:
            return Flaw(Reason.AGAINST_BID, at)
        least = want[at] if price >= retail else book.buys[at].min_wh * UNITS_PER_WH
        if price < lost_load and flows.taken[at] < least - UNITS_PER_WH:
            if price == highest:
                return Flaw(Reason.BEYOND_LIMIT, None)
            return Flaw(Reason.AGAINST_BID, at)
    for at, offer in enumerate(book.sells):
        if flows.sold[at] > (offer.max_wh + 1) * UNITS_PER_WH:
            return Flaw(Reason.BEYOND_LIMIT, len(prices.buyers) + at)
    return None


def _gap(book: Book, prices: PairPrices, flows: _Flows) -> int:
    """The gap of these flows, price times energy; what is sent in vain is lost, at lost load where
    sellers do not have it."""
    lost_load = book.prices.lost_load_ucoin_per_kwh * PCOIN_PER_UCOIN
    retail = book.prices.retail_ucoin_per_kwh * PCOIN_PER_UCOIN
    feed_in = book.prices.feed_in_ucoin_per_kwh * PCOIN_PER_UCOIN
    fee = book.prices.local_fee_ucoin_per_kwh * PCOIN_PER_UCOIN
    lowest = min([feed_in, *(reserve - fee for reserve in prices.sellers)])
    import_left = book.import_limit_wh * UNITS_PER_WH - sum(flows.fetched)
    export_left = book.export_limit_wh * UNITS_PER_WH - sum(flows.handed)
    gap = (_highest(book, prices) - retail) * import_left + (feed_in - lowest) * export_left
    for at, price in enumerate(prices.buyers):
        taken = flows.taken[at]
        vain = flows.sent[at] + flows.fetched[at] - taken
        gap += _buyer_gap(book.buys[at], price, taken, lost_load) + price * vain
    for at, reserve in enumerate(prices.sellers):
        order = book.sells[at]
        left = order.max_wh * UNITS_PER_WH - flows.sold[at] - flows.handed[at]
        gap += (reserve - _cost(book, order)) * left if left > 0 else (reserve - lost_load) * left
        gap += flows.handed[at] * (reserve - fee - lowest)
        # 2^64 / slope was rounded down by less than a share of 2^-34, which costs its square.
        gap += (flows.income[at] >> 68) + 1
    return gap


def _buyer_gap(order: BuyOrder, price: int, taken: int, lost_load: int) -> int:
    least, most = order.min_wh * UNITS_PER_WH, order.max_wh * UNITS_PER_WH
    low = order.price_low_ucoin_per_kwh * PCOIN_PER_UCOIN
    high = order.price_high_ucoin_per_kwh * PCOIN_PER_UCOIN
    if taken < least:
        return elastic_gap(price, low, high, most - least, 0) + (lost_load - price) * (
            least - taken
        )
    return elastic_gap(price, low, high, most - least, taken - least)


def _whole(book: Book, flows: _Flows) -> tuple[list[int], list[int], int]:
    """Whole Wh per buyer and seller, and what the grid adds net; sums balance exactly.

    Totals round down; shares by floor and largest remainder, so that nobody exceeds an order.
    """
    wanted_mwh = [_mwh(taken) for taken in flows.taken]
    given_mwh = [
        _mwh(min(s, order.max_wh * UNITS_PER_WH) + x)
        for s, x, order in zip(flows.sold, flows.handed, book.sells, strict=True)
    ]
    wanted_wh, given_wh = sum(wanted_mwh) // MWH_PER_WH, sum(given_mwh) // MWH_PER_WH
    fetched_wh, handed_wh = (_mwh(sum(f)) // MWH_PER_WH for f in (flows.fetched, flows.handed))
    import_wh, export_wh = min(fetched_wh, wanted_wh), min(handed_wh, given_wh)
    local_wh = min(wanted_wh - import_wh, given_wh - export_wh)
    bought_wh = apportion(local_wh + import_wh, wanted_mwh)
    return bought_wh, apportion(local_wh + export_wh, given_mwh), import_wh - export_wh


def _mwh(units: int) -> int:
    """Thousandths of a Wh, rounded up: prices are rounded, and take that much from whole Wh."""
    return -(-units >> SLOPE_BITS)


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

    def covered(due: list[int]) -> bool:
        return sum(p * e for p, e in zip(due, sold_wh, strict=True)) <= collected

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
