"""What proves a welfare clearing: a bound on what any other clearing could add, without logs.

Knows prices, quantities and the book. Knows nothing of how they were found: it takes prices as
they are handed out and their pair trades, works out what follows for everybody, and bounds the
gap to the optimum by weak duality. Each step is rational, one pass over sorted prices, so that
integers can follow it.

With pair trades e = (r p - t)_+ y the pair terms of the duality gap vanish (prices that
are rounded after that leave (e's error)^2 / (2 y): nothing), and it is at most

    sum_i B_i + sum_j (t_j - l_j) left_j + (P - R) import room left + (F - f) export room left,

where left_j is what j neither sells nor exports, P = max(R, max p) and f = min(F, min t) are the
grid's two prices with what its limits are worth, and B_i is what buyer i could gain at price
p_i: with V' the marginal value of what it has and r = p / V',

    B_i = min( w (r - 1)^2 / (2 min(r, 1)),  (V' - p)_+ (most - D) + (p - V')_+ (D - least) ),

the first because r - 1 - ln r <= (r - 1)^2 / (2 min(r, 1)), the second because V is concave.
Where minima are soft, worth L per kWh, a buyer at p <= L also loses (L - p) (least - D)_+.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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


class Outcome(NamedTuple):
    """What prices make everybody trade, kWh at the bus, and the proof."""

    trades: TradeSums
    from_grid: FloatArray
    """(buyers,)"""
    to_grid: FloatArray
    """(sellers,)"""
    welfare: float
    certificate: Certificate


def certify(
    core: Core, price: FloatArray, reserve: FloatArray, wanted: FloatArray, trades: TradeSums
) -> Outcome:
    """What follows from prices (buyers,) and (sellers,), be they right or wrong, and its gap.

    No reserve price is below cost. `trades` are the prices' pair trades; whoever knows more digits
    of what prices differ by than they have themselves counts with these.
    `wanted` (buyers,) is what they would take in all: those at the grid's price fetch from it
    what sellers leave open, as far as its room goes. Where that or the prices break a limit of
    the book, the certificate says by how much, and its gap bounds nothing. Soft minima are no
    limits: what the grid's room leaves of them is unserved, in equal shares.
    """
    fetched = _fetched(core, price, wanted - trades.bought)
    bought = trades.bought + fetched.energy
    left = core.room - trades.sold
    handed = _handed(core, reserve, np.maximum(left, 0.0))
    left = left - handed.energy
    extra, below_most = bought - core.least, core.most - bought
    certificate = Certificate(
        buyers_gap=float(np.add.reduce(_buyers_gap(core, price, extra, below_most))),
        sellers_gap=float((reserve - core.cost) @ np.maximum(left, 0.0)),
        grid_gap=fetched.gap + handed.gap,
        traded_value=float(price @ bought) + handed.value,
        weight=float(np.add.reduce(core.weight)),
        violation_kwh=_violation(core, extra, below_most, left),
    )
    # Half of what lies between the prices of a pair is its quadratic cost.
    quadratic = float(price @ trades.bought - reserve @ trades.sold) / 2
    welfare = _utility(core, extra) - quadratic - float(core.cost @ trades.sold)
    if fetched.total > 0:
        welfare -= core.retail * fetched.total
    if handed.total > 0:
        welfare += float((core.feed_in - core.cost) @ handed.energy)
    return Outcome(trades, fetched.energy, handed.energy, welfare, certificate)


def _utility(core: Core, extra: FloatArray) -> float:
    if not core.soft:
        return float(core.weight @ np.log1p(extra / core.knee))
    met = float(np.add.reduce(core.least + np.minimum(extra, 0.0)))
    logs = core.weight @ np.log1p(np.maximum(extra, 0.0) / core.knee)
    return core.lost_load * met + float(logs)


def concave_gap(
    price: FloatArray | float,
    marginal: FloatArray,
    weight: FloatArray,
    below: FloatArray,
    above: FloatArray,
) -> FloatArray:
    """B_i of buyers with a logarithmic value, given how far they are from their two bounds."""
    missed = marginal - price
    at_bound: FloatArray = np.maximum(missed * above, -missed * below)
    ratio = price / marginal
    # The first bound says nothing of a price of zero; there the second is the less.
    inside = weight * (ratio - 1.0) ** 2 / (2.0 * np.clip(ratio, 1e-100, 1.0))
    return np.minimum(inside, np.maximum(at_bound, 0.0))


def _buyers_gap(
    core: Core, price: FloatArray, extra: FloatArray, below_most: FloatArray
) -> FloatArray:
    """`extra` is what each has beyond its minimum, `below_most` what it could take more."""
    if not core.soft:
        return concave_gap(price, core.weight / (extra + core.knee), core.weight, extra, below_most)
    missing = np.maximum(-extra, 0.0)
    extra, below_most = extra + missing, below_most - missing
    marginal = core.weight / (extra + core.knee)
    curve = concave_gap(price, marginal, core.weight, extra, below_most)
    return curve + (core.lost_load - price) * missing


class _Grid(NamedTuple):
    """What one side of the market exchanges with the grid, at the grid's price there."""

    energy: FloatArray
    total: float
    gap: float
    value: float


def _fetched(core: Core, price: FloatArray, open_: FloatArray) -> _Grid:
    """Imports: the grid's price is retail, or the highest of the buyers if its room is full."""
    if core.import_room <= 0 or not len(price):
        return _Grid(np.zeros_like(price), 0.0, 0.0, 0.0)
    cap = max(core.retail, float(np.maximum.reduce(price)))
    wanted = np.where(price >= cap, np.maximum(open_, 0.0), 0.0)
    energy, total = _within(wanted, core.import_room)
    return _Grid(energy, total, (cap - core.retail) * (core.import_room - total), cap * total)


def _handed(core: Core, reserve: FloatArray, left: FloatArray) -> _Grid:
    """Exports: the grid's price is the feed-in, or the lowest reserve price if its room is full.

    Sellers at it export what they have left: first those who gain, then, as far as the room
    goes, those to whom it is all the same.
    """
    if core.export_room <= 0 or not len(reserve):
        return _Grid(np.zeros_like(left), 0.0, 0.0, 0.0)
    floor = min(core.feed_in, float(np.minimum.reduce(reserve)))
    at_floor = reserve <= floor
    gains = at_floor & (core.cost < floor)
    energy, total = _within(np.where(gains, left, 0.0), core.export_room)
    if floor < core.feed_in:
        even, more = _within(np.where(at_floor & ~gains, left, 0.0), core.export_room - total)
        energy, total = energy + even, total + more
    gap = (core.feed_in - floor) * (core.export_room - total)
    return _Grid(energy, total, gap, floor * total)


def _within(amounts: FloatArray, room: float) -> tuple[FloatArray, float]:
    """Amounts cut alike so as to sum to at most `room`, and their sum."""
    total = float(np.add.reduce(amounts))
    return (amounts, total) if total <= room else (amounts * (room / total), room)


def _violation(core: Core, extra: FloatArray, below_most: FloatArray, left: FloatArray) -> float:
    worst = 0.0
    if len(extra):
        worst = max(worst, -float(np.minimum.reduce(below_most)))
        if not core.soft:
            worst = max(worst, -float(np.minimum.reduce(extra)))
    if len(left):
        worst = max(worst, -float(np.minimum.reduce(left)))
    return worst
