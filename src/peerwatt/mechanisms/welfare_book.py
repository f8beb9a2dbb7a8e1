"""The book of a welfare auction in PETCON's form: who may trade, checked, and in one unit.

Knows numpy and the grid's terms. Knows neither how the optimum is found nor what proves it.

All energy that changes hands is counted where it meets, at the hub's bus: a seller with
efficiency e who sends d brings e d there, and of D taken there a buyer with efficiency a puts
a D into its battery. With that, efficiencies of the form a_i e_j leave the problem, and only a
matrix of further factors per pair stays in it. `Core` is the problem so restated:

    max  sum_i w_i ln((D_i + b_i)/(lo_i + b_i)) - sum_ij (e_ij^2 / (2 y_j) + l_j e_ij)
         - R sum_i g_i + sum_j (F - l_j) h_j
    s.t. D_i = sum_j r_ij e_ij + g_i in [lo_i, hi_i],   sum_i e_ij + h_j <= M_j,
         sum_i g_i <= import room,   sum_j h_j <= export room,   all >= 0,

where g is bought from the grid at R and h sold to it at F, per kWh at the bus. With a value of
lost load L the minima are soft: D_i may be less than lo_i, and welfare gains L min(D_i, lo_i).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.one_price import GridTerms


class BookError(ValueError):
    """A book that means nothing; the message names the field, its shape or its row."""


class ShapeError(BookError):
    """Arrays of the wrong shape, or of different lengths."""


class NotFiniteError(BookError):
    """A value that is infinite or not a number."""


class RangeError(BookError):
    """A value below zero, or zero where it must be above."""


class CrossedBoundsError(BookError):
    """A minimum above its maximum."""


class EmptyBookError(BookError):
    """Neither buyers nor sellers."""


class InfeasibleError(ValueError):
    """The minima cannot all be met; the attributes are the proof.

    Weigh each buyer's minimum, at the bus, by `weights` (I,), in [0, 1]: they come to
    `needed_kwh`. Weigh each seller's energy by the most that any buyer it reaches makes of it,
    and the grid's likewise: they come to `available_kwh`, which is less. Where everybody can
    trade with everybody all weights are one, and cutting the minima of the buyers named by
    `missing_kwh` in all makes the book feasible.
    """

    def __init__(self, weights: FloatArray, *, needed_kwh: float, available_kwh: float) -> None:
        self.weights = weights
        self.buyers = np.flatnonzero(weights > 0)
        """Rows of the buyers whose minima the proof needs."""
        self.needed_kwh = needed_kwh
        self.available_kwh = available_kwh
        self.missing_kwh = needed_kwh - available_kwh
        rows = ", ".join(map(str, self.buyers[:8])) + ", ..." * (len(self.buyers) > 8)
        super().__init__(
            f"infeasible: the minima of {len(self.buyers)} buyers (rows {rows}) come to"
            f" {needed_kwh:.9g} kWh at the bus, at most {available_kwh:.9g} kWh can reach them:"
            f" {self.missing_kwh:.6g} kWh are missing"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairBuyers:
    """Buyers i, each array (buyers,): U_i(c) = w_i ln(1 + (c - minimum_i) / scale_i), PETCON (1).

    c is the energy that reaches the battery, minimum <= c <= maximum; a minimum is a hard
    constraint. PETCON counts in units of scale_kwh = 1. Raises `BookError` naming a wrong field.
    """

    weight: FloatArray
    """w_i > 0, in coin: tau over the state of charge in PETCON."""
    minimum_kwh: FloatArray
    maximum_kwh: FloatArray
    efficiency: FloatArray | float = 1.0
    """Share of a kWh at the bus that reaches the battery, > 0; one number or (buyers,)."""
    scale_kwh: FloatArray | float = 1.0
    """Energy beyond the minimum at which its marginal value has halved, > 0."""

    def __post_init__(self) -> None:
        _freeze_arrays(self, len_of=self.weight)
        for name in ("weight", "efficiency", "scale_kwh"):
            _require(_array(self, name) > 0, RangeError, f"PairBuyers.{name} must be above zero")
        below = "PairBuyers.minimum_kwh is below zero"
        _require(_array(self, "minimum_kwh") >= 0, RangeError, below)
        crossed = "PairBuyers.minimum_kwh is above maximum_kwh"
        _require(self.minimum_kwh <= self.maximum_kwh, CrossedBoundsError, crossed)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairSellers:
    """Sellers j, each array (sellers,): L_j = sum_i l1_j d_ji^2 + l2_j d_ji, PETCON (2).

    d_ji is what j sends to i. Raises `BookError` naming a wrong field.
    """

    maximum_kwh: FloatArray
    """Most that is sent in all, to buyers and to the grid."""
    quadratic_cost: FloatArray | float
    """l1 > 0, coin per kWh^2 sent to one buyer; one number or (sellers,)."""
    linear_cost: FloatArray | float
    """l2 >= 0, coin per kWh sent; one number or (sellers,)."""
    efficiency: FloatArray | float = 1.0
    """Share of a kWh sent that reaches the bus, > 0; one number or (sellers,)."""

    def __post_init__(self) -> None:
        _freeze_arrays(self, len_of=self.maximum_kwh)
        for name in ("quadratic_cost", "efficiency"):
            _require(_array(self, name) > 0, RangeError, f"PairSellers.{name} must be above zero")
        for name in ("maximum_kwh", "linear_cost"):
            _require(_array(self, name) >= 0, RangeError, f"PairSellers.{name} is below zero")


@dataclass(slots=True, kw_only=True, eq=False)
class Core:
    """The problem at the bus; see the module. No limit or price is NaN; `retail` is infinite and
    `feed_in` minus infinite where there is no grid, and then there is no room either."""

    weight: FloatArray
    least: FloatArray
    """lo_i, the minimum at the bus."""
    most: FloatArray
    knee: FloatArray
    """lo_i + b_i > 0: the marginal value at D is w / (D - lo + knee)."""
    pair_slope: FloatArray
    """y_j = 1 / (2 l1_j): what a pair trades more per coin."""
    room: FloatArray
    """M_j."""
    cost: FloatArray
    """l_j, with the local fee."""
    retail: float = np.inf
    import_room: float = 0.0
    feed_in: float = -np.inf
    """With the local fee, which exports are spared."""
    export_room: float = 0.0
    factors: FloatArray | None = None
    """(buyers, sellers) r_ij where efficiency is not of rank one."""
    lost_load: float = np.inf
    """L, at least every buyer's marginal value beyond its minimum; infinite for hard minima."""

    @property
    def soft(self) -> bool:
        """Whether minima may be missed, at the price of lost load."""
        return bool(self.lost_load < np.inf)

    def value_slope(self, bought: FloatArray) -> FloatArray:
        """(buyers,) marginal value per kWh at the bus."""
        return self.weight / (bought - self.least + self.knee)

    def tightened(self, share: float) -> Core:
        """The same book with every bound drawn in by a share of itself."""
        half = (self.most - self.least) / 2
        least = self.least + np.minimum(self.least * share, half)
        return replace(
            self,
            least=least,
            most=self.most - np.minimum(self.most * share, half),
            knee=self.knee + (least - self.least),
            room=self.room * (1 - share),
            import_room=self.import_room * (1 - share),
            export_room=self.export_room * (1 - share),
        )


