"""The welfare optimum of a pairs book by a cone solver, every pair a variable: the tests' judge."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from peerwatt.contracts.auction import Book
from peerwatt.contracts.proved import ProvedOutcome
from peerwatt.units import UCOIN_PER_COIN, WH_PER_KWH

cp: Any = importlib.import_module("cvxpy")  # its stubs are partial
ACCURACY = 2e-6
"""Of all that the book could be worth; Clarabel stops at 1e-8 of its own scaled problem."""


def welfare_coin(book: Book, awards: ProvedOutcome | None = None) -> float | None:
    """The most that the book can be worth, or the most with these awards; in coin, minima at lost
    load. None where the cone solver does not vouch for its own answer."""
    n, m, terms = len(book.buys), len(book.sells), book.prices
    if n == 0 or m + book.import_limit_wh == 0:
        return _exports_alone(book, awards)
    least = np.array([order.min_wh for order in book.buys]) / WH_PER_KWH
    span = np.array([order.max_wh for order in book.buys]) / WH_PER_KWH - least
    must, extra, grid = cp.Variable(n, nonneg=True), cp.Variable(n, nonneg=True), cp.Variable(n)
    worth = _coin(terms.lost_load_ucoin_per_kwh) * cp.sum(must) - _coin(
        terms.retail_ucoin_per_kwh
    ) * cp.sum(grid)
    for at, order in enumerate(book.buys):
        low, high = _coin(order.price_low_ucoin_per_kwh), _coin(order.price_high_ucoin_per_kwh)
        if low == high:
            worth += high * extra[at]
        elif low > 0 and span[at] > 0:
            kappa = span[at] * low / (high - low)
            worth += kappa * high * cp.log(1 + extra[at] / kappa)
    limits = [grid >= 0, cp.sum(grid) <= book.import_limit_wh / WH_PER_KWH]
    bought = grid
    if m:
        out = cp.Variable(m, nonneg=True)
        slope = np.sqrt([_coin(order.slope_ucoin_per_kwh2) for order in book.sells])
        asks = np.array([_coin(order.ask_ucoin_per_kwh) for order in book.sells])
        felt = cp.Variable((n, m), nonneg=True)  # energy x sqrt(slope): costs are then alike
        energy = cp.multiply(felt, np.tile(1 / slope, (n, 1)))
        bought, sold = grid + cp.sum(energy, axis=1), out + cp.sum(energy, axis=0)
        worth -= cp.sum_squares(felt) / 2
        worth -= cp.sum(energy @ (asks + _coin(terms.local_fee_ucoin_per_kwh)))
        worth += cp.sum(cp.multiply(_coin(terms.feed_in_ucoin_per_kwh) - asks, out))
        limits += [sold <= np.array([order.max_wh for order in book.sells]) / WH_PER_KWH]
        limits += [cp.sum(out) <= book.export_limit_wh / WH_PER_KWH]
        if awards is not None:
            limits += [sold == np.array(awards.sold_wh) / WH_PER_KWH]
    if awards is not None:
        limits += [bought == np.array(awards.bought_wh) / WH_PER_KWH]
    limits += [bought == must + extra, must <= least, extra <= span]
    problem = cp.Problem(cp.Maximize(worth), limits)
    try:
        problem.solve(solver=cp.CLARABEL)
    except cp.error.SolverError:
        return None
    return float(problem.value) if problem.status == cp.OPTIMAL else None


def _exports_alone(book: Book, awards: ProvedOutcome | None) -> float:
    """What sellers without buyers are worth: lowest asks go out first."""
    worth, room = 0, book.export_limit_wh
    sold = [order.max_wh for order in book.sells] if awards is None else awards.sold_wh
    for order, most in sorted(
        zip(book.sells, sold, strict=True), key=lambda o: o[0].ask_ucoin_per_kwh
    ):
        gain = book.prices.feed_in_ucoin_per_kwh - order.ask_ucoin_per_kwh
        out = min(most, room) if awards is not None or gain > 0 else 0
        worth, room = worth + gain * out, room - out
    return worth / WH_PER_KWH / UCOIN_PER_COIN


def scale_coin(book: Book) -> float:
    """At most what all energy of the book could be worth."""
    energy = sum(o.max_wh for o in book.buys) + sum(o.max_wh for o in book.sells) + 1_000
    return energy / WH_PER_KWH * _coin(book.prices.lost_load_ucoin_per_kwh)


def rounding_coin(book: Book) -> float:
    """What whole Wh can cost: 1 Wh an order at lost load, and on a seller's steepest pair."""
    orders = len(book.buys) + len(book.sells)
    slopes = sum(_coin(order.slope_ucoin_per_kwh2) for order in book.sells)
    return orders * _coin(book.prices.lost_load_ucoin_per_kwh) / WH_PER_KWH + slopes / WH_PER_KWH**2


def _coin(ucoin: int) -> float:
    return ucoin / UCOIN_PER_COIN
