"""Which part a car takes in a round: it buys, sells or keeps out, by its charge and its next trip.

Knows its own battery and plan, and the demand that the hub publishes. Knows no prices.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

LEAST_WH = 100
"""Less is not worth an order."""


class Role(StrEnum):
    """A car's part in a round."""

    BUYER = "buyer"
    SELLER = "seller"
    IDLE = "idle"


class Part(NamedTuple):
    """A role and the most energy that changes hands at the plug."""

    role: Role
    energy_wh: int


def choose_role(
    *, charge_wh: int, capacity_wh: int, trip_wh: int, reserve_wh: int, demand_wh: int | None
) -> Part:
    """What a car does that must leave with its trip and its reserve in the battery.

    Who has less buys what is missing, as far as the battery holds it; who has more sells, but not
    more than the hub's buyers want together; where little is missing or to spare, or the demand
    is not published yet, a car that does not buy is idle.

    Raises:
        ValueError: an energy below zero, or a charge above the capacity.
    """
    energies = {
        "charge_wh": charge_wh,
        "capacity_wh": capacity_wh,
        "trip_wh": trip_wh,
        "reserve_wh": reserve_wh,
        "demand_wh": demand_wh or 0,
    }
    for name, energy_wh in energies.items():
        if energy_wh < 0:
            raise ValueError(f"{name}: must not be below zero, is {energy_wh}")
    if charge_wh > capacity_wh:
        raise ValueError(f"charge_wh: must be at most {capacity_wh}, is {charge_wh}")
    leaves_with_wh = min(trip_wh + reserve_wh, capacity_wh)
    missing_wh = leaves_with_wh - charge_wh
    if missing_wh >= LEAST_WH:
        return Part(Role.BUYER, missing_wh)
    offered_wh = min(-missing_wh, demand_wh or 0)
    if offered_wh >= LEAST_WH:
        return Part(Role.SELLER, offered_wh)
    return Part(Role.IDLE, 0)
