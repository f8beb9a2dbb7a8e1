"""Sellers answer buyers' prices where each pair has an efficiency of its own: pair by pair.

Knows numpy and the restated book, with its matrix of factors r. Knows nothing of buyers'
utilities, nor of Newton's method. Time per answer is O(I J), per step O(I^2 J) by matrix
products: for up to a few thousand on a side. A factor of zero forbids a pair.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.welfare_book import Core, InfeasibleError
from peerwatt.mechanisms.welfare_certificate import TradeSums
from peerwatt.mechanisms.welfare_floor import floor_for_room

BoolArray = NDArray[np.bool_]


@dataclass(slots=True)
class Sales:
    """What the sellers do at given prices; prices are counted from the market's base."""

    reserve: FloatArray
    """(sellers,) t_j."""
    floor: float
    """Price at which the grid takes what is left."""
    bought: FloatArray
    """(buyers,) sum_j r_ij e_ij."""
    slope: FloatArray
    """(buyers,) how `bought` would grow with a buyer's own price, all t_j held."""
    entry: FloatArray
    """(buyers,) price above which each is served; minus infinity where it is."""
    pull: FloatArray
    """(buyers, columns) P of the sellers' Hessian diag(slope) - P P': for each full seller
    r_ij sqrt(y_j / n_j) of the n_j buyers it trades with."""


RIDGE = 1e-13
"""Relative, so that rounding leaves the Hessian definite."""


class Dense:
    """All sellers of a book with factors per pair."""

    def __init__(self, core: Core, base: float) -> None:
        if core.factors is None:
            raise ValueError("a book without factors per pair")
        self.core, self.factors, self.base = core, core.factors, base
        self.level = core.room / core.pair_slope
        self.cost = core.cost - base
        self.feed_in = core.feed_in - base
        self.total_slope = float(np.add.reduce(core.pair_slope))

    def sell(self, price: FloatArray) -> Sales:
        """The sellers' best answer to prices (buyers,) counted from the base."""
        core, factors = self.core, self.factors
        worth = factors * (price + self.base)[:, None]
        reserve, floor, moves = self._reserve(worth)
        trades = worth > reserve
        energy = np.where(trades, worth - reserve, 0.0) * core.pair_slope
        traded = np.where(trades, factors, 0.0)
        slope = (traded * traded) @ core.pair_slope
        return Sales(
            reserve=reserve - self.base,
            floor=floor - self.base,
            bought=np.einsum("ij,ij->i", factors, energy),
            slope=slope,
            entry=self._entry(reserve, slope == 0),
            pull=self._pull(traded, np.add.reduce(trades, axis=0), reserve, floor, moves),
        )

    def _entry(self, reserve: FloatArray, unserved: BoolArray) -> FloatArray:
        entry = np.full(len(unserved), -np.inf)
        if unserved.any() and len(reserve):
            # Who has nothing to sell asks for more than anybody pays, whatever that is.
            reach = self.factors[unserved] * (self.level > 0)
            needed = np.full(reach.shape, np.inf)
            np.divide(reserve, reach, out=needed, where=reach > 0)
            entry[unserved] = np.minimum.reduce(needed, axis=1) - self.base
        return entry

    def _pull(
        self, traded: FloatArray, count: FloatArray, reserve: FloatArray, floor: float, moves: bool
    ) -> FloatArray:
        slope = self.core.pair_slope
        full = (reserve > np.maximum(self.core.cost, floor)) & (count > 0) & (self.level > 0)
        pull = traded[:, full] * np.sqrt(slope[full] / count[full])
        if not moves:
            return pull
        # Sellers at a floor that moves sell together all but the grid's room.
        together = (reserve == floor) & (self.core.cost < floor)
        total = float(slope[together] @ count[together])
        shared = traded[:, together] @ slope[together] / np.sqrt(total)
        return np.column_stack([pull, shared])

    def _reserve(self, worth: FloatArray) -> tuple[FloatArray, float, bool]:
        """(t, floor, whether the floor moves), not counted from the base."""
        core = self.core
        alone = np.maximum(_sold_out(worth, self.level), core.cost)
        if core.export_room <= 0:
            return alone, -np.inf, False

        def sold_at(price: float, among: BoolArray) -> tuple[float, float]:
            above = worth[:, among] > price
            slope = core.pair_slope[among]
            sold = np.add.reduce(np.where(above, worth[:, among] - price, 0.0), axis=0)
            return float(slope @ sold), float(slope @ np.add.reduce(above, axis=0))

        floor, moves = floor_for_room(
            alone, core.room, sold_at, feed_in=core.feed_in, room=core.export_room
        )
        return np.maximum(alone, floor), floor, moves

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
        if held is None:
            return _solve(_hessian(diagonal, sales.pull), excess)
        step = np.zeros(len(excess))
        pull, free = sales.pull[~held], diagonal[~held]
        right = excess[~held]
        if lift is None:
            step[~held] = _solve(_hessian(free, pull), right)
            return step
        # The held move as one buyer more.
        shared = np.add.reduce(sales.pull[held], axis=0)
        matrix = _hessian(np.append(free, np.add.reduce(diagonal[held])), np.vstack([pull, shared]))
        solution = _solve(matrix, np.append(right, lift))
        step[~held], step[held] = solution[:-1], solution[-1]
        return step

    def sums(self, price: FloatArray, reserve: FloatArray) -> TradeSums:
        """The pair trades of prices counted from the base."""
        worth = self.factors * (price + self.base)[:, None]
        energy = np.maximum(worth - (reserve + self.base), 0.0) * self.core.pair_slope
        return TradeSums(
            np.einsum("ij,ij->i", self.factors, energy),
            np.add.reduce(energy, axis=0),
            np.einsum("ij,ij->j", worth, energy),
        )


