"""Which transactions are let in: each is checked against the state and all let in before it.

Knows the chain and, by constructor, a ledger. Its answers are local and on no record.
"""

from __future__ import annotations

from peerwatt.hosts.cometbft.chain import DecidedChain
from peerwatt.hosts.host import Ledger
from peerwatt.hosts.state import Overlay
from peerwatt.records.codec import digest
from peerwatt.records.receipts import BlockContext, Reason, Receipt
from peerwatt.records.transactions import MAX_TRANSACTION_BYTES

_NOBODY = bytes(32)


class Admission:
    """The state as it would be if all that was let in since the last block were in the next."""

    def __init__(self, ledger: Ledger, chain: DecidedChain) -> None:
        self._ledger = ledger
        self._chain = chain
        self.renew()

    def renew(self) -> None:
        """Start again above the new state; what still waits will be offered again."""
        self._checked = Overlay(self._chain.state)
        self._context = self._context_at(0)
        self._context = self._context_for(())

    def check(self, transaction: bytes) -> Receipt:
        """Its receipt if it came next; its effects count for those that follow if it is let in."""
        if len(transaction) > MAX_TRANSACTION_BYTES:
            return Receipt(
                transaction_id=digest(transaction), reason=Reason.OVERSIZED, field="transaction"
            )
        context = self._context_for((transaction,))
        effects = Overlay(self._checked)
        receipt = self._ledger.check_tx(effects, context, transaction)
        if receipt.ok:
            effects.merge_into(self._checked)
            self._context = context
        return receipt

    def _context_for(self, transactions: tuple[bytes, ...]) -> BlockContext:
        """The context of a block that starts with these: a tick starts a block of its own."""
        block_time_s = self._chain.block_time_s
        time_s = self._ledger.market_time_s(self._checked, block_time_s, transactions)
        later = time_s > self._context.market_time_s
        return self._context_at(time_s) if later else self._context

    def _context_at(self, market_time_s: int) -> BlockContext:
        return BlockContext(
            height=self._chain.height + 1,
            market_time_s=market_time_s,
            previous_block_id=self._chain.head_id,
            proposer=_NOBODY,
        )
