"""A car's battery as the meter at its plug sees it.

Knows numpy alone. Energy is Wh and power W at the meter, state of charge a share of the
usable capacity, time seconds. Every argument is a number or an array, and they broadcast, so
one call steps a whole car park.

Charging takes constant power up to `taper_soc`; from there on the most that the battery takes
falls linearly to nothing when it is full, the shape of acnportal's `Linear2StageBattery`
(which also starts it at 0.8). The taper is integrated exactly, so that two half steps do what
one whole step does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = float | npt.NDArray[np.float64] | npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]

ROUND_TRIP = 0.85
"""From the meter into the battery and back. Schram et al., Empirical Evaluation of V2G
Round-trip Efficiency (SEST 2020, doi:10.1109/SEST48500.2020.9203459) measured 87.0 % at
3 x 16 A, and 79.1 % to 87.8 % over all conditions."""

ONE_WAY = math.sqrt(ROUND_TRIP)

TAPER_SOC = 0.8
"""acnportal's default. A cautious one at 6.6 kW, which is little power for a large battery."""

FLOOR_W = 6 * 208
"""The control pilot of IEC 61851-1 and SAE J1772 cannot offer a car less than 6 A; at the
208 V of the sites of ACN-Data. Less than that on average takes switching on and off."""

_NO_TAPER = 1e-12
_S_PER_H = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Battery:
    """What a battery can do. All fields are numbers or arrays of one shape.

    Raises ValueError naming the field that cannot be.
    """

    capacity_wh: Floats
    """What can be stored between empty and full."""
    charge_limit_w: Floats
    discharge_limit_w: Floats
    minimum_w: Floats = 0.0
    """The least power, either way, at which anything flows at all."""
    reserve_soc: Floats = 0.0
    """Discharging stops here."""
    taper_soc: Floats = 1.0
    """From here to full the charging power falls linearly to zero; 1 for no taper."""
    charge_efficiency: Floats = 1.0
    discharge_efficiency: Floats = 1.0

    def __post_init__(self) -> None:
        for name in ("capacity_wh", "taper_soc", "charge_efficiency", "discharge_efficiency"):
            if not np.all(np.asarray(getattr(self, name)) > 0):
                raise ValueError(f"{name}: must be above zero")
        for name in ("charge_limit_w", "discharge_limit_w", "minimum_w", "reserve_soc"):
            if not np.all(np.asarray(getattr(self, name)) >= 0):
                raise ValueError(f"{name}: must not be below zero")
        for name in ("reserve_soc", "taper_soc", "charge_efficiency", "discharge_efficiency"):
            if not np.all(np.asarray(getattr(self, name)) <= 1):
                raise ValueError(f"{name}: must not be above one")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """What a wished power came to. Energy in at the meter = energy stored + loss."""

    power_w: Floats
    """Mean power at the meter over the step: positive charges, negative discharges."""
    soc: Floats
    """State of charge at the step's end."""
    loss_wh: Floats
    """Heat."""


def ideal_battery(
    *,
    capacity_wh: Floats,
    charge_limit_w: Floats,
    discharge_limit_w: Floats = 0.0,
    reserve_soc: Floats = 0.0,
) -> Battery:
    """No taper, no least power, no charging loss; discharging loses sqrt(round trip), which the
    energy that a car has for sale already counts."""
    return Battery(
        capacity_wh=capacity_wh,
        charge_limit_w=charge_limit_w,
        discharge_limit_w=discharge_limit_w,
        reserve_soc=reserve_soc,
        discharge_efficiency=ONE_WAY,
    )


def full_battery(
    *,
    capacity_wh: Floats,
    charge_limit_w: Floats,
    discharge_limit_w: Floats = 0.0,
    reserve_soc: Floats = 0.0,
) -> Battery:
    """Taper, loss both ways and the 6 A floor."""
    return Battery(
        capacity_wh=capacity_wh,
        charge_limit_w=charge_limit_w,
        discharge_limit_w=discharge_limit_w,
        minimum_w=float(FLOOR_W),
        reserve_soc=reserve_soc,
        taper_soc=TAPER_SOC,
        charge_efficiency=ONE_WAY,
        discharge_efficiency=ONE_WAY,
    )


