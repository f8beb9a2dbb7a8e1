"""The whole ledger under random messages: valid, senseless, forged, replayed and out of time.

After every block the invariants hold; what admission lets in, the block accepts, and what it
refuses, the block refuses alike; in the end every round ends and the chain runs again to the same
hash.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from msgspec.structs import replace
from small_hub import (
    FIRST_SLOT_S,
    OK,
    PORTS,
    SLOT_S,
    SmallHub,
    answer,
    genesis,
    key,
    public,
    round_id,
    times,
)

from peerwatt.contracts import ledger
from peerwatt.contracts.invariants import broken_invariants
from peerwatt.contracts.life import FINAL
from peerwatt.contracts.state import ACCOUNTS, DISPUTES, ROUNDS, TABLES
from peerwatt.hosts.replica import Replica
from peerwatt.hosts.store import Store
from peerwatt.records import transactions as tx
from peerwatt.records.codec import CodecError, decode, digest, encode
from peerwatt.records.market import Mechanism, SlotLimit
from peerwatt.records.members import Member

DRIVERS = tuple(PORTS)
MEMBERS = ("operator", "grid", "regulator", "authority", "supplier", "issuer")
ANYONE = st.sampled_from((*DRIVERS, *MEMBERS, "stranger"))
COINS = st.sampled_from([0, 1, 500_000, 10**7, 10**9, 10**17])
ENERGY_WH = st.sampled_from([0, 1, 700, 1_500, 2_750, 2_751])
PRICES = st.sampled_from([0, 80_000, 150_000, 300_000, 450_000, 500_000, 500_001])
SLOTS = st.integers(-1, 3)


class LedgerMachine(RuleBasedStateMachine):
    """One small hub; messages are drawn to make sense about as often as not."""

    @initialize(work=st.sampled_from([1, 3, 1_000]), rich=st.booleans())
    def begin(self, work: int, rich: bool) -> None:
        limits = {"max_work": work, "max_orders": 3, "dispute_window_s": SLOT_S}
        self.first = genesis(**limits)
        self.hub = SmallHub(**limits).site(coins=100 if rich else 0)
        self.hub.drivers(*DRIVERS, coins=10)
        self.sent: list[bytes] = []

    @property
    def slot(self) -> int:
        """The first slot that has not begun."""
        return max(0, -(-(self.hub.now_s - FIRST_SLOT_S) // SLOT_S))

    # --- what happens

    @rule(data=st.data(), count=st.integers(1, 6))
    def messages(self, data: st.DataObject, count: int) -> None:
        """Some messages wait together; what was let in is accepted in the block."""
        let_in = 0
        for _ in range(count):
            transaction = self.message(data)
            let_in += self.hub.host.submit(transaction).ok
            self.sent.append(transaction)
        assert self.hub.host.pending == let_in
        self.hub.block()
        receipts = self.hub.host.receipts(self.hub.host.height)
        assert [answer(each) for each in receipts] == [OK] * let_in

    @rule(data=st.data())
    def smuggled(self, data: st.DataObject) -> None:
        """A message goes into a block unchecked: it fares as admission said, and where refused
        changes at most its signer's nonce."""
        transaction = self.spoilt(data)
        admission = answer(self.hub.host.submit(transaction))
        if admission == OK:
            assert self.hub.block() == [OK]
        else:
            before = {row[:3]: row[3] for row in self.hub.state() if row[0] == "accounts"}
            [in_block] = self.hub.block(transaction)
            assert in_block == admission
            for table, scope, at, record in self.hub.state():
                if table == ACCOUNTS.name and not self.hub.events():
                    known = before[table, scope, at]
                    assert replace(record, nonce=0) == replace(known, nonce=0)

    @rule(seconds=st.sampled_from([0, 1, 60, 300, SLOT_S, 4 * SLOT_S]))
    def time_passes(self, seconds: int) -> None:
        self.hub.block(at=self.hub.now_s + seconds)

    @rule(data=st.data())
    def a_round_is_lived_through(self, data: st.DataObject) -> None:
        """The next slot in good order, so that rounds with trade settle; readings may differ."""
        hub, slot = self.hub, self.slot + 1
        hub.block(self.by("operator", tx.OpenRound, **times(slot)))
        for name in DRIVERS[:3]:
            hub.block(self.order(data, name, slot))
        hub.block(at=times(slot)["slot_end_s"])
        net_wh = {port: data.draw(st.integers(-2_750, 2_750)) for port in ("", "p1", "p2", "p3")}
        readings = hub.readings(net_wh, slot)
        hub.block(
            self.by("operator", tx.ReportReadings, readings=readings, round_id=round_id(slot))
        )

    def teardown(self) -> None:
        if not hasattr(self, "hub"):
            return
        hub = self.hub
        hub.block(at=hub.now_s + 32 * 86_400)
        while any(each.status not in FINAL for _, each in hub.items(ROUNDS)):
            hub.block()
            assert hub.events()
        disputed = any(not each.resolved for _, each in hub.items(DISPUTES))
        held = sum(account.held_ucoin for _, account in hub.items(ACCOUNTS))
        assert held == 0 or disputed
        self.replayed()

    def replayed(self) -> None:
        """The chain runs again to the same hash, and every record can be read back."""
        replica = Replica(ledger, Store(None), encode(self.first))
        for height in range(1, self.hub.host.height + 1):
            replica.accept(self.hub.host.block(height))
        assert replica.app_hash == self.hub.host.app_hash
        records = {table.name: table.record for table in TABLES}
        for table, _, _, record in self.hub.state():
            assert decode(encode(record), records[table]) == record
        assert broken_invariants(replica.state) == []

    # --- messages

    def by(self, name: str, kind: type[Any], cosigner: str = "", **fields: Any) -> bytes:
        return self.hub.sign(kind, name, cosigner=cosigner, **fields)

    def spoilt(self, data: st.DataObject) -> bytes:
        """A message as it is, sent before, changed in a byte, for another chain, too late, with
        another nonce or in another's name."""
        how = data.draw(st.sampled_from(["as it is"] * 3 + ["replay", "byte", "forged", "late"]))
        if how == "replay" and self.sent:
            return data.draw(st.sampled_from(self.sent))
        transaction = self.message(data)
        if how == "byte":
            at = data.draw(st.integers(0, len(transaction) - 1))
            flipped = transaction[at] ^ 1 << data.draw(st.integers(0, 7))
            return transaction[:at] + bytes([flipped]) + transaction[at + 1 :]
        if how in ("forged", "late"):
            with suppress(CodecError):
                return self.by_another(data, transaction, how)
        return transaction

    def by_another(self, data: st.DataObject, transaction: bytes, how: str) -> bytes:
        """The message signed by anyone, or too late and by whom it names."""
        message = tx.decode_message(decode(transaction, tx.Transaction).message)
        if how == "forged":
            return tx.sign_message(message, key(data.draw(ANYONE)))
        names = {public(name): name for name in (*DRIVERS, *MEMBERS, "stranger")}
        late = replace(message, valid_until_s=self.hub.now_s - 1)
        return tx.sign_message(late, key(names[message.signer]))

    def message(self, data: st.DataObject) -> bytes:
        """One of the messages, by somebody who may send it or by anyone."""
        makers = (
            self.money,
            self.plug,
            self.opening,
            self.any_order,
            self.any_order,
            self.any_order,
            self.reading,
            self.dispute,
            self.membership,
            self.cancel,
        )
        return data.draw(st.sampled_from(makers))(data)

    def money(self, data: st.DataObject) -> bytes:
        amount = {"amount_ucoin": data.draw(COINS)}
        to = {"to": public(data.draw(ANYONE))}
        name = data.draw(ANYONE)
        kind = data.draw(st.sampled_from([tx.Transfer, tx.Withdraw, tx.Mint]))
        if kind is tx.Mint:
            reference = digest(bytes([data.draw(st.integers(0, 9))]))
            cosigner = data.draw(st.sampled_from(["regulator", "grid", ""]))
            return self.by("issuer", kind, cosigner, deposit_reference=reference, **to, **amount)
        return self.by(name, kind, **amount, **(to if kind is tx.Transfer else {}))

    def plug(self, data: st.DataObject) -> bytes:
        port = data.draw(st.sampled_from([*PORTS.values(), "p9"]))
        if data.draw(st.booleans()):
            return self.by("operator", tx.CheckOut, port=port)
        return self.by("operator", tx.CheckIn, port=port, wallet=public(data.draw(ANYONE)))

    def opening(self, data: st.DataObject) -> bytes:
        slot = self.slot + data.draw(SLOTS)
        if data.draw(st.booleans()):
            watts = {"import_limit_w": data.draw(st.sampled_from([0, 2_000, 50_000]))}
            limit = SlotLimit(slot_start_s=times(slot)["slot_start_s"], export_limit_w=0, **watts)
            return self.by("grid", tx.PublishLimits, limits=(limit,))
        mechanism = data.draw(st.sampled_from(Mechanism))
        return self.by("operator", tx.OpenRound, mechanism=mechanism, **times(slot))

    def any_order(self, data: st.DataObject) -> bytes:
        return self.order(data, data.draw(ANYONE), self.slot + data.draw(SLOTS))

    def order(self, data: st.DataObject, name: str, slot: int) -> bytes:
        at = {"round_id": round_id(slot), "port": PORTS.get(name, "p1")}
        most = data.draw(ENERGY_WH)
        if data.draw(st.booleans()):
            ask = data.draw(PRICES)
            return self.by(name, tx.PlaceSellOrder, max_wh=most, ask_ucoin_per_kwh=ask, **at)
        low, high = data.draw(PRICES), data.draw(PRICES)
        return self.by(
            name, tx.PlaceBuyOrder, max_wh=most, min_wh=min(most, data.draw(ENERGY_WH)),
            price_low_ucoin_per_kwh=low, price_high_ucoin_per_kwh=high, **at,
        )  # fmt: skip

    def cancel(self, data: st.DataObject) -> bytes:
        orders = [
            (round_at, order)
            for round_at, _ in self.hub.items(ROUNDS)
            for _, order in self.hub.host.items("orders", round_at)
        ]
        if not orders:
            return self.by("ann", tx.CancelOrder, order_id=digest(b"none"))
        round_at, order = data.draw(st.sampled_from(orders))
        owners = {public(name): name for name in DRIVERS}
        name = data.draw(st.sampled_from([owners.get(order.owner, "ann"), "bob"]))
        return self.by(name, tx.CancelOrder, round_id=round_at, order_id=order.order_id)

    def reading(self, data: st.DataObject) -> bytes:
        slot = self.slot - data.draw(st.integers(0, 3))
        ports = data.draw(st.lists(st.sampled_from(["", "p1", "p2", "p4"]), max_size=3))
        net_wh = {port: data.draw(st.integers(-2_750, 2_750)) for port in ports}
        readings = self.hub.readings(net_wh, max(slot, 0))
        return self.by(
            "operator", tx.ReportReadings, readings=readings, round_id=round_id(max(slot, 0))
        )

    def dispute(self, data: st.DataObject) -> bytes:
        rows = [
            (round_at, row)
            for round_at, _ in self.hub.items(ROUNDS)
            for _, row in self.hub.host.items("settlements", round_at)
        ]
        if not rows:
            return self.by("regulator", tx.ResolveDispute, order_id=digest(b"none"))
        round_at, row = data.draw(st.sampled_from(rows))
        amount = data.draw(st.sampled_from([0, 1, row.paid_ucoin, 10**9]))
        if data.draw(st.booleans()):
            return self.by(
                "regulator", tx.ResolveDispute, order_id=row.order_id, credit_ucoin=amount
            )
        owners = {public(name): name for name in DRIVERS}
        return self.by(
            owners.get(row.owner, "ann"), tx.OpenDispute, round_id=round_at,
            order_id=row.order_id, amount_ucoin=amount,
        )  # fmt: skip

    def membership(self, data: st.DataObject) -> bytes:
        proposals = [at for at, _ in self.hub.host.items("proposals")]
        if proposals and data.draw(st.booleans()):
            member = data.draw(st.sampled_from(MEMBERS))
            return self.by(member, tx.Vote, proposal_id=data.draw(st.sampled_from(proposals)))
        name = data.draw(ANYONE)
        newcomer = Member(key=public(name), name="new", roles=data.draw(st.integers(0, 64)))
        changes: tuple[Any, ...] = (
            tx.AddMember(member=newcomer),
            tx.RemoveMember(key=public(data.draw(st.sampled_from(["authority", "stranger"])))),
        )
        change = data.draw(st.sampled_from(changes))
        return self.by(data.draw(ANYONE), tx.ProposeChange, change=change)


LedgerMachine.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=20,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestLedger = LedgerMachine.TestCase
