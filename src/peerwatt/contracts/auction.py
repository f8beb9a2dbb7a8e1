"""One price for a book, found by integer bisection with the grid inside.

Knows records alone. Buyers' demand D(p) never rises and sellers' supply S(p) never
falls with the price p in ucoin/kWh, so the least whole p with S(p) >= D(p) is found by
bisection. At p or p - 1 one side is served in full and the other's last steps are shared
out, so that energy balances to the Wh.

Mechanism `welfare` reads a curve as it is; `uniform` reads it as ten equal steps, each
at the price where it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from peerwatt.records.market import (
    NO_HASH,
    BuyOrder,
    FeederRoom,
    Mechanism,
    Prices,
    SellOrder,
)
from peerwatt.units import WH_PER_KWH

STEPS = 10


class Book(NamedTuple):
    """A frozen book: orders ascending by id, the slot's prices, the limits of the connection and of
    the feeders that have some; the seed of lots, and the one size with which orders count."""

    mechanism: Mechanism
    buys: Sequence[BuyOrder]
    sells: Sequence[SellOrder]
    prices: Prices
    import_limit_wh: int
    export_limit_wh: int
    feeders: tuple[FeederRoom, ...] = ()
    seed: bytes = NO_HASH
    lot_wh: int = 0


class Outcome(NamedTuple):
    """The price that buyers see, and energy in Wh per order (as the book lists them) and grid."""

    price_ucoin_per_kwh: int
    bought_wh: list[int]
    sold_wh: list[int]
    import_wh: int
    export_wh: int


def clear(book: Book) -> Outcome:
    """The price and everyone's energy; bought + export = sold + import, exactly.

    Where supply is short even at lost load, minima share what there is, at that price.
    """
    price = _least_covering_price(book)
    demand, supply = _demands(book, price), _supplies(book, price)
    supply_below = _supplies(book, price - 1)
    if price <= book.prices.lost_load_ucoin_per_kwh and sum(demand) >= sum(supply_below):
        supply = _share(supply_below, supply, sum(demand))
    else:
        price -= 1
        supply = supply_below
        demand = _share(demand, _demands(book, price), sum(supply))
    return Outcome(price, demand[:-1], supply[:-1], supply[-1], demand[-1])


def _least_covering_price(book: Book) -> int:
    """The least whole price at which supply covers demand; above lost load nobody demands."""
    low, high = 0, book.prices.lost_load_ucoin_per_kwh + 1
    while low < high:
        middle = (low + high) // 2
        if sum(_supplies(book, middle)) >= sum(_demands(book, middle)):
            high = middle
        else:
            low = middle + 1
    return low


def _demands(book: Book, price: int) -> list[int]:
    """What each buyer wants at this price, and last what the grid takes at feed-in."""
    lost_load = book.prices.lost_load_ucoin_per_kwh
    stepped = book.mechanism == Mechanism.UNIFORM
    demands = [demand_wh(order, price, lost_load, stepped) for order in book.buys]
    seller_price = price - book.prices.local_fee_ucoin_per_kwh
    exports = seller_price <= book.prices.feed_in_ucoin_per_kwh
    demands.append(book.export_limit_wh if exports else 0)
    return demands


def _supplies(book: Book, price: int) -> list[int]:
    """What each seller gives at this price less the local fee, and last the grid at retail."""
    seller_price = price - book.prices.local_fee_ucoin_per_kwh
    stepped = book.mechanism == Mechanism.UNIFORM
    supplies = [supply_wh(order, seller_price, stepped) for order in book.sells]
    imports = price >= book.prices.retail_ucoin_per_kwh
    supplies.append(book.import_limit_wh if imports else 0)
    return supplies


def demand_wh(order: BuyOrder, price: int, lost_load: int, stepped: bool) -> int:
    """A buyer's demand: the minimum up to lost load; of the rest X the part whose marginal value
    w / (kappa + c) is at least the price, kappa = X low / (high - low), w = kappa high."""
    if price > lost_load:
        return 0
    elastic_wh = order.max_wh - order.min_wh
    low, high = order.price_low_ucoin_per_kwh, order.price_high_ucoin_per_kwh
    if price <= low:
        return order.max_wh
    if price >= high:
        return order.min_wh
    if stepped:
        steps = STEPS * low * (high - price) // ((high - low) * price)
        return order.min_wh + elastic_wh * steps // STEPS
    return order.min_wh + elastic_wh * low * (high - price) // ((high - low) * price)


def supply_wh(order: SellOrder, seller_price: int, stepped: bool) -> int:
    """A seller's supply: all whose marginal cost ask + slope x energy is at most the price."""
    margin = seller_price - order.ask_ucoin_per_kwh
    if margin < 0:
        return 0
    full_rise = order.slope_ucoin_per_kwh2 * order.max_wh
    if margin * WH_PER_KWH >= full_rise:
        return order.max_wh
    if stepped:
        return order.max_wh * (STEPS * margin * WH_PER_KWH // full_rise) // STEPS
    return margin * WH_PER_KWH // order.slope_ucoin_per_kwh2


def _share(base: list[int], upper: list[int], total: int) -> list[int]:
    """Lift `base` towards `upper` until it sums to `total`, each by a share of its own rise."""
    rises = [high - low for low, high in zip(base, upper, strict=True)]
    shares = apportion(total - sum(base), rises)
    return [low + share for low, share in zip(base, shares, strict=True)]


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Split a whole total pro rata: floors, then one each to the largest remainders, then first
    come. No share exceeds its weight where the total does not exceed the weights' sum."""
    whole = sum(weights)
    if total == 0 or whole == 0:
        return [0] * len(weights)
    shares = [total * weight // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda at: (-(total * weights[at] % whole), at))
    for at in order[: total - sum(shares)]:
        shares[at] += 1
    return shares
