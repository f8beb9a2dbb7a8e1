"""The host in one process: it admits transactions, makes blocks of them, signs and keeps them.

Knows the records, the store and, by constructor, a ledger. Time comes from who calls `seal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from peerwatt.hosts.host import Ledger
from peerwatt.hosts.replica import Replica
from peerwatt.hosts.state import Overlay
from peerwatt.hosts.store import Store, StoreError
from peerwatt.records.chain import MAX_BLOCK_BYTES, MAX_BLOCK_TRANSACTIONS, size_problem
from peerwatt.records.codec import digest, encode
from peerwatt.records.receipts import (
    HEADER_DOMAIN,
    Block,
    BlockContext,
    BlockResult,
    Reason,
    Receipt,
    SignedHeader,
)
from peerwatt.records.signing import SigningKey
from peerwatt.records.transactions import MAX_TRANSACTION_BYTES

MAX_PENDING = 1 << 17
MAX_REFUSED_KEPT = 1 << 16


class _Waiting(NamedTuple):
    transaction: bytes
    receipt: Receipt


class EmbeddedHost(Replica):
    """A chain that one process runs and signs alone; a `Host`. One thread's.

    Args:
        ledger: the contracts.
        store: where the chain is kept; this host goes on from what it holds.
        proposer_key: signs the blocks; always the same for one chain.
        genesis: canonical bytes of a `Genesis`.
        max_block_transactions, max_block_bytes: what one block takes; the rest waits.

    Raises:
        StoreError: the store holds another chain or another proposer's, or is damaged.
        ValueError: the ledger refuses the genesis.
    """

    def __init__(
        self,
        ledger: Ledger,
        store: Store,
        proposer_key: SigningKey,
        genesis: bytes,
        *,
        max_block_transactions: int = MAX_BLOCK_TRANSACTIONS,
        max_block_bytes: int = MAX_BLOCK_BYTES,
    ) -> None:
        super().__init__(ledger, store, genesis)
        if self.proposer not in (None, proposer_key.public):
            raise StoreError(f"{store.name}: its blocks were made with another proposer key")
        self._key = proposer_key
        self.proposer = proposer_key.public
        self._max_transactions = min(max_block_transactions, MAX_BLOCK_TRANSACTIONS)
        self._max_bytes = min(max_block_bytes, MAX_BLOCK_BYTES)
        self._waiting: dict[bytes, _Waiting] = {}
        self._refused: dict[bytes, Receipt] = {}
        self._checked = Overlay(self._state)
        self._context = self._context_at(0)
        self._check_anew()

    @property
    def refused(self) -> tuple[Receipt, ...]:
        """The last answer to each transaction that admission refused and has not let in since, in
        order; local, and on no record."""
        return tuple(self._refused.values())

    @property
    def pending(self) -> int:
        """How many transactions wait for a block."""
        return len(self._waiting)

    def submit(self, transaction: bytes) -> Receipt:
        """Check a transaction against the state and all that waits, and let it wait if it will do.

        What waits already gets the same answer again and changes nothing. What stands in a block
        is checked like any other: its nonce is used up.
        """
        transaction_id = digest(transaction)
        waiting = self._waiting.get(transaction_id)
        return self._admit(transaction_id, transaction) if waiting is None else waiting.receipt

    def _admit(self, transaction_id: bytes, transaction: bytes) -> Receipt:
        receipt = self._check(transaction_id, transaction)
        self._refused.pop(transaction_id, None)
        if receipt.ok:
            self._waiting[transaction_id] = _Waiting(transaction, receipt)
        else:
            self._refused[transaction_id] = receipt
            _trim(self._refused, MAX_REFUSED_KEPT)
        return receipt

    def _check(self, transaction_id: bytes, transaction: bytes) -> Receipt:
        """Its receipt if it came next; its effects go into the check state if it is accepted."""
        if len(transaction) > min(MAX_TRANSACTION_BYTES, self._max_bytes):
            return Receipt(
                transaction_id=transaction_id, reason=Reason.OVERSIZED, field="transaction"
            )
        if len(self._waiting) >= MAX_PENDING:
            return Receipt(transaction_id=transaction_id, reason=Reason.TOO_MANY, field="pending")
        context = self._context if self._waiting else self._opening_context((transaction,))
        effects = Overlay(self._checked)
        receipt = self._ledger.check_tx(effects, context, transaction)
        if receipt.ok:
            effects.merge_into(self._checked)
            self._context = context
        return receipt

    def _opening_context(self, transactions: Sequence[bytes]) -> BlockContext:
        """The context of a block that starts with these transactions: a tick moves the clock."""
        time_s = self._ledger.market_time_s(self._checked, self.block_time_s, transactions)
        same = time_s == self._context.market_time_s
        return self._context if same else self._context_at(time_s)

    def _context_at(self, market_time_s: int) -> BlockContext:
        return BlockContext(
            height=self.height + 1,
            market_time_s=market_time_s,
            previous_block_id=self.head_id,
            proposer=self._key.public,
        )

    def _check_anew(self) -> None:
        """Start a check state above the new state, and check again what still waits."""
        still, self._waiting = self._waiting, {}
        self._checked = Overlay(self._state)
        self._context = self._context_at(0)
        self._context = self._opening_context(())
        for transaction_id, waiting in still.items():
            self._admit(transaction_id, waiting.transaction)

    def seal(self, block_time_s: int, extra: Sequence[bytes] = ()) -> Block:
        """Make a block of what waits, as much as it takes; execute, sign and keep it.

        Args:
            block_time_s: its time, not before the last block's.
            extra: transactions that go in unchecked, as a dishonest proposer could put them in.

        Raises:
            BlockRefused: the time is before the last block's.
            ValueError: `extra` is more than a block takes.
            StoreError: the block could not be kept; the chain is as before.
        """
        return self._seal(block_time_s, (*self._take(extra), *extra))

    def _take(self, extra: Sequence[bytes]) -> list[bytes]:
        """The transactions that have waited longest, as many as fit beside `extra`."""
        if problem := size_problem(extra):
            raise ValueError(f"extra: {problem}")
        room, bytes_left = self._max_transactions - len(extra), self._max_bytes
        bytes_left -= sum(map(len, extra))
        taken: list[bytes] = []
        for transaction, _ in self._waiting.values():
            bytes_left -= len(transaction)
            if len(taken) >= room or bytes_left < 0:
                break
            taken.append(transaction)
        return taken

    def _seal(self, block_time_s: int, transactions: tuple[bytes, ...]) -> Block:
        header = self._next_header(block_time_s, transactions, self._key.public)
        signature = self._key.sign(HEADER_DOMAIN, self.chain_id, encode(header))
        signed = SignedHeader(header=header, signature=signature)
        block = Block(signed_header=signed, transactions=transactions)
        self._execute(block)
        return block

    def _execute(self, block: Block) -> BlockResult:
        result = super()._execute(block)
        for receipt in result.receipts:
            self._waiting.pop(receipt.transaction_id, None)
        self._check_anew()
        return result

    def export(self, folder: Path) -> None:
        """Write the chain as files from which anyone can run it again; same chain, same bytes.

        Ends the chain with an empty block first, unless the last one is empty and changed
        nothing, so that a header commits to all that came before.
        """
        if not self._is_closed():
            self._seal(self.block_time_s, ())
        super().export(folder)

    def _is_closed(self) -> bool:
        if self.head is None:
            return False
        empty = self.result(self.height) == BlockResult(receipts=())
        return empty and self.head.header.app_hash == self.app_hash


def _trim(receipts: dict[bytes, Receipt], most: int) -> None:
    """Forget the oldest beyond a number."""
    while len(receipts) > most:
        del receipts[next(iter(receipts))]
