"""The demo day's yardsticks: JPL, 21 August 2019, time of use behind 72 kW.

The figures were found by an independent implementation of the same recipe; the ranges are
its least and greatest over seeds 1 to 20.
"""

import numpy as np
import pytest

from peerwatt.mechanisms.scheduling import optimal_schedule, plug_and_charge, without_sellers
from peerwatt.simulation.config import DayConfig, load
from peerwatt.simulation.day import hub_day
from peerwatt.simulation.sessions import bundled, load_sessions


@pytest.fixture(scope="module")
def jpl():
    return load_sessions(bundled("jpl"), "jpl")


def test_seed_1_to_rounding(jpl):
    day = hub_day(load(seed=1), jpl)
    assert len(day.buyers.sessions) + len(day.sellers.sessions) == 76
    assert len(day.sellers.sessions) == 11
    assert day.sellers.for_sale_wh.sum() / 1000 == pytest.approx(286.3, abs=0.05)
    assert day.buyers.need_wh.sum() / 1000 == pytest.approx(1064.0, abs=0.05)
    uncontrolled = plug_and_charge(day.problem())
    assert uncontrolled.cost_usd == pytest.approx(252.8, abs=0.05)
    assert uncontrolled.unmet_kwh.sum() == pytest.approx(139.6, abs=0.05)
    alone = optimal_schedule(without_sellers(day.problem())).schedule
    assert alone.cost_usd == pytest.approx(248.6, abs=0.05)
    assert alone.unmet_kwh.sum() == pytest.approx(87.0, abs=0.05)
    best = optimal_schedule(day.problem())
    assert best.schedule.cost_usd == pytest.approx(185.2, abs=0.05)
    assert best.schedule.unmet_kwh.sum() == pytest.approx(0, abs=1e-9)
    assert best.lower_bound_usd == pytest.approx(best.schedule.cost_usd, abs=1e-6)


def test_twenty_seeds_span_the_stated_ranges(jpl):
    rows = []
    for seed in range(1, 21):
        day = hub_day(load(seed=seed), jpl)
        problem = day.problem()
        schedules = (
            plug_and_charge(problem),
            optimal_schedule(without_sellers(problem)).schedule,
            optimal_schedule(problem).schedule,
        )
        costs = [schedule.cost_usd for schedule in schedules]
        assert costs == sorted(costs, reverse=True)
        row = [len(day.sellers.sessions), day.sellers.for_sale_wh.sum() / 1000]
        row.append(day.buyers.need_wh.sum() / 1000)
        for schedule in schedules:
            row += [schedule.cost_usd, schedule.unmet_kwh.sum()]
        rows.append(row)
    least, greatest = np.min(rows, axis=0), np.max(rows, axis=0)
    #          sellers, for sale, need; plug-and-charge; best grid-only; optimum (cost, unmet)
    assert least == pytest.approx([5, 106, 1046, 245, 128, 240, 70, 170, 0], abs=0.51)
    assert greatest == pytest.approx([15, 388, 1102, 269, 162, 265, 119, 233, 11], abs=0.51)


def test_the_optimum_never_rises_with_the_connection(jpl):
    def costs(limit_kw):
        day = hub_day(DayConfig.model_validate({"limit_kw": limit_kw}), jpl).problem()
        return [
            optimal_schedule(day).schedule.cost_usd,
            optimal_schedule(without_sellers(day)).schedule.cost_usd,
        ]

    by_limit = np.array([costs(limit_kw) for limit_kw in (36, 60, 72, 85, 100, 195, None)])
    assert (np.diff(by_limit, axis=0) <= 1e-9).all()
    # At JPL's true limit the sellers are worth little: the demo says so.
    gain = by_limit[:, 1] - by_limit[:, 0]
    assert gain[2] > 60
    assert gain[-2] == pytest.approx(gain[-1])
    assert gain[-1] < 15


def test_without_sellers_the_optimum_is_the_best_grid_only(jpl):
    day = hub_day(DayConfig.model_validate({"sellers": {"share": 0}}), jpl).problem()
    alone = optimal_schedule(without_sellers(day)).schedule
    assert optimal_schedule(day).schedule.cost_usd == pytest.approx(alone.cost_usd)
