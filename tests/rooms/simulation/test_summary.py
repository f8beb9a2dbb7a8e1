"""The summary and the cars' rows, worked out again in other ways."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Any

import polars as pl
import pytest

from peerwatt.mechanisms.scheduling import plug_and_charge
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.run import DayRun
from peerwatt.simulation.summary import facts_of
from peerwatt.simulation.world import World
from peerwatt.units import UCOIN_PER_COIN, WH_PER_KWH


def test_the_markets_cost_is_the_resources_that_it_used(small_run: DayRun) -> None:
    """Grid energy at its price, sellers' own cost, unmet need at lost load; no transfers."""
    day, tables = small_run.day, small_run.tables
    cost = Fraction(0)
    main = tables["readings"].filter(pl.col("port") == "")
    retail = dict(zip(day.slot_start_s.tolist(), day.retail_usd_per_kwh.tolist(), strict=True))
    for row in main.to_dicts():
        net = row["import_end_wh"] - row["import_start_wh"]
        net -= row["export_end_wh"] - row["export_start_wh"]
        price = retail[row["slot_start_s"]] if net > 0 else day.feed_in_usd_per_kwh
        cost += Fraction(net) * Fraction(str(price)) / WH_PER_KWH
    for car in tables["cars"].to_dicts():
        cost += Fraction(car["own_cost_ucoin"], UCOIN_PER_COIN)
        cost += Fraction(car["unmet_wh"], WH_PER_KWH) * Fraction(str(day.lost_load_usd_per_kwh))
    market = small_run.summary["baselines"]["market"]
    assert market["cost_usd"] == pytest.approx(float(cost), abs=5e-5)
    assert market["cars_kwh"] * WH_PER_KWH == small_run.summary["energy_wh"]["from_cars"]


def test_what_cars_pay_and_get_is_the_resources_and_what_others_keep(small_run: DayRun) -> None:
    """Over all cars: market_cost = resources' cost + fees + pot + what the operator gained."""
    cars, money = small_run.tables["cars"], small_run.summary["money_ucoin"]
    resources = small_run.summary["baselines"]["market"]["cost_usd"] * UCOIN_PER_COIN
    others = money["fees"] + money["pot"] + money["site_operator"]
    assert cars["market_cost_ucoin"].sum() == pytest.approx(resources + others, abs=300)


def test_cars_rows(small_run: DayRun) -> None:
    cars = {row["session_id"]: row for row in small_run.tables["cars"].to_dicts()}
    day = small_run.day
    assert list(cars) == [*sorted(name for name in cars if name != "pv"), "pv"]
    roles = [row["role"] for row in cars.values()]
    assert (roles.count("buyer"), roles.count("seller"), roles.count("pv")) == (9, 5, 1)
    for i, session in enumerate(day.buyers.sessions):
        row = cars[session.session_id]
        assert row["need_wh"] == day.buyers.need_wh[i]
        assert row["unmet_wh"] == row["need_wh"] - row["charged_wh"]
        assert row["planned_departure_s"] == day.buyers.planned_departure_s[i]
        assert (row["arrival_s"], row["departure_s"]) == (session.arrival_s, session.departure_s)
        assert (row["oracle"], row["port"]) == (session.oracle, session.station_id.lower())
    for i, session in enumerate(day.sellers.sessions):
        row = cars[session.session_id]
        assert row["need_wh"] == row["charged_wh"] == row["plug_cost_ucoin"] == 0
        assert 0 <= row["sold_wh"] <= row["for_sale_wh"] == day.sellers.for_sale_wh[i]
        cost = day.sellers.cost_usd_per_kwh[i] * row["sold_wh"] * 1000
        assert row["own_cost_ucoin"] == pytest.approx(cost, abs=1)
        profit = row["received_ucoin"] - row["own_cost_ucoin"]
        assert row["market_cost_ucoin"] == row["penalty_ucoin"] - profit


def test_plug_and_charges_cost_is_shared_out_whole(small_run: DayRun) -> None:
    cars, plug = small_run.tables["cars"], plug_and_charge(small_run.day.problem())
    exports = plug.export_kwh.sum() * small_run.day.feed_in_usd_per_kwh
    shared = cars["plug_cost_ucoin"].sum() / UCOIN_PER_COIN
    assert shared - exports == pytest.approx(plug.cost_usd, abs=1e-4)
    charged = cars["plug_charged_wh"].sum() / WH_PER_KWH
    assert charged == pytest.approx(plug.charge_kwh.sum(), abs=0.01)


