"""What the parties of a ledger under attack do: what they may, what they may not, and lies.

Knows the messages and, as anybody does, the state after the head. All chance comes from one
seeded generator. Knows nothing of the network, the disk or the checkers.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from msgspec.structs import replace

from peerwatt.records import transactions as tx
from peerwatt.records.codec import digest
from peerwatt.records.market import (
    BuyOrder,
    Mechanism,
    Order,
    Round,
    RoundStatus,
    SlotLimit,
)
from peerwatt.records.members import Member
from peerwatt.simulation.bargainers import Bargainers
from peerwatt.simulation.metering import measured, reading
from peerwatt.simulation.operators import Operators
from peerwatt.simulation.parties import (
    ANYONE,
    CLEAR_LEAD_S,
    DRIVERS,
    GATE_LEAD_S,
    NEWCOMERS,
    PORTS,
    PROPOSE_LEAD_S,
    ROLES,
    SETTLE_LAG_S,
    SITES,
    SLOT_S,
    Parties,
)
from peerwatt.simulation.publishers import Publishers
from peerwatt.simulation.recorders import Recorders
from peerwatt.simulation.sealers import Sealers
from peerwatt.simulation.trustees import Trustees

PRICES = (0, 150_000, 250_000, 299_999, 350_003, 400_000, 450_001, 500_000, 500_003, 500_004)
COINS = (0, 1, 500_000, 10**6, 10**7, 10**9, 10**17)
STEPS_S = (0, 1, 30, 60, 60, 120, 180, 300, 300, 900)
ASKS = (0, 0, 30_000, 50_001, 80_000, 80_000, 100_000, 150_000, 150_000, 200_001, 450_000, 500_004)
ENERGY_WH = (0, 1, 700, 1_500, 1_501, 2_000, 2_000, 2_003, 2_500, 2_750, 2_751)
PROPOSED = (Mechanism.WELFARE_PAIRS, Mechanism.ITERATIVE_AUCTION)
AUCTIONS = tuple(each for each in Mechanism if each.among_cars)
MECHANISMS = (
    *(Mechanism.WELFARE, Mechanism.UNIFORM, *PROPOSED) * 4,
    *(Mechanism.WELFARE, Mechanism.WELFARE, *AUCTIONS),
)


class Actors:
    """Everybody with a key, each with a mind of its own."""

    def __init__(self, parties: Parties, chance: Random) -> None:
        self._all = parties
        self._chance = chance
        self._operators = Operators(parties, chance)
        self._sealers = Sealers(parties, chance)
        self._bargainers = Bargainers(parties, chance, self._sealers)
        self._publishers = Publishers(parties, chance)
        self._trustees = Trustees(parties, chance)
        self._recorders = Recorders(parties, chance)

    def act(self) -> bytes | None:
        """Somebody's next message, if there is one to send."""
        if self._bargainers.meet() and self._chance.random() < 0.7:
            return self._bargainers.next()
        weighted: tuple[tuple[Callable[[], bytes | None], int], ...] = (
            (self._opening, 7),
            (self._plug, 10),
            (self._sealed_order, 42),
            (self._bargainers.revise, 10),
            (self._sealers.reveal, 10),
            (self._cancel, 2),
            (self._report, 26),
            (self._money, 6),
            (self._dispute, 5),
            (self._membership, 5),
            (self._publishers.act, 14),
            (self._operators.act, 20),
            (self._trustees.act, 12),
            (self._recorders.act, self._recorders.weight),
        )
        [(do, _)] = self._chance.choices(weighted, [weight for _, weight in weighted])
        return do()

    def tick(self) -> bytes | None:
        """To the second in which something is due, any step, or seldom a large one."""
        now_s = self._all.now_s
        due = [int.from_bytes(key[:8], "big") for key, _ in self._all.host.items("agenda")]
        for _, each in self.rounds(RoundStatus.CLOSED):
            due += [(n * each.gate_s + (4 - n) * each.clear_by_s) // 4 for n in (2, 1)]
        sealed = self._sealers.awaited()
        due += [each.gate_s for _, each in sealed]
        ahead = [time_s - now_s for time_s in due if now_s < time_s <= now_s + 900]
        if ahead and self._chance.random() < 0.3:
            return self._all.tick(min(ahead))
        awaited = self._operators.are_awaited() or self._bargainers.meet(anew=False)
        awaited = awaited or any(each.gate_s <= now_s for _, each in sealed)
        patient = awaited and self._chance.random() < 0.8
        return self._all.tick(self._chance.choice(STEPS_S[:4] if patient else STEPS_S))

    def foreign_tick(self) -> bytes:
        """A tick that is good but for its sender."""
        return self._all.sign("grid", tx.Tick, time_s=self._all.now_s + 60)

    def propose(self) -> bytes | None:
        """A member's proposal for a round that waits for one."""
        return self._operators.act()

    def _site_of_chance(self) -> tuple[str, str]:
        return self._chance.choice(tuple(SITES.items()))

    def _opening(self) -> bytes:
        site, operator = self._site_of_chance()
        mechanism = self._chance.choice(MECHANISMS)
        late = mechanism in (*PROPOSED, Mechanism.V2V)
        slot = self._all.now_s // SLOT_S + self._chance.choice((0, 1, 1, 1, 2, 2, 3)) + late
        start_s = slot * SLOT_S
        if self._chance.random() < 0.2:
            limit = SlotLimit(
                slot_start_s=start_s,
                import_limit_w=self._chance.choice((0, 2_000, 5_000)),
                export_limit_w=0,
            )
            return self._all.sign("grid", tx.PublishLimits, site=site, limits=(limit,))
        end_s = start_s + SLOT_S
        lead_s = PROPOSE_LEAD_S if late else GATE_LEAD_S
        return self._all.sign(
            operator,
            tx.OpenRound,
            site=site,
            tariff=self._chance.choice((*("day",) * 9, "night", "late", "tariff-1")),
            mechanism=mechanism,
            gate_s=start_s - lead_s,
            clear_by_s=start_s - CLEAR_LEAD_S,
            reveal_by_s=self._sealers.reveal_by_s(start_s - lead_s, start_s - CLEAR_LEAD_S),
            slot_start_s=start_s,
            slot_end_s=end_s,
            settle_by_s=end_s + self._chance.choice((SETTLE_LAG_S, 3 * SETTLE_LAG_S)),
            lot_wh=self._bargainers.lot_wh(mechanism),
        )

    def _plug(self) -> bytes:
        site, operator = self._site_of_chance()
        port = self._chance.choice(PORTS)
        if self._plugged_in(site, port) and self._chance.random() < 0.2:
            return self._all.sign(operator, tx.CheckOut, site=site, port=port)
        free = [name for name in PORTS if not self._plugged_in(site, name)]
        port = self._chance.choice(free or [port])
        wallet = self._all.key(self._chance.choice((*DRIVERS, "stranger"))).public
        return self._all.sign(operator, tx.CheckIn, site=site, port=port, wallet=wallet)

    def _plugged_in(self, site: str, port: str) -> str:
        """Who is plugged in at a port, if there is one and somebody is."""
        found = self._all.host.get("ports", f"{site}/{port}".encode())
        return "" if found is None else self._all.names.get(found.wallet, "")

    def rounds(self, *statuses: RoundStatus) -> list[tuple[bytes, Round]]:
        """The rounds in any of these states, of those that have something to come."""
        due = {entry.round_id: None for _, entry in self._all.host.items("agenda")}
        found = [(round_id, self._all.host.get("rounds", round_id)) for round_id in due]
        return [(round_id, each) for round_id, each in found if each.status in statuses]

    def _sealed_order(self) -> bytes | None:
        """An order, sealed where its round wants that."""
        order = self._order()
        return None if order is None else self._sealers.sealed(order)

    def _order(self) -> bytes | None:
        rounds = self.rounds(RoundStatus.OPEN)
        if not rounds:
            return self._opening()
        round_id, market_round = self._chance.choice(rounds)
        port, by = self._chance.choice(self._free(round_id, market_round.site))
        if not by or self._chance.random() < 0.03:
            by = self._chance.choice(DRIVERS)
        book: list[Order] = [order for _, order in self._all.host.items("orders", round_id)]
        buyers = sum(isinstance(order, BuyOrder) for order in book)
        most = self._chance.choice(ENERGY_WH)
        if book and self._chance.random() < 0.15:
            return self._like(by, round_id, port, self._chance.choice(book))
        if market_round.mechanism.among_cars:
            return self._bargainers.order(by, round_id, port, book)
        # Whoever comes late takes the side that the book lacks, so that cars trade; in every fourth
        # slot there is more to sell than is wanted.
        limit = market_round.mechanism == Mechanism.ITERATIVE_AUCTION
        limit = limit and self._chance.random() < 0.95
        plenty = market_round.slot_start_s // SLOT_S % 4 == 0
        if self._chance.random() < (0.8 if plenty or 2 * buyers > len(book) else 0.3):
            return self._all.sign(
                by,
                tx.PlaceSellOrder,
                round_id=round_id,
                port=port,
                max_wh=most,
                ask_ucoin_per_kwh=self._chance.choice(ASKS),
                slope_ucoin_per_kwh2=0 if limit else self._chance.choice((0, 10_000, 70_001)),
            )
        low, high = sorted((self._chance.choice(PRICES), self._chance.choice(PRICES)))
        if limit:
            low = high = self._chance.choice((0, high, high))
        return self._all.sign(
            by,
            tx.PlaceBuyOrder,
            round_id=round_id,
            port=port,
            min_wh=self._chance.choice((0, 0, 0, most // 3, most // 3, most, most + 1)),
            max_wh=most,
            price_low_ucoin_per_kwh=low,
            price_high_ucoin_per_kwh=high,
        )

    def _like(self, by: str, round_id: bytes, port: str, order: Order) -> bytes:
        """The same order once more, by another: a tie."""
        kind = tx.PlaceBuyOrder if isinstance(order, BuyOrder) else tx.PlaceSellOrder
        own = {"round_id": round_id, "port": port}
        names = [name for name in order.__struct_fields__ if name in kind.__struct_fields__]
        return self._all.sign(by, kind, **({n: getattr(order, n) for n in names} | own))

    def _free(self, round_id: bytes, site: str) -> list[tuple[str, str]]:
        """Ports without an order in the round, and who is plugged in there; else all ports."""
        plugged = [(port, self._plugged_in(site, port)) for port in PORTS]
        taken = dict(self._all.host.items("port_orders", round_id))
        free = [(port, by) for port, by in plugged if by and port.encode() not in taken]
        return free if free and self._chance.random() < 0.9 else plugged

    def _cancel(self) -> bytes | None:
        open_orders = [
            (round_id, order)
            for round_id, _ in self.rounds(RoundStatus.OPEN, RoundStatus.CLEARED)
            for _, order in self._all.host.items("orders", round_id)
        ]
        if not open_orders:
            return None
        round_id, order = self._chance.choice(open_orders)
        by = self._all.names[order.owner] if self._chance.random() < 0.8 else "ann"
        if self._chance.random() < 0.1:
            round_id = round_id[:-1] + b"?"
        return self._all.sign(by, tx.CancelOrder, round_id=round_id, order_id=order.order_id)

    def _money(self) -> bytes:
        how = self._chance.choice(("mint", "mint", "transfer", "withdraw", "wallet"))
        name = self._chance.choice((*ANYONE, "supplier"))
        if how == "wallet":
            return self._all.wallet(self._chance.choice((*DRIVERS, "grid")))
        if how == "mint":
            cosigner = self._chance.choice(("regulator", "regulator", "regulator", "grid", ""))
            coins = self._chance.choice((0, 1, 5, 100, 6_000, 10_001))
            by = self._chance.choice((*("issuer",) * 7, "authority"))
            return self._all.mint(self._chance.choice(ANYONE), coins, cosigner, by)
        free = self._all.free_ucoin(name)
        amount = self._chance.choice((*COINS, free, free, free + 1))
        if name == "supplier" and self._chance.random() < 0.5:
            amount = free
        if how == "withdraw":
            return self._all.sign(
                name, tx.Withdraw, amount_ucoin=amount, payout_reference=digest(b"payout")
            )
        to = self._all.key(self._chance.choice(ANYONE)).public
        return self._all.sign(name, tx.Transfer, to=to, amount_ucoin=amount)

    # --- readings, true and false

    def _report(self) -> bytes | None:
        found = self.rounds(RoundStatus.CLEARED, RoundStatus.DELIVERED, RoundStatus.SETTLED)
        over = [
            (round_id, each)
            for round_id, each in found
            if each.slot_end_s <= self._all.now_s < each.settle_by_s or self._chance.random() < 0.02
        ]
        if not over:
            return None
        round_id, market_round = self._chance.choice(over)
        awards = [award for _, award in self._all.host.items("awards", round_id)]
        net_wh = {award.port: measured(self._chance, award) for award in awards}
        net_wh[""] = sum(net_wh.values()) + self._chance.choice((0, 0, 3, -200, 700, -4_000, 9_000))
        missing = self._chance.random() < 0.3
        readings = tuple(
            reading(self._all, self._chance, market_round, port, net_wh[port])
            for port in sorted(net_wh)
            if not missing or self._chance.random() < 0.7
        )
        site = self._all.host.get("sites", market_round.site.encode())
        by = self._all.names[site.operator]
        if self._chance.random() < 0.05:
            by = self._chance.choice(tuple(ROLES))
        if self._chance.random() < 0.04:
            readings = readings[::-1]
        return self._all.sign(by, tx.ReportReadings, round_id=round_id, readings=readings)

    # --- disputes and votes

    def _dispute(self) -> bytes | None:
        disputes = [(key, each) for key, each in self._all.host.items("disputes")]
        open_ones = [(key, each) for key, each in disputes if not each.resolved]
        if disputes and self._chance.random() < (0.5 if open_ones else 0.1):
            key, dispute = self._chance.choice(open_ones or disputes)
            credits = (0, 1, 1_000, dispute.frozen_ucoin, dispute.frozen_ucoin + 1)
            return self._all.sign(
                self._chance.choice(("regulator", "regulator", "regulator", "grid")),
                tx.ResolveDispute,
                order_id=key,
                credit_ucoin=self._chance.choice(credits),
            )
        rows = [
            (round_id, row)
            for round_id, _ in self.rounds(RoundStatus.SETTLED)
            for _, row in self._all.host.items("settlements", round_id)
        ]
        early = [
            (round_id, row)
            for round_id, _ in self.rounds(RoundStatus.CLEARED, RoundStatus.DELIVERED)
            for _, row in self._all.host.items("awards", round_id)
        ]
        rows = early if self._chance.random() < 0.1 else rows
        if not rows:
            return None
        round_id, row = self._chance.choice(rows)
        parts = ("paid_ucoin", "received_ucoin", "penalty_ucoin")
        stake = sum(getattr(row, part, 0) for part in parts)
        return self._all.sign(
            self._all.names[row.owner] if self._chance.random() < 0.9 else "eve",
            tx.OpenDispute,
            round_id=round_id,
            order_id=row.order_id,
            amount_ucoin=self._chance.choice((0, 1, stake // 2, stake, stake + 1)),
            statement_hash=digest(b"statement"),
        )

    def _membership(self) -> bytes:
        proposals = [(key, each) for key, each in self._all.host.items("proposals")]
        under_vote = [(key, each) for key, each in proposals if self._would_do(each)]
        if under_vote and self._chance.random() < 0.85:
            by = self._chance.choice((*ROLES, NEWCOMERS[0], "ann"))
            key, _ = max(under_vote, key=lambda each: (len(each[1].voters), each[0]))
            if self._chance.random() < 0.3:
                key, _ = self._chance.choice(under_vote)
            done = [key for key, each in proposals if each.done]
            if done and self._chance.random() < 0.12:
                key = self._chance.choice(done)
            return self._all.sign(by, tx.Vote, proposal_id=key)
        by = self._chance.choice((*ROLES, "ann"))
        return self._all.sign(by, tx.ProposeChange, change=self._change())

    def _would_do(self, proposal: Any) -> bool:
        """Whether there is a point in voting; rules that nobody has yet would stop the chain."""
        change = proposal.change
        height = self._all.host.height
        soon = isinstance(change, tx.UpgradeRules) and height < change.height < 10**6
        return not proposal.done and not soon

    def _change(self) -> tx.Change:
        """A role taken comes back before anything else is thought of."""
        members = dict(self._all.host.items("members"))
        for name, role in ROLES.items():
            key = self._all.key(name).public
            if key not in members or members[key].roles != role:
                known = members.get(key, Member(key=key, name=name, roles=0))
                return tx.AddMember(member=replace(known, roles=int(role)))
        what, height = self._chance.random(), self._all.host.height
        if what < 0.25:
            later = height + self._chance.choice((-1, 0, 1, 3, 10**6, 10**6))
            soon = height < later < height + 10**6
            version = 1 if soon else self._chance.choice((0, 1, 2, 2))
            return tx.UpgradeRules(rules_version=version, height=max(later, 0))
        who = self._chance.choice((*NEWCOMERS, DRIVERS[0], DRIVERS[6], "grid", "authority"))
        if what < 0.5:
            return tx.RemoveMember(key=self._all.key(who).public)
        if self._chance.random() < 0.15:
            who = self._chance.choice(tuple(ROLES))
        roles = 0 if who in ROLES else self._chance.randrange(64)
        key = self._all.key(who).public
        validators = (b"", b"", b"short", key, self._all.key("grid").public)
        validator = self._chance.choice(validators)
        return tx.AddMember(member=Member(key=key, name=who, roles=roles, validator=validator))
