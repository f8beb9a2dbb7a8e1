"""A small hub that trades all the time on a network of validators, and remembers what it was told.

Knows the parties, the messages and the network's client. Honest but for the messages that a fault
asks for; all waiting is for blocks, so nothing here passes while the network stands still.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, TypeVar

from msgspec.structs import replace

from peerwatt.contracts.invariants import broken_invariants
from peerwatt.hosts.cometbft.client import CometHost, Confirmed
from peerwatt.hosts.cometbft.localnet import validator_key
from peerwatt.hosts.cometbft.rpc import Unusable
from peerwatt.records import transactions as tx
from peerwatt.records.codec import decode, digest, encode
from peerwatt.records.market import Mechanism, RoundStatus, Side
from peerwatt.records.members import Genesis
from peerwatt.records.readings import MeterReading, SignedReading, sign_reading
from peerwatt.records.receipts import Reason, Receipt
from peerwatt.records.signing import SigningKey, derive_key
from peerwatt.simulation.failures import require
from peerwatt.simulation.parties import (
    CHARGE_W,
    CLEAR_LEAD_S,
    CLOCK,
    DISCHARGE_W,
    PROPOSE_LEAD_S,
    SETTLE_LAG_S,
    SLOT_S,
    Parties,
)

VALIDATORS = ("operator-north", "grid", "regulator", "supplier")
PENALTY_UCOIN = 2_000_003
SITE, OPERATOR = "north", "operator-north"
DRIVERS = ("ann", "bob", "cat", "dan")
PORTS = ("p1", "p2", "p3", "p4")
FUNDED = (*DRIVERS, "supplier", "grid", "regulator", "operator-north", "operator-south")
TIMEOUT_S = 120.0
POLL_S = 0.2
T = TypeVar("T")
ON_TICKS = 6


class ChaosParties(Parties):
    """The parties of a chain on ticks, four of whose members run validators."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed * ON_TICKS, Random(seed))

    def _derived(self, label: str) -> SigningKey:
        return derive_key(self._seed, label, self.chain_id)

    def founded(self) -> bytes:
        """The genesis, with who runs a validator, and a penalty for signing two blocks."""
        known = decode(self.genesis(), Genesis)
        members = [
            replace(each, validator=validator_key(self._seed, self.chain_id, each.name).public)
            if each.name in VALIDATORS
            else each
            for each in known.members
        ]
        return encode(
            replace(
                known,
                members=tuple(members),
                equivocation_penalty_ucoin=PENALTY_UCOIN,
                max_orders=8,
                max_work=1_000,
            )
        )

    @property
    def seed(self) -> int:
        """From which all keys follow."""
        return self._seed


