"""Rents near those at which bids are filled, where bids differ by so much that steps on them stall.

Knows checked bids. Knows nothing of who bids; `bid_dual` takes the last digits from here.

A bid of next to nothing on energy that a minimum needs brings its price next to zero, and the dual
is steep there alone. So price q and energy d of a pair are variables of their own, as are rents and
what is left of limits: products d q = b and rent x left = 0 are made d q = max(b, mu) and
rent x left = mu, for mu that falls to nothing (a primal-dual interior-point method: Wright,
Primal-Dual Interior-Point Methods, SIAM 1997, doi:10.1137/1.9781611971453).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.bid_system import Bids, BoolArray, solve_bordered

MOST_STEPS = 120
LEAST_PRODUCT = 1e-17
"""Of price times energy: mu below this is nothing."""
FALL = 0.9
"""By how much of itself mu falls after a full step."""
NEAR = 0.995
"""Of the way to where something would be zero."""


@dataclass(slots=True)
class _Limit:
    """Rents and what is left of one kind of limit, (rows,); both one where there is none."""

    exists: BoolArray
    rent: FloatArray
    left: FloatArray

    def response(self, mu: float, missed: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(constant, factor) of what the rent does when as much more of the limit is used:
        constant + factor x more, if `missed` is what is left in truth less `left`."""
        factor = np.where(self.exists, self.rent / self.left, 0.0)
        constant = np.where(self.exists, mu / self.left - self.rent, 0.0) - factor * missed
        return constant, factor


class _Path:
    """Where the method is."""

    def __init__(self, bids: Bids) -> None:
        self.bids = bids
        self.bid = bids.payments > 0
        self.asked = np.where(self.bid, bids.unit_prices, 0.0)
        count = np.maximum(self.bid.sum(axis=1), 1)
        most = np.where(np.isfinite(bids.maximum), bids.maximum, 2 * bids.minimum + 1.0)
        middle = (bids.minimum + most) / 2
        self.energy = np.where(self.bid, (middle / count)[:, None], 0.0)
        self.scale = float(middle.max(initial=1e-9))
        worth = float(bids.payments.sum() / max(self.energy.sum(), 1e-9))
        self.dear = max(float(self.asked.max(initial=0.0)), worth)
        self.price = np.full(bids.payments.shape, self.dear)
        self.fixed = (bids.minimum == bids.maximum) & self.bid.any(axis=1)
        loose = self.bid.any(axis=1) & ~self.fixed
        self.upper = self._limit(loose & np.isfinite(bids.maximum), most - middle)
        self.lower = self._limit(loose & (bids.minimum > 0), middle - bids.minimum)
        self.full = self._limit(
            self.bid.any(axis=0) & np.isfinite(bids.supply), bids.supply - self.energy.sum(axis=0)
        )
        self.even = np.zeros(len(bids.minimum))
        """(I,) the rent of those whose minimum is their maximum."""
        self.mu = self.dear * self.scale

    def _limit(self, exists: BoolArray, left: FloatArray) -> _Limit:
        least = 0.1 * self.scale
        room = np.where(exists & np.isfinite(left), np.maximum(left, least), 1.0)
        return _Limit(exists, np.where(exists, self.dear, 1.0), room)

    @property
    def buyers(self) -> FloatArray:
        upper = np.where(self.upper.exists, self.upper.rent, 0.0)
        return self.even + upper - np.where(self.lower.exists, self.lower.rent, 0.0)

    @property
    def sellers(self) -> FloatArray:
        return np.where(self.full.exists, self.full.rent, 0.0)

    def advance(self) -> None:
        """One Newton step towards the products that mu asks for, as far as all stays positive."""
        bids, mu = self.bids, self.mu
        bought, sold = self.energy.sum(axis=1), self.energy.sum(axis=0)
        off = np.where(self.bid, self.asked + self.sellers + self.buyers[:, None] - self.price, 0.0)
        slopes = self.energy / self.price
        target = np.where(self.bid, np.maximum(bids.payments, mu), 0.0)
        alone = (target - self.energy * (self.price + off)) / self.price
        high = np.where(self.upper.exists, bids.maximum, 0.0) - bought - self.upper.left
        low = bought - np.where(self.lower.exists, bids.minimum, 0.0) - self.lower.left
        over = np.where(self.full.exists, bids.supply, 0.0) - sold - self.full.left
        up, up_factor = self.upper.response(mu, high)
        down, down_factor = self.lower.response(mu, low)
        fill, fill_factor = self.full.response(mu, over)
        # A buyer's rent changes by constant + factor x change of what it has; or that is given.
        factor, constant = up_factor + down_factor, up - down
        rows = (factor > 0) | self.fixed
        give = np.divide(1.0, factor, out=np.zeros_like(factor), where=factor > 0)
        wanted = np.where(self.fixed, bought - bids.maximum, constant * give)
        columns = self.full.exists
        take = np.divide(1.0, fill_factor, out=np.zeros_like(fill), where=fill_factor > 0)
        by_buyers, by_sellers = solve_bordered(
            slopes,
            (rows, columns),
            (slopes.sum(axis=1) + give, slopes.sum(axis=0) + take),
            (alone.sum(axis=1) + wanted, alone.sum(axis=0) + fill * take),
        )
        by_price = np.where(self.bid, by_sellers + by_buyers[:, None] + off, 0.0)
        by_energy = alone + slopes * (off - by_price)
        more_bought, more_sold = by_energy.sum(axis=1), by_energy.sum(axis=0)
        moves = [
            (self.price, by_price),
            (self.energy, by_energy),
            (self.upper.rent, up + up_factor * more_bought),
            (self.upper.left, np.where(self.upper.exists, high - more_bought, 0.0)),
            (self.lower.rent, down - down_factor * more_bought),
            (self.lower.left, np.where(self.lower.exists, low + more_bought, 0.0)),
            (self.full.rent, np.where(columns, by_sellers, 0.0)),
            (self.full.left, np.where(columns, over - more_sold, 0.0)),
        ]
        share = min(1.0, NEAR / max(_fastest(at, by) for at, by in moves))
        for at, by in moves:
            at += share * by
        self.even += share * np.where(self.fixed, by_buyers, 0.0)
        self.mu *= 1.0 - FALL * share

    def ends(self) -> tuple[FloatArray, FloatArray]:
        """(buyers' rents, sellers'), zero where more is left of a limit than its rent is worth."""
        worth = self.dear / self.scale

        def kept(limit: _Limit) -> FloatArray:
            return np.where(limit.exists & (limit.rent > worth * limit.left), limit.rent, 0.0)

        return self.even + kept(self.upper) - kept(self.lower), kept(self.full)


def _fastest(at: FloatArray, by: FloatArray) -> float:
    """The greatest part of itself by which something falls."""
    falls = np.divide(-by, at, out=np.zeros_like(at), where=at > 0)
    return float(max(np.max(falls, initial=0.0), 1e-9))


def follow(bids: Bids, refute: Callable[[FloatArray], None]) -> tuple[FloatArray, FloatArray]:
    """(buyers' rents, sellers' rents) near the optimum; `refute` is shown buyers' rents."""
    path = _Path(bids)
    least = LEAST_PRODUCT * path.dear * path.scale
    for _ in range(MOST_STEPS):
        if path.mu <= least:
            break
        path.advance()
        refute(path.buyers)
    buyers, sellers = path.ends()
    if np.min(bids.unit_prices + sellers + buyers[:, None], initial=np.inf) > 0:
        return buyers, sellers
    return path.buyers, path.sellers
