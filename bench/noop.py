"""Contracts that do nothing, for the same host: what is left is the host's own cost.

Knows the ledger's port. `Counting` takes anything and counts it; `Rewriting` writes the very rows
that the real contracts wrote, without a rule.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from peerwatt.contracts import ledger
from peerwatt.hosts.host import State
from peerwatt.hosts.state import Overlay
from peerwatt.records.codec import Record, digest
from peerwatt.records.receipts import BlockContext, BlockResult, Receipt
from peerwatt.units import Count


class Total(Record):
    """How many transactions there have been."""

    transactions: Count


class _Table(NamedTuple):
    name: str
    record: Any
    hashed: bool


_TOTAL = _Table("total", Total, True)


class Counting:
    """Accepts every transaction unread."""

    TABLES: Sequence[Any] = (_TOTAL,)

    def init_chain(self, state: State, genesis: bytes) -> None:
        state.put(_TOTAL, b"", Total(transactions=0))

    def market_time_s(self, state: State, block_time_s: int, transactions: Sequence[bytes]) -> int:
        return block_time_s

    def check_tx(self, state: State, context: BlockContext, transaction: bytes) -> Receipt:
        return Receipt(transaction_id=digest(transaction), reason=0, field="")

    def apply_block(
        self, state: State, context: BlockContext, transactions: Sequence[bytes]
    ) -> BlockResult:
        total = state.get(_TOTAL, b"")
        before = 0 if total is None else total.transactions
        state.put(_TOTAL, b"", Total(transactions=before + len(transactions)))
        return BlockResult(receipts=tuple(self.check_tx(state, context, t) for t in transactions))


class Recorded:
    """The real contracts; what each block wrote is handed on."""

    TABLES: Sequence[Any] = ledger.TABLES

    def __init__(self) -> None:
        self.blocks: deque[tuple[Overlay, BlockResult]] = deque()

    def init_chain(self, state: State, genesis: bytes) -> None:
        ledger.init_chain(state, genesis)

    def market_time_s(self, state: State, block_time_s: int, transactions: Sequence[bytes]) -> int:
        return ledger.market_time_s(state, block_time_s, transactions)

    def check_tx(self, state: State, context: BlockContext, transaction: bytes) -> Receipt:
        return ledger.check_tx(state, context, transaction)

    def apply_block(
        self, state: State, context: BlockContext, transactions: Sequence[bytes]
    ) -> BlockResult:
        result = ledger.apply_block(state, context, transactions)
        if not isinstance(state, Overlay):
            raise TypeError("the embedded host gives its contracts an overlay")
        self.blocks.append((state, result))
        return result


class Rewriting(Counting):
    """Writes what the real contracts wrote in the same block, and answers as they did."""

    TABLES: Sequence[Any] = ledger.TABLES

    def __init__(self, blocks: deque[tuple[Overlay, BlockResult]]) -> None:
        self._blocks = blocks
        self._tables = {table.name: table for table in self.TABLES}

    def init_chain(self, state: State, genesis: bytes) -> None:
        ledger.init_chain(state, genesis)

    def apply_block(
        self, state: State, context: BlockContext, transactions: Sequence[bytes]
    ) -> BlockResult:
        written, result = self._blocks.popleft()
        for (name, scope), shelf in written.changes.items():
            for key, record in shelf.items():
                if record is None:
                    state.delete(self._tables[name], key, scope)
                else:
                    state.put(self._tables[name], key, record, scope)
        for (name, scope), items in written.sealed.items():
            state.seal(name, scope, items)
        return result
