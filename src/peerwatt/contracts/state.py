"""Every kind of state the ledger keeps, in one table, and what a contract may do with it.

Knows records. Hashed tables are proved by the app hash; the others are indexes that
follow from the messages, or rows on their way into a round's sealed trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from peerwatt.records.codec import Record
from peerwatt.records.market import (
    Award,
    Dispute,
    Order,
    Round,
    SettledAward,
    SlotLimit,
    Tariff,
)
from peerwatt.records.members import Account, Equivocation, Member, Meter, Port, Site
from peerwatt.records.readings import SignedReading
from peerwatt.records.receipts import Reason
from peerwatt.records.sealed import SealedOrder
from peerwatt.records.trades import RecordedTrade, WalletHistory
from peerwatt.records.transactions import Change
from peerwatt.units import (
    ChainId,
    Count,
    EnergyWh,
    Hash,
    Key,
    PriceDifferencePcoinPerKwh,
    PricePcoinPerKwh,
    PriceUcoinPerKwh,
    TimeS,
    TotalWh,
    Ucoin,
)

R = TypeVar("R")

POT = bytes(32)
REWARDS = bytes(31) + b"\1"
"""The account that rewards are paid out of; like the pot's, no key signs for it."""


class Chain(Record):
    """The chain's own record: its constants from genesis, its clock and its coins."""

    chain_id: ChainId
    tick_key: bytes
    market_time_s: TimeS
    rules_version: Count
    next_rules_version: Count
    next_rules_height: Count
    mint_epoch_s: Count
    mint_cap_ucoin: Ucoin
    mint_epoch: Count
    minted_in_epoch_ucoin: Ucoin
    issued_ucoin: Ucoin
    withdrawn_ucoin: Ucoin
    max_orders: Count
    max_work: Count
    dispute_window_s: Count
    equivocation_penalty_ucoin: Ucoin


class Proposal(Record):
    """A change that members vote on; `voters` ascend."""

    change: Change
    voters: tuple[Key, ...]
    done: bool


class Deposit(Record):
    """A deposit against which coins were minted, so that it counts once."""

    to: Key
    amount_ucoin: Ucoin


class MeterProgress(Record):
    """How far a meter's readings have come."""

    sequence: Count
    end_s: TimeS
    import_wh: Count
    export_wh: Count


class OrderAt(Record):
    """Which order stands for a port in a round; an awarded one until it is settled."""

    order_id: Hash


class PriceList(Record):
    """The prices of a clearing that a member proposes, as far as their parts have come."""

    prices_hash: Hash
    parts: Count
    next_part: Count
    prices: tuple[PricePcoinPerKwh, ...]
    feeder_prices: tuple[PriceDifferencePcoinPerKwh, ...] = ()


class Absence(Record):
    """An order whose agent was said to be silent in an auction; whether its owner has answered."""

    answered: bool


class Revision(Record):
    """The limit that an order's owner signed for the second of two rounds."""

    limit_ucoin_per_kwh: PriceUcoinPerKwh


class Served(Record):
    """What an order gets at the end of an auction, and at what price."""

    order_id: Hash
    energy_wh: EnergyWh
    price_ucoin_per_kwh: PriceUcoinPerKwh


class AuctionEnd(Record):
    """What the end of an auction that a member proposed comes to; `served` are those who get
    something."""

    served: tuple[Served, ...]
    import_wh: EnergyWh
    grid_price_ucoin_per_kwh: PriceUcoinPerKwh
    gap_ucoin: Ucoin
    traded_ucoin: Ucoin


class RewardTerms(Record):
    """What the reward account pays, and when the epoch that runs now ends."""

    end_s: Count
    epoch_s: Count
    contribution_ucoin: Ucoin
    proposer_ucoin: Ucoin


class Contribution(Record):
    """What a wallet has sold at a site, by its meter, in the epoch that runs now."""

    sold_wh: TotalWh


class Due(Record):
    """A round whose next step is due; the time is in the key."""

    round_id: bytes


@dataclass(frozen=True, slots=True)
class Table(Generic[R]):
    """One kind of state: its name, its record, whether the app hash covers it, its keys."""

    name: str
    record: Any
    hashed: bool
    keys: str


