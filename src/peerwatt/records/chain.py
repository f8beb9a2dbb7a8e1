"""How blocks hang together: the roots in a header, who signed it, who witnessed it, block files.

Knows the records, Merkle trees and signatures; executes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from peerwatt.records.codec import CodecError, R, Record, decode, digest, encode
from peerwatt.records.merkle import tree_root
from peerwatt.records.receipts import HEADER_DOMAIN, WITNESS_DOMAIN, BlockResult, SignedHeader
from peerwatt.records.signing import SigningKey, verify
from peerwatt.units import Count, Hash, Key, Signature

MAX_BLOCK_TRANSACTIONS = 20_000
MAX_BLOCK_BYTES = 1 << 24
LENGTH_BYTES = 4
UNSIGNED = bytes(64)
"""In the place of a header's signature on a chain that an engine's validators decide: they sign
the engine's header, which carries the same app hash."""


class WitnessSignature(Record):
    """A second member's signature (domain "witness") of the head at a height."""

    witness: Key
    height: Count
    block_id: Hash
    signature: Signature

    def is_valid(self, chain_id: str) -> bool:
        """Whether the witness signed this head of this chain."""
        data = encode((self.height, self.block_id))
        return verify(self.witness, WITNESS_DOMAIN, chain_id, data, self.signature)


def sign_head(key: SigningKey, chain_id: str, height: int, block_id: bytes) -> WitnessSignature:
    """A witness's signature of a head."""
    signature = key.sign(WITNESS_DOMAIN, chain_id, encode((height, block_id)))
    return WitnessSignature(
        witness=key.public, height=height, block_id=block_id, signature=signature
    )


def is_signed(signed: SignedHeader) -> bool:
    """Whether the proposer that a header names signed it."""
    header = signed.header
    proposer = header.context.proposer
    return verify(proposer, HEADER_DOMAIN, header.chain_id, encode(header), signed.signature)


def transactions_root(transactions: Sequence[bytes]) -> bytes:
    """The root over the ids of a block's transactions."""
    return tree_root(map(digest, transactions))


def results_root(result: BlockResult) -> bytes:
    """The root over what a block did: its receipts, then its events."""
    return tree_root(map(encode, (*result.receipts, *result.events)))


def frame(data: bytes) -> bytes:
    """Bytes as they stand in a file of many: behind their length (4 bytes, big-endian)."""
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


def unframe(data: bytes, record_type: type[R]) -> Iterator[R]:
    """The records of a file written with `frame`; CodecError names the first that is none."""
    at, number = 0, 1
    while at < len(data):
        start = at + LENGTH_BYTES
        end = start + int.from_bytes(data[at:start], "big")
        if end > len(data) or start > len(data):
            raise CodecError(f"entry {number}", f"is cut off (it starts at byte {at})")
        try:
            record = decode(data[start:end], record_type)
        except CodecError as error:
            raise CodecError(f"entry {number}: {error.field}", error.why) from None
        yield record
        at, number = end, number + 1


def size_problem(transactions: Iterable[bytes]) -> str | None:
    """Why a block with these transactions is oversized, if it is."""
    sizes = [len(each) for each in transactions]
    if len(sizes) > MAX_BLOCK_TRANSACTIONS:
        return f"has {len(sizes)}, at most {MAX_BLOCK_TRANSACTIONS} are allowed"
    if sum(sizes) > MAX_BLOCK_BYTES:
        return f"have {sum(sizes)} bytes, at most {MAX_BLOCK_BYTES} are allowed"
    return None
