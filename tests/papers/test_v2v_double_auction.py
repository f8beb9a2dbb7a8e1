"""What the V2V paper's two rounds come to, and McAfee's losses beside it, in random markets.

"V2V Electric Vehicle Energy Trading Based on a Consortium Blockchain": eqs. (3) to (5) and its
price mechanism, whose figures the paper does not give; those here come from trials of the design.
"""

from __future__ import annotations

import numpy as np
import pytest

from peerwatt.mechanisms.auction_book import Band, Book, Orders
from peerwatt.mechanisms.double_auction import clear_double_auction
from peerwatt.mechanisms.v2v import clear_v2v
from peerwatt.mechanisms.v2v_quantities import CarsThatBuy, CarsThatSell

UNIT = Band(feed_in=0.0, retail=1.0)


def market(
    rng: np.random.Generator, n: int, m: int, *, sizes: bool, band: Band | None = None
) -> Book:
    orders = [
        Orders(
            price=rng.uniform(0, 1, count),
            kwh=rng.uniform(1, 10, count) if sizes else np.ones(count),
        )
        for count in (n, m)
    ]
    return Book(bids=orders[0], asks=orders[1], band=band)


@pytest.mark.parametrize(
    ("size", "loss", "within"), [(5, 7.5, 3), (10, 1.7, 0.7), (50, 0.09, 0.05)]
)
def test_mcafee_loses_little_of_unit_markets(size: int, loss: float, within: float) -> None:
    rng = np.random.default_rng(1)
    best = reached = 0.0
    for _ in range(600):
        book = market(rng, size, size, sizes=False)
        best += clear_double_auction(book, "uniform").welfare
        reached += clear_double_auction(book, "mcafee-paper").welfare
    assert 100 * (1 - reached / best) == pytest.approx(loss, abs=within)


@pytest.mark.parametrize(
    ("size", "by_count", "by_volume"), [(10, 0.891, 0.9), (50, 0.955, 0.986), (200, 0.978, 0.996)]
)
def test_volumes_reach_more_than_counts(size: int, by_count: float, by_volume: float) -> None:
    rng = np.random.default_rng(2)
    best = count = volume = 0.0
    for _ in range(200):
        book = market(rng, size, size, sizes=True)
        best += clear_double_auction(book, "uniform").welfare
        count += clear_double_auction(book, "mcafee-paper").welfare
        volume += clear_double_auction(book, "mcafee").welfare
    assert count / best == pytest.approx(by_count, abs=0.02)
    assert volume / best == pytest.approx(by_volume, abs=0.02)


def test_the_grid_behind_the_last_order_saves_trades() -> None:
    """28 % more than always reducing in the trial, whose market sizes are not known."""
    rng = np.random.default_rng(3)
    backed = reduced = 0.0
    for _ in range(600):
        n, m = rng.integers(1, 6, 2)
        book = market(rng, n, m, sizes=False, band=UNIT)
        backed += clear_double_auction(book, "mcafee-paper").bought_kwh.sum()
        alone = Book(bids=book.bids, asks=book.asks)
        reduced += clear_double_auction(alone, "mcafee-paper").bought_kwh.sum()
    assert backed / reduced == pytest.approx(1.24, abs=0.08)


def cars(
    rng: np.random.Generator, adjustment: float, most: int = 9
) -> tuple[CarsThatBuy, CarsThatSell]:
    n, m = rng.integers(2, most, 2)
    buyers = CarsThatBuy(
        bid=rng.uniform(0, 1, n),
        weight=rng.uniform(1, 3, n),
        minimum_kwh=rng.uniform(0, 2, n),
        maximum_kwh=rng.uniform(5, 15, n),
        adjustment=adjustment,
    )
    sellers = CarsThatSell(
        ask=rng.uniform(0, 1, m),
        maximum_kwh=rng.uniform(5, 15, m),
        quadratic_cost=0.01,
        linear_cost=0.015,
        adjustment=adjustment,
    )
    return buyers, sellers


def test_new_bids_lie_above_all_new_asks_and_cost_losers_more_than_they_said() -> None:
    """Eq. (5) holds in every market; of those who trade in round two 84 % lose by their bid."""
    rng = np.random.default_rng(4)
    worse, traded, crossed = np.zeros(2), np.zeros(2), 0
    for _ in range(400):
        buyers, sellers = cars(rng, 1.5)
        found = clear_v2v(buyers, sellers, UNIT, paper=True)
        second = found.second
        if second.bought_kwh.sum() == 0:
            continue
        crossed += 1
        assert second.buyer_price >= second.seller_price
        lost = (found.first.bought_kwh == 0) & (second.bought_kwh > 0)
        sold = (found.first.sold_kwh == 0) & (second.sold_kwh > 0)
        traded += lost.sum(), sold.sum()
        worse += (
            (buyers.bid[lost] < second.buyer_price - 1e-12).sum(),
            (sellers.ask[sold] > second.seller_price + 1e-12).sum(),
        )
    assert crossed > 380
    assert worse / traded == pytest.approx([0.84, 0.84], abs=0.04)


def test_only_prices_held_in_the_band_are_rational_against_the_grid() -> None:
    rng = np.random.default_rng(5)
    beyond = 0
    for _ in range(300):
        pair = cars(rng, 5.0)
        literal = clear_v2v(*pair, UNIT, paper=True).second
        beyond += literal.buyer_price > UNIT.retail or literal.seller_price < UNIT.feed_in
        held = clear_v2v(*pair, UNIT, auction="mcafee-paper").second
        if held.bought_kwh.sum() > 0:
            assert held.seller_price <= held.buyer_price <= UNIT.retail
            assert held.seller_price >= UNIT.feed_in
    # Of all markets the trial found 29 % at its factors; at five it is as many.
    assert beyond / 300 == pytest.approx(0.29, abs=0.1)
