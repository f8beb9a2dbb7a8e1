"""The demo day settled on the ledger: JPL, 21 August 2019, behind 72 kW, with ideal batteries.

Yardsticks must come out exactly; the market must lie in the ranges of an independent trial of the
same rule over seeds 1 to 20. Where a bound here is wider than the trial's, both are written down.
The ordinary run takes the seeds at the ends of the ranges, `--slow` all twenty.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import polars as pl
import pytest

from peerwatt.agents.vehicle import SellingCar
from peerwatt.simulation.cast import AgentFor, ours
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.run import DayRun
from peerwatt.simulation.world import World

ENDS = (1, 5, 15)
"""Seed 1 is the demo's; most and fewest cars sell at seeds 5 and 15."""


class Market(NamedTuple):
    """What a day came to on the market."""

    cost_usd: float
    unmet_kwh: float
    captured: float
    share_from_cars: float
    evening_grid_kwh: float
    rounds: int
    rounds_with_cars: int


#         the trial: 187-239, 36-77, .72-.88, .10-.21, 72-172, 67, 26-41
STATED = (
    Market(186.5, 30.0, 0.70, 0.095, 71.5, 67, 22),
    Market(239.5, 79.0, 0.88, 0.23, 172.5, 67, 41),
)
#         the trial: 177-233, 0-22, .81-1.0, .10-.20, 79-212, 73-74, 27-45
ACTUAL = (
    Market(176.5, 0.0, 0.75, 0.095, 78.5, 73, 27),
    Market(233.5, 26.0, 1.00, 0.205, 212.5, 74, 45),
)
RANGES = {"stated": STATED, "actual": ACTUAL}


def live(jpl: Any, agent_for: AgentFor = ours, **config: Any) -> DayRun:
    run = DayRun(DayConfig.model_validate(config), jpl)
    run.found(World, agent_for)
    run.live()
    return run


def market(run: DayRun) -> Market:
    summary, rounds = run.summary, run.tables["rounds"]
    hours = dict(zip(run.day.slot_start_s.tolist(), run.day.local_hour.tolist(), strict=True))
    main = run.tables["readings"].filter(pl.col("port") == "").to_dicts()
    evening_wh = sum(
        row["import_end_wh"] - row["import_start_wh"]
        for row in main
        if 16 <= hours[row["slot_start_s"]] < 21
    )
    found = summary["baselines"]["market"]
    return Market(
        cost_usd=found["cost_usd"],
        unmet_kwh=found["unmet_kwh"],
        captured=summary["captured"],
        share_from_cars=summary["energy_wh"]["from_cars"] / summary["energy_wh"]["needed"],
        evening_grid_kwh=evening_wh / 1000,
        rounds=summary["rounds"]["cleared"],
        rounds_with_cars=rounds.filter(pl.col("sold_wh") > 0).height,
    )


def check_seed(jpl: Any, seed: int, departure: str) -> None:
    run = live(jpl, sellers={"seed": seed}, planning={"departure": departure})
    found = market(run)
    least, greatest = RANGES[departure]
    for name, low, value, high in zip(Market._fields, least, found, greatest, strict=True):
        assert low <= value <= high, f"seed {seed}, {departure}: {name} in {found}"
    costs = {name: row["cost_usd"] for name, row in run.summary["baselines"].items()}
    assert costs["optimum"] <= costs["market"] <= costs["plug_and_charge"], costs
    assert run.summary["money_ucoin"]["sum"] == 0
    assert run.summary["orders"]["refused"] == 0


@pytest.mark.parametrize("departure", RANGES)
@pytest.mark.parametrize("seed", ENDS)
def test_the_market_lies_in_its_range(jpl_sessions: Any, seed: int, departure: str) -> None:
    check_seed(jpl_sessions, seed, departure)


@pytest.mark.slow
@pytest.mark.parametrize("departure", RANGES)
@pytest.mark.parametrize("seed", [seed for seed in range(1, 21) if seed not in ENDS])
def test_the_market_lies_in_its_range_whatever_the_seed(
    jpl_sessions: Any, seed: int, departure: str
) -> None:
    check_seed(jpl_sessions, seed, departure)


