"""The welfare optimum's dual, solved: buyers' prices at which what each wants is what it gets.

Knows numpy, the restated book, and a market that answers prices. Knows neither how that market
answers nor what proves the result.

The dual function of buyers' prices p, and of the grid's price P >= p where its room is limited,
is convex, with a piecewise smooth gradient: what sellers and grid deliver less what buyers want.
A semismooth Newton method minimises it (Qi and Sun, Math. Programming 58, 1993, doi:10.1007/
BF01581275), along paths on which prices that meet the grid's go on with it (Bertsekas, SIAM J.
Control Optim. 20, 1982, doi:10.1137/0320018). Prices are counted from a base near all of them,
for what trades between two agents is a difference many times smaller than its terms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.welfare_book import Core
from peerwatt.mechanisms.welfare_certificate import TradeSums

BoolArray = NDArray[np.bool_]


class NotConvergedError(ValueError):
    """No result within the tolerance; the message says how near it came."""


class AnySales(Protocol):
    """What a market answers, as far as this room looks into it."""

    @property
    def bought(self) -> FloatArray:
        """(buyers,) kWh from sellers."""

    @property
    def slope(self) -> FloatArray | float:
        """(buyers,) how it would grow with a buyer's own price, sellers' prices held."""

    @property
    def entry(self) -> FloatArray | float:
        """(buyers,) price above which each gets something; minus infinity where all do."""


SalesT = TypeVar("SalesT", bound=AnySales)


class Market(Protocol[SalesT]):
    """The sellers of a book, prices counted from a base."""

    total_slope: float

    def sell(self, price: FloatArray) -> SalesT:
        """Their best answer to buyers' prices."""

    def step(
        self,
        sales: SalesT,
        excess: FloatArray,
        curvature: FloatArray,
        held: BoolArray | None,
        lift: float | None,
    ) -> FloatArray:
        """Newton's step of prices, (buyers,): (diag(curvature) + sellers' Hessian) x = excess.

        Buyers `held` at the grid's price stay there; or, given `lift` (what they want from the
        grid beyond its room), they move together by as much as makes them want that much less.
        """

    def sums(self, price: FloatArray, reserve: FloatArray) -> TradeSums:
        """The pair trades of buyers' and of sellers' prices."""


@dataclass(slots=True)
class Point(Generic[SalesT]):
    """Prices and what follows from them."""

    price: FloatArray
    """(buyers,) counted from the base, like `cap`."""
    cap: float
    """The grid's price to buyers; infinite without a grid."""
    sales: SalesT
    excess: FloatArray
    """(buyers,) wanted less bought from sellers."""
    level: FloatArray
    """(buyers,) the marginal value of what is wanted."""
    held: BoolArray | None
    """Buyers at the cap who buy from the grid; None if there are none."""
    beyond: float
    """What these buy from it beyond its room."""
    error: float
    """The greatest excess left, relative to what the buyer could take."""


@dataclass(slots=True)
class _Path(Generic[SalesT]):
    """Where a step leads from a point, and how fast the cap moves meanwhile."""

    here: Point[SalesT]
    step: FloatArray
    rise: float


PROXIMAL = 1e-6
"""Curvature of a buyer at a bound, as a share of what it could take over its price: it keeps
steps finite where all buyers are at bounds and all sellers full, and matters nowhere else."""
CAUTIOUS_AFTER, CAUTIOUS = 60, 1e4
"""After so many iterations that curvature is so many times greater: where each buyer reaches
sellers of its own, those whose prices are too low for any may else take turns at falling."""
ROUNDING = 1e-7
"""Relative excess below which lack of progress is rounding."""
STALLED = ((1e-11, 3), (ROUNDING, 40))
"""Iterations without progress after which an excess below so much is rounding."""
TOO_FAR = 8.0
"""No price rises in one step by more than this many times the highest; none falls by more
than that."""
BOLD = 30
"""Iterations in which a step may end slightly uphill; none after, so that descent is certain."""
MOST_ITERATIONS = 400
MOST_TRIALS = 60
FEW_TRIALS = 12
"""Of a step's length, where what is left to gain is near rounding."""
REFUTE_EVERY = 10


