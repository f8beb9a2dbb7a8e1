"""The day's optimum: by hand, against its own prices, and against another formulation."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from peerwatt.mechanisms.scheduling import (
    DayProblem,
    NoOptimumError,
    lower_bound,
    optimal_schedule,
    plug_and_charge,
    without_sellers,
)


def problem(**changes) -> DayProblem:
    """Two cars and one seller, three slots of which the last is dear; no limit binds."""
    given = {
        "need_kwh": np.array([2.0, 3.0]),
        "charge_limit_kwh": np.array([[1.5, 1.5, 1.5], [1.5, 1.5, 1.5]]),
        "sale_kwh": np.array([1.0]),
        "discharge_limit_kwh": np.array([[0.0, 1.5, 1.5]]),
        "sale_cost_usd_per_kwh": np.array([0.2]),
        "retail_usd_per_kwh": np.array([0.1, 0.1, 0.4]),
        "pv_kwh": np.zeros(3),
        "feed_in_usd_per_kwh": 0.05,
        "lost_load_usd_per_kwh": 0.5,
    }
    return DayProblem(**given | changes)


def random_problem(seed: int) -> DayProblem:
    rng = np.random.default_rng(seed)
    cars, sellers, slots = rng.integers(0, 6), rng.integers(0, 4), rng.integers(1, 9)
    present = rng.random((cars, slots)) * (rng.random((cars, slots)) < 0.6)
    selling = rng.random((sellers, slots)) * (rng.random((sellers, slots)) < 0.6)
    return DayProblem(
        need_kwh=rng.uniform(0, 4, cars),
        charge_limit_kwh=1.65 * present,
        sale_kwh=rng.uniform(0, 4, sellers),
        discharge_limit_kwh=1.65 * selling,
        sale_cost_usd_per_kwh=rng.uniform(0.1, 0.4, sellers),
        retail_usd_per_kwh=rng.choice([0.1, 0.3, 0.6], slots),
        pv_kwh=rng.choice([0, 1, 4], slots).astype(float),
        feed_in_usd_per_kwh=0.05,
        lost_load_usd_per_kwh=0.5,
        grid_limit_kwh=rng.choice([0.5, 3, np.inf]),
        export_limit_kwh=rng.choice([0, 1, np.inf]),
    )


seeds = st.integers(0, 2**32)


def test_plug_and_charge_charges_at_once_and_shares_a_narrow_grid():
    free = plug_and_charge(problem())
    assert free.charge_kwh.tolist() == [[1.5, 0.5, 0], [1.5, 1.5, 0]]
    assert free.cost_usd == pytest.approx(0.5)
    narrow = plug_and_charge(problem(grid_limit_kwh=1.0))
    assert narrow.charge_kwh[:, 0].tolist() == [0.5, 0.5]
    assert narrow.unmet_kwh.sum() == pytest.approx(2)
    assert narrow.cost_usd == pytest.approx(0.1 + 0.1 + 0.4 + 2 * 0.5)


def test_plug_and_charge_takes_the_roof_first_and_sells_what_it_leaves():
    sunny = plug_and_charge(problem(pv_kwh=np.array([5.0, 0, 0]), export_limit_kwh=1.0))
    assert sunny.export_kwh.tolist() == [1, 0, 0]  # of 2 kWh to spare
    assert sunny.grid_kwh.tolist() == [0, 2, 0]
    assert sunny.cost_usd == pytest.approx(2 * 0.1 - 1 * 0.05)


def test_the_optimum_by_hand():
    best = optimal_schedule(problem(grid_limit_kwh=2.0))
    # 4 kWh come cheaply; the fifth is worth 0.2 from the seller rather than 0.4 from the grid.
    assert best.schedule.cost_usd == pytest.approx(4 * 0.1 + 1 * 0.2)
    assert best.schedule.discharge_kwh.sum() == pytest.approx(1)
    assert best.lower_bound_usd == pytest.approx(best.schedule.cost_usd)
    assert best.status == "Optimal"
    alone = optimal_schedule(without_sellers(problem(grid_limit_kwh=2.0))).schedule
    assert alone.cost_usd == pytest.approx(4 * 0.1 + 1 * 0.4)


def test_what_cannot_be_delivered_costs_the_lost_load():
    best = optimal_schedule(problem(need_kwh=np.array([2.0, 9.0]))).schedule
    assert best.unmet_kwh == pytest.approx([0, 4.5])


@settings(max_examples=150, deadline=None)
@given(seeds)
def test_a_schedule_keeps_every_limit(seed):
    day = random_problem(seed)
    for schedule in (optimal_schedule(day).schedule, plug_and_charge(day)):
        met = schedule.charge_kwh.sum(axis=1) + schedule.unmet_kwh
        assert met == pytest.approx(day.need_kwh, abs=1e-9)
        assert (schedule.charge_kwh <= day.charge_limit_kwh + 1e-9).all()
        assert (schedule.discharge_kwh <= day.discharge_limit_kwh + 1e-9).all()
        assert (schedule.discharge_kwh.sum(axis=1) <= day.sale_kwh + 1e-9).all()
        assert (schedule.grid_kwh <= day.grid_limit_kwh + 1e-9).all()
        assert (schedule.export_kwh <= day.export_limit_kwh + 1e-9).all()
        supply = schedule.grid_kwh + day.pv_kwh + schedule.discharge_kwh.sum(axis=0)
        assert (supply >= schedule.charge_kwh.sum(axis=0) + schedule.export_kwh - 1e-9).all()


@settings(max_examples=150, deadline=None)
@given(seeds)
def test_the_yardsticks_come_in_order_and_the_prices_prove_the_optimum(seed):
    day = random_problem(seed)
    best, alone = optimal_schedule(day), optimal_schedule(without_sellers(day))
    assert best.schedule.cost_usd <= alone.schedule.cost_usd + 1e-9
    assert alone.schedule.cost_usd <= plug_and_charge(day).cost_usd + 1e-9
    assert best.lower_bound_usd == pytest.approx(best.schedule.cost_usd, abs=1e-7)
    any_prices = np.random.default_rng(seed).uniform(-0.2, 0.8, len(day.pv_kwh))
    assert lower_bound(day, any_prices) <= best.schedule.cost_usd + 1e-9


@settings(max_examples=50, deadline=None)
@given(seeds)
def test_cost_never_rises_with_the_connection(seed):
    costs = [
        optimal_schedule(replace(random_problem(seed), grid_limit_kwh=cap)).schedule.cost_usd
        for cap in (0.0, 0.5, 1.0, 2.0, 4.0, np.inf)
    ]
    assert (np.diff(costs) <= 1e-9).all()


@settings(max_examples=50, deadline=None)
@given(seeds)
def test_against_a_dense_formulation(seed):
    """All cars in all slots, by scipy: columns charge, discharge, grid, export, unmet."""
    day = random_problem(seed)
    cars, sellers, slots = len(day.need_kwh), len(day.sale_kwh), len(day.pv_kwh)
    eye = np.eye(slots)
    balance = np.hstack(
        [np.tile(eye, cars), -np.tile(eye, sellers), -eye, eye, np.zeros((slots, cars))]
    )
    sale = np.hstack(
        [
            np.zeros((sellers, cars * slots)),
            np.kron(np.eye(sellers), np.ones(slots)).reshape(sellers, sellers * slots),
            np.zeros((sellers, 2 * slots + cars)),
        ]
    )
    need = np.hstack(
        [
            np.kron(np.eye(cars), np.ones(slots)).reshape(cars, cars * slots),
            np.zeros((cars, (sellers + 2) * slots)),
            np.eye(cars),
        ]
    )
    upper = np.concatenate(
        [
            day.charge_limit_kwh.ravel(),
            day.discharge_limit_kwh.ravel(),
            np.full(slots, day.grid_limit_kwh),
            np.full(slots, day.export_limit_kwh),
            day.need_kwh,
        ]
    )
    cost = np.concatenate(
        [
            np.zeros(cars * slots),
            np.repeat(day.sale_cost_usd_per_kwh, slots),
            day.retail_usd_per_kwh,
            np.full(slots, -day.feed_in_usd_per_kwh),
            np.full(cars, day.lost_load_usd_per_kwh),
        ]
    )
    dense = linprog(
        cost,
        A_ub=np.vstack([balance, sale]),
        b_ub=np.concatenate([day.pv_kwh, day.sale_kwh]),
        A_eq=need,
        b_eq=day.need_kwh,
        bounds=np.stack([np.zeros(len(upper)), upper], axis=1),
        method="highs-ipm",
    )
    assert optimal_schedule(day).schedule.cost_usd == pytest.approx(dense.fun, abs=1e-6)


def test_an_unbounded_day_is_refused():
    with pytest.raises(NoOptimumError, match="no optimum: HiGHS says"):
        optimal_schedule(problem(feed_in_usd_per_kwh=0.3))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("pv_kwh", np.zeros(2), "pv_kwh: must have shape"),
        ("charge_limit_kwh", np.zeros((3, 3)), "charge_limit_kwh: must have shape"),
        ("need_kwh", np.array([1.0, -1.0]), "need_kwh: must be finite and not negative"),
        ("need_kwh", np.array([1.0, np.inf]), "need_kwh: must be finite"),
        ("retail_usd_per_kwh", np.array([0.1, np.nan, 0.1]), "retail_usd_per_kwh: must be finite"),
        ("grid_limit_kwh", np.nan, "grid_limit_kwh: must be finite"),
        ("lost_load_usd_per_kwh", np.inf, "lost_load_usd_per_kwh: must be finite"),
    ],
)
def test_bad_input_is_named(field, value, reason):
    with pytest.raises(ValueError, match=reason):
        problem(**{field: value})
