"""What a block may be: how much it takes, and a clock's tick at its start only.

Knows the records. A block is refused for its form alone; what its transactions do is judged
one by one when it is executed. Both functions are pure, so that validators agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from peerwatt.hosts.cometbft.wire import varint
from peerwatt.records.chain import MAX_BLOCK_BYTES, MAX_BLOCK_TRANSACTIONS, size_problem
from peerwatt.records.codec import CodecError
from peerwatt.records.transactions import MAX_TRANSACTION_BYTES, Tick, parse


def take(transactions: Iterable[bytes], max_bytes: int) -> list[bytes]:
    """The transactions of the next block: from the oldest on, as many as it takes, and none beyond
    the next tick, so that each is executed at the market time at which it was let in.

    Args:
        transactions: what waits, oldest first.
        max_bytes: what the engine's block has room for.
    """
    room, engine_room = MAX_BLOCK_BYTES, max_bytes
    taken: list[bytes] = []
    for each in transactions:
        if _form_problem(each):
            continue
        room -= len(each)
        engine_room -= 1 + len(varint(len(each))) + len(each)
        full = room < 0 or engine_room < 0 or len(taken) == MAX_BLOCK_TRANSACTIONS
        if full or (taken and is_tick(each)):
            break
        taken.append(each)
    return taken


def problem(transactions: Sequence[bytes]) -> str | None:
    """Why a block with these transactions is malformed, oversized or misordered, if it is."""
    if oversized := size_problem(transactions):
        return f"transactions: {oversized}"
    for at, each in enumerate(transactions):
        if why := _form_problem(each):
            return f"transactions[{at}]: {why}"
        if at and is_tick(each):
            return f"transactions[{at}]: is a tick, which may stand first only"
    return None


def is_tick(transaction: bytes) -> bool:
    """Whether this is a tick, signed by whomever."""
    try:
        return isinstance(parse(transaction)[1], Tick)
    except CodecError:
        return False


def _form_problem(transaction: bytes) -> str | None:
    if not transaction:
        return "is empty"
    if len(transaction) > MAX_TRANSACTION_BYTES:
        return f"has {len(transaction)} bytes, at most {MAX_TRANSACTION_BYTES} are allowed"
    return None
