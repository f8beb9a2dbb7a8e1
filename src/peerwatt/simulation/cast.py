"""Who takes part in a day: every car and the roof, with agent and wallet, and the physical site.

Knows the day, the agents and the field. Knows no messages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from operator import index
from typing import SupportsIndex

import numpy as np

from peerwatt.agents.outlook import HubOutlook
from peerwatt.agents.ports import Agent, BuyIntent, Intent, SellIntent
from peerwatt.agents.rooftop import Rooftop
from peerwatt.agents.signer import Signer
from peerwatt.agents.vehicle import ChargingCar, SellingCar
from peerwatt.field.simulated import Car, Generator, Plug, SimulatedHub
from peerwatt.grid.batteries import Battery, full_battery, ideal_battery
from peerwatt.hosts.host import Host
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.consortium import Keyring
from peerwatt.simulation.day import HubDay
from peerwatt.simulation.sessions import RESERVED, Session
from peerwatt.simulation.timetable import ORDER_LEAD_S
from peerwatt.units import MAX_COUNT, PPM, S_PER_H, UCOIN_PER_COIN, WH_PER_KWH

ROOF = RESERVED
"""The name of the roof and of its port."""


class AgentError(ValueError):
    """An agent that fails or does not answer with intents: one line that names its car."""


@dataclass(slots=True, kw_only=True)
class Visit:
    """One car's stay at the hub, or the roof's day."""

    name: str
    """The session's id, or `ROOF`."""
    port: str
    wallets: list[Signer]
    """One; or as many as it may place orders, for each a fresh one. The last is kept."""
    agent: Agent
    arrival_s: int
    departure_s: int
    """True times; the agent need not know when it leaves."""
    need_wh: int
    car: Car | None
    """None for the roof."""
    present: bool = False
    """Whether it is checked in on the ledger."""
    awarded: dict[int, int] = field(default_factory=dict)
    """Wh by slot, above zero to charge: what the agent was told at the gate."""
    at: int = 0
    """Which of its wallets it uses."""

    @property
    def signer(self) -> Signer:
        """The wallet that it uses now."""
        return self.wallets[self.at]

    @property
    def token(self) -> bytes:
        """What it shows to the charger, for as long as it stays."""
        return self.signer.key.public if self.car is None else self.car.wallet

    def renew(self) -> bool:
        """Take the next wallet, if there is one and this one has been used."""
        used = self.signer.nonce > 1  # the first message opened it
        if not used or self.at + 1 == len(self.wallets):
            return False
        self.at += 1
        return True

    def orders(self, outlook: HubOutlook) -> tuple[Intent, ...]:
        """What the agent wants; AgentError if it fails or answers anything but intents. Whether
        their numbers make sense is for the ledger to judge."""
        try:
            return tuple(_intent(each) for each in self.agent.orders(outlook))
        except Exception as error:
            raise self._failed("orders", error) from error

    def tell(self, energy_wh: int) -> None:
        """The agent hears of energy that changed hands; AgentError if it fails."""
        try:
            self.agent.delivered(energy_wh)
        except Exception as error:
            raise self._failed("delivered", error) from error

    def _failed(self, method: str, error: Exception) -> AgentError:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        return AgentError(f"agent of car {self.name}: {method}: {what}")


def _intent(answer: object) -> Intent:
    """An intent of plain whole numbers that a message can carry."""
    if not isinstance(answer, BuyIntent | SellIntent):
        raise TypeError(f"must answer with BuyIntent and SellIntent, not {answer!r:.40}")
    names = [field.name for field in fields(answer)]
    return type(answer)(**{name: _whole(name, getattr(answer, name)) for name in names})


def _whole(name: str, value: object) -> int:
    """Of any type that counts, such as numpy's."""
    if isinstance(value, SupportsIndex) and abs(index(value)) <= MAX_COUNT:
        return index(value)
    raise TypeError(f"{name}: must be a whole number up to {MAX_COUNT}, is {value!r}")


# 2 l1 of the roof in a pairs round, ucoin/kWh^2: a tenth of a cent more for the second kWh.
ROOF_SLOPE = 1_000

PAIRED = ("welfare-pairs", "iterative-auction")
"""Mechanisms in which a seller's cost rises with what it sends to each buyer."""

AgentFor = Callable[[Session, Agent], Agent]
"""A user's own choice of agents: given a session and our agent for it, the agent to use. What a
car needs counts in the published sums if its agent is a `ChargingCar`, which states it."""


def ours(session: Session, agent: Agent) -> Agent:
    """Our own agent for every car."""
    return agent


def visits_of(
    config: DayConfig, day: HubDay, keys: Keyring, host: Host, agent_for: AgentFor
) -> list[Visit]:
    """Every car by session id and, with panels, the roof."""
    visits = [*_buyers(config, day, keys, host, agent_for)]
    visits += _sellers(config, day, keys, host, agent_for)
    visits.sort(key=lambda visit: visit.name)
    if config.pv_kwp > 0:
        visits.append(
            Visit(
                name=ROOF,
                port=ROOF,
                wallets=[Signer(keys.wallet(ROOF), host)],
                agent=Rooftop(ROOF_SLOPE if config.mechanism in PAIRED else 0),
                arrival_s=day.start_s - ORDER_LEAD_S,
                departure_s=int(day.slot_start_s[-1]) + day.slot_s,
                need_wh=0,
                car=None,
            )
        )
    return visits


