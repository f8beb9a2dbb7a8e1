"""What a clearing that proves nothing costs whoever proposed it."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from peerwatt.contracts.state import POT
from peerwatt.records.codec import decode
from peerwatt.records.transactions import Transaction, decode_message

FAILED_PENALTY = 2_000_000
Rows = dict[tuple[str, bytes, bytes], Any]


def fined(transaction: bytes, before: Rows) -> Rows:
    """The rows that change: its signer's nonce and coins, and the pot's."""
    message = decode_message(decode(transaction, Transaction).message)
    signer, pot = (("accounts", b"", at) for at in (message.signer, POT))
    paying, earning = before[signer], before[pot]
    return {
        signer: replace(
            paying, nonce=paying.nonce + 1, free_ucoin=paying.free_ucoin - FAILED_PENALTY
        ),
        pot: replace(earning, free_ucoin=earning.free_ucoin + FAILED_PENALTY),
    }
