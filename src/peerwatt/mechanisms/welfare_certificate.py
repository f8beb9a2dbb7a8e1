"""What proves a welfare clearing: a bound on what any other clearing could add, without logs.

Knows prices, quantities and the book. Knows nothing of how they were found: it takes prices as
they are handed out, works out anew what they make everybody trade, and bounds the gap to the
optimum by weak duality. Each step is rational, one pass over sorted prices, so that integers can
follow it.

With pair trades e = (r p - t)_+ y the pair terms of the duality gap vanish, and it is at most

    sum_i B_i + sum_j (t_j - l_j) left_j + (P - R) import room left + (F - f) export room left,

where left_j is what j neither sells nor exports, P >= p and f <= t are the grid's two prices
with what its limits add, and B_i is what buyer i could gain at price p_i: with x the weight over
the marginal value V' and r = p x / w,

    B_i = min( w (r - 1)^2 / (2 min(r, 1)),  (V' - p)_+ (most - D) + (p - V')_+ (D - least) ),

the first because r - 1 - ln r <= (r - 1)^2 / (2 min(r, 1)), the second because V is concave.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.welfare_book import Core


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """No clearing that keeps the book's limits has a welfare greater by more than `gap`, coin."""

    buyers_gap: float
    sellers_gap: float
    grid_gap: float
    traded_value: float
    """What is bought at the buyers' prices, the grid's exports included, coin."""
    weight: float
    """Sum of the buyers' weights, coin: the scale of their utility."""
    violation_kwh: float
    """By how much the worst-kept limit of the book is exceeded; zero if none is."""

    @property
    def gap(self) -> float:
        return self.buyers_gap + self.sellers_gap + self.grid_gap

    @property
    def relative_gap(self) -> float:
        """Of the traded value; of the weight in a round without trade."""
        scale = self.traded_value if self.traded_value > 0 else self.weight
        return self.gap / scale if self.gap > 0 else 0.0


class TradeSums(NamedTuple):
    """Pair trades of given prices, summed."""

    bought: FloatArray
    """(buyers,) kWh."""
    sold: FloatArray
    """(sellers,) kWh."""
    income: FloatArray
    """(sellers,) coin: sum_i p_i times what reaches i."""


class Prices(NamedTuple):
    """Of a clearing, in coin per kWh at the bus."""

    buyers: FloatArray
    reserve: FloatArray
    """(sellers,) t_j: cost and scarcity."""
    cap: float
    """P, infinite without a grid."""
    floor: float
    """f, minus infinite without one."""


class Outcome(NamedTuple):
    """What prices make everybody trade, kWh at the bus, and the proof."""

    trades: TradeSums
    from_grid: FloatArray
    """(buyers,)"""
    to_grid: FloatArray
    """(sellers,)"""
    welfare: float
    certificate: Certificate


class SumsAt(Protocol):
    """Sums up the pair trades (r_ij p_i - t_j)_+ y_j of prices (buyers,) and (sellers,)."""

    def __call__(self, price: FloatArray, reserve: FloatArray) -> TradeSums: ...


def certify(core: Core, prices: Prices, wanted: FloatArray, sums: SumsAt) -> Outcome:
    """What follows from prices, feasible or not, and how far from the optimum it is.

    `wanted` (buyers,) is what they would take in all: those at the cap fetch from the grid what
    sellers leave open, as far as its room goes.
    """
    price, reserve, cap, floor = prices
    trades = sums(price, reserve)
    from_grid = np.where(price >= cap, np.maximum(wanted - trades.bought, 0.0), 0.0)
    from_grid, imported = _within(from_grid, core.import_room)
    left = np.maximum(core.room - trades.sold, 0.0)
    to_grid, exported = _exports(core, prices, left)
    bought = trades.bought + from_grid
    left = core.room - trades.sold - to_grid
    grid_gap = 0.0
    if np.isfinite(cap):
        grid_gap += (cap - core.retail) * (core.import_room - imported)
    if np.isfinite(floor):
        grid_gap += (core.feed_in - floor) * (core.export_room - exported)
    value = float(price @ bought) + (floor * exported if exported > 0 else 0.0)
    certificate = Certificate(
        buyers_gap=float(np.add.reduce(_buyers_gap(core, price, bought))),
        sellers_gap=float(np.maximum(reserve - core.cost, 0.0) @ np.maximum(left, 0.0)),
        grid_gap=max(grid_gap, 0.0),
        traded_value=value,
        weight=float(np.add.reduce(core.weight)),
        violation_kwh=_violation(core, bought, left),
    )
    # Half of what lies between the prices of a pair is its quadratic cost.
    quadratic = float(price @ trades.bought - reserve @ trades.sold) / 2
    welfare = _value(core, bought) - quadratic - float(core.cost @ trades.sold)
    if imported > 0:
        welfare -= core.retail * imported
    if exported > 0:
        welfare += float((core.feed_in - core.cost) @ to_grid)
    return Outcome(trades, from_grid, to_grid, welfare, certificate)


def concave_gap(
    price: FloatArray | float,
    marginal: FloatArray,
    weight: FloatArray,
    below: FloatArray,
    above: FloatArray,
) -> FloatArray:
    """B_i of buyers with a logarithmic value, given how far they are from their two bounds."""
    ratio = price / marginal
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = weight * (ratio - 1.0) ** 2 / (2.0 * np.minimum(ratio, 1.0))
    missed = marginal - price
    at_bound: FloatArray = np.where(missed >= 0, missed * above, -missed * below)
    return np.minimum(inside, np.maximum(at_bound, 0.0))


def _buyers_gap(core: Core, price: FloatArray, bought: FloatArray) -> FloatArray:
    return concave_gap(
        price, core.value_slope(bought), core.weight, bought - core.least, core.most - bought
    )


def _value(core: Core, bought: FloatArray) -> float:
    return float(core.weight @ np.log1p((bought - core.least) / core.knee))


def _within(amounts: FloatArray, room: float) -> tuple[FloatArray, float]:
    """Amounts cut alike so as to sum to at most `room`, and their sum."""
    total = float(np.add.reduce(amounts))
    return (amounts, total) if total <= room else (amounts * (room / total), room)


def _exports(core: Core, prices: Prices, left: FloatArray) -> tuple[FloatArray, float]:
    """Sellers at the floor export what they have left: first those who gain, then, as far as
    the room goes, those to whom it is all the same."""
    if core.export_room <= 0:
        return np.zeros_like(left), 0.0
    at_floor = prices.reserve <= prices.floor
    gains = at_floor & (core.cost < prices.floor)
    exports, total = _within(np.where(gains, left, 0.0), core.export_room)
    even, more = np.where(at_floor & ~gains, left, 0.0), 0.0
    if prices.floor < core.feed_in:
        even, more = _within(even, core.export_room - total)
        exports = exports + even
    return exports, total + more


def _violation(core: Core, bought: FloatArray, left: FloatArray) -> float:
    worst = [0.0]
    if len(bought):
        worst.append(float(np.maximum.reduce(core.least - bought)))
        worst.append(float(np.maximum.reduce(bought - core.most)))
    if len(left):
        worst.append(-float(np.minimum.reduce(left)))
    return max(worst)
