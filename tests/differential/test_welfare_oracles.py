"""The pairs auction against two solvers that know nothing of its method.

CVXPY with Clarabel solves the primal as a cone programme, with every regime of bounds and grid;
SciPy's L-BFGS-B minimises the dual, with grid prices as bounds and its room in one price more.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.one_price import GridTerms
from peerwatt.mechanisms.welfare import PairsClearing, clear_pairs
from peerwatt.mechanisms.welfare_book import Core, PairBuyers, PairSellers
from peerwatt.simulation.market_duals import least_dual
from peerwatt.simulation.markets import check

cp: Any = importlib.import_module("cvxpy")  # its stubs are partial
minimize: Any = importlib.import_module("scipy.optimize").minimize


def by_cones(core: Core) -> tuple[float, FloatArray]:
    """(welfare, bought), the primal as it stands."""
    n, m = len(core.weight), len(core.room)
    factors = np.ones((n, m)) if core.factors is None else core.factors
    met, extra, value = core.least, cp.Variable(n, nonneg=True), 0.0
    arrived: Any = 0.0
    limits = [extra <= core.most - core.least]
    if core.soft:
        met = cp.Variable(n, nonneg=True)
        limits.append(met <= core.least)
        value += core.lost_load * cp.sum(met)
    if m:
        energy = cp.Variable((n, m), nonneg=True)
        to_grid = cp.Variable(m, nonneg=True)
        cost = cp.sum(cp.multiply(cp.square(energy), 0.5 / core.pair_slope[None, :]))
        value -= cost + cp.sum(energy @ core.cost)
        arrived = cp.sum(cp.multiply(factors, energy), axis=1)
        limits.append(cp.sum(energy, axis=0) + to_grid <= core.room)
        limits.append(cp.sum(to_grid) <= core.export_room)
        if core.export_room > 0:
            value += (core.feed_in - core.cost) @ to_grid
    from_grid = cp.Variable(n, nonneg=True)
    limits += [met + extra == arrived + from_grid, cp.sum(from_grid) <= core.import_room]
    if core.import_room > 0:
        value -= core.retail * cp.sum(from_grid)
    value += core.weight @ cp.log(cp.multiply(1 / core.knee, extra) + 1)
    problem = cp.Problem(cp.Maximize(value), limits)
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    return float(problem.value), np.asarray((met + extra).value)


def by_dual(core: Core) -> float:
    """The least of the dual over buyers' and sellers' prices, hence the greatest welfare."""
    n = len(core.weight)
    floor = np.maximum(core.cost, core.feed_in)

    def dual(point: FloatArray) -> tuple[float, FloatArray]:
        p, t = point[:n], point[n:]
        level = np.clip(
            p, core.weight / (core.most - core.least + core.knee), core.weight / core.knee
        )
        wanted = core.least + core.weight / level - core.knee
        gain = np.maximum(p[:, None] - t, 0)
        energy = gain * core.pair_slope
        value = core.weight @ np.log1p((wanted - core.least) / core.knee) - p @ wanted
        value += (t - core.cost) @ core.room + (gain * energy).sum() / 2
        slopes = np.concatenate([energy.sum(1) - wanted, core.room - energy.sum(0)])
        return float(value), slopes

    start = np.concatenate([np.full(n, 0.1), np.maximum(floor, 0.05)])
    bounds = [(1e-9, core.retail)] * n + [(low, None) for low in floor]
    found = minimize(
        dual,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 20_000, "maxfun": 50_000, "ftol": 1e-16, "gtol": 1e-11, "maxcor": 30},
    )
    return float(found.fun)


def assert_agrees(clearing: PairsClearing, optimum: float, tolerance: float = 1e-8) -> None:
    scale = clearing.certificate.traded_value + clearing.certificate.weight
    assert clearing.welfare == pytest.approx(optimum, abs=tolerance * scale)


def paper_book(
    seed: int, buyers: int = 35, sellers: int = 45, **changed: Any
) -> tuple[PairBuyers, PairSellers]:
    rng = np.random.default_rng(seed)
    tau = changed.pop("tau", 10.07)
    demand = PairBuyers(
        weight=tau / (24 * rng.uniform(0.2, 0.5, buyers)),
        minimum_kwh=rng.uniform(5, 10, buyers),
        maximum_kwh=rng.uniform(12, 18, buyers),
        efficiency=0.72,
    )
    needed = float((demand.minimum_kwh / 0.72).sum())
    room = rng.uniform(10, 20, sellers)
    if changed.pop("equal", False):
        room = np.full(sellers, 15.0)
        demand = PairBuyers(
            weight=np.full(buyers, tau / 8),
            minimum_kwh=np.full(buyers, 7.0),
            maximum_kwh=np.full(buyers, 15.0),
            efficiency=0.72,
        )
        needed = buyers * 7.0 / 0.72
    spare = changed.pop("spare", room.sum() / needed - 1)
    terms: dict[str, Any] = {"quadratic_cost": 0.01, "linear_cost": 0.015} | changed
    return demand, PairSellers(maximum_kwh=room * needed * (1 + spare) / room.sum(), **terms)


REGIMES: dict[str, dict[str, Any]] = {
    "the paper's": {},
    "scarce": {"spare": 0.05},
    "ample": {"spare": 20.0},
    "low value": {"tau": 0.1},
    "minima and maxima bind": {"tau": 1.0, "spare": 0.3},
    "a hair from infeasible": {"spare": 1e-4},
    "steep costs": {"quadratic_cost": 1.0},
    "unequal costs": {
        "quadratic_cost": 0.01 * np.geomspace(0.05, 20, 45),
        "linear_cost": 0.015 * np.geomspace(5, 0.2, 45),
    },
    "equal parameters": {"equal": True},
    "equal and scarce": {"equal": True, "spare": 1e-4},
    "extreme ratios": {"quadratic_cost": 0.01 * np.geomspace(1e-3, 1e3, 45)},
}


@pytest.mark.parametrize("name", REGIMES)
def test_the_dual_agrees_at_the_papers_size(name: str) -> None:
    clearing = clear_pairs(*paper_book(11, **REGIMES[name]))
    assert_agrees(clearing, by_dual(clearing.core))


def smaller(name: str, sellers: int) -> dict[str, Any]:
    """A regime for so many sellers, evenly picked from its own."""
    pick = np.linspace(0, 44, sellers).round().astype(int)
    return {
        key: value[pick] if isinstance(value, np.ndarray) else value
        for key, value in REGIMES[name].items()
    }


def assert_cones_agree(name: str, seed: int, buyers: int, sellers: int) -> None:
    clearing = clear_pairs(*paper_book(seed, buyers, sellers, **smaller(name, sellers)))
    optimum, bought = by_cones(clearing.core)
    assert_agrees(clearing, optimum)
    np.testing.assert_allclose(clearing.bought_kwh, bought, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", REGIMES)
def test_the_cone_solver_agrees(name: str) -> None:
    assert_cones_agree(name, 3, 6, 8)


@pytest.mark.slow
@pytest.mark.parametrize("name", REGIMES)
@pytest.mark.parametrize("seed", range(3))
def test_the_cone_solver_agrees_on_more(name: str, seed: int) -> None:
    assert_cones_agree(name, seed, 20, 25)


@pytest.mark.slow
@pytest.mark.parametrize("name", REGIMES)
@pytest.mark.parametrize("seed", range(10))
def test_the_dual_agrees_on_more(name: str, seed: int) -> None:
    clearing = clear_pairs(*paper_book(seed, **REGIMES[name]))
    assert_agrees(clearing, by_dual(clearing.core))


@pytest.mark.parametrize("rooms", [(math.inf, math.inf), (20.0, math.inf), (20.0, 15.0)])
@pytest.mark.parametrize("prices", [(0.03, 0.02), (0.1, 0.05), (0.3, 0.12)])
@pytest.mark.parametrize("tau", [0.3, 10.07])
def test_with_the_grid(rooms: tuple[float, float], prices: tuple[float, float], tau: float) -> None:
    grid = GridTerms(
        retail=prices[0],
        feed_in=prices[1],
        import_limit_kwh=rooms[0],
        export_limit_kwh=rooms[1],
        local_fee=0.005,
    )
    book = paper_book(5, 8, 10, tau=tau, quadratic_cost=0.01 * np.geomspace(0.2, 5, 10))
    clearing = clear_pairs(*book, grid, grid_efficiency=0.8)
    assert_agrees(clearing, by_cones(clearing.core)[0])
    if math.isinf(rooms[0]) and math.isinf(rooms[1]):
        assert_agrees(clearing, by_dual(clearing.core))


@pytest.mark.parametrize("gridded", [False, True])
@pytest.mark.parametrize("forbidden", [0.0, 0.4])
def test_with_an_efficiency_for_each_pair(gridded: bool, forbidden: float) -> None:
    rng = np.random.default_rng(2)
    matrix = rng.uniform(0.6, 1, (8, 12)) * (rng.random((8, 12)) >= forbidden)
    grid = GridTerms(retail=0.13, feed_in=0.1, import_limit_kwh=15.0, export_limit_kwh=12.0)
    book = paper_book(6, 8, 12, tau=2.0, quadratic_cost=0.01 * np.geomspace(0.2, 5, 12))
    clearing = clear_pairs(*book, grid if gridded else None, pair_efficiency=matrix)
    assert_agrees(clearing, by_cones(clearing.core)[0])


@given(st.integers(0, 10**6), st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_with_lost_load(seed: int, gridded: bool, dense: bool) -> None:
    """Books of two to six a side, most of which cannot meet their minima."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(2, 7)), int(rng.integers(2, 7))
    book = paper_book(
        seed, n, m, tau=rng.choice([0.3, 10.07]), spare=rng.choice([-0.9, -0.5, -0.1, 0.02, 1.0])
    )
    grid = GridTerms(
        retail=rng.choice([0.1, 0.5]),
        feed_in=0.05,
        import_limit_kwh=rng.choice([2.0, 15.0]),
        export_limit_kwh=12.0,
    )
    clearing = clear_pairs(
        *book,
        grid if gridded else None,
        pair_efficiency=rng.uniform(0.6, 1, (n, m)) if dense else None,
        lost_load=float((book[0].weight * 0.72).max()) * rng.choice([1.0, 1.2, 3.0]),
    )
    optimum, bought = by_cones(clearing.core)
    value = clearing.core.lost_load * float(clearing.core.least.sum())
    assert clearing.welfare == pytest.approx(optimum, abs=1e-8 * value)
    np.testing.assert_allclose(clearing.bought_kwh.sum(), bought.sum(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("buyers", "sellers"), [(6, 0), (0, 6)])
def test_with_one_side_empty(buyers: int, sellers: int) -> None:
    grid = GridTerms(retail=0.1, feed_in=0.05, import_limit_kwh=90.0, export_limit_kwh=20.0)
    rng = np.random.default_rng(0)
    demand = PairBuyers(
        weight=rng.uniform(1, 2, buyers),
        minimum_kwh=np.full(buyers, 2.0),
        maximum_kwh=np.full(buyers, 20.0),
    )
    supply = PairSellers(maximum_kwh=np.full(sellers, 8.0), quadratic_cost=0.01, linear_cost=0.02)
    clearing = clear_pairs(demand, supply, grid)
    if buyers:
        assert_agrees(clearing, by_cones(clearing.core)[0])
        endless = GridTerms(retail=0.1, feed_in=0.05, import_limit_kwh=1e9, export_limit_kwh=1e9)
        clearing = clear_pairs(demand, supply, endless)
        assert_agrees(clearing, by_dual(clearing.core))
    else:
        assert clearing.welfare == pytest.approx(20 * (0.05 - 0.02))


def assert_small_markets_agree(seeds: range) -> None:
    found = {seed: check(seed, least_dual) for seed in seeds}
    assert {seed: each.problem for seed, each in found.items() if each.problem} == {}
    assert max(each.difference for each in found.values()) < 1e-8


def test_small_markets_of_every_kind_agree_with_their_dual() -> None:
    """As `peerwatt soak markets --against dual` compares ten thousand."""
    assert_small_markets_agree(range(1000, 1030))


@pytest.mark.slow
def test_more_small_markets_agree_with_their_dual() -> None:
    assert_small_markets_agree(range(2000, 2600))