def refute(core: Core, price: FloatArray) -> None:
    """Raise InfeasibleError if these prices (buyers,), as weights of the minima, prove it.

    No clearing can bring buyers more, so weighed, than every seller's energy at the place where
    it counts most (Farkas' lemma). Prices of an infeasible book rise along such weights.
    """
    factors = core.factors
    if factors is None or not len(price) or not price.max() > 0:
        return
    weights = np.maximum(price, 0.0) / price.max()
    needed = float(weights @ core.least)
    best = np.max(factors * weights[:, None], axis=0, initial=0.0)
    available = float(core.room @ best) + core.import_room
    if needed > available * (1 + 1e-12):
        raise InfeasibleError(weights, needed_kwh=needed, available_kwh=available)


def refute_at_sight(core: Core) -> None:
    """Raise InfeasibleError where all buyers together, or one alone, prove it."""
    refute(core, np.ones(len(core.least)))
    if core.factors is not None:
        reach = core.factors @ core.room + core.import_room
        for row in np.flatnonzero(core.least > reach * (1 + 1e-12))[:1]:
            refute(core, (np.arange(len(reach)) == row).astype(np.float64))


def average_core(core: Core) -> Core:
    """The book without factors per pair whose sellers reach all buyers as they do on average."""
    if core.factors is None:
        return core
    if not core.factors.size:
        return replace(core, factors=None)
    mean = np.maximum(core.factors.mean(axis=0), 1e-12)
    return replace(
        core,
        factors=None,
        pair_slope=core.pair_slope * mean * mean,
        room=core.room * mean,
        cost=core.cost / mean,
    )


def _hessian(diagonal: FloatArray, pull: FloatArray) -> FloatArray:
    matrix = -(pull @ pull.T)
    matrix.reshape(-1)[:: len(diagonal) + 1] += diagonal * (1 + RIDGE)
    return matrix


def _solve(matrix: FloatArray, right: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.solve(matrix, right), dtype=np.float64)


def _sold_out(worth: FloatArray, level: FloatArray) -> FloatArray:
    """(sellers,) t with sum_i (worth_ij - t_j)_+ = level_j: Newton from the left, which ends.

    With all buyers the root is never too high; then, again and again, with those above it
    (Michelot, J. Optim. Theory Appl. 50, 1986, doi:10.1007/BF00938486).
    """
    if not worth.size:
        return np.full(len(level), -np.inf)
    reserve = (np.add.reduce(worth, axis=0) - level) / len(worth)
    while True:
        above = worth > reserve
        count = np.add.reduce(above, axis=0)
        total = np.add.reduce(np.where(above, worth, 0.0), axis=0) - level
        higher = total / np.maximum(count, 1)
        rising = (higher > reserve) & (count > 0)
        if not rising.any():
            break
        reserve = np.where(rising, higher, reserve)
    highest: FloatArray = np.maximum.reduce(worth, axis=0)
    return np.where(level > 0, reserve, highest)
