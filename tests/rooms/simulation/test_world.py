"""The day on the ledger: accounts that close, rounds that obey their prices, users' own agents."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest
from checked_days import CALTECH, JPL, SUNNY, check_accounts, check_meters, live

from peerwatt.agents.ports import BuyIntent, SellIntent
from peerwatt.agents.vehicle import ChargingCar
from peerwatt.simulation.cast import AgentError
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.run import DayRun
from peerwatt.simulation.world import World


def check_prices(run: DayRun) -> Counter[str]:
    """What the price of each round must be, by where the connection stands; how many of each."""
    seen: Counter[str] = Counter()
    for _, each in run.world.host.items("rounds"):
        cleared, prices = each.clearing, each.prices
        if cleared is None:
            continue
        price = cleared.price_ucoin_per_kwh
        assert price <= prices.lost_load_ucoin_per_kwh
        assert cleared.bought_wh + cleared.export_wh == cleared.sold_wh + cleared.import_wh
        assert min(cleared.import_wh, cleared.export_wh) == 0
        if 0 < cleared.import_wh < each.import_limit_wh:
            seen["imports"] += 1
            assert price == prices.retail_ucoin_per_kwh
        elif cleared.import_wh == each.import_limit_wh:
            seen["full"] += 1
            assert price >= prices.retail_ucoin_per_kwh
        elif 0 < cleared.export_wh < each.export_limit_wh:
            seen["exports"] += 1
            assert price == prices.feed_in_ucoin_per_kwh
        elif cleared.export_wh == each.export_limit_wh > 0:
            seen["closed"] += 1
            assert price <= prices.feed_in_ucoin_per_kwh
        else:
            seen["alone"] += 1
            assert price <= prices.retail_ucoin_per_kwh
    return seen


DAYS = {
    "ideal": JPL,
    "full battery": {"battery": "full"},
    "full battery, wiring loss, roof": {"battery": "full", "wiring_loss": 0.02, **SUNNY},
    "uniform": {"mechanism": "uniform"},
    "oracle": {"planning": {"departure": "actual"}},
    "export closed": {"export_limit_kw": 0, **SUNNY},
    "caltech": CALTECH,
    "wiring loss": CALTECH | {"wiring_loss": 0.02},
    "roof": CALTECH | SUNNY,
    "fees": CALTECH | {"fees": {"network": 0.01, "platform": 0.006, "levy": 0.004}},
    "marginal": CALTECH | {"settlement": {"v2v": "marginal"}},
    "uniform, roof, marginal": CALTECH
    | {"mechanism": "uniform", "settlement": {"v2v": "marginal"}, **SUNNY},
    "no limit": CALTECH | {"limit_kw": None},
    "plugged": CALTECH | {"planning": {"arrivals": "plugged"}},
    "requested": CALTECH | {"need": "requested", "battery": "full"},
    "half hours": CALTECH | {"round_min": 30},
    "hours": CALTECH | {"round_min": 60, "lost_load": 2.0},
    "five minutes": CALTECH | {"round_min": 5},
    "flat, no feed-in, no penalty": CALTECH
    | {"tariff": "flat", "feed_in": 0.0, "shortfall_penalty": 0.0},
    "all who can sell": CALTECH | {"sellers": {"share": 1.0}},
    "clocks go back": {"site": "caltech", "date": "2019-11-03"},
    "clocks go forward": {"site": "caltech", "date": "2020-03-08"},
}


@pytest.mark.parametrize("name", DAYS)
def test_accounts_close_and_invariants_hold(
    name: str, jpl_sessions: Any, caltech_sessions: Any
) -> None:
    config = DAYS[name]
    run = live(config, caltech_sessions if config.get("site") == "caltech" else jpl_sessions)
    check_accounts(run)
    check_meters(run)
    check_prices(run)
    assert run.world.refused == [], "our own agents send nothing that the ledger refuses"
    assert set(run.tables["rounds"]["flags"]) == {0}, "no meter missing, nobody in arrears"
    assert run.tables["orders"].height > 0
    costs = {key: row["cost_usd"] for key, row in run.summary["baselines"].items()}
    assert costs["optimum"] <= min(costs.values()) + 1e-9, costs
    energy = run.summary["energy_wh"]
    loss_share = energy["losses"] / (energy["needed"] + energy["from_pv"])
    assert abs(loss_share - config.get("wiring_loss", 0)) < 0.006, energy


@pytest.mark.parametrize(
    ("date", "of_the_day"), [("2020-03-08", 92), ("2019-11-03", 100), ("2019-11-02", 96)]
)
def test_a_day_has_a_round_for_every_quarter_of_its_hours(
    date: str, of_the_day: int, caltech_sessions: Any
) -> None:
    run = live({"site": "caltech", "date": date, "horizon_h": 24}, caltech_sessions)
    starts = run.tables["rounds"]["slot_start_s"].to_list()
    assert len(starts) == of_the_day
    assert starts == list(range(starts[0], starts[0] + of_the_day * 900, 900))


@pytest.mark.parametrize(
    ("config", "regimes"),
    [
        ({}, {"imports", "full"}),
        ({"pv_kwp": 60}, {"imports", "exports", "alone"}),
        ({"pv_kwp": 60, "export_limit_kw": 8}, {"imports", "exports", "closed"}),
        ({"pv_kwp": 60, "mechanism": "uniform"}, {"imports", "exports"}),
    ],
)
def test_the_price_tells_where_the_connection_stands(
    config: dict[str, Any], regimes: set[str], caltech_sessions: Any
) -> None:
    seen = check_prices(live(CALTECH | {"limit_kw": 24} | config, caltech_sessions))
    assert regimes <= set(seen), seen


def test_one_car_charges_without_trade(caltech_sessions: Any) -> None:
    (car,) = [s for s in caltech_sessions if s.session_id.startswith("2_39_79_377_2019-06-12 16")]
    run = live(CALTECH, (car,))
    check_accounts(run)
    energy = run.summary["energy_wh"]
    assert energy["needed"] == car.delivered_wh
    assert energy["unmet"] < 300
    assert energy["from_cars"] == 0
    assert run.summary["sessions"]["buyers"] == 1


def test_a_lone_seller_sells_nothing_to_nobody(caltech_sessions: Any) -> None:
    (car,) = [s for s in caltech_sessions if s.session_id.startswith("2_39_78_365_2019-06-12 16")]
    run = live(CALTECH, (car,))
    check_accounts(run)
    assert run.summary["sessions"]["sellers"] == 1
    assert set(run.summary["energy_wh"].values()) == {0}
    assert run.summary["captured"] is None


def test_without_sellers_is_the_market_without_selling(
    small_config: DayConfig, small_sessions: Any
) -> None:
    """Selling cars that keep silent change no award of the others."""

    class Silent:
        def orders(self, outlook: Any) -> tuple[()]:
            return ()

        def delivered(self, energy_wh: int) -> None:
            raise AssertionError("nothing was ordered")

    config = small_config.model_dump()
    silent = live(
        config, small_sessions, lambda s, a: a if isinstance(a, ChargingCar) else Silent()
    )
    buying = {s.session_id for s in silent.day.buyers.sessions}
    alone = live(config, tuple(s for s in small_sessions if s.session_id in buying))
    assert alone.summary["sessions"]["sellers"] == 0
    assert silent.summary["sessions"]["sellers"] == 5
    assert alone.summary["energy_wh"] == silent.summary["energy_wh"]
    assert alone.tables["awards"].equals(silent.tables["awards"])


class Answers:
    """A user's agent that always answers the same."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.heard_wh: list[int] = []

    def orders(self, outlook: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def delivered(self, energy_wh: int) -> None:
        self.heard_wh.append(energy_wh)


CAR = "2_39_79_377_2019-06-12 16:02:20.920178"


def buy(**changes: Any) -> BuyIntent:
    usual = {"min_wh": 0, "max_wh": 1000}
    usual |= {"price_high_ucoin_per_kwh": 400_000, "price_low_ucoin_per_kwh": 100_000}
    return BuyIntent(**usual | changes)


def with_agent(agent: Any, config: DayConfig, sessions: Any) -> DayRun:
    return live(
        config.model_dump(), sessions, lambda s, ours: agent if s.session_id == CAR else ours
    )


def car_of(run: DayRun, name: str = CAR) -> dict[str, Any]:
    return run.tables["cars"].filter(pl.col("session_id") == name).row(0, named=True)


def test_a_users_own_agent_takes_the_place_of_ours(
    small_config: DayConfig, small_sessions: Any
) -> None:
    mine = Answers([buy(max_wh=np.int64(500), min_wh=np.int64(0))])
    run = with_agent(mine, small_config, small_sessions)
    check_accounts(run)
    car = car_of(run)
    assert car["charged_wh"] == sum(mine.heard_wh) > 0
    assert run.world.refused == []
    orders = run.tables["orders"].filter(pl.col("car") == CAR)
    assert set(orders["max_wh"]) == {500}
    assert orders.height > 20


def test_a_car_that_takes_more_than_its_record_needed_it(
    small_config: DayConfig, small_sessions: Any
) -> None:
    mine = Answers([buy(max_wh=1650, price_high_ucoin_per_kwh=500_000)])
    run = with_agent(mine, small_config, small_sessions)
    check_accounts(run)
    car = car_of(run)
    session = next(s for s in small_sessions if s.session_id == CAR)
    assert car["need_wh"] == car["charged_wh"] == sum(mine.heard_wh) > session.delivered_wh
    assert car["unmet_wh"] == 0


def test_a_buyers_car_that_promises_energy_pays_for_falling_short(
    small_config: DayConfig, small_sessions: Any
) -> None:
    mine = Answers([SellIntent(max_wh=1000, ask_ucoin_per_kwh=0, slope_ucoin_per_kwh2=0)])
    run = with_agent(mine, small_config, small_sessions)
    check_accounts(run)
    car = car_of(run)
    assert (car["sold_wh"], car["received_ucoin"], sum(mine.heard_wh)) == (0, 0, 0)
    assert car["penalty_ucoin"] > 0


@pytest.mark.parametrize(
    ("answer", "reason", "field"),
    [
        ([buy(max_wh=-5)], "MALFORMED", "max_wh"),
        ([buy(max_wh=2**52)], "MALFORMED", "max_wh"),
        ([buy(max_wh=0)], "OUT_OF_RANGE", "max_wh"),
        ([buy(max_wh=2000)], "OVER_LIMIT", "max_wh"),
        ([buy(min_wh=1001)], "OUT_OF_RANGE", "min_wh"),
        ([buy(price_high_ucoin_per_kwh=500_001)], "OUT_OF_RANGE", "price_high_ucoin_per_kwh"),
        ([buy(price_low_ucoin_per_kwh=400_001)], "OUT_OF_RANGE", "price_low_ucoin_per_kwh"),
        (
            [SellIntent(max_wh=10, ask_ucoin_per_kwh=-1, slope_ucoin_per_kwh2=0)],
            "MALFORMED",
            "ask_ucoin_per_kwh",
        ),
        ([buy(max_wh=9), buy()], "ALREADY_EXISTS", "port"),
    ],
)
def test_an_order_that_cannot_be_is_refused_and_nobody_else_notices(
    answer: Any, reason: str, field: str, small_config: DayConfig, small_sessions: Any
) -> None:
    run = with_agent(Answers(answer), small_config, small_sessions)
    check_accounts(run)
    assert {row["field"] for row in run.tables["refused"].to_dicts()} == {field}
    assert {row["reason_name"] for row in run.tables["refused"].to_dicts()} == {reason}
    kept = run.tables["orders"].filter(pl.col("car") == CAR)
    assert set(kept["max_wh"]) <= {9}
    others = run.tables["cars"].filter((pl.col("session_id") != CAR) & (pl.col("role") == "buyer"))
    assert others["charged_wh"].sum() > 0


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (ZeroDivisionError("two\nlines"), "orders: ZeroDivisionError: two lines"),
        ([buy(max_wh=math.nan)], "orders: TypeError: max_wh: must be a whole number"),
        ([buy(max_wh=1000.0)], "orders: TypeError: max_wh: must be a whole number"),
        ([buy(max_wh=2**70)], "orders: TypeError: max_wh: must be a whole number up to"),
        ([buy(min_wh=None)], "orders: TypeError: min_wh: must be a whole number"),
        (["energy please"], "orders: TypeError: must answer with BuyIntent and SellIntent"),
        (None, "orders: TypeError: 'NoneType' object is not iterable"),
    ],
)
def test_an_agent_that_fails_or_talks_nonsense_is_one_clear_error(
    answer: Any, why: str, small_config: DayConfig, small_sessions: Any
) -> None:
    with pytest.raises(AgentError) as failed:
        with_agent(Answers(answer), small_config, small_sessions)
    text = str(failed.value)
    assert text.startswith(f"agent of car {CAR}: {why}")
    assert "\n" not in text


