"""Awards of a cleared round become set-points, minute by minute.

Knows units, awards and the charge point's port. Knows no prices, no batteries and no ledger.

Every port is paced evenly to its award, so the connection carries what was cleared, evenly,
and nothing goes out in one minute only to be fetched back in the next. A car that said it
leaves within the slot is paced to that time; one that has overstayed may be gone any minute
and is hurried; for one that is announced room is kept. Whoever hurries does so at the cost of
those who can wait: the connection's own flow stays in a corridor from which the rest of the
slot can still be served.

Rounding. An award is met when the port's meter shows exactly its Wh more. Set-points are whole
watts, so that whole steps move a meter by multiples of `STEP_S` watt-seconds, as the award is
one. Only a last set-point is rounded up, by less than `STEP_S` watt-seconds; where those would
tip the register into one Wh more, the target is set that much lower. So a meter never shows
more than the award, and shows exactly the award unless power, energy, presence or the
connection fell short; where a connection has not a watt to spare, cars that come or go within
a minute can leave another one Wh short. In slots of 15 minutes an undisturbed set-point is
constant: 4 W a Wh.

When something falls short:
- sellers (a plug is pulled, a battery is empty): the connection makes up for it; if it is full,
  all buyers lose the same share of what they were still due;
- buyers: the sellers' energy goes out over the connection; if that is full, all sellers keep the
  same share of what they still had to give.
Both then show in the meters, and settlement has a rule for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from peerwatt.field.ports import ChargePoint
from peerwatt.records.market import Award, Side
from peerwatt.units import S_PER_H

Ints = npt.NDArray[np.int64]

STEP_S = 60
"""How often set-points are renewed; a set-point lasts no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The time to be dispatched and what the connection may carry in it."""

    start_s: int
    end_s: int
    import_limit_w: int
    export_limit_w: int

    def __post_init__(self) -> None:
        if self.end_s <= self.start_s:
            raise ValueError(f"end_s: {self.end_s} is not after {self.start_s}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an owner is to get (positive) or to give (negative) at a port in a slot."""

    port: str
    owner: bytes
    energy_wh: int
    arrives_s: int | None = None
    """When an owner who is not there yet has announced to come; energy is kept for it till then."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pace:
    """Where the ports that have something to do stand; every field is an array (n,)."""

    buys: npt.NDArray[np.bool_]
    remaining_ws: Ints
    """Still to flow in (buyer) or out (seller)."""
    limit_w: Ints
    """The most that can flow that way now."""
    minimum_w: Ints
    time_left_s: Ints
    """Until the slot ends or, if that is earlier, the car is said to leave; not above zero
    when it should have left already."""
    waits_s: Ints
    """Until the car comes, zero for those that are there; never within the coming step."""


def targets_of(
    awards: Iterable[Award], arrivals: Mapping[bytes, int] | None = None
) -> tuple[Target, ...]:
    """One target per port and owner, by port; what an owner both buys and sells is netted.

    `arrivals` are unix seconds by owner, of those that have announced to come.
    """
    energy_wh: dict[tuple[str, bytes], int] = {}
    for award in awards:
        key = (award.port, award.owner)
        signed_wh = award.energy_wh if award.side is Side.BUY else -award.energy_wh
        energy_wh[key] = energy_wh.get(key, 0) + signed_wh
    return tuple(
        Target(port=port, owner=owner, energy_wh=wh, arrives_s=(arrivals or {}).get(owner))
        for (port, owner), wh in sorted(energy_wh.items())
        if wh
    )


def set_points(
    pace: Pace, *, step_s: int, slot_left_s: int, import_limit_w: int, export_limit_w: int
) -> tuple[Ints, Ints]:
    """Power (n,) in W, positive to charge, and for how many seconds (n,) of the coming step."""
    buys, limit_w = pace.buys, pace.limit_w
    sign = np.where(buys, 1, -1)
    left_ws = _possible_ws(pace, slot_left_s, import_limit_w, export_limit_w)
    usable_s, hurried = _usable_s(pace, left_ws, step_s, slot_left_s)
    on_s = np.clip(step_s - pace.waits_s, 0, usable_s)
    # From here on power is the mean over the step.
    most_w = np.minimum(_ceil(left_ws, step_s), limit_w * on_s // step_s)
    later_ws = limit_w * (usable_s - on_s)
    least_w = np.minimum(_ceil(np.maximum(left_ws - later_ws, 0), step_s), most_w)
    even_w = np.maximum(_ceil(left_ws, usable_s), pace.minimum_w)
    mean_w = np.minimum(np.where(hurried, limit_w, even_w), most_w)

    net_left_ws = int((sign * left_ws).sum())
    low_w, high_w = _corridor(net_left_ws, step_s, slot_left_s, import_limit_w, export_limit_w)
    net_w = int((sign * mean_w).sum())
    if net_w > high_w:
        mean_w = _moved(mean_w, np.where(buys, least_w, most_w), net_w - high_w)
    elif net_w < low_w:
        mean_w = _moved(mean_w, np.where(buys, most_w, least_w), low_w - net_w)

    net_w = int((sign * mean_w).sum())
    if net_w > import_limit_w:
        mean_w = _moved(mean_w, np.where(buys, 0, mean_w), net_w - import_limit_w)
    elif -net_w > export_limit_w:
        mean_w = _moved(mean_w, np.where(buys, mean_w, 0), -net_w - export_limit_w)
    power_w, for_s = _timed(mean_w, step_s, on_s, pace)
    return sign * power_w, for_s


def _usable_s(
    pace: Pace, left_ws: Ints, step_s: int, slot_left_s: int
) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """How long each port has until it should be done, and whether it is hurried.

    Done by the last whole step before its car leaves, or by the very second if it takes that.
    Who should be gone, or cannot be done in time, is hurried for as long as it stays.
    """
    whole_s = (pace.time_left_s - step_s) // STEP_S * STEP_S + step_s
    fits = left_ws <= pace.limit_w * (whole_s - pace.waits_s)
    by_s = np.where(fits, whole_s, pace.time_left_s)
    hurried = (by_s <= 0) | (left_ws > pace.limit_w * (by_s - pace.waits_s))
    usable_s: Ints = np.where(hurried, slot_left_s, by_s) - pace.waits_s
    return usable_s, hurried


def _possible_ws(pace: Pace, slot_left_s: int, import_limit_w: int, export_limit_w: int) -> Ints:
    """What can still come of what remains: what the ports can take and give and, if that does
    not pass the connection, what is left when all buyers (or all sellers) share the lack."""
    due_ws, buys = pace.remaining_ws, pace.buys
    most_ws = pace.limit_w * (slot_left_s - pace.waits_s)
    left_ws: Ints = np.minimum(due_ws, most_ws)
    wanted_ws, offered_ws = int(left_ws[buys].sum()), int(left_ws[~buys].sum())
    if wanted_ws > offered_ws + import_limit_w * slot_left_s:
        room_ws = offered_ws + import_limit_w * slot_left_s
        left_ws[buys] = _alike(due_ws[buys], most_ws[buys], room_ws)
    elif offered_ws > wanted_ws + export_limit_w * slot_left_s:
        room_ws = wanted_ws + export_limit_w * slot_left_s
        left_ws[~buys] = _alike(due_ws[~buys], most_ws[~buys], room_ws)
    return left_ws


def _alike(due_ws: Ints, most_ws: Ints, room_ws: int) -> Ints:
    """The same share of what is due to each, but at most `most_ws`, so that it fills the room;
    the room is less than they could have together."""
    at_most = np.zeros(len(due_ws), np.bool_)
    while True:
        share = (room_ws - int(most_ws[at_most].sum())) / int(due_ws[~at_most].sum())
        shares_ws = np.where(at_most, most_ws, np.floor(due_ws * share).astype(np.int64))
        over = shares_ws > most_ws
        if not over.any():
            return shares_ws
        at_most |= over


def _corridor(
    net_left_ws: int, step_s: int, slot_left_s: int, import_limit_w: int, export_limit_w: int
) -> tuple[int, int]:
    """Between which powers the connection's flow should lie in this step.

    It has the direction that the rest of the slot has and takes no more than that, and what it
    leaves can still pass afterwards. Import is positive; the connection's limits hold.
    """
    import_after_ws = import_limit_w * (slot_left_s - step_s)
    export_after_ws = export_limit_w * (slot_left_s - step_s)
    high_w = min(-(-max(net_left_ws, 0) // step_s), (net_left_ws + export_after_ws) // step_s)
    low_w = max(min(net_left_ws, 0) // step_s, -((import_after_ws - net_left_ws) // step_s))
    high_w = max(-export_limit_w, min(high_w, import_limit_w))
    low_w = max(-export_limit_w, min(low_w, import_limit_w))
    return low_w, high_w


def _moved(flow_w: Ints, bound_w: Ints, by_w: int) -> Ints:
    """The flows moved towards their bounds by so much together, each in proportion to its way."""
    way_w = bound_w - flow_w
    up_to_here = np.cumsum(np.abs(way_w))
    if up_to_here[-1] <= by_w:
        return bound_w
    moves_w = np.diff(up_to_here * by_w // up_to_here[-1], prepend=0)
    moved: Ints = flow_w + np.sign(way_w) * moves_w
    return moved


def _timed(mean_w: Ints, step_s: int, on_s: Ints, pace: Pace) -> tuple[Ints, Ints]:
    """Power and seconds that make a mean power over the step.

    That is the whole time or, where it would be less than the port's minimum, as many seconds
    as the minimum fills; less than one such second is none. Only an award's last energy is
    rounded up; the rest must stay below what it was cut to.
    """
    energy_ws = np.minimum(mean_w * step_s, pace.remaining_ws)
    fills_s = energy_ws // np.maximum(pace.minimum_w, 1)
    for_s = np.where(pace.minimum_w > 0, np.minimum(on_s, fills_s), on_s)
    seconds = np.maximum(for_s, 1)
    up_ws = np.where(energy_ws == pace.remaining_ws, seconds - 1, 0)
    power_w = np.where(for_s > 0, (energy_ws + up_ws) // seconds, 0)
    return np.minimum(power_w, pace.limit_w), for_s


def _ceil(dividend: Ints, divisor: Ints | int) -> Ints:
    quotient: Ints = -(-dividend // divisor)
    return quotient


class Dispatch:
    """Steers the ports of one site through one slot."""

    def __init__(
        self, points: Mapping[str, ChargePoint], targets: Iterable[Target], slot: Slot
    ) -> None:
        """To be made when the slot begins; raises ValueError when a target's port is unknown."""
        self._points = points
        self._targets = tuple(targets)
        self.slot = slot
        for target in self._targets:
            if target.port not in points:
                raise ValueError(f"port: there is no {target.port!r} at this site")
        self._opened_ws = {name: point.meter.live_ws() for name, point in points.items()}
        self._target_ws: list[int | None] = [None] * len(self._targets)

    def steer(self, now_s: int) -> int:
        """Sets every port that has a target until the time that it returns, when it is to be
        called again: after `STEP_S` seconds, or when the next announced car should be there."""
        slot, points = self.slot, self._points
        if not slot.start_s <= now_s < slot.end_s:
            raise ValueError(f"now_s: {now_s} is not in the slot")
        until_s = min(now_s + STEP_S - (now_s - slot.start_s) % STEP_S, slot.end_s)
        present, awaited = [], []
        for i, target in enumerate(self._targets):
            if points[target.port].wallet == target.owner:
                present.append(i)
            elif target.arrives_s is not None and now_s < target.arrives_s < slot.end_s:
                awaited.append(i)
                until_s = min(until_s, target.arrives_s)
        if present:
            power_w, for_s = set_points(
                self._pace(present, awaited, now_s),
                step_s=until_s - now_s,
                slot_left_s=slot.end_s - now_s,
                import_limit_w=slot.import_limit_w,
                export_limit_w=slot.export_limit_w,
            )
            for i, watts, seconds in zip(present, power_w.tolist(), for_s.tolist(), strict=False):
                points[self._targets[i].port].set_power_limit_w(watts, seconds)
        return until_s

    def ports_to_report(self) -> tuple[str, ...]:
        """The ports with a target or a flow in this slot, by name."""
        named = {target.port for target in self._targets}
        return tuple(
            sorted(
                name
                for name, point in self._points.items()
                if name in named or point.meter.live_ws() != self._opened_ws[name]
            )
        )

    def _pace(self, present: list[int], awaited: list[int], now_s: int) -> Pace:
        rows = [self._row(i, now_s) for i in present]
        rows += [self._awaited_row(self._targets[i], now_s) for i in awaited]
        buys, remaining_ws, limit_w, minimum_w, time_left_s, waits_s = zip(*rows, strict=True)
        return Pace(
            buys=np.array(buys, np.bool_),
            remaining_ws=np.array(remaining_ws, np.int64),
            limit_w=np.array(limit_w, np.int64),
            minimum_w=np.array(minimum_w, np.int64),
            time_left_s=np.array(time_left_s, np.int64),
            waits_s=np.array(waits_s, np.int64),
        )

    def _row(self, i: int, now_s: int) -> tuple[bool, int, int, int, int, int]:
        target, slot_end_s = self._targets[i], self.slot.end_s
        point, buys = self._points[target.port], target.energy_wh > 0
        register_ws = point.meter.live_ws()[0 if buys else 1]
        goal_ws = self._target_ws[i]
        if goal_ws is None:
            over_ws = STEP_S if register_ws % S_PER_H > S_PER_H - STEP_S else 0
            goal_ws = register_ws + abs(target.energy_wh) * S_PER_H - over_ws
            self._target_ws[i] = goal_ws
        end_s = min(point.departure_s or slot_end_s, slot_end_s)
        limit_w = point.charge_limit_w if buys else point.discharge_limit_w
        remaining_ws = max(0, goal_ws - register_ws)
        return buys, remaining_ws, limit_w, point.minimum_w, end_s - now_s, 0

    def _awaited_row(self, target: Target, now_s: int) -> tuple[bool, int, int, int, int, int]:
        """A car that is to come is taken to be able to do what it has ordered."""
        arrives_s, end_s = target.arrives_s or now_s, self.slot.end_s
        energy_ws = abs(target.energy_wh) * S_PER_H
        limit_w = -(-energy_ws // (end_s - arrives_s))
        return target.energy_wh > 0, energy_ws, limit_w, 0, end_s - now_s, arrives_s - now_s
