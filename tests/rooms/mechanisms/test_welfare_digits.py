"""Pairs whose prices differ in digits that a float of the whole price does not have."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.one_price import GridTerms
from peerwatt.mechanisms.welfare import PairsClearing, certify_pairs, clear_pairs, trades
from peerwatt.mechanisms.welfare_book import PairBuyers, PairSellers

GRID = GridTerms(retail=3e6, feed_in=1.0, import_limit_kwh=2.0, export_limit_kwh=1.0, local_fee=0.1)


def dear_book(seed: int, quadratic_cost: float) -> tuple[PairBuyers, PairSellers]:
    """Prices are about a million, pairs differ by some millionths of `quadratic_cost` and less."""
    rng = np.random.default_rng(seed)
    buyers = PairBuyers(
        weight=1e7 * np.exp(rng.normal(0, 1, 9)),
        minimum_kwh=np.zeros(9),
        maximum_kwh=rng.uniform(5, 40, 9),
    )
    sellers = PairSellers(
        maximum_kwh=rng.uniform(0, 15, 7),
        quadratic_cost=quadratic_cost * np.exp(rng.normal(0, 1, 7)),
        linear_cost=rng.uniform(0, 0.1, 7),
    )
    return buyers, sellers


def decimals(values: Any) -> list[Decimal]:
    return [Decimal(float(value)) for value in values]


def gap_to_forty_digits(clearing: PairsClearing) -> Decimal:
    """The dual's value at the offsets' prices less the welfare of their trades, without a grid."""
    core, base = clearing.core, Decimal(clearing.base)
    price = [base + each for each in decimals(clearing.buyer_offset)]
    reserve = [base + each for each in decimals(clearing.reserve_offset)]
    cost, slope, room = map(decimals, (core.cost, core.pair_slope, core.room))
    reserve = [max(pair) for pair in zip(reserve, cost, strict=True)]
    curves = zip(*map(decimals, (core.weight, core.knee, core.most)), strict=True)
    gap = Decimal(0)
    for p, (weight, knee, most) in zip(price, curves, strict=True):
        bought = sum(max(p - t, Decimal(0)) * y for t, y in zip(reserve, slope, strict=True))
        assert bought <= most * (1 + Decimal("1e-12"))
        best = min(max(weight / p - knee, Decimal(0)), most)
        gap += weight * ((best + knee) / (bought + knee)).ln() - p * (best - bought)
    for t, least, y, most in zip(reserve, cost, slope, room, strict=True):
        sold = sum(max(p - t, Decimal(0)) * y for p in price)
        assert sold <= most * (1 + Decimal("1e-12"))
        gap += (t - least) * (most - sold)
    return gap


@pytest.mark.parametrize("quadratic_cost", [1e-2, 1e-4, 1e-5])
@pytest.mark.parametrize("seed", range(4))
def test_the_gap_is_what_forty_digits_say(seed: int, quadratic_cost: float) -> None:
    clearing = clear_pairs(*dear_book(seed, quadratic_cost))
    assert clearing.certificate.relative_gap < 1e-11
    with localcontext(prec=40):
        gap = gap_to_forty_digits(clearing)
    assert 0 <= gap < Decimal(1e-11 * clearing.certificate.traded_value)


@pytest.mark.parametrize("grid", [None, GRID])
@pytest.mark.parametrize("seed", range(4))
def test_listed_trades_have_these_digits_too(seed: int, grid: GridTerms | None) -> None:
    clearing = clear_pairs(*dear_book(seed, 1e-5), grid)
    assert clearing.certificate.relative_gap < 1e-11
    listed = trades(clearing)
    assert total(listed.seller, listed.sent_kwh, clearing.sold_kwh) < 1e-11
    local = clearing.bought_kwh - clearing.from_grid_kwh
    assert total(listed.buyer, listed.charged_kwh, local) < 1e-11


def total(rows: Any, energy: FloatArray, expected: FloatArray) -> float:
    """How far sums by row are from what is expected, of the greatest."""
    missed = np.abs(np.bincount(rows, energy, len(expected)) - expected)
    return float(missed.max() / expected.max())


def test_prices_are_handed_out_to_a_floats_digits() -> None:
    clearing = clear_pairs(*dear_book(0, 1e-5))
    for price, offset in (
        (clearing.buyer_price, clearing.buyer_offset),
        (clearing.reserve_price, clearing.reserve_offset),
    ):
        assert (np.abs(price - clearing.base - offset) <= np.spacing(price)).all()
    alone = certify_pairs(
        *dear_book(0, 1e-5),
        buyer_price=clearing.buyer_price,
        reserve_price=clearing.reserve_price,
    )
    assert alone.certificate.relative_gap > 1e3 * clearing.certificate.relative_gap
