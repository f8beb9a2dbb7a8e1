"""The battery as its meter sees it: energy is conserved, limits hold, the taper is exact."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerwatt.grid.batteries import (
    FLOOR_W,
    ONE_WAY,
    Battery,
    charge_limit_w,
    charge_wh,
    discharge_limit_w,
    discharge_wh,
    full_battery,
    ideal_battery,
    step,
)

shares = st.floats(0.01, 1.0)
any_battery = st.builds(
    Battery,
    capacity_wh=st.floats(5_000, 100_000),
    charge_limit_w=st.floats(0, 22_000),
    discharge_limit_w=st.floats(0, 22_000),
    minimum_w=st.sampled_from([0.0, 1248.0]),
    reserve_soc=st.floats(0.0, 1.0),
    taper_soc=shares,
    charge_efficiency=shares,
    discharge_efficiency=shares,
)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(any_battery, st.floats(0, 1), st.floats(-25_000, 25_000), st.floats(1, 7_200))
def test_energy_is_conserved_and_no_limit_passed(
    battery: Battery, soc: float, power_w: float, duration_s: float
) -> None:
    done = step(battery, soc, power_w, duration_s)
    got_w, after, loss_wh = float(done.power_w), float(done.soc), float(done.loss_wh)
    energy_wh = got_w * duration_s / 3600
    stored_wh = (after - soc) * float(battery.capacity_wh)
    assert energy_wh == pytest.approx(stored_wh + loss_wh, abs=1e-6)
    assert loss_wh >= -1e-6
    assert -float(battery.discharge_limit_w) - 1e-6 <= got_w <= float(battery.charge_limit_w) + 1e-6
    assert abs(got_w) <= abs(power_w) + 1e-6
    assert after <= 1 + 1e-9
    if power_w >= 0:
        assert after >= soc
        assert loss_wh == pytest.approx(
            energy_wh * (1 - float(battery.charge_efficiency)), abs=1e-6
        )
    else:
        assert min(soc, float(battery.reserve_soc)) - 1e-9 <= after <= soc


@settings(max_examples=100, derandomize=True, deadline=None)
@given(any_battery, st.floats(0, 1), st.floats(-25_000, 25_000), st.floats(2, 3_600))
def test_two_half_steps_do_what_one_whole_step_does(
    battery: Battery, soc: float, power_w: float, duration_s: float
) -> None:
    whole = step(battery, soc, power_w, duration_s)
    half = step(battery, soc, power_w, duration_s / 2)
    both = step(battery, half.soc, power_w, duration_s / 2)
    assert both.soc == pytest.approx(whole.soc, abs=1e-9)
    assert half.loss_wh + both.loss_wh == pytest.approx(whole.loss_wh, abs=1e-5)


def test_taper_by_hand() -> None:
    """Half way from 0.8 to full it takes half its power; the room left decays by e in
    capacity x 0.2 / limit."""
    battery = Battery(capacity_wh=33_000, charge_limit_w=6_600, discharge_limit_w=0, taper_soc=0.8)
    assert charge_limit_w(battery, 0.9) == pytest.approx(3_300)
    hour = step(battery, 0.8, 6_600, 3_600)
    assert hour.soc == pytest.approx(1 - 0.2 / math.e)
    early = step(battery, 0.7, 6_600, 1_800)
    assert early.power_w == pytest.approx(6_600)
    assert early.soc == pytest.approx(0.8)
    # A lower offer bends later: 3,300 W are taken in full until 0.9.
    assert step(battery, 0.8, 3_300, 3_600).soc == pytest.approx(0.9)


def test_ideal_charges_at_full_power_until_full_and_loses_nothing() -> None:
    battery = ideal_battery(capacity_wh=40_000, charge_limit_w=6_600)
    assert charge_wh(battery, 0.9, 6_600, 900) == pytest.approx(1_650)
    last = step(battery, 0.99, 6_600, 900)
    assert last.soc == pytest.approx(1)
    assert last.power_w == pytest.approx(1_600)
    assert last.loss_wh == pytest.approx(0, abs=1e-6)
    assert charge_limit_w(battery, 1.0) == 0


def test_a_seller_has_what_the_hub_day_says_for_sale() -> None:
    """(soc - reserve) x capacity x sqrt(0.85) at the meter, in the ideal and the full model."""
    for make in (ideal_battery, full_battery):
        battery = make(
            capacity_wh=60_000.0,
            charge_limit_w=6_600.0,
            discharge_limit_w=6_600.0,
            reserve_soc=0.4,
        )
        for_sale_wh = (0.9 - 0.4) * 60_000 * math.sqrt(0.85)
        assert discharge_wh(battery, 0.9, 6_600, 10 * 3_600) == pytest.approx(for_sale_wh)
        assert discharge_limit_w(battery, 0.9) == 6_600
        assert discharge_limit_w(battery, 0.4) == 0


def test_full_loses_the_round_trip_and_needs_six_ampere() -> None:
    battery = full_battery(capacity_wh=60_000.0, charge_limit_w=6_600.0, discharge_limit_w=6_600.0)
    inward = step(battery, 0.5, 6_000, 3_600)
    outward = step(battery, inward.soc, -6_000, 3_600)
    assert inward.soc - 0.5 == pytest.approx(6_000 * ONE_WAY / 60_000)
    assert inward.loss_wh + outward.loss_wh == pytest.approx(
        6_000 * (1 - ONE_WAY) + 6_000 * (1 / ONE_WAY - 1)
    )
    assert FLOOR_W == 1_248
    assert step(battery, 0.5, 1_247, 60).power_w == 0
    assert step(battery, 0.5, 1_248, 60).power_w == pytest.approx(1_248)
    assert step(battery, 0.5, -1_247, 60).power_w == 0


def test_arrays_do_what_numbers_do() -> None:
    capacity_wh, soc = np.array([40_000.0, 60_000.0, 75_000.0]), np.array([0.5, 0.79, 0.97])
    fleet = full_battery(capacity_wh=capacity_wh, charge_limit_w=6_600.0, discharge_limit_w=6_600.0)
    power_w = np.array([6_600.0, 5_000.0, -2_000.0])
    together = step(fleet, soc, power_w, 900)
    for i in range(3):
        alone = full_battery(
            capacity_wh=capacity_wh[i], charge_limit_w=6_600.0, discharge_limit_w=6_600.0
        )
        assert np.asarray(together.soc)[i] == step(alone, soc[i], power_w[i], 900).soc


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("capacity_wh", 0.0),
        ("taper_soc", 1.1),
        ("charge_efficiency", 0.0),
        ("discharge_efficiency", 1.01),
        ("charge_limit_w", -1.0),
        ("minimum_w", math.nan),
        ("reserve_soc", 2.0),
    ],
)
def test_what_cannot_be_is_refused_by_name(field: str, value: float) -> None:
    good = {"capacity_wh": 1.0, "charge_limit_w": 1.0, "discharge_limit_w": 1.0}
    with pytest.raises(ValueError, match=f"^{field}: "):
        Battery(**(good | {field: value}))


def test_no_time_no_step() -> None:
    battery = ideal_battery(capacity_wh=1.0, charge_limit_w=1.0)
    with pytest.raises(ValueError, match="duration_s"):
        step(battery, 0.5, 1.0, 0)
