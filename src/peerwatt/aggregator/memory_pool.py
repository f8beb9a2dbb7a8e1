"""The memory pool: serves a wallet its history out of the chain, with proofs.

Knows the chain as a reader and where in it each wallet's messages are. It is not believed: whoever
asks can check what it says, and what it leaves out.
"""

from __future__ import annotations

from collections.abc import Iterator

from peerwatt.hosts.host import View
from peerwatt.records.codec import CodecError, decode
from peerwatt.records.histories import ServedHistory
from peerwatt.records.receipts import Reason
from peerwatt.records.transactions import RecordTrade, Transaction, decode_message

SPENT_NO_NONCE = Reason.WRONG_NONCE
"""Reasons up to this one leave the sender's account as it was: anyone could have sent it."""


class MemoryPool:
    """Follows one chain and remembers of each block whose transactions it holds.

    Args:
        view: the chain.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._height = 0
        self._places: dict[bytes, list[tuple[int, int]]] = {}

    def follow(self) -> None:
        """Read the blocks that have come since."""
        for height in range(self._height + 1, self._view.height + 1):
            receipts = self._view.receipts(height)
            for index, data in enumerate(self._view.block(height).transactions):
                for wallet in _whose(data, receipts[index].reason):
                    self._places.setdefault(wallet, []).append((height, index))
        self._height = self._view.height

    def history(self, wallet: bytes, known_height: int = 0) -> ServedHistory:
        """All that the chain holds of a wallet before its head's block.

        Args:
            wallet: whose.
            known_height: of a head that the asker knows, to be shown in this one's history.

        Raises:
            NotYetProved: there is no block yet.
            ValueError: the chain is not that high.
        """
        self.follow()
        account = self._view.prove("accounts", wallet)
        head = account.header
        height = head.header.context.height
        if known_height > height:
            raise ValueError(
                f"known_height: there is no block {known_height}, the last is {height}"
            )
        places = [place for place in self._places.get(wallet, ()) if place[0] < height]
        return ServedHistory(
            wallet=wallet,
            head=head,
            account=account,
            transactions=tuple(self._view.prove_transaction(*place) for place in places),
            known=self._view.prove_block(known_height) if known_height else None,
        )


def _whose(data: bytes, reason: int) -> Iterator[bytes]:
    """The wallets of whose history a transaction is a part: its signer's, where it spent a nonce,
    and that of the seller in an accepted record."""
    if Reason.OK < reason <= SPENT_NO_NONCE:
        return
    try:
        message = decode_message(decode(data, Transaction).message)
    except CodecError:
        return
    yield message.signer
    if isinstance(message, RecordTrade) and reason == Reason.OK:
        yield message.seller