def rounding(core: Core) -> float:
    """Share of itself by which rounding may move a quantity: sums over many agents gather it, and
    the more agents, the smaller a part of its price is what two of them differ by."""
    agents = len(core.weight) + len(core.room)
    return 1e-13 * float(np.sqrt(agents)) + 1e-15 * agents


class Newton(Generic[SalesT]):
    """One run on one book."""

    def __init__(self, core: Core, market: Market[SalesT], base: float) -> None:
        self.core, self.market, self.base = core, market, base
        span = core.most - core.least
        self.takes_all = core.weight / (span + core.knee)
        self.takes_least = core.weight / core.knee
        self.scale = np.minimum(core.most, span + core.knee)
        self.lowest = 0.0
        if len(span):
            self.scale += 1e-3 * float(np.add.reduce(self.scale)) / len(span) or 1.0
            self.lowest = float(np.maximum.reduce(self.takes_all))
        # The grid's price moves between these two; at lost load, demand beyond its room is shed.
        self.proximal = PROXIMAL * self.scale
        self.retail = min(core.retail, core.lost_load) - base
        self.ceiling = core.lost_load - base
        self.has_grid = bool(self.retail < np.inf)
        self.enough = rounding(core) / 10
        self.iterations = 0

    def start(self) -> tuple[FloatArray, float]:
        """(prices, cap): the base, and more for who wants more than the average at it."""
        cap = max(self.retail, 0.0)
        wanted, level = self.wanted(self.base)
        if not len(wanted):
            return wanted, cap
        mean = float(np.add.reduce(wanted)) / len(wanted)
        falls = self.core.weight / (level * level)
        price = (wanted - mean) / (self.market.total_slope + falls)
        return np.minimum(np.maximum(price, -0.9 * self.base), cap), cap

    def wanted(self, price: FloatArray | float) -> tuple[FloatArray, FloatArray]:
        """(what buyers take, their marginal value of it) at prices not counted from the base."""
        level = np.minimum(np.maximum(price, self.takes_all), self.takes_least)
        extra = self.core.knee * ((self.takes_least - level) / level)
        return self.core.least + extra, level

    def solve(
        self,
        price: FloatArray,
        cap: float,
        refute: Callable[[FloatArray], None] | None = None,
    ) -> Point[SalesT]:
        """From a start, counted from the base; raises NotConvergedError.

        `refute` is shown prices (not counted from it) now and then, to see whether they prove
        that the book is infeasible: prices then rise without end.
        """
        here = best = self.at(price, cap)
        stalled, mark = 0, here.error
        while best.error > self.enough and not self._stuck(best.error, stalled):
            if self.iterations == MOST_ITERATIONS:
                if best.error < ROUNDING:
                    break
                raise NotConvergedError(
                    f"no optimum in {MOST_ITERATIONS} iterations: relative excess {best.error:.3g}"
                )
            self.iterations += 1
            here = self._next(here, best.error)
            stalled += 1
            if here.error < 0.5 * mark:
                stalled, mark = 0, here.error
            if here.error < best.error:
                best = here
            if refute is not None and self.iterations % REFUTE_EVERY == 0:
                refute(here.price + self.base)
        return best

    def _stuck(self, error: float, stalled: int) -> bool:
        return any(error < small and stalled >= long for small, long in STALLED)

    def at(self, price: FloatArray, cap: float) -> Point[SalesT]:
        """What buyers, sellers and grid do at these prices."""
        core = self.core
        wanted, level = self.wanted(price + self.base)
        sales = self.market.sell(price)
        excess = wanted - sales.bought
        held, beyond, unmet = None, 0.0, excess
        if self.has_grid:
            at_cap = (price >= cap) & (excess > 0)
            imported = float(excess @ at_cap)
            beyond = imported - core.import_room
            if imported > 0:
                held, unmet = at_cap, np.where(at_cap, 0.0, excess)
        error = 0.0
        if len(unmet):
            error = float(np.maximum.reduce(np.abs(unmet) / self.scale))
        if self._unbalanced(cap, beyond):
            error = max(error, abs(beyond) / core.import_room)
        return Point(price, cap, sales, excess, level, held, beyond, error)

    def _curvature(self, here: Point[SalesT]) -> FloatArray:
        """(buyers,) how fast what is wanted falls with the price, above zero."""
        cautious = self.core.factors is not None and self.iterations > CAUTIOUS_AFTER
        proximal = self.proximal * (CAUTIOUS if cautious else 1.0)
        return np.where(
            here.level == here.price + self.base,
            self.core.weight / (here.level * here.level),
            proximal / (here.level + self.base),
        )

    def _unbalanced(self, cap: float, beyond: float) -> bool:
        """Whether the grid's price still has somewhere to go."""
        return (beyond > 0 and cap < self.ceiling) or (beyond < 0 and cap > self.retail)

    def _possible(self, cap: float, rise: float) -> float:
        """How the grid's price starts to move: not beyond the bound that it may be at."""
        if cap <= self.retail:
            rise = max(rise, 0.0)
        return min(rise, 0.0) if cap >= self.ceiling else rise

    def _next(self, here: Point[SalesT], best: float) -> Point[SalesT]:
        path = self._newton_path(here)
        slope = self._first_slope(path)
        if not slope < 0:
            # Rounding has spoilt the step: each price on its own goes downhill for certain.
            step = here.excess / (self._curvature(here) + here.sales.slope)
            if here.held is not None:
                step[here.held] = 0.0
            path = _Path(here, step, 0.0)
            slope = self._first_slope(path)
        return self._search(path, slope, best)

    def _newton_path(self, here: Point[SalesT]) -> _Path[SalesT]:
        inside = self.retail < here.cap < self.ceiling
        lift = here.beyond if inside or self._unbalanced(here.cap, here.beyond) else None
        step, rise = self._step(here, lift), 0.0
        if here.held is not None:
            rise = float(step[here.held][0])
            if rise != self._possible(here.cap, rise):
                step, rise = self._step(here, None), 0.0
        elif lift is not None and len(step):
            rise = self.retail - here.cap
        highest = max(self.base + float(np.maximum.reduce(here.price)), self.lowest)
        up, down = float(np.maximum.reduce(step)), -float(np.minimum.reduce(step))
        beyond = max(up / TOO_FAR, down) / highest
        if beyond > 1:
            step, rise = step / beyond, rise / beyond
        return _Path(here, step, rise)

    def _step(self, here: Point[SalesT], lift: float | None) -> FloatArray:
        """Newton's, but a buyer whom no seller serves goes no further than where one starts to,
        and then by what its excess would take if all did: beyond, the step knows nothing."""
        sales = here.sales
        step = self.market.step(sales, here.excess, self._curvature(here), here.held, lift)
        if isinstance(sales.entry, float) and sales.entry == -np.inf:
            return step
        missing = sales.entry - here.price
        alone = missing > 0
        if here.held is not None:
            alone &= ~here.held
        if alone.any() and self.market.total_slope > 0:
            furthest = missing + np.abs(here.excess) / self.market.total_slope
            step = np.where(alone, np.minimum(step, furthest), step)
        return step

    def _walk(self, path: _Path[SalesT], share: float) -> Point[SalesT]:
        """The point at a share of the path."""
        here = path.here
        price = here.price + share * path.step
        if not self.has_grid:
            return self.at(price, here.cap)
        cap = here.cap
        if path.rise:
            cap = min(max(self.retail, cap + share * path.rise), self.ceiling)
        # Prices that rounding alone keeps from the cap are at it.
        price = np.where(price >= cap - 1e-15 * self.base, cap, price)
        if here.held is not None:
            price[here.held] = cap
        return self.at(price, cap)

    def _first_slope(self, path: _Path[SalesT]) -> float:
        """Of the dual function where the path sets out."""
        here, step, rise = path.here, path.step, path.rise
        if not self.has_grid:
            return -float(here.excess @ step)
        rise = self._possible(here.cap, rise)
        step = np.where(here.price >= here.cap, np.minimum(step, rise), step)
        return rise * self.core.import_room - float(here.excess @ step)

    def _slope(self, path: _Path[SalesT], point: Point[SalesT]) -> float:
        """Of the dual function at a point of the path, towards it from where the path set out.

        The function is convex: where this is not above zero, it is less there.
        """
        slope = -float(point.excess @ (point.price - path.here.price))
        if self.has_grid:
            slope += (point.cap - path.here.cap) * self.core.import_room
        return slope

    def _search(self, path: _Path[SalesT], slope: float, best: float) -> Point[SalesT]:
        """Where along a path the slope has nearly gone, or the excess has halved.

        The slope alone decides, not the function: of that, near the end, rounding leaves nothing.
        """
        allowed = 0.1 * abs(slope) if self.iterations < BOLD else 0.0
        near, near_slope, far, far_slope, share = 0.0, slope, np.inf, np.inf, 1.0
        for trial in range(MOST_TRIALS if best > ROUNDING else FEW_TRIALS):
            point = self._walk(path, share)
            if point.error <= 0.5 * best:
                break
            found = self._slope(path, point) / share
            if found <= allowed and (found >= 0.9 * slope or share == 1.0):
                break
            if found > 0:
                far, far_slope = share, found
            else:
                near, near_slope = share, found
            weight = near_slope / (near_slope - far_slope) if trial % 2 == 0 else 0.5
            share = near + (far - near) * min(max(weight, 0.01), 0.99)
        return point


