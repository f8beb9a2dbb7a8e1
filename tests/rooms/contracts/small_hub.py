"""A small hub on an embedded host: members, a site with ports, wallets with coins, a tariff.

Every block is followed by the invariants. Knows the messages and how each is usually filled in,
so that a test states only what is special about its case.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from fines import FAILED_PENALTY, fined
from msgspec.structs import replace

from peerwatt.contracts import ledger
from peerwatt.contracts.invariants import broken_invariants
from peerwatt.contracts.state import ACCOUNTS, ROUNDS, Table
from peerwatt.hosts.embedded import EmbeddedHost
from peerwatt.hosts.store import Store
from peerwatt.records import transactions as tx
from peerwatt.records.codec import digest, encode
from peerwatt.records.market import (
    NO_HASH,
    Mechanism,
    PriceRule,
    Round,
    SlotLimit,
    TariffStep,
    round_key,
)
from peerwatt.records.members import Account, Genesis, Member, Role
from peerwatt.records.readings import MeterReading, SignedReading, sign_reading
from peerwatt.records.receipts import Reason, Receipt
from peerwatt.records.signing import SigningKey
from peerwatt.units import UCOIN_PER_COIN

CHAIN_ID = "sim-small-hub"
PRODUCTION_ID = "small-hub"
START_S = 1_700_000_100
FIRST_SLOT_S = START_S + 1_800
SLOT_S = 900
GATE_LEAD_S, CLEAR_LEAD_S, SETTLE_LAG_S, WINDOW_S = 60, 30, 600, 86_400
END_S = START_S + 7 * 86_400
SITE = "garage"
MEMBERS = {
    "operator": Role.AGGREGATOR,
    "grid": Role.GRID_OPERATOR,
    "regulator": Role.REGULATOR,
    "authority": Role.REGISTRATION_AUTHORITY,
    "supplier": Role.SUPPLIER,
    "issuer": Role.ISSUER,
}
PORTS = {"ann": "p1", "bob": "p2", "cat": "p3", "dan": "p4"}
FEEDERS = {"p1": "east", "p2": "west", "p3": "east", "p4": "west"}
PORT_W = 11_000
RETAIL, FEED_IN, LOST_LOAD, PENALTY = 300_000, 80_000, 500_000, 50_000
FEES = (10_000, 5_000, 5_000)

USUAL: dict[type[Any], dict[str, Any]] = {
    tx.ProposeChange: {}, tx.Vote: {}, tx.OpenWallet: {}, tx.Tick: {"time_s": START_S + 60},
    tx.Mint: {"amount_ucoin": UCOIN_PER_COIN, "deposit_reference": digest(b"deposit")},
    tx.Withdraw: {"amount_ucoin": UCOIN_PER_COIN, "payout_reference": digest(b"payout")},
    tx.Transfer: {"amount_ucoin": UCOIN_PER_COIN},
    tx.RegisterSite: {
        "site": SITE, "import_limit_w": 40_000, "export_limit_w": 20_000, "slot_s": SLOT_S,
        "feeders": ("east", "west"),
    },
    tx.RegisterPort: {"site": SITE, "charge_limit_w": PORT_W, "discharge_limit_w": PORT_W},
    tx.PublishTariff: {
        "tariff": "day",
        "price_rule": PriceRule.MIDPOINT,
        "steps": (TariffStep(
            from_s=START_S, retail_ucoin_per_kwh=RETAIL, feed_in_ucoin_per_kwh=FEED_IN
        ),),
        "end_s": END_S,
        "network_fee_ucoin_per_kwh": FEES[0],
        "platform_fee_ucoin_per_kwh": FEES[1],
        "levy_ucoin_per_kwh": FEES[2],
        "lost_load_ucoin_per_kwh": LOST_LOAD,
        "shortfall_penalty_ucoin_per_kwh": PENALTY,
        "failed_clearing_penalty_ucoin": FAILED_PENALTY,
    },
    tx.PublishLimits: {"site": SITE, "limits": (SlotLimit(
        slot_start_s=FIRST_SLOT_S, import_limit_w=8_000, export_limit_w=4_000
    ),)},
    tx.OpenRound: {
        "site": SITE,
        "tariff": "day",
        "mechanism": Mechanism.WELFARE,
        "gate_s": FIRST_SLOT_S - GATE_LEAD_S,
        "clear_by_s": FIRST_SLOT_S - CLEAR_LEAD_S,
        "slot_start_s": FIRST_SLOT_S,
        "slot_end_s": FIRST_SLOT_S + SLOT_S,
        "settle_by_s": FIRST_SLOT_S + SLOT_S + SETTLE_LAG_S,
    },
    tx.RecordTrade: {}, tx.CheckIn: {"site": SITE}, tx.CheckOut: {"site": SITE},
    tx.PlaceBuyOrder: {
        "round_id": round_key(SITE, FIRST_SLOT_S),
        "min_wh": 500,
        "max_wh": 2_000,
        "price_high_ucoin_per_kwh": 400_000,
        "price_low_ucoin_per_kwh": 200_000,
    },
    tx.PlaceSellOrder: {
        "round_id": round_key(SITE, FIRST_SLOT_S),
        "max_wh": 2_000,
        "ask_ucoin_per_kwh": 150_000,
        "slope_ucoin_per_kwh2": 10_000,
    },
    tx.OpenDispute: {
        "round_id": round_key(SITE, FIRST_SLOT_S),
        "amount_ucoin": 1_000,
        "statement_hash": digest(b"statement"),
    },
    tx.ResolveDispute: {"credit_ucoin": 400}, tx.RequestOpening: {"statement_hash": NO_HASH},
    tx.ConsentOpening: {"commitment": NO_HASH}, tx.FundRewards: {"amount_ucoin": UCOIN_PER_COIN},
    tx.ProposeClearing: {"round_id": round_key(SITE, FIRST_SLOT_S), "part": 0, "parts": 1},
    **{kind: {"round_id": round_key(SITE, FIRST_SLOT_S)} for kind in (
        tx.CancelOrder, tx.ReportReadings, tx.ProposeAuction, tx.ReportAbsence, tx.ConfirmPresence,
        tx.ReviseOrder, tx.SealOrder, tx.RevealOrder,
    )},
}  # fmt: skip
"""The usual fields of each message; what names a key or an id is filled in by the test."""


def key(name: str) -> SigningKey:
    """The key of a party, wallet or meter of the small hub."""
    return SigningKey(digest(f"small hub/{name}".encode()))


def public(name: str) -> bytes:
    return key(name).public


def genesis(**changes: Any) -> Genesis:
    """What the small hub starts from."""
    members = [Member(key=public(name), name=name, roles=role) for name, role in MEMBERS.items()]
    usual: dict[str, Any] = {
        "chain_id": CHAIN_ID,
        "tick_key": public("clock"),
        "start_s": START_S,
        "rules_version": 1,
        "members": tuple(sorted(members, key=lambda member: member.key)),
        "mint_epoch_s": 3_600,
        "mint_cap_ucoin": 100_000 * UCOIN_PER_COIN,
        "max_orders": 100,
        "max_work": 1_000,
        "dispute_window_s": WINDOW_S,
    }
    return Genesis(**(usual | changes))


class Answer(NamedTuple):
    """What the ledger said to one transaction."""

    reason: Reason
    field: str


OK = Answer(Reason.OK, "")
NO_WALLET = (Reason.UNKNOWN_MEMBER, Reason.BAD_COSIGNATURE)
"""Why a first message may be refused; there is no nonce yet that it could spend."""


def answer(receipt: Receipt) -> Answer:
    return Answer(Reason(receipt.reason), receipt.field)


class SmallHub:
    """The chain of a small hub and its clock; `site` founds the site, `drivers` plugs cars in."""

    def __init__(self, **changes: Any) -> None:
        first = genesis(**changes)
        self.chain_id = first.chain_id
        self.ticks = bool(first.tick_key)
        self.host = EmbeddedHost(ledger, Store(None), key("operator"), encode(first))
        self.now_s = first.start_s
        self._signed: dict[bytes, int] = {}

    def sign(self, kind: type[Any], by: str, *, cosigner: str = "", **fields: Any) -> bytes:
        """A signed transaction with its signer's next nonce; unnamed fields are the usual ones."""
        signer = public(by)
        ahead = self._signed.get(signer, 0)
        self._signed[signer] = ahead + 1
        usual = {
            "chain_id": self.chain_id,
            "signer": signer,
            "nonce": self.account(by).nonce + ahead,
            "valid_until_s": END_S,
        }
        message = kind(**(usual | USUAL[kind] | fields))
        return tx.sign_message(message, key(by), key(cosigner) if cosigner else None)

    def block(self, *transactions: bytes, at: int | None = None) -> list[Answer]:
        """Seal a block of these transactions unchecked, at a time or now; their answers."""
        moves = () if at is None else self.moves(at)
        self.now_s = self.now_s if at is None else at
        self.host.seal(self.now_s, extra=(*moves, *transactions))
        self._signed.clear()
        assert broken_invariants(self) == []
        return [answer(each) for each in self.host.receipts(self.host.height)[len(moves) :]]

    def moves(self, at: int) -> tuple[bytes, ...]:
        """What begins a block at this time: a tick, where ticks move the clock."""
        tick = {"time_s": at, "valid_until_s": at}
        return (self.sign(tx.Tick, "clock", **tick),) if self.ticks else ()

    def do(self, kind: type[Any], by: str, *, cosigner: str = "", **fields: Any) -> bytes:
        """Have one message accepted, by admission and in its block; the id of the message."""
        return self.done(self.sign(kind, by, cosigner=cosigner, **fields))

    def done(self, transaction: bytes) -> bytes:
        """Have a transaction accepted, by admission and in its block; the id of the message."""
        assert answer(self.host.submit(transaction)) == OK
        assert self.block() == [OK]
        return message_id(transaction)

    def refused(self, kind: type[Any], by: str, *, cosigner: str = "", **fields: Any) -> Answer:
        """How one message is refused: alike by admission and in its block, which changes nothing
        but its signer's nonce."""
        return self.rejected(self.sign(kind, by, cosigner=cosigner, **fields))

    def rejected(self, transaction: bytes) -> Answer:
        """How a transaction is refused: in its block, and alike by admission unless it is fined."""
        before = self.rows_by_slot()
        admission = answer(self.host.submit(transaction))
        assert self.rows_by_slot() == before
        [in_block] = self.block(*(() if self.host.pending else (transaction,)))
        assert admission == in_block != OK or in_block.reason >= Reason.WRONG_BOOK
        after = self.rows_by_slot()
        changed = [at for at in before | after if before.get(at) != after.get(at)]
        if in_block.reason >= Reason.WRONG_BOOK:
            assert admission == (OK if len(changed) > 1 else in_block)
            assert after == before | fined(transaction, before)
        elif in_block.reason < Reason.EXPIRED:
            assert changed == []
        elif changed:
            [at] = changed
            assert after[at] == replace(before[at], nonce=before[at].nonce + 1)
        else:
            assert in_block.reason in NO_WALLET
        return in_block

    def get(self, table: Table[Any], at: bytes, scope: bytes = b"") -> Any:
        return self.host.get(table.name, at, scope)

    def items(self, table: Table[Any], scope: bytes = b"") -> list[tuple[bytes, Any]]:
        return self.host.items(table.name, scope)

    def state(self) -> list[tuple[str, bytes, bytes, Any]]:
        """Every record of the chain: table, scope, key, record."""
        scopes = [b"", *(at for at, _ in self.items(ROUNDS))]
        return [
            (table.name, scope, at, record)
            for table in ledger.TABLES
            for scope in ([b""] if table.hashed else scopes)
            for at, record in self.items(table, scope)
        ]

    def rows_by_slot(self) -> dict[tuple[str, bytes, bytes], Any]:
        return {row[:3]: row[3] for row in self.state()}

    def account(self, name: str) -> Account:
        return self.get(ACCOUNTS, public(name)) or Account()

    def free(self, name: str) -> int:
        return self.account(name).free_ucoin

    def round(self, slot: int = 0) -> Round:
        found: Round = self.host.get("rounds", round_id(slot))
        return found

    def rows(self, table: str, slot: int = 0) -> dict[str, Any]:
        """A round's rows of a table by the name of their port."""
        scope = round_id(slot)
        return {row.port: row for _, row in self.host.items(table, scope)}

    def events(self) -> list[str]:
        """What happened in the newest block."""
        return [event.kind for _, event in self.host.events(self.host.height)]

    # --- set-up

    def site(self, *, coins: int = 100, **tariff: Any) -> SmallHub:
        """Register the site with its ports and publish the tariff; supplier and operator funded."""
        register = self.sign(
            tx.RegisterSite, "operator", cosigner="grid", grid_operator=public("grid"),
            supplier=public("supplier"), main_meter=public("meter/"),
        )  # fmt: skip
        ports = [
            self.sign(
                tx.RegisterPort, "operator", port=port, feeder=feeder, meter=public(f"meter/{port}")
            )
            for port, feeder in FEEDERS.items()
        ]
        publish = self.sign(tx.PublishTariff, "supplier", cosigner="grid", **tariff)
        money = [self.minted("supplier", coins * 10), self.minted("operator", coins)]
        answers = self.block(register, *ports, publish, *money)
        assert answers == [OK] * len(answers)
        return self

    def drivers(self, *names: str, coins: int = 100) -> SmallHub:
        """Open wallets with coins and plug them in, each at its own port."""
        wallets = [self.wallet(name) for name in names]
        money = [self.minted(name, coins) for name in names if coins]
        plugs = [
            self.sign(tx.CheckIn, "operator", port=PORTS[name], wallet=public(name))
            for name in names
        ]
        answers = self.block(*wallets, *money, *plugs)
        assert answers == [OK] * len(answers)
        return self

    def wallet(self, name: str) -> bytes:
        token = key("authority").sign(tx.WALLET_DOMAIN, self.chain_id, public(name))
        return self.sign(tx.OpenWallet, name, authority=public("authority"), token=token)

    def minted(self, name: str, coins: int) -> bytes:
        return self.sign(
            tx.Mint, "issuer", cosigner="regulator", to=public(name),
            amount_ucoin=coins * UCOIN_PER_COIN, deposit_reference=digest(f"for {name}".encode()),
        )  # fmt: skip

    def open(self, *slots: int, **fields: Any) -> SmallHub:
        """Open the rounds of these slots, the first one if none is named."""
        for slot in slots or (0,):
            self.do(tx.OpenRound, "operator", **(times(slot) | fields))
        return self

    def buy(self, name: str, slot: int = 0, **fields: Any) -> bytes:
        at = {"round_id": round_id(slot), "port": PORTS[name]}
        return self.do(tx.PlaceBuyOrder, name, **(at | fields))

    def sell(self, name: str, slot: int = 0, **fields: Any) -> bytes:
        at = {"round_id": round_id(slot), "port": PORTS[name]}
        return self.do(tx.PlaceSellOrder, name, **(at | fields))

    def gate(self, slot: int = 0) -> list[str]:
        """Let the gate fall; what happened."""
        self.block(at=FIRST_SLOT_S + slot * SLOT_S - GATE_LEAD_S)
        return self.events()

    def report(self, net_wh: dict[str, int], slot: int = 0, at: int | None = None) -> list[Answer]:
        """Report what the meters of these ports measured, towards the device; after the slot."""
        if at is None:
            at = end_s(slot) + 30
        self.block(at=at)
        readings = self.readings(net_wh, slot)
        message = self.sign(
            tx.ReportReadings, "operator", round_id=round_id(slot), readings=readings
        )
        return self.block(message)

    def readings(self, net_wh: dict[str, int], slot: int = 0) -> tuple[SignedReading, ...]:
        """Signed readings of a slot, by port, ascending."""
        return tuple(self.reading(port, net, slot) for port, net in sorted(net_wh.items()))

    def reading(self, port: str, net_wh: int, slot: int = 0, **fields: Any) -> SignedReading:
        """What the meter at a port signs after a slot, going on from its last reading."""
        progress = self.host.get("meter_progress", public(f"meter/{port}"))
        sequence, bought, sold = (
            (progress.sequence, progress.import_wh, progress.export_wh) if progress else (0, 0, 0)
        )
        usual = {
            "meter": public(f"meter/{port}"),
            "sequence": sequence + 1,
            "start_s": start_s(slot),
            "end_s": end_s(slot),
            "import_start_wh": bought,
            "import_end_wh": bought + max(net_wh, 0),
            "export_start_wh": sold,
            "export_end_wh": sold + max(-net_wh, 0),
        }
        reading = MeterReading(**(usual | fields))
        return sign_reading(reading, key(f"meter/{port}"), self.chain_id)


def message_id(transaction: bytes) -> bytes:
    """The id of the message that a transaction carries."""
    return digest(msgspec.msgpack.decode(transaction)[0])


def start_s(slot: int) -> int:
    return FIRST_SLOT_S + slot * SLOT_S


def end_s(slot: int) -> int:
    return start_s(slot) + SLOT_S


def round_id(slot: int = 0) -> bytes:
    return round_key(SITE, start_s(slot))


def times(slot: int) -> dict[str, int]:
    """The times of a slot's round."""
    shift = slot * SLOT_S
    names = ("gate_s", "clear_by_s", "slot_start_s", "slot_end_s", "settle_by_s")
    return {name: USUAL[tx.OpenRound][name] + shift for name in names}
