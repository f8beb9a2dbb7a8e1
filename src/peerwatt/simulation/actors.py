"""What the parties of a ledger under attack do: what they may, what they may not, and lies.

Knows the messages and, as anybody does, the state after the head. All chance comes from one
seeded generator. Knows nothing of the network, the disk or the checkers.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from msgspec.structs import replace

from peerwatt.records import transactions as tx
from peerwatt.records.codec import CodecError, decode, digest
from peerwatt.records.market import Award, Mechanism, Round, RoundStatus, Side, SlotLimit
from peerwatt.records.members import Member
from peerwatt.records.readings import MeterReading, SignedReading, sign_reading
from peerwatt.simulation.parties import (
    ANYONE,
    CLEAR_LEAD_S,
    DRIVERS,
    GATE_LEAD_S,
    NEWCOMERS,
    PORTS,
    ROLES,
    SETTLE_LAG_S,
    SITES,
    SLOT_S,
    Parties,
)

PRICES = (0, 150_000, 250_000, 300_000, 350_000, 400_000, 450_000, 500_000, 500_000, 500_001)
COINS = (0, 1, 500_000, 10**6, 10**7, 10**9, 10**17)
STEPS_S = (1, 30, 60, 60, 120, 180, 300, 300, 900)
ASKS = (0, 80_000, 80_000, 100_000, 150_000, 150_000, 200_000, 450_000, 500_001)
ENERGY_WH = (0, 1, 700, 1_500, 1_500, 2_000, 2_000, 2_750, 2_750, 2_751)


class Actors:
    """Everybody with a key, each with a mind of its own."""

    def __init__(self, parties: Parties, chance: Random) -> None:
        self._all = parties
        self._chance = chance

    def act(self) -> bytes | None:
        """Somebody's next message, if there is one to send."""
        weighted: tuple[tuple[Callable[[], bytes | None], int], ...] = (
            (self._opening, 2),
            (self._plug, 4),
            (self._order, 14),
            (self._cancel, 1),
            (self._report, 6),
            (self._money, 3),
            (self._dispute, 2),
            (self._membership, 1),
        )
        doings, weights = zip(*weighted, strict=True)
        [do] = self._chance.choices(doings, weights)
        message: bytes | None = do()
        return message

    def tick(self) -> bytes:
        """The clock's next message; sometimes it skips much."""
        return self._all.tick(self._chance.choice(STEPS_S))

    def spoil(self, transaction: bytes) -> bytes:
        """The transaction with a bit flipped, forged, too late, or for another chain."""
        how = self._chance.choice(("bit", "forged", "late", "chain", "nonce"))
        if how == "bit":
            at = self._chance.randrange(len(transaction))
            flipped = transaction[at] ^ 1 << self._chance.randrange(8)
            return transaction[:at] + bytes([flipped]) + transaction[at + 1 :]
        try:
            message = tx.decode_message(decode(transaction, tx.Transaction).message)
        except CodecError:  # an amount beyond all bounds is spoilt already
            return transaction
        signer = self._all.key(self._all.names[message.signer])
        if how == "forged":
            signer = self._all.key("stranger")
        elif how == "late":
            message = replace(message, valid_until_s=self._all.now_s - 1)
        elif how == "chain":
            message = replace(message, chain_id="sim-another")
        else:
            message = replace(message, nonce=message.nonce + 1)
        return tx.sign_message(message, signer)

    def _site_of_chance(self) -> tuple[str, str]:
        return self._chance.choice(tuple(SITES.items()))

    def _opening(self) -> bytes:
        site, operator = self._site_of_chance()
        start_s = (self._all.now_s // SLOT_S + self._chance.choice((0, 1, 1, 1, 2, 2, 3))) * SLOT_S
        if self._chance.random() < 0.15:
            limit = SlotLimit(
                slot_start_s=start_s,
                import_limit_w=self._chance.choice((0, 2_000, 50_000)),
                export_limit_w=0,
            )
            return self._all.sign("grid", tx.PublishLimits, site=site, limits=(limit,))
        end_s = start_s + SLOT_S
        return self._all.sign(
            operator,
            tx.OpenRound,
            site=site,
            tariff="day",
            mechanism=self._chance.choice(tuple(Mechanism)),
            gate_s=start_s - GATE_LEAD_S,
            clear_by_s=start_s - CLEAR_LEAD_S,
            slot_start_s=start_s,
            slot_end_s=end_s,
            settle_by_s=end_s + SETTLE_LAG_S,
        )

    def _plug(self) -> bytes:
        site, operator = self._site_of_chance()
        port = self._chance.choice((*PORTS, "p9")) if self._chance.random() < 0.1 else ""
        port = port or self._chance.choice(PORTS)
        found = self._all.host.get("ports", f"{site}/{port}".encode())
        if found is not None and found.wallet and self._chance.random() < 0.25:
            return self._all.sign(operator, tx.CheckOut, site=site, port=port)
        wallet = self._all.key(self._chance.choice((*DRIVERS, "stranger"))).public
        return self._all.sign(operator, tx.CheckIn, site=site, port=port, wallet=wallet)

    def rounds(self, *statuses: RoundStatus) -> list[tuple[bytes, Round]]:
        """The rounds in any of these states."""
        return [
            (key, each) for key, each in self._all.host.items("rounds") if each.status in statuses
        ]

    def _order(self) -> bytes | None:
        rounds = self.rounds(RoundStatus.OPEN)
        if not rounds:
            return self._opening()
        round_id, market_round = self._chance.choice(rounds)
        port, by = self._chance.choice(self._free(round_id, market_round.site))
        if not by or self._chance.random() < 0.05:
            by = self._chance.choice(DRIVERS)
        most = self._chance.choice(ENERGY_WH)
        if self._chance.random() < 0.5:
            return self._all.sign(
                by,
                tx.PlaceSellOrder,
                round_id=round_id,
                port=port,
                max_wh=most,
                ask_ucoin_per_kwh=self._chance.choice(ASKS),
                slope_ucoin_per_kwh2=self._chance.choice((0, 10_000, 70_000)),
            )
        low, high = sorted((self._chance.choice(PRICES), self._chance.choice(PRICES)))
        return self._all.sign(
            by,
            tx.PlaceBuyOrder,
            round_id=round_id,
            port=port,
            min_wh=self._chance.choice((0, 0, most // 3, most)),
            max_wh=most,
            price_low_ucoin_per_kwh=low,
            price_high_ucoin_per_kwh=high,
        )

    def _free(self, round_id: bytes, site: str) -> list[tuple[str, str]]:
        """Ports without an order in the round, and who is plugged in there; else all ports."""
        plugged = [
            (port, self._all.names.get(found.wallet, ""))
            for port in PORTS
            if (found := self._all.host.get("ports", f"{site}/{port}".encode())) is not None
        ]
        free = [
            (port, by)
            for port, by in plugged
            if by and self._all.host.get("port_orders", port.encode(), round_id) is None
        ]
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
        by = self._all.names[order.owner] if self._chance.random() < 0.9 else "stranger"
        return self._all.sign(by, tx.CancelOrder, round_id=round_id, order_id=order.order_id)

    def _money(self) -> bytes:
        how = self._chance.choice(("mint", "transfer", "withdraw", "wallet"))
        name = self._chance.choice(ANYONE)
        if how == "wallet":
            return self._all.wallet(self._chance.choice(DRIVERS))
        if how == "mint":
            cosigner = self._chance.choice(("regulator", "regulator", "grid", ""))
            return self._all.mint(name, self._chance.choice((0, 1, 100, 9_000)), cosigner)
        amount = self._chance.choice(COINS)
        if how == "withdraw":
            return self._all.sign(
                name, tx.Withdraw, amount_ucoin=amount, payout_reference=digest(b"payout")
            )
        to = self._all.key(self._chance.choice(ANYONE)).public
        return self._all.sign(name, tx.Transfer, to=to, amount_ucoin=amount)

    # --- readings, true and false

    def _report(self) -> bytes | None:
        over = [
            (round_id, each)
            for round_id, each in self.rounds(RoundStatus.CLEARED, RoundStatus.DELIVERED)
            if each.slot_end_s <= self._all.now_s < each.settle_by_s or self._chance.random() < 0.02
        ]
        if not over:
            return None
        round_id, market_round = self._chance.choice(over)
        awards = [award for _, award in self._all.host.items("awards", round_id)]
        net_wh = {award.port: self._measured(award) for award in awards}
        net_wh[""] = sum(net_wh.values()) + self._chance.choice((0, 0, 3, -200))
        missing = self._chance.random() < 0.3
        readings = tuple(
            self._reading(market_round, port, net_wh[port])
            for port in sorted(net_wh)
            if not missing or self._chance.random() < 0.7
        )
        by = SITES[market_round.site]
        if self._chance.random() < 0.05:
            by = self._chance.choice(tuple(ROLES))
        return self._all.sign(by, tx.ReportReadings, round_id=round_id, readings=readings)

    def _measured(self, award: Award) -> int:
        """What a meter saw, towards the device: as awarded, less, nothing, or more."""
        share = self._chance.choice((1, 1, 1, 1, 0.5, 0, 1.3))
        energy_wh = int(award.energy_wh * share)
        return energy_wh if award.side == Side.BUY else -energy_wh

    def _reading(self, market_round: Round, port: str, net_wh: int) -> SignedReading:
        meter = self._all.meter(market_round.site, port)
        last = self._all.host.get("meter_progress", meter.public)
        sequence, bought, sold = (
            (last.sequence, last.import_wh, last.export_wh) if last is not None else (0, 0, 0)
        )
        lie = self._chance.choices(("", "repeated", "forged", "other slot"), (88, 4, 4, 4))[0]
        shift_s = SLOT_S if lie == "other slot" else 0
        reading = MeterReading(
            meter=meter.public,
            sequence=sequence + (lie != "repeated"),
            start_s=market_round.slot_start_s + shift_s,
            end_s=market_round.slot_end_s + shift_s,
            import_start_wh=bought,
            import_end_wh=bought + max(net_wh, 0),
            export_start_wh=sold,
            export_end_wh=sold + max(-net_wh, 0),
        )
        signer = self._all.key("stranger") if lie == "forged" else meter
        return sign_reading(reading, signer, self._all.chain_id)

    # --- disputes and votes

    def _dispute(self) -> bytes | None:
        disputes = [key for key, each in self._all.host.items("disputes") if not each.resolved]
        credit = self._chance.choice((0, 1, 1_000, 10**9))
        if disputes and self._chance.random() < 0.5:
            return self._all.sign(
                self._chance.choice(("regulator", "regulator", "grid")),
                tx.ResolveDispute,
                order_id=self._chance.choice(disputes),
                credit_ucoin=credit,
            )
        rows = [
            (round_id, row)
            for round_id, _ in self.rounds(RoundStatus.SETTLED)
            for _, row in self._all.host.items("settlements", round_id)
        ]
        if not rows:
            return None
        round_id, row = self._chance.choice(rows)
        return self._all.sign(
            self._all.names[row.owner] if self._chance.random() < 0.9 else "eve",
            tx.OpenDispute,
            round_id=round_id,
            order_id=row.order_id,
            amount_ucoin=self._chance.choice((1, row.paid_ucoin, row.received_ucoin, 10**9)),
            statement_hash=digest(b"statement"),
        )

    def _membership(self) -> bytes:
        proposals = [key for key, each in self._all.host.items("proposals") if not each.done]
        if proposals and self._chance.random() < 0.85:
            by = self._chance.choice((*ROLES, *NEWCOMERS[:1]))
            return self._all.sign(by, tx.Vote, proposal_id=self._chance.choice(proposals))
        who = self._chance.choice((*NEWCOMERS, DRIVERS[0]))
        key, by = self._all.key(who).public, self._chance.choice((*ROLES, "stranger"))
        change: tx.Change = tx.RemoveMember(key=key)
        if self._chance.random() < 0.7:
            roles = self._chance.randrange(64)
            change = tx.AddMember(member=Member(key=key, name=who, roles=roles))
        return self._all.sign(by, tx.ProposeChange, change=change)
