"""One day at a hub: real sessions cut into slots, with the assumed sellers among them.

Knows sessions, the day's configuration, tariffs and the sun. Knows no orders, no ledger and
no clearing. Energy that will be ordered is whole Wh; plans and prices are floats.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from peerwatt.simulation.sessions import Session

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Buyers:
    """Cars that want energy, ordered by session id; B cars, T slots."""

    sessions: tuple[Session, ...]
    planned_departure_s: Ints
    """(B,) unix seconds; what the car's agent plans on. It may leave earlier or later."""
    need_wh: Ints
    """(B,) what the car wants over its whole stay."""
    presence: Floats
    """(B, T) the share of each slot in which the car is truly plugged in."""
    battery_kwh: Floats
    """(B,) assumed size; at least what the need takes. For a full battery model only."""
    soc_at_arrival: Floats
    """(B,) assumed state of charge, 0 to 1; at its end the need fills it to 0.85 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sellers:
    """Cars that offer energy and charge nothing, ordered by session id; S cars, T slots."""

    sessions: tuple[Session, ...]
    planned_departure_s: Ints
    """(S,) unix seconds."""
    for_sale_wh: Ints
    """(S,) at the plug, after the battery's own loss; never more than the stay can carry."""
    cost_usd_per_kwh: Floats
    """(S,) refill at home over the round trip's efficiency, and wear: the least it asks."""
    presence: Floats
    """(S, T) the share of each slot in which the car is truly plugged in."""
    battery_kwh: Floats
    """(S,) drawn size."""
    soc_at_arrival: Floats
    """(S,) drawn state of charge, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HubDay:
    """What a day brings, before anyone has decided anything; T slots of `slot_s` seconds."""

    site: str
    date: date
    seed: int
    slot_s: int
    start_s: int
    """Unix seconds of local midnight."""
    slot_start_s: Ints
    """(T,) unix seconds. 112 slots of 15 minutes, 108 or 116 where a clock change falls in."""
    local_hour: Ints
    """(T,) hour of the local clock at the slot's start."""
    retail_usd_per_kwh: Floats
    """(T,) what the grid's energy costs."""
    pv_kwh: Floats
    """(T,) the roof's production."""
    grid_limit_kwh: float
    """What the connection can import in one slot; infinite without a limit."""
    export_limit_kwh: float
    """What it can export in one slot; infinite without a limit."""
    port_kwh: float
    """What a plug can charge in one full slot."""
    discharge_kwh: float
    """What a plug can take from a selling car in one full slot."""
    buyers: Buyers
    sellers: Sellers
    expected_need_kwh: Floats
    """(T, T) [t, k]: need of a mean like day that arrives in slot t or later and is due by
    the end of slot k; zero where there is no history."""
    history_days: tuple[date, ...]
    """The like days behind it, newest first."""
    rows_read: int
    dropped: dict[str, int]
    """Rows not used, by reason; with the cars they add up to `rows_read`."""
