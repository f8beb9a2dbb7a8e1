"""A key that acts on a ledger: it signs messages in the order of its nonce and submits them.

Knows the host's port and the messages. Knows no rule of the market: what is refused comes back
as a receipt.
"""

from __future__ import annotations

from typing import Any

from peerwatt.hosts.host import Host
from peerwatt.records.receipts import Receipt
from peerwatt.records.signing import SigningKey
from peerwatt.records.transactions import Message, sign_message


class Signer:
    """One party of the ledger. Its nonce moves on only with what the host lets in."""

    __slots__ = ("host", "key", "nonce")

    def __init__(self, key: SigningKey, host: Host, nonce: int = 0) -> None:
        self.key = key
        self.host = host
        self.nonce = nonce

    def sign(
        self,
        kind: type[Message],
        *,
        valid_until_s: int,
        cosigner: SigningKey | None = None,
        **fields: Any,
    ) -> bytes:
        """A transaction with a message of this kind and these fields, under the next nonce."""
        message = kind(
            chain_id=self.host.chain_id,
            signer=self.key.public,
            nonce=self.nonce,
            valid_until_s=valid_until_s,
            **fields,
        )
        return sign_message(message, self.key, cosigner)

    def send(
        self,
        kind: type[Message],
        *,
        valid_until_s: int,
        cosigner: SigningKey | None = None,
        **fields: Any,
    ) -> Receipt:
        """Sign a message and submit it."""
        signed = self.sign(kind, valid_until_s=valid_until_s, cosigner=cosigner, **fields)
        return self.submit(signed)

    def submit(self, transaction: bytes) -> Receipt:
        """Submit a transaction that this key has signed with its next nonce."""
        receipt = self.host.submit(transaction)
        if receipt.ok:
            self.nonce += 1
        return receipt