def test_seed_1_to_rounding(demo_run: DayRun) -> None:
    summary = demo_run.summary
    sessions, rows = summary["sessions"], summary["baselines"]
    assert (sessions["buyers"], sessions["sellers"]) == (65, 11)
    assert round(sessions["for_sale_wh"] / 1000, 1) == 286.3
    assert round(summary["energy_wh"]["needed"] / 1000, 1) == 1064.0
    found = {name: (round(r["cost_usd"], 1), round(r["unmet_kwh"], 1)) for name, r in rows.items()}
    assert found["plug_and_charge"] == (252.8, 139.6)
    assert found["best_grid_only"] == (248.6, 87.0)
    assert found["optimum"] == (185.2, 0.0)
    # The trial's market: 200.5 with 37.4 kWh unmet.
    assert rows["market"]["cost_usd"] == pytest.approx(200.5, abs=1.0)
    assert rows["market"]["unmet_kwh"] == pytest.approx(37.4, abs=5.0)


def test_the_price_through_the_day(demo_run: DayRun) -> None:
    """Retail at night, sellers' asks while the connection is full, the tariff's peak. The trial's
    also touched lost load at 7 and before 16: here what cannot wait is bought as a minimum."""
    by_hour: dict[int, list[float]] = {}
    hours = dict(
        zip(demo_run.day.slot_start_s.tolist(), demo_run.day.local_hour.tolist(), strict=True)
    )
    for row in demo_run.tables["rounds"].drop_nulls("price_ucoin_per_kwh").to_dicts():
        price = row["price_ucoin_per_kwh"] / 1e6
        by_hour.setdefault(hours[row["slot_start_s"]], []).append(price)
    for hour, least, greatest in (
        (5, 0.126, 0.126),
        (7, 0.20, 0.24),
        (8, 0.21, 0.23),
        (9, 0.20, 0.23),
        (11, 0.16, 0.21),
        (12, 0.16, 0.19),
        (15, 0.126, 0.50),
        *((hour, 0.496, 0.496) for hour in range(16, 21)),
        (21, 0.126, 0.126),
    ):
        assert least <= min(by_hour[hour]) <= max(by_hour[hour]) <= greatest, (hour, by_hour[hour])


@pytest.mark.parametrize(
    ("departure", "least", "greatest"),
    # The trial's, to rounding.
    [("stated", (244.5, 118.5), (269.5, 163.5)), ("actual", (239.5, 72.5), (265.5, 121.5))],
)
def test_without_selling_cars_the_market_saves_little(
    jpl_sessions: Any,
    departure: str,
    least: tuple[float, float],
    greatest: tuple[float, float],
) -> None:
    class Silent:
        def orders(self, outlook: Any) -> tuple[()]:
            return ()

        def delivered(self, energy_wh: int) -> None:
            """Nothing will be."""

    silence: AgentFor = lambda _, agent: Silent() if isinstance(agent, SellingCar) else agent  # noqa: E731
    run = live(jpl_sessions, silence, planning={"departure": departure})
    found = market(run)
    assert least[0] <= found.cost_usd <= greatest[0], found
    assert least[1] <= found.unmet_kwh <= greatest[1], found
    assert found.share_from_cars == 0


def test_with_full_batteries_the_market_does_as_well(jpl_sessions: Any, demo_run: DayRun) -> None:
    """Taper, losses in the car and the 6 A floor: beside the ideal battery, not far from it."""
    full = market(live(jpl_sessions, battery="full"))
    ideal = market(demo_run)
    assert full.cost_usd == pytest.approx(ideal.cost_usd, rel=0.02), (full, ideal)
    assert full.unmet_kwh == pytest.approx(ideal.unmet_kwh, abs=12), (full, ideal)


def test_without_a_limit_trade_gains_little(jpl_sessions: Any, demo_run: DayRun) -> None:
    rows = live(jpl_sessions, limit_kw=None).summary["baselines"]
    demo = demo_run.summary["baselines"]
    gain = rows["best_grid_only"]["cost_usd"] - rows["optimum"]["cost_usd"]
    assert gain < 8 < 60 < demo["best_grid_only"]["cost_usd"] - demo["optimum"]["cost_usd"]
    assert rows["plug_and_charge"]["unmet_kwh"] == 0
