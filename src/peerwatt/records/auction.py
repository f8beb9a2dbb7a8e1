"""What an auctioneer and drivers' agents say to each other while an iterative auction runs.

Knows units, the codec and signatures. All of it is said outside the ledger; of a round, the last
two bids of each order go into its clearing, and the hash of all that was bid before. Nobody says
what energy is worth or costs to it: a schema test holds these records to that.

Energy is in micro-Wh (1 Wh = 1,000,000 uWh), finer than any award, and money in pcoin.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta

from peerwatt.records.codec import Record, digest, encode
from peerwatt.records.signing import SigningKey, verify
from peerwatt.units import MAX_ENERGY_WH, Count, Hash, Signature

INVITATION_DOMAIN = "invitation"
ALLOCATION_DOMAIN = "allocation"
BID_DOMAIN = "bid"
UWH_PER_WH = 1_000_000

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
    other side, in the invitation's order, a buyer's last from the grid."""

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
    kWh costs (pcoin/kWh). `answers` is the hash of the allocation, zero bytes for a first bid."""

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
