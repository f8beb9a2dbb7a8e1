"""PETCON's iterative double auction: what its auctioneer does with bids.

Knows numpy. Knows neither ledger, agents nor who speaks to whom.

PETCON (Kang et al., IEEE Trans. Ind. Informatics 13(6), 2017, doi:10.1109/TII.2017.2709784): in
turns, buyer i bids b_ij, what it pays in all for the energy it has from j, and seller j asks s_ji
a kWh of what it sends to i; the auctioneer gives them what solves problem A (eq. 10),

    max sum_ij b_ij ln d_ij - s_ji d_ij   s.t.  minimum_i <= sum_j d_ij <= maximum_i,
                                                sum_i d_ij <= supply_j,

hence d_ij = b_ij / (s_ji + gamma_j + nu_i), where gamma_j >= 0 is what j's limit is worth and nu_i
what buyer i's are: above zero at its maximum, below at its minimum.

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
from peerwatt.mechanisms.bid_dual import BidDual, Bids
from peerwatt.mechanisms.welfare_book import (
    CrossedBoundsError,
    InfeasibleError,
    NotFiniteError,
    RangeError,
    ShapeError,
)

RELATIVE_ROUNDING = 1e-12


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
    refute = partial(_refute, bids)
    refute(-np.ones_like(bids.minimum))
    _refute_rows(bids)
    if start is not None and start.kwh.shape != bids.payments.shape:
        raise ShapeError(f"start has shape {start.kwh.shape}, payments {bids.payments.shape}")
    warm = None if start is None else (start.buyer_rent, start.seller_rent)
    dual = BidDual(bids)
    rents = dual.solve(warm, tolerance, refute)
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
    reach = np.where(bids.payments > 0, weights[:, None], 0.0)
    best = np.maximum.reduce(reach, axis=0, initial=0.0)
    needed = float(weights @ bids.minimum)
    available = float(_times(best, bids.supply).sum())
    if needed > available * (1 + RELATIVE_ROUNDING):
        raise InfeasibleError(weights, needed_kwh=needed, available_kwh=available)


def _refute_rows(bids: Bids) -> None:
    """The same where one buyer alone proves it."""
    reach = np.where(bids.payments > 0, bids.supply, 0.0).sum(axis=1)
    for row in np.flatnonzero(bids.minimum > reach * (1 + RELATIVE_ROUNDING))[:1]:
        _refute(bids, -(np.arange(len(reach)) == row).astype(np.float64))
