"""Series over the day and the local clock."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from peerwatt.reporting.day_result import read_result
from peerwatt.reporting.day_series import (
    clock,
    clock_changes,
    energy_series,
    hour_ticks,
    lost_load_usd_per_kwh,
    savings,
    short_name,
)

LOS_ANGELES = ZoneInfo("America/Los_Angeles")
DATE = dt.date(2019, 8, 21)
MIDNIGHT_S = 1_566_370_800


def test_sources_add_up_to_what_the_summary_says(make: Callable[..., Any]) -> None:
    for given in ({}, {"limit_kw": None, "pv_kwp": 100.0, "void_every": 9}):
        day = make(**given)
        series = energy_series(read_result(day.summary, day.tables))
        energy = day.summary["energy_wh"]
        assert sum(series.cars_wh) == energy["from_cars"]
        assert sum(series.pv_wh) == energy["from_pv"]
        assert sum(series.unmet_wh.values()) == energy["unmet"]
        net_wh = sum(series.grid_wh) - sum(series.exported_wh)
        assert abs(net_wh - energy["from_grid"] + energy["sold_to_grid"]) <= len(series.start_s)
        assert series.slot_s == 900


def test_what_a_car_left_without_shows_when_it_leaves(day: Any) -> None:
    series = energy_series(read_result(day.summary, day.tables))
    for car in day.tables["cars"].filter(pl.col("unmet_wh") > 0).iter_rows(named=True):
        slot_s = car["departure_s"] - (car["departure_s"] - MIDNIGHT_S) % 900
        assert series.unmet_wh[slot_s] >= car["unmet_wh"]
        assert series.span_s[0] <= slot_s < series.span_s[1]


def test_rounds_without_orders_are_left_out(day: Any) -> None:
    empty = day.tables["rounds"].with_columns(
        pl.when(pl.col("slot_start_s") < MIDNIGHT_S + 6 * 3600)
        .then(0)
        .otherwise(pl.col("orders"))
        .alias("orders")
    )
    result = read_result(day.summary, {**day.tables, "rounds": empty})
    assert energy_series(result).start_s[0] == MIDNIGHT_S + 6 * 3600


def test_a_day_without_rounds_has_empty_series(make: Callable[..., Any]) -> None:
    day = make(buyers=0, sellers=0, forged=False)
    result = read_result(day.summary, day.tables)
    assert energy_series(result).start_s == []
    assert savings(result) == []
    assert lost_load_usd_per_kwh(result) == 0


def test_savings_come_largest_first_and_add_up(day: Any) -> None:
    cars = day.tables["cars"]
    saved = savings(read_result(day.summary, day.tables))
    amounts = [each.saved_ucoin for each in saved]
    assert amounts == sorted(amounts, reverse=True)
    assert sum(amounts) == cars["plug_cost_ucoin"].sum() - cars["market_cost_ucoin"].sum()


def test_names_are_short() -> None:
    assert short_name("1_1_194_826_2019-05-01 12:04:06.017353") == "1_1_194_826"
    assert short_name("pv") == "rooftop PV"
    assert short_name("my car") == "my car"


def test_the_clock_says_when_it_is_another_day() -> None:
    assert clock(MIDNIGHT_S, LOS_ANGELES, DATE) == "00:00"
    assert clock(MIDNIGHT_S + 25 * 3600, LOS_ANGELES, DATE) == "01:00 +1"


def test_hours_are_told_apart_when_the_clock_is_put_back() -> None:
    start_s = int(dt.datetime(2019, 11, 3, tzinfo=LOS_ANGELES).timestamp())
    end_s = start_s + 5 * 3600
    assert clock_changes(start_s, end_s, LOS_ANGELES)
    assert not clock_changes(start_s, start_s + 3600, LOS_ANGELES)
    labels = [label for _, label in hour_ticks(start_s, end_s, LOS_ANGELES, 1)]
    assert labels == ["00:00", "01:00", "01:00", "02:00", "03:00", "04:00"]
    named = {
        clock(start_s + h * 3600, LOS_ANGELES, dt.date(2019, 11, 3), named=True) for h in (1, 2)
    }
    assert named == {"01:00 PDT", "01:00 PST"}


def test_ticks_stand_on_full_local_hours() -> None:
    ticks = hour_ticks(MIDNIGHT_S + 900, MIDNIGHT_S + 9 * 3600, LOS_ANGELES, 2)
    assert ticks == [(MIDNIGHT_S + h * 3600, f"{h:02}:00") for h in (2, 4, 6, 8)]
    kolkata = hour_ticks(MIDNIGHT_S, MIDNIGHT_S + 7200, ZoneInfo("Asia/Kolkata"), 1)
    assert [label for _, label in kolkata] == ["13:00", "14:00"]
