"""The steps of an iterative auction that each side takes with its own parameters alone."""

from __future__ import annotations

import numpy as np
import pytest

from peerwatt.mechanisms.iterative_auction import (
    buyer_bids,
    damped,
    equal_shares,
    marginal_values,
    seller_asks,
    steepness,
    theta_of,
)
from peerwatt.mechanisms.welfare import clear_pairs, trades
from peerwatt.mechanisms.welfare_book import PairBuyers, PairSellers
from peerwatt.studies.petcon.setting import draw


def test_one_alone_answers_as_it_does_among_all() -> None:
    market = draw(0)
    buyers, sellers = market.buyers, market.sellers
    kwh = np.random.default_rng(0).uniform(0.3, 0.6, (35, 45))
    bids, asks = buyer_bids(buyers, kwh), seller_asks(sellers, kwh)
    alone = PairBuyers(
        weight=buyers.weight[3:4],
        minimum_kwh=buyers.minimum_kwh[3:4],
        maximum_kwh=buyers.maximum_kwh[3:4],
        efficiency=0.8,
    )
    np.testing.assert_array_equal(buyer_bids(alone, kwh[3:4]), bids[3:4])
    alone_too = PairSellers(
        maximum_kwh=sellers.maximum_kwh[7:8],
        quadratic_cost=0.01,
        linear_cost=0.015,
        efficiency=0.9,
    )
    np.testing.assert_array_equal(seller_asks(alone_too, kwh[:, 7:8]), asks[:, 7:8])


def test_bids_and_asks_are_marginal_value_and_cost() -> None:
    """Of PETCON's utility, eq. (1), and cost, eq. (2), by differences."""
    market, step = draw(1), 1e-6
    kwh = np.random.default_rng(1).uniform(0.4, 0.6, (35, 45))
    weight, least = market.buyers.weight, market.buyers.minimum_kwh

    def utility(bought: float) -> float:
        return float(weight[0] * np.log(0.8 * bought - least[0] + 1))

    def cost(sent: float) -> float:
        return 0.01 * sent**2 + 0.015 * sent

    have, pair = kwh[0].sum(), kwh[0, 0]
    value = (utility(have + step) - utility(have - step)) / (2 * step)
    assert marginal_values(market.buyers, kwh)[0] == pytest.approx(value, rel=1e-6)
    assert buyer_bids(market.buyers, kwh)[0, 0] == pytest.approx(value * pair, rel=1e-6)
    asked = (cost((pair + step) / 0.9) - cost((pair - step) / 0.9)) / (2 * step)
    assert seller_asks(market.sellers, kwh)[0, 0] == pytest.approx(asked, rel=1e-6)


def test_at_the_optimum_nobody_changes_a_bid() -> None:
    """Problem A, given what the optimum makes everybody say, gives the optimum (Theorem 1)."""
    market = draw(2)
    clearing = clear_pairs(market.buyers, market.sellers)
    listed = trades(clearing)
    kwh = np.zeros((35, 45))
    kwh[listed.buyer, listed.seller] = 0.9 * listed.sent_kwh
    value = marginal_values(market.buyers, kwh)
    asks = seller_asks(market.sellers, kwh)
    inside = (value - clearing.buyer_price) / value
    inner = np.abs(inside) < 1e-9
    assert 3 < inner.sum() < 35
    price = asks + clearing.reserve_price - 0.015 / 0.9
    np.testing.assert_allclose(
        buyer_bids(market.buyers, kwh)[inner], (kwh * price)[inner], rtol=1e-9
    )


def test_damping_moves_in_logarithms_and_leaves_nothing_at_nothing() -> None:
    before, after = np.array([[1.0, 4.0, 0.0], [9.0, 1.0, 0.0]]), np.array([[1.0, 1.0, 0.0]] * 2)
    half = damped(before, after, 0.5)
    np.testing.assert_allclose(half, [[1.0, 2.0, 0.0], [3.0, 1.0, 0.0]])
    np.testing.assert_array_equal(damped(before, after, 1.0), after)
    own = damped(before, after, np.array([0.5, 1.0]))
    np.testing.assert_array_equal(own, np.vstack([half[0], after[1]]))


def test_steepness_is_that_of_a_power_law_and_unknown_where_nothing_moves() -> None:
    before, now = np.array([2.0, 3.0, 5.0]), np.array([2.5, 2.0, 5.0])
    found = steepness(now**-1.7, now, before**-1.7, before)
    np.testing.assert_allclose(found[:2], 1.7)
    assert np.isnan(found[2])
    np.testing.assert_array_equal(theta_of(np.array([0.2, 1.9, 99.0])), [1.0, 0.5, 0.05])


def test_equal_shares_keep_all_limits_and_are_equal_where_these_allow() -> None:
    supply = np.array([12.0, 6.0, np.inf])
    roomy = equal_shares(
        minimum_kwh=np.zeros(3), maximum_kwh=np.full(3, 100.0), supply_kwh=supply
    ).kwh
    np.testing.assert_allclose(roomy, [[4.0, 2.0, 100.0 - 6.0]] * 3)
    kwh = equal_shares(
        minimum_kwh=np.array([8.0, 0.0]),
        maximum_kwh=np.array([9.0, 3.0]),
        supply_kwh=np.array([6.0, 4.0]),
    ).kwh
    np.testing.assert_allclose(kwh.sum(axis=1), [8.0, 2.0])
    np.testing.assert_allclose(kwh.sum(axis=0), [6.0, 4.0])
