"""The prices of pairs behind feeders, by a primal-dual interior-point method.

Knows numpy and the restated book. Knows neither ledger nor agents, nor what proves the result.

With e_ij sent from j to i, g_i from the grid, h_j to it, a_i of a minimum and x_i beyond it:

    max  sum_i (L a_i + w_i ln(1 + x_i/b_i) - R g_i) - sum_ij (e_ij^2/(2 y_j) + l_j e_ij)
         + sum_j (F - l_j) h_j
    s.t. sum_j e_ij + g_i = a_i + x_i,  sum_i e_ij + h_j <= M_j,  sum g <= I,  sum h <= E,
         -export_k <= sum_{i in k} (a_i + x_i) - sum_{j in k} (sum_i e_ij + h_j) <= import_k,
         a_i <= lo_i,  x_i <= hi_i - lo_i,  all >= 0.

The multipliers of the balances are the buyers' prices at the bus, those of the feeders' rows by
how much energy is dearer there. Mehrotra's predictor and corrector (SIAM J. Optim. 2(4), 1992,
doi:10.1137/0802028); the pairs are eliminated first, so that a step solves one dense system in
the prices: O((buyers + sellers)^3) time and O(buyers sellers) memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.feeders import Feeders
from peerwatt.mechanisms.welfare_book import Core

MOST_STEPS = 100
ENOUGH = 1e-13
"""Complementarity and residuals, relative, at which no step can add anything."""
PATIENCE = 12
"""Steps without half the error left, after which rounding is all that is left."""
TO_THE_WALL = 0.995
SHORT = 0.1
"""Share of a corrected step below which the correction is dropped."""
LEAST_GOAL = 1e-16
"""Relative complementarity: beyond, multipliers vanish, and digits with them."""
STIFF = 1e-10
"""Relative curvature of every variable, for as long as it moves."""
RIDGE = 1e-13
"""Relative; it keeps definite what limits without room inside make singular."""


class Columns(NamedTuple):
    """One value per variable other than the pairs'."""

    fetched: FloatArray
    """(buyers,) g."""
    met: FloatArray
    """(buyers,) a."""
    extra: FloatArray
    """(buyers,) x."""
    handed: FloatArray
    """(sellers,) h."""
    left: FloatArray
    """(sellers,) of M."""
    flow: FloatArray
    """(feeders,) what flows in, counted from the export limit."""
    import_left: FloatArray
    """(1,)"""
    export_left: FloatArray
    """(1,)"""


class Optimum(NamedTuple):
    """Both sides of it: a value or its multiplier is zero, and whichever is smaller is noise."""

    price: FloatArray
    """(buyers,) at the bus."""
    reserve: FloatArray
    """(sellers,) at the bus."""
    dearer: FloatArray
    """(feeders,)"""
    import_rent: float
    export_rent: float
    value: Columns
    room: Columns
    """Up to the upper bounds; infinite where there is none."""
    worth_least: Columns
    """Multipliers of the lower bounds,"""
    worth_most: Columns
    """and of the upper."""
    steps: int


class _State(NamedTuple):
    """Pairs (buyers x sellers) flattened, then the columns."""

    value: FloatArray
    room: FloatArray
    """Up to the upper bound, kept apart as the difference would lose its digits."""
    least: FloatArray
    most: FloatArray
    prices: FloatArray
    marginal: FloatArray
    """(buyers,) of what each has beyond its minimum: w = marginal (x + b) at the end. As an unknown
    of its own it leaves the multipliers' equations linear."""


def solve(core: Core, feeders: Feeders) -> Optimum:
    """The optimum, as near as rounding lets one come; the caller has to prove it."""
    return _Method(core, feeders).run()


