"""Cars among themselves: optimal quantities, two rounds, the grid, and money that adds up."""

from __future__ import annotations

import importlib
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerwatt.mechanisms.auction_book import Band, OutsideBandError
from peerwatt.mechanisms.v2v import Profit, V2VClearing, clear_v2v
from peerwatt.mechanisms.v2v_quantities import CarsThatBuy, CarsThatSell, welfare_quantities
from peerwatt.mechanisms.welfare_book import BookError

cp: Any = importlib.import_module("cvxpy")  # its stubs are partial
BAND = Band(feed_in=0.05, retail=0.35)


def random_cars(seed: int, most: int = 7) -> tuple[CarsThatBuy, CarsThatSell]:
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, most, 2)
    least = rng.uniform(0, 6, n) * rng.integers(0, 2, n)
    buyers = CarsThatBuy(
        bid=rng.uniform(BAND.feed_in, BAND.retail, n),
        weight=rng.uniform(0.2, 3, n),
        minimum_kwh=least,
        maximum_kwh=least + rng.uniform(0, 8, n),
        adjustment=rng.uniform(1.1, 4, n),
        place_km=rng.uniform(0, 5, n),
    )
    sellers = CarsThatSell(
        ask=rng.uniform(BAND.feed_in, BAND.retail, m),
        maximum_kwh=rng.uniform(0, 10, m),
        quadratic_cost=rng.uniform(0.001, 0.05, m),
        linear_cost=rng.uniform(0, 0.1, m),
        adjustment=rng.uniform(1.1, 4, m),
        place_km=rng.uniform(0, 5, m),
    )
    return buyers, sellers


def solver_welfare(buyers: CarsThatBuy, sellers: CarsThatSell, efficiency: float) -> float:
    """Eq. (3) pair by pair, by an interior-point solver."""
    kwh = cp.Variable((len(buyers.bid), len(sellers.ask)), nonneg=True)
    charged, sold = efficiency * cp.sum(kwh, axis=1), cp.sum(kwh, axis=0)
    utility = buyers.weight @ cp.log1p(charged - buyers.minimum_kwh)
    cost = sellers.quadratic_cost @ cp.square(sold) + sellers.linear_cost @ sold
    limits = [charged >= buyers.minimum_kwh, charged <= buyers.maximum_kwh]
    problem = cp.Problem(cp.Maximize(utility - cost), [*limits, sold <= sellers.maximum_kwh])
    return float(problem.solve(solver=cp.CLARABEL))


@pytest.mark.parametrize("size", [3, 8, 100])
def test_totals_reach_the_welfare_of_all_pairs(size: int) -> None:
    rng = np.random.default_rng(size)
    least = rng.uniform(0, 5, size)
    buyers = CarsThatBuy(
        bid=np.full(size, 0.2),
        weight=rng.uniform(0.5, 2, size),
        minimum_kwh=least,
        maximum_kwh=least + rng.uniform(1, 9, size),
    )
    sellers = CarsThatSell(
        ask=np.full(size, 0.1),
        maximum_kwh=rng.uniform(7, 15, size),
        quadratic_cost=rng.uniform(0.005, 0.02, size),
        linear_cost=rng.uniform(0.01, 0.05, size),
    )
    ours = welfare_quantities(buyers, sellers, efficiency=0.9)
    assert ours.welfare == pytest.approx(solver_welfare(buyers, sellers, 0.9), rel=1e-6)
    assert ours.wanted_kwh.sum() == pytest.approx(ours.offered_kwh.sum(), rel=1e-12)


def test_minima_beyond_all_supply_come_from_the_grid_first() -> None:
    buyers = CarsThatBuy(bid=np.full(2, 0.3), weight=1.0, minimum_kwh=[6.0, 3.0], maximum_kwh=12.0)
    sellers = CarsThatSell(ask=np.full(1, 0.1), maximum_kwh=4, quadratic_cost=0.01, linear_cost=0)
    found = welfare_quantities(buyers, sellers, efficiency=0.75)
    assert found.grid_first_kwh == pytest.approx([8 * 2 / 3, 4 * 2 / 3])
    assert found.wanted_kwh == pytest.approx([8 / 3, 4 / 3])
    assert found.offered_kwh == pytest.approx([4.0])
    assert found.welfare == pytest.approx(-0.16)


