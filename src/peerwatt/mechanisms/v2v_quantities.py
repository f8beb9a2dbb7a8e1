"""How much each car should buy or sell by welfare; an auction says at what price.

Knows numpy. Knows no price bid: quantities follow from what cars declared of their needs and
costs, or a bid could change its own quantity and the auction would not be truthful in price.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.welfare_book import (
    BookError,
    CrossedBoundsError,
    NotFiniteError,
    RangeError,
    ShapeError,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CarsThatBuy:
    """Buyers i, each (buyers,) or one number for all. Raises `BookError` naming a wrong field.

    U_i = weight ln(efficiency D_i - minimum + 1), eq. (2); the 1 is one kWh.
    """

    bid: FloatArray
    """Coin per kWh at the bus, at least zero."""
    weight: FloatArray | float
    """Willingness w_i > 0, coin."""
    minimum_kwh: FloatArray | float
    """In the battery: needed for the next trip, at least zero."""
    maximum_kwh: FloatArray | float
    adjustment: FloatArray | float = 1.5
    """n_i > 1, how far a loser moves beyond the first round's price, eq. (4)."""
    place_km: FloatArray | float = 0.0
    """Along the street."""

    def __post_init__(self) -> None:
        _freeze(self, self.bid)
        _require(np.asarray(self.weight) > 0, "CarsThatBuy.weight must be above zero")
        _require(self.bid >= 0, "CarsThatBuy.bid is below zero")
        _require(np.asarray(self.minimum_kwh) >= 0, "CarsThatBuy.minimum_kwh is below zero")
        _require(np.asarray(self.adjustment) > 1, "CarsThatBuy.adjustment must be above one")
        ordered = np.asarray(self.minimum_kwh) <= np.asarray(self.maximum_kwh)
        crossed = "CarsThatBuy.minimum_kwh is above maximum_kwh"
        _require(ordered, crossed, CrossedBoundsError)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CarsThatSell:
    """Sellers j, each (sellers,) or one number for all. Raises `BookError` naming a wrong field.

    Cost quadratic_cost S_j^2 + linear_cost S_j, eq. (1) as read from reference [8].
    """

    ask: FloatArray
    """Coin per kWh at the bus, at least zero."""
    maximum_kwh: FloatArray | float
    """At the bus, at least zero."""
    quadratic_cost: FloatArray | float
    """l1 > 0, coin per kWh^2."""
    linear_cost: FloatArray | float
    """l2 >= 0, coin per kWh."""
    adjustment: FloatArray | float = 1.5
    place_km: FloatArray | float = 0.0

    def __post_init__(self) -> None:
        _freeze(self, self.ask)
        for name in ("ask", "maximum_kwh", "linear_cost"):
            _require(np.asarray(getattr(self, name)) >= 0, f"CarsThatSell.{name} is below zero")
        _require(
            np.asarray(self.quadratic_cost) > 0, "CarsThatSell.quadratic_cost must be above zero"
        )
        _require(np.asarray(self.adjustment) > 1, "CarsThatSell.adjustment must be above one")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quantities:
    """The welfare optimum in kWh at the bus; `wanted_kwh` and `offered_kwh` have the same sum."""

    wanted_kwh: FloatArray
    """(buyers,) D_i."""
    offered_kwh: FloatArray
    """(sellers,) S_j."""
    grid_first_kwh: FloatArray
    """(buyers,) part of the minima for which there is no seller: the grid sells it before all."""
    multiplier: float
    """mu, the price that would support these quantities: not the price that anyone pays."""
    welfare: float
    """Buyers' utility less sellers' cost, eq. (3) as read; grid energy counts as charged."""


def welfare_quantities(
    buyers: CarsThatBuy, sellers: CarsThatSell, *, efficiency: float = 1.0
) -> Quantities:
    """Maximise eq. (3) over totals, which alone matter: max sum_i U_i - sum_j C_j.

    Subject to efficiency D_i in [minimum, maximum], 0 <= S_j <= maximum, sum D = sum S. With a
    multiplier mu on the balance,

        D_i = clip((w_i a / mu + minimum - 1) / a, minimum / a, maximum / a),
        S_j = clip((mu - l2) / (2 l1), 0, maximum),

    so sum D - sum S falls in mu and between two neighbouring kinks of all of them has its root in
    one quadratic: exact to rounding, O((n + m) log(n + m)). Where minima exceed all there is,
    the grid sells the gap first, to each in proportion to its minimum.
    """
    if not 0 < efficiency <= 1:
        raise RangeError(f"efficiency must lie in (0, 1], not {efficiency}")
    market = _Market(buyers, sellers, efficiency)
    multiplier = market.solve()
    wanted, offered = market.demand(multiplier), market.supply(multiplier)
    charged = efficiency * (wanted + market.grid_first) - np.asarray(buyers.minimum_kwh)
    utility = np.asarray(buyers.weight) * np.log1p(np.maximum(charged, 0.0))
    cost = sellers.quadratic_cost * offered * offered + sellers.linear_cost * offered
    for array in (wanted, offered, market.grid_first):
        array.setflags(write=False)
    return Quantities(
        wanted_kwh=wanted,
        offered_kwh=offered,
        grid_first_kwh=market.grid_first,
        multiplier=multiplier,
        welfare=float(utility.sum() - cost.sum()),
    )


