"""A simulated site: cars and roofs behind charge points, stepped through time.

Knows units, batteries, meters. Knows no awards, no prices, no ledger and no gateway; nothing
in here is random. Energy passes in whole watt-seconds per step. Within a step a car is there
until the second in which it unplugs; one that plugs in gets its first power in the next step.
What a battery cannot take or give does not flow, and so is missing in its meter.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from peerwatt.field.meters import Ints, Registers, SimulatedMeter
from peerwatt.grid import batteries
from peerwatt.grid.batteries import Battery
from peerwatt.records.signing import SigningKey
from peerwatt.units import PPM, S_PER_H, UNLIMITED_W

LOOK_AHEAD_S = 60
_NOTHING = Battery(capacity_wh=1.0, charge_limit_w=0.0, discharge_limit_w=0.0)
_SPECK_WS = 1e-3
"""What floats may have lost of a battery's last watt-second."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plug:
    """A bidirectional charge point and the key of its meter."""

    name: str
    key: SigningKey
    charge_limit_w: int
    discharge_limit_w: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Generator:
    """A roof that can be curtailed: `power_w` in steps of `step_s` from `start_s` on, else zero.

    It produces only when asked to, and never more than this."""

    name: str
    key: SigningKey
    wallet: bytes
    start_s: int
    step_s: int
    power_w: tuple[int, ...]

    def power_at(self, time_s: int) -> int:
        """What the sun allows then, in W."""
        step = (time_s - self.start_s) // self.step_s
        return self.power_w[step] if 0 <= step < len(self.power_w) else 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Car:
    """A battery that comes with a state of charge, a wallet and, if it said so, a time to leave."""

    wallet: bytes
    battery: Battery
    soc: float
    departure_s: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Event:
    """A car comes to a port, or (None) the one that is there leaves."""

    at_s: int
    place: int
    car: Car | None


_AT_S = attrgetter("at_s")


