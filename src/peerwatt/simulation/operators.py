"""Members that propose clearings: honest ones, and all that a dishonest one could think of.

Knows the operator's solver and the messages. All chance comes from one seeded generator.
"""

from __future__ import annotations

from random import Random
from typing import Any

from peerwatt.records import transactions as tx
from peerwatt.records.market import Mechanism, RoundStatus, prices_hash
from peerwatt.simulation.auctioneers import Auctioneers
from peerwatt.simulation.parties import LOST_LOAD, ROLES, Parties

WAITING = (RoundStatus.CLOSED, RoundStatus.PROPOSED)
EDGES = (0, 1, 10**11, LOST_LOAD * 10**6, LOST_LOAD * 10**6 + 1)
SHIFTS = (-(10**7), -1, 10**7, 10**8, 3 * 10**8, 10**9, 2 * 10**10)


class Operators:
    """Whoever clears a round, each by its own lights."""

    def __init__(self, parties: Parties, chance: Random) -> None:
        self._all = parties
        self._chance = chance
        self._auctioneers = Auctioneers(parties, chance)
        self._solved: dict[bytes, tuple[int, ...]] = {}

    def act(self) -> bytes | None:
        """A proposal, or a part of one, for a round that waits for it; true or false."""
        rounds = self._rounds()
        if not rounds:
            return None
        round_id = self._chance.choice(rounds)
        auctioned = self._all.host.get("rounds", round_id).mechanism == Mechanism.ITERATIVE_AUCTION
        if self._chance.random() < (0.95 if auctioned else 0.06):
            return self._auctioneers.act(round_id)
        by = self._chance.choice(("operator-north", "operator-south", "grid", "regulator"))
        if self._chance.random() < 0.1:
            by = self._chance.choice((*ROLES, "ann"))
        prices = self._prices(round_id)
        if prices is None:
            return None
        lie = self._chance.random()
        if lie < 0.25:
            prices = self._false(prices)
        message = self._part(round_id, by, prices)
        if lie > 0.8:
            message |= self._chance.choice(self._wrong(message))
        return self._all.sign(by, tx.ProposeClearing, **message)

    def _wrong(self, message: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        """One thing in a proposal that is not as it should be."""
        prices = message["prices"]
        return (
            {"round_id": message["round_id"][:-1] + b"?"},
            {"orders_root": bytes(32)},
            {"prices_hash": bytes(32)},
            {"parts": 0},
            {"parts": 1_001},
            {"part": message["part"] + 1},
            {"prices": (*prices, *prices, 0)},
            {"feeder_prices": (1,)},
        )

    def are_awaited(self) -> bool:
        """Whether a round waits for proposals."""
        return bool(self._rounds(0.0))

    def _rounds(self, others: float = 0.03) -> list[bytes]:
        """The rounds that wait for proposals, and now and then one that does not."""
        host, found = self._all.host, []
        for _, entry in host.items("agenda"):
            status = host.get("rounds", entry.round_id).status
            if status in WAITING or self._chance.random() < others:
                found.append(entry.round_id)
        # A round without orders is void before proposals would be too late.
        void = [key for key, each in host.items("rounds")[-4:] if each.status == RoundStatus.VOID]
        return [*found, *void] if self._chance.random() < 4 * others else found

    def _prices(self, round_id: bytes) -> tuple[int, ...] | None:
        """What an honest operator proposes; solved once for a book."""
        from peerwatt.market_operator.round import awaits_proposal, solve_round

        market_round = self._all.host.get("rounds", round_id)
        root = market_round.orders_root
        if root not in self._solved:
            if not awaits_proposal(market_round):
                return (0,)
            found = solve_round(self._all.host, round_id)
            if found is None:
                return None
            self._solved[root] = found
        return self._solved[root]

    def _false(self, prices: tuple[int, ...]) -> tuple[int, ...]:
        """A price moved, one left out, one too many, or all for a friend."""
        how = self._chance.choice(("moved", "moved", "edge", "short", "long", "scaled", "turned"))
        if how == "short" or not prices:
            return prices[:-1]
        if how == "long":
            return (*prices, prices[-1])
        if how == "turned":
            return prices[::-1]
        if how == "scaled":
            return tuple(price * self._chance.choice((9, 10, 11)) // 10 for price in prices)
        at = self._chance.randrange(len(prices))
        moved = max(prices[at] + self._chance.choice(SHIFTS), 0)
        if how == "edge":
            moved = self._chance.choice(EDGES)
        return (*prices[:at], moved, *prices[at + 1 :])

    def _part(self, round_id: bytes, by: str, prices: tuple[int, ...]) -> dict[str, Any]:
        """The next part of what this member has begun; mostly all of it at once."""
        begun = self._all.host.get("prices", self._all.key(by).public, round_id)
        part, parts = 0, 1
        if begun is not None and begun.next_part < begun.parts:
            part, parts = begun.next_part, begun.parts
        elif self._chance.random() < 0.3:
            parts = 2
        half = len(prices) if parts == 1 else len(prices) // 2
        return {
            "round_id": round_id,
            "orders_root": self._all.host.get("rounds", round_id).orders_root,
            "prices_hash": prices_hash(prices),
            "part": part,
            "parts": parts,
            "prices": prices[:half] if part == 0 else prices[half:],
        }
