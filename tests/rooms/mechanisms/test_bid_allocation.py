"""Problem A of the iterative auction: what its solution must satisfy, and what is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.iterative_auction import BidAllocation, allocation_gap, solve_allocation
from peerwatt.mechanisms.welfare_book import BookError, InfeasibleError
from peerwatt.mechanisms.welfare_newton import NotConvergedError


@dataclass(frozen=True, kw_only=True)
class Bidding:
    """Bids and their limits, as `solve_allocation` takes them."""

    payments: FloatArray
    unit_prices: FloatArray
    minimum_kwh: FloatArray
    maximum_kwh: FloatArray
    supply_kwh: FloatArray

    @property
    def limits(self) -> dict[str, FloatArray]:
        return {name: getattr(self, name) for name in ("minimum_kwh", "maximum_kwh", "supply_kwh")}

    def solve(self, start: BidAllocation | None = None) -> BidAllocation:
        return solve_allocation(self.payments, self.unit_prices, start=start, **self.limits)


def paper_bids(seed: int, buyers: int = 35, sellers: int = 45, spare: float = 0.5) -> Bidding:
    """First bids of a market of PETCON's kind; of supply there is so much more than minima."""
    rng = np.random.default_rng(seed)
    minimum = rng.uniform(5, 10, buyers) / 0.72
    supply = rng.uniform(10, 20, sellers)
    return Bidding(
        payments=rng.uniform(1, 2, (buyers, 1)) * rng.uniform(0.02, 0.1, (buyers, sellers)),
        unit_prices=rng.uniform(0.015, 0.05, (buyers, sellers)),
        minimum_kwh=minimum,
        maximum_kwh=rng.uniform(12, 18, buyers) / 0.72,
        supply_kwh=supply * minimum.sum() / supply.sum() * (1 + spare),
    )


def random_bids(rng: np.random.Generator) -> Bidding:
    """Small, and of any kind: nothing bid, fixed demands, no limits, a grid, hardly enough."""
    n, m = int(rng.integers(1, 8)), int(rng.integers(1, 8))
    spread = rng.choice([0.0, 1.0, 3.0])
    payments = 10 ** rng.uniform(-3, 1) * np.exp(rng.normal(0, spread, (n, m)))
    payments *= rng.random((n, m)) >= rng.choice([0.0, 0.4])
    minimum = rng.choice([0, 1], n) * rng.uniform(0, 10, n) * payments.any(axis=1)
    maximum = minimum + rng.choice([0.0, 1.0, np.inf], n) * rng.uniform(1, 10, n)
    # So that minima can be met: each is brought by those whom its buyer bids on, in equal parts.
    met = (payments > 0) * (minimum / np.maximum((payments > 0).sum(axis=1), 1))[:, None]
    supply = met.sum(axis=0) * (1 + rng.choice([1e-3, 0.5, 5])) + rng.choice([0.0, 1.0])
    supply[rng.random(m) < 0.1] = np.inf
    unit_prices = 0.02 * np.exp(rng.normal(0, spread, (n, m)))
    unit_prices[:, (rng.random(m) < 0.2) & np.isfinite(supply)] = 0.0
    return Bidding(
        payments=payments,
        unit_prices=unit_prices,
        minimum_kwh=minimum,
        maximum_kwh=maximum,
        supply_kwh=supply,
    )


def assert_optimal(bids: Bidding, found: BidAllocation) -> None:
    """The conditions of Karush, Kuhn and Tucker, which suffice: problem A is concave."""
    price = bids.unit_prices + found.seller_rent + found.buyer_rent[:, None]
    bid = (bids.payments > 0) & (bids.maximum_kwh > 0)[:, None] & (bids.supply_kwh > 0)
    assert np.all(price[bid] > 0)
    assert np.all(found.kwh[~bid] == 0)
    np.testing.assert_allclose(found.kwh[bid], bids.payments[bid] / price[bid], rtol=1e-12)
    bought, sold = found.kwh.sum(axis=1), found.kwh.sum(axis=0)
    # Where rents nearly cancel, a price has that many digits less.
    rents = max(np.max(np.abs(found.buyer_rent)), np.max(found.seller_rent))
    rounding = 1e-10 + 1e-14 * float(rents / np.min(price, where=bid, initial=np.inf))
    near = 1 + rounding
    assert np.all(bought >= bids.minimum_kwh / near)
    assert np.all(bought <= bids.maximum_kwh * near)
    assert np.all(sold <= bids.supply_kwh * near)
    assert np.all(found.seller_rent >= 0)
    full, most = found.seller_rent > 0, found.buyer_rent > 0
    least = found.buyer_rent < 0
    np.testing.assert_allclose(sold[full], bids.supply_kwh[full], rtol=rounding)
    np.testing.assert_allclose(bought[most], bids.maximum_kwh[most], rtol=rounding)
    np.testing.assert_allclose(bought[least], bids.minimum_kwh[least], rtol=rounding)
    scale = bids.payments.sum() + found.seller_rent @ sold + np.abs(found.buyer_rent) @ bought
    assert abs(found.gap) <= rounding * scale


