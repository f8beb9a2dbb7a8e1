"""Who buys and who sells: what the sessions say of each car, and what is assumed about it.

Knows sessions and the day's assumptions. Knows no prices, no market and no ledger. Every draw
is a car's own: it depends on the seed and the session's id alone, so that cars keep theirs
whoever else is there. Energy that will be ordered is whole Wh; the rest are floats.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.sessions import Session
from peerwatt.units import S_PER_H, WH_PER_KWH

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
    """(B,) assumed state of charge, 0 to 1; the need fills it to the drawn full state."""


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


class Draw(NamedTuple):
    """What is assumed about one car."""

    sells: bool
    battery_kwh: float
    soc_when_full: float
    cost_usd_per_kwh: float


def draw(session: Session, config: DayConfig) -> Draw:
    """Five uniforms from the car's own stream: sell, battery, full, refill, wear."""
    assumed = config.sellers
    digest = hashlib.sha256(f"{assumed.seed}:{session.session_id}".encode()).hexdigest()
    u = np.random.default_rng(int(digest[:16], 16)).random(5).tolist()
    eligible = (
        session.delivered_wh <= assumed.eligible.max_kwh * WH_PER_KWH
        and session.stay_s >= assumed.eligible.min_stay_h * S_PER_H
    )
    refill_usd_per_kwh = _between(assumed.refill_price, u[3]) / assumed.round_trip
    return Draw(
        sells=eligible and u[0] < assumed.share,
        battery_kwh=_size(assumed.battery_kwh, u[1]),
        soc_when_full=_between(assumed.soc_when_full, u[2]),
        cost_usd_per_kwh=refill_usd_per_kwh + _between(assumed.wear, u[4]),
    )


def need_wh(session: Session, config: DayConfig) -> int:
    """What a car wants, at most what its plug can carry in its stay.

    `delivered` is what the car took in truth, over its true stay. `requested` is what its
    driver asked for, over the stated stay, and at most the largest battery assumed.
    """
    port_w = config.port_kw * 1000
    if config.need == "delivered":
        return min(session.delivered_wh, int(port_w * session.stay_s / S_PER_H))
    stated_s = session.stated_departure_s - session.arrival_s
    largest_wh = max(config.sellers.battery_kwh) * WH_PER_KWH
    return int(min(session.requested_wh, port_w * stated_s / S_PER_H, largest_wh))


def planned_departure_s(session: Session, config: DayConfig) -> int:
    """When the car's agent counts on leaving: a share of the stated stay, or the truth."""
    if config.planning.departure == "actual":
        return session.departure_s
    stated_s = session.stated_departure_s - session.arrival_s
    return session.arrival_s + int(config.planning.stay_factor * stated_s)


def presence(sessions: Sequence[Session], slot_start_s: Ints, slot_s: int) -> Floats:
    """(n, T) the share of each slot between a car's arrival and its departure."""
    arrival = np.array([s.arrival_s for s in sessions], dtype=np.int64)[:, None]
    departure = np.array([s.departure_s for s in sessions], dtype=np.int64)[:, None]
    begin = np.maximum(arrival, slot_start_s)
    end = np.minimum(departure, slot_start_s + slot_s)
    return np.asarray(np.maximum(end - begin, 0) / slot_s, dtype=np.float64)


def split(
    sessions: Sequence[Session], config: DayConfig, slot_start_s: Ints, slot_s: int
) -> tuple[Buyers, Sellers]:
    """The buyers and the sellers among a day's sessions, each by session id."""
    drawn = {s: draw(s, config) for s in sorted(sessions, key=lambda s: s.session_id)}
    end_s = int(slot_start_s[-1]) + slot_s
    buying = tuple(s for s, of in drawn.items() if not of.sells)
    selling = tuple(s for s, of in drawn.items() if of.sells)
    return (
        _buyers(buying, drawn, config, presence(buying, slot_start_s, slot_s), end_s),
        _sellers(selling, drawn, config, presence(selling, slot_start_s, slot_s), slot_s, end_s),
    )


def _buyers(
    sessions: tuple[Session, ...],
    drawn: dict[Session, Draw],
    config: DayConfig,
    present: Floats,
    end_s: int,
) -> Buyers:
    need = np.array([need_wh(s, config) for s in sessions], dtype=np.int64)
    full = _floats(drawn[s].soc_when_full for s in sessions)
    size = _floats(drawn[s].battery_kwh for s in sessions)
    battery = np.maximum(size, need / WH_PER_KWH / full)
    return Buyers(
        sessions=sessions,
        planned_departure_s=_planned(sessions, config, end_s),
        need_wh=need,
        presence=present,
        battery_kwh=battery,
        soc_at_arrival=np.maximum(full - need / WH_PER_KWH / battery, 0),
    )


def _sellers(
    sessions: tuple[Session, ...],
    drawn: dict[Session, Draw],
    config: DayConfig,
    present: Floats,
    slot_s: int,
    end_s: int,
) -> Sellers:
    assumed = config.sellers
    delivered = _floats(s.delivered_wh / WH_PER_KWH for s in sessions)
    battery = _floats(drawn[s].battery_kwh for s in sessions)
    soc = _floats(drawn[s].soc_when_full for s in sessions) - delivered / battery
    spare_kwh = np.maximum(soc - assumed.reserve_soc, 0) * battery * np.sqrt(assumed.round_trip)
    carried_kwh = assumed.power_kw * present.sum(axis=1) * slot_s / S_PER_H
    return Sellers(
        sessions=sessions,
        planned_departure_s=_planned(sessions, config, end_s),
        for_sale_wh=(np.minimum(spare_kwh, carried_kwh) * WH_PER_KWH).astype(np.int64),
        cost_usd_per_kwh=_floats(drawn[s].cost_usd_per_kwh for s in sessions),
        presence=present,
        battery_kwh=battery,
        soc_at_arrival=np.maximum(soc, 0),
    )


def _planned(sessions: Sequence[Session], config: DayConfig, end_s: int) -> Ints:
    return np.array([min(planned_departure_s(s, config), end_s) for s in sessions], dtype=np.int64)


def _floats(values: Iterable[float]) -> Floats:
    return np.fromiter(values, dtype=np.float64)


def _between(band: tuple[float, float], u: float) -> float:
    return band[0] + (band[1] - band[0]) * u


def _size(shares: dict[float, float], u: float) -> float:
    """The battery size at quantile `u`, sizes ascending."""
    sizes = sorted(shares)
    reached = 0.0
    for size in sizes:
        reached += shares[size]
        if u < reached:
            return size
    return sizes[-1]
