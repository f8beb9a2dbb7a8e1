"""What a header says, name by name, and what it proves of the transactions of its block.

Knows the records and a chain as a reader sees it.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from peerwatt.hosts.host import NotYetProved, View
from peerwatt.records.codec import digest, encode
from peerwatt.records.histories import ProvedTransaction
from peerwatt.records.receipts import Header
from peerwatt.records.trees import prove


def parts_of(header: Header) -> list[tuple[str, Any]]:
    """What a header says by name, the cause before its consequences; time and proposer are free."""
    context = header.context
    return [
        ("chain_id", header.chain_id),
        ("previous_block_id", context.previous_block_id),
        ("transactions_root", header.transactions_root),
        ("app_hash", header.app_hash),
        ("results_root", header.results_root),
        ("history_root", header.history_root),
        ("market_time_s", context.market_time_s),
        ("misbehavior", context.misbehavior),
    ]


def shown(value: object) -> str:
    """A header's field for people."""
    return value.hex() if isinstance(value, bytes) else str(value)


def prove_transaction(chain: View, height: int, index: int) -> ProvedTransaction:
    """A transaction in its block and the ledger's answer among what the block did, below the head.

    Raises:
        ValueError: there is no such block or transaction.
        NotYetProved: the next header proves the answer.
    """
    block = chain.block(height)
    if not 0 <= index < len(block.transactions):
        raise ValueError(f"index: there is no transaction {index} in block {height}")
    if chain.head is None or height >= chain.head.header.context.height:
        raise NotYetProved(f"the header after block {height} will prove its answers")
    receipts = chain.receipts(height)
    events = takewhile(lambda found: found[0] == height, chain.events(height))
    results = list(map(encode, (*receipts, *(event for _, event in events))))
    return ProvedTransaction(
        transaction=block.transactions[index],
        in_block=prove(map(digest, block.transactions), index),
        header=block.signed_header.header,
        in_history=chain.prove_block(height),
        receipt=receipts[index],
        in_results=prove(results, index),
        answer_header=chain.block(height + 1).signed_header.header,
        answer_in_history=chain.prove_block(height + 1),
    )
