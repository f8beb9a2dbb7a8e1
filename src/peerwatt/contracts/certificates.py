"""Bounds on the welfare that a clearing leaves on the table, in whole numbers, without logarithms.

Knows records alone. By weak duality no clearing of a book beats a given one by more than the sum
of what each of its parties could gain at the clearing's own prices. With marginal value V' of
what a buyer has and r = price / V', a buyer could gain at most

    min( w (r - 1)^2 / (2 min(r, 1)),  (V' - price)_+ left + (price - V')_+ taken ),

the first because r - 1 - ln r <= (r - 1)^2 / (2 min(r, 1)), the second because value is concave.
Every division rounds up, so that the bound stays one.
"""

from __future__ import annotations

from peerwatt.contracts.auction import Book, Outcome
from peerwatt.records.market import BuyOrder, SellOrder
from peerwatt.units import UCOIN_PER_COIN, WH_PER_KWH, cost_ceil_ucoin

GAP_SHARE = 10_000


def ceil_div(value: int, by: int) -> int:
    """Division rounded up."""
    return -(-value // by)


def allowed_gap_ucoin(traded_ucoin: int, awards: int, retail_ucoin_per_kwh: int) -> int:
    """The largest gap that a clearing may have: a ten-thousandth of what is traded, at least of
    one coin, and for rounding 1 Wh an award at retail."""
    rounding = cost_ceil_ucoin(awards, retail_ucoin_per_kwh)
    return max(traded_ucoin, UCOIN_PER_COIN) // GAP_SHARE + rounding


def elastic_gap(price: int, low: int, high: int, span: int, taken: int) -> int:
    """What a buyer could gain at this price beyond its minimum, of which it takes `taken` of
    `span`; in units of price times those of energy.

    The marginal value w / (kappa + c) has kappa = span low / (high - low) and w = kappa high, so
    that r = A / W with A and W as below.
    """
    fall = high - low
    base = span * low + taken * fall
    if base == 0:
        return price * taken
    a, w = price * base, span * low * high
    missed = w - a
    at_bound = missed * (span - taken) if missed > 0 else -missed * taken
    if at_bound == 0:
        return 0
    bound = ceil_div(at_bound, base)
    least = min(a, w)
    if fall == 0 or least == 0:
        return bound
    return min(bound, ceil_div(missed * missed, 2 * fall * least))


def one_price_gap_ucoin(book: Book, outcome: Outcome) -> int:
    """The gap of a clearing at one price, where a seller's cost grows with its total."""
    price, prices = outcome.price_ucoin_per_kwh, book.prices
    lost_load = prices.lost_load_ucoin_per_kwh
    seller_price = price - prices.local_fee_ucoin_per_kwh
    gap = sum(
        _buyer_gap(order, energy, price, lost_load)
        for order, energy in zip(book.buys, outcome.bought_wh, strict=True)
    )
    gap += sum(
        _seller_gap(order, energy, seller_price)
        for order, energy in zip(book.sells, outcome.sold_wh, strict=True)
    )
    gap += linear_gap(price - prices.retail_ucoin_per_kwh, outcome.import_wh, book.import_limit_wh)
    gap += linear_gap(
        prices.feed_in_ucoin_per_kwh - seller_price, outcome.export_wh, book.export_limit_wh
    )
    return ceil_div(gap, WH_PER_KWH)


def linear_gap(gain: int, used: int, limit: int) -> int:
    """What `gain` per unit leaves between what is used, its limit and nothing."""
    return gain * (limit - used) if gain > 0 else -gain * used


def _buyer_gap(order: BuyOrder, energy_wh: int, price: int, lost_load: int) -> int:
    missing = max(order.min_wh - energy_wh, 0)
    low, high = order.price_low_ucoin_per_kwh, order.price_high_ucoin_per_kwh
    taken = max(energy_wh - order.min_wh, 0)
    elastic = elastic_gap(price, low, high, order.max_wh - order.min_wh, taken)
    return linear_gap(lost_load - price, order.min_wh - missing, order.min_wh) + elastic


def _seller_gap(order: SellOrder, energy_wh: int, price: int) -> int:
    """`missed` is price less marginal cost, in thousandths of ucoin/kWh."""
    slope = order.slope_ucoin_per_kwh2
    missed = (price - order.ask_ucoin_per_kwh) * WH_PER_KWH - slope * energy_wh
    bound = ceil_div(linear_gap(missed, energy_wh, order.max_wh), WH_PER_KWH)
    if slope == 0:
        return bound
    return min(bound, ceil_div(missed * missed, 2 * slope * WH_PER_KWH))
