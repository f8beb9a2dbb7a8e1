"""A wallet's history as a hub serves it: transactions, each proved, and the account behind them.

Knows the records and Merkle proofs, and needs no host. A header commits to the state and the
results before its own block, so a transaction's answer is proved by the header after its own.
"""

from __future__ import annotations

from peerwatt.records.bundles import ProvedValue
from peerwatt.records.codec import CodecError, Record, decode, digest, encode
from peerwatt.records.merkle import Proof, verify
from peerwatt.records.receipts import Header, Receipt, SignedHeader
from peerwatt.records.transactions import Message, Transaction, decode_message


class ProvedTransaction(Record):
    """A transaction in its block, and the ledger's answer; both headers are below one head, of
    which `in_history` and `answer_in_history` prove it (none: it is the head itself)."""

    transaction: bytes
    in_block: Proof
    header: Header
    in_history: Proof | None
    receipt: Receipt
    in_results: Proof
    answer_header: Header
    answer_in_history: Proof | None

    @property
    def message(self) -> Message:
        """What it says; CodecError if it says nothing."""
        return decode_message(decode(self.transaction, Transaction).message)

    @property
    def record_hash(self) -> bytes:
        """The hash of its message, by which the next record names it."""
        return decode(self.transaction, Transaction).message_id

    def problem(self, head: Header) -> str:
        """What does not hold of it below a head; empty if all does."""
        transaction_id = digest(self.transaction)
        try:
            decode_message(decode(self.transaction, Transaction).message)
        except CodecError as error:
            return f"transaction: {error}"
        if not verify(self.header.transactions_root, transaction_id, self.in_block):
            return "in_block: the transaction is not in this block"
        if self.receipt.transaction_id != transaction_id:
            return "receipt: is another transaction's"
        if not verify(self.answer_header.results_root, encode(self.receipt), self.in_results):
            return "in_results: the answer is not among this block's results"
        if self.answer_header.context.height != self.header.context.height + 1:
            return "answer_header: is not the next block's"
        if self.answer_header.context.previous_block_id != self.header.block_id:
            return "answer_header: does not follow the transaction's block"
        for name, header, proof in (
            ("header", self.header, self.in_history),
            ("answer_header", self.answer_header, self.answer_in_history),
        ):
            if not is_below(header, head, proof):
                return f"{name}: is not in the history of the head"
        return ""


class ServedHistory(Record):
    """All that a chain holds of a wallet: what it signed, and the trades that it signed as seller,
    in their order; its account before the head's block; and that a head which its owner knew
    before is in this one's history."""

    wallet: bytes
    head: SignedHeader
    account: ProvedValue
    transactions: tuple[ProvedTransaction, ...]
    known: Proof | None


def is_below(header: Header, head: Header, proof: Proof | None) -> bool:
    """Whether a header is the head or, by this proof, in its history at its own height."""
    if proof is None:
        return header == head
    return is_known(header.context.height, header.block_id, head, proof)


def is_known(height: int, block_id: bytes, head: Header, proof: Proof) -> bool:
    """Whether the block of this height and id is in a head's history."""
    above = head.context.height > height == proof.index + 1
    return above and verify(head.history_root, block_id, proof)
