"""The pairs auction with soft minima: worth so much a kWh, and no buyer pays more."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.one_price import GridTerms
from peerwatt.mechanisms.welfare import PairsClearing, certify_pairs, clear_pairs
from peerwatt.mechanisms.welfare_book import (
    InfeasibleError,
    PairBuyers,
    PairSellers,
    RangeError,
)

Book = tuple[PairBuyers, PairSellers, GridTerms | None, FloatArray | None]


def random_book(seed: int) -> Book:
    """Small, with or without grid and factors per pair; half of them cannot meet their minima."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 8)), int(rng.integers(0, 8))
    minimum = rng.choice([0, 1], n) * rng.uniform(0, 10, n)
    buyers = PairBuyers(
        weight=10 ** rng.uniform(-1, 1) * np.exp(rng.normal(0, 0.5, n)),
        minimum_kwh=minimum,
        maximum_kwh=minimum + rng.choice([0, 1], n, p=[0.1, 0.9]) * rng.uniform(0, 20, n),
        efficiency=rng.uniform(0.6, 1, n),
        scale_kwh=rng.choice([1.0, 8.0]),
    )
    room = 10 ** rng.uniform(-1, 2) * rng.choice([0, 1], m, p=[0.1, 0.9])
    sellers = PairSellers(
        maximum_kwh=room * rng.uniform(0, 1, m),
        quadratic_cost=10 ** rng.uniform(-3, 0) * np.exp(rng.normal(0, 0.5, m)),
        linear_cost=0.02 * np.exp(rng.normal(0, 0.5, m)),
    )
    retail = 10 ** rng.uniform(-2, 1)
    grid = GridTerms(
        retail=retail,
        feed_in=retail * rng.choice([0.0, 0.4, 1.0]),
        import_limit_kwh=rng.choice([0, 0.5, 5, 50, math.inf]),
        export_limit_kwh=rng.choice([0, 3, math.inf]),
    )
    matrix = rng.uniform(0.3, 1, (n, m)) * rng.choice([0, 1], (n, m), p=[0.2, 0.8])
    some_grid = grid if rng.random() < 0.8 else None
    return buyers, sellers, some_grid, matrix if rng.random() < 0.3 else None


def least_lost_load(book: Book) -> float:
    buyers = book[0]
    return float((buyers.weight * buyers.efficiency / buyers.scale_kwh).max())


def clear(book: Book, lost_load: float | None) -> PairsClearing:
    return clear_pairs(*book[:3], pair_efficiency=book[3], lost_load=lost_load)


def scale_of(clearing: PairsClearing) -> float:
    core, proof = clearing.core, clearing.certificate
    return proof.traded_value + proof.weight + core.lost_load * float(core.least.sum())


seeds, factors = st.integers(0, 10**6), st.sampled_from([1.0, 1.01, 2.0, 10.0, 1000.0])


@given(seeds, factors)
@settings(max_examples=250, deadline=None, derandomize=True)
def test_every_book_clears_at_prices_up_to_lost_load(seed: int, factor: float) -> None:
    book = random_book(seed)
    lost_load = least_lost_load(book) * factor
    clearing = clear(book, lost_load)
    assert clearing.buyer_price.max() <= lost_load
    assert clearing.certificate.gap <= 1e-8 * scale_of(clearing)
    short = clearing.unserved_kwh > 1e-8 * clearing.core.most.max()
    assert (clearing.buyer_price[short] == lost_load).all()
    if book[2] is not None and short.any() and book[2].retail < lost_load:
        assert clearing.import_kwh == pytest.approx(book[2].import_limit_kwh, abs=1e-9)
    missing = clearing.core.least - clearing.bought_kwh
    np.testing.assert_allclose(clearing.unserved_kwh, np.maximum(missing, 0), atol=1e-12)


@given(seeds, factors)
@settings(max_examples=250, deadline=None, derandomize=True)
def test_it_is_the_hard_answer_where_that_is_cheaper(seed: int, factor: float) -> None:
    book = random_book(seed)
    lost_load = least_lost_load(book) * factor
    soft = clear(book, lost_load)
    try:
        hard = clear(book, None)
    except InfeasibleError:
        assert soft.unserved_kwh.sum() > 0
        return
    assume(hard.buyer_price.max() < 0.999 * lost_load)
    assert (soft.unserved_kwh <= 1e-9 * soft.core.most.max()).all()
    met = lost_load * float(soft.core.least.sum())
    assert soft.welfare - met == pytest.approx(hard.welfare, abs=1e-8 * scale_of(soft))
    largest = max(hard.core.most.max(), hard.core.room.max(initial=0.0))
    np.testing.assert_allclose(soft.bought_kwh, hard.bought_kwh, rtol=1e-4, atol=1e-4 * largest)


