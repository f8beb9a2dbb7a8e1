"""The result of a day at several hubs as its report reads it: a summary, checked once.

Knows the names, types and units of what a run hands over. Knows nothing of how it came about.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import msgspec

from peerwatt.reporting.day_result import (
    Baselines,
    DayResultError,
    Energy,
    Ledger,
    Money,
    Orders,
    Part,
    Rounds,
)


class Point(Part):
    """Degrees."""

    longitude: float
    latitude: float


class Origin(Point):
    """Where a car came from, and how far it had to go."""

    distance_m: int
    nearer_hubs_full: int


class Box(Part):
    """Where cars came from, degrees."""

    west: float
    south: float
    east: float
    north: float


class Hub(Part):
    """A hub on the map."""

    place: Point
    ports: int
    operator: str
    limit_kw: float


class IdleHub(Hub):
    """A hub to which no car came."""

    name: str


class BusyHub(Hub):
    """A hub and its day."""

    cars_from: list[Origin]
    energy_wh: Energy
    money_ucoin: Money
    orders: Orders
    baselines: Baselines


class Total(Part):
    """All hubs together."""

    energy_wh: Energy
    money_ucoin: Money
    rounds: Rounds
    orders: Orders
    baselines: Baselines


class Cars(Part):
    """What became of the day's cars."""

    source: str
    site: str
    days: list[dt.date]
    came: int
    parked: int
    at_the_nearest: int
    turned_away: int
    turned_away_wh: int
    rows_dropped: int
    mean_distance_m: int


class RegionSummary(Part):
    """`summary.json` of a day at several hubs."""

    version: str
    chain_id: str
    date: dt.date
    zone: str
    seed: int
    mechanism: str
    map: str
    note: str
    box: Box
    hubs: dict[str, BusyHub]
    idle: list[IdleHub]
    cars: Cars
    total: Total
    ledger: Ledger
    trades_recorded: int
    histories_checked: int
    """Wallets that asked for their history at the day's end, and found it whole and true."""


def read_region(summary: Mapping[str, Any]) -> RegionSummary:
    """The checked summary; DayResultError for a key that is missing or of another type."""
    try:
        return msgspec.convert(dict(summary), RegionSummary)
    except msgspec.ValidationError as error:
        raise DayResultError(f"summary: {error}") from None
