"""PETCON's iterative double auction: the buyer's, the seller's and the auctioneer's step.

Knows numpy and the book. Knows neither ledger, agents nor who speaks to whom; a buyer's or seller's
step takes that side's own parameters and what it was told that it would get, nothing else. How the
steps take turns until bids stand still is told in `auction_rounds`.

PETCON (Kang et al., IEEE Trans. Ind. Informatics 13(6), 2017, doi:10.1109/TII.2017.2709784): in
turns, buyer i bids b_ij, what it pays in all for the energy it has from j, and seller j asks s_ji
a kWh of what it sends to i; the auctioneer gives them what solves problem A (eq. 10),

    max sum_ij b_ij ln d_ij - s_ji d_ij   s.t.  minimum_i <= sum_j d_ij <= maximum_i,
                                                sum_i d_ij <= supply_j,

hence d_ij = b_ij / (s_ji + gamma_j + nu_i), where gamma_j >= 0 is what j's limit is worth and nu_i
what buyer i's are: above zero at its maximum, below at its minimum. Where bids and prices answer
what they lead to, that is the welfare optimum of `welfare`.

As printed, the turns mostly end in a cycle of two: a buyer whose marginal value falls by more than
some 2 % with 1 % more energy (a `steepness` R of 2) answers too much with too little. So both sides
damp what they say, each by its own answers alone: a buyer its bids by `theta_of`, a seller its asks
by `ask_shares`. No one has to be told anything for it.

Why so: near the end a pair's energy (log u), bid (log v) and price (log z) follow u = v - z,
v <- (1 - theta R) v - theta (1 - R) z, z <- phi k v + (1 - phi - phi k) z, where k is the part of
the price that rises with energy, and R zero where a pair changes and its buyer's total stays. With
phi = 1, asks undamped, that diverges for k near 1 and R > 1 however small theta; with phi = 1/2 and
theta R below 1 it shrinks for all k <= 1 (Jury's conditions). A buyer held at its minimum can make
k more, which shows as swings. Far from the end, and where limits come and go, nothing is proved.

All energy is counted where it meets, at the bus. With PETCON's efficiencies, of d that j sends
rho d arrives and eta rho d is charged: bounds on what is charged are divided by eta rho, and prices
are per kWh sent. Efficiencies a_i e_j that differ are no harder: prices over e_j, supplies times
e_j, bounds over a_i. The logarithm of an efficiency is a constant and leaves the problem.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.bid_dual import BidDual
from peerwatt.mechanisms.bid_system import Bids
from peerwatt.mechanisms.welfare_book import (
    CrossedBoundsError,
    InfeasibleError,
    NotFiniteError,
    PairBuyers,
    PairSellers,
    RangeError,
    ShapeError,
)

RELATIVE_ROUNDING = 1e-12
STEEP_AT_FIRST = 1.5
STEEPER = 0.1
LEAST_THETA = 0.05
ASK_SHARE = 0.5
CALMER, BOLDER = 0.5, 1.2
"""What a share of a new ask is multiplied by after a swing, and after a step without one."""
STANDS_STILL = 1e-6
"""Relative change of an energy below which it says nothing of its value's steepness."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BidAllocation:
    """What bids come to: energy in kWh and rents in coin per kWh, at the bus."""

    kwh: FloatArray
    """(I, J) d_ij = payment / (unit price + seller_rent_j + buyer_rent_i), to the last digit."""
    seller_rent: FloatArray
    """(J,) gamma_j >= 0."""
    buyer_rent: FloatArray
    """(I,) nu_i: above zero only at the maximum, below only at the minimum."""
    gap: float
    """No other allocation within the limits is better by more, in coin, in problem A."""
    violation_kwh: float
    """By how much the worst-kept limit is exceeded; rounding."""
    sweeps: int
    """Sweeps and Newton's steps that it took."""


def buyer_bids(buyers: PairBuyers, kwh: FloatArray) -> FloatArray:
    """Problem EB (eq. 8, 18): (I, J) what each pays for the energy (I, J) that it has, at the bus.

    b_ij = m_i d_ij with m_i = a_i w_i / (a_i sum_j d_ij - minimum_i + scale_i), of what it has at
    least its minimum. `buyers` may be one alone, and a column the grid's.
    """
    return marginal_values(buyers, kwh)[:, None] * kwh


def marginal_values(buyers: PairBuyers, kwh: FloatArray) -> FloatArray:
    """(I,) what one more kWh at the bus is worth to who has (I, J)."""
    share = np.asarray(buyers.efficiency)
    beyond = np.maximum(share * np.add.reduce(kwh, axis=1) - buyers.minimum_kwh, 0.0)
    return np.asarray(share * buyers.weight / (beyond + np.asarray(buyers.scale_kwh)))


