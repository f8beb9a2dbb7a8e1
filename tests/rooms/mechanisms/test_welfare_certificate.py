"""The certificate holds for any prices, the wrong ones too; it bounds what they lose."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.one_price import (
    BuyerCurves,
    GridTerms,
    SellerCurves,
    clear_one_price,
)
from peerwatt.mechanisms.welfare import PairsClearing, certify_pairs, clear_pairs
from peerwatt.mechanisms.welfare_book import (
    BookError,
    InfeasibleError,
    NotFiniteError,
    PairBuyers,
    PairSellers,
    RangeError,
    ShapeError,
)
from peerwatt.mechanisms.welfare_one_price import certified_one_price, certify_one_price

GRID = GridTerms(retail=0.13, feed_in=0.04, import_limit_kwh=30.0, export_limit_kwh=20.0)


def book(seed: int) -> tuple[PairBuyers, PairSellers]:
    """Without minima, so that wrong prices are rarely infeasible."""
    rng = np.random.default_rng(seed)
    return (
        PairBuyers(
            weight=rng.uniform(0.5, 2, 6),
            minimum_kwh=np.zeros(6),
            maximum_kwh=rng.uniform(15, 30, 6),
            efficiency=0.72,
        ),
        PairSellers(maximum_kwh=rng.uniform(10, 20, 7), quadratic_cost=0.01, linear_cost=0.015),
    )


def shifted(
    seed: int, shift: FloatArray | float, rise: FloatArray | float, gridded: bool
) -> tuple[float, PairsClearing]:
    """(the optimum, what follows from prices shifted from the optimum's)."""
    grid = GRID if gridded else None
    best = clear_pairs(*book(seed), grid)
    other = certify_pairs(
        *book(seed),
        grid,
        buyer_price=best.buyer_price * np.exp(shift),
        reserve_price=best.reserve_price * np.exp(rise),
    )
    return best.welfare, other


@given(
    st.integers(0, 10**6),
    st.sampled_from([1e-6, 1e-3, 0.03, 0.3]),
    st.booleans(),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_no_prices_lose_more_than_their_certificate_says(
    seed: int, size: float, gridded: bool
) -> None:
    rng = np.random.default_rng(seed)
    shift, rise = size * rng.uniform(-1, 0.3, 6), size * rng.uniform(-0.3, 1, 7)
    optimum, other = shifted(seed % 50, shift, rise, gridded)
    assume(other.certificate.violation_kwh <= 1e-9)
    assert -1e-9 <= optimum - other.welfare <= other.certificate.gap + 1e-9


@pytest.mark.parametrize("gridded", [False, True])
def test_the_optimums_prices_prove_it_again(gridded: bool) -> None:
    optimum, other = shifted(0, 0.0, 0.0, gridded)
    assert other.welfare == pytest.approx(optimum, rel=1e-12)
    assert other.certificate.relative_gap <= 1e-10
    assert other.certificate.violation_kwh == 0


def test_a_small_error_has_a_small_certificate() -> None:
    """Of first order in prices: the scarcity rent of what is left unsold."""
    gaps = [shifted(0, -size, 0.0, False)[1].certificate.gap for size in (1e-4, 1e-6, 1e-8)]
    assert gaps[0] > 50 * gaps[1] > 2500 * gaps[2] > 0


def test_prices_that_break_a_limit_say_so() -> None:
    """Shaded reserves sell more than there is; and no reserve counts below cost."""
    _, other = shifted(0, 0.0, -0.5, False)
    over = (other.sold_kwh - other.core.room).max()
    assert other.certificate.violation_kwh == pytest.approx(over)
    assert over > 1
    assert (other.reserve_price >= other.core.cost).all()


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"buyer_price": np.ones(5)}, ShapeError, r"buyer_price has shape \(5,\), .* 6 of them"),
        ({"reserve_price": np.ones((7, 1))}, ShapeError, "reserve_price has shape"),
        ({"buyer_price": np.full(6, math.nan)}, NotFiniteError, "buyer_price holds"),
        ({"reserve_price": np.full(7, -1.0)}, RangeError, r"reserve_price is below zero"),
    ],
)
def test_prices_that_mean_nothing(
    changed: dict[str, FloatArray], error: type[BookError], message: str
) -> None:
    prices: dict[str, Any] = {"buyer_price": np.ones(6), "reserve_price": np.ones(7)} | changed
    with pytest.raises(error, match=message):
        certify_pairs(*book(0), **prices)


