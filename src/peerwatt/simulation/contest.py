"""A morning on which the hub's operator would rather cheat: the round of eight, cleared in pairs.

Knows the world. The operator first proposes two clearings that would suit it. Admission turns both
away; put into blocks all the same they are refused on record and cost the penalty. Then it proposes
what it can prove.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from peerwatt.market_operator.round import proposal_of, solve_round
from peerwatt.records.market import BuyOrder, Clearing, Round
from peerwatt.records.receipts import Receipt
from peerwatt.records.transactions import ProposeClearing
from peerwatt.simulation.timetable import GATE_LEAD_S
from peerwatt.simulation.world import World

HOUR = 8


class Lie(NamedTuple):
    """What the operator tried, the ledger's answer on record, and what it paid for it."""

    what: str
    receipt: Receipt
    fine_ucoin: int


class Contest(NamedTuple):
    """The round, its orders, the lies, and the clearing that was proved."""

    market_round: Round
    buyers: int
    sellers: int
    lies: tuple[Lie, ...]
    clearing: Clearing


class ContestedWorld(World):
    """The day up to the contested round."""

    _lies: tuple[Lie, ...] = ()

    @property
    def contested(self) -> int:
        """The slot in question."""
        return int(np.argmax(self.day.local_hour == HOUR))

    def contest(self) -> Contest:
        """Live until the round is cleared."""
        last = self.contested
        for slot in range(last + 1):
            self.order(slot)
            if slot == last:
                orders = [each for _, each in self.host.items("orders", self._round_id(slot))]
            self.gate(slot)
            if slot > 0:
                self.report(slot - 1)
            self.deliver(slot)
        market_round: Round = self.host.get("rounds", self._round_id(last))
        buyers = sum(isinstance(order, BuyOrder) for order in orders)
        if market_round.clearing is None or not self._lies:
            raise RuntimeError("the contested round was not cleared by a proposal")
        sellers = len(orders) - buyers
        return Contest(market_round, buyers, sellers, self._lies, market_round.clearing)

    def propose(self, slot: int) -> None:
        """In the contested round, lies first."""
        if slot == self.contested:
            round_id = self._round_id(slot)
            orders = [order for _, order in self.host.items("orders", round_id)]
            honest = solve_round(self.host, round_id)
            if honest is not None:
                self._lies = (
                    self._try("leaves one car's order out", slot, honest[:-1]),
                    self._try(
                        "lets a friend's car pay a tenth less", slot, _favour(orders, honest)
                    ),
                )
        super().propose(slot)

    def _try(self, what: str, slot: int, prices: Sequence[int]) -> Lie:
        """Into a block of its own: admission lets it in, as it will cost a fine."""
        operator = self.members["aggregator"]
        free = self._free_ucoin()
        start_s = int(self.day.slot_start_s[slot])
        [fields] = proposal_of(self.host, self._round_id(slot), tuple(prices))
        self.note(
            ProposeClearing.__name__,
            operator.send(ProposeClearing, valid_until_s=start_s, **fields),
        )
        self.seal(start_s - GATE_LEAD_S)
        receipt = self.host.receipts(self.host.height)[-1]
        return Lie(what, receipt, free - self._free_ucoin())

    def _free_ucoin(self) -> int:
        free: int = self.host.get("accounts", self.members["aggregator"].key.public).free_ucoin
        return free


def _favour(orders: Sequence[object], honest: Sequence[int]) -> list[int]:
    """The first buyer's price, a tenth lower."""
    friend = next(at for at, order in enumerate(orders) if isinstance(order, BuyOrder))
    return [price * 9 // 10 if at == friend else price for at, price in enumerate(honest)]