class SimulatedHub:
    """All ports of one site, their cars, their meters and the main meter."""

    def __init__(
        self,
        *,
        ports: Sequence[Plug | Generator],
        main_key: SigningKey,
        chain_id: str,
        start_s: int,
        wiring_loss_ppm: int = 0,
    ) -> None:
        """Raises ValueError when two ports share a name or the loss is no share."""
        names = [port.name for port in ports]
        if len(set(names)) < len(names):
            raise ValueError("ports: two have one name")
        if not 0 <= wiring_loss_ppm < PPM:
            raise ValueError(f"wiring_loss_ppm: {wiring_loss_ppm} is no share")
        count = len(ports)
        self.now_s = start_s
        self._wiring_loss_ppm = wiring_loss_ppm
        self._limits_w = (UNLIMITED_W, UNLIMITED_W)
        self._registers = Registers(count + 1)
        self._registers.begin(start_s)
        self.main_meter = SimulatedMeter(self._registers, count, main_key, chain_id)
        self._generators = {i: p for i, p in enumerate(ports) if isinstance(p, Generator)}
        self._fleet = Battery(
            **{f.name: np.full(count, getattr(_NOTHING, f.name)) for f in fields(Battery)}
        )
        self._soc = np.zeros(count)
        self._cars: list[Car | None] = [None] * count
        self._events: list[_Event] = []  # by time
        self._booked = [(start_s, False)] * count
        self._power_w = np.zeros(count, np.int64)
        self._until_s = np.full(count, start_s, np.int64)
        self._able: tuple[list[int], list[int]] | None = None
        self.points = {
            port.name: SimulatedPoint(
                self, i, port, SimulatedMeter(self._registers, i, port.key, chain_id)
            )
            for i, port in enumerate(ports)
        }

    def plug_in(self, port: str, car: Car, at_s: int) -> None:
        """The car comes to the port at that second; calls of one port come in order of time.

        Raises ValueError when the port is unknown, a generator's or taken, or the time past.
        """
        self._book(port, car, at_s)

    def unplug(self, port: str, at_s: int) -> None:
        """The car at the port leaves at that second, whatever was planned."""
        self._book(port, None, at_s)

    def soc(self, port: str) -> float:
        """State of charge of the car at this port, 0 to 1."""
        place = self._place(port)
        if self._cars[place] is None:
            raise ValueError(f"port: nothing is plugged in at {port!r}")
        return float(self._soc[place])

    def begin_slot(self, *, import_limit_w: int, export_limit_w: int) -> None:
        """All meters begin a period now, and the connection has these limits until the next."""
        self._limits_w = (import_limit_w, export_limit_w)
        self._registers.begin(self.now_s)

    def advance(self, duration_s: int) -> None:
        """Time passes: set-points act, cars come and go, meters count."""
        if duration_s <= 0:
            raise ValueError("duration_s: must be above zero")
        start_s, self.now_s = self.now_s, self.now_s + duration_s
        count = bisect_right(self._events, self.now_s, key=_AT_S)
        due, self._events = self._events[:count], self._events[count:]
        ends_s = np.minimum(self._until_s, self.now_s)
        for event in due:
            if event.car is None:
                ends_s[event.place] = min(ends_s[event.place], event.at_s)
        charge_ws, discharge_ws = self._flow(start_s, np.maximum(ends_s - start_s, 0))
        self._count(charge_ws, discharge_ws)
        for event in due:
            self._place_car(event)
        self._able = None

    def _flow(self, start_s: int, seconds: Ints) -> tuple[Ints, Ints]:
        """What flows in and out at each port, in watt-seconds, and the batteries after it."""
        asked_ws = self._power_w * seconds
        nothing = np.zeros_like(asked_ws)
        if not asked_ws.any():
            return nothing, nothing
        fleet, power_w = self._fleet, self._power_w
        taken_wh = batteries.charge_wh(fleet, self._soc, power_w, seconds)
        given_wh = batteries.discharge_wh(fleet, self._soc, -power_w, seconds)
        charge_ws = np.minimum(_whole_ws(taken_wh), np.maximum(asked_ws, 0))
        discharge_ws = np.minimum(_whole_ws(given_wh), np.maximum(-asked_ws, 0))
        for place, generator in self._generators.items():
            sun_ws = generator.power_at(start_s) * int(seconds[place])
            discharge_ws[place] = max(0, min(-int(asked_ws[place]), sun_ws))
        self._hold_connection(charge_ws, discharge_ws, self.now_s - start_s)
        charged_wh, discharged_wh = charge_ws / S_PER_H, discharge_ws / S_PER_H
        self._soc = batteries.soc_after(fleet, self._soc, charged_wh, discharged_wh)
        return charge_ws, discharge_ws

    def _hold_connection(self, charge_ws: Ints, discharge_ws: Ints, duration_s: int) -> None:
        """The site's own load management: it sees the connection and cuts within the second.

        It is the last resort, for what no gateway can foresee within a step: a seller pulls the
        plug, and charging is cut pro rata before the connection is overloaded. It cuts whole
        watts, and less than one only where that is not enough. Where the connection leaves no
        room either way, and the wiring takes its share, nothing flows.
        """
        import_ws, export_ws = (limit_w * duration_s for limit_w in self._limits_w)
        for unit_ws in (duration_s, 1, 1):
            over_import_ws = self._net_ws(charge_ws, discharge_ws) - import_ws
            over_export_ws = -self._net_ws(charge_ws, discharge_ws) - export_ws
            if over_import_ws > 0:
                _cut(charge_ws, over_import_ws, unit_ws)
            elif over_export_ws > 0:
                _cut(discharge_ws, over_export_ws, unit_ws)
        if not -export_ws <= self._net_ws(charge_ws, discharge_ws) <= import_ws:
            charge_ws[:] = 0
            discharge_ws[:] = 0

    def _net_ws(self, charge_ws: Ints, discharge_ws: Ints) -> int:
        """What the connection carries inwards, with the loss of the site's wiring."""
        inward_ws, outward_ws = int(charge_ws.sum()), int(discharge_ws.sum())
        loss_ws = (inward_ws + outward_ws) * self._wiring_loss_ppm // PPM
        return inward_ws + loss_ws - outward_ws

    def _count(self, charge_ws: Ints, discharge_ws: Ints) -> None:
        """Every meter counts, the main meter the net of the step with the wiring's loss."""
        net_ws = self._net_ws(charge_ws, discharge_ws)
        self._registers.record(
            np.append(charge_ws, max(net_ws, 0)),
            np.append(discharge_ws, max(-net_ws, 0)),
            self.now_s,
        )

    def _place(self, port: str) -> int:
        if port not in self.points:
            raise ValueError(f"port: there is no {port!r}")
        return self.points[port].place

    def _book(self, port: str, car: Car | None, at_s: int) -> None:
        place = self._place(port)
        if place in self._generators:
            raise ValueError(f"port: {port!r} is a generator's")
        last_s, taken = self._booked[place]
        if at_s < max(last_s, self.now_s):
            raise ValueError(f"at_s: {at_s} at {port!r} is past")
        if taken == (car is not None):
            raise ValueError(f"port: {port!r} is {'taken' if taken else 'free'} at {at_s}")
        self._booked[place] = (at_s, car is not None)
        event = _Event(at_s, place, car)
        if at_s == self.now_s:
            self._place_car(event)
        else:
            insort(self._events, event, key=_AT_S)

    def _place_car(self, event: _Event) -> None:
        """The car stands at the port, or what stood there is gone and its set-point with it."""
        place, car = event.place, event.car
        battery = car.battery if car is not None else _NOTHING
        for field in fields(Battery):
            getattr(self._fleet, field.name)[place] = getattr(battery, field.name)
        self._soc[place] = car.soc if car is not None else 0.0
        self._cars[place] = car
        self._power_w[place] = 0
        self._able = None

    def _able_w(self) -> tuple[list[int], list[int]]:
        """What each port could take and give on average over the next minute."""
        if self._able is None:
            fleet, soc = self._fleet, self._soc
            taken_wh = batteries.charge_wh(fleet, soc, fleet.charge_limit_w, LOOK_AHEAD_S)
            given_wh = batteries.discharge_wh(fleet, soc, fleet.discharge_limit_w, LOOK_AHEAD_S)
            # What takes or gives less than its minimum still has to be asked for that much.
            charge_w, discharge_w = (
                np.where(wh > 0, np.maximum(_whole_ws(wh) // LOOK_AHEAD_S, fleet.minimum_w), 0)
                for wh in (taken_wh, given_wh)
            )
            for place, generator in self._generators.items():
                discharge_w[place] = generator.power_at(self.now_s)
            self._able = ([int(w) for w in charge_w], [int(w) for w in discharge_w])
        return self._able


class SimulatedPoint:
    """One port of the hub, as its gateway sees it."""

    __slots__ = ("_hub", "_limits_w", "meter", "name", "place")

    def __init__(
        self, hub: SimulatedHub, place: int, port: Plug | Generator, meter: SimulatedMeter
    ) -> None:
        self._hub = hub
        self.place = place
        self.name = port.name
        self.meter = meter
        self._limits_w = (
            (port.charge_limit_w, port.discharge_limit_w)
            if isinstance(port, Plug)
            else (0, UNLIMITED_W)
        )

    @property
    def wallet(self) -> bytes | None:
        """The plugged car's or the generator's; None when nothing is there."""
        car = self._hub._cars[self.place] or self._hub._generators.get(self.place)
        return car.wallet if car is not None else None

    @property
    def departure_s(self) -> int | None:
        """When the driver said it would leave."""
        car = self._hub._cars[self.place]
        return car.departure_s if car is not None else None

    @property
    def charge_limit_w(self) -> int:
        """The most that can flow in over the next minute."""
        return min(self._limits_w[0], self._hub._able_w()[0][self.place])

    @property
    def discharge_limit_w(self) -> int:
        """The most that can flow out over the next minute."""
        return min(self._limits_w[1], self._hub._able_w()[1][self.place])

    @property
    def minimum_w(self) -> int:
        """A set-point closer to zero than this lets nothing flow."""
        return int(self._hub._fleet.minimum_w[self.place])  # type: ignore[index]

    def set_power_limit_w(self, power_w: int, for_s: int) -> None:
        """Charge or discharge at this power, clipped to the port's limits, for so long."""
        charge_w, discharge_w = self._limits_w
        self._hub._power_w[self.place] = max(-discharge_w, min(power_w, charge_w))
        self._hub._until_s[self.place] = self._hub.now_s + for_s


def _whole_ws(energy_wh: npt.NDArray[np.float64]) -> Ints:
    return np.floor(energy_wh * S_PER_H + _SPECK_WS).astype(np.int64)


def _cut(flow_ws: Ints, excess_ws: int, unit_ws: int) -> None:
    """Takes the excess, rounded up to units, off the flows, each in proportion; in place."""
    up_to_here = np.cumsum(flow_ws)
    units = min(-(-excess_ws // unit_ws), int(up_to_here[-1]))
    cut_ws = np.diff(up_to_here * units // up_to_here[-1], prepend=0) * unit_ws
    flow_ws -= np.minimum(cut_ws, flow_ws)