class Market:
    """The hub's rounds, one after another.

    Attributes:
        told: every transaction that this client was told stands in a block, with that block's
            height and the receipt.
    """

    def __init__(self, parties: ChaosParties, host: CometHost, chance: Random) -> None:
        self.parties, self.host, self._chance = parties, host, chance
        parties.host = host
        self.told: dict[bytes, tuple[int, Receipt]] = {}
        self.settled = 0

    def found(self) -> None:
        """The site, its ports, wallets, coins and cars plugged in."""
        parties, key = self.parties, self.parties.key
        site: dict[str, Any] = {
            "site": SITE,
            "supplier": key("supplier").public,
            "grid_operator": key("grid").public,
            "main_meter": parties.meter(SITE, "").public,
            "import_limit_w": 40_000,
            "export_limit_w": 20_000,
            "slot_s": SLOT_S,
        }
        self.send(parties.tariff("day"))
        self.send(parties.sign(OPERATOR, tx.RegisterSite, cosigner="grid", **site))
        for port in PORTS:
            plug: dict[str, Any] = {"site": SITE, "port": port}
            plug |= {"charge_limit_w": CHARGE_W, "discharge_limit_w": DISCHARGE_W}
            meter = parties.meter(SITE, port).public
            self.send(parties.sign(OPERATOR, tx.RegisterPort, meter=meter, **plug))
        authority = key("authority")
        for name in DRIVERS:
            token = authority.sign(tx.WALLET_DOMAIN, parties.chain_id, key(name).public)
            self.send(parties.sign(name, tx.OpenWallet, authority=authority.public, token=token))
        self.wait()
        for number, name in enumerate(FUNDED):
            self.send(self._mint(name, number))
        for name, port in zip(DRIVERS, PORTS, strict=True):
            plugged: dict[str, Any] = {"site": SITE, "port": port, "wallet": key(name).public}
            self.send(parties.sign(OPERATOR, tx.CheckIn, **plugged))
        self.wait()

    def _mint(self, to: str, number: int) -> bytes:
        return self.parties.sign(
            "issuer",
            tx.Mint,
            cosigner="regulator",
            to=self.parties.key(to).public,
            amount_ucoin=300_000_000,
            deposit_reference=digest(f"chaos {number}".encode()),
        )

    def send(self, transaction: bytes) -> None:
        """Offer what must be let in."""
        receipt = _patiently(lambda: self.host.submit(transaction))
        reason = Reason(receipt.reason).name
        require(receipt.ok, "honest messages", f"not let in: {reason} {receipt.field}")
        self.parties.let_in(transaction)

    def wait(self) -> None:
        """Until all that was offered stands in blocks; every receipt must be good."""
        first = self.host.height
        done = partial(self.host.wait_until, lambda: not self.host.pending, timeout_s=TIMEOUT_S)
        _patiently(done)
        require(not self.host.dropped, "nothing lost", "what was let in was refused later")
        self.parties.forget()
        self.note(first)

    def note(self, after: int) -> None:
        """Remember the receipts of the blocks after one; nothing is accepted twice."""
        for height in range(after + 1, self.host.height + 1):
            for receipt in self.host.receipts(height):
                known = self.told.get(receipt.transaction_id)
                again = known is not None and known[1].ok and receipt.ok and known[0] != height
                require(not again, "nothing twice", f"{receipt.transaction_id.hex()} again")
                if known is None or receipt.ok:
                    self.told[receipt.transaction_id] = height, receipt

    def attempt(self, transaction: bytes) -> Confirmed:
        """Offer what may be refused; what became of it."""
        first = self.host.height
        found = _patiently(lambda: self.host.confirm(transaction, timeout_s=TIMEOUT_S))
        self.note(first)
        return found

    def tick(self, time_s: int) -> None:
        """Market time moves on."""
        if time_s > self.parties.now_s:
            self.send(self.parties.sign(CLOCK, tx.Tick, time_s=time_s, valid_until_s=time_s))
            self.wait()

    def trade(self) -> None:
        """A round from its opening until it is paid, and a transfer beside it."""
        round_id = self.open_round(Mechanism.WELFARE)
        self.order(round_id)
        amount = self._chance.randrange(1, 1_000)
        to = self.parties.key("bob").public
        self.send(self.parties.sign("ann", tx.Transfer, to=to, amount_ucoin=amount))
        self.wait()
        self.tick(self.host.get("rounds", round_id).clear_by_s)
        self.deliver(round_id)
        self.send(self.report(round_id))
        self.wait()
        self.finish(round_id)

    def open_round(self, mechanism: Mechanism) -> bytes:
        """A round for the next slot; its id."""
        start_s = (self.parties.now_s // SLOT_S + 2) * SLOT_S
        opening = self.parties.sign(
            OPERATOR,
            tx.OpenRound,
            site=SITE,
            tariff="day",
            mechanism=mechanism,
            gate_s=start_s - PROPOSE_LEAD_S,
            clear_by_s=start_s - CLEAR_LEAD_S,
            slot_start_s=start_s,
            slot_end_s=start_s + SLOT_S,
            settle_by_s=start_s + SLOT_S + SETTLE_LAG_S,
        )
        self.send(opening)
        self.wait()
        rounds = self.host.items("rounds")
        return next(key for key, each in rounds if each.slot_start_s == start_s)

    def order(self, round_id: bytes) -> None:
        """Half of the cars buy, the others sell."""
        for at, (name, port) in enumerate(zip(DRIVERS, PORTS, strict=True)):
            what: dict[str, Any] = {"round_id": round_id, "port": port}
            what["max_wh"] = self._chance.randrange(700, 2_400)
            if at % 2:
                what |= {"ask_ucoin_per_kwh": 100_000, "slope_ucoin_per_kwh2": 10_000}
                self.send(self.parties.sign(name, tx.PlaceSellOrder, **what))
            else:
                what |= {"price_low_ucoin_per_kwh": 250_000, "price_high_ucoin_per_kwh": 450_000}
                self.send(self.parties.sign(name, tx.PlaceBuyOrder, min_wh=0, **what))
        self.wait()

    def deliver(self, round_id: bytes) -> None:
        """The slot passes, in which all is delivered as awarded."""
        found = self.host.get("rounds", round_id)
        require(found.status == RoundStatus.CLEARED, "rounds", f"{found.status.name} at its slot")
        self.tick(found.slot_end_s)

    def report(self, round_id: bytes, signer: str = "") -> bytes:
        """All readings of a round; forged ones are signed by `signer` in the meters' place."""
        found = self.host.get("rounds", round_id)
        net_wh = {
            award.port: award.energy_wh if award.side == Side.BUY else -award.energy_wh
            for _, award in self.host.items("awards", round_id)
        }
        net_wh[""] = sum(net_wh.values())
        readings = tuple(
            self._reading(port, net_wh[port], found.slot_start_s, signer) for port in sorted(net_wh)
        )
        return self.parties.sign(OPERATOR, tx.ReportReadings, round_id=round_id, readings=readings)

    def _reading(self, port: str, net_wh: int, start_s: int, signer: str) -> SignedReading:
        meter = self.parties.meter(SITE, port)
        last = self.host.get("meter_progress", meter.public)
        before = (0, 0, 0) if last is None else (last.sequence, last.import_wh, last.export_wh)
        sequence, bought, sold = before
        reading = MeterReading(
            meter=meter.public,
            sequence=sequence + 1,
            start_s=start_s,
            end_s=start_s + SLOT_S,
            import_start_wh=bought,
            import_end_wh=bought + max(net_wh, 0),
            export_start_wh=sold,
            export_end_wh=sold + max(-net_wh, 0),
        )
        key = self.parties.key(signer) if signer else meter
        return sign_reading(reading, key, self.parties.chain_id)

    def finish(self, round_id: bytes) -> None:
        """The round must have been paid by now."""
        found = self.host.get("rounds", round_id)
        require(found.totals is not None, "rounds", f"{found.status.name} with all readings in")
        self.settled += 1

    def check(self) -> None:
        """What must hold of the state that this client executed itself."""
        broken = broken_invariants(self.host.state)
        require(not broken, "invariants", "; ".join(broken))


def _patiently(do: Callable[[], T]) -> T:
    """Do something, again while no node can be reached: what was offered before changes nothing."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return do()
        except Unusable:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(POLL_S)