def test_the_sums_are_those_of_the_trades_written_out() -> None:
    clearing = clear_pairs(*book(3), GRID)
    gain = np.maximum(clearing.buyer_price[:, None] - clearing.reserve_price, 0)
    energy = gain * clearing.core.pair_slope
    np.testing.assert_allclose(energy.sum(0), clearing.sold_kwh, rtol=1e-12)
    np.testing.assert_allclose(clearing.buyer_price @ energy, clearing.income, rtol=1e-12)
    local = clearing.bought_kwh - clearing.from_grid_kwh
    np.testing.assert_allclose(energy.sum(1), local, rtol=1e-12, atol=1e-12)


def test_welfare_is_utility_less_cost() -> None:
    clearing = clear_pairs(*book(1), GRID)
    core = clearing.core
    energy = np.maximum(clearing.buyer_price[:, None] - clearing.reserve_price, 0) / 0.02
    utility = clearing.core.weight @ np.log(0.72 * clearing.bought_kwh + 1)
    cost = 0.01 * (energy**2).sum() + 0.015 * (energy.sum() + clearing.to_grid_kwh.sum())
    grid = 0.13 * clearing.import_kwh - 0.04 * clearing.export_kwh
    assert clearing.welfare == pytest.approx(utility - cost - grid, rel=1e-9)
    assert core.cost == pytest.approx(0.015)


def curves(seed: int) -> tuple[BuyerCurves, SellerCurves, GridTerms]:
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(0, 9)), int(rng.integers(0, 7))
    maximum = rng.uniform(0, 2, n) * rng.choice([0, 1], n, p=[0.1, 0.9])
    low = rng.uniform(0.06, 0.4, n)
    return (
        BuyerCurves(
            minimum_kwh=maximum * rng.choice([0, 0.3, 1], n),
            maximum_kwh=maximum,
            price_low=low,
            price_high=low * rng.choice([1, 1.5, 3], n),
        ),
        SellerCurves(
            maximum_kwh=rng.uniform(0, 3, m),
            ask=rng.uniform(0, 0.3, m),
            slope=rng.choice([0, 0.05, 1.0], m),
        ),
        GridTerms(
            retail=0.2,
            feed_in=0.05,
            import_limit_kwh=rng.choice([0, 0.5, 2, math.inf]),
            export_limit_kwh=rng.choice([0, 0.5, math.inf]),
            local_fee=rng.choice([0, 0.02]),
        ),
    )


@given(st.integers(0, 10**6), st.sampled_from([None, 2.0]))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_one_price_clearings_are_proved(seed: int, lost_load: float | None) -> None:
    buyers, sellers, grid = curves(seed)
    supply = float(sellers.maximum_kwh.sum()) + grid.import_limit_kwh
    if lost_load is None and buyers.minimum_kwh.sum() > supply:
        with pytest.raises(InfeasibleError, match="kWh are missing") as raised:
            certified_one_price(buyers, sellers, grid)
        missing = float(buyers.minimum_kwh.sum()) - supply
        assert raised.value.missing_kwh == pytest.approx(missing)
        return
    result = certified_one_price(buyers, sellers, grid, lost_load=lost_load)
    assert result.certificate.relative_gap <= 1e-12
    assert result.certificate.violation_kwh <= 1e-12
    if lost_load is None:
        assert (result.clearing.bought_kwh >= buyers.minimum_kwh - 1e-12).all()


def test_one_price_at_another_price_is_not_proved() -> None:
    """The clearing of a grid that sells dearer, held against the true grid."""
    buyers, sellers, _ = curves(7)
    assert len(buyers.maximum_kwh) > 0
    terms = {"feed_in": 0.0, "import_limit_kwh": math.inf, "export_limit_kwh": 0.0}
    cheap, dear = GridTerms(retail=0.01, **terms), GridTerms(retail=0.11, **terms)
    wrong = clear_one_price(buyers, sellers, dear, lost_load=2.0)
    best = clear_one_price(buyers, sellers, cheap, lost_load=2.0)
    certificate = certify_one_price(buyers, sellers, cheap, wrong, lost_load=2.0)
    lost = best.welfare - (wrong.welfare + (0.11 - 0.01) * wrong.import_kwh)
    assert 1e-3 < lost <= certificate.gap + 1e-12
