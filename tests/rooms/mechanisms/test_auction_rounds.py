"""Turns of an iterative auction: where they end, and what the proof of it says."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerwatt.mechanisms.auction_rounds import (
    AuctionOutcome,
    Ending,
    StopRule,
    auction_turns,
    relative_change,
    run_auction,
)
from peerwatt.mechanisms.one_price import GridTerms
from peerwatt.mechanisms.welfare import clear_pairs
from peerwatt.mechanisms.welfare_book import BookError, InfeasibleError, PairBuyers, PairSellers
from peerwatt.studies.petcon.setting import draw


def auctioned(seed: int, **terms: Any) -> AuctionOutcome:
    market = draw(seed)
    return run_auction(market.buyers, market.sellers, **terms)


def test_damped_turns_end_near_the_optimum_and_the_gap_says_how_near() -> None:
    for theta in (None, 0.4):
        market = draw(0)
        found = run_auction(market.buyers, market.sellers, theta=theta)
        best = clear_pairs(market.buyers, market.sellers).welfare
        assert (found.ending, found.period) == (Ending.CONVERGED, 0)
        assert 0 <= best - found.welfare <= found.gap
        assert found.gap - (best - found.welfare) < 1e-7
        assert found.relative_gap < 1e-4


def test_a_smaller_epsilon_ends_nearer() -> None:
    gaps = [auctioned(1, epsilon=epsilon).gap for epsilon in (1e-2, 1e-4, 1e-6)]
    assert gaps[0] > 10 * gaps[1] > 100 * gaps[2]


def test_the_printed_algorithm_is_caught_in_its_cycle() -> None:
    found = auctioned(0, theta=1.0)
    assert (found.ending, found.period) == (Ending.CYCLE, 2)
    assert found.gap > 0.01
    turns = list(
        islice(auction_turns(draw(0).buyers, draw(0).sellers, theta=1.0), found.turn.number + 2)
    )
    sizes = [np.linalg.norm(turn.payments) for turn in turns]
    assert sizes[-1] == pytest.approx(sizes[-3], rel=1e-3)
    assert abs(sizes[-1] - sizes[-2]) > 10 * abs(sizes[-1] - sizes[-3])


def test_turns_that_are_used_up_are_told_from_a_cycle() -> None:
    found = auctioned(0, theta=1.0, most_turns=5)
    assert (found.ending, found.turn.number) == (Ending.LIMIT, 5)


def test_turns_hang_together() -> None:
    """What one turn answers is what the next allocates; nobody sees more than its own row."""
    market = draw(3)
    first, second, third = islice(auction_turns(market.buyers, market.sellers), 3)
    assert [first.number, second.number, third.number] == [1, 2, 3]
    np.testing.assert_array_equal(first.next_payments, second.payments)
    np.testing.assert_array_equal(second.next_unit_prices, third.unit_prices)
    assert second.change(StopRule.FROBENIUS) < first.change(StopRule.FROBENIUS)


def test_bids_that_die_down_never_stand_still_relative_to_themselves() -> None:
    """One seller is dearer than all that energy is worth: what is bid on it shrinks for ever."""
    market = draw(4)
    cost = np.full(45, 0.015)
    cost[0] = 0.16
    sellers = PairSellers(
        maximum_kwh=market.sellers.maximum_kwh,
        quadratic_cost=0.01,
        linear_cost=cost,
        efficiency=0.9,
    )
    never = run_auction(market.buyers, sellers, rule=StopRule.MAX, most_turns=300)
    assert never.ending is Ending.LIMIT
    assert never.turn.payments[:, 0].max() < 1e-9
    found = run_auction(market.buyers, sellers, rule=StopRule.FLOOR, most_turns=300)
    assert found.ending is Ending.CONVERGED
    assert found.relative_gap < 1e-5


def test_how_each_rule_measures_change() -> None:
    before, after = np.array([[1.0, 0.0], [4.0, 1.0]]), np.array([[2.0, 0.0], [4.0, 4.0]])
    assert relative_change(before, after, StopRule.FROBENIUS) == pytest.approx(np.sqrt(10) / 6)
    assert relative_change(before, after, StopRule.MAX) == 0.75
    assert relative_change(before, after, StopRule.MEAN) == pytest.approx((0.5 + 0 + 0.75) / 3)
    assert relative_change(before, after, StopRule.FLOOR) == pytest.approx(3 / 4.25)
    for rule in StopRule:
        assert relative_change(np.zeros((1, 1)), np.zeros((1, 1)), rule) == 0.0


@pytest.mark.parametrize(("retail", "room"), [(0.1, np.inf), (0.06, 100.0), (0.2, np.inf)])
def test_the_grid_sells_as_one_more_seller(retail: float, room: float) -> None:
    market = draw(5)
    grid = GridTerms(
        retail=retail, feed_in=0.05, import_limit_kwh=room, export_limit_kwh=50.0, local_fee=0.004
    )
    found = run_auction(
        market.buyers, market.sellers, grid, grid_efficiency=0.7, epsilon=1e-4, most_turns=2000
    )
    alone = GridTerms(
        retail=retail, feed_in=0.05, import_limit_kwh=room, export_limit_kwh=0, local_fee=0.004
    )
    best = clear_pairs(market.buyers, market.sellers, alone, grid_efficiency=0.7)
    assert found.ending is Ending.CONVERGED
    assert found.welfare <= best.welfare + 1e-7
    assert found.relative_gap < 1e-4
    imported = found.turn.allocation.kwh[:, -1].sum()
    assert imported == pytest.approx(0.7 * best.import_kwh, rel=0.01, abs=0.5)


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_small_markets_of_any_kind_end_near_their_optimum(seed: int) -> None:
    """Minima or none, ample or scarce supply, unlike sellers; without the grid."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 9)), int(rng.integers(1, 9))
    minimum = rng.choice([0, 1], n) * rng.uniform(0, 10, n)
    supply = rng.uniform(0.5, 1, m)
    supply *= (minimum.sum() + 1) / supply.sum() * rng.choice([1.1, 2.0, 20.0])
    buyers = PairBuyers(
        weight=10 ** rng.uniform(-1, 1) * np.exp(rng.normal(0, 0.3, n)),
        minimum_kwh=minimum,
        maximum_kwh=minimum + rng.uniform(1, 10, n),
        scale_kwh=rng.choice([1.0, 5.0]),
    )
    sellers = PairSellers(
        maximum_kwh=supply,
        quadratic_cost=0.02 * np.exp(rng.normal(0, 0.3, m)),
        linear_cost=0.02 * np.exp(rng.normal(0, 0.3, m)),
    )
    found = run_auction(buyers, sellers, epsilon=1e-4, most_turns=2000)
    assert found.ending is Ending.CONVERGED
    assert found.relative_gap < 1e-3


def test_terms_that_mean_nothing_are_refused() -> None:
    market = draw(0)
    book = market.buyers, market.sellers
    for theta in (0.0, 1.5, np.nan):
        with pytest.raises(BookError, match="theta must be above zero and at most one"):
            run_auction(*book, theta=theta)
    with pytest.raises(BookError, match="most_turns must be at least one, not 0"):
        run_auction(*book, most_turns=0)
    with pytest.raises(BookError, match=r"first has shapes \(35, 44\), \(35, 45\), not"):
        run_auction(*book, first=(np.ones((35, 44)), np.ones((35, 45))))
    scarce = PairSellers(maximum_kwh=np.ones(3), quadratic_cost=0.01, linear_cost=0.01)
    with pytest.raises(InfeasibleError, match="35 buyers"):
        run_auction(market.buyers, scarce)
