"""A small simulated site, and a slot of it from set-points to readings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest

from peerwatt.field.simulated import Car, Generator, Plug, SimulatedHub
from peerwatt.grid.batteries import full_battery, ideal_battery
from peerwatt.records.readings import MeterReading, SignedReading
from peerwatt.records.signing import derive_key
from peerwatt.site_gateway.dispatch import Dispatch, Slot, Target
from peerwatt.site_gateway.report import read_meters
from peerwatt.units import UNLIMITED_W

CHAIN = "sim-test"
START_S = 900 * 10**6
POWER_W = 6_600


@dataclass(frozen=True, kw_only=True)
class SlotFlow:
    """What a slot came to: readings by port, "" for the main meter, and its net per step."""

    signed: dict[str, SignedReading]
    net_ws: list[int] = field(default_factory=list)

    def reading(self, port: str) -> MeterReading:
        return self.signed[port].reading

    def wh(self, port: str) -> int:
        """Net import of a port."""
        return self.reading(port).imported_wh - self.reading(port).exported_wh


class Site:
    """Plugs p0, p1, ... with a car each, wallets 0, 1, ..., and a roof of 4 kW."""

    def __init__(self, plugs: int, roof_w: int = 4_000) -> None:
        ports: list[Plug | Generator] = [
            Plug(
                name=f"p{i}",
                key=derive_key(1, f"meter {i}", CHAIN),
                charge_limit_w=POWER_W,
                discharge_limit_w=POWER_W,
            )
            for i in range(plugs)
        ]
        roof = Generator(
            name="roof",
            key=derive_key(1, "roof", CHAIN),
            wallet=wallet(99),
            start_s=START_S,
            step_s=86_400,
            power_w=(roof_w,),
        )
        main_key = derive_key(1, "main", CHAIN)
        self.hub = SimulatedHub(
            ports=[*ports, roof], main_key=main_key, chain_id=CHAIN, start_s=START_S
        )
        self.keys = {name: point.meter.key for name, point in self.hub.points.items()}
        self.keys[""] = self.hub.main_meter.key

    def plug_in(
        self,
        place: int,
        *,
        soc: float = 0.6,
        full: bool = False,
        departure_s: int | None = None,
        owner: int | None = None,
        at_s: int | None = None,
    ) -> None:
        """A 60 kWh car with a reserve of 40 %; now, if no time is given."""
        make = full_battery if full else ideal_battery
        battery = make(
            capacity_wh=60_000.0,
            charge_limit_w=float(POWER_W),
            discharge_limit_w=float(POWER_W),
            reserve_soc=0.4,
        )
        car = Car(
            wallet=wallet(place if owner is None else owner),
            battery=battery,
            soc=soc,
            departure_s=departure_s,
        )
        self.hub.plug_in(f"p{place}", car, self.hub.now_s if at_s is None else at_s)

    def run_slot(
        self,
        targets: Iterable[Target],
        *,
        minutes: int = 15,
        import_limit_w: int = UNLIMITED_W,
        export_limit_w: int = UNLIMITED_W,
    ) -> SlotFlow:
        """One slot from now on."""
        hub, start_s, end_s = self.hub, self.hub.now_s, self.hub.now_s + minutes * 60
        slot = Slot(
            start_s=start_s,
            end_s=end_s,
            import_limit_w=import_limit_w,
            export_limit_w=export_limit_w,
        )
        hub.begin_slot(import_limit_w=import_limit_w, export_limit_w=export_limit_w)
        dispatch, net_ws = Dispatch(hub.points, targets, slot), list[int]()
        while hub.now_s < end_s:
            before = hub.main_meter.live_ws()
            hub.advance(dispatch.steer(hub.now_s) - hub.now_s)
            after = hub.main_meter.live_ws()
            net_ws.append(after[0] - before[0] - after[1] + before[1])
        signed = read_meters(
            hub.points,
            hub.main_meter,
            dispatch.ports_to_report(),
            start_s=start_s,
            end_s=end_s,
        )
        return SlotFlow(signed=signed, net_ws=net_ws)


def wallet(number: int) -> bytes:
    return bytes([number]) * 32


@pytest.fixture(scope="session")
def site_of() -> Callable[..., Site]:
    return Site


@pytest.fixture(scope="session")
def target() -> Callable[[int, int], Target]:
    """The car at plug `place` is to take (positive) or give (negative) so many Wh."""

    def make(place: int, energy_wh: int) -> Target:
        return Target(port=f"p{place}", owner=wallet(place), energy_wh=energy_wh)

    return make