@pytest.mark.parametrize("spare", [1e-6, 1e-3, 0.1, 0.5, 3.0, 100.0])
def test_bids_of_the_papers_size_are_filled_at_their_optimum(spare: float) -> None:
    for seed in range(5):
        bids = paper_bids(seed, spare=spare)
        found = bids.solve()
        assert_optimal(bids, found)
        assert found.sweeps <= 15


@given(st.integers(0, 10**6))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_any_small_bids_are_filled_at_their_optimum(seed: int) -> None:
    bids = random_bids(np.random.default_rng(seed))
    assert_optimal(bids, bids.solve())


def wild_bids(seed: int) -> Bidding:
    """What somebody might bid who wants the auctioneer to stumble: from 1e-12 to 1, and minima."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(2, 12)), int(rng.integers(2, 12))
    least = rng.choice([-6, -9, -12])
    payments = 10.0 ** rng.uniform(least, 0, (n, m))
    if rng.random() < 0.3:
        payments[rng.integers(n)] = 10.0**least
    minimum = rng.choice([0, 1], n) * rng.uniform(0, 10, n)
    supply = rng.uniform(0.5, 1, m)
    return Bidding(
        payments=payments,
        unit_prices=rng.uniform(0.01, 0.1, (n, m)),
        minimum_kwh=minimum,
        maximum_kwh=minimum + rng.uniform(0.1, 10, n),
        supply_kwh=supply * (minimum.sum() + 0.1) / supply.sum() * rng.choice([1.01, 1.3, 3, 20]),
    )


def test_bids_that_differ_by_twelve_orders_are_filled_at_their_optimum() -> None:
    """Or, seldom, refused: of the first thousand of these seeds three are (4 is one)."""
    refused = []
    for seed in range(100):
        bids = wild_bids(seed)
        try:
            found = bids.solve()
        except NotConvergedError:
            refused.append(seed)
        else:
            assert_optimal(bids, found)
    assert len(refused) <= 1


def test_more_on_one_side_than_on_the_other() -> None:
    for buyers, sellers in ((1, 300), (300, 1), (3, 200), (200, 3)):
        bids = paper_bids(1, buyers, sellers)
        assert_optimal(bids, bids.solve())


def test_a_start_saves_sweeps_and_changes_nothing_else() -> None:
    bids = paper_bids(4, 60, 80)
    found = bids.solve()
    nearby = replace(bids, payments=bids.payments * 1.01, unit_prices=bids.unit_prices * 0.99)
    cold, warm = nearby.solve(), nearby.solve(start=found)
    assert warm.sweeps < cold.sweeps
    np.testing.assert_allclose(warm.kwh, cold.kwh, rtol=1e-9)
    assert bids.solve(start=found).sweeps <= 2


def test_a_start_far_away_is_as_good_as_none() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        bids = random_bids(rng)
        far = replace(
            bids.solve(),
            seller_rent=np.exp(rng.normal(0, 5, len(bids.supply_kwh))) * rng.choice([0, 1]),
            buyer_rent=rng.normal(0, 5, len(bids.minimum_kwh)),
        )
        assert_optimal(bids, bids.solve(start=far))


def test_the_grid_is_one_more_column() -> None:
    """With room to spare nobody's own energy is dearer than the grid's; with none, all is."""
    bids = paper_bids(2)
    retail = 0.03
    share = bids.payments.mean(axis=1, keepdims=True)
    for room, rent in ((np.inf, False), (5.0, True)):
        with_grid = Bidding(
            payments=np.hstack([bids.payments, share]),
            unit_prices=np.hstack([bids.unit_prices, np.full((35, 1), retail)]),
            minimum_kwh=bids.minimum_kwh,
            maximum_kwh=bids.maximum_kwh,
            supply_kwh=np.append(bids.supply_kwh, room),
        )
        found = with_grid.solve()
        assert_optimal(with_grid, found)
        assert (found.seller_rent[-1] > 0) == rent


def test_the_gap_bounds_what_an_allocation_misses() -> None:
    rng = np.random.default_rng(5)
    bids = paper_bids(5)
    found = bids.solve()

    def value(kwh: FloatArray) -> float:
        return float((bids.payments * np.log(kwh) - bids.unit_prices * kwh).sum())

    rents = {"seller_rent": found.seller_rent, "buyer_rent": found.buyer_rent}
    for size in (1e-6, 1e-3, 0.1):
        # Within the limits: a mixture of the optimum and of an allocation that has room.
        inside = np.outer(bids.minimum_kwh * 1.2, bids.supply_kwh / bids.supply_kwh.sum())
        worse = (1 - size) * found.kwh + size * inside * rng.uniform(0.95, 1, inside.shape)
        gap = allocation_gap(bids.payments, bids.unit_prices, worse, **rents, **bids.limits)
        assert 0 < value(found.kwh) - value(worse) <= gap + 1e-11
    senseless = rents | {"buyer_rent": found.buyer_rent - 1.0}
    gap = allocation_gap(bids.payments, bids.unit_prices, found.kwh, **senseless, **bids.limits)
    assert gap == np.inf


def test_bids_that_died_down_on_what_is_cheap_leave_as_few_digits_as_they_must() -> None:
    """A minimum is met from where next to nothing is bid: rents cancel to the last digit there."""
    bids = Bidding(
        payments=np.array([[1e-12, 0.1], [0.05, 0.05]]),
        unit_prices=np.array([[0.026, 0.07], [0.02, 0.02]]),
        minimum_kwh=np.array([7.0, 0.0]),
        maximum_kwh=np.array([9.0, 4.0]),
        supply_kwh=np.array([30.0, 40.0]),
    )
    found = bids.solve()
    assert found.kwh[0].sum() == pytest.approx(7.0, rel=1e-4)
    assert found.kwh[0, 0] > 4.0
    assert found.sweeps < 40


def test_minima_that_supply_cannot_meet_are_refused_with_the_proof() -> None:
    bids = paper_bids(0, spare=-0.1)
    with pytest.raises(InfeasibleError, match="35 buyers") as caught:
        bids.solve()
    assert caught.value.missing_kwh == pytest.approx(0.1 * bids.minimum_kwh.sum())


def test_minima_behind_too_few_sellers_are_refused_with_the_proof() -> None:
    """Four buyers bid on two sellers alone, who have less than their minima."""
    bids = paper_bids(0, 8, 10)
    payments = bids.payments.copy()
    payments[:4, 2:] = 0.0
    with pytest.raises(InfeasibleError) as caught:
        replace(bids, payments=payments).solve()
    assert set(caught.value.buyers) <= {0, 1, 2, 3}
    assert caught.value.needed_kwh > caught.value.available_kwh
    payments[1] = 0.0
    with pytest.raises(InfeasibleError, match=r"1 buyers \(rows 1\)"):
        replace(bids, payments=payments).solve()


def test_who_bids_or_offers_nothing_gets_nothing() -> None:
    bids = paper_bids(3, 5, 6)
    payments, minimum = bids.payments.copy(), bids.minimum_kwh.copy()
    payments[0], minimum[:2], supply = 0.0, 0.0, bids.supply_kwh.copy()
    supply[1] = 0.0
    maximum = bids.maximum_kwh.copy()
    maximum[1] = 0.0
    bids = Bidding(
        payments=payments,
        unit_prices=bids.unit_prices,
        minimum_kwh=minimum,
        maximum_kwh=maximum,
        supply_kwh=supply,
    )
    found = bids.solve()
    assert_optimal(bids, found)
    assert not found.kwh[:2].any()
    assert not found.kwh[:, 1].any()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "shape": ({"unit_prices": np.ones((2, 2))}, r"unit_prices has shape (2, 2), not (2, 3)"),
    "flat": ({"payments": np.ones(3)}, "payments has shape (3,), not (-1, -1)"),
    "length": ({"supply_kwh": np.ones(2)}, "supply_kwh has shape (2,), not (3,)"),
    "nan": ({"maximum_kwh": np.array([1.0, np.nan])}, "maximum_kwh is not finite"),
    "endless": ({"payments": np.full((2, 3), np.inf)}, "payments is not finite"),
    "negative": ({"payments": np.full((2, 3), -1.0)}, "payments is below zero"),
    "crossed": ({"minimum_kwh": np.full(2, 3.0)}, "minimum_kwh is above maximum_kwh"),
    "free": (
        {"unit_prices": np.zeros((2, 3)), "supply_kwh": np.array([1.0, np.inf, 1.0])},
        "unit_prices must be above zero where supply_kwh is infinite",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bids_that_mean_nothing_are_refused(name: str) -> None:
    changed, message = REFUSED[name]
    good: dict[str, Any] = {
        "payments": np.ones((2, 3)),
        "unit_prices": np.ones((2, 3)),
        "minimum_kwh": np.zeros(2),
        "maximum_kwh": np.full(2, 2.0),
        "supply_kwh": np.ones(3),
    }
    assert Bidding(**good).solve().gap <= 1e-12
    with pytest.raises(BookError, match=re.escape(message)):
        Bidding(**(good | changed)).solve()


def test_a_start_of_another_round_is_refused() -> None:
    with pytest.raises(BookError, match="start has shape"):
        paper_bids(0, 4, 5).solve(start=paper_bids(0, 5, 4).solve())
