"""The rents at which bids are filled within limits: how the auction's problem A is solved.

Knows numpy alone. Knows neither who bids nor why; `iterative_auction` checks what comes in here.

Whoever bids b_ij on energy that costs s_ij a kWh gets d_ij = b_ij / q_ij of it, at the price
q_ij = s_ij + gamma_j + nu_i. The rents minimise the dual of PETCON's problem A (eq. 10),

    - sum_ij b_ij ln q_ij + sum_j gamma_j supply_j + sum_i max(nu_i maximum_i, nu_i minimum_i),

over gamma >= 0 and nu of either sign: convex, and steep where a price comes near zero. Given the
sellers' rents each buyer's is the root of a function of one number, and the other way round: a
sweep over both never raises the dual, but is slow where many limits bind on both sides. There
Newton's step in all rents that are not at zero, projected on their signs, ends it (Bertsekas,
SIAM J. Control Optim. 20(2), 1982, doi:10.1137/0320018).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.welfare_newton import NotConvergedError

BoolArray = NDArray[np.bool_]

ROOT_STEPS = 40
ROOT_TOLERANCE = 1e-6
"""Of a sweep's roots, relative: Newton's step makes up for the rest."""
MOST_SWEEPS = 400
ROUNDING = 1e-6
"""Relative error of a limit below which lack of progress is rounding: rents that nearly cancel."""
STALLED = 6
REFUTE_EVERY = 10
RIDGE = 1e-13
"""Relative, so that the system has a solution where all limits bind: there the rents of one side
may rise by what those of the other fall."""
TRIALS = 30
TOO_FAR = 8.0
"""No rent moves in one step by more than this many times the highest rent or price."""


@dataclass(slots=True)
class Bids:
    """Checked bids, (I, J), and their limits; see `iterative_auction.solve_allocation`."""

    payments: FloatArray
    unit_prices: FloatArray
    """Infinite where nothing is bid, so that nothing is got."""
    minimum: FloatArray
    maximum: FloatArray
    supply: FloatArray


@dataclass(slots=True)
class Rents:
    """Rents, what they make everybody get, and which limits they are for."""

    buyers: FloatArray
    sellers: FloatArray
    price: FloatArray
    """(I, J) q."""
    energy: FloatArray
    """(I, J) d."""
    bought: FloatArray
    sold: FloatArray
    bound: FloatArray
    """(I,) the limit that each buyer's rent is for, or would be."""
    bound_buyers: BoolArray
    bound_sellers: BoolArray
    """Those for whom a rent of zero is wrong."""
    excess_bought: FloatArray
    excess_sold: FloatArray
    """By how much these exceed their limits, zero for others: minus the dual's slopes."""
    error: float
    """The greatest excess, up or down, relative to its limit."""


class BidDual:
    """One solve: `solve` returns the rents, `sweeps` counts sweeps and Newton's steps."""

    def __init__(self, bids: Bids) -> None:
        self.bids = bids
        self.fixed = bids.minimum == bids.maximum
        self.dearest = float(np.max(bids.unit_prices, where=bids.payments > 0, initial=0.0))
        self.sweeps = 0

    def solve(
        self,
        start: tuple[FloatArray, FloatArray] | None,
        tolerance: float,
        refute: Callable[[FloatArray], None],
    ) -> Rents:
        """From rents (buyers, sellers) or from none. `refute` is shown buyers' rents now and then,
        to see whether they prove that the limits exclude one another: they then fall without end.

        Raises NotConvergedError.
        """
        here = best = self._sweep(*self._start(start))
        stalled = 0
        while best.error > tolerance and not (best.error < ROUNDING and stalled >= STALLED):
            if self.sweeps >= MOST_SWEEPS:
                raise NotConvergedError(
                    f"no allocation in {MOST_SWEEPS} sweeps: a limit is missed by {best.error:.3g}"
                )
            here = self._newton(here) or self._sweep(here.buyers, here.sellers)
            stalled = 0 if here.error < 0.5 * best.error else stalled + 1
            if here.error < best.error:
                best = here
            if self.sweeps % REFUTE_EVERY == 0:
                refute(here.buyers)
        return best

    def _start(self, start: tuple[FloatArray, FloatArray] | None) -> tuple[FloatArray, FloatArray]:
        """Sellers' rents so high that no price is zero, whatever is asked."""
        bids = self.bids
        total = np.add.reduce(bids.payments, axis=0)
        enough = np.divide(total, bids.supply, out=np.zeros_like(total), where=bids.supply > 0)
        if start is None:
            return np.zeros_like(bids.minimum), enough
        return start[0], np.maximum(start[1], 1e-6 * enough)

    def _at(self, buyers: FloatArray, sellers: FloatArray, price: FloatArray) -> Rents:
        bids = self.bids
        energy = bids.payments / price
        bought, sold = np.add.reduce(energy, axis=1), np.add.reduce(energy, axis=0)
        upper = (buyers > 0) | ((buyers == 0) & (bought > bids.maximum))
        bound = np.where(upper, bids.maximum, bids.minimum)
        bound_buyers = (buyers != 0) | (bought > bids.maximum) | (bought < bids.minimum)
        bound_sellers = (sellers > 0) | (sold > bids.supply)
        excess_bought = np.subtract(bought, bound, out=np.zeros_like(bought), where=bound_buyers)
        excess_sold = np.subtract(sold, bids.supply, out=np.zeros_like(sold), where=bound_sellers)
        error = max(_greatest(excess_bought, bound), _greatest(excess_sold, bids.supply))
        return Rents(
            buyers=buyers,
            sellers=sellers,
            price=price,
            energy=energy,
            bought=bought,
            sold=sold,
            bound=bound,
            bound_buyers=bound_buyers,
            bound_sellers=bound_sellers,
            excess_bought=excess_bought,
            excess_sold=excess_sold,
            error=error,
        )

    def _sweep(self, buyers: FloatArray, sellers: FloatArray) -> Rents:
        """Buyers' rents given the sellers', then sellers' given those."""
        self.sweeps += 1
        bids = self.bids
        asked = bids.unit_prices + sellers
        buyers = _roots(asked, bids.payments, buyers, bids.minimum, bids.maximum)
        asked = bids.unit_prices + buyers[:, None]
        none = np.zeros_like(sellers)
        sellers = _roots(asked.T, bids.payments.T, sellers, none, bids.supply)
        return self._at(buyers, sellers, asked + sellers)

    def _newton(self, here: Rents) -> Rents | None:
        """Newton's step, cut until the dual falls along it; None where it does not."""
        self.sweeps += 1
        by_buyers, by_sellers = _step(here)
        upper = ~self.fixed & (here.bound == self.bids.maximum)
        lower = ~self.fixed & ~upper
        furthest = max(np.max(np.abs(by_buyers)), np.max(np.abs(by_sellers)))
        highest = max(self.dearest, np.max(here.buyers), np.max(here.sellers))
        share = min(1.0, TOO_FAR * highest / furthest) if furthest > 0 else 1.0
        for _ in range(TRIALS):
            buyers = here.buyers + share * by_buyers
            buyers[upper] = np.maximum(buyers[upper], 0.0)
            buyers[lower] = np.minimum(buyers[lower], 0.0)
            sellers = np.maximum(here.sellers + share * by_sellers, 0.0)
            price = self.bids.unit_prices + sellers + buyers[:, None]
            share *= 0.5
            if not np.minimum.reduce(price, axis=None) > 0:
                continue
            there = self._at(buyers, sellers, price)
            # The dual is convex: where its slope back to `here` is not below zero, it is less.
            slope = _along(there.bought - here.bound, buyers - here.buyers)
            slope += _along(there.sold - self.bids.supply, sellers - here.sellers)
            if slope >= 0 or there.error < 0.5 * here.error:
                return there
        return None