def assert_adds_up(found: V2VClearing) -> None:
    bought = found.first.bought_kwh + found.second.bought_kwh
    sold = found.first.sold_kwh + found.second.sold_kwh
    assert bought.sum() == pytest.approx(sold.sum(), abs=1e-9)
    wanted = found.quantities.wanted_kwh + found.quantities.grid_first_kwh
    assert bought + found.grid_bought_kwh == pytest.approx(wanted, abs=1e-9)
    assert sold + found.grid_sold_kwh == pytest.approx(found.quantities.offered_kwh, abs=1e-9)
    grid = BAND.retail * found.grid_bought_kwh.sum() - BAND.feed_in * found.grid_sold_kwh.sum()
    assert found.paid.sum() == pytest.approx(found.earned.sum() + found.profit + grid, abs=1e-9)
    assert found.surplus == pytest.approx(found.profit + sum(found.given_back), abs=1e-12)
    trades = found.trades
    for row, kwh in ((trades.buyer, bought), (trades.seller, sold)):
        np.testing.assert_allclose(np.bincount(row, trades.kwh, len(kwh)), kwh, atol=1e-9)


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    paper=st.booleans(),
    profit_to=st.sampled_from(Profit),
    auction=st.sampled_from([None, "huang", "uniform"]),
)
def test_energy_and_money_add_up_without_a_deficit(
    seed: int, paper: bool, profit_to: Profit, auction: str | None
) -> None:
    buyers, sellers = random_cars(seed)
    rng = np.random.default_rng(seed)
    signed = rng.random(len(buyers.bid)) < 0.7, rng.random(len(sellers.ask)) < 0.7
    found = clear_v2v(
        *(buyers, sellers, BAND),
        efficiency=0.9,
        signed=signed,
        paper=paper,
        auction=auction,
        profit_to=profit_to,
    )
    assert_adds_up(found)
    assert found.surplus >= -1e-9
    moved = found.second.bid != buyers.bid
    assert (found.second.bought_kwh[~signed[0] & moved] == 0).all()
    if not np.isnan(found.second.buyer_price + found.second.seller_price):
        assert found.second.buyer_price >= found.second.seller_price


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_nobody_fares_worse_than_with_the_grid_alone(seed: int) -> None:
    found = clear_v2v(*random_cars(seed), BAND)
    wanted = found.quantities.wanted_kwh + found.quantities.grid_first_kwh
    assert (found.paid <= BAND.retail * wanted + 1e-9).all()
    assert (found.earned >= BAND.feed_in * found.quantities.offered_kwh - 1e-9).all()


def test_a_loser_trades_at_the_new_price_only_if_it_signed_it() -> None:
    buyers = CarsThatBuy(bid=[0.3, 0.1, 0.09], weight=1.0, minimum_kwh=1.0, maximum_kwh=2.0)
    sellers = CarsThatSell(
        ask=[0.06, 0.28, 0.29], maximum_kwh=2.0, quadratic_cost=0.01, linear_cost=0.01
    )
    everybody = np.ones(3, dtype=np.bool_)
    found = clear_v2v(buyers, sellers, BAND, paper=True)
    star = found.star
    assert star == (pytest.approx(0.19), pytest.approx(0.19))
    assert found.second.bid[1:] == pytest.approx([0.19 + 0.5 * 0.09, 0.19 + 0.5 * 0.10])
    assert found.second.ask[1:] == pytest.approx([0.19 - 0.5 * 0.09, 0.19 - 0.5 * 0.10])
    assert found.second.bought_kwh[1] > 0
    unwilling = everybody.copy()
    unwilling[1] = False
    kept = clear_v2v(buyers, sellers, BAND, paper=True, signed=(unwilling, everybody))
    assert kept.second.bought_kwh[1] == 0
    assert kept.grid_bought_kwh[1] == pytest.approx(kept.quantities.wanted_kwh[1])
    assert np.isnan(kept.second.bid[1])


