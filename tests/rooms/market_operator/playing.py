"""Agents and an auctioneer at one table: drawn books, and all their words without wires."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pair_books import HUB

from peerwatt.agents.bidder import Bidder
from peerwatt.agents.ports import BuyIntent, Intent, SellIntent
from peerwatt.agents.preferences import preference_of
from peerwatt.market_operator.auction import Absence, Rules
from peerwatt.market_operator.auctioneer import Auctioneer
from peerwatt.records.auction import SignedAllocation, SignedBid, SignedInvitation
from peerwatt.records.codec import digest
from peerwatt.records.market import BuyOrder, FeederRoom, Mechanism, Order, Prices, SellOrder
from peerwatt.records.signing import SigningKey
from peerwatt.units import UCOIN_PER_COIN, cost_ceil_ucoin

CHAIN = "sim-table"
ROUND_ID = b"round-one"
OPERATOR = SigningKey(digest(b"operator"))
REPORT_BY_MS, END_MS = 600_000, 1_200_000


@dataclass(frozen=True)
class Terms:
    """As much of a round as its auction needs."""

    prices: Prices = HUB
    import_limit_wh: int = 20_000
    export_limit_wh: int = 0
    orders_root: bytes = bytes(32)
    mechanism: Mechanism = Mechanism.ITERATIVE_AUCTION
    feeders: tuple[FeederRoom, ...] = ()
    book_hash: bytes = bytes(32)
    lot_wh: int = 0


@dataclass
class Table:
    """One round's auction, its words carried by hand. `meddle` sees each bid on its way and gives
    what arrives: none for silence."""

    intents: list[Intent]
    terms: Terms = field(default_factory=Terms)
    rules: Rules = field(default_factory=Rules)
    meddle: Callable[[SignedBid], SignedBid | None] = lambda signed: signed

    def __post_init__(self) -> None:
        self.keys = [SigningKey(digest(f"agent {at}".encode())) for at in range(len(self.intents))]
        self.ids = [digest(b"order" + key.public) for key in self.keys]
        listed = zip(self.ids, self.keys, self.intents, strict=True)
        self.orders = sorted(
            (order_of(order_id, key.public, intent) for order_id, key, intent in listed),
            key=lambda order: order.order_id,
        )
        self.bidders = {
            order_id: Bidder(
                preference_of(intent, self.terms.prices.lost_load_ucoin_per_kwh),
                held_usd=held_ucoin(intent) / UCOIN_PER_COIN,
                order_id=order_id,
                round_id=ROUND_ID,
                key=key,
                auctioneer=OPERATOR.public,
                chain_id=CHAIN,
            )
            for order_id, key, intent in zip(self.ids, self.keys, self.intents, strict=True)
        }
        self.key_of = dict(zip(self.ids, self.keys, strict=True))
        self.intent_of = dict(zip(self.ids, self.intents, strict=True))
        self.auctioneer = Auctioneer(
            ROUND_ID,
            self.terms,  # type: ignore[arg-type]
            self.orders,
            key=OPERATOR,
            chain_id=CHAIN,
            report_by_ms=REPORT_BY_MS,
            end_by_ms=END_MS,
            rules=self.rules,
        )
        self.now_ms = 0
        self.absences: list[bytes] = []

    def play(self) -> Table:
        """Until it is over; who does not answer is waited for until the deadline."""
        words: list[Any] = self.auctioneer.start(self.now_ms)
        while words or not self.auctioneer.over:
            heard: list[Any] = []
            for word in words:
                for bid in self.answers(word):
                    heard += self.auctioneer.hear(bid, self.now_ms)
            if not heard and not self.auctioneer.over:
                self.now_ms = self.auctioneer.deadline_ms
                heard = self.auctioneer.wait(self.now_ms)
            words = heard
        return self

    def answers(self, word: Any) -> list[SignedBid]:
        match word:
            case SignedInvitation():
                bids = [each.invited(word) for each in self.bidders.values()]
            case SignedAllocation():
                bids = [self.bidders[word.allocation.order_id].allocated(word)]
            case Absence(order_ids):
                self.absences += order_ids
                bids = []
        arriving = [self.meddle(bid) for bid in bids if bid is not None]
        return [bid for bid in arriving if bid is not None]


def order_of(order_id: bytes, owner: bytes, intent: Intent) -> Order:
    """What of an intent stands in the book: no curve."""
    common: dict[str, Any] = {
        "order_id": order_id, "owner": owner, "port": "p", "max_wh": intent.max_wh,
        "held_ucoin": held_ucoin(intent),
    }  # fmt: skip
    if isinstance(intent, BuyIntent):
        limit = intent.price_high_ucoin_per_kwh
        flat = {"price_high_ucoin_per_kwh": limit, "price_low_ucoin_per_kwh": limit}
        return BuyOrder(min_wh=intent.min_wh, **flat, **common)
    return SellOrder(ask_ucoin_per_kwh=intent.ask_ucoin_per_kwh, slope_ucoin_per_kwh2=0, **common)


def held_ucoin(intent: Intent) -> int:
    """What the ledger would hold of a buyer."""
    if isinstance(intent, SellIntent):
        return 0
    rest_wh = intent.max_wh - intent.min_wh
    lost_load = HUB.lost_load_ucoin_per_kwh
    rest_ucoin = cost_ceil_ucoin(rest_wh, intent.price_high_ucoin_per_kwh)
    return cost_ceil_ucoin(intent.min_wh, lost_load) + rest_ucoin


def drawn(chance: Random, buyers: int, sellers: int) -> list[Intent]:
    """Urgent and easy buyers, some with a minimum; cheap and dear sellers."""
    found: list[Intent] = []
    for _ in range(buyers):
        most = chance.choice([300, 900, 1_650, 5_500])
        low = chance.randrange(80_000, 300_000)
        high = min(round(low * chance.choice([1.05, 1.3, 2, 4])), 500_000)
        least = chance.choice([0, 0, most // 4, most // 2])
        found.append(
            BuyIntent(
                min_wh=least, max_wh=most, price_high_ucoin_per_kwh=high,
                price_low_ucoin_per_kwh=low,
            )
        )  # fmt: skip
    for _ in range(sellers):
        found.append(
            SellIntent(
                max_wh=chance.choice([500, 1_650, 3_000]),
                ask_ucoin_per_kwh=chance.randrange(60_000, 250_000),
                slope_ucoin_per_kwh2=chance.choice([1_000, 10_000, 30_000]),
            )
        )
    return found