def _greatest(excess: FloatArray, limit: FloatArray) -> float:
    relative = np.divide(np.abs(excess), limit, out=np.zeros_like(excess), where=excess != 0)
    return float(np.maximum.reduce(relative, initial=0.0))


def _along(slopes: FloatArray, moved: FloatArray) -> float:
    return float(np.where(moved == 0, 0.0, slopes) @ moved)


def _roots(
    asked: FloatArray, payments: FloatArray, start: FloatArray, low: FloatArray, high: FloatArray
) -> FloatArray:
    """(rows,) x such that sum_j payments / (asked + x) is within [low, high], zero where it can.

    One over that sum is concave in x, so that Newton's method rises to the root from wherever it
    is below it; there is a place below it at which all prices are above zero.
    """
    root = np.zeros_like(start)
    with np.errstate(divide="ignore"):
        sums = np.add.reduce(payments / asked, axis=1)
    sums = np.where(np.minimum.reduce(asked, axis=1, initial=np.inf) > 0, sums, np.inf)
    rows = np.flatnonzero((sums < low) | (sums > high))
    if not len(rows):
        return root
    target = np.where(sums > high, high, low)[rows]
    if len(rows) < len(start):
        asked, payments = asked[rows], payments[rows]
    least = np.maximum.reduce(payments / target[:, None] - asked, axis=1)
    x = np.maximum(start[rows], least)
    for _ in range(ROOT_STEPS):
        price = asked + x[:, None]
        energy = payments / price
        total = np.add.reduce(energy, axis=1)
        missed = total / target - 1.0
        x = np.maximum(x + missed * total / np.einsum("ij,ij->i", energy, 1.0 / price), least)
        if np.maximum.reduce(np.abs(missed)) <= ROOT_TOLERANCE:
            break
    root[rows] = x
    return root


def _step(here: Rents) -> tuple[FloatArray, FloatArray]:
    """Newton's step of all rents that are for a limit, (I,) and (J,); the rest stay.

    Solved for the side with fewer of them, the other side's eliminated.
    """
    slopes = here.energy / here.price
    buyers, sellers = np.flatnonzero(here.bound_buyers), np.flatnonzero(here.bound_sellers)
    of_buyers = np.add.reduce(slopes, axis=1)[buyers]
    of_sellers = np.add.reduce(slopes, axis=0)[sellers]
    shared = slopes[np.ix_(buyers, sellers)]
    by_buyers, by_sellers = np.zeros_like(here.bought), np.zeros_like(here.sold)
    excess = here.excess_bought[buyers], here.excess_sold[sellers]
    if len(buyers) <= len(sellers):
        by_buyers[buyers], by_sellers[sellers] = _schur(shared, of_buyers, of_sellers, *excess)
    else:
        found = _schur(shared.T, of_sellers, of_buyers, *excess[::-1])
        by_sellers[sellers], by_buyers[buyers] = found
    return by_buyers, by_sellers


def _schur(
    shared: FloatArray, few: FloatArray, many: FloatArray, right: FloatArray, below: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Solve [[diag(few), shared], [shared', diag(many)]] (x, y) = (right, below)."""
    if not len(few):
        return right, below / many
    scaled = shared / np.sqrt(many)
    matrix = -(scaled @ scaled.T)
    matrix.reshape(-1)[:: len(few) + 1] += few * (1 + RIDGE)
    x: FloatArray = np.asarray(np.linalg.solve(matrix, right - shared @ (below / many)))
    return x, (below - x @ shared) / many