def seller_asks(sellers: PairSellers, kwh: FloatArray) -> FloatArray:
    """Problem ES (eq. 9, 21): (I, J) what each asks a kWh at the bus, of what goes to each buyer.

    s_ji = (2 l1_j d_ji / e_j + l2_j) / e_j for (I, J) d at the bus, d / e as it is sent. `sellers`
    may be one alone.
    """
    share = np.asarray(sellers.efficiency)
    slope, least = 2.0 * np.asarray(sellers.quadratic_cost), np.asarray(sellers.linear_cost)
    return np.asarray((slope * (kwh / share) + least) / share)


def damped(before: FloatArray, after: FloatArray, theta: FloatArray | float) -> FloatArray:
    """Bids (I, J) of which the share `theta`, one for all or (I,), is new: b^(1-theta) new^theta.

    A bid of zero stays zero.
    """
    new = np.asarray(theta, dtype=np.float64).reshape(-1, 1)
    return np.asarray(before ** (1.0 - new) * after**new)


def steepness(
    value: FloatArray, energy: FloatArray, value_before: FloatArray, energy_before: FloatArray
) -> FloatArray:
    """(I,) R = -d ln m / d ln D between two answers; NaN where energy stood still.

    `value` (I,) is what one more kWh is worth, `energy` (I,) what each would have in all.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = np.log(energy / energy_before)
        fell = -np.log(value / value_before)
        return np.where(np.abs(moved) > STANDS_STILL, fell / moved, np.nan)


def theta_of(steep: FloatArray) -> FloatArray:
    """(I,) the share of a new bid: with 1 / R a buyer on its own would be right at once."""
    return np.clip(1.0 / (steep + STEEPER), LEAST_THETA, 1.0)


def ask_shares(shares: FloatArray, step: FloatArray, step_before: FloatArray) -> FloatArray:
    """(I, J) shares of new asks: half as much after an ask's wanted `step` has turned round, else
    a fifth more, up to a half. An ask moves by its share of that step."""
    swung = step * step_before < 0
    return np.clip(np.where(swung, shares * CALMER, shares * BOLDER), LEAST_THETA, ASK_SHARE)


def equal_shares(
    *, minimum_kwh: FloatArray, maximum_kwh: FloatArray, supply_kwh: FloatArray
) -> BidAllocation:
    """What an auctioneer who knows limits alone begins with: of each supply all get alike, as far
    as their limits, (I,) and (J,), let them. Raises as `solve_allocation` does."""
    shape = len(minimum_kwh), len(supply_kwh)
    return solve_allocation(
        np.ones(shape),
        np.zeros(shape),
        minimum_kwh=minimum_kwh,
        maximum_kwh=maximum_kwh,
        supply_kwh=np.minimum(supply_kwh, np.sum(maximum_kwh)),
    )


def solve_allocation(
    payments: FloatArray,
    unit_prices: FloatArray,
    *,
    minimum_kwh: FloatArray,
    maximum_kwh: FloatArray,
    supply_kwh: FloatArray,
    start: BidAllocation | None = None,
    tolerance: float = 1e-11,
) -> BidAllocation:
    """The auctioneer's step: PETCON's problem A (eq. 10), for bids (I, J), limits (I,) and (J,).

    `payments` and `unit_prices` are at least zero; who bids nothing gets nothing, and so does who
    may buy, or has to sell, nothing. `maximum_kwh` and `supply_kwh` may be infinite, but energy of
    infinite supply has a price above zero. The grid, at one price up to its import limit, is one
    more column. `start`, an earlier allocation of as many, saves sweeps. The limits that bind are
    met to `tolerance` of themselves, or as rounding lets them be.

    Raises `BookError` naming a wrong field, `InfeasibleError` with its proof where the minima
    cannot be met, `NotConvergedError`.
    """
    limits = tuple(
        np.asarray(each, dtype=np.float64) for each in (minimum_kwh, maximum_kwh, supply_kwh)
    )
    bids = _checked(np.asarray(payments), np.asarray(unit_prices), *limits)
    _refute_at_sight(bids)
    if start is not None and start.kwh.shape != bids.payments.shape:
        raise ShapeError(f"start has shape {start.kwh.shape}, payments {bids.payments.shape}")
    warm = None if start is None else (start.buyer_rent, start.seller_rent)
    dual = BidDual(bids)
    rents = dual.solve(warm, tolerance, partial(_refute, bids))
    for array in (rents.energy, rents.sellers, rents.buyers):
        array.setflags(write=False)
    return BidAllocation(
        kwh=rents.energy,
        seller_rent=rents.sellers,
        buyer_rent=rents.buyers,
        gap=allocation_gap(
            bids.payments,
            unit_prices,
            rents.energy,
            seller_rent=rents.sellers,
            buyer_rent=rents.buyers,
            minimum_kwh=bids.minimum,
            maximum_kwh=bids.maximum,
            supply_kwh=bids.supply,
        ),
        violation_kwh=_violation(bids, rents.bought, rents.sold),
        sweeps=dual.sweeps,
    )


def allocation_gap(
    payments: FloatArray,
    unit_prices: FloatArray,
    kwh: FloatArray,
    *,
    seller_rent: FloatArray,
    buyer_rent: FloatArray,
    minimum_kwh: FloatArray,
    maximum_kwh: FloatArray,
    supply_kwh: FloatArray,
) -> float:
    """What problem A could gain, coin, at most, over `kwh` (I, J) that keeps the limits.

    With r = (s + gamma + nu) d / b, weak duality bounds it by sum b (r - 1 - ln r), hence by
    sum b (r - 1)^2 / (2 min(r, 1)), and rents times what is left of the limits that they are for:
    no logarithm, so that whole numbers can follow it. Rents that leave a price at or below zero
    where something is bid prove nothing: the gap is infinite.
    """
    price = unit_prices + seller_rent + buyer_rent[:, None]
    bid = payments > 0
    if np.any(price[bid] <= 0) or np.any(kwh[bid] <= 0):
        return float(np.inf)
    ratio = (price * kwh)[bid] / payments[bid]
    missed = payments[bid] @ ((ratio - 1.0) ** 2 / (2.0 * np.minimum(ratio, 1.0)))
    bought, sold = np.add.reduce(kwh, axis=1), np.add.reduce(kwh, axis=0)
    bound = np.where(buyer_rent > 0, maximum_kwh, minimum_kwh)
    rents = _times(buyer_rent, bound - bought).sum() + _times(seller_rent, supply_kwh - sold).sum()
    return float(missed + rents)


def _times(rent: FloatArray, left: FloatArray) -> FloatArray:
    """Products in which a rent of zero makes an infinite limit worth nothing."""
    return np.multiply(rent, left, out=np.zeros_like(rent), where=rent != 0)


def _violation(bids: Bids, bought: FloatArray, sold: FloatArray) -> float:
    beyond = (bids.minimum - bought, bought - bids.maximum, sold - bids.supply)
    return max(float(np.maximum.reduce(each, initial=0.0)) for each in beyond)


def _checked(
    payments: FloatArray,
    unit_prices: FloatArray,
    minimum: FloatArray,
    maximum: FloatArray,
    supply: FloatArray,
) -> Bids:
    """The bids, those that can get nothing taken out."""
    buyers, sellers = payments.shape if payments.ndim == 2 else (-1, -1)
    wanted = {
        "payments": (payments, (buyers, sellers)),
        "unit_prices": (unit_prices, (buyers, sellers)),
        "minimum_kwh": (minimum, (buyers,)),
        "maximum_kwh": (maximum, (buyers,)),
        "supply_kwh": (supply, (sellers,)),
    }
    for name, (array, shape) in wanted.items():
        if array.shape != shape:
            raise ShapeError(f"{name} has shape {array.shape}, not {shape}")
        endless = name in ("maximum_kwh", "supply_kwh")
        if np.isnan(array).any() or (not endless and np.isinf(array).any()):
            raise NotFiniteError(f"{name} is not finite")
        if np.any(array < 0):
            raise RangeError(f"{name} is below zero")
    if np.any(minimum > maximum):
        raise CrossedBoundsError("minimum_kwh is above maximum_kwh")
    bid = (payments > 0) & (maximum > 0)[:, None] & (supply > 0)
    if np.any(unit_prices[bid & np.isinf(supply)] == 0):
        raise RangeError("unit_prices must be above zero where supply_kwh is infinite")
    return Bids(
        payments=np.where(bid, payments, 0.0),
        unit_prices=np.where(bid, unit_prices, np.inf),
        minimum=minimum,
        maximum=maximum,
        supply=supply,
    )


def _refute(bids: Bids, buyer_rent: FloatArray) -> None:
    """Raise InfeasibleError if rents (I,), turned round, weigh minima so as to prove it."""
    if not np.any(buyer_rent < 0):
        return
    weights = np.maximum(-buyer_rent, 0.0)
    weights /= weights.max()
    reach = (bids.payments > 0) * weights[:, None]
    best = np.maximum.reduce(reach, axis=0, initial=0.0)
    needed = float(weights @ bids.minimum)
    available = float(_times(best, bids.supply).sum())
    if needed > available * (1 + RELATIVE_ROUNDING):
        raise InfeasibleError(weights, needed_kwh=needed, available_kwh=available)


def _refute_at_sight(bids: Bids) -> None:
    """The same where all buyers together, or one alone, prove it."""
    bid = bids.payments > 0
    reached = np.where(np.logical_or.reduce(bid, axis=0), bids.supply, 0.0)
    if np.add.reduce(bids.minimum) > np.add.reduce(reached):
        _refute(bids, -np.ones_like(bids.minimum))
    reach = np.add.reduce(np.where(bid, bids.supply, 0.0), axis=1)
    for row in np.flatnonzero(bids.minimum > reach)[:1]:
        _refute(bids, -(np.arange(len(reach)) == row).astype(np.float64))