class _Market:
    """Demand and supply at the bus as functions of mu."""

    def __init__(self, buyers: CarsThatBuy, sellers: CarsThatSell, efficiency: float) -> None:
        self.weight = np.asarray(buyers.weight)
        self.least = np.asarray(buyers.minimum_kwh) / efficiency
        self.most = np.asarray(buyers.maximum_kwh) / efficiency
        self.room = np.asarray(sellers.maximum_kwh)
        self.slope = 1 / (2 * np.asarray(sellers.quadratic_cost))
        self.cost = np.asarray(sellers.linear_cost)
        self.offset = self.least - 1 / efficiency
        self.dearest = self.weight * efficiency
        """Marginal utility at the minimum, per kWh at the bus."""
        needed, available = float(self.least.sum()), float(self.room.sum())
        self.gap = needed > available
        share = (needed - available) / needed if self.gap else 0.0
        self.grid_first = self.least * share

    def demand(self, multiplier: float) -> FloatArray:
        """(buyers,) of what sellers could bring."""
        if self.gap:
            return self.least - self.grid_first
        if multiplier == 0:
            return self.most + 0.0
        return np.clip(self.weight / multiplier + self.offset, self.least, self.most)

    def supply(self, multiplier: float) -> FloatArray:
        """(sellers,)"""
        if self.gap:
            return self.room + 0.0
        offered: FloatArray = np.clip((multiplier - self.cost) * self.slope, 0.0, self.room)
        return offered

    def solve(self) -> float:
        """The least mu at a kink at which supply covers demand, or the root just below it."""
        full = self.weight / (self.most - self.offset)
        kinks = np.concatenate(
            [[0.0], full, self.dearest, self.cost, self.cost + self.room / self.slope]
        )
        kinks = np.unique(kinks)
        below, at = -1, len(kinks) - 1
        if self.gap:
            return float(kinks[at])
        while at - below > 1:
            middle = (below + at) // 2
            if self._short(float(kinks[middle])) <= 0:
                at = middle
            else:
                below = middle
        if below < 0 or self._short(float(kinks[at])) == 0:
            return float(kinks[at])
        return self._between(float(kinks[below]), float(kinks[at]))

    def _short(self, multiplier: float) -> float:
        return float(self.demand(multiplier).sum() - self.supply(multiplier).sum())

    def _between(self, left: float, right: float) -> float:
        """The root of a / mu + b = c mu, all curves being what they are at the middle."""
        middle = (left + right) / 2
        demand, supply = self.demand(middle), self.supply(middle)
        bends = (self.least < demand) & (demand < self.most)
        moves = (supply > 0) & (supply < self.room)
        a, c = float(self.weight[bends].sum()), float(self.slope[moves].sum())
        b = float(np.where(bends, self.offset, demand).sum())
        b -= float(np.where(moves, -self.cost * self.slope, supply).sum())
        root = float(np.sqrt(b * b + 4 * a * c))
        if b > 0:
            found = (b + root) / (2 * c) if c > 0 else right
        else:
            found = 2 * a / (root - b) if root - b > 0 else right
        return min(max(found, left), right)


def _freeze(record: CarsThatBuy | CarsThatSell, first: FloatArray) -> None:
    """Make each field a read-only float array as long as the first, single numbers repeated."""
    kind, shape = type(record).__name__, np.shape(first)
    for field in fields(record):
        array = np.array(getattr(record, field.name), dtype=np.float64)
        array = np.full(shape, array) if array.ndim == 0 else array
        if array.ndim != 1 or array.shape != shape:
            raise ShapeError(f"{kind}.{field.name} has shape {array.shape}, {shape} is due")
        if not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array))[0])
            raise NotFiniteError(
                f"{kind}.{field.name} holds a value that is not finite (row {row})"
            )
        array.setflags(write=False)
        object.__setattr__(record, field.name, array)


def _require(
    holds: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    message: str,
    error: type[BookError] = RangeError,
) -> None:
    if not holds.all():
        raise error(f"{message} (row {int(np.flatnonzero(~holds)[0])})")