def core_of(
    buyers: PairBuyers,
    sellers: PairSellers,
    grid: GridTerms | None,
    grid_efficiency: float,
    pair_efficiency: FloatArray | None,
    lost_load: float | None = None,
) -> Core:
    """Restate a book at the bus; raises `BookError`. A grid dearer than lost load sells nothing."""
    shape = len(buyers.weight), len(sellers.maximum_kwh)
    if shape == (0, 0):
        raise EmptyBookError("the book has neither buyers nor sellers")
    into, out = _array(buyers, "efficiency"), _array(sellers, "efficiency")
    core = Core(
        weight=buyers.weight,
        least=buyers.minimum_kwh / into,
        most=buyers.maximum_kwh / into,
        knee=_array(buyers, "scale_kwh") / into,
        pair_slope=out * out / (2 * _array(sellers, "quadratic_cost")),
        room=sellers.maximum_kwh * out,
        cost=_array(sellers, "linear_cost") / out,
        factors=None if pair_efficiency is None else _factors(pair_efficiency, shape),
    )
    if not (np.isfinite(grid_efficiency) and 0 < grid_efficiency <= 1):
        raise RangeError(f"grid_efficiency must lie in (0, 1], not {grid_efficiency}")
    if lost_load is not None:
        core.lost_load = _lost_load(core, lost_load)
    if grid is None:
        return core
    # Headroom above all that could pass keeps an endless limit finite and never binding.
    core.cost = core.cost + grid.local_fee
    core.export_room = min(grid.export_limit_kwh / grid_efficiency, 1.0 + 2 * core.room.sum())
    retail = grid.retail / grid_efficiency
    if grid.import_limit_kwh > 0 and retail <= core.lost_load:
        core.retail = retail
        core.import_room = min(grid.import_limit_kwh * grid_efficiency, 1.0 + 2 * core.most.sum())
    if core.export_room > 0:
        core.feed_in = grid.feed_in * grid_efficiency + grid.local_fee
    return core


