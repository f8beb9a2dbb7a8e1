"""Which part a car takes follows from its charge, its trip and what the hub wants."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerwatt.agents.roles import LEAST_WH, Part, Role, choose_role

CAR: dict[str, Any] = {"charge_wh": 20_000, "capacity_wh": 40_000, "reserve_wh": 4_000}


@pytest.mark.parametrize(
    ("trip_wh", "demand_wh", "part"),
    [
        (30_000, 0, Part(Role.BUYER, 14_000)),
        (30_000, None, Part(Role.BUYER, 14_000)),
        (90_000, 0, Part(Role.BUYER, 20_000)),
        (6_000, 50_000, Part(Role.SELLER, 10_000)),
        (6_000, 7_000, Part(Role.SELLER, 7_000)),
        (6_000, 0, Part(Role.IDLE, 0)),
        (6_000, None, Part(Role.IDLE, 0)),
        (16_000, 50_000, Part(Role.IDLE, 0)),
        (16_000 + LEAST_WH, 0, Part(Role.BUYER, LEAST_WH)),
        (16_000 - LEAST_WH + 1, 50_000, Part(Role.IDLE, 0)),
    ],
)
def test_a_part_by_hand(trip_wh: int, demand_wh: int | None, part: Part) -> None:
    assert choose_role(trip_wh=trip_wh, demand_wh=demand_wh, **CAR) == part


@given(*[st.integers(0, 100_000)] * 5)
def test_nobody_buys_more_than_fits_or_sells_what_it_needs(
    charge_wh: int, room_wh: int, trip_wh: int, reserve_wh: int, demand_wh: int
) -> None:
    part = choose_role(
        charge_wh=charge_wh,
        capacity_wh=charge_wh + room_wh,
        trip_wh=trip_wh,
        reserve_wh=reserve_wh,
        demand_wh=demand_wh,
    )
    if part.role is Role.BUYER:
        assert charge_wh + part.energy_wh <= min(charge_wh + room_wh, trip_wh + reserve_wh)
    if part.role is Role.SELLER:
        assert part.energy_wh <= demand_wh
        assert charge_wh - part.energy_wh >= trip_wh + reserve_wh
    assert (part.energy_wh == 0) is (part.role is Role.IDLE)


@pytest.mark.parametrize("name", ["charge_wh", "capacity_wh", "trip_wh", "reserve_wh", "demand_wh"])
def test_what_means_nothing_is_refused_by_name(name: str) -> None:
    plan = {**CAR, "trip_wh": 1_000, "demand_wh": 0, name: -1}
    with pytest.raises(ValueError, match=f"^{name}: must not be below zero, is -1$"):
        choose_role(**plan)
    with pytest.raises(ValueError, match=r"^charge_wh: must be at most 40000, is 40001$"):
        choose_role(**{**CAR, "charge_wh": 40_001, "trip_wh": 0, "demand_wh": 0})
