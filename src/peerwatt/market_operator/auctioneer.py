"""The auctioneer of an iterative auction: it hears bids and time, and says what is to be said.

Knows a frozen round and its orders, the messages and problem A. Knows no sockets, no clock, no
ledger, and nothing of what energy is worth to anybody. `start`, `hear` and `wait` return the words
to send on; once it is over, `conclusion` holds what proves the end, or `failure` says why none is.

    invite -> first bids -> allocate -> bids -> ... -> hardly a bid has changed -> conclude
                               |
                               +-- silent until the deadline, or never at rest: left out, and
                                   everybody else is invited to the next run

Of each order the first bid of an iteration counts; one that does not belong, is not its owner's or
could not be meant is refused and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from peerwatt.market_operator.auction import (
    Absence,
    BidError,
    Conclusion,
    Rules,
    Word,
    check_amounts,
)
from peerwatt.market_operator.quantize import (
    AuctionStep,
    allocated_uwh,
    auction_rents,
    auction_step,
)
from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.iterative_auction import BidAllocation, solve_allocation
from peerwatt.mechanisms.welfare_book import InfeasibleError
from peerwatt.mechanisms.welfare_newton import NotConvergedError
from peerwatt.records.auction import (
    Allocation,
    Invitation,
    LastBids,
    Rents,
    SignedAllocation,
    SignedBid,
    Stalled,
    bids_hash,
    is_settled,
    said,
    sign_allocation,
    sign_invitation,
    stalls,
)
from peerwatt.records.codec import record_id
from peerwatt.records.market import NO_HASH, BuyOrder, Order, Round
from peerwatt.records.signing import SigningKey

DEFAULTS = Rules()


class _Step(NamedTuple):
    """What an allocation was made from, and with."""

    arrays: AuctionStep
    solved: BidAllocation
    rents: Rents


class Auctioneer:
    """One round's auction.

    Args:
        round_id, market_round, orders: the frozen book, by id.
        key: the site operator's.
        chain_id: the chain.
        report_by_ms: until when an absence can be reported.
        end_by_ms: when it has to be over.
    """

    def __init__(
        self,
        round_id: bytes,
        market_round: Round,
        orders: Sequence[Order],
        *,
        key: SigningKey,
        chain_id: str,
        report_by_ms: int,
        end_by_ms: int,
        rules: Rules = DEFAULTS,
    ) -> None:
        self._round_id = round_id
        self._round = market_round
        self._orders = {order.order_id: order for order in orders}
        self._key, self.chain_id = key, chain_id
        self.public = key.public
        self._report_by_ms, self._end_by_ms = report_by_ms, end_by_ms
        self._rules = rules
        self._run = 0
        self.absent: list[bytes] = []
        """Orders whose agents were silent."""
        self._stalling: dict[bytes, Stalled] = {}
        self._before = NO_HASH
        self._previous: dict[bytes, SignedBid] = {}
        self._latest: dict[bytes, SignedBid] = {}
        self._sent: dict[bytes, SignedAllocation] = {}
        self._made: _Step | None = None
        self.iteration = 0
        """Of the bids that are awaited."""
        self.iterations = 0
        """Of all runs together."""
        self.deadline_ms = end_by_ms
        """When `wait` has something to do."""
        self.conclusion: Conclusion | None = None
        self.failure = ""

    @property
    def over(self) -> bool:
        """Whether nothing more is to be said."""
        return self.conclusion is not None or bool(self.failure)

    @property
    def missing(self) -> tuple[bytes, ...]:
        """The orders whose bids are awaited."""
        return tuple(each for each in self._invited if each not in self._latest)

    def start(self, now_ms: int) -> list[Word]:
        """The first invitation."""
        return self._invite(now_ms)

    def hear(self, signed: SignedBid, now_ms: int) -> list[Word]:
        """A bid; the same bid again is answered as before.

        Raises:
            BidError: it is refused.
        """
        order_id = signed.bid.order_id
        if signed == self._previous.get(order_id):
            return [self._sent[order_id]]
        if signed == self._latest.get(order_id):
            return []
        self._check(signed)
        self._latest[order_id] = signed
        return [] if self.missing else self._step(now_ms)

    def wait(self, now_ms: int) -> list[Word]:
        """Time has passed: who is still missing at the deadline is left out, as long as that can
        be reported."""
        if self.over or now_ms < self.deadline_ms:
            return []
        if now_ms >= self._end_by_ms:
            return self._fail("time: bids did not settle until the end")
        if now_ms >= self._report_by_ms:
            self.deadline_ms = self._end_by_ms
            return []
        silent = self.missing
        self.absent += silent
        return [Absence(tuple(sorted(silent))), *self._invite(now_ms)]

    def readmit(self, order_ids: Sequence[bytes], now_ms: int) -> list[Word]:
        """Orders that were silent have confirmed on the ledger that they are there: without them
        nothing can be proposed any more."""
        self.absent = [each for each in self.absent if each not in order_ids]
        self.conclusion = None
        return self._invite(now_ms)

    @property
    def _invited(self) -> tuple[bytes, ...]:
        return (*self._invitation.buyers, *self._invitation.sellers)

    def _invite(self, now_ms: int) -> list[Word]:
        """The next run, of all that are not left out."""
        for bids in (self._previous, self._latest):
            if bids:
                given = [bids[each] for each in self._invited if each in bids]
                self._before = bids_hash(self._before, given)
        self._previous, self._latest, self._sent, self._made = {}, {}, {}, None
        self._run, self.iteration = self._run + 1, 0
        out = dict.fromkeys([*self.absent, *self._stalling])
        staying = [order for key, order in self._orders.items() if key not in out]
        buyers = [each.order_id for each in staying if isinstance(each, BuyOrder)]
        sellers = [each.order_id for each in staying if not isinstance(each, BuyOrder)]
        self._invitation = Invitation(
            round_id=self._round_id,
            orders_root=self._round.orders_root,
            run=self._run,
            buyers=tuple(buyers),
            sellers=tuple(sellers),
        )
        self._invitation_id = record_id(self._invitation)
        if not buyers:
            return self._fail("buyers: nobody is left who buys")
        self._await(now_ms)
        return [sign_invitation(self._invitation, self._key, self.chain_id)]

    def _check(self, signed: SignedBid) -> None:
        bid = signed.bid
        if self.over:
            raise BidError("invitation: the auction is over")
        order = self._orders.get(bid.order_id)
        if order is None:
            raise BidError("order_id: is no order of this round")
        if bid.order_id not in self._invited:
            raise BidError(f"order_id: takes no part in run {self._run}")
        if bid.invitation != self._invitation_id:
            raise BidError(f"invitation: is not that of run {self._run}")
        if bid.iteration != self.iteration:
            raise BidError(f"iteration: must be {self.iteration}, is {bid.iteration}")
        if bid.order_id in self._latest:
            raise BidError("amounts: another bid for this iteration was given before")
        sent = self._sent.get(bid.order_id)
        if bid.answers != (NO_HASH if sent is None else record_id(sent.allocation)):
            raise BidError("answers: is not the allocation that was sent")
        check_amounts(self._invitation, order, bid.amounts)
        if not signed.is_signed(order.owner, self.chain_id):
            raise BidError("signature: is not the order's owner's")

    def _step(self, now_ms: int) -> list[Word]:
        """All have bid: conclude, leave out who is never at rest, or allocate."""
        self.iterations += 1
        payments, asks = self._sides(self._latest)
        invited = [self._orders[each] for each in self._invited]
        arrays = auction_step(self._round, invited, payments, asks)
        if self._made is not None and self._is_enough(self._made, arrays):
            return self._conclude(self._made.rents)
        stalling = [each for each in self._invited if self._previous and self._stalls(each)]
        if stalling:
            return self._leave_out(stalling, now_ms)
        if self.iterations >= self._rules.max_iterations:
            return self._fail(f"iterations: bids did not settle in {self.iterations}")
        try:
            solved = solve_allocation(
                *arrays[:2],
                minimum_kwh=arrays.minimum_kwh,
                maximum_kwh=arrays.maximum_kwh,
                supply_kwh=arrays.supply_kwh,
                start=None if self._made is None else self._made.solved,
            )
        except (InfeasibleError, NotConvergedError) as error:
            return self._fail(f"amounts: {error}")
        self._made = _Step(arrays, solved, auction_rents(solved))
        return self._allocate(payments, asks, self._made.rents, now_ms)

    def _sides(
        self, bids: dict[bytes, SignedBid]
    ) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
        """Buyers' and sellers' amounts, in the invitation's order."""
        amounts, buyers = (
            [bids[each].bid.amounts for each in self._invited],
            self._invitation.buyers,
        )
        return amounts[: len(buyers)], amounts[len(buyers) :]

    def _is_enough(self, made: _Step, now: AuctionStep) -> bool:
        """Whether bids are at rest for the ledger, and for these rules."""
        pairs = zip(self._sides(self._previous), self._sides(self._latest), strict=True)
        if not all(is_settled(previous, latest) for previous, latest in pairs):
            return False
        moved = max(
            _moved(made.arrays.payments, now.payments),
            _moved(made.arrays.unit_prices[:, :-1], now.unit_prices[:, :-1]),
        )
        return moved <= self._rules.tolerance or self.iteration >= self._rules.patience

    def _stalls(self, order_id: bytes) -> bool:
        previous, latest = self._previous[order_id].bid, self._latest[order_id].bid
        return stalls(self.iteration, previous.amounts, latest.amounts)

    def _leave_out(self, order_ids: Sequence[bytes], now_ms: int) -> list[Word]:
        """Their own two bids are the evidence."""
        for order_id in order_ids:
            self._stalling[order_id] = Stalled(
                order_id=order_id,
                invitation=self._invitation_id,
                iteration=self.iteration,
                previous=said(self._previous[order_id]),
                latest=said(self._latest[order_id]),
            )
        return self._invite(now_ms)

    def _allocate(
        self,
        payments: Sequence[Sequence[int]],
        asks: Sequence[Sequence[int]],
        rents: Rents,
        now_ms: int,
    ) -> list[Word]:
        """Each hears of its own energy, and nobody of another's."""
        energies = allocated_uwh(self._round, payments, asks, rents)
        self._sent = {
            order_id: self._signed(order_id, energies_uwh)
            for order_id, energies_uwh in zip(self._invited, energies, strict=True)
        }
        if self._previous:
            given = [self._previous[each] for each in self._invited]
            self._before = bids_hash(self._before, given)
        self._previous, self._latest = self._latest, {}
        self.iteration += 1
        self._await(now_ms)
        return list(self._sent.values())

    def _signed(self, order_id: bytes, energies_uwh: tuple[int, ...]) -> SignedAllocation:
        allocation = Allocation(
            invitation=self._invitation_id,
            iteration=self.iteration,
            order_id=order_id,
            energies_uwh=energies_uwh,
        )
        return sign_allocation(allocation, self._key, self.chain_id)

    def _conclude(self, rents: Rents) -> list[Word]:
        self.conclusion = Conclusion(
            invitation=self._invitation,
            iteration=self.iteration,
            before=self._before,
            bids=tuple(
                LastBids(previous=said(self._previous[each]), latest=said(self._latest[each]))
                for each in self._invited
            ),
            rents=rents,
            stalling=tuple(self._stalling[each] for each in sorted(self._stalling)),
            absent=tuple(sorted(self.absent)),
            iterations=self.iterations,
        )
        return []

    def _fail(self, why: str) -> list[Word]:
        self.failure = why
        return []

    def _await(self, now_ms: int) -> None:
        self.deadline_ms = min(now_ms + self._rules.answer_ms, self._end_by_ms)


def _moved(before: FloatArray, now: FloatArray) -> float:
    size = float(np.linalg.norm(now))
    return float(np.linalg.norm(now - before)) / size if size else 0.0
