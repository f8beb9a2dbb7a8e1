"""A hub day on the ledger: cars come, order, are dispatched, metered and settled, slot by slot.

Knows every room below and chooses their concrete parts. When what happens is the timeline's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace

from peerwatt.agents.order_terms import order_fields, revised_limit
from peerwatt.agents.outlook import Floats, HubOutlook, needs_due_kwh
from peerwatt.agents.ports import BuyIntent, Intent
from peerwatt.agents.sealing import terms_of
from peerwatt.agents.signer import Signer
from peerwatt.agents.vehicle import ChargingCar, purchase_orders
from peerwatt.hosts.host import Host
from peerwatt.market_operator.round import awaits_proposal, proposal_of, solve_round
from peerwatt.records.market import Award, Round, RoundStatus, Side, round_key
from peerwatt.records.readings import SignedReading
from peerwatt.records.receipts import Reason, Receipt
from peerwatt.records.signing import SigningKey
from peerwatt.records.transactions import (
    CheckIn,
    CheckOut,
    PlaceBuyOrder,
    PlaceSellOrder,
    ProposeAuction,
    ProposeClearing,
    ReviseOrder,
    Tick,
)
from peerwatt.simulation.auctions import (
    Wish,
    awaits_auction,
    awaits_second_round,
    hold_auction,
)
from peerwatt.simulation.cast import AgentFor, Visit, hub_of, ours, visits_of
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.consortium import CLOCK, ROLES
from peerwatt.simulation.day import HubDay
from peerwatt.simulation.founding import SETUP_LEAD_S, Founding
from peerwatt.simulation.sealing import Sealing
from peerwatt.simulation.timeline import Timeline
from peerwatt.simulation.timetable import GATE_LEAD_S, ORDER_LEAD_S, REPORT_LAG_S
from peerwatt.simulation.venue import OneProcess, Venue
from peerwatt.site_gateway.dispatch import Dispatch, Slot, targets_of
from peerwatt.site_gateway.report import read_meters, report_readings
from peerwatt.units import S_PER_H


class World(Timeline):
    """One hub, one day, one ledger."""

    def __init__(
        self,
        config: DayConfig,
        day: HubDay,
        *,
        agent_for: AgentFor = ours,
        venue: Venue | None = None,
    ) -> None:
        """Register the site on the venue's chain, a new one in this process if there is none, and
        give every car its wallet and its coins."""
        self.config, self.day = config, day
        start_s = day.start_s - SETUP_LEAD_S
        self.venue: Venue = OneProcess(config, start_s) if venue is None else venue
        self.keys, self.host = self.venue.keys, self.venue.host
        self.clock = signer_of(self.keys.key(CLOCK), self.host)
        self.members = {name: signer_of(self.keys.key(name), self.host) for name in ROLES}
        self.refused: list[tuple[str, Receipt]] = []
        """What admission turned away: the kind of message and its receipt."""
        self._smuggled: list[bytes] = []
        """What a dishonest proposer puts into the next block past admission."""
        self._wishes: dict[str, Wish] = {}
        """What owners alone know of the orders of the round at hand, by port."""
        self.readings: dict[int, dict[str, SignedReading]] = {}
        self.visits = visits_of(config, day, self.keys, self.host, agent_for)
        self._tokens = {
            wallet.key.public: visit.token for visit in self.visits for wallet in visit.wallets
        }
        """What a wallet's car shows to the charger, as the operator knows who checked it in."""
        self._sealing = Sealing(self.keys.chain_id, self.host, self.note)
        self.hub = hub_of(config, day, self.keys, self.visits)
        self.tick(start_s)
        Founding(config, day, self.keys, self.members).run(self.visits)
        self.seal(start_s)

    @property
    def hubs(self) -> tuple[World, ...]:
        """This one alone."""
        return (self,)

    def take_orders(self, slot: int) -> None:
        """Who is gone checks out, who has come checks in, and all who are there may order."""
        now_s = int(self.day.slot_start_s[slot]) - ORDER_LEAD_S
        self._check_out(now_s)
        announced = self.config.planning.arrivals == "announced"
        self._check_in(now_s, now_s + ORDER_LEAD_S + self.day.slot_s if announced else now_s + 1)
        self._tell_limits()
        outlook = self._outlook(slot)
        round_id = self._round_id(slot)
        there = [visit for visit in self.visits if visit.present]
        self._wishes.clear()
        for visit, intents in zip(there, self._intents(there, outlook), strict=True):
            if intents and visit.renew():
                self._change_wallet(visit, now_s)
            for intent in intents:
                self._place(visit, intent, round_id)

    def awaits_proposal(self, slot: int) -> bool:
        """Whether the round is one whose clearing members have to propose, or losers may trade in
        a second one."""
        market_round = self.host.get("rounds", self._round_id(slot))
        waits = awaits_proposal(market_round) or awaits_auction(market_round)
        return waits or awaits_second_round(market_round)

    def hear_awards(self, slot: int) -> None:
        """Agents learn what they were awarded."""
        by_port = {visit.port: visit for visit in self.visits if visit.present}
        for award in self.awards(slot):
            energy_wh = award.energy_wh if award.side == Side.BUY else -award.energy_wh
            visit = by_port[award.port]
            visit.awarded[slot] = energy_wh
            visit.tell(energy_wh)

    def propose(self, slot: int) -> None:
        """The operator's clearing of a frozen book, with its proof; or losers' new limits."""
        round_id = self._round_id(slot)
        if awaits_second_round(self.host.get("rounds", round_id)):
            self._revise(slot, round_id)
            return
        if awaits_auction(self.host.get("rounds", round_id)):
            self._auction(slot, round_id)
            return
        prices = solve_round(self.host, round_id)
        if prices is None:
            return
        for fields in proposal_of(self.host, round_id, prices):
            receipt = self.members["aggregator"].send(
                ProposeClearing, valid_until_s=int(self.day.slot_start_s[slot]), **fields
            )
            self.note("ProposeClearing", receipt)

    def _revise(self, slot: int, round_id: bytes) -> None:
        """Agents that lost in the first round sign new limits, where that does not harm them."""
        market_round: Round = self.host.get("rounds", round_id)
        first, prices = market_round.first, market_round.prices
        if first is None:
            return
        by_port = {visit.port: visit for visit in self.visits if visit.present}
        for order_id, order in self.host.items("orders", round_id):
            intent = self._wishes[order.port].intent
            limit = revised_limit(intent, order.limit_ucoin_per_kwh, first, prices)
            if limit is not None:
                receipt = by_port[order.port].signer.send(
                    ReviseOrder,
                    valid_until_s=int(self.day.slot_start_s[slot]),
                    round_id=round_id,
                    order_id=order_id,
                    limit_ucoin_per_kwh=limit,
                )
                self.note("ReviseOrder", receipt)

    def _auction(self, slot: int, round_id: bytes) -> None:
        """Agents and operator find the clearing together, and it proves how they ended."""
        operator = self.members["aggregator"]
        found = hold_auction(self.host, round_id, self._wishes, operator.key)
        if found is not None:
            until_s = int(self.day.slot_start_s[slot])
            receipt = operator.send(ProposeAuction, valid_until_s=until_s, **found.proposal())
            self.note("ProposeAuction", receipt)

    def deliver(self, slot: int) -> None:
        """The gateway steers the ports through the slot; cars come and go as they truly did."""
        start_s = int(self.day.slot_start_s[slot])
        end_s = start_s + self.day.slot_s
        limits = self._slot(slot, start_s, end_s)
        self.hub.begin_slot(
            import_limit_w=limits.import_limit_w, export_limit_w=limits.export_limit_w
        )
        announced = {visit.token: visit.arrival_s for visit in self.visits}
        awards = [replace(each, owner=self._tokens[each.owner]) for each in self.awards(slot)]
        dispatch = Dispatch(self.hub.points, targets_of(awards, announced), limits)
        now_s = start_s
        while now_s < end_s:
            until_s = dispatch.steer(now_s)
            self.hub.advance(until_s - now_s)
            now_s = until_s
        ports = dispatch.ports_to_report()
        self.readings[slot] = read_meters(
            self.hub.points, self.hub.main_meter, ports, start_s=start_s, end_s=end_s
        )

    def bring_readings(self, slot: int) -> None:
        """The readings go to the ledger, where a round was cleared."""
        start_s = int(self.day.slot_start_s[slot])
        end_s = start_s + self.day.slot_s
        operator = self.members["aggregator"]
        if self.host.get("rounds", self._round_id(slot)).clearing is not None:
            report = report_readings(
                self.readings[slot],
                registered={
                    meter.port: key
                    for key, meter in self.host.items("meters")
                    if meter.site == self.day.site
                },
                start_s=start_s,
                end_s=end_s,
                round_id=self._round_id(slot),
                operator=operator.key,
                chain_id=self.keys.chain_id,
                nonce=operator.nonce,
                valid_until_s=end_s + REPORT_LAG_S,
            )
            for transaction in report.transactions:
                self.note("ReportReadings", operator.submit(transaction))

    def hear_deliveries(self, slot: int) -> None:
        """Agents learn what was delivered."""
        for visit in self.visits:
            if slot in visit.awarded:
                visit.tell(self._metered_wh(slot, visit.port) - visit.awarded[slot])

    def tick(self, time_s: int) -> None:
        """The clock moves on."""
        must(self.clock.send(Tick, valid_until_s=time_s, time_s=time_s))

    def seal(self, time_s: int) -> None:
        """All that was submitted stands in blocks from here on."""
        self.venue.seal(time_s, tuple(self._smuggled))
        self._smuggled.clear()

    def smuggle(self, transaction: bytes) -> bool:
        """Put what admission turned away into the next block all the same; whether that can be
        done, as by a proposer who lies, and not by who only submits to validators."""
        if self.venue.can_smuggle:
            self._smuggled.append(transaction)
        return self.venue.can_smuggle

    def awards(self, slot: int) -> list[Award]:
        """What a round awarded, as long as it is not settled."""
        return [award for _, award in self.host.items("awards", self._round_id(slot))]

    def _metered_wh(self, slot: int, port: str) -> int:
        signed = self.readings[slot].get(port)
        return signed.reading.imported_wh - signed.reading.exported_wh if signed else 0

    def _round_id(self, slot: int) -> bytes:
        return round_key(self.day.site, int(self.day.slot_start_s[slot]))

    def _slot(self, slot: int, start_s: int, end_s: int) -> Slot:
        record = self.host.get("rounds", self._round_id(slot))
        hours = S_PER_H / self.day.slot_s
        return Slot(
            start_s=start_s,
            end_s=end_s,
            import_limit_w=int(record.import_limit_wh * hours),
            export_limit_w=int(record.export_limit_wh * hours),
        )

    def _tell_limits(self) -> None:
        """A plugged car tells its agent what it can take: less and less as it fills."""
        for visit in self.visits:
            point = self.hub.points[visit.port]
            if isinstance(visit.agent, ChargingCar) and point.wallet == visit.token:
                visit.agent.charge_limit_w = point.charge_limit_w

    def _check_out(self, now_s: int) -> None:
        for visit in self.visits:
            if visit.present and visit.departure_s <= now_s:
                self.leave(visit, now_s)

    def leave(self, visit: Visit, now_s: int) -> None:
        """The operator frees a car's port."""
        visit.present = False
        port: dict[str, Any] = {"site": self.day.site, "port": visit.port}
        must(self.members["aggregator"].send(CheckOut, valid_until_s=now_s, **port))

    def _check_in(self, now_s: int, before_s: int) -> None:
        """Who arrives before a time, at a port that is free by now; a car whose port is not has
        to wait for the next slot."""
        operator = self.members["aggregator"]
        taken = {visit.port for visit in self.visits if visit.present}
        for visit in self.visits:
            due = visit.arrival_s < before_s and now_s < visit.departure_s
            if not visit.present and due and visit.port not in taken:
                visit.present = True
                taken.add(visit.port)
                port: dict[str, Any] = {"site": self.day.site, "port": visit.port}
                wallet = visit.signer.key.public
                must(operator.send(CheckIn, valid_until_s=now_s, wallet=wallet, **port))

    def _change_wallet(self, visit: Visit, now_s: int) -> None:
        """The operator, who sees that the same car stays, checks it out and in again."""
        operator = self.members["aggregator"]
        port: dict[str, Any] = {"site": self.day.site, "port": visit.port}
        wallet = visit.signer.key.public
        must(operator.send(CheckOut, valid_until_s=now_s, **port))
        must(operator.send(CheckIn, valid_until_s=now_s, wallet=wallet, **port))

    def _intents(self, there: Sequence[Visit], outlook: HubOutlook) -> list[Sequence[Intent]]:
        """Every agent's wishes; buyers that follow our own rule are asked in one go."""
        cars = [each.agent for each in there if type(each.agent) is ChargingCar]
        wanting = [car for car in cars if car.need_wh > 0]
        answers = dict(zip(map(id, wanting), purchase_orders(wanting, outlook), strict=True))
        return [
            answers.get(id(each.agent), ())
            if type(each.agent) is ChargingCar
            else each.orders(outlook)
            for each in there
        ]

    def _place(self, visit: Visit, intent: Intent, round_id: bytes) -> None:
        market_round: Round = self.host.get("rounds", round_id)
        fields = order_fields(intent, market_round.mechanism, market_round.prices)
        if fields is None:
            return
        self._wishes[visit.port] = Wish(visit.signer.key, intent)
        if market_round.reveal_by_s:
            self._sealing.seal(visit, round_id, terms_of(fields), self._gate_s(round_id))
            return
        kind = PlaceBuyOrder if isinstance(intent, BuyIntent) else PlaceSellOrder
        at: dict[str, Any] = {"round_id": round_id, "port": visit.port, **fields}
        receipt = visit.signer.send(kind, valid_until_s=self._gate_s(round_id), **at)
        self.note(kind.__name__, receipt)

    def awaits_orders(self, slot: int) -> bool:
        """Whether the round's orders are sealed and have to be shown."""
        market_round: Round = self.host.get("rounds", self._round_id(slot))
        return market_round.status == RoundStatus.OPEN and market_round.reveal_by_s > 0

    def reveal(self, slot: int) -> None:
        """Agents show what they have sealed."""
        self._sealing.reveal(self._round_id(slot), int(self.day.slot_start_s[slot]))

    def _gate_s(self, round_id: bytes) -> int:
        return int.from_bytes(round_id[:8], "big") - GATE_LEAD_S

    def _outlook(self, slot: int) -> HubOutlook:
        """What the hub publishes before a gate."""
        day, due = self.day, self.requests(slot)
        slots = day.slot_start_s[slot:]
        return HubOutlook(
            slot_start_s=slots,
            slot_s=day.slot_s,
            retail_usd_per_kwh=day.retail_usd_per_kwh[slot:],
            feed_in_usd_per_kwh=day.feed_in_usd_per_kwh,
            lost_load_usd_per_kwh=day.lost_load_usd_per_kwh,
            import_limit_kwh=np.full(len(slots), day.grid_limit_kwh),
            pv_kwh=day.pv_kwh[slot:],
            plugged_due_kwh=needs_due_kwh(
                np.array([until_s for until_s, _ in due], dtype=np.int64),
                np.array([need_wh for _, need_wh in due], dtype=np.int64),
                slot_start_s=slots,
                slot_s=day.slot_s,
            ),
            expected_due_kwh=self._expected_due_kwh(slot),
        )

    def requests(self, slot: int) -> Sequence[tuple[int, int]]:
        """Until when (unix seconds) the cars that charge here want how much, Wh."""
        cars = [visit.agent for visit in self.visits if visit.present]
        return [
            (car.planned_departure_s, car.need_wh) for car in cars if isinstance(car, ChargingCar)
        ]

    def _expected_due_kwh(self, slot: int) -> Floats:
        """Need still to come, by slot; those that have announced themselves are counted already."""
        first = slot + (self.config.planning.arrivals == "announced")
        expected = self.day.expected_need_kwh
        return expected[first, slot:] if first < len(expected) else np.zeros(1)

    def note(self, message: str, receipt: Receipt) -> None:
        """Remember what admission turns away."""
        if not receipt.ok:
            self.refused.append((message, receipt))


def signer_of(key: SigningKey, host: Host) -> Signer:
    """A party that goes on where its account stands."""
    account = host.get("accounts", key.public)
    return Signer(key, host, nonce=0 if account is None else account.nonce)


def must(receipt: Receipt) -> None:
    """The world's own messages are never refused; one that is shows a fault of the world."""
    if not receipt.ok:
        raise RuntimeError(f"refused: {Reason(receipt.reason).name} ({receipt.field})")
