"""Blocks that do not follow from a chain, by a proposer that signs anything.

Knows blocks and replicas: whoever runs the chain again has to refuse each of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from peerwatt.hosts.replica import BlockRefused, Replica
from peerwatt.records.codec import encode
from peerwatt.records.receipts import Block, Header, SignedHeader
from peerwatt.records.signing import SigningKey
from peerwatt.simulation.failures import require

HASHES = ("transactions_root", "app_hash", "results_root", "history_root")


def offer(replica: Replica, block: Block, key: SigningKey, other: SigningKey) -> None:
    """Offer a replica every forgery of its next block, then the block itself."""
    state = replica.app_hash, replica.head_id
    for what, false in _forged(block, key, other):
        try:
            replica.accept(false)
        except BlockRefused:
            same = state == (replica.app_hash, replica.head_id)
            require(same, "forgeries", f"{what}: it left a trace")
        else:
            require(False, "forgeries", f"{what}: a false block is taken")
    replica.accept(block)


def _forged(block: Block, key: SigningKey, other: SigningKey) -> Iterator[tuple[str, Block]]:
    header = block.signed_header.header
    context, hashed = header.context, bytes([255]) * 32
    for name in HASHES:
        yield name, _signed(block, replace(header, **{name: hashed}), key)
    for name, value in (
        ("height", context.height + 1),
        ("previous_block_id", hashed),
        ("market_time_s", context.market_time_s + 1),
        ("misbehavior", (other.public,)),
    ):
        false = replace(context, **{name: value})
        yield name, _signed(block, replace(header, context=false), key)
    yield "chain_id", _signed(block, replace(header, chain_id="sim-another"), key)
    early = replace(header, block_time_s=0)
    yield "block_time_s", _signed(block, early, key)
    stranger = replace(context, proposer=other.public)
    yield "proposer", _signed(block, replace(header, context=stranger), other)
    yield "signature", _signed(block, header, other)
    yield "transactions", replace(block, transactions=(*block.transactions, b"more"))


def _signed(block: Block, header: Header, key: SigningKey) -> Block:
    signature = key.sign("header", header.chain_id, encode(header))
    return replace(block, signed_header=SignedHeader(header=header, signature=signature))
