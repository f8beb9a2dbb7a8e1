"""Series over a day and over its cars, as plots and pages show them.

Knows a day's result and the local clock. Knows nothing of how a series is drawn.
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections import Counter
from typing import NamedTuple
from zoneinfo import ZoneInfo

from peerwatt.reporting.day_result import DayResult
from peerwatt.units import UCOIN_PER_COIN

LONE_SLOT_S = 900
_STARTED = re.compile(r"_\d{4}-\d\d-\d\d .*$")


class EnergySeries(NamedTuple):
    """Energy in Wh by round; what was sold to the grid came from these sources too."""

    start_s: list[int]
    slot_s: int
    """Width of a round: the least distance between two."""
    cars_wh: list[int]
    pv_wh: list[int]
    grid_wh: list[int]
    """Imported, the site's loss included."""
    exported_wh: list[int]
    """Sold to the grid, less the site's loss."""
    unmet_wh: dict[int, int]
    """What cars left without, by the start of the slot in which they left."""

    @property
    def span_s(self) -> tuple[int, int]:
        """From the first start to the last end, of rounds and of slots in which cars left."""
        starts = [*self.start_s, *self.unmet_wh]
        return min(starts), max(starts) + self.slot_s


class CarSaving(NamedTuple):
    """What a car's day cost in ucoin, all counted, under plug-and-charge and in the market."""

    name: str
    role: str
    plug_ucoin: int
    market_ucoin: int

    @property
    def saved_ucoin(self) -> int:
        return self.plug_ucoin - self.market_ucoin


def energy_series(result: DayResult) -> EnergySeries:
    """Energy by source over the day. A round that was void has none."""
    rounds = result.rounds.fill_null(0)
    start_s = rounds["slot_start_s"].to_list()
    all_starts_s = result.tables["rounds"]["slot_start_s"].to_list()
    slot_s = min((b - a for a, b in itertools.pairwise(all_starts_s)), default=LONE_SLOT_S)
    flows = rounds.select("import_wh", "export_wh", "site_loss_wh").rows()
    unmet_wh: Counter[int] = Counter()
    if start_s:
        for departure_s, wh in result.tables["cars"].select("departure_s", "unmet_wh").iter_rows():
            unmet_wh[departure_s - (departure_s - start_s[0]) % slot_s] += wh
    return EnergySeries(
        start_s=start_s,
        slot_s=slot_s,
        cars_wh=(rounds["sold_wh"] - rounds["pv_wh"]).to_list(),
        pv_wh=rounds["pv_wh"].to_list(),
        grid_wh=[max(i + loss, 0) if not e else 0 for i, e, loss in flows],
        exported_wh=[max(e - loss, 0) if e else 0 for _, e, loss in flows],
        unmet_wh={at: wh for at, wh in sorted(unmet_wh.items()) if wh},
    )


def savings(result: DayResult) -> list[CarSaving]:
    """Every car, and the roof, with the largest saving first."""
    cars = result.tables["cars"].select(
        "session_id", "role", "plug_cost_ucoin", "market_cost_ucoin"
    )
    each = [CarSaving(*row) for row in cars.iter_rows()]
    return sorted(each, key=lambda saving: (-saving.saved_ucoin, saving.name))


def short_name(session_id: str) -> str:
    """A session's id without the moment at which it started, which its row shows anyway."""
    return "rooftop PV" if session_id == "pv" else _STARTED.sub("", session_id)


def clock(at_s: int, zone: ZoneInfo, midnight: dt.date, *, named: bool = False) -> str:
    """The local time, with `+1` on the day after; `named` adds the zone's current name."""
    local = dt.datetime.fromtimestamp(at_s, zone)
    days = (local.date() - midnight).days
    zone_name = f" {local:%Z}" if named else ""
    return f"{local:%H:%M}{zone_name}{f' {days:+d}' if days else ''}"


def clock_changes(start_s: int, end_s: int, zone: ZoneInfo) -> bool:
    """Whether the clock is put forward or back in between, so that times need their zone."""
    ends = [dt.datetime.fromtimestamp(at, zone).utcoffset() for at in (start_s, end_s)]
    return ends[0] != ends[1]


def hour_ticks(start_s: int, end_s: int, zone: ZoneInfo, every_h: int) -> list[tuple[int, str]]:
    """Unix seconds and label of each local hour in the span that `every_h` divides."""
    first = start_s - start_s % LONE_SLOT_S
    ticks = []
    for at in range(first, end_s + 1, LONE_SLOT_S):
        local = dt.datetime.fromtimestamp(at, zone)
        if at >= start_s and local.minute == 0 and local.hour % every_h == 0:
            ticks.append((at, f"{local:%H:%M}"))
    return ticks


def usd(ucoin: int) -> float:
    """A coin is a dollar in the hub day."""
    return ucoin / UCOIN_PER_COIN


def lost_load_usd_per_kwh(result: DayResult) -> float:
    """What a kWh counts that a car needs and does not get; the day's dearest."""
    return usd(max(result.tables["rounds"]["lost_load_ucoin_per_kwh"].to_list(), default=0))
