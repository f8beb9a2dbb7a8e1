"""The book of a double auction: limit orders of two sides, and what lies between them.

Knows numpy and the refusals of books. Knows no mechanism: neither who wins nor at what price.

An order has one price for its energy, or several steps of energy, each with a price no better
for its owner's counterpart than the step before: a buyer's fall, a seller's rise, so that what
the next kWh is worth never rises. Energy meets at the hub. On its way there or from there a
share of it is lost and a fee is due, both by distance, so that an order becomes one at the hub:

    a bid b for q:   (1 - loss) b - fee   for   q / (1 - loss),
    an ask a for q:  a / (1 - loss) + fee   for   q (1 - loss).

Losses and fees are thus inside the merit order: a trade that cannot bear them does not happen.
As neither depends on a price that anyone names, a mechanism that is truthful at the hub is so at
the plug.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.welfare_book import BookError, NotFiniteError, RangeError, ShapeError

IndexArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]


class OutsideBandError(BookError):
    """A price that the grid would better: a bid below its feed-in price, an ask above retail."""


class WrongStepsError(BookError):
    """An order whose steps get better for the other side, or stand apart from one another."""


class UnfitOrderError(BookError):
    """An order that the mechanism cannot take: steps, a minimum, or a size of its own."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Orders:
    """One side of a book. Raises `BookError` naming a wrong field and its row."""

    price: FloatArray
    """(steps,) limit, coin per kWh at the owner's plug, at least zero."""
    kwh: FloatArray
    """(steps,) energy at the owner's plug, above zero."""
    order: IndexArray | None = None
    """(steps,) whose step each is: 0, 0, 1, ..., each order's together; None: one step each."""
    minimum_kwh: FloatArray | float = 0.0
    """(orders,) less than that is no use; at most the first step's energy."""
    distance_km: FloatArray | float = 0.0
    """(orders,) way to the hub, at least zero."""
    starts: BoolArray = field(init=False)
    """(steps,) whether a step is its order's first."""
    first: IndexArray = field(init=False)
    """(orders,) each order's first step."""

    def __post_init__(self) -> None:
        for name in ("price", "kwh"):
            _keep(self, name, np.array(getattr(self, name), dtype=np.float64), len(self.price))
        count = len(self.price)
        of, starts = np.arange(count), np.ones(count, dtype=np.bool_)
        if self.order is not None:
            of = np.array(self.order, dtype=np.intp)
            jumps = np.diff(of, prepend=-1)
            _require((jumps == 1) | ((jumps == 0) & (of >= 0)), WrongStepsError, _APART)
            starts = jumps > 0
        first = np.flatnonzero(starts)
        for name, array in (("order", of), ("starts", starts), ("first", first)):
            _keep(self, name, array, len(first) if name == "first" else count)
        for name in ("minimum_kwh", "distance_km"):
            values = np.array(getattr(self, name), dtype=np.float64)
            _keep(
                self, name, np.full(len(first), values) if values.ndim == 0 else values, len(first)
            )
        _require(self.kwh > 0, RangeError, "Orders.kwh must be above zero")
        for name in ("price", "minimum_kwh", "distance_km"):
            _require(getattr(self, name) >= 0, RangeError, f"Orders.{name} is below zero")
        _require(self.minimum_kwh <= self.kwh[first], RangeError, _MINIMUM)

    def __len__(self) -> int:
        """How many orders, whatever their steps."""
        return len(self.first)

    @property
    def has_steps(self) -> bool:
        """Whether any order has more than one price."""
        return len(self) < len(self.price)

    @property
    def whole_kwh(self) -> FloatArray:
        """(orders,) energy of all steps."""
        return np.add.reduceat(self.kwh, self.first) if self.has_steps else self.kwh


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What lies between plugs and hub; all zero: nothing. Raises `RangeError` naming a field."""

    local_fee: float = 0.0
    """Coin per kWh that changes hands at the hub."""
    fee_per_km: float = 0.0
    """Coin per kWh and km, on each side."""
    loss_per_km: float = 0.0
    """Share of the energy lost per km, on each side."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not (np.isfinite(value) and value >= 0):
                raise RangeError(f"Network.{each.name} must be a number >= 0, not {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The grid's two prices, f_out and f_in, between which orders lie. Raises `RangeError`."""

    feed_in: float
    retail: float

    def __post_init__(self) -> None:
        if not (0 <= self.feed_in <= self.retail < np.inf):
            raise RangeError(
                f"Band: 0 <= feed_in <= retail must hold, not {self.feed_in} and {self.retail}"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Book:
    """Both sides and what lies between them. Raises `BookError` naming side, field and row.

    Either side may be empty: nobody trades then. With a `band` no bid may be below feed-in, nor
    an ask above retail; bids above retail and asks below feed-in are refused, too, for the grid
    is the better counterpart.
    """

    bids: Orders
    asks: Orders
    network: Network = Network()
    band: Band | None = None

    def __post_init__(self) -> None:
        for name, side, worse in (("bids", self.bids, 1.0), ("asks", self.asks, -1.0)):
            if side.has_steps:
                better = np.diff(worse * side.price, prepend=0.0) > 0
                falls = "rise" if worse > 0 else "fall"
                message = f"{name}: an order's prices {falls} from step to step"
                _require(side.starts | ~better, WrongStepsError, message)
            if self.band is not None:
                low, high = self.band.feed_in, self.band.retail
                inside = (side.price >= low) & (side.price <= high)
                message = f"{name}.price lies outside the grid's prices {low:g} to {high:g}"
                _require(inside, OutsideBandError, message)
            arrives = 1 - self.network.loss_per_km * np.asarray(side.distance_km)
            _require(arrives > 0, RangeError, f"{name}.distance_km is so far that all is lost")


class Side(NamedTuple):
    """One side at the hub, best price first; of equal prices, who comes first by lot."""

    price: FloatArray
    """(steps,) coin per kWh at the hub."""
    kwh: FloatArray
    """(steps,) at the hub."""
    total: FloatArray
    """(steps,) running sum of `kwh`."""
    order: IndexArray
    """(steps,) whose step."""
    arrives: FloatArray
    """(orders,) share of the energy that is not lost on the way."""
    fee: FloatArray
    """(orders,) coin per kWh at the hub."""
    orders: int
    """How many."""

    def of_orders(self, steps: FloatArray) -> FloatArray:
        """(orders,) sums of a figure of each step, in this side's order of steps."""
        return np.bincount(self.order, weights=steps, minlength=self.orders).astype(np.float64)


def bid_side(book: Book, priority: IndexArray) -> Side:
    """The bids at the hub, dearest first; `priority` (orders,) breaks ties, least first."""
    bids, network = book.bids, book.network
    arrives = 1 - network.loss_per_km * np.asarray(bids.distance_km)
    fee = network.fee_per_km * np.asarray(bids.distance_km)
    of = _steps_of(bids)
    return _sorted_side(
        -1.0, bids.price * arrives[of] - fee[of], bids.kwh / arrives[of], of, arrives, fee, priority
    )


def ask_side(book: Book, priority: IndexArray) -> Side:
    """The asks at the hub, cheapest first; sellers bear the local fee inside their price there."""
    asks, network = book.asks, book.network
    arrives = 1 - network.loss_per_km * np.asarray(asks.distance_km)
    fee = network.local_fee + network.fee_per_km * np.asarray(asks.distance_km)
    of = _steps_of(asks)
    return _sorted_side(
        1.0, asks.price / arrives[of] + fee[of], asks.kwh * arrives[of], of, arrives, fee, priority
    )


def _sorted_side(
    sign: float,
    price: FloatArray,
    kwh: FloatArray,
    of: IndexArray,
    arrives: FloatArray,
    fee: FloatArray,
    priority: IndexArray,
) -> Side:
    by_lot = np.argsort(priority[of], kind="stable")
    ranked = by_lot[np.argsort(sign * price[by_lot], kind="stable")]
    kwh = kwh[ranked]
    return Side(price[ranked], kwh, np.cumsum(kwh), of[ranked], arrives, fee, len(fee))


def refuse_steps(book: Book, mechanism: str) -> None:
    """Raises `UnfitOrderError` where an order has several prices."""
    for name, side in (("bids", book.bids), ("asks", book.asks)):
        single = np.diff(_steps_of(side), prepend=-1) > 0
        _require(
            single, UnfitOrderError, f"{name}: {mechanism} takes one price an order, not steps"
        )


def refuse_minima(book: Book, mechanism: str) -> None:
    """Raises `UnfitOrderError` where an order has a minimum."""
    for name, side in (("bids", book.bids), ("asks", book.asks)):
        none = np.asarray(side.minimum_kwh) == 0
        _require(none, UnfitOrderError, f"{name}.minimum_kwh: {mechanism} takes no minimum")


def _steps_of(side: Orders) -> IndexArray:
    """The field that a checked record always has."""
    return np.asarray(side.order)


_APART = "Orders.order must count 0, 0, 1, ... without a gap"
_MINIMUM = "Orders.minimum_kwh is above the energy of the order's first step"


def _keep(record: Orders, name: str, array: NDArray[np.generic], count: int) -> None:
    if array.shape != (count,):
        raise ShapeError(f"Orders.{name} has shape {array.shape}, ({count},) is due")
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array))[0])
        raise NotFiniteError(f"Orders.{name} holds a value that is not finite (row {row})")
    array.setflags(write=False)
    object.__setattr__(record, name, array)


def _require(holds: BoolArray, error: type[BookError], message: str) -> None:
    if not holds.all():
        raise error(f"{message} (row {int(np.flatnonzero(~holds)[0])})")
