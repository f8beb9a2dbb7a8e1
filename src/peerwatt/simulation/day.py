"""One day at a hub: real sessions cut into slots, with the assumed sellers among them.

Knows sessions, the day's configuration, tariffs and the sun. Knows no orders, no ledger and
no clearing. Slots are counted in elapsed time from local midnight and priced by the local
clock: where the clock changes, a slot repeats an hour or skips one.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from peerwatt.grid.pv import production_kwh
from peerwatt.grid.tariffs import retail_usd_per_kwh
from peerwatt.mechanisms.scheduling import DayProblem
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.fleet import (
    Buyers,
    Floats,
    Ints,
    Sellers,
    draw,
    need_wh,
    planned_departure_s,
    split,
)
from peerwatt.simulation.sessions import ZONE, Session, SessionsError, by_date, drop_reasons
from peerwatt.units import S_PER_H, WH_PER_KWH


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HubDay:
    """What a day brings, before anyone has decided anything; T slots of `slot_s` seconds."""

    site: str
    date: dt.date
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
    feed_in_usd_per_kwh: float
    lost_load_usd_per_kwh: float
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
    history_days: tuple[dt.date, ...]
    """The like days behind it, newest first."""
    rows_read: int
    dropped: Mapping[str, int]
    """Rows not used, by reason; with the cars they add up to `rows_read`."""
    oracle_rows: int
    """Cars of the day whose stated departure is a copy of the true one."""

    def problem(self) -> DayProblem:
        """The day as the planner sees it who knows all of it, lossless wires and batteries."""
        return DayProblem(
            need_kwh=self.buyers.need_wh / WH_PER_KWH,
            charge_limit_kwh=self.port_kwh * self.buyers.presence,
            sale_kwh=self.sellers.for_sale_wh / WH_PER_KWH,
            discharge_limit_kwh=self.discharge_kwh * self.sellers.presence,
            sale_cost_usd_per_kwh=self.sellers.cost_usd_per_kwh,
            retail_usd_per_kwh=self.retail_usd_per_kwh,
            pv_kwh=self.pv_kwh,
            feed_in_usd_per_kwh=self.feed_in_usd_per_kwh,
            lost_load_usd_per_kwh=self.lost_load_usd_per_kwh,
            grid_limit_kwh=self.grid_limit_kwh,
            export_limit_kwh=self.export_limit_kwh,
        )


def hub_day(config: DayConfig, sessions: Sequence[Session]) -> HubDay:
    """The day of `config` from all of a site's sessions, ordered as `load_sessions` does.

    Raises SessionsError for a date on which no usable car arrives.
    """
    reasons = drop_reasons(sessions)
    days = by_date(sessions)
    arriving = days.get(config.date, [])
    kept = [s for s in arriving if s.session_id not in reasons]
    if not kept:
        raise SessionsError(_no_sessions(config, arriving, reasons, days))
    dropped = Counter(reasons[s.session_id] for s in arriving if s.session_id in reasons)
    dropped["another date"] = len(sessions) - len(arriving)

    slot_s = config.round_min * 60
    slot_start_s = slot_starts(config.date, config.horizon_h, slot_s)
    local = [dt.datetime.fromtimestamp(int(s), ZONE) for s in slot_start_s]
    slot_h = slot_s / S_PER_H
    buyers, sellers = split(kept, config, slot_start_s, slot_s)
    history = like_days(config.date, days, config.rule.arrivals_history_days)
    past = {day: [s for s in days[day] if s.session_id not in reasons] for day in history}
    return HubDay(
        site=config.site,
        date=config.date,
        seed=config.sellers.seed,
        slot_s=slot_s,
        start_s=int(slot_start_s[0]),
        slot_start_s=slot_start_s,
        local_hour=np.array([time.hour for time in local], dtype=np.int64),
        retail_usd_per_kwh=retail_usd_per_kwh(config.retail, local),
        feed_in_usd_per_kwh=config.feed_in,
        lost_load_usd_per_kwh=config.lost_load,
        pv_kwh=production_kwh(slot_start_s, slot_s=slot_s, rated_kwp=config.pv_kwp),
        grid_limit_kwh=_per_slot(config.limit_kw, slot_h),
        export_limit_kwh=_per_slot(config.export_limit_kw, slot_h),
        port_kwh=config.port_kw * slot_h,
        discharge_kwh=config.sellers.power_kw * slot_h,
        buyers=buyers,
        sellers=sellers,
        expected_need_kwh=expected_need_kwh(past, config, slots=len(slot_start_s), slot_s=slot_s),
        history_days=history,
        rows_read=len(sessions),
        dropped=dict(sorted(dropped.items())),
        oracle_rows=sum(s.oracle for s in kept),
    )


def slot_starts(date: dt.date, horizon_h: int, slot_s: int) -> Ints:
    """(T,) unix seconds of the slots from local midnight to the horizon on the local clock.

    28 hours are 112 quarter hours; the horizon stays at 4 in the morning when the clock
    changes in between, and the count becomes 108 or 116.
    """
    start_s = _midnight_s(date)
    end = dt.datetime.combine(date, dt.time()) + dt.timedelta(hours=horizon_h)
    end_s = int(end.replace(tzinfo=ZONE).timestamp())
    return np.arange(start_s, end_s, slot_s, dtype=np.int64)


def like_days(date: dt.date, known: Iterable[dt.date], most: int) -> tuple[dt.date, ...]:
    """The newest `most` earlier days of the same kind that have sessions, newest first.

    The kinds are Monday to Thursday, Friday (when one of the sites works every other week
    only) and the weekend.
    """
    like = [day for day in known if day < date and _kind(day) == _kind(date)]
    return tuple(sorted(like, reverse=True)[:most])


def expected_need_kwh(
    past: Mapping[dt.date, Sequence[Session]], config: DayConfig, *, slots: int, slot_s: int
) -> Floats:
    """(T, T) [t, k]: mean need a day that arrives in slot t or later, due by the end of slot k.

    Past cars are read as today's are: the same draw leaves the sellers out, and a need is due
    when the car's agent would have planned on leaving.
    """
    need = np.zeros((slots, slots))
    for day, sessions in past.items():
        midnight_s = _midnight_s(day)
        for session in sessions:
            if draw(session, config).sells:
                continue
            arrival_s = session.arrival_s - midnight_s
            due_s = max(planned_departure_s(session, config) - midnight_s, arrival_s + 1)
            arrival, due = arrival_s // slot_s, -(-due_s // slot_s) - 1
            last = slots - 1
            need[min(arrival, last), min(due, last)] += need_wh(session, config) / WH_PER_KWH
    from_slot_on = np.cumsum(need[::-1], axis=0)[::-1]
    return np.asarray(np.cumsum(from_slot_on, axis=1) / max(len(past), 1), dtype=np.float64)


def _no_sessions(
    config: DayConfig,
    arriving: Sequence[Session],
    reasons: Mapping[str, str],
    days: Iterable[dt.date],
) -> str:
    what = f"no sessions at {config.site} on {config.date}"
    if arriving:
        count = Counter(reasons[s.session_id] for s in arriving)
        why = ", ".join(f"{reason}: {n}" for reason, n in sorted(count.items()))
        return f"{what}: all {len(arriving)} dropped ({why})"
    known = sorted(days)
    if not known:
        return f"{what}: the files hold none at all"
    before = [f"{day}" for day in known if day < config.date][-1:]
    after = [f"{day}" for day in known if day > config.date][:1]
    return (
        f"{what}; there are some on {len(known)} dates from {known[0]} to {known[-1]}, "
        f"the nearest {' and '.join(before + after)}"
    )


def _midnight_s(date: dt.date) -> int:
    return int(dt.datetime.combine(date, dt.time(), ZONE).timestamp())


def _kind(date: dt.date) -> int:
    """0 for Monday to Thursday, 1 for Friday, 2 for the weekend."""
    return max(min(date.weekday(), 5) - 3, 0)


def _per_slot(power_kw: float | None, slot_h: float) -> float:
    return np.inf if power_kw is None else power_kw * slot_h