def charge_limit_w(battery: Battery, soc: Floats) -> Array:
    """The most power that the battery takes at this state of charge."""
    span = np.maximum(1.0 - np.asarray(battery.taper_soc), _NO_TAPER)
    return np.asarray(battery.charge_limit_w * np.clip((1.0 - soc) / span, 0.0, 1.0))


def discharge_limit_w(battery: Battery, soc: Floats) -> Array:
    """The most power that the battery gives at this state of charge."""
    return np.where(soc > np.asarray(battery.reserve_soc), battery.discharge_limit_w, 0.0)


def charge_wh(battery: Battery, soc: Floats, power_w: Floats, duration_s: Floats) -> Array:
    """Energy that flows in at the meter when `power_w` is offered for `duration_s`.

    Up to the state of charge at which the taper falls below the offer, power is constant; after
    it, the room left decays exponentially: d(soc)/dt = k (1 - soc).
    """
    limit = np.asarray(battery.charge_limit_w, float)
    power = np.clip(power_w, 0.0, limit)
    power = np.where(power < battery.minimum_w, 0.0, power)
    hours = np.asarray(duration_s) / _S_PER_H
    capacity, gain = np.asarray(battery.capacity_wh), np.asarray(battery.charge_efficiency)
    span = np.maximum(1.0 - np.asarray(battery.taper_soc), _NO_TAPER)
    rate = np.maximum(power * gain / capacity, 1e-300)
    bend_soc = 1.0 - span * power / np.maximum(limit, 1e-300)
    flat_h = np.clip((bend_soc - soc) / rate, 0.0, hours)
    room = 1.0 - (soc + flat_h * power * gain / capacity)
    decay = limit * gain / (capacity * span)
    tail_wh = capacity * room * -np.expm1(-decay * (hours - flat_h)) / gain
    tail_wh = np.where(power > 0, np.maximum(tail_wh, 0.0), 0.0)
    return np.asarray(np.minimum(flat_h * power + tail_wh, power * hours))


def discharge_wh(battery: Battery, soc: Floats, power_w: Floats, duration_s: Floats) -> Array:
    """Energy that flows out at the meter when `power_w` is asked for `duration_s`."""
    power = np.clip(power_w, 0.0, battery.discharge_limit_w)
    power = np.where(power < battery.minimum_w, 0.0, power)
    above = np.maximum(soc - np.asarray(battery.reserve_soc), 0.0) * battery.capacity_wh
    return np.asarray(
        np.minimum(power * duration_s / _S_PER_H, above * battery.discharge_efficiency)
    )


def soc_after(battery: Battery, soc: Floats, charged_wh: Floats, discharged_wh: Floats) -> Array:
    """State of charge once these energies have passed the meter."""
    stored_wh = charged_wh * np.asarray(battery.charge_efficiency)
    drawn_wh = discharged_wh / np.asarray(battery.discharge_efficiency)
    return np.asarray(soc + (stored_wh - drawn_wh) / battery.capacity_wh)


def step(battery: Battery, soc: Floats, power_w: Floats, duration_s: float) -> Step:
    """What a wished power (positive charges, negative discharges) comes to in `duration_s`."""
    if duration_s <= 0:
        raise ValueError("duration_s: must be above zero")
    charged_wh = charge_wh(battery, soc, power_w, duration_s)
    discharged_wh = discharge_wh(battery, soc, -np.asarray(power_w), duration_s)
    after = soc_after(battery, soc, charged_wh, discharged_wh)
    meter_wh = charged_wh - discharged_wh
    return Step(
        power_w=meter_wh * _S_PER_H / duration_s,
        soc=after,
        loss_wh=meter_wh - (after - soc) * battery.capacity_wh,
    )