CHAIN_KEY = b"chain"
CHAIN: Table[Chain] = Table("chain", Chain, True, "`chain`")
MEMBERS: Table[Member] = Table("members", Member, True, "public key")
PROPOSALS: Table[Proposal] = Table("proposals", Proposal, True, "message id")
EQUIVOCATIONS: Table[Equivocation] = Table(
    "equivocations", Equivocation, True, "height (8 bytes), member's public key"
)
ACCOUNTS: Table[Account] = Table("accounts", Account, True, "public key (the pot: 32 zeros)")
DEPOSITS: Table[Deposit] = Table("deposits", Deposit, True, "deposit reference")
SITES: Table[Site] = Table("sites", Site, True, "site")
PORTS: Table[Port] = Table("ports", Port, True, "site / port")
METERS: Table[Meter] = Table("meters", Meter, True, "meter's public key")
TARIFFS: Table[Tariff] = Table("tariffs", Tariff, True, "tariff")
LIMITS: Table[SlotLimit] = Table("limits", SlotLimit, True, "slot start (8 bytes), site")
ROUNDS: Table[Round] = Table("rounds", Round, True, "slot start (8 bytes), site")
DISPUTES: Table[Dispute] = Table("disputes", Dispute, True, "order id")
ORDERS: Table[Order] = Table("orders", Order, False, "round; order id")
PORT_ORDERS: Table[OrderAt] = Table("port_orders", OrderAt, False, "round; port")
SEALED: Table[SealedOrder] = Table("sealed_orders", SealedOrder, False, "round; order id")
AWARDS: Table[Award] = Table("awards", Award, False, "round; order id")
READINGS: Table[SignedReading] = Table("readings", SignedReading, False, "round; port")
PRICES: Table[PriceList] = Table("prices", PriceList, False, "round; proposer's public key")
ABSENCES: Table[Absence] = Table("absences", Absence, False, "round; order id")
REVISIONS: Table[Revision] = Table("revisions", Revision, False, "round; order id")
AUCTIONS: Table[AuctionEnd] = Table("auctions", AuctionEnd, False, "round; proposer's public key")
SETTLEMENTS: Table[SettledAward] = Table("settlements", SettledAward, False, "round; order id")
METER_PROGRESS: Table[MeterProgress] = Table(
    "meter_progress", MeterProgress, False, "meter's public key"
)
TERMS_KEY = b"terms"
REWARD_TERMS: Table[RewardTerms] = Table("reward_terms", RewardTerms, False, "`terms`")
CONTRIBUTIONS: Table[Contribution] = Table(
    "contributions", Contribution, False, "site / wallet (32 bytes)"
)
HISTORIES: Table[WalletHistory] = Table("histories", WalletHistory, False, "wallet's public key")
TRADES: Table[RecordedTrade] = Table("trades", RecordedTrade, False, "round; buyer's order id")
AGENDA: Table[Due] = Table("agenda", Due, False, "due time (8 bytes), round")

TABLES: tuple[Table[Any], ...] = (
    CHAIN,
    MEMBERS,
    PROPOSALS,
    EQUIVOCATIONS,
    ACCOUNTS,
    DEPOSITS,
    SITES,
    PORTS,
    METERS,
    TARIFFS,
    LIMITS,
    ROUNDS,
    DISPUTES,
    ORDERS,
    PORT_ORDERS,
    SEALED,
    AWARDS,
    READINGS,
    PRICES,
    ABSENCES,
    REVISIONS,
    AUCTIONS,
    SETTLEMENTS,
    METER_PROGRESS,
    REWARD_TERMS,
    CONTRIBUTIONS,
    HISTORIES,
    TRADES,
    AGENDA,
)


class Readable(Protocol):
    """What a reader sees of the store."""

    def get(self, table: Table[R], key: bytes, scope: bytes = b"") -> R | None:
        """The record at this key, if any."""

    def items(self, table: Table[R], scope: bytes = b"") -> list[tuple[bytes, R]]:
        """All keys and records of a table (within a scope), keys ascending."""


class State(Readable, Protocol):
    """What a contract sees of the store: reads see own writes, only the host commits."""

    def put(self, table: Table[R], key: bytes, record: R, scope: bytes = b"") -> None:
        """Write the record at this key."""

    def delete(self, table: Table[R], key: bytes, scope: bytes = b"") -> None:
        """Take away the record at this key."""

    def seal(self, name: str, scope: bytes, items: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Keep these items, ids ascending, as a tree for proofs; its root."""


class InvariantError(RuntimeError):
    """A rule that can never break has broken: the node must stop."""


class Refusal(NamedTuple):
    """Why a message is refused, the field that is to blame, and what its signer pays for it."""

    reason: Reason
    field: str
    fine_ucoin: int = 0


def chain_of(state: Readable) -> Chain:
    """The chain's own record."""
    return must(state.get(CHAIN, CHAIN_KEY))


def put_chain(state: State, chain: Chain) -> None:
    """Write the chain's own record."""
    state.put(CHAIN, CHAIN_KEY, chain)


def must(record: R | None) -> R:
    """A record that has to be there; the node stops where it is not."""
    if record is None:
        raise InvariantError("a record that must exist is missing")
    return record


def port_key(site: str, port: str) -> bytes:
    """The key of a port."""
    return f"{site}/{port}".encode()
