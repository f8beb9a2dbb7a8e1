"""What auctioneer and agents sign to each other."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from peerwatt.records.auction import (
    Allocation,
    Bid,
    Invitation,
    bids_hash,
    sign_allocation,
    sign_bid,
    sign_invitation,
)
from peerwatt.records.signing import SigningKey

KEY, OTHER = SigningKey(bytes([1]) * 32), SigningKey(bytes([2]) * 32)
INVITATION = Invitation(
    round_id=bytes(9), orders_root=bytes(32), run=1, buyers=(b"b" * 32,), sellers=(b"s" * 32,)
)
ALLOCATION = Allocation(invitation=bytes(32), iteration=3, order_id=b"b" * 32, energies_uwh=(5, 0))
BID = Bid(invitation=bytes(32), iteration=4, order_id=b"b" * 32, answers=bytes(32), amounts=(7, 0))
SIGNED = [
    ("invitation", sign_invitation, INVITATION, {"run": 2}),
    ("allocation", sign_allocation, ALLOCATION, {"energies_uwh": (5, 1)}),
    ("bid", sign_bid, BID, {"amounts": (7, 1)}),
]


@pytest.mark.parametrize(("name", "sign", "record", "change"), SIGNED)
def test_a_signature_is_of_one_key_one_chain_and_these_words(
    name: str, sign: Any, record: Any, change: dict[str, Any]
) -> None:
    signed = sign(record, KEY, "chain")
    assert signed.is_signed(KEY.public, "chain")
    assert not signed.is_signed(OTHER.public, "chain")
    assert not signed.is_signed(KEY.public, "other")
    forged = replace(signed, **{name: replace(record, **change)})
    assert not forged.is_signed(KEY.public, "chain")


def test_a_signature_for_one_purpose_is_none_for_another() -> None:
    """Whoever signs bids must not have signed an allocation with the same bytes."""
    bid = sign_bid(BID, KEY, "chain")
    allocation = sign_allocation(ALLOCATION, KEY, "chain")
    assert not replace(allocation, signature=bid.signature).is_signed(KEY.public, "chain")
    assert not replace(bid, signature=allocation.signature).is_signed(KEY.public, "chain")


def test_the_hash_of_all_bids_knows_each_and_their_order() -> None:
    first, second = sign_bid(BID, KEY, "chain"), sign_bid(BID, OTHER, "chain")
    hashes = [bids_hash(bytes(32), bids) for bids in ([first, second], [second, first], [first])]
    hashes += [bids_hash(hashes[0], [first, second])]
    assert len({*hashes}) == 4
