"""Rounding, and the bounds that every signed number has."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerwatt import units

ENERGY = st.integers(0, units.MAX_ENERGY_WH)
PRICE = st.integers(0, units.MAX_PRICE_UCOIN_PER_KWH)


@settings(derandomize=True)
@given(ENERGY, PRICE)
def test_a_buyer_rounds_up_and_a_seller_down(energy_wh: int, price: int) -> None:
    exact = Fraction(energy_wh * price, units.WH_PER_KWH)
    assert units.cost_ceil_ucoin(energy_wh, price) == ceil(exact)
    assert units.cost_floor_ucoin(energy_wh, price) == floor(exact)


@pytest.mark.parametrize(
    ("energy_wh", "price", "up", "down"),
    [(0, 300_000, 0, 0), (1, 1, 1, 0), (1_000, 250_000, 250_000, 250_000), (1, 1_001, 2, 1)],
)
def test_costs(energy_wh: int, price: int, up: int, down: int) -> None:
    assert units.cost_ceil_ucoin(energy_wh, price) == up
    assert units.cost_floor_ucoin(energy_wh, price) == down


@pytest.mark.parametrize(
    ("power_w", "duration_s", "energy_wh"), [(11_000, 900, 2_750), (1, 3_599, 0), (7, 900, 1)]
)
def test_energy_of_a_power_rounds_down(power_w: int, duration_s: int, energy_wh: int) -> None:
    assert units.energy_floor_wh(power_w, duration_s) == energy_wh


def test_the_largest_sums_of_a_round_can_be_written() -> None:
    """100,000 ports of the largest power in the longest slot: more than one order's bound."""
    most = 100_000 * units.energy_floor_wh(units.MAX_POWER_W, 86_400)
    assert units.MAX_ENERGY_WH < most <= units.MAX_COUNT


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        (units.EnergyWh, 0, units.MAX_ENERGY_WH),
        (units.PowerW, 0, units.MAX_POWER_W),
        (units.PriceUcoinPerKwh, 0, units.MAX_PRICE_UCOIN_PER_KWH),
        (units.SlopeUcoinPerKwh2, 0, units.MAX_PRICE_UCOIN_PER_KWH),
        (units.Ucoin, 0, units.MAX_UCOIN),
        (units.TimeS, 0, units.MAX_TIME_S),
        (units.Count, 0, units.MAX_COUNT),
        (units.TotalWh, 0, units.MAX_COUNT),
        (units.SlotS, 60, 86_400),
    ],
)
def test_bounds(kind: Any, low: int, high: int) -> None:
    for value in (low, high):
        assert msgspec.convert(value, kind) == value
    for value in (low - 1, high + 1, True, float(low), str(low)):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(value, kind)


@pytest.mark.parametrize("name", ["a", "7", "garage", "a.b_c-9", "x" * 48])
def test_names(name: str) -> None:
    assert msgspec.convert(name, units.Name) == name


@pytest.mark.parametrize("name", ["", "A", "-a", "a/b", "a b", "a\n", "ä", "x" * 49])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(name, units.Name)
