"""The time-of-use tariff at the edges of its hours, days and seasons."""

import datetime as dt

import pytest

from peerwatt.grid.tariffs import SCE_TOU_EV_8_2019, flat, retail_usd_per_kwh


@pytest.mark.parametrize(
    ("time", "price"),
    [
        ("2019-08-21T15:59", 0.126),
        ("2019-08-21T16:00", 0.496),
        ("2019-08-21T20:59", 0.496),
        ("2019-08-21T21:00", 0.126),
        ("2019-08-24T16:00", 0.256),  # a Saturday
        ("2019-08-24T03:00", 0.126),
        ("2019-05-31T23:00", 0.136),
        ("2019-06-01T00:00", 0.126),
        ("2019-09-30T16:00", 0.496),
        ("2019-10-01T16:00", 0.297),
        ("2019-12-07T08:00", 0.077),  # winter knows no weekend
        ("2019-12-06T07:59", 0.136),
    ],
)
def test_time_of_use(time, price):
    assert SCE_TOU_EV_8_2019.price_usd_per_kwh(dt.datetime.fromisoformat(time)) == price


def test_the_cheapest_price():
    assert SCE_TOU_EV_8_2019.cheapest_usd_per_kwh == 0.077


def test_flat_is_flat():
    day = [dt.datetime(2019, 8, 21, hour) for hour in range(24)]
    assert set(retail_usd_per_kwh(flat(0.2), day)) == {0.2}
