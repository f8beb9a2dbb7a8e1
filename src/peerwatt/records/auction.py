"""What an auctioneer and drivers' agents say to each other while an iterative auction runs.

Knows units, the codec and signatures. All of it is said outside the ledger; of a round, the last
two bids of each order go into its clearing, and the hash of all that was bid before. Nobody says
what energy is worth or costs to it: a schema test holds these records to that.

Energy is in micro-Wh (1 Wh = 1,000,000 uWh), finer than any award, and money in pcoin. What the
ledger will ask of the last bids, auctioneer and agents have to know too, so it stands here: what
bids and rents come to (`energy_uwh`), whether minima bind (`minima_bind`), when an auction is over
(`is_settled`), and how far a bid may still move after `STALL_ITERATIONS` (`stalls`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from msgspec import Meta

from peerwatt.records.codec import Record, digest, encode
from peerwatt.records.signing import SigningKey, verify
from peerwatt.units import (
    MAX_ENERGY_WH,
    WH_PER_KWH,
    Count,
    Hash,
    Signature,
)

INVITATION_DOMAIN = "invitation"
ALLOCATION_DOMAIN = "allocation"
BID_DOMAIN = "bid"
UWH_PER_WH = 1_000_000
UWH_PER_KWH = UWH_PER_WH * WH_PER_KWH
SETTLED_SHARE = 1_000
"""Bids have settled when they change by no more than this part of themselves."""
STALL_ITERATIONS = 30
"""From this iteration on a bid has to come to rest: see `stalls`."""
SLACK_ITERATIONS = 20
MAX_PAIRS = 10_000
"""Of buyers with sellers and the grid; no larger auction is taken."""

MAX_RENT_PCOIN_PER_KWH = 2**62
"""Far above any price: who bids all that it has on a seller's only Wh makes it that dear."""

RentPcoinPerKwh = Annotated[int, Meta(ge=0, le=MAX_RENT_PCOIN_PER_KWH)]
EnergyUwh = Annotated[int, Meta(ge=0, le=MAX_ENERGY_WH * UWH_PER_WH)]
RoundId = Annotated[bytes, Meta(min_length=9, max_length=56)]


class Invitation(Record):
    """Whose bids one run of a round's auction takes: orders of the frozen book by id, ascending. A
    run in which somebody leaves is ended; the next, without it, has the next number."""

    round_id: RoundId
    orders_root: Hash
    run: Count
    buyers: tuple[Hash, ...]
    sellers: tuple[Hash, ...]


class SignedInvitation(Record):
    """An invitation with its auctioneer's signature (domain "invitation")."""

    invitation: Invitation
    signature: Signature

    def is_signed(self, auctioneer: bytes, chain_id: str) -> bool:
        """Whether `auctioneer` signed the invitation for this chain."""
        data = encode(self.invitation)
        return verify(auctioneer, INVITATION_DOMAIN, chain_id, data, self.signature)


class Allocation(Record):
    """What the auctioneer would give one order if nobody changed its bid: energy with each of the
    other side, in the invitation's order, a buyer's last from the grid. `iteration` is that of the
    bids that it was made from; the bids that answer it have the next one."""

    invitation: Hash
    iteration: Count
    order_id: Hash
    energies_uwh: tuple[EnergyUwh, ...]


class SignedAllocation(Record):
    """An allocation with its auctioneer's signature (domain "allocation")."""

    allocation: Allocation
    signature: Signature

    def is_signed(self, auctioneer: bytes, chain_id: str) -> bool:
        """Whether `auctioneer` signed the allocation for this chain."""
        data = encode(self.allocation)
        return verify(auctioneer, ALLOCATION_DOMAIN, chain_id, data, self.signature)


class Bid(Record):
    """One order's answer to an allocation: with each of the other side, in the invitation's order,
    a buyer what it pays for the energy there (pcoin; the last is for the grid's), a seller what a
    kWh costs (pcoin/kWh). `answers` is the hash of the allocation, zero bytes for a first bid.

    A buyer bids no more in all than its order holds, a seller nothing below its ask."""

    invitation: Hash
    iteration: Count
    order_id: Hash
    answers: Hash
    amounts: tuple[Count, ...]


class SignedBid(Record):
    """A bid with the signature of its order's owner (domain "bid")."""

    bid: Bid
    signature: Signature

    def is_signed(self, owner: bytes, chain_id: str) -> bool:
        """Whether `owner` signed the bid for this chain."""
        return verify(owner, BID_DOMAIN, chain_id, encode(self.bid), self.signature)


