"""The words say what the numbers hold: no gain is called a gain that is none."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from peerwatt.reporting.day_result import DayResult, read_result
from peerwatt.reporting.day_words import (
    assumed,
    dollars,
    headline,
    kwh,
    real,
    signed_dollars,
    small,
    why_this_price,
)

COSTS = ("plug_and_charge", "best_grid_only", "market", "optimum")


def _costing(day: Any, *costs: float, **summary: Any) -> DayResult:
    changed = copy.deepcopy(day.summary) | summary
    for key, cost in zip(COSTS, costs, strict=True):
        changed["baselines"][key]["cost_usd"] = cost
    return read_result(changed, day.tables)


def test_the_headline_gives_trade_its_part_and_planning_its_own(day: Any) -> None:
    said = " ".join(headline(_costing(day, 252.78, 248.64, 201.06, 185.21, captured=0.7654)))
    assert "62 cars wanted 982.7 kWh behind a 72 kW connection" in said
    assert "11 more cars, with energy to spare, sold" in said
    assert "counted at $0.50" in said
    assert "cost $201.06: $51.72 (20%) less than plug-and-charge" in said
    assert "captured 77%" in said
    assert "$248.64, $4.14 less than plug-and-charge" in said
    assert "beyond that, $47.58, is due to trade" in said


def test_where_trade_can_gain_little_the_headline_says_so(day: Any) -> None:
    said = " ".join(headline(_costing(day, 155.6, 145.5, 144.2, 143.5, captured=0.94)))
    assert "Trade between cars could save at most $2.00 more" in said
    assert "hardly needs it" in said
    assert "due to trade" not in said


def test_a_market_that_plans_badly_is_not_praised(day: Any) -> None:
    said = " ".join(headline(_costing(day, 200, 180, 210, 150, captured=-0.2)))
    assert "$10.00 more than plug-and-charge" in said
    assert "captured" not in said
    assert "did not notably beat that; with it, trade could have saved $30.00 more" in said
    said = " ".join(headline(_costing(day, 200, 199, 199, 198, captured=None)))
    assert "about as much as plug-and-charge" in said
    assert "captured" not in said


def test_the_headline_of_a_day_without_limit_or_sellers(make: Callable[..., Any]) -> None:
    day = make(buyers=3, sellers=0, limit_kw=None, pv_kwp=30.0)
    said = headline(read_result(day.summary, day.tables))[0]
    assert "3 cars wanted" in said
    assert "without a limit on the connection" in said
    assert "The roof gave" in said
    assert "No car had energy to sell" in said
    assert "there was nothing to trade" in headline(read_result(day.summary, day.tables))[2]


def test_unmet_need_is_told_in_fitting_units(day: Any) -> None:
    for unmet, words in ((0, "All of the need was met"), (18, "All of the need but 18 Wh was met")):
        summary = copy.deepcopy(day.summary)
        summary["energy_wh"]["needed"] += unmet - summary["energy_wh"]["unmet"]
        summary["energy_wh"]["unmet"] = unmet
        assert words in headline(read_result(summary, day.tables))[0]


def test_what_is_real_and_what_is_assumed(day: Any) -> None:
    result = read_result(day.summary, day.tables)
    assert "sessions at JPL on 21 August 2019, as ACN-Data records them" in real(result)[0]
    assert "from $0.126 to $0.496" in real(result)[1]
    said = " ".join(assumed(result))
    for words in (
        "connection, 72 kW",
        "The sellers: 11 cars",
        "drawn with seed 1",
        "75% of the stay",
        "8 cars stated nothing",
        "no losses, no taper",
    ):
        assert words in said


def test_an_oracle_is_called_one(day: Any) -> None:
    planning = {"departure": "actual", "stay_factor": 0.75}
    said = " ".join(assumed(read_result(day.summary | {"planning": planning}, day.tables)))
    assert "an oracle, for comparison only" in said
    assert "stated nothing" not in said


@pytest.mark.parametrize(
    ("price", "words"),
    [
        (None, "void"),
        (500_000, "not enough even for what could not wait"),
        (126_001, "connection was full"),
        (126_000, "retail set the price"),
        (125_999, "covered all demand"),
        (60_000, "what the grid pays set the price"),
    ],
)
def test_why_a_price_is_what_it_is(price: int | None, words: str) -> None:
    prices = {"retail": 126_000, "feed_in": 50_000, "fee": 10_000, "lost_load": 500_000}
    market_round = {f"{name}_ucoin_per_kwh": value for name, value in prices.items()}
    assert words in why_this_price(market_round | {"price_ucoin_per_kwh": price})


def test_numbers_read_well() -> None:
    assert dollars(1234.5) == "$1,234.50"
    assert dollars(-0.004) == "$0.00"
    assert dollars(-3.2) == "−$3.20"
    assert signed_dollars(0.00001, 4) == "$0.0000"
    assert signed_dollars(2, 4) == "+$2.0000"
    assert signed_dollars(-2) == "−$2.00"
    assert kwh(1_064_000) == "1,064.0 kWh"
    assert [small(wh) for wh in (0, -2, 37, 1500)] == ["0 Wh", "−2 Wh", "37 Wh", "1.5 kWh"]
