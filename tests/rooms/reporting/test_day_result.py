"""What a report is written from is checked once: keys, types, columns, and the two sums."""

from __future__ import annotations

import copy
from typing import Any

import polars as pl
import pytest

from peerwatt.reporting.day_result import DayResultError, read_result
from peerwatt.reporting.day_tables import DAY_TABLES, TablesError, conform


def _without(tables: dict[str, pl.DataFrame], **changed: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {**tables, **changed}


def test_a_days_result_is_read(day: Any) -> None:
    result = read_result(day.summary, day.tables)
    assert result.summary.sessions.buyers == 62
    assert str(result.summary.date) == "2019-08-21"
    assert result.tables["rounds"].equals(day.tables["rounds"])


def test_more_keys_and_columns_are_left_alone(day: Any) -> None:
    rounds = day.tables["rounds"].with_columns(pl.lit(1).alias("more"))
    result = read_result(day.summary | {"more": 1}, _without(day.tables, rounds=rounds))
    assert result.tables["rounds"].columns == list(DAY_TABLES["rounds"])


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (["captured"], None, "summary: Object missing required field `captured`"),
        (
            ["ledger", "head"],
            None,
            r"summary: Object missing required field `head` - at `\$.ledger`",
        ),
        (["seed"], "one", r"summary: Expected `int`, got `str` - at `\$.seed`"),
        (["date"], "2019-02-30", r"summary: Invalid RFC3339"),
        (["zone"], "Mars/Olympus", "summary: zone: 'Mars/Olympus' is not a time zone"),
        (["energy_wh", "losses"], 10**9, "summary: energy_wh: sources are"),
        (["money_ucoin", "pot"], -1, "summary: money_ucoin: adds up to"),
        (["money_ucoin", "sum"], 5, "summary: money_ucoin: adds up to 0, sum says 5"),
    ],
)
def test_a_wrong_summary_is_one_line_that_names_the_key(
    day: Any, path: list[str], value: Any, why: str
) -> None:
    summary = copy.deepcopy(day.summary)
    part = summary
    for key in path[:-1]:
        part = part[key]
    if value is None:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    with pytest.raises(DayResultError, match=why) as caught:
        read_result(summary, day.tables)
    assert "\n" not in str(caught.value)


def test_a_missing_table_or_column_is_named(day: Any) -> None:
    tables = dict(day.tables)
    del tables["cars"]
    with pytest.raises(TablesError, match="cars: missing"):
        conform(tables)
    with pytest.raises(TablesError, match="awards: column flags is missing"):
        conform(_without(day.tables, awards=day.tables["awards"].drop("flags")))


def test_a_column_of_another_type_is_named(day: Any) -> None:
    floats = day.tables["rounds"].with_columns(pl.col("pot_ucoin").cast(pl.Float64))
    with pytest.raises(TablesError, match="rounds: column pot_ucoin must be Int64, is Float64"):
        conform(_without(day.tables, rounds=floats))


def test_narrow_and_empty_columns_are_widened(day: Any) -> None:
    orders = day.tables["orders"].with_columns(
        pl.col("max_wh").cast(pl.UInt32), pl.lit(None).alias("slope_ucoin_per_kwh2")
    )
    conformed = conform(_without(day.tables, orders=orders))["orders"]
    assert conformed.schema["max_wh"] == pl.Int64
    assert conformed.schema["slope_ucoin_per_kwh2"] == pl.Int64


def test_every_column_says_what_it_holds() -> None:
    for columns in DAY_TABLES.values():
        for kind, words in columns.values():
            assert kind in ("Int64", "String", "Boolean")
            assert words
