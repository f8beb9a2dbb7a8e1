"""The day: slots and clock changes, who buys and sells, and what is expected."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from peerwatt.mechanisms.scheduling import optimal_schedule, plug_and_charge, without_sellers
from peerwatt.simulation.config import DayConfig, load
from peerwatt.simulation.day import hub_day, like_days, slot_starts
from peerwatt.simulation.fleet import draw, need_wh, planned_departure_s
from peerwatt.simulation.sessions import (
    ZONE,
    Session,
    SessionsError,
    bundled,
    load_sessions,
)


@pytest.fixture(scope="module")
def jpl():
    return load_sessions(bundled("jpl"), "jpl")


def car(name="s1", arrive="08:10", leave="17:00", day="2019-08-21", **changes) -> Session:
    def at(time):
        return int(dt.datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=ZONE).timestamp())

    given = {
        "session_id": name,
        "site": "jpl",
        "station_id": name,
        "arrival_s": at(arrive),
        "departure_s": at(leave),
        "stated_departure_s": at(leave),
        "delivered_wh": 12_000,
        "requested_wh": 20_000,
        "claimed": True,
    }
    return Session(**given | changes)


def configured(**changes) -> DayConfig:
    return DayConfig.model_validate(changes)


@pytest.mark.parametrize(
    ("date", "slots", "of_the_day"),
    [
        ("2019-08-21", 112, 96),
        ("2020-03-08", 108, 92),
        ("2020-03-07", 108, 96),
        ("2019-11-03", 116, 100),
        ("2019-11-02", 116, 96),
    ],
)
def test_the_horizon_is_four_in_the_morning_whatever_the_clock_does(date, slots, of_the_day):
    day = dt.date.fromisoformat(date)
    starts = slot_starts(day, 28, 900)
    local = [dt.datetime.fromtimestamp(int(s), ZONE) for s in starts]
    assert len(starts) == slots
    assert sum(time.date() == day for time in local) == of_the_day
    assert (local[0].hour, local[-1].strftime("%H:%M")) == (0, "03:45")
    assert (np.diff(starts) == 900).all()


def test_retail_follows_the_local_clock_through_a_change(jpl):
    day = hub_day(load(date="2020-03-08"), jpl)
    assert 2 not in day.local_hour[:92]
    dear = day.retail_usd_per_kwh == 0.297
    assert set(day.local_hour[dear]) == {16, 17, 18, 19, 20}
    assert dear.sum() == 20


def test_presence_is_the_share_of_a_slot():
    day = hub_day(configured(), [car(arrive="08:10", leave="09:05")])
    present = day.buyers.presence[0]
    assert present[32:37] == pytest.approx([1 / 3, 1, 1, 1, 1 / 3])
    assert present.sum() == pytest.approx(55 / 15)


def test_stays_past_midnight_count_until_the_horizon():
    late = car(arrive="20:00", leave="21:00")
    late = replace(late, departure_s=late.arrival_s + 12 * 3600)
    day = hub_day(configured(), [late])
    assert day.buyers.presence.sum() == pytest.approx(8 * 4)
    assert day.buyers.planned_departure_s.max() <= day.slot_start_s[-1] + day.slot_s


def test_need_is_what_was_taken_or_asked_and_never_more_than_the_plug_carries():
    session = car(delivered_wh=60_000, requested_wh=150_000)
    stated = replace(session, stated_departure_s=session.arrival_s + 3600)
    assert need_wh(session, configured()) == 6600 * 530 // 60
    assert need_wh(session, configured(need="requested")) == 6600 * 530 // 60
    assert need_wh(stated, configured(need="requested")) == 6600
    assert need_wh(session, configured(need="requested", port_kw=20)) == 75_000
    assert need_wh(car(), configured(need="requested")) == 20_000


def test_agents_plan_on_a_share_of_the_stated_stay_or_on_the_truth():
    session = car(arrive="08:00", leave="17:00")
    session = replace(session, stated_departure_s=session.arrival_s + 4 * 3600)
    assert planned_departure_s(session, configured()) == session.arrival_s + 3 * 3600
    oracle = configured(planning={"departure": "actual"})
    assert planned_departure_s(session, oracle) == session.departure_s


def test_a_cars_draw_is_its_own(jpl):
    """Leaving half of the cars out, or raising the share, keeps what the others drew."""
    whole = hub_day(load(), jpl)
    half = hub_day(load(), jpl[::2])
    drawn = dict(zip(whole.sellers.sessions, whole.sellers.for_sale_wh, strict=True))
    assert half.sellers.sessions
    for session, energy_wh in zip(half.sellers.sessions, half.sellers.for_sale_wh, strict=True):
        assert drawn[session] == energy_wh
    more = hub_day(configured(sellers={"share": 0.8}), jpl)
    assert set(whole.sellers.sessions) < set(more.sellers.sessions)


def test_sellers_keep_their_reserve_and_ask_their_cost(jpl):
    day = hub_day(load(), jpl)
    sellers = day.sellers
    spare_kwh = (sellers.soc_at_arrival - 0.40) * sellers.battery_kwh * np.sqrt(0.85)
    assert (sellers.for_sale_wh <= spare_kwh * 1000).all()
    assert (sellers.for_sale_wh <= 6600 * sellers.presence.sum(axis=1) * 0.25).all()
    assert sellers.cost_usd_per_kwh.min() >= 0.11 / 0.85 + 0.03
    assert sellers.cost_usd_per_kwh.max() <= 0.15 / 0.85 + 0.08
    assert {*sellers.battery_kwh} <= {40, 60, 75}
    for session in sellers.sessions:
        assert session.delivered_wh <= 8000
        assert session.stay_s >= 4 * 3600


def test_every_buyers_battery_holds_its_need():
    huge = car(delivered_wh=68_609, departure_s=car().arrival_s + 15 * 3600)
    day = hub_day(configured(), [huge, car("s2")])
    full = day.buyers.soc_at_arrival + day.buyers.need_wh / 1000 / day.buyers.battery_kwh
    assert (day.buyers.soc_at_arrival >= 0).all()
    assert ((full >= 0.85) & (full <= 1)).all()


def test_no_row_goes_missing(jpl):
    for config in (load(), load(date="2019-06-12"), load(date="2020-03-07")):
        day = hub_day(config, jpl)
        cars = len(day.buyers.sessions) + len(day.sellers.sessions)
        assert day.rows_read == len(jpl) == cars + sum(day.dropped.values())


def test_days_of_one_car_and_days_without_buyers_have_yardsticks():
    small = car(delivered_wh=3_000)
    for share, cost_usd in ((0, 3 * 0.126), (1, 0)):
        day = hub_day(configured(sellers={"share": share}), [small]).problem()
        assert plug_and_charge(day).cost_usd == pytest.approx(cost_usd)
        assert optimal_schedule(day).schedule.cost_usd == pytest.approx(cost_usd)
        assert optimal_schedule(without_sellers(day)).schedule.cost_usd == pytest.approx(cost_usd)


def test_like_days_are_the_newest_of_their_kind():
    known = [dt.date(2019, 7, 1) + dt.timedelta(days=n) for n in range(60)]
    wednesday = like_days(dt.date(2019, 8, 21), known, 5)
    assert [f"{day:%a %d}" for day in wednesday] == [
        "Tue 20",
        "Mon 19",
        "Thu 15",
        "Wed 14",
        "Tue 13",
    ]
    assert {f"{day:%a}" for day in like_days(dt.date(2019, 8, 23), known, 9)} == {"Fri"}
    assert {f"{day:%a}" for day in like_days(dt.date(2019, 8, 24), known, 9)} == {"Sat", "Sun"}
    assert like_days(dt.date(2019, 7, 1), known, 9) == ()


def test_expected_arrivals_are_the_mean_of_past_buyers():
    past = [
        car("a", "09:00", "13:00", day="2019-08-19"),
        car("b", "10:00", "14:00", day="2019-08-20", delivered_wh=6_000),
    ]
    config = configured(sellers={"share": 0}, planning={"stay_factor": 1})
    day = hub_day(config, [*past, car()])
    expected = day.expected_need_kwh
    assert len(day.history_days) == 2
    assert expected[0, -1] == pytest.approx((12 + 6) / 2)
    assert expected[36, 51] == pytest.approx(6)  # the slot from 12:45 is the last before 13:00
    assert expected[36, 50] == 0
    assert expected[37, -1] == pytest.approx(3)
    assert expected[41, -1] == 0
    assert not hub_day(config, [car()]).expected_need_kwh.any()


def test_past_sellers_are_not_expected_to_buy():
    past = car("a", day="2019-08-20", delivered_wh=3_000)
    for share, expected_kwh in ((0, 3), (1, 0)):
        config = configured(sellers={"share": share})
        assert hub_day(config, [past, car()]).expected_need_kwh[0, -1] == expected_kwh
    assert draw(past, configured(sellers={"share": 1})).sells


def test_a_date_without_sessions_is_refused_with_the_dates_there_are(jpl):
    with pytest.raises(SessionsError) as refused:
        hub_day(load(date="2020-01-15"), jpl)
    assert str(refused.value) == (
        "no sessions at jpl on 2020-01-15; there are some on 351 dates from 2019-05-01 to "
        "2020-05-29, the nearest 2019-12-31 and 2020-02-01"
    )
    brief = car(leave="08:20")
    with pytest.raises(SessionsError, match=r"all 1 dropped \(stay under 15 min: 1\)"):
        hub_day(configured(), [brief])
    with pytest.raises(SessionsError, match="the files hold none at all"):
        hub_day(configured(), [])


def test_the_roof_and_the_limits_reach_the_planner(jpl):
    free = hub_day(configured(limit_kw=None, export_limit_kw=10, pv_kwp=100), jpl).problem()
    assert free.grid_limit_kwh == np.inf
    assert free.export_limit_kwh == 2.5
    assert 500 < free.pv_kwh.sum() < 700
    assert hub_day(load(), jpl).problem().grid_limit_kwh == 18
