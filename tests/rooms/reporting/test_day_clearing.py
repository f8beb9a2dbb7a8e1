"""What is said of a clearing's quality is what was certified, rounded up, and no more."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerwatt.reporting.clearing_gap import PPB, at_most, gap_ppb
from peerwatt.reporting.day_clearing import (
    clearing_facts,
    gap_points,
    how_good,
    mean_buyer_price,
    why_this_clearing,
)
from peerwatt.reporting.day_page import day_page
from peerwatt.reporting.day_result import DayResult, read_result


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_share_is_of_one_coin_at_least_and_never_below_the_truth(gap: int, traded: int) -> None:
    share, true = gap_ppb(gap, traded), Fraction(gap * PPB, max(traded, 1_000_000))
    assert true <= share < true + 1
    percent = Fraction(at_most(share).removesuffix("%"))
    assert Fraction(share, 10**7) <= percent <= Fraction(share, 10**7) * Fraction(11, 10)


@pytest.mark.parametrize(
    ("ppb", "words"),
    [
        (0, "0%"),
        (1, "0.0000001%"),
        (1_000, "0.0001%"),
        (40_258, "0.0041%"),
        (5_523_512, "0.56%"),
        (99_900_000, "10%"),
        (250_000_000, "25%"),
        (1_234_000_000, "130%"),
    ],
)
def test_shares_read_well(ppb: int, words: str) -> None:
    assert at_most(ppb) == words


@pytest.fixture(scope="module")
def results(make: Callable[..., Any]) -> dict[str, DayResult]:
    days = {
        name: make(mechanism=name, buyers=30) for name in ("welfare", "uniform", "welfare-pairs")
    }
    return {name: read_result(day.summary, day.tables) for name, day in days.items()}


@pytest.mark.parametrize(
    ("mechanism", "who", "meaning"),
    [
        ("welfare", "The ledger itself cleared", "rounding to whole Wh and to a millionth"),
        ("uniform", "The ledger itself cleared", "ten equal steps"),
        ("welfare-pairs", "A member proposed the clearing of", "before they are rounded"),
    ],
)
def test_each_mechanisms_bound_is_said_with_what_it_means(
    mechanism: str, who: str, meaning: str, results: dict[str, DayResult]
) -> None:
    result = results[mechanism]
    said = " ".join(how_good(result))
    clearings = result.summary.clearings
    assert f"{who} {result.rounds.height} rounds" in said
    assert meaning in said
    assert f"none of them was more than {at_most(clearings.largest_gap_ppb)} of its trade" in said
    assert f"at most ${clearings.gap_ucoin / 1e6:,.6f} in all these" in said
    assert "grid alone" not in said


def test_what_is_drawn_is_each_rounds_share(results: dict[str, DayResult]) -> None:
    for name, result in results.items():
        points = gap_points(result)
        assert [point.start_s for point in points] == result.rounds["slot_start_s"].to_list()
        assert {point.by_member for point in points} == {name == "welfare-pairs"}
        largest = max(point.share for point in points)
        assert round(largest * PPB) == result.summary.clearings.largest_gap_ppb
    largest_of = {n: max(p.share for p in gap_points(r)) for n, r in results.items()}
    assert largest_of["uniform"] > 10 * largest_of["welfare"] > 0


def test_of_rounds_without_sellers_nothing_is_claimed(day: Any) -> None:
    rounds = day.tables["rounds"].with_columns(pl.lit("grid alone").alias("cleared_by"))
    nothing = dict.fromkeys(day.summary["clearings"], 0)
    clearings = nothing | {"grid_alone": rounds.height}
    summary = day.summary | {"clearings": clearings}
    result = read_result(summary, {**day.tables, "rounds": rounds})
    (said,) = how_good(result)
    assert f"{rounds.height} rounds had to be cleared against the grid alone" in said
    assert gap_points(result) == []
    page = day_page(result)
    assert 'id="gap-chart"' not in page
    assert "the ledger, without sellers" in page
    assert "so they were left out" in page


def test_a_rounds_facts(results: dict[str, DayResult]) -> None:
    row = results["welfare-pairs"].rounds.row(0, named=True)
    exact = row | {"gap_ucoin": 12, "traded_ucoin": 3_000_000}
    assert clearing_facts(exact) == [
        ("Cleared by", "aggregator"),
        ("Traded", "$3.000000"),
        ("Could be better by at most", "$0.000012"),
        ("of what was traded", "0.0004%"),
    ]
    assert clearing_facts(row | {"cleared_by": None}) == []
    alone = dict(clearing_facts(row | {"cleared_by": "grid alone"}))
    assert alone["Cleared by"] == "the ledger, without sellers"
    assert "Could be better by at most" not in alone


def test_the_mean_price_is_what_was_paid_over_what_was_bought() -> None:
    row = {"price_ucoin_per_kwh": 1, "paid_ucoin": 300_000, "bought_wh": 2_000}
    assert mean_buyer_price(row) == 150_000
    assert mean_buyer_price(row | {"bought_wh": 0}) is None
    assert mean_buyer_price(row | {"price_ucoin_per_kwh": None}) is None


@pytest.mark.parametrize(
    ("dearest", "words"),
    [
        (500_000, "not enough even for all that could not wait"),
        (126_002, "The connection was full"),
        (126_001, "came from the grid, at retail"),
        (126_000, "came from the grid, at retail"),
        (125_999, "Sellers covered all demand"),
        (0, "No car bought"),
    ],
)
def test_why_buyers_paid_what_they_paid(dearest: int, words: str) -> None:
    row = {
        "mechanism": "welfare-pairs",
        "cleared_by": "aggregator",
        "price_ucoin_per_kwh": max(dearest, 126_000),
        "buyer_price_ucoin_per_kwh": dearest,
        "retail_ucoin_per_kwh": 126_000,
        "lost_load_ucoin_per_kwh": 500_000,
    }
    assert words in why_this_clearing(row)
    assert "Nobody proved a clearing" in why_this_clearing(row | {"cleared_by": "grid alone"})
    void = row | {"cleared_by": None, "price_ucoin_per_kwh": None, "fee_ucoin_per_kwh": 0}
    assert "The round was void" in why_this_clearing(void | {"feed_in_ucoin_per_kwh": 0})
