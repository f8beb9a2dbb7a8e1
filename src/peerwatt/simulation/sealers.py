"""Whoever seals orders and shows them later: in time, late, otherwise than sealed, or never.

Knows the messages. All chance comes from one seeded generator.
"""

from __future__ import annotations

from random import Random
from typing import Any

from peerwatt.records import transactions as tx
from peerwatt.records.codec import digest
from peerwatt.records.market import Round, RoundStatus
from peerwatt.records.sealed import (
    DEPOSITS_UCOIN,
    BuyTerms,
    SealedOrder,
    SellTerms,
    Terms,
    commitment_of,
)
from peerwatt.simulation.parties import DRIVERS, Parties

DEPOSITS = (*DEPOSITS_UCOIN[:3], DEPOSITS_UCOIN[1], DEPOSITS_UCOIN[1], 0, DEPOSITS_UCOIN[1] + 1)


class Sealers:
    """Drivers in rounds whose orders are sealed."""

    def __init__(self, parties: Parties, chance: Random) -> None:
        self._all = parties
        self._chance = chance
        self._said: dict[bytes, tuple[Terms, bytes]] = {}
        """Terms and salt by commitment."""

    def reveal_by_s(self, gate_s: int, clear_by_s: int) -> int:
        """Until when a round's orders are shown; mostly they are open."""
        if self._chance.random() < 0.7:
            return 0
        if self._chance.random() < 0.04:
            return self._chance.choice((gate_s, clear_by_s))
        return gate_s + (clear_by_s - gate_s) // 2

    def sealed(self, transaction: bytes) -> bytes:
        """An order, or a seal of it where its round wants one, and sometimes where it does not."""
        order = tx.parse(transaction)[1]
        if not isinstance(order, tx.PlaceBuyOrder | tx.PlaceSellOrder):
            return transaction
        market_round: Round | None = self._all.host.get("rounds", order.round_id)
        wanted = market_round is not None and market_round.reveal_by_s > 0
        if wanted == (self._chance.random() < 0.03):
            return transaction
        kind = BuyTerms if isinstance(order, tx.PlaceBuyOrder) else SellTerms
        terms = kind(**{name: getattr(order, name) for name in kind.__struct_fields__})
        salt = digest(self._chance.randbytes(8))
        bound = (self._all.chain_id, order.signer, order.round_id, order.port)
        commitment = commitment_of(*bound, terms, salt)
        self._said[commitment] = terms, salt
        free = self._all.free_ucoin(self._all.names[order.signer])
        edge = [rung for rung in DEPOSITS_UCOIN if rung > free][:1]
        return self._all.sign(
            self._all.names[order.signer],
            tx.SealOrder,
            round_id=order.round_id,
            port=order.port,
            deposit_ucoin=self._chance.choice((*DEPOSITS, *edge)),
            commitment=commitment,
        )

    def awaited(self) -> list[tuple[bytes, Round]]:
        """Rounds whose orders are sealed, before their books close."""
        due = [entry.round_id for _, entry in self._all.host.items("agenda")]
        found = [(round_id, self._all.host.get("rounds", round_id)) for round_id in due]
        return [
            (round_id, each)
            for round_id, each in found
            if each.status == RoundStatus.OPEN and each.reveal_by_s
        ]

    def reveal(self) -> bytes | None:
        """Somebody shows an order, or tries to show another's, or another one."""
        rows: list[tuple[bytes, SealedOrder]] = [
            (round_id, sealed)
            for round_id, _ in self.awaited()
            for _, sealed in self._all.host.items("sealed_orders", round_id)
        ]
        if not rows:
            return None
        round_id, sealed = self._chance.choice(rows)
        if not self._said:
            return None
        # What was forged on its way binds nobody to anything that is known.
        terms, salt = self._said.get(sealed.commitment, next(iter(self._said.values())))
        odd = self._chance.random()
        changed: dict[str, Any] = {}
        if odd < 0.06:
            changed["terms"] = self._chance.choice([*self._said.values()])[0]
        elif odd < 0.12:
            changed["salt"] = digest(b"another")
        elif odd < 0.15:
            changed["order_id"] = digest(b"no order")
        elif odd < 0.18:
            rounds = [key for key, _ in self._all.host.items("rounds")]
            changed["round_id"] = self._chance.choice((*rounds, round_id + b"?"))
        usual = {"round_id": round_id, "order_id": sealed.order_id, "terms": terms, "salt": salt}
        by = self._all.names[sealed.owner]
        by = self._chance.choice(DRIVERS) if self._chance.random() < 0.12 else by
        return self._all.sign(by, tx.RevealOrder, **(usual | changed))
