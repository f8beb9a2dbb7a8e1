"""Sellers answer buyers' prices where everybody can trade with everybody: sorted, exactly.

Knows numpy and the restated book. Knows nothing of buyers' utilities, nor of Newton's method.

Given buyers' prices p, seller j's best price t_j (its cost plus scarcity) solves

    sum_i (p_i - t_j)_+ = M_j / y_j,    t_j >= its floor,

a root that prefix sums over the sorted p give in closed form. The second derivative of what all
sellers gain is a diagonal less U diag(c) U', where column k of U marks the k highest prices and
c_k is the sum of y_j / k over full sellers j who trade with exactly those k: a staircase. In the
running sums of the unknowns it is tridiagonal, so that a Newton step costs O(buyers + sellers).
Where every pair trades there is one stair, and nothing needs sorting.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.welfare_book import Core
from peerwatt.mechanisms.welfare_certificate import TradeSums
from peerwatt.mechanisms.welfare_floor import floor_for_room
from peerwatt.mechanisms.welfare_tridiagonal import solve_tridiagonal

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.intp]

RIDGE = 1e-12
"""Relative, to keep definite what rounding could make singular."""


class OneStair(NamedTuple):
    """Every pair trades: full sellers share c = full_slope / buyers."""

    full_slope: float
    """Sum of y_j of full sellers."""


class Stairs(NamedTuple):
    """Full sellers trade with the 1, 2, ... highest prices."""

    order: IntArray
    """Buyers by falling price."""
    ends: IntArray
    """With how many, ascending, where there is such a seller."""
    pull: FloatArray
    """c_k > 0 of these."""


@dataclass(slots=True)
class Sales:
    """What the sellers do at given prices; prices are counted from the market's base."""

    reserve: FloatArray
    """(sellers,) t_j."""
    floor: float
    """Price at which the grid takes what is left."""
    bought: FloatArray
    """(buyers,) sum_j e_ij."""
    slope: FloatArray | float
    """(buyers,) how `bought` would grow with a buyer's own price, all t_j held."""
    entry: float
    """Price above which a buyer is served; minus infinity where all are."""
    stairs: OneStair | Stairs


class _Reserve(NamedTuple):
    price: FloatArray
    """(sellers,) t_j."""
    floor: float
    full: BoolArray
    """(sellers,) who sells all, so that t_j moves with buyers' prices."""


class _Group(NamedTuple):
    """Buyers at the grid's price, which its room moves: `size` of them share one step s, with
    diagonal s - size Q = lift, where `diagonal` is the sum of theirs."""

    size: int
    diagonal: float
    lift: float

    def shared_step(self, rise: float) -> float:
        return (self.lift + self.size * rise) / self.diagonal