def common_price(core: Core) -> float:
    """Roughly the one price at which buyers want what sellers and grid would send at it."""
    if not len(core.weight):
        return min(1.0, core.retail)
    price = _clearing_price(core, 0.0)
    if price > core.retail:
        price = max(core.retail, _clearing_price(core, core.import_room))
    return min(price, core.lost_load)


def _clearing_price(core: Core, imported: float) -> float:
    """By a safeguarded Newton method in one price.

    It starts where all is sold and all buyers are inside their bounds: sum w / (sum M + sum b).
    """
    span = core.most - core.least
    takes_all, takes_least = core.weight / (span + core.knee), core.weight / core.knee
    least, spans = float(np.add.reduce(core.least)), float(np.add.reduce(span))
    knee = float(np.add.reduce(core.knee))
    reserve = np.maximum(core.cost, core.feed_in)
    slope = len(core.weight) * core.pair_slope
    supply = float(np.add.reduce(core.room)) + imported
    if supply <= least:
        return core.lost_load if core.soft else float(np.maximum.reduce(takes_least))
    price = float(np.add.reduce(core.weight)) / (supply - least + knee)
    below, above = 0.0, np.inf
    for _ in range(40):
        level = np.minimum(np.maximum(takes_all, price), takes_least)
        reach = core.weight / level
        extra = float(np.add.reduce(reach)) - knee
        offered = slope * np.maximum(price - reserve, 0.0)
        sold = float(np.add.reduce(np.minimum(offered, core.room))) + imported
        gap = least + extra - sold
        if abs(gap) <= 0.01 * min(extra, spans - extra):
            break
        below, above = (price, above) if gap > 0 else (below, price)
        falls = float(reach @ (level == price)) / price
        falls += float(slope @ ((offered > 0) & (offered < core.room)))
        newton = price + gap / falls if falls > 0 else np.inf
        highest = above if above < np.inf else 4 * price
        price = newton if below < newton < highest else (below + highest) / 2
    return price
