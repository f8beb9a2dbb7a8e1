"""The curves that are drawn are the curves that the ledger clears."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_day import frame

from peerwatt.contracts.auction import demand_wh as ledger_demand_wh
from peerwatt.contracts.auction import supply_wh as ledger_supply_wh
from peerwatt.records.market import BuyOrder, SellOrder
from peerwatt.reporting.curves import demand_wh, round_curves, supply_wh
from peerwatt.reporting.day_tables import DAY_TABLES

LOST_LOAD = 500_000
Row = dict[str, Any]
prices = st.integers(0, LOST_LOAD + 1000)
energies = st.integers(0, 20_000)


def _round(mechanism: str, **given: int) -> Row:
    return dict.fromkeys(DAY_TABLES["rounds"], 0) | {
        "mechanism": mechanism,
        "retail_ucoin_per_kwh": 126_000,
        "feed_in_ucoin_per_kwh": 50_000,
        "fee_ucoin_per_kwh": 0,
        "lost_load_ucoin_per_kwh": LOST_LOAD,
        **given,
    }


def _orders(*rows: Row) -> pl.DataFrame:
    return frame("orders", [dict.fromkeys(DAY_TABLES["orders"]) | row for row in rows])


def _buy(least: int, elastic: int, low: int, width: int) -> Row:
    return {
        "side": "buy",
        "min_wh": least,
        "max_wh": least + elastic,
        "price_low_ucoin_per_kwh": low,
        "price_high_ucoin_per_kwh": low + width,
    }


def _sell(most: int, ask: int, slope: int) -> Row:
    sell: Row = {"side": "sell", "max_wh": most}
    return sell | {"ask_ucoin_per_kwh": ask, "slope_ucoin_per_kwh2": slope}


COMMON: Row = {"order_id": bytes(32), "owner": bytes(32), "port": "p", "held_ucoin": 0}


def _record(kind: type[Any], row: Row) -> Any:
    return kind(**COMMON, **{key: value for key, value in row.items() if key != "side"})


buys = st.builds(_buy, energies, energies, prices, st.integers(0, LOST_LOAD))
sells = st.builds(_sell, energies, prices, st.integers(0, 300_000))


@settings(max_examples=150, deadline=None)
@given(st.lists(buys, max_size=6), st.lists(prices, min_size=1, max_size=20), st.booleans())
def test_demand_is_the_ledgers(rows: list[Row], at: list[int], stepped: bool) -> None:
    records = [_record(BuyOrder, row) for row in rows]
    expected = [sum(ledger_demand_wh(r, p, LOST_LOAD, stepped) for r in records) for p in at]
    market_round = _round("uniform" if stepped else "welfare")
    drawn = demand_wh(market_round, _orders(*rows), np.array(at, dtype=np.float64))
    assert drawn.tolist() == expected


@settings(max_examples=150, deadline=None)
@given(
    st.lists(sells, max_size=6),
    st.lists(prices, min_size=1, max_size=20),
    st.booleans(),
    st.integers(0, 50_000),
)
def test_supply_is_the_ledgers(rows: list[Row], at: list[int], stepped: bool, fee: int) -> None:
    records = [_record(SellOrder, row) for row in rows]
    expected = [sum(ledger_supply_wh(r, p - fee, stepped) for r in records) for p in at]
    market_round = _round("uniform" if stepped else "welfare", fee_ucoin_per_kwh=fee)
    drawn = supply_wh(market_round, _orders(*rows), np.array(at, dtype=np.float64))
    assert drawn.tolist() == expected


@settings(max_examples=150, deadline=None)
@given(
    st.lists(sells, max_size=6),
    st.lists(prices, min_size=1, max_size=20),
    st.integers(1, 40),
)
def test_in_pairs_a_seller_sends_as_much_to_every_buyer(
    rows: list[Row], at: list[int], buyers: int
) -> None:
    """e = (p - t) / slope for each of them, t = ask + fee, all together up to the order."""
    fee = 10_000

    def sent_wh(row: Row, price: int) -> int:
        slope, margin = row["slope_ucoin_per_kwh2"], price - fee - row["ask_ucoin_per_kwh"]
        if margin < 0:
            return 0
        most: int = row["max_wh"]
        return most if slope == 0 else min(most, buyers * margin * 1000 // slope)

    market_round = _round("welfare-pairs", fee_ucoin_per_kwh=fee)
    drawn = supply_wh(market_round, _orders(*rows), np.array(at, dtype=np.float64), buyers)
    assert drawn.tolist() == [sum(sent_wh(row, price) for row in rows) for price in at]


def test_the_grid_sells_at_retail_and_buys_at_feed_in_plus_fee() -> None:
    market_round = _round(
        "welfare", import_limit_wh=18_000, export_limit_wh=9_000, fee_ucoin_per_kwh=10_000
    )
    at = np.array([60_000, 60_001, 125_999, 126_000], dtype=np.float64)
    assert demand_wh(market_round, _orders(), at).tolist() == [9_000, 0, 0, 0]
    assert supply_wh(market_round, _orders(), at).tolist() == [0, 0, 0, 18_000]


def test_points_hold_both_sides_of_every_jump_and_none_that_says_nothing() -> None:
    market_round = _round("welfare", import_limit_wh=18_000)
    orders = _orders(_buy(500, 0, 100_000, 1), _sell(700, 210_000, 0))
    curves = round_curves(market_round, orders)
    points = dict(zip(curves.price_ucoin_per_kwh, zip(*curves[1:], strict=True), strict=True))
    assert points[125_999] == (500, 0)
    assert points[126_000] == (500, 18_000)
    assert points[209_999] == (500, 18_000)
    assert points[210_000] == (500, 18_700)
    assert points[LOST_LOAD] == (500, 18_700)
    assert points[LOST_LOAD + 1] == (0, 18_700)
    assert len(points) == 8
    assert curves.price_ucoin_per_kwh == sorted(points)


@pytest.mark.parametrize("mechanism", ["welfare", "uniform"])
def test_curves_of_a_day_never_turn_back_and_cross_where_it_cleared(
    make: Any, mechanism: str
) -> None:
    day = make(mechanism=mechanism, pv_kwp=60.0, fee=10_000)
    for market_round in day.tables["rounds"].iter_rows(named=True):
        mine = pl.col("slot_start_s") == market_round["slot_start_s"]
        orders, awards = (day.tables[name].filter(mine) for name in ("orders", "awards"))
        curves = round_curves(market_round, orders)
        assert np.all(np.diff(curves.demand_wh) <= 0)
        assert np.all(np.diff(curves.supply_wh) >= 0)
        buys, sells = (orders.filter(pl.col("side") == side) for side in ("buy", "sell"))
        at = market_round["price_ucoin_per_kwh"] + np.array([-1.0, 0.0, 1.0])
        demand, supply = demand_wh(market_round, buys, at), supply_wh(market_round, sells, at)
        by_side = awards.group_by("side").agg(pl.col("energy_wh").sum())
        cleared_wh = max(by_side["energy_wh"].to_list(), default=0)
        assert demand[2] <= cleared_wh <= demand[1]
        assert supply[0] <= cleared_wh <= supply[1]