def test_an_agent_that_fails_when_told_of_its_energy_is_one_clear_error(
    small_config: DayConfig, small_sessions: Any
) -> None:
    agent = Answers([buy(price_high_ucoin_per_kwh=500_000)])
    agent.heard_wh = None  # type: ignore[assignment]
    with pytest.raises(AgentError, match=r"delivered: AttributeError: 'NoneType'"):
        with_agent(agent, small_config, small_sessions)


def test_an_agent_cannot_change_what_the_others_read(
    small_config: DayConfig, small_sessions: Any
) -> None:
    class Vandal(Answers):
        def orders(self, outlook: Any) -> Any:
            outlook.retail_usd_per_kwh[:] = 0
            return ()

    with pytest.raises(AgentError, match="read-only"):
        with_agent(Vandal(()), small_config, small_sessions)


def test_progress_hears_of_every_slot(small_run: DayRun, small_sessions: Any) -> None:
    heard: list[tuple[int, int]] = []
    run = DayRun(small_run.config, small_sessions)
    run.found(World)
    run.live(lambda done, slots: heard.append((done, slots)))
    assert heard == [(done, 112) for done in range(1, 113)]


def test_a_fault_of_the_world_itself_stops_it(small_run: DayRun) -> None:
    """Its own messages are never refused; a clock that ran backwards would not go unseen."""
    with pytest.raises(RuntimeError, match=r"refused: EXPIRED \(valid_until_s\)"):
        small_run.world.tick(1)