class _Method:
    """One run on one book. Rows: buyers, sellers, feeders, import, export."""

    def __init__(self, core: Core, feeders: Feeders) -> None:
        self.core, self.feeders = core, feeders
        self.buyers, self.sellers = len(core.weight), len(core.room)
        self.count = len(feeders.import_limit_kwh)
        self.pairs = self.buyers * self.sellers
        many = 1.0 + float(core.most.sum() + core.room.sum())
        into = np.minimum(feeders.import_limit_kwh, many)
        out = np.minimum(feeders.export_limit_kwh, many)
        endless_b, endless_s = np.full(self.buyers, np.inf), np.full(self.sellers, np.inf)
        self.width = np.concatenate([
            np.full(self.pairs, np.inf),
            endless_b if core.import_room > 0 else 0 * core.most,
            core.least, core.most - core.least,
            endless_s if core.export_room > 0 else 0 * core.room,
            endless_s, into + out,
            [np.inf if room > 0 else 0.0 for room in (core.import_room, core.export_room)],
        ])  # fmt: skip
        self.free = self.width > 0
        self.bounded = self.free & (self.width < np.inf)
        feeder_rooms = np.bincount(feeders.sellers, core.room, self.count + 1)[:-1]
        self.right = np.concatenate([
            np.zeros(self.buyers), -core.room, out - feeder_rooms,
            [-core.import_room, -core.export_room],
        ])  # fmt: skip
        self.matrix = self._matrix()
        self.linear = self._linear()
        self.quadratic = np.zeros(len(self.width))
        self.quadratic[: self.pairs] = np.tile(1.0 / core.pair_slope, self.buyers)
        self.extra = slice(self.pairs + 2 * self.buyers, self.pairs + 3 * self.buyers)
        self.energy = many / max(self.buyers + self.sellers, 1)

    def _matrix(self) -> FloatArray:
        """(rows, columns other than the pairs')."""
        n, m, k = self.buyers, self.sellers, self.count
        one, two = np.eye(n), np.eye(m)
        behind_b = np.equal.outer(np.arange(k), self.feeders.buyers) * 1.0
        behind_s = np.equal.outer(np.arange(k), self.feeders.sellers) * 1.0
        matrix = np.zeros((n + m + k + 2, 3 * n + 2 * m + k + 2))
        matrix[:n, : 3 * n] = np.hstack([one, -one, -one])
        matrix[n : n + m, 3 * n : 3 * n + 2 * m] = np.hstack([-two, -two])
        matrix[n + m : n + m + k, n : 3 * n] = np.hstack([-behind_b, -behind_b])
        matrix[n + m : n + m + k, 3 * n + m : 3 * n + 2 * m] = -behind_s
        matrix[n + m : n + m + k, 3 * n + 2 * m : -2] = np.eye(k)
        matrix[-2, :n] = matrix[-2, -2] = -1.0
        matrix[-1, 3 * n : 3 * n + m] = matrix[-1, -1] = -1.0
        return matrix

    def _linear(self) -> FloatArray:
        core, n, m = self.core, self.buyers, self.sellers
        retail = core.retail if core.import_room > 0 else 0.0
        feed_in = core.feed_in if core.export_room > 0 else 0.0
        return np.concatenate([
            np.tile(core.cost, n), np.full(n, retail), np.full(n, -core.lost_load), np.zeros(n),
            core.cost - feed_in, np.zeros(m + self.count + 2),
        ])  # fmt: skip

    def run(self) -> Optimum:
        state = best = self._start()
        best_error = np.inf
        steps = stalled = 0
        while steps < MOST_STEPS and stalled < PATIENCE:
            error = self._error(state)
            stalled += 1
            if error < 0.5 * best_error:
                stalled = 0
            if error < best_error:
                best, best_error = state, error
            if best_error < ENOUGH:
                break
            state = self._next(state)
            if not np.isfinite(state.prices).all():
                break
            steps += 1
        return self._optimum(best, steps)

    def _start(self) -> _State:
        value = np.where(self.bounded, self.width / 2, self.energy)
        reach = np.tile(self.core.pair_slope * self.core.lost_load, self.buyers)
        value[: self.pairs] = np.minimum(self.energy / max(self.sellers, 1), reach)
        worth = np.full(len(value), self.core.lost_load)
        return _State(
            np.where(self.free, value, 0.0),
            np.where(self.bounded, value, 0.0),
            np.where(self.free, worth, 0.0),
            np.where(self.bounded, worth, 0.0),
            np.zeros(len(self.right)),
            self.core.weight / (value[self.extra] + self.core.knee),
        )

    def _across(self, value: FloatArray) -> FloatArray:
        """A v."""
        pairs = value[: self.pairs].reshape(self.buyers, self.sellers)
        rows = self.matrix @ value[self.pairs :]
        rows[: self.buyers] += pairs.sum(axis=1)
        rows[self.buyers : self.buyers + self.sellers] -= pairs.sum(axis=0)
        return np.asarray(rows, dtype=np.float64)

    def _down(self, prices: FloatArray) -> FloatArray:
        """A' p."""
        n, m = self.buyers, self.sellers
        pairs = np.subtract.outer(prices[:n], prices[n : n + m]).ravel()
        return np.concatenate([pairs, self.matrix.T @ prices])

    def _system(self, give: FloatArray) -> FloatArray:
        """A diag(give) A'."""
        n, m = self.buyers, self.sellers
        pairs = give[: self.pairs].reshape(n, m)
        system = (self.matrix * give[self.pairs :]) @ self.matrix.T
        at = np.arange(n + m)
        system[at, at] += np.concatenate([pairs.sum(axis=1), pairs.sum(axis=0)])
        system[:n, n : n + m] -= pairs
        system[n : n + m, :n] -= pairs.T
        return np.asarray(system, dtype=np.float64)

    def _dual_rest(self, state: _State) -> FloatArray:
        rest = self.linear + self.quadratic * state.value - self._down(state.prices)
        rest += state.most - state.least
        rest[self.extra] -= state.marginal
        return np.where(self.free, rest, 0.0)

    def _curve_rest(self, state: _State) -> FloatArray:
        reach = state.value[self.extra] + self.core.knee
        return np.where(self.free[self.extra], self.core.weight - reach * state.marginal, 0.0)

    def _mean(self, state: _State) -> float:
        total = float(state.value @ state.least + state.room @ state.most)
        return total / max(int(self.free.sum() + self.bounded.sum()), 1)

    def _error(self, state: _State) -> float:
        """The worst of what is left, relative."""
        primal = float(np.abs(self.right - self._across(state.value)).max())
        dual = float(np.abs(self._dual_rest(state)).max())
        worth = self.core.lost_load
        missed = float(np.abs(self._curve_rest(state)).max(initial=0.0))
        worst = max(np.max(state.value * state.least), np.max(state.room * state.most), missed)
        return float(max(primal / self.energy, dual / worth, worst / (self.energy * worth)))

    def _next(self, state: _State) -> _State:
        room = np.where(self.bounded, state.room, 1.0)
        value = np.where(self.free, state.value, 1.0)
        reach = state.value[self.extra] + self.core.knee
        curvature = self.quadratic + state.least / value + state.most / room
        curvature[self.extra] += state.marginal / reach
        curvature += STIFF * self.core.lost_load / self.energy
        give = np.where(self.free, 1.0 / np.where(self.free, curvature, 1.0), 0.0)
        system = self._system(give)
        exact = system
        size = 1.0 / np.sqrt(np.where(np.diag(system) > 0, np.diag(system), 1.0))
        system = system * np.outer(size, size) + RIDGE * np.eye(len(size))
        dual = self._dual_rest(state)
        primal = self.right - self._across(state.value)

        def direction(below: FloatArray, above: FloatArray, curve: FloatArray) -> _State:
            push = dual - below / value + above / room
            push[self.extra] -= curve / reach
            push = np.where(self.free, push, 0.0)
            right = primal + self._across(give * push)
            prices = size * np.linalg.solve(system, size * right)
            prices += size * np.linalg.solve(system, size * (right - exact @ prices))
            step = give * (self._down(prices) - push)
            least = np.where(self.free, (below - state.least * step) / value, 0.0)
            most = np.where(self.bounded, (above + state.most * step) / room, 0.0)
            marginal = (curve - state.marginal * step[self.extra]) / reach
            back = np.where(self.bounded, -step, 0.0)
            return _State(step, back, least, most, prices, marginal)

        mean = self._mean(state)
        below, above = -value * state.least, -room * state.most
        missed = self._curve_rest(state)
        guess = direction(below, above, missed)
        share = self._share(state, guess)
        goal = mean * (self._mean(_moved(state, guess, share)) / mean) ** 3
        goal = max(goal, LEAST_GOAL * self.energy * self.core.lost_load)
        step = direction(
            below + goal - guess.value * guess.least,
            above + goal - guess.room * guess.most,
            missed - guess.value[self.extra] * guess.marginal,
        )
        if self._share(state, step) < SHORT:
            step = direction(below + mean / 2, above + mean / 2, missed)
        return _moved(state, step, TO_THE_WALL * self._share(state, step))

    def _share(self, state: _State, step: _State) -> float:
        """Of a step, up to the next bound."""
        shares = [1.0 / TO_THE_WALL]
        for at, move, among in (
            (state.value, step.value, self.free),
            (state.room, step.room, self.bounded),
            (state.least, step.least, self.free),
            (state.most, step.most, self.bounded),
            (state.marginal, step.marginal, self.free[self.extra]),
        ):
            falling = among & (move < 0)
            if falling.any():
                shares.append(float((-at[falling] / move[falling]).min()))
        return min(shares)

    def _optimum(self, state: _State, steps: int) -> Optimum:
        n, m, k = self.buyers, self.sellers, self.count
        prices = state.prices
        return Optimum(
            price=prices[:n],
            reserve=self.core.cost + prices[n : n + m],
            dearer=prices[n + m : n + m + k],
            import_rent=float(prices[-2]),
            export_rent=float(prices[-1]),
            value=self._columns(state.value),
            room=self._columns(np.where(self.bounded, state.room, self.width)),
            worth_least=self._columns(state.least),
            worth_most=self._columns(state.most),
            steps=steps,
        )

    def _columns(self, values: NDArray[np.float64]) -> Columns:
        n, m = self.buyers, self.sellers
        ends = np.cumsum([self.pairs, n, n, n, m, m, self.count, 1])
        return Columns(*np.split(values, ends)[1:])


def _moved(state: _State, step: _State, share: float) -> _State:
    return _State(*(at + share * move for at, move in zip(state, step, strict=True)))