class Staircase:
    """All sellers of a book without factors per pair."""

    def __init__(self, core: Core, base: float) -> None:
        self.core, self.base = core, base
        self.slope = core.pair_slope
        self.total_slope = float(np.add.reduce(self.slope))
        self.level = core.room / self.slope
        self.cost = core.cost - base
        self.feed_in = core.feed_in - base

    @cached_property
    def _by_level(self) -> tuple[IntArray, FloatArray]:
        """Sellers by rising level: `searchsorted` is several times faster on sorted keys."""
        order = np.argsort(self.level)
        return order, self.level[order]

    @cached_property
    def _by_cost(self) -> IntArray:
        return np.argsort(self.cost)

    def sell(self, price: FloatArray) -> Sales:
        """The sellers' best answer to prices (buyers,) counted from the base."""
        if len(price) and len(self.level):
            everybody = _Everybody(price)
            reserve = self._reserve(everybody.sold_out(self.level), everybody)
            if np.maximum.reduce(reserve.price) < np.minimum.reduce(price):
                return Sales(
                    reserve=reserve.price,
                    floor=reserve.floor,
                    bought=price * self.total_slope - self.slope @ reserve.price,
                    slope=self.total_slope,
                    entry=-np.inf,
                    stairs=OneStair(float(self.slope @ reserve.full)),
                )
        return self._sell_in_order(price)

    def _reserve(self, sold_out: FloatArray, buyers: _Everybody | _Ladder) -> _Reserve:
        """Prices no lower than cost and floor, given those at which each would sell out."""
        alone = np.maximum(sold_out, self.cost)
        if self.core.export_room <= 0:
            return _Reserve(alone, -np.inf, alone > self.cost)

        def sold_at(price: float, among: BoolArray) -> tuple[float, float]:
            above, count = buyers.above(price)
            slope = float(self.slope[among].sum())
            return slope * above, slope * count

        floor, moves = floor_for_room(
            alone, self.core.room, sold_at, feed_in=self.feed_in, room=self.core.export_room
        )
        price = np.maximum(alone, floor)
        full = price > np.maximum(self.cost, floor)
        if moves:
            # Together these sell all but the grid's room: their price moves as if each were full.
            full |= (price == floor) & (self.cost < floor)
        return _Reserve(price, floor, full)

    def _sell_in_order(self, price: FloatArray) -> Sales:
        ladder, count = _Ladder(price), len(price)
        order, level = self._by_level
        sold_out, traded = np.empty_like(level), np.empty(len(level), dtype=np.intp)
        sold_out[order], traded[order] = ladder.sold_out(level)
        reserve, floor, full = self._reserve(sold_out, ladder)
        # The others trade with whom their price reaches; sorted keys again.
        rest = self._by_cost
        rest = rest[(~full | (reserve == floor))[rest]]
        traded[rest] = ladder.count_above(reserve[rest])
        slopes, bought = self._by_rank(ladder, traded, reserve)
        full = full & (traded > 0)
        width = np.bincount(traded[full], self.slope[full], count + 1)
        ends = np.flatnonzero(width)
        return Sales(
            reserve=reserve,
            floor=floor,
            bought=bought,
            slope=slopes,
            entry=float(np.min(reserve, initial=np.inf, where=self.level > 0)),
            stairs=Stairs(ladder.order, ends, width[ends] / ends),
        )

    def _by_rank(
        self, ladder: _Ladder, traded: IntArray, reserve: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """(buyers,) sums of y_j, and of (p_i - t_j) y_j, over the sellers who trade with each."""
        count = len(ladder.price)
        slope = _from_the_end(np.bincount(traded, self.slope, count + 1))
        offset = _from_the_end(np.bincount(traded, self.slope * reserve, count + 1))
        slopes, bought = np.empty(count), np.empty(count)
        slopes[ladder.order] = slope
        bought[ladder.order] = np.maximum(ladder.price * slope - offset, 0.0)
        return slopes, bought

    def step(
        self,
        sales: Sales,
        excess: FloatArray,
        curvature: FloatArray,
        held: BoolArray | None,
        lift: float | None,
    ) -> FloatArray:
        """Newton's step of prices, (buyers,): see `welfare_newton.Market`."""
        diagonal = curvature + sales.slope
        inverse = 1.0 / diagonal
        scaled = excess * inverse
        group: _Group | None = None
        if held is not None:
            inverse[held] = scaled[held] = 0.0
            if lift is not None:
                group = _Group(int(held.sum()), float(diagonal[held].sum()), lift)
        if isinstance(sales.stairs, OneStair):
            fixed = 0 if held is None else int(held.sum())
            spare = curvature + (self.total_slope - sales.stairs.full_slope)
            top = _one_rise(sales.stairs.full_slope, spare, inverse, scaled, fixed, group)
            step = scaled + top * inverse
        else:
            top, step = _rises(sales.stairs, inverse, scaled, group)
        if held is not None:
            step[held] = 0.0 if group is None else group.shared_step(top)
        return step

    def sums(self, price: FloatArray, reserve: FloatArray) -> TradeSums:
        """The pair trades of prices counted from the base."""
        slope = self.slope
        if len(price) and len(reserve) and np.maximum.reduce(reserve) < np.minimum.reduce(price):
            total, count = float(np.add.reduce(price)), len(price)
            sold = slope * (total - count * reserve)
            income = slope * (float(price @ price) - total * reserve) + self.base * sold
            return TradeSums(price * self.total_slope - slope @ reserve, sold, income)
        ladder = _Ladder(price)
        traded = np.empty(len(reserve), dtype=np.intp)
        order = self._by_level[0]
        traded[order] = ladder.count_above(reserve[order])
        bought = self._by_rank(ladder, traded, reserve)[1]
        above = ladder.sums[traded]
        squares = np.concatenate([[0.0], np.cumsum(ladder.price**2)])[traded]
        sold = slope * (above - traded * reserve)
        income = slope * (squares - reserve * above) + self.base * sold
        return TradeSums(bought, sold, income)


class _Everybody:
    """Buyers' prices as they count where all of them lie above every reserve price."""

    def __init__(self, price: FloatArray) -> None:
        self.count = len(price)
        self.total = float(np.add.reduce(price))

    def sold_out(self, level: FloatArray) -> FloatArray:
        return (self.total - level) / self.count

    def above(self, price: float) -> tuple[float, int]:
        """(sum of prices less `price`, how many are above it)."""
        return self.total - self.count * price, self.count


class _Ladder:
    """Buyers' prices sorted, with their running sums."""

    def __init__(self, price: FloatArray) -> None:
        self.order: IntArray = np.argsort(price)[::-1]
        self.price = price[self.order]
        self.rising = self.price[::-1]
        self.sums = np.concatenate([[0.0], np.cumsum(self.price)])

    def sold_out(self, level: FloatArray) -> tuple[FloatArray, IntArray]:
        """(t, n) with sum over the n highest prices of (p - t) = level, for rising levels."""
        count = len(self.price)
        if not count:
            return np.full(len(level), -np.inf), np.zeros(len(level), dtype=np.intp)
        kinks = self.sums[1:-1] - np.arange(1, count) * self.price[1:]
        traded = 1 + np.searchsorted(kinks, level)
        reserve = (self.sums[traded] - level) / traded
        # Who has nothing to sell trades with nobody, not even at the highest price.
        traded[: np.searchsorted(level, 0.0, side="right")] = 0
        return reserve, traded

    def count_above(self, price: FloatArray) -> IntArray:
        return len(self.rising) - np.searchsorted(self.rising, price, side="right")

    def above(self, price: float) -> tuple[float, int]:
        """(sum of prices above `price` less it, how many these are)."""
        count = len(self.rising) - int(np.searchsorted(self.rising, price, side="right"))
        return float(self.sums[count]) - count * price, count


def _from_the_end(sums: NDArray[np.number]) -> FloatArray:
    """Sums over all who trade with at least 1, 2, ... buyers, from sums by their number."""
    return np.cumsum(sums[:0:-1], dtype=np.float64)[::-1]


def _one_rise(
    full_slope: float,
    spare: FloatArray,
    inverse: FloatArray,
    scaled: FloatArray,
    fixed: int,
    group: _Group | None,
) -> float:
    """Q = c sum(x) where every pair trades: Q = c R / (1 - c G) with R and G the sums of
    `scaled` and `inverse`, and n (1 - c G) written so that nothing cancels."""
    if full_slope == 0:
        return 0.0
    total, margin = float(np.add.reduce(scaled)), float(spare @ inverse) + fixed
    if group is not None:
        total += group.size * group.lift / group.diagonal
        margin -= group.size * group.size * full_slope / group.diagonal
    return full_slope * total / margin


def _rises(
    stairs: Stairs, inverse: FloatArray, scaled: FloatArray, group: _Group | None
) -> tuple[float, FloatArray]:
    """(Q of the highest stair, x = scaled + Q inverse).

    With x's running sums P at the stairs' ends, P_b - P_(b-1) = R_b + G_b Q_b and
    Q_b - Q_(b+1) = c_b P_b; without P this is tridiagonal in Q, symmetric, positive definite.
    """
    order, ends, pull = stairs
    if not len(ends):
        return 0.0, scaled
    served = order[: ends[-1]]
    starts = np.concatenate([[0], ends[:-1]])
    total = np.add.reduceat(scaled[served], starts)
    width = np.add.reduceat(inverse[served], starts)
    if group is not None:
        total[0] += group.size * group.lift / group.diagonal
        width[0] += group.size * group.size / group.diagonal
    stiff = 1.0 / pull
    diagonal = stiff - (1 - RIDGE) * width
    diagonal[1:] += stiff[:-1]
    rise = solve_tridiagonal(diagonal, -stiff[:-1], total)
    # The diagonal has lost digits of `width`: once more, for what is left without them.
    fall = stiff * (rise - np.append(rise[1:], 0.0))
    rest = total + width * rise - fall
    rest[1:] += fall[:-1]
    rise += solve_tridiagonal(diagonal, -stiff[:-1], rest)
    step = scaled.copy()
    step[served] += np.repeat(rise, np.diff(ends, prepend=0)) * inverse[served]
    return float(rise[0]), step
