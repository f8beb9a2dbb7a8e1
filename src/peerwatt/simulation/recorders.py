"""Drivers that record what they traded: as it was, and in every way in which it was not.

Knows the messages and, as anybody does, the state after the head. All chance comes from one seeded
generator.
"""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple

from peerwatt.records import transactions as tx
from peerwatt.records.codec import digest
from peerwatt.records.market import NO_HASH, Round, SettledAward, Side
from peerwatt.records.trades import MAX_TAGS, TradeKind
from peerwatt.simulation.parties import DRIVERS, WINDOW_S, Parties

LATE_S = 600
"""So long before a record would be too late, most of what is said is right."""


class _Whole(NamedTuple):
    """A settled round with both sides; `new` are purchases of energy that have no record yet."""

    round_id: bytes
    bought: list[SettledAward]
    sold: list[SettledAward]
    new: list[SettledAward]


class Recorders:
    """Buyers and sellers after the settlement."""

    def __init__(self, parties: Parties, chance: Random) -> None:
        self._all = parties
        self._chance = chance

    @property
    def weight(self) -> int:
        """How much there is to say: most where energy moved of which nobody has said so yet."""
        whole = self._whole()
        return 300 if any(each.new for each in whole) else 16 * bool(whole)

    def act(self) -> bytes | None:
        """A record of a settled purchase, if there is one. Cars seldom trade here, and what is
        right can be said once, so most of what is said has one thing wrong."""
        found = self._settled()
        if found is None:
            return None
        whole, bought, sold = found
        market_round = self._all.host.get("rounds", whole.round_id)
        buyer, seller = self._all.names[bought.owner], self._all.names[sold.owner]
        message: dict[str, Any] = {
            "round_id": whole.round_id,
            "order_id": bought.order_id,
            "sale_id": sold.order_id,
            "seller": sold.owner,
            "trade_kind": self._chance.choice(tuple(TradeKind)),
            "tags": self._chance.choice(((), ("v2v",), ("night", "v2v"))),
            "history": self._head(bought.owner),
            "seller_history": self._head(sold.owner),
            "time_s": self._chance.choice((market_round.slot_end_s, self._all.now_s)),
            "body": b"sealed",
        }
        cosigner = seller
        late = self._all.now_s + LATE_S >= market_round.settle_by_s + WINDOW_S
        if self._chance.random() < (0.4 if late else 0.95):
            lies = self._wrong(message, market_round)
            lie = self._chance.randrange(len(lies) + 12)
            if lie < len(lies):
                message |= lies[lie]
            elif lie < len(lies) + 2:
                buyer = self._chance.choice(DRIVERS)
            elif lie < len(lies) + 4:
                cosigner = self._chance.choice((*DRIVERS, ""))
            else:
                cosigner = self._another(message, whole)
        return self._all.sign(buyer, tx.RecordTrade, cosigner, **message)

    def _settled(self) -> tuple[_Whole, SettledAward, SettledAward] | None:
        """A purchase and a sale of one round, mostly of one that has no record yet."""
        whole = self._whole()
        if not whole:
            return None
        new = [each for each in whole if each.new]
        found = self._chance.choice(new if new and self._chance.random() < 0.9 else whole)
        bought = found.new if found.new and self._chance.random() < 0.9 else found.bought
        return found, self._chance.choice(bought), self._one_of(found.sold)

    def _whole(self) -> list[_Whole]:
        """The settled rounds in which somebody bought and somebody sold."""
        host, found = self._all.host, []
        for _, entry in host.items("agenda"):
            round_id = entry.round_id
            rows = [row for _, row in host.items("settlements", round_id)]
            bought = [row for row in rows if row.side == Side.BUY]
            sold = [row for row in rows if row.side == Side.SELL]
            said = dict(host.items("trades", round_id))
            new = [row for row in bought if row.metered_wh and row.order_id not in said]
            if bought and sold:
                moved = any(row.metered_wh for row in sold)
                found.append(_Whole(round_id, bought, sold, new if moved else []))
        return found

    def _one_of(self, rows: list[SettledAward]) -> SettledAward:
        """An award, mostly one under which energy has changed hands."""
        moved = [row for row in rows if row.metered_wh]
        return self._chance.choice(moved if moved and self._chance.random() < 0.95 else rows)

    def _another(self, message: dict[str, Any], whole: _Whole) -> str:
        """Another driver signs as the seller: of the sale, or of what it bought itself."""
        row = self._chance.choice(whole.bought)
        name = self._all.names[row.owner]
        if self._chance.random() < 0.5:
            message["sale_id"] = row.order_id
        else:
            name = self._chance.choice(DRIVERS)
        seller = self._all.key(name).public
        message |= {"seller": seller, "seller_history": self._head(seller)}
        return name

    def _head(self, wallet: bytes) -> bytes:
        """A wallet's newest record, as it stands."""
        known = self._all.host.get("histories", wallet)
        head: bytes = NO_HASH if known is None else known.head
        return head

    def _wrong(self, message: dict[str, Any], market_round: Round) -> tuple[dict[str, Any], ...]:
        """One thing in a record that is not as it should be."""
        other = self._chance.choice([key for key, _ in self._all.host.items("rounds")])
        return (
            {"round_id": message["round_id"][:-1] + b"?"},
            {"round_id": other},
            {"order_id": message["sale_id"]},
            {"order_id": digest(b"no order")},
            {"sale_id": message["order_id"]},
            {"sale_id": digest(b"no order")},
            {"seller": self._all.key(self._chance.choice(DRIVERS)).public},
            {"tags": ("v2v", "night")},
            {"tags": ("v2v", "v2v")},
            {"tags": tuple(f"tag-{at}" for at in range(MAX_TAGS + 1))},
            {"time_s": market_round.slot_end_s - 1},
            {"time_s": self._all.now_s + 1},
            {"history": digest(b"another")},
            {"seller_history": digest(b"another")},
        )