def _buyers(
    config: DayConfig, day: HubDay, keys: Keyring, host: Host, agent_for: AgentFor
) -> list[Visit]:
    visits = []
    charge_w, buyers = config.port_kw * 1000, day.buyers
    for i, session in enumerate(buyers.sessions):
        need_wh, planned_s = int(buyers.need_wh[i]), int(buyers.planned_departure_s[i])
        agent = ChargingCar(
            need_wh=need_wh,
            charge_limit_w=round(charge_w),
            from_s=session.arrival_s,
            planned_departure_s=planned_s,
            exponent=config.rule.exponent,
        )
        make = ideal_battery if config.battery == "ideal" else full_battery
        battery = make(
            capacity_wh=float(buyers.battery_kwh[i]) * WH_PER_KWH, charge_limit_w=charge_w
        )
        soc = _soc_below_full(config, battery, need_wh, float(buyers.soc_at_arrival[i]))
        visits.append(
            _visit(
                session,
                agent_for(session, agent),
                need_wh,
                battery,
                soc,
                planned_s,
                keys,
                host,
                _fresh_wallets(config, day, session),
            )
        )
    return visits


def _soc_below_full(config: DayConfig, battery: Battery, need_wh: int, drawn: float) -> float:
    """An ideal battery has room for the need exactly, whatever was drawn."""
    if config.battery == "full":
        return drawn
    return min(drawn, 1.0 - need_wh / float(battery.capacity_wh))


def _sellers(
    config: DayConfig, day: HubDay, keys: Keyring, host: Host, agent_for: AgentFor
) -> list[Visit]:
    visits = []
    assumed, sellers = config.sellers, day.sellers
    for i, session in enumerate(sellers.sessions):
        planned_s = int(sellers.planned_departure_s[i])
        agent = SellingCar(
            for_sale_wh=int(sellers.for_sale_wh[i]),
            discharge_limit_w=round(assumed.power_kw * 1000),
            from_s=session.arrival_s,
            planned_departure_s=planned_s,
            ask_ucoin_per_kwh=round(float(sellers.cost_usd_per_kwh[i]) * UCOIN_PER_COIN),
            slope_ucoin_per_kwh2=round(2 * assumed.l1 * UCOIN_PER_COIN),
        )
        make = ideal_battery if config.battery == "ideal" else full_battery
        battery = make(
            capacity_wh=float(sellers.battery_kwh[i]) * WH_PER_KWH,
            charge_limit_w=config.port_kw * 1000,
            discharge_limit_w=assumed.power_kw * 1000,
            reserve_soc=assumed.reserve_soc,
        )
        soc = float(sellers.soc_at_arrival[i])
        visits.append(
            _visit(
                session,
                agent_for(session, agent),
                0,
                battery,
                soc,
                planned_s,
                keys,
                host,
                _fresh_wallets(config, day, session),
            )
        )
    return visits


def _fresh_wallets(config: DayConfig, day: HubDay, session: Session) -> int:
    """One for every slot that a stay touches, and for the one after it, for which a car may still
    order just before it leaves; none if wallets are not fresh."""
    if config.pseudonyms == "session":
        return 0
    first = (session.arrival_s - day.start_s) // day.slot_s
    last = (session.departure_s - day.start_s) // day.slot_s
    return min(last + 1, len(day.slot_start_s)) - first + 1


def _visit(
    session: Session,
    agent: Agent,
    need_wh: int,
    battery: Battery,
    soc: float,
    planned_departure_s: int,
    keys: Keyring,
    host: Host,
    slots: int,
) -> Visit:
    """A session's stay; `slots`: for how many orders it has a fresh wallet, 0 for one wallet."""
    token = keys.wallet(session.session_id)
    wallets = [token]
    if slots > 0:
        wallets = [keys.wallet(f"{session.session_id}/{at}") for at in range(slots)]
    return Visit(
        name=session.session_id,
        port=session.port,
        wallets=[Signer(wallet, host) for wallet in wallets],
        agent=agent,
        arrival_s=session.arrival_s,
        departure_s=session.departure_s,
        need_wh=need_wh,
        car=Car(wallet=token.public, battery=battery, soc=soc, departure_s=planned_departure_s),
    )


def hub_of(config: DayConfig, day: HubDay, keys: Keyring, visits: list[Visit]) -> SimulatedHub:
    """The physical site, with every coming and going of the day booked."""
    ports: list[Plug | Generator] = [
        Plug(
            name=name,
            key=keys.meter(name),
            charge_limit_w=round(config.port_kw * 1000),
            discharge_limit_w=round(config.sellers.power_kw * 1000),
        )
        for name in sorted({visit.port for visit in visits if visit.car is not None})
    ]
    if config.pv_kwp > 0:
        ports.append(
            Generator(
                name=ROOF,
                key=keys.meter(ROOF),
                wallet=keys.wallet(ROOF).public,
                start_s=day.start_s,
                step_s=day.slot_s,
                power_w=tuple(roof_power_w(day)),
            )
        )
    hub = SimulatedHub(
        ports=ports,
        main_key=keys.meter(""),
        chain_id=keys.chain_id,
        start_s=day.start_s,
        wiring_loss_ppm=round(config.wiring_loss * PPM),
    )
    end_s = int(day.slot_start_s[-1]) + day.slot_s
    for visit in sorted(visits, key=lambda visit: visit.arrival_s):
        if visit.car is not None:
            hub.plug_in(visit.port, visit.car, visit.arrival_s)
            hub.unplug(visit.port, min(visit.departure_s, end_s))
    return hub


def roof_power_w(day: HubDay) -> list[int]:
    """The roof's mean power in each slot, rounded up to carry its whole Wh."""
    power_w: list[int] = (
        np.ceil(day.pv_kwh * WH_PER_KWH * S_PER_H / day.slot_s).astype(int).tolist()
    )
    return power_w
