"""A driver's agent in an iterative auction: it answers what it would get with what it would pay.

Knows its own preference, its key, and what the auctioneer says to it. Knows no other order's bid.
Its bids alone go out: it moves them towards what its preference says, at a pace of its own, and
signs one for each step and no other.

Why a pace: undamped, as PETCON prints it, buyers' bids swing for ever wherever little of what a
car takes goes beyond its minimum, and creep wherever sellers' costs hardly rise. So every bid of a
buyer has a pace, which grows while the bid keeps its direction and falls when it turns: the rule
of Jacobs (Neural Networks 1(4), 1988, doi:10.1016/0893-6080(88)90003-2), in logarithms. It needs
no word from anybody. A seller bids the mean of its last bid and what is right: undamped, steep
costs swing, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from peerwatt.agents.preferences import Preference
from peerwatt.records.auction import (
    UWH_PER_KWH,
    Allocation,
    Bid,
    Invitation,
    SignedAllocation,
    SignedBid,
    SignedInvitation,
    is_settled,
    sign_bid,
    stalls,
)
from peerwatt.records.codec import record_id
from peerwatt.records.market import NO_HASH
from peerwatt.records.signing import SigningKey
from peerwatt.units import MAX_COUNT, PCOIN_PER_UCOIN, UCOIN_PER_COIN

PCOIN_PER_USD = PCOIN_PER_UCOIN * UCOIN_PER_COIN
FIRST_PACE, LEAST_PACE, MOST_PACE = 0.5, 0.05, 30.0
FASTER, SLOWER = 1.3, 0.5
MOST_STEP = 0.7
"""A bid at most doubles, or halves, from one step to the next."""
LEAST_SHARE = 1e-6
"""Of a first bid, so much is always bid on everybody: a bid of nothing could never grow again."""
WARM_SHARE = 0.01
"""The same at a restart: what nobody wanted before may be wanted now."""
TIRED_AFTER = 150
"""Iterations of a run; from then on a bid moves by no more than what counts as rest."""
OFFERED = 1 + 1e-6


class TalkError(ValueError):
    """What an auctioneer must not say: one line that names the field and the reason."""


class Pace:
    """How fast each bid of a buyer follows what would be right."""

    def __init__(self, bids: int) -> None:
        self._paces = [FIRST_PACE] * bids
        self._off = [0.0] * bids
        """By what the logarithm of each bid was off the last time."""

    def next(self, bids: Sequence[float], right: Sequence[float], least: float) -> list[float]:
        """The next bids, none below `least`."""
        moved = []
        for at, (bid, aim) in enumerate(zip(bids, right, strict=True)):
            off = math.log(max(aim, least) / bid)
            kept = off * self._off[at]
            pace = self._paces[at] * (FASTER if kept > 0 else SLOWER if kept < 0 else 1.0)
            self._paces[at] = min(max(pace, LEAST_PACE), MOST_PACE)
            self._off[at] = off
            step = min(max(self._paces[at] * off, -MOST_STEP), MOST_STEP)
            moved.append(max(bid * math.exp(step), least))
        return moved


class Bidder:
    """Answers for one order of one round.

    Args:
        preference: what energy is worth or costs to it.
        held_usd: what its order holds, the most that a buyer bids in all.
        order_id: its order in the frozen book.
        round_id: the round.
        key: its owner's key.
        auctioneer: the key of the site's operator.
        chain_id: the chain.
    """

    def __init__(
        self,
        preference: Preference,
        *,
        held_usd: float,
        order_id: bytes,
        round_id: bytes,
        key: SigningKey,
        auctioneer: bytes,
        chain_id: str,
    ) -> None:
        self.order_id = order_id
        self._preference = preference
        self._held_usd = held_usd
        self._round_id = round_id
        self._key = key
        self._auctioneer = auctioneer
        self._chain_id = chain_id
        self._invitation: Invitation | None = None
        self._invitation_id = NO_HASH
        self._last: SignedBid | None = None
        self._exact: list[float] = []
        """The last bid before it was rounded, USD or USD/kWh."""
        self._pace = Pace(0)

    @property
    def takes_part(self) -> bool:
        """Whether it is in the run at hand."""
        return self._last is not None

    def invited(self, signed: SignedInvitation) -> SignedBid | None:
        """Its first bid of a run, and none if the run is without it; the same again if it is
        invited again.

        Raises:
            TalkError: not this auctioneer's, not this round's, or not the newest run's.
        """
        if not signed.is_signed(self._auctioneer, self._chain_id):
            raise TalkError("signature: is not the auctioneer's")
        invitation, before = signed.invitation, self._invitation
        if invitation == before:
            return self._last
        if invitation.round_id != self._round_id:
            raise TalkError("round_id: is another round")
        if before is not None and invitation.run <= before.run:
            raise TalkError(f"run: must be above {before.run}, is {invitation.run}")
        if before is not None and invitation.orders_root != before.orders_root:
            raise TalkError("orders_root: is not that of the run before")
        side = invitation.buyers if self._preference.buys else invitation.sellers
        for name in ("buyers", "sellers"):
            listed = getattr(invitation, name)
            if list(listed) != sorted({*listed}):
                raise TalkError(f"{name}: must ascend")
        first = self._first(invitation) if self.order_id in side else []
        self._invitation, self._invitation_id = invitation, record_id(invitation)
        self._last = self._signed(0, NO_HASH, first) if self.order_id in side else None
        return self._last

    def allocated(self, signed: SignedAllocation) -> SignedBid:
        """Its next bid; the same again for an allocation that it has answered.

        Raises:
            TalkError: not this auctioneer's, not for this order, not the next, or not possible.
        """
        last, allocation = self._last, signed.allocation
        if last is None:
            raise TalkError("invitation: this order is not in this run")
        if not signed.is_signed(self._auctioneer, self._chain_id):
            raise TalkError("signature: is not the auctioneer's")
        if allocation.order_id != self.order_id:
            raise TalkError("order_id: is another order")
        if allocation.invitation != self._invitation_id:
            raise TalkError("invitation: is another run's")
        answers = record_id(allocation)
        if answers == last.bid.answers:
            return last
        if allocation.iteration != last.bid.iteration:
            expected = f"must be {last.bid.iteration}, is {allocation.iteration}"
            raise TalkError(f"iteration: {expected}")
        energies_kwh = self._energies_kwh(allocation)
        bid = self._next(energies_kwh, allocation.iteration + 1)
        self._last = self._signed(allocation.iteration + 1, answers, bid)
        return self._last

    def _energies_kwh(self, allocation: Allocation) -> list[float]:
        if len(allocation.energies_uwh) != len(self._exact):
            expected = f"must be {len(self._exact)}, are {len(allocation.energies_uwh)}"
            raise TalkError(f"energies_uwh: {expected}")
        energies_kwh = [energy / UWH_PER_KWH for energy in allocation.energies_uwh]
        if sum(energies_kwh) > self._preference.maximum_kwh * OFFERED:
            raise TalkError("energies_uwh: are more than the order's")
        return energies_kwh

    def _next(self, energies_kwh: list[float], iteration: int) -> list[float]:
        right = self._preference.answer(energies_kwh, self._exact)
        if self._preference.buys:
            least = LEAST_SHARE * self._preference.first(len(right))[0]
            right = self._backed(self._pace.next(self._exact, right, least))
        else:
            right = [(old + new) / 2 for old, new in zip(self._exact, right, strict=True)]
        while self._is_too_far(iteration, right):
            right = [(old + new) / 2 for old, new in zip(self._exact, right, strict=True)]
        return right

    def _is_too_far(self, iteration: int, bids: list[float]) -> bool:
        """Late in an auction a bid that moves far is evidence against its order; later still it
        would only keep everybody from an end."""
        before, after = _whole(self._exact), _whole(bids)
        tired = iteration > TIRED_AFTER and not is_settled([before], [after])
        return tired or stalls(iteration, before, after)

    def _backed(self, bids: list[float]) -> list[float]:
        """No more in all than the order holds."""
        total = sum(bids)
        share = min(self._held_usd / total, 1.0) if total else 1.0
        return [share * bid for bid in bids]

    def _first(self, invitation: Invitation) -> list[float]:
        """Anew, or as it last bid to those who have stayed."""
        others = self._others(invitation)
        first = self._preference.first(len(others)) if others else []
        if self._invitation is not None and self._last is not None:
            known = dict(zip(self._others(self._invitation), self._exact, strict=True))
            first = [
                max(known.get(other, amount), WARM_SHARE * amount)
                for other, amount in zip(others, first, strict=True)
            ]
        self._pace = Pace(len(first))
        return self._backed(first) if self._preference.buys else first

    def _others(self, invitation: Invitation) -> tuple[bytes, ...]:
        """The other side of a run; a buyer's ends with the grid."""
        return (*invitation.sellers, NO_HASH) if self._preference.buys else invitation.buyers

    def _signed(self, iteration: int, answers: bytes, exact: list[float]) -> SignedBid:
        self._exact = exact
        bid = Bid(
            invitation=self._invitation_id,
            iteration=iteration,
            order_id=self.order_id,
            answers=answers,
            amounts=_whole(exact),
        )
        return sign_bid(bid, self._key, self._chain_id)


def _whole(exact: Sequence[float]) -> tuple[int, ...]:
    """In pcoin; rounded down, so that a total stays backed."""
    return tuple(min(int(each * PCOIN_PER_USD), MAX_COUNT) for each in exact)