class Said(Record):
    """A signed bid but for what is known of it where it is listed."""

    answers: Hash
    amounts: tuple[Count, ...]
    signature: Signature

    def bid(self, invitation: bytes, iteration: int, order_id: bytes) -> SignedBid:
        """The signed bid that this was of."""
        bid = Bid(
            invitation=invitation,
            iteration=iteration,
            order_id=order_id,
            answers=self.answers,
            amounts=self.amounts,
        )
        return SignedBid(bid=bid, signature=self.signature)


class LastBids(Record):
    """An order's last two bids: the one from which the last allocation was made, and its answer."""

    previous: Said
    latest: Said


class Stalled(Record):
    """Two bids of an order, of one iteration (`iteration` is the latest's) after the other, that
    show that it keeps an auction from coming to rest."""

    order_id: Hash
    invitation: Hash
    iteration: Count
    previous: Said
    latest: Said


class Rents(Record):
    """What is scarce in an allocation, pcoin/kWh, by which it is proved: above zero on a buyer at
    its maximum and below on one at its minimum, above zero on a seller that sells all it offers and
    on the grid where the connection is full."""

    buyers: tuple[Annotated[int, Meta(ge=-MAX_RENT_PCOIN_PER_KWH, le=MAX_RENT_PCOIN_PER_KWH)], ...]
    sellers: tuple[RentPcoinPerKwh, ...]
    grid: RentPcoinPerKwh


def said(signed: SignedBid) -> Said:
    """What is listed of a signed bid."""
    bid = signed.bid
    return Said(answers=bid.answers, amounts=bid.amounts, signature=signed.signature)


def energy_uwh(payment_pcoin: int, price_pcoin_per_kwh: int) -> int:
    """The energy that a bid gets in an allocation, rounded down, at a pair's price: what the seller
    asks the buyer, the local fees, the seller's rent and the buyer's; of the grid's energy retail
    and the rents of grid and buyer. Who bids nothing gets nothing."""
    return payment_pcoin * UWH_PER_KWH // price_pcoin_per_kwh if payment_pcoin else 0


def minima_bind(minima_wh: Iterable[int], offers_wh: Iterable[int]) -> bool:
    """Whether an allocation has to meet buyers' minima: where sellers and the connection together
    offer more than they come to. Where not, bids alone share what there is."""
    return sum(minima_wh) < sum(offers_wh)


def is_settled(previous: Iterable[Sequence[int]], latest: Iterable[Sequence[int]]) -> bool:
    """Whether one side's bids have hardly changed: |B - B'| <= |B| / SETTLED_SHARE, as Frobenius
    norms over the whole side."""
    change, size = 0, 0
    for before, after in zip(previous, latest, strict=True):
        change += sum((b - a) ** 2 for a, b in zip(before, after, strict=True))
        size += sum(amount**2 for amount in after)
    return change * SETTLED_SHARE**2 <= size


def stalls(iteration: int, previous: Sequence[int], latest: Sequence[int]) -> bool:
    """Whether an order's bid of this iteration moved further than it may: from STALL_ITERATIONS on
    by a tenth of itself, then by less and less, |b - b'| <= |b| / (iteration - 20). Whoever keeps
    to that cannot be left out, and cannot keep an auction from ending."""
    if iteration < STALL_ITERATIONS:
        return False
    change = sum((b - a) ** 2 for a, b in zip(previous, latest, strict=True))
    size = sum(amount**2 for amount in previous)
    return change * (iteration - SLACK_ITERATIONS) ** 2 > size


def sign_invitation(invitation: Invitation, key: SigningKey, chain_id: str) -> SignedInvitation:
    """The invitation with its auctioneer's signature."""
    signature = key.sign(INVITATION_DOMAIN, chain_id, encode(invitation))
    return SignedInvitation(invitation=invitation, signature=signature)


def sign_allocation(allocation: Allocation, key: SigningKey, chain_id: str) -> SignedAllocation:
    """The allocation with its auctioneer's signature."""
    signature = key.sign(ALLOCATION_DOMAIN, chain_id, encode(allocation))
    return SignedAllocation(allocation=allocation, signature=signature)


def sign_bid(bid: Bid, key: SigningKey, chain_id: str) -> SignedBid:
    """The bid with its owner's signature."""
    return SignedBid(bid=bid, signature=key.sign(BID_DOMAIN, chain_id, encode(bid)))


def bids_hash(before: bytes, bids: Iterable[SignedBid]) -> bytes:
    """The hash by which all bids up to an iteration are known: of the hash before it, and the
    iteration's bids with their signatures, buyers' then sellers', by order."""
    return digest(before + b"".join(digest(encode(each)) for each in bids))
