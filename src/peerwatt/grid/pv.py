"""What flat panels yield under a cloudless sky.

Knows the sun's position and the air it shines through. Knows no weather: a real roof yields
less on most days, so a day with PV is a best case.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

PASADENA_DEG = (34.14, -118.15)
"""Latitude and longitude, east positive."""

PERFORMANCE_RATIO = 0.8
"""Of what the panels' rating promises for the light they get, the share that leaves the
inverter: heat, dirt, wiring and conversion."""

J2000_S = 946_728_000
"""Unix seconds of 2000-01-01 12:00 UTC, from which almanacs count days."""


def sin_elevation(time_s: npt.ArrayLike, *, latitude_deg: float, longitude_deg: float) -> Floats:
    """Sine of the sun's height over the horizon; negative at night.

    time_s: unix seconds, any shape. The Astronomical Almanac's short series, as in J. J.
    Michalsky, Solar Energy 40 (3), 1988, doi:10.1016/0038-092X(88)90045-X: good to a hundredth
    of a degree from 1950 to 2050. Refraction is left out.
    """
    days = (np.asarray(time_s, dtype=np.float64) - J2000_S) / 86_400
    anomaly = np.deg2rad(357.528 + 0.9856003 * days)
    longitude = np.deg2rad(
        280.460 + 0.9856474 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly)
    )
    tilt = np.deg2rad(23.439 - 4e-7 * days)
    right_ascension = np.arctan2(np.cos(tilt) * np.sin(longitude), np.cos(longitude))
    sidereal_h = 18.697375 + 24.06570982441908 * days
    hour_angle = np.deg2rad(15 * sidereal_h + longitude_deg) - right_ascension
    sin_declination = np.sin(tilt) * np.sin(longitude)
    cos_declination = np.sqrt(1 - sin_declination**2)
    latitude = np.deg2rad(latitude_deg)
    height = np.sin(latitude) * sin_declination
    height += np.cos(latitude) * cos_declination * np.cos(hour_angle)
    return np.asarray(height, dtype=np.float64)


def clear_sky_w_per_m2(sin_elevation: npt.ArrayLike) -> Floats:
    """Global horizontal irradiance under a clear sky, W/m2, same shape.

    B. Haurwitz, "Insolation in relation to cloudiness and cloud density", Journal of
    Meteorology 2, 1945, with the constants pvlib uses: 1098 z exp(-0.059/z), z the sine of the
    sun's height.
    """
    z = np.maximum(np.asarray(sin_elevation, dtype=np.float64), 1e-6)
    return np.asarray(1098.0 * z * np.exp(-0.059 / z), dtype=np.float64)


def production_kwh(
    start_s: npt.ArrayLike,
    *,
    slot_s: int,
    rated_kwp: float,
    place_deg: tuple[float, float] = PASADENA_DEG,
) -> Floats:
    """(T,) kWh that horizontal panels of `rated_kwp` yield in slots of `slot_s` seconds.

    start_s: (T,) unix seconds. The sun of a slot's middle stands for the slot.
    """
    middle_s = np.asarray(start_s, dtype=np.float64) + slot_s / 2
    height = sin_elevation(middle_s, latitude_deg=place_deg[0], longitude_deg=place_deg[1])
    sun_kw_per_m2 = clear_sky_w_per_m2(height) / 1000
    return rated_kwp * PERFORMANCE_RATIO * sun_kw_per_m2 * slot_s / 3600
