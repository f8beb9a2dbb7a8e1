"""The least dual value of a small market by SciPy, which knows nothing of our solvers.

Knows the books of `markets`. A market's dual bounds its welfare from above at any prices, and its
least value is the greatest welfare. Pairs: L-BFGS-B over buyers' and sellers' prices, a share of
the grid's price being what prices lie below it; where the grid's room to buy is limited, a scalar
search over its price around that. One price: a scalar search.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.simulation.markets import Market, OnePriceMarket, PairsMarket, PricePair

RESTARTS = 20
"""Of L-BFGS-B, whose memory goes stale, from where it stopped."""
SMALLEST = 1e-12


def least_dual(market: Market, start: PricePair | None = None) -> float:
    """Coin, of pairs from a start of one's own if none is given; raises ValueError where SciPy is
    missing."""
    optimize = _optimize()
    if isinstance(market, PairsMarket):
        return _least_pairs(optimize, market, start)
    return _least_one_price(optimize, market)


def _optimize() -> Any:
    try:
        return importlib.import_module("scipy.optimize")
    except ModuleNotFoundError:
        raise ValueError(
            "the comparison with a dual solver needs SciPy: pip install scipy"
        ) from None


@dataclass(slots=True)
class _Pairs:
    """A pairs book at the bus, and its dual."""

    weight: FloatArray
    least: FloatArray
    most: FloatArray
    knee: FloatArray
    slope: FloatArray
    room: FloatArray
    cost: FloatArray
    factors: FloatArray
    lost_load: float
    lowest_cap: float
    """Between this and the next lies the grid's price to buyers."""
    highest_cap: float
    import_room: float

    def level(self, price: FloatArray) -> FloatArray:
        """(buyers,) marginal value of what each wants."""
        low, high = self.weight / (self.most - self.least + self.knee), self.weight / self.knee
        clipped: FloatArray = np.clip(price, low, high)
        return clipped

    def value(self, price: FloatArray, reserve: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Of what agents gain at prices, with its slopes, the grid left out."""
        level = self.level(price)
        wanted = self.least + self.weight / level - self.knee
        gain = np.maximum(self.factors * price[:, None] - reserve, 0.0)
        energy = gain * self.slope
        total = self.weight @ np.log(self.weight / self.knee / level) - price @ wanted
        total += (gain * energy).sum() / 2 + (reserve - self.cost) @ self.room
        if self.lost_load < math.inf:
            total += self.lost_load * self.least.sum()
        by_price = (self.factors * energy).sum(1) - wanted
        return float(total), by_price, self.room - energy.sum(0)


def _restated(market: PairsMarket) -> _Pairs:
    buyers, sellers, grid = market.buyers, market.sellers, market.grid
    into, out = np.asarray(buyers.efficiency), np.asarray(sellers.efficiency)
    shape = len(into), len(out)
    book = _Pairs(
        weight=buyers.weight,
        least=buyers.minimum_kwh / into,
        most=buyers.maximum_kwh / into,
        knee=np.asarray(buyers.scale_kwh) / into,
        slope=out**2 / (2 * np.asarray(sellers.quadratic_cost)),
        room=sellers.maximum_kwh * out,
        cost=np.asarray(sellers.linear_cost) / out,
        factors=np.ones(shape) if market.pair_efficiency is None else market.pair_efficiency,
        lost_load=market.lost_load or math.inf,
        lowest_cap=math.inf,
        highest_cap=math.inf,
        import_room=0.0,
    )
    book.lowest_cap = book.highest_cap = book.lost_load
    if grid is None:
        return book
    book.cost = book.cost + grid.local_fee
    retail = grid.retail / market.grid_efficiency
    if grid.import_limit_kwh > 0 and retail < book.lost_load:
        book.lowest_cap = retail
        if grid.import_limit_kwh == math.inf:
            book.highest_cap = retail
        else:
            book.import_room = grid.import_limit_kwh * market.grid_efficiency
    return book


def _least_pairs(optimize: Any, market: PairsMarket, start: PricePair | None) -> float:
    book, grid = _restated(market), market.grid
    if grid is None or grid.export_limit_kwh == 0:
        return _least_above(optimize, book, -math.inf, start)
    feed_in = grid.feed_in * market.grid_efficiency + grid.local_fee
    if grid.export_limit_kwh == math.inf:
        return _least_above(optimize, book, feed_in, start)
    room = grid.export_limit_kwh / market.grid_efficiency

    def at(floor: float) -> float:
        return _least_above(optimize, book, floor, start) + (feed_in - floor) * room

    return min(at(feed_in), _least_scalar(optimize, at, 0.0, feed_in))


@dataclass(slots=True)
class _Prices:
    """A point of the dual: each price, and the grid's, `cap`, that no buyer's exceeds."""

    buyers: FloatArray
    sellers: FloatArray
    cap: float


def _least_above(
    optimize: Any, book: _Pairs, floor: float, start: PricePair | None = None
) -> float:
    """Given the grid's price to sellers, over all others: again and again from where L-BFGS-B
    stopped, with its memory cleared and its unknowns scaled anew."""
    lowest = np.maximum(book.cost, floor)
    best = _start(book, lowest) if start is None else _started(book, lowest, start)
    least, idle = math.inf, 0
    for run in range(RESTARTS):
        here = _descend(optimize, book, lowest, best, tie_all=run % 2 == 0)
        value = book.value(here.buyers, here.sellers)[0]
        if book.import_room > 0:
            value += (here.cap - book.lowest_cap) * book.import_room
        idle = 0 if least - value > 1e-12 * abs(value) else idle + 1
        if value < least:
            best, least = here, value
        if idle == 2:
            break
    return least


def _start(book: _Pairs, lowest: FloatArray) -> _Prices:
    """What each would pay for one more kWh if all got the same of all there is."""
    share = np.clip(book.room.sum() / max(len(book.weight), 1), book.least, book.most)
    price = np.minimum(book.weight / (share - book.least + book.knee), book.highest_cap)
    cheapest = float(price.min()) if len(price) else 0.0
    cap = max(book.lowest_cap, float(price.max(initial=0.0)))
    return _Prices(price, np.maximum(lowest, 0.9 * cheapest), cap)


def _started(book: _Pairs, lowest: FloatArray, given: PricePair) -> _Prices:
    price = np.minimum(given.buyers, book.highest_cap)
    cap = max(book.lowest_cap, float(price.max(initial=0.0)))
    return _Prices(price, np.maximum(lowest, given.sellers), cap)


def _descend(
    optimize: Any, book: _Pairs, lowest: FloatArray, start: _Prices, *, tie_all: bool
) -> _Prices:
    """One run of L-BFGS-B, in unknowns scaled by the root of their curvature.

    Where the grid's price is free, buyers are counted from it, `tied`: all, or those near it. The
    others are left free, and should one pass it, it is raised to that one's price.
    """
    n, moves = len(book.weight), book.lowest_cap < book.highest_cap
    tied = (tie_all | (start.buyers > start.cap / 2)) & moves
    stiff = book.weight / book.level(start.buyers) ** 2 + (book.factors**2) @ book.slope
    reached = np.maximum((book.factors > 0).sum(0), 1)
    by_cap = [stiff[tied].sum() + SMALLEST] if moves else []
    scale = np.sqrt(np.concatenate([stiff, reached * book.slope, by_cap]))

    def prices(point: FloatArray) -> _Prices:
        each = point / scale
        cap = float(each[-1]) if moves else book.highest_cap
        buyers = np.where(tied, cap - each[:n], each[:n]) if moves else each[:n]
        return _Prices(buyers, each[n : n + len(lowest)], cap)

    def dual(point: FloatArray) -> tuple[float, FloatArray]:
        at = prices(point)
        total, by_price, by_reserve = book.value(at.buyers, at.sellers)
        slopes = [np.where(tied, -by_price, by_price), by_reserve]
        if moves:
            total += (at.cap - book.lowest_cap) * book.import_room
            slopes.append(np.array([by_price[tied].sum() + book.import_room]))
        return total, np.concatenate(slopes) / scale

    first = [np.where(tied, start.cap - start.buyers, start.buyers) if moves else start.buyers]
    low = [np.where(tied, 0.0, -np.inf), lowest]
    high = [np.where(tied, np.inf, book.highest_cap), np.full(len(lowest), np.inf)]
    first.append(start.sellers)
    if moves:
        for part, value in zip(
            (first, low, high), (start.cap, book.lowest_cap, book.highest_cap), strict=True
        ):
            part.append(np.array([value]))
    found = optimize.minimize(
        dual,
        np.concatenate(first) * scale,
        jac=True,
        method="L-BFGS-B",
        bounds=np.column_stack([np.concatenate(low) * scale, np.concatenate(high) * scale]),
        options={"maxiter": 5000, "maxfun": 10_000, "ftol": 0.0, "gtol": 1e-12, "maxcor": 40},
    )
    end = prices(found.x)
    if moves:
        end.cap = max(end.cap, float(end.buyers.max(initial=0.0)))
    return end


def _least_one_price(optimize: Any, market: OnePriceMarket) -> float:
    buyers, sellers, grid, soft = market.buyers, market.sellers, market.grid, market.lost_load
    span, band = buyers.maximum_kwh - buyers.minimum_kwh, buyers.price_high - buyers.price_low
    curved = (band > 0) & (span > 0)
    scale = np.where(curved, span * buyers.price_low / np.where(curved, band, 1.0), 1.0)
    needed = float(buyers.minimum_kwh.sum())
    imports = min(grid.import_limit_kwh, float(buyers.maximum_kwh.sum()))
    exports = min(grid.export_limit_kwh, float(sellers.maximum_kwh.sum()))

    def dual(price: float) -> float:
        extra = np.where(curved, np.clip(scale * (buyers.price_high / price - 1), 0.0, span), span)
        logs = scale * buyers.price_high * np.log1p(extra / scale) - price * extra
        flat = np.maximum(buyers.price_low - price, 0.0) * span
        total = np.where(curved, logs, flat).sum()
        total += -price * needed if soft is None else max(soft - price, 0.0) * needed
        gain = np.maximum(price - grid.local_fee - sellers.ask, 0.0)
        steep = np.where(sellers.slope > 0, sellers.slope, 1.0)
        sold = np.where(sellers.slope > 0, gain / steep, sellers.maximum_kwh)
        sold = np.minimum(sold, sellers.maximum_kwh)
        total += (gain * sold - sellers.slope * sold**2 / 2).sum()
        total += max(price - grid.retail, 0.0) * imports
        return float(total) + max(grid.feed_in + grid.local_fee - price, 0.0) * exports

    full = sellers.ask + sellers.slope * sellers.maximum_kwh + grid.local_fee
    highest = max(grid.retail, buyers.price_high.max(initial=0.0), full.max(initial=0.0))
    return _least_scalar(optimize, dual, SMALLEST, 2 * max(float(highest), soft or 0.0))


def _least_scalar(optimize: Any, value: Callable[[float], float], low: float, high: float) -> float:
    """Of a convex function, its ends included: once, and once more close by, for the method knows
    a place no better than to a hundred-millionth of its distance from zero."""
    place, least = 0.0, min(value(low), value(high))
    for reach in (high, 1e-6 * high):
        found = optimize.minimize_scalar(
            lambda shift, middle=place: value(middle + shift),
            bounds=(max(low - place, -reach), min(high - place, reach)),
            method="bounded",
            options={"xatol": 1e-7 * reach, "maxiter": 200},
        )
        place, least = place + float(found.x), min(least, float(found.fun))
    return least
