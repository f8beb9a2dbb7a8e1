"""The one-price round: its welfare is the optimum, its price the one that supports it."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerwatt.mechanisms.allocation import OnePriceClearing, Regime
from peerwatt.mechanisms.one_price import (
    BuyerCurves,
    GridTerms,
    SellerCurves,
    clear_one_price,
    clear_uniform,
)

LOST_LOAD = 0.5
cp: Any = importlib.import_module("cvxpy")  # its stubs are partial


def buyers_of(*rows: tuple[float, float, float, float]) -> BuyerCurves:
    """Rows of (minimum, maximum, price_high, price_low)."""
    table = np.array(rows, dtype=float).reshape(-1, 4)
    return BuyerCurves(
        minimum_kwh=table[:, 0],
        maximum_kwh=table[:, 1],
        price_high=table[:, 2],
        price_low=table[:, 3],
    )


def sellers_of(*rows: tuple[float, float, float]) -> SellerCurves:
    """Rows of (maximum, ask, slope)."""
    table = np.array(rows, dtype=float).reshape(-1, 3)
    return SellerCurves(maximum_kwh=table[:, 0], ask=table[:, 1], slope=table[:, 2])


def grid_of(**changed: float) -> GridTerms:
    terms: dict[str, float] = {
        "retail": 0.2,
        "feed_in": 0.05,
        "import_limit_kwh": math.inf,
        "export_limit_kwh": math.inf,
    }
    return GridTerms(**(terms | changed))


def random_book(rng: np.random.Generator, **grid: float) -> tuple[Any, Any, GridTerms]:
    n, m = int(rng.integers(1, 12)), int(rng.integers(0, 8))
    maximum = rng.uniform(0.05, 1.65, n)
    low = rng.uniform(0.06, 0.4, n)
    buyers = BuyerCurves(
        minimum_kwh=maximum * rng.choice([0.0, 0.3, 1.0], n, p=[0.6, 0.3, 0.1]),
        maximum_kwh=maximum,
        price_low=low,
        price_high=np.minimum(low * rng.uniform(1.05, 4, n), LOST_LOAD),
    )
    sellers = SellerCurves(
        maximum_kwh=rng.uniform(0, 1.65, m),
        ask=rng.uniform(0.0, 0.35, m),
        slope=rng.choice([0.0, 0.01, 0.2], m),
    )
    return buyers, sellers, grid_of(**grid)


REGIME_GRIDS: dict[str, dict[str, float]] = {
    "ample": {},
    "no grid": {"import_limit_kwh": 0.0, "export_limit_kwh": 0.0},
    "scarce": {"import_limit_kwh": 0.8, "retail": 0.126},
    "export": {"feed_in": 0.15, "export_limit_kwh": 1.0},
    "fee": {"local_fee": 0.04, "import_limit_kwh": 2.0},
    "dear grid": {"retail": 0.496, "local_fee": 0.01},
}


def optimum(buyers: BuyerCurves, sellers: SellerCurves, grid: GridTerms) -> float:
    """The most welfare, by an interior-point solver that knows nothing of prices."""
    n, m = len(buyers.maximum_kwh), len(sellers.maximum_kwh)
    need, extra = cp.Variable(n, nonneg=True), cp.Variable(n, nonneg=True)
    sold = cp.Variable(max(m, 1), nonneg=True)
    bought_grid, sold_grid = cp.Variable(nonneg=True), cp.Variable(nonneg=True)
    elastic = buyers.maximum_kwh - buyers.minimum_kwh
    band = buyers.price_high - buyers.price_low
    curved = (elastic > 0) & (band > 0)
    kappa = np.where(curved, elastic * buyers.price_low / np.where(band > 0, band, 1), 1.0)
    weight = np.where(curved, kappa * buyers.price_high, 0.0)
    ask, slope, most = np.zeros(1), np.zeros(1), np.zeros(1)
    if m:
        ask, slope, most = sellers.ask, sellers.slope, sellers.maximum_kwh
    flat_value = cp.sum(cp.multiply(np.where(curved, 0.0, buyers.price_high), extra))
    value = LOST_LOAD * cp.sum(need) + weight @ cp.log1p(extra / kappa) + flat_value
    cost = ask @ sold + cp.sum(cp.multiply(slope / 2, cp.square(sold)))
    cost += grid.retail * bought_grid - grid.feed_in * sold_grid
    cost += grid.local_fee * (cp.sum(sold) - sold_grid)
    balance = cp.sum(need) + cp.sum(extra) + sold_grid == cp.sum(sold) + bought_grid
    bounds = [balance, need <= buyers.minimum_kwh, extra <= elastic, sold <= most]
    bounds += [sold_grid <= cp.sum(sold)]
    for energy, limit in (
        (bought_grid, grid.import_limit_kwh),
        (sold_grid, grid.export_limit_kwh),
    ):
        if math.isfinite(limit):
            bounds.append(energy <= limit)
    problem = cp.Problem(cp.Maximize(value - cost), bounds)
    return float(problem.solve(solver=cp.CLARABEL))


def assert_feasible(
    found: OnePriceClearing, buyers: BuyerCurves, sellers: SellerCurves, grid: GridTerms
) -> None:
    into = found.sold_kwh.sum() + found.import_kwh
    assert math.isclose(found.bought_kwh.sum() + found.export_kwh, into, abs_tol=1e-12)
    assert (found.bought_kwh >= 0).all()
    assert (found.bought_kwh <= buyers.maximum_kwh + 1e-15).all()
    assert (found.sold_kwh >= 0).all()
    assert (found.sold_kwh <= sellers.maximum_kwh + 1e-15).all()
    assert 0 <= found.import_kwh <= grid.import_limit_kwh
    assert 0 <= found.export_kwh <= grid.export_limit_kwh
    assert found.import_kwh == 0 or found.export_kwh == 0
    assert 0 <= found.buyer_price <= LOST_LOAD


@pytest.mark.parametrize("regime", REGIME_GRIDS)
def test_welfare_is_the_optimum_of_an_independent_solver(regime: str) -> None:
    rng = np.random.default_rng(20190821)
    for _ in range(12):
        book = random_book(rng, **REGIME_GRIDS[regime])
        found = clear_one_price(*book, lost_load=LOST_LOAD)
        assert_feasible(found, *book)
        assert found.welfare == pytest.approx(optimum(*book), abs=1e-6)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), regime=st.sampled_from(sorted(REGIME_GRIDS)))
def test_the_price_supports_every_quantity(seed: int, regime: str) -> None:
    """Given the price alone, no one would rather trade another quantity (optimality)."""
    rng = np.random.default_rng(seed)
    buyers, sellers, grid = random_book(rng, **REGIME_GRIDS[regime])
    found = clear_one_price(buyers, sellers, grid, lost_load=LOST_LOAD)
    assert_feasible(found, buyers, sellers, grid)
    price, tiny = found.buyer_price, 1e-9
    extra = np.maximum(found.bought_kwh - buyers.minimum_kwh, 0.0)
    elastic = buyers.maximum_kwh - buyers.minimum_kwh
    high, low = buyers.price_high, buyers.price_low
    marginal = high * low / (low + extra / np.maximum(elastic, 1e-12) * (high - low))
    assert (marginal[extra < elastic - tiny] <= price + tiny).all()
    assert (marginal[extra > tiny] >= price - tiny).all()
    if price < LOST_LOAD:
        assert (found.bought_kwh >= buyers.minimum_kwh).all()
    cost = sellers.ask + sellers.slope * found.sold_kwh
    assert (cost[found.sold_kwh > tiny] <= found.seller_price + tiny).all()
    assert (cost[found.sold_kwh < sellers.maximum_kwh - tiny] >= found.seller_price - tiny).all()
    assert found.import_kwh == 0 or price >= grid.retail
    assert found.import_kwh == pytest.approx(grid.import_limit_kwh) or price <= grid.retail
    assert found.export_kwh == 0 or found.seller_price <= grid.feed_in + 1e-15
    full = found.export_kwh == pytest.approx(grid.export_limit_kwh)
    assert full or found.seller_price >= grid.feed_in - 1e-15


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), regime=st.sampled_from(sorted(REGIME_GRIDS)))
def test_more_supply_never_raises_the_price(seed: int, regime: str) -> None:
    rng = np.random.default_rng(seed)
    buyers, sellers, grid = random_book(rng, **REGIME_GRIDS[regime])
    more = SellerCurves(
        maximum_kwh=np.append(sellers.maximum_kwh, 0.7),
        ask=np.append(sellers.ask, 0.1),
        slope=np.append(sellers.slope, 0.01),
    )
    one = clear_one_price(buyers, sellers, grid, lost_load=LOST_LOAD)
    two = clear_one_price(buyers, more, grid, lost_load=LOST_LOAD)
    assert two.buyer_price <= one.buyer_price + 1e-12
    assert two.welfare >= one.welfare - 1e-12


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), regime=st.sampled_from(sorted(REGIME_GRIDS)))
def test_uniform_is_feasible_and_nears_the_curves_with_finer_steps(seed: int, regime: str) -> None:
    book = random_book(np.random.default_rng(seed), **REGIME_GRIDS[regime])
    best = clear_one_price(*book, lost_load=LOST_LOAD)
    ten = clear_uniform(*book, lost_load=LOST_LOAD)
    assert_feasible(ten, *book)
    assert ten.welfare <= best.welfare + 1e-12
    fine = clear_uniform(*book, lost_load=LOST_LOAD, steps=2000)
    assert fine.welfare == pytest.approx(best.welfare, abs=2e-3)


def test_each_regime_by_hand() -> None:
    """One buyer (1 kWh, value .4 down to .1), one seller (2 kWh at .15, slope .1)."""
    buyers, sellers = buyers_of((0, 1, 0.4, 0.1)), sellers_of((2, 0.15, 0.1))

    def clear(**grid: float) -> OnePriceClearing:
        return clear_one_price(buyers, sellers, grid_of(**grid), lost_load=LOST_LOAD)

    cheap = clear(retail=0.1)
    assert (cheap.regime, cheap.buyer_price) == (Regime.IMPORT, 0.1)
    assert cheap.import_kwh == 1.0
    # Demand at .12 is (.4 - .12)/(.3 x .12) x .1 = 7/9: the grid alone, but only half of it.
    full = clear(retail=0.12, import_limit_kwh=7 / 18)
    assert full.regime is Regime.IMPORT_FULL
    assert 0.15 < full.buyer_price < 0.4
    local = clear(retail=0.3)
    assert local.regime is Regime.LOCAL
    assert local.import_kwh == local.export_kwh == 0
    # .1 (.4 - p)/(.3 p) = (p - .15)/.1, that is p^2 - (.15 - 1/30) p - .04/3 = 0.
    half = (0.15 - 1 / 30) / 2
    assert local.buyer_price == pytest.approx(half + math.sqrt(half * half + 0.04 / 3), rel=1e-14)
    export = clear(retail=0.4, feed_in=0.3)
    assert (export.regime, export.seller_price) == (Regime.EXPORT, 0.3)
    assert export.sold_kwh[0] == pytest.approx(1.5)
    limited = clear(retail=0.4, feed_in=0.3, export_limit_kwh=0.5)
    assert limited.regime is Regime.EXPORT_FULL
    assert limited.seller_price < 0.3


def test_short_supply_cuts_minima_alike_at_lost_load() -> None:
    buyers = buyers_of((1.0, 1.2, 0.4, 0.1), (0.5, 0.5, 0.4, 0.1))
    found = clear_one_price(
        buyers, sellers_of(), grid_of(import_limit_kwh=0.75), lost_load=LOST_LOAD
    )
    assert (found.regime, found.buyer_price) == (Regime.SHORT, LOST_LOAD)
    assert found.bought_kwh == pytest.approx([0.5, 0.25])


def test_the_local_fee_keeps_out_trades_that_cannot_bear_it() -> None:
    buyers, sellers = buyers_of((0, 1, 0.4, 0.3)), sellers_of((1, 0.15, 0.0))
    without = clear_one_price(buyers, sellers, grid_of(), lost_load=LOST_LOAD)
    assert (without.buyer_price, without.sold_kwh[0]) == (0.15, 1.0)
    bears = clear_one_price(buyers, sellers, grid_of(local_fee=0.04), lost_load=LOST_LOAD)
    assert bears.buyer_price == pytest.approx(0.19)
    assert bears.seller_price == pytest.approx(0.15)
    cannot = clear_one_price(buyers, sellers, grid_of(local_fee=0.06), lost_load=LOST_LOAD)
    assert (cannot.sold_kwh[0], cannot.import_kwh) == (0.0, 1.0)


def test_flat_blocks_at_one_price_share_alike_and_trade_fully() -> None:
    found = clear_one_price(
        buyers_of((0, 1, 0.2, 0.2), (0, 3, 0.2, 0.2)),
        sellers_of((1, 0.2, 0.0), (1, 0.1, 0.0)),
        grid_of(import_limit_kwh=0.0),
        lost_load=LOST_LOAD,
    )
    assert found.buyer_price == 0.2
    assert found.bought_kwh == pytest.approx([0.5, 1.5])
    assert found.sold_kwh == pytest.approx([1.0, 1.0])


def test_uniform_buys_its_last_block_at_price_low() -> None:
    found = clear_uniform(
        buyers_of((0.2, 1, 0.4, 0.126)), sellers_of(), grid_of(retail=0.126), lost_load=LOST_LOAD
    )
    assert (found.regime, found.buyer_price) == (Regime.IMPORT, 0.126)
    assert found.bought_kwh == pytest.approx([1.0])


def test_uniform_by_hand() -> None:
    """Two blocks each: values 1/6 and .1 against costs .15, .2 of half a kWh each."""
    found = clear_uniform(
        buyers_of((0, 1, 0.5, 0.1)),
        sellers_of((1, 0.1, 0.1)),
        grid_of(retail=0.3),
        lost_load=LOST_LOAD,
        steps=2,
    )
    assert found.buyer_price == pytest.approx(0.15)
    assert found.bought_kwh == pytest.approx([0.5])
    assert found.sold_kwh == pytest.approx([0.5])


@pytest.mark.parametrize("feed_in", [0.0, 0.05])
def test_an_empty_book_and_a_book_of_sellers_alone(feed_in: float) -> None:
    empty = clear_one_price(buyers_of(), sellers_of(), grid_of(feed_in=feed_in), lost_load=1.0)
    assert (empty.regime, empty.welfare) == (Regime.IDLE, 0.0)
    sun = clear_one_price(
        buyers_of(), sellers_of((3, 0, 0)), grid_of(feed_in=feed_in), lost_load=1.0
    )
    assert (sun.regime, sun.export_kwh) == (Regime.EXPORT, 3.0)
    assert sun.welfare == pytest.approx(3 * feed_in)


def test_net_metering_never_sells_the_grid_its_own_energy() -> None:
    found = clear_one_price(
        buyers_of((0, 1, 0.4, 0.2)),
        sellers_of((2, 0.1, 0.0)),
        grid_of(feed_in=0.2, import_limit_kwh=5.0, export_limit_kwh=5.0),
        lost_load=LOST_LOAD,
    )
    assert (found.import_kwh, found.buyer_price) == (0.0, 0.2)
    assert found.export_kwh == pytest.approx(2.0 - found.bought_kwh[0])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((-0.1, 1, 0.4, 0.1), "minimum_kwh is below zero"),
        ((2, 1, 0.4, 0.1), "minimum_kwh is above maximum_kwh"),
        ((0, 1, 0.4, 0.0), "price_low must be above zero"),
        ((0, 1, 0.1, 0.4), "price_low is above price_high"),
        ((0, math.nan, 0.4, 0.1), "maximum_kwh holds a value that is not finite"),
    ],
)
def test_wrong_buyers_are_refused_by_name(rows: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        buyers_of(rows)  # type: ignore[arg-type]


def test_other_wrong_input_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"SellerCurves\.ask has shape \(1,\), maximum_kwh has"):
        SellerCurves(maximum_kwh=np.ones(2), ask=np.ones(1), slope=np.ones(2))
    with pytest.raises(ValueError, match="slope is below zero"):
        sellers_of((1, 1, -1))
    with pytest.raises(ValueError, match="must be one row of numbers"):
        SellerCurves(maximum_kwh=np.ones((2, 2)), ask=np.ones(2), slope=np.ones(2))
    with pytest.raises(ValueError, match="above retail"):
        grid_of(local_fee=0.16)
    with pytest.raises(ValueError, match=r"GridTerms\.retail"):
        grid_of(retail=math.inf)
    with pytest.raises(ValueError, match="import_limit_kwh"):
        grid_of(import_limit_kwh=math.nan)
    with pytest.raises(ValueError, match="price_high is above lost_load"):
        clear_one_price(buyers_of((0, 1, 0.6, 0.1)), sellers_of(), grid_of(), lost_load=LOST_LOAD)
    with pytest.raises(ValueError, match="lost_load"):
        clear_one_price(buyers_of(), sellers_of(), grid_of(), lost_load=0.0)
    with pytest.raises(ValueError, match="steps"):
        clear_uniform(buyers_of(), sellers_of(), grid_of(), lost_load=0.5, steps=0)
