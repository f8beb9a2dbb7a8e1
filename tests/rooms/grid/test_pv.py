"""The sun over Pasadena against pvlib 0.13 (NREL's algorithm, Haurwitz), written out."""

import datetime as dt

import numpy as np
import pytest

from peerwatt.grid.pv import PASADENA_DEG, PERFORMANCE_RATIO, production_kwh, sin_elevation

LATITUDE, LONGITUDE = PASADENA_DEG
SLOT_S = 900


def slots(day: str) -> np.ndarray:
    return dt.datetime.fromisoformat(f"{day}T00:00:00-08:00").timestamp() + SLOT_S * np.arange(96)


@pytest.mark.parametrize(
    ("day", "elevation_deg", "sun_kwh_per_m2"),
    [
        ("2019-06-21", (39.783, 78.920, 34.391), 8.7465),
        ("2019-08-21", (33.867, 67.698, 28.967), 7.6258),
        ("2019-10-10", (25.396, 48.564, 14.740), 5.3834),
        ("2019-12-21", (11.765, 32.284, 6.167), 3.1585),
        ("2020-05-05", (37.563, 71.949, 30.066), 8.0979),
    ],
)
def test_the_sun_stands_where_pvlib_says(day, elevation_deg, sun_kwh_per_m2):
    start = slots(day)
    at = start[[32, 48, 64]] + SLOT_S / 2  # 8:07:30, 12:07:30 and 16:07:30 standard time
    height = sin_elevation(at, latitude_deg=LATITUDE, longitude_deg=LONGITUDE)
    assert np.rad2deg(np.arcsin(height)) == pytest.approx(elevation_deg, abs=0.02)
    yielded = production_kwh(start, slot_s=SLOT_S, rated_kwp=1).sum()
    assert yielded / PERFORMANCE_RATIO == pytest.approx(sun_kwh_per_m2, rel=1e-3)


def test_nothing_at_night_and_in_proportion_to_the_roof():
    one = production_kwh(slots("2019-08-21"), slot_s=SLOT_S, rated_kwp=1)
    assert one[:20].max() < 1e-12
    assert one.max() * 3600 / SLOT_S < 0.85
    assert production_kwh(slots("2019-08-21"), slot_s=SLOT_S, rated_kwp=40) == pytest.approx(
        40 * one
    )
    assert not production_kwh(slots("2019-08-21"), slot_s=SLOT_S, rated_kwp=0).any()