def test_the_summary_holds_what_is_promised_of_it(small_run: DayRun) -> None:
    summary = small_run.summary
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert set(summary) >= {"seed", "mechanism", "version", "labels", "zone", "planning", "need"}
    assert list(summary["energy_wh"]) == [
        *("needed", "from_cars", "from_grid", "from_pv", "sold_to_grid", "unmet", "losses")
    ]
    assert set(summary["money_ucoin"]) == {
        *("paid_by_buyers", "received_by_sellers", "supplier", "fees", "penalties"),
        *("site_operator", "pot", "sum"),
    }
    assert set(summary["baselines"]) == {"plug_and_charge", "best_grid_only", "market", "optimum"}
    rounds = summary["rounds"]
    assert rounds["opened"] == 112 == rounds["cleared"] + rounds["void"]
    assert min(rounds.values()) > 20
    assert summary["sessions"]["rows_read"] == 14
    assert summary["ledger"]["height"] == small_run.world.host.height
    assert summary["ledger"]["head"] == small_run.world.host.head_id.hex()
    assert (
        facts_of(small_run.world.host, small_run.tables).items()
        <= {
            **summary,
            "baselines": {"market": summary["baselines"]["market"]},
        }.items()
    )


def test_clearings_are_counted_and_their_gaps_added_up(
    small_run: DayRun, pairs_run: DayRun
) -> None:
    for run, who in ((small_run, "by_ledger"), (pairs_run, "by_members")):
        rounds = run.tables["rounds"].filter(pl.col("gap_ucoin").is_not_null())
        shares = [
            Fraction(row["gap_ucoin"] * 10**9, max(row["traded_ucoin"], UCOIN_PER_COIN))
            for row in rounds.to_dicts()
        ]
        nobody = {"by_ledger": 0, "by_members": 0, "grid_alone": 0}
        assert run.summary["clearings"] == nobody | {
            who: rounds.height,
            "gap_ucoin": rounds["gap_ucoin"].sum(),
            "traded_ucoin": rounds["traded_ucoin"].sum(),
            "largest_gap_ppb": math.ceil(max(shares)),
        }
    assert (small_run.summary["price_rule"], pairs_run.summary["price_rule"]) == (
        *("midpoint", "pairwise"),
    )


def test_the_supplier_is_paid_by_its_own_meter(small_run: DayRun) -> None:
    """The main meter's registers times the published prices, rounded against the supplier."""
    rounds = {row["slot_start_s"]: row for row in small_run.tables["rounds"].to_dicts()}
    due = 0
    for row in small_run.tables["readings"].filter(pl.col("port") == "").to_dicts():
        prices = rounds[row["slot_start_s"]]
        net = row["import_end_wh"] - row["import_start_wh"]
        net -= row["export_end_wh"] - row["export_start_wh"]
        price = prices["retail_ucoin_per_kwh" if net > 0 else "feed_in_ucoin_per_kwh"]
        due += net * price // WH_PER_KWH
    assert small_run.summary["money_ucoin"]["supplier"] == due
    assert small_run.summary["supplier_by_main_meter_ucoin"] == due


@pytest.mark.parametrize(
    ("config", "label"),
    [
        ({"planning": {"departure": "actual"}}, "oracle: agents plan on true departures"),
        ({"need": "requested"}, None),
        ({"planning": {"arrivals": "plugged"}}, None),
    ],
)
def test_assumptions_are_labelled(
    config: dict[str, Any], label: str | None, small_config: DayConfig, small_sessions: Any
) -> None:
    usual = set(_labels(small_config, small_sessions))
    assert any("a car's need is what it took in truth" in each for each in usual)
    assert any("drivers announce themselves" in each for each in usual)
    base = small_config.model_dump(exclude_unset=True)
    other = set(_labels(DayConfig.model_validate(base | config), small_sessions))
    assert len(usual - other) == 1, "what is no longer assumed is no longer said"
    assert other - usual == ({label} if label else set())


def _labels(config: DayConfig, sessions: Any) -> list[str]:
    """From a day cut to its first two cars, which is quick."""
    run = DayRun(config, sessions[:3])
    run.found(World)
    run.live()
    labels: list[str] = run.summary["labels"]
    return labels