def test_who_reached_the_price_and_was_left_out_keeps_its_own() -> None:
    buyers = CarsThatBuy(bid=[0.3, 0.12, 0.11], weight=1.2, minimum_kwh=3.0, maximum_kwh=12.0)
    sellers = CarsThatSell(
        ask=[0.08, 0.29], maximum_kwh=10.0, quadratic_cost=0.01, linear_cost=0.02
    )
    nobody = np.zeros(3, dtype=np.bool_), np.zeros(2, dtype=np.bool_)
    found = clear_v2v(buyers, sellers, BAND, signed=nobody)
    assert found.first.bought_kwh.sum() == 0
    assert found.star == (0.12, 0.08)
    assert found.second.bid[0] == 0.3
    assert (found.second.buyer_price, found.second.seller_price) == (0.12, 0.08)
    assert found.second.bought_kwh.sum() > 0


def test_pairs_of_a_round_are_the_nearest_that_there_are() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        places = rng.uniform(0, 9, (2, 5))
        buyers = CarsThatBuy(
            bid=np.full(5, 0.3), weight=2.0, minimum_kwh=1.0, maximum_kwh=1.0, place_km=places[0]
        )
        sellers = CarsThatSell(
            ask=np.full(5, 0.1),
            maximum_kwh=1.0,
            quadratic_cost=0.01,
            linear_cost=0.0,
            place_km=places[1],
        )
        trades = clear_v2v(buyers, sellers, BAND, auction="uniform").trades
        assert trades.kwh == pytest.approx(np.ones(5))
        ways = (np.abs(places[0] - places[1][list(p)]).sum() for p in permutations(range(5)))
        assert trades.distance_km.sum() == pytest.approx(min(ways))


@pytest.mark.parametrize(
    ("profit_to", "shares"),
    [
        (Profit.AUCTIONEER, (0, 0)),
        (Profit.BUYERS, (1, 0)),
        (Profit.SELLERS, (0, 1)),
        (Profit.BOTH, (0.5, 0.5)),
    ],
)
def test_the_auctioneers_profit_goes_where_it_was_told(
    profit_to: Profit, shares: tuple[float, float]
) -> None:
    cars = random_cars(12, most=12)
    plain, told = clear_v2v(*cars, BAND), clear_v2v(*cars, BAND, profit_to=profit_to)
    assert plain.surplus > 0
    assert told.given_back == pytest.approx(tuple(plain.surplus * share for share in shares))
    assert plain.paid.sum() - told.paid.sum() == pytest.approx(told.given_back[0])
    assert told.earned.sum() - plain.earned.sum() == pytest.approx(told.given_back[1])


def test_bad_cars_are_refused_by_name() -> None:
    buyers, sellers = random_cars(3)
    with pytest.raises(OutsideBandError, match=r"CarsThatBuy\.bid lies outside .* \(row 0\)"):
        clear_v2v(buyers, sellers, Band(feed_in=0.0, retail=0.01))
    with pytest.raises(ValueError, match="auction 'muda' is none of mcafee, "):
        clear_v2v(buyers, sellers, BAND, auction="muda")
    with pytest.raises(BookError, match=r"minimum_kwh is above maximum_kwh \(row 1\)"):
        CarsThatBuy(bid=[0.1, 0.1], weight=1, minimum_kwh=[1, 3], maximum_kwh=2)
    with pytest.raises(BookError, match="quadratic_cost must be above zero"):
        CarsThatSell(ask=[0.1], maximum_kwh=1, quadratic_cost=0, linear_cost=0)
    with pytest.raises(BookError, match=r"weight holds a value that is not finite \(row 0\)"):
        CarsThatBuy(bid=[0.1], weight=np.nan, minimum_kwh=0, maximum_kwh=1)
    with pytest.raises(BookError, match=r"efficiency must lie in \(0, 1\]"):
        welfare_quantities(buyers, sellers, efficiency=0.0)
    with pytest.raises(BookError, match="adjustment must be above one"):
        CarsThatBuy(bid=[0.1], weight=1, minimum_kwh=0, maximum_kwh=1, adjustment=1.0)
