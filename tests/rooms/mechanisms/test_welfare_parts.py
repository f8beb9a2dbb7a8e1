"""The parts of the pairs solver, each against the slow way to the same end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerwatt.mechanisms.one_price import GridTerms
from peerwatt.mechanisms.welfare import clear_pairs
from peerwatt.mechanisms.welfare_book import Core, PairBuyers, PairSellers, core_of
from peerwatt.mechanisms.welfare_dense import Dense
from peerwatt.mechanisms.welfare_floor import floor_for_room
from peerwatt.mechanisms.welfare_newton import Newton, common_price
from peerwatt.mechanisms.welfare_staircase import Staircase
from peerwatt.mechanisms.welfare_tridiagonal import solve_tridiagonal

GRID = GridTerms(retail=0.4, feed_in=0.1, import_limit_kwh=9.0, export_limit_kwh=9.0)


def core_for(rng: np.random.Generator, *, dense: bool, grid: GridTerms | None = None) -> Core:
    n, m = int(rng.integers(1, 9)), int(rng.integers(1, 9))
    buyers = PairBuyers(
        weight=rng.uniform(0.5, 2, n), minimum_kwh=np.zeros(n), maximum_kwh=rng.uniform(5, 9, n)
    )
    sellers = PairSellers(
        maximum_kwh=rng.uniform(0, 9, m) * rng.choice([0, 1], m, p=[0.2, 0.8]),
        quadratic_cost=rng.uniform(0.01, 0.3, m),
        linear_cost=rng.uniform(0.0, 0.2, m),
    )
    matrix = rng.uniform(0.3, 1, (n, m)) * rng.choice([0, 1], (n, m), p=[0.2, 0.8])
    return core_of(buyers, sellers, grid, 1.0, matrix if dense else None)


def market_of(core: Core, base: float) -> Any:
    return Staircase(core, base) if core.factors is None else Dense(core, base)


@pytest.mark.parametrize("size", [1, 2, 3, 64, 65, 66, 67, 127, 128, 129, 1000, 4097])
def test_tridiagonal(size: int) -> None:
    rng = np.random.default_rng(size)
    beside = -rng.uniform(0, 1, size - 1)
    diagonal = rng.uniform(0.01, 0.1, size)
    diagonal[1:] -= beside
    diagonal[:-1] -= beside
    right = rng.normal(size=size)
    found = solve_tridiagonal(diagonal, beside, right)
    rest = diagonal * found - right
    rest[1:] += beside * found[:-1]
    rest[:-1] += beside * found[1:]
    np.testing.assert_allclose(rest, 0, atol=1e-11)


@given(st.integers(0, 10**6), st.booleans(), st.booleans())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_sellers_answer_by_bisection(seed: int, dense: bool, gridded: bool) -> None:
    """Each t_j by bisection on its own, the floor by bisection on the room it has to fill."""
    rng = np.random.default_rng(seed)
    core = core_for(rng, dense=dense, grid=GRID if gridded else None)
    price = rng.uniform(0, 1, len(core.weight))
    worth = price[:, None] * (1 if core.factors is None else core.factors)
    worth = np.broadcast_to(worth, (len(price), len(core.room)))

    def sold(t: Any) -> Any:
        return np.maximum(worth - t, 0).sum(0) * core.pair_slope

    low, high = np.full(len(core.room), -999.0), np.full(len(core.room), 1.0)
    for _ in range(90):
        middle = (low + high) / 2
        over = sold(middle) > core.room
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    alone = np.maximum(np.where(core.room > 0, high, worth.max(0)), core.cost)
    floor = core.feed_in
    if gridded and (core.room - sold(floor))[alone < floor].sum() > core.export_room:
        below, above = 0.0, floor
        for _ in range(90):
            floor = (below + above) / 2
            left = (core.room - sold(floor))[alone < floor].sum()
            below, above = (below, floor) if left > core.export_room else (floor, above)
    sales = market_of(core, 0.25).sell(price - 0.25)
    np.testing.assert_allclose(sales.reserve + 0.25, np.maximum(alone, floor), atol=1e-9)
    energy = np.maximum(worth - np.maximum(alone, floor), 0) * core.pair_slope
    bought = (energy * (1 if core.factors is None else core.factors)).sum(1)
    np.testing.assert_allclose(sales.bought, bought, atol=1e-6)


@given(st.integers(0, 10**6), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_steps_solve_the_finite_difference_system(
    seed: int, dense: bool, gridded: bool, holding: bool
) -> None:
    """The Hessian by differences of what is bought; the held tied together by one price."""
    rng = np.random.default_rng(seed)
    core = core_for(rng, dense=dense, grid=GRID if gridded else None)
    count = len(core.weight)
    price = rng.uniform(0.1, 1, count) - 0.5
    held = np.zeros(count, dtype=bool)
    if holding:
        held = price >= np.sort(price)[-max(count // 2, 1)]
        price[held] = price.max() + 0.01
    market, h = market_of(core, 0.5), 1e-7
    unit = np.eye(count)
    rows = [(market.sell(price + h * e).bought - market.sell(price - h * e).bought) for e in unit]
    curvature = rng.uniform(1, 2, count)
    hessian = np.array(rows).T / (2 * h) + np.diag(curvature)
    excess, lift = rng.normal(size=count), float(rng.normal())
    step = market.step(market.sell(price), excess, curvature, held if holding else None, lift)
    if not holding:
        expected = np.linalg.solve(hessian, excess)
    else:
        tied = np.column_stack([unit[:, ~held], held.astype(float)])
        right = np.append(excess[~held], lift)
        expected = tied @ np.linalg.solve(tied.T @ hessian @ tied, right)
        assert np.ptp(step[held]) == 0
        fixed = market.step(market.sell(price), excess, curvature, held, None)
        assert (fixed[held] == 0).all()
    np.testing.assert_allclose(step, expected, rtol=1e-3, atol=1e-4)


def test_a_floor_rests_on_a_cost_or_fills_the_room() -> None:
    supply, reserve = np.array([5.0, 5.0, 5.0]), np.array([0.1, 0.2, 0.3])

    def nothing_sold(price: float, among: Any) -> tuple[float, float]:
        return 0.0, 0.0

    def floor(room: float) -> tuple[float, bool]:
        return floor_for_room(reserve, supply, nothing_sold, feed_in=0.4, room=room)

    assert floor(20.0) == (0.4, False)
    assert floor(12.0) == (0.3, False)
    assert floor(7.0) == (0.2, False)
    assert floor(1.0) == (0.1, False)

    def three_buyers(price: float, among: Any) -> tuple[float, float]:
        """At 0.35; each seller sells 20 kWh per coin to the three of them: 5 at 0.1."""
        slope = 20.0 * int(among.sum())
        return slope * max(0.35 - price, 0.0), slope

    price, moves = floor_for_room(reserve, supply, three_buyers, feed_in=0.4, room=1.0)
    assert moves
    assert price == pytest.approx(0.15)


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_rank_one_is_a_matrix_too(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 9)), int(rng.integers(1, 9))
    into, out = rng.uniform(0.5, 1, n), rng.uniform(0.5, 1, m)
    needs: dict[str, Any] = {
        "weight": rng.uniform(0.5, 2, n),
        "minimum_kwh": rng.choice([0.0, 1.0], n),
        "maximum_kwh": rng.uniform(1, 9, n),
    }
    terms: dict[str, Any] = {
        "maximum_kwh": rng.uniform(2.5, 9, m) * n / m,
        "quadratic_cost": rng.uniform(0.01, 0.1, m),
        "linear_cost": 0.02,
    }
    one = clear_pairs(PairBuyers(**needs, efficiency=into), PairSellers(**terms, efficiency=out))
    other = clear_pairs(
        PairBuyers(**needs), PairSellers(**terms), pair_efficiency=np.outer(into, out)
    )
    scale = 1e-8 * (one.certificate.traded_value + one.certificate.weight)
    assert one.welfare == pytest.approx(other.welfare, abs=scale)
    np.testing.assert_allclose(one.bought_kwh * into, other.bought_kwh, rtol=1e-5, atol=1e-6)


def test_the_common_price_is_near() -> None:
    """Where all are alike it is the price; elsewhere the start that Newton's method needs."""
    buyers = PairBuyers(
        weight=np.full(4, 2.0), minimum_kwh=np.zeros(4), maximum_kwh=np.full(4, 9.0)
    )
    sellers = PairSellers(maximum_kwh=np.full(4, 3.0), quadratic_cost=0.01, linear_cost=0.01)
    core = core_of(buyers, sellers, None, 1.0, None)
    assert common_price(core) == pytest.approx(0.5, rel=0.02)
    newton = Newton(core, Staircase(core, 0.5), 0.5)
    assert newton.solve(*newton.start()).price == pytest.approx(0.0, abs=1e-12)