@given(seeds)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_the_dearer_lost_load_the_less_is_lost(seed: int) -> None:
    book = random_book(seed)
    lowest = least_lost_load(book)
    clearings = [clear(book, lowest * factor) for factor in (1.0, 1.5, 3.0, 30.0)]
    for less, more in pairwise(clearings):
        slack = 1e-7 * float(more.core.most.max())
        assert more.unserved_kwh.sum() <= less.unserved_kwh.sum() + slack
        assert more.welfare >= less.welfare - 1e-8 * scale_of(more)
        assert more.buyer_price.max() >= less.buyer_price.max() * (1 - 1e-8)


@given(seeds, factors, st.sampled_from([1e-6, 1e-2, 0.5]))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_wrong_prices_lose_no_more_than_their_certificate_says(
    seed: int, factor: float, size: float
) -> None:
    book = random_book(seed)
    lost_load = least_lost_load(book) * factor
    best = clear(book, lost_load)
    rng = np.random.default_rng(seed)
    other = certify_pairs(
        *book[:3],
        buyer_price=best.buyer_price * np.exp(size * rng.uniform(-1, 0.3, len(best.buyer_price))),
        reserve_price=best.reserve_price * np.exp(size * rng.uniform(-0.3, 1, len(best.sold_kwh))),
        pair_efficiency=book[3],
        lost_load=lost_load,
    )
    assert (other.buyer_price <= lost_load).all()
    assume(other.certificate.violation_kwh <= 1e-9)
    slack = 1e-8 * scale_of(best)
    assert -slack <= best.welfare - other.welfare <= other.certificate.gap + slack


def needy(**changed: Any) -> PairBuyers:
    """Minima of 2, 4 and 6 kWh, each buyer's marginal value beyond them 0.5."""
    minimum = np.array([2.0, 4.0, 6.0])
    terms = {"weight": np.full(3, 0.5), "minimum_kwh": minimum, "maximum_kwh": minimum + 5}
    return PairBuyers(**(terms | changed))


NOBODY = PairSellers(maximum_kwh=np.zeros(0), quadratic_cost=1.0, linear_cost=0.0)


def connection(limit_kwh: float, retail: float = 0.3) -> GridTerms:
    return GridTerms(
        retail=retail, feed_in=0.0, import_limit_kwh=limit_kwh, export_limit_kwh=math.inf
    )


def test_minima_share_what_the_connection_carries() -> None:
    clearing = clear_pairs(needy(), NOBODY, connection(9.0), lost_load=1.0)
    np.testing.assert_allclose(clearing.bought_kwh, [1.5, 3.0, 4.5], rtol=1e-12)
    np.testing.assert_allclose(clearing.unserved_kwh, [0.5, 1.0, 1.5], rtol=1e-12)
    assert (clearing.buyer_price == 1.0).all()
    assert clearing.import_kwh == 9.0
    assert clearing.welfare == pytest.approx(9.0 * (1.0 - 0.3))


def test_sellers_serve_the_minima_first() -> None:
    """One seller's 6 kWh at no scarcity of pairs: 2 kWh each, and the grid's 3 kWh on top."""
    seller = PairSellers(maximum_kwh=np.array([6.0]), quadratic_cost=0.01, linear_cost=0.02)
    clearing = clear_pairs(needy(), seller, connection(3.0), lost_load=1.0)
    np.testing.assert_allclose(clearing.bought_kwh, [2.0, 3.0, 4.0], rtol=1e-9)
    np.testing.assert_allclose(clearing.unserved_kwh, [0.0, 1.0, 2.0], atol=1e-9)
    assert clearing.sold_kwh[0] == pytest.approx(6.0, rel=1e-9)
    assert clearing.reserve_price[0] == pytest.approx(1.0 - 2 * 0.01 * 2.0, rel=1e-9)


def test_a_grid_dearer_than_lost_load_sells_nothing() -> None:
    clearing = clear_pairs(needy(), NOBODY, connection(math.inf, retail=1.2), lost_load=1.0)
    assert clearing.import_kwh == 0
    assert clearing.unserved_kwh.sum() == 12
    even = clear_pairs(needy(), NOBODY, connection(math.inf, retail=1.0), lost_load=1.0)
    assert even.unserved_kwh.sum() == 0
    assert clearing.welfare == 0
    assert even.welfare == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.inf, math.nan])
def test_lost_load_is_a_number_above_zero(wrong: float) -> None:
    with pytest.raises(RangeError, match="lost_load must be a number above zero"):
        clear_pairs(needy(), NOBODY, lost_load=wrong)


def test_no_energy_beyond_a_minimum_is_worth_more_than_the_minimum() -> None:
    keen = needy(weight=np.array([0.5, 0.8, 0.9]))
    with pytest.raises(RangeError, match=r"lost_load 0\.7 .* value 0\.8 .*minimum \(row 1\)"):
        clear_pairs(keen, NOBODY, lost_load=0.7)
    prices: dict[str, Any] = {"buyer_price": np.ones(3), "reserve_price": np.ones(0)}
    with pytest.raises(RangeError, match=r"row 1"):
        certify_pairs(keen, NOBODY, **prices, lost_load=0.7)
