"""Finds what an auction's clearing rests on in a chain's blocks, and derives the clearing again.

Knows the contracts' arithmetic and blocks. Of an auction no prices are sealed: its proof is the
message that a member sent, by whose hash the round names it.
"""

from __future__ import annotations

from collections.abc import Sequence

from peerwatt.contracts.auction_ends import prove
from peerwatt.contracts.clearing import Cleared, book_of, served
from peerwatt.contracts.state import Refusal
from peerwatt.hosts.replica import Replica
from peerwatt.records.market import BuyOrder, Mechanism, Order, Round, SellOrder
from peerwatt.records.transactions import ProposeAuction
from peerwatt.simulation.tables import auction_ends, revised_limits


class Auctions:
    """Of every auction of a chain, who was silent, how it ended, and which limits were signed for
    a second round, by order."""

    def __init__(self, chain: Replica) -> None:
        self._ends: dict[bytes, ProposeAuction] = {}
        self._absent: dict[bytes, None] = {}
        rounds = [each for _, each in chain.items("rounds")]
        if any(each.mechanism == Mechanism.ITERATIVE_AUCTION for each in rounds):
            self._ends = auction_ends(chain)
            absent = (event.key for _, event in chain.events() if event.kind == "absent")
            self._absent = dict.fromkeys(absent)
        twice = any(each.mechanism == Mechanism.V2V for each in rounds)
        self.revised: dict[bytes, int] = revised_limits(chain) if twice else {}

    def present(self, orders: Sequence[BuyOrder | SellOrder]) -> list[BuyOrder | SellOrder]:
        """The orders of a book whose agents were not silent."""
        return [order for order in orders if order.order_id not in self._absent]

    def cleared(self, each: Round, orders: Sequence[BuyOrder | SellOrder]) -> Cleared | str:
        """What the end that the round names comes to, or what is wrong with it."""
        end = None if each.proposed is None else self._ends.get(each.proposed.prices_hash)
        if end is None:
            return "nobody proposed any"
        listed: list[Order] = [*self.present(orders)]
        found = prove(each, listed, end)
        if isinstance(found, Refusal):
            return f"prove nothing ({found.reason.name})"
        return served(book_of(each, listed), found)
