"""The rents at which bids are filled within limits: how the auction's problem A is solved.

Knows numpy alone. Knows neither who bids nor why; `iterative_auction` checks what comes in here.

Whoever bids b_ij on energy that costs s_ij a kWh gets d_ij = b_ij / q_ij of it, at the price
q_ij = s_ij + gamma_j + nu_i. The rents minimise the dual of PETCON's problem A (eq. 10),

    - sum_ij b_ij ln q_ij + sum_j gamma_j supply_j + sum_i max(nu_i maximum_i, nu_i minimum_i),

over gamma >= 0 and nu of either sign: convex, and steep where a price comes near zero. Given the
sellers' rents each buyer's is the root of a function of one number, and the other way round: a
sweep over both never raises the dual, but is slow where many limits bind on both sides. There
Newton's step in all rents that are not at zero, projected on their signs, ends it (Bertsekas,
SIAM J. Control Optim. 20(2), 1982, doi:10.1137/0320018). Where bids differ by so many orders that
these stall, `bid_interior` brings rents near enough first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.bid_interior import follow
from peerwatt.mechanisms.bid_system import Bids, BoolArray, solve_bordered
from peerwatt.mechanisms.welfare_newton import NotConvergedError

ROOT_STEPS = 40
ROOT_TOLERANCE = 1e-6
"""Of a sweep's roots, relative: Newton's step makes up for the rest."""
MOST_SWEEPS = 400
PRICE_DIGITS = 1e-15
"""Of a rent or asked price: what rounding takes from a price in which they nearly cancel."""
LEAST_ROUNDING, MOST_ROUNDING = 1e-9, 1e-3
LITTLE = 0.9
"""Of the error left by a step that did so little: a sweep does more where a price is near zero."""
STALLED = 6
"""Steps without half the error, after which what is left is rounding, if that can be so much."""
REFUTE_EVERY = 10
TRIALS = 30
TOO_FAR = 8.0
"""No rent moves in one step by more than this many times the highest rent or price."""


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
        stalled, stalls = 0, 0
        while best.error > tolerance:
            if stalled >= STALLED:
                refute(here.buyers)
                if best.error <= min(self._rounding(best), MOST_ROUNDING):
                    break
                stalls += 1
                if stalls == 1:
                    buyers, sellers = follow(self.bids, refute)
                    here = self._at(buyers, sellers, self._price(buyers, sellers))
                    best, stalled = min(here, best, key=lambda each: each.error), 0
            if self.sweeps >= MOST_SWEEPS:
                raise NotConvergedError(
                    f"no allocation in {MOST_SWEEPS} sweeps: a limit is missed by {best.error:.3g}"
                )
            there = self._newton(here, best.error)
            if there.error > LITTLE * here.error:
                there = self._sweep(there.buyers, there.sellers)
            here = there
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
        free = np.minimum.reduce(bids.unit_prices, axis=0, initial=np.inf) == 0
        return start[0], np.where(free, np.maximum(start[1], 1e-6 * enough), start[1])

    def _price(self, buyers: FloatArray, sellers: FloatArray) -> FloatArray:
        return np.asarray(self.bids.unit_prices + sellers + buyers[:, None])

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

    def _rounding(self, here: Rents) -> float:
        """The error that prices' last digits may leave."""
        parts = self.bids.unit_prices + here.sellers + np.abs(here.buyers)[:, None]
        digits = np.multiply(parts, PRICE_DIGITS, out=np.zeros_like(parts), where=here.energy > 0)
        moved = here.energy * (digits / here.price)
        return LEAST_ROUNDING + max(
            _greatest(np.add.reduce(moved, axis=1) * here.bound_buyers, here.bound),
            _greatest(np.add.reduce(moved, axis=0) * here.bound_sellers, self.bids.supply),
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
        return self._at(buyers, sellers, self._price(buyers, sellers))

    def _newton(self, here: Rents, best: float) -> Rents:
        """Newton's step, cut until the dual falls along it or the `best` error is halved; `here`
        where neither comes about."""
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
            price = self._price(buyers, sellers)
            share *= 0.5
            if not np.minimum.reduce(price, axis=None) > 0:
                continue
            there = self._at(buyers, sellers, price)
            # The dual is convex: where its slope back to `here` is not below zero, it is less.
            slope = _along(there.bought - here.bound, buyers - here.buyers)
            slope += _along(there.sold - self.bids.supply, sellers - here.sellers)
            if slope >= 0 or there.error < 0.5 * best:
                return there
        return here


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
    """Newton's step of all rents that are for a limit, (I,) and (J,); the rest stay."""
    slopes = here.energy / here.price
    return solve_bordered(
        slopes,
        (here.bound_buyers, here.bound_sellers),
        (np.add.reduce(slopes, axis=1), np.add.reduce(slopes, axis=0)),
        (here.excess_bought, here.excess_sold),
    )