def prices_of(values: FloatArray, name: str, count: int) -> FloatArray:
    """A copy of prices, checked; raises `BookError`."""
    prices = np.array(values, dtype=np.float64)
    if prices.shape != (count,):
        raise ShapeError(f"{name} has shape {prices.shape}, the book has {count} of them")
    if not np.isfinite(prices).all():
        raise NotFiniteError(f"{name} holds a value that is not finite")
    _require(prices >= 0, RangeError, f"{name} is below zero")
    return prices


_EACH_HAS_ITS_OWN = ("weight", "minimum_kwh", "maximum_kwh")
"""Fields for which one number for all would rather be a slip."""


def _lost_load(core: Core, value: float) -> float:
    if not (np.isfinite(value) and value > 0):
        raise RangeError(f"lost_load must be a number above zero, not {value}")
    # A value worked out from the weight may be off in the last digits.
    above = core.weight > value * core.knee * (1 + 1e-12)
    if above.any():
        row = int(np.flatnonzero(above)[0])
        worth = core.weight[row] / core.knee[row]
        raise RangeError(
            f"lost_load {value:.9g} is below the marginal value {worth:.9g} per kWh at the bus"
            f" that a buyer has at its minimum (row {row})"
        )
    return float(value)


def _factors(matrix: FloatArray, shape: tuple[int, int]) -> FloatArray:
    factors = np.array(matrix, dtype=np.float64)
    if factors.shape != shape:
        raise ShapeError(f"pair_efficiency has shape {factors.shape}, (buyers, sellers) is {shape}")
    if not np.isfinite(factors).all():
        raise NotFiniteError("pair_efficiency holds a value that is not finite")
    if factors.size and factors.min() < 0:
        raise RangeError("pair_efficiency holds a value below zero")
    factors.setflags(write=False)
    return factors


def _array(record: PairBuyers | PairSellers, name: str) -> FloatArray:
    """A field that `_freeze_arrays` has made an array."""
    return np.asarray(getattr(record, name))


def _freeze_arrays(record: PairBuyers | PairSellers, *, len_of: FloatArray) -> None:
    """Make each field a read-only float array as long as the first, single numbers repeated."""
    kind, count = type(record).__name__, np.shape(len_of)
    for field in fields(record):
        array = np.array(getattr(record, field.name), dtype=np.float64)
        if array.ndim == 0 and field.name not in _EACH_HAS_ITS_OWN:
            array = np.full(count, array)
        if array.ndim != 1:
            raise ShapeError(f"{kind}.{field.name} must be one row of numbers, not {array.shape}")
        if array.shape != count:
            first = fields(record)[0].name
            raise ShapeError(f"{kind}.{field.name} has shape {array.shape}, {first} has {count}")
        if not np.isfinite(array).all():
            raise NotFiniteError(f"{kind}.{field.name} holds a value that is not finite")
        array.setflags(write=False)
        object.__setattr__(record, field.name, array)


def _require(
    holds: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], error: type[BookError], message: str
) -> None:
    if not holds.all():
        raise error(f"{message} (row {int(np.flatnonzero(~holds)[0])})")
