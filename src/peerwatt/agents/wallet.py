"""A car's wallet, as far as the car keeps it: heads and an index; the rest is asked for, checked.

Knows the records, proofs and who makes the chain's blocks. It stores no history: a hub's memory
pool serves it, and is not believed. The account's counter says how many messages the wallet has
signed, so none of them can be left out; its trade records make a chain by their hashes, so none can
be changed, moved or taken out of the middle; and what the car has in its index cannot be taken off
the end. A record that others signed for it as seller and that the car never saw is the one thing
whose absence nothing shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from peerwatt.records.chain import UNSIGNED, is_signed
from peerwatt.records.codec import CodecError, decode
from peerwatt.records.histories import ProvedTransaction, ServedHistory, is_known
from peerwatt.records.market import NO_HASH
from peerwatt.records.members import Account
from peerwatt.records.receipts import SignedHeader
from peerwatt.records.transactions import OpenWallet, RecordTrade

ACCOUNTS = "accounts"


class HistoryRefused(ValueError):  # noqa: N818
    """A history that is not the wallet's whole and true one: which part, and why."""


class Checked(NamedTuple):
    """What a history showed."""

    account: Account
    records: tuple[RecordTrade, ...]
    """The wallet's trades, bought and sold, oldest first."""
    own_messages: int


@dataclass(slots=True)
class Wallet:
    """What a car remembers of one wallet on one chain."""

    key: bytes
    chain_id: str
    proposer: bytes
    """Who makes the chain's blocks and signs their headers."""
    height: int = 0
    block_id: bytes = b""
    """The newest head that was checked."""
    index: tuple[bytes, ...] = ()
    """The hashes of the trade records that the car knows of, oldest first."""

    @property
    def record_head(self) -> bytes:
        """What the wallet's next record has to name."""
        return self.index[-1] if self.index else NO_HASH

    def note(self, record_hash: bytes) -> None:
        """A record of the wallet's has been let in: from now on it has to be in the history."""
        self.index = (*self.index, record_hash)

    def check(self, history: ServedHistory) -> Checked:
        """Check a served history, as at every start, and remember its heads.

        Raises:
            HistoryRefused: it is another's, older than what is known, not proved, or not whole.
        """
        if history.wallet != self.key:
            raise HistoryRefused("wallet: is another one")
        self._check_head(history)
        account = self._account(history)
        own = 0
        records: list[RecordTrade] = []
        hashes: list[bytes] = []
        last = (0, -1)
        for at, each in enumerate(history.transactions):
            place = (each.header.context.height, each.in_block.index)
            if place <= last:
                raise HistoryRefused(f"transactions[{at}]: is not after the one before")
            last = place
            problem = each.problem(history.head.header)
            if problem:
                raise HistoryRefused(f"transactions[{at}]: {problem}")
            message = each.message
            if message.signer == self.key:
                own += self._is_next(at, each, own)
            if isinstance(message, RecordTrade) and each.receipt.ok:
                self._check_link(at, message, hashes[-1] if hashes else NO_HASH)
                records.append(message)
                hashes.append(each.record_hash)
            elif message.signer != self.key:
                raise HistoryRefused(f"transactions[{at}]: is not of this wallet")
        if own != account.nonce:
            text = (
                f"{account.nonce - own} of the {account.nonce} messages that it signed are missing"
            )
            raise HistoryRefused(f"transactions: {text}")
        if tuple(hashes[: len(self.index)]) != self.index:
            raise HistoryRefused("records: are not the ones that the car knows of")
        head = history.head.header
        self.height, self.block_id, self.index = head.context.height, head.block_id, tuple(hashes)
        return Checked(account=account, records=tuple(records), own_messages=own)

    def _check_head(self, history: ServedHistory) -> None:
        """The head is of this chain, signed by its proposer, and goes on from the one known."""
        signed: SignedHeader = history.head
        head = signed.header
        if signed.signature == UNSIGNED:
            raise HistoryRefused("head: is an engine's, whose validators sign elsewhere")
        if head.chain_id != self.chain_id or head.context.proposer != self.proposer:
            raise HistoryRefused("head: is another chain's")
        if not is_signed(signed):
            raise HistoryRefused("head: is not signed by its proposer")
        if head.context.height < self.height:
            raise HistoryRefused(f"head: is older than block {self.height}, which the car knows")
        if self.height == 0:
            return
        if head.context.height == self.height:
            if head.block_id != self.block_id:
                raise HistoryRefused(f"head: is another block {self.height} than the car knows")
        elif history.known is None or not is_known(self.height, self.block_id, head, history.known):
            raise HistoryRefused(f"known: block {self.height}, which the car knows, is not below")

    def _account(self, history: ServedHistory) -> Account:
        """The wallet's account before the head's block."""
        proved = history.account
        if proved.header != history.head or (proved.store, proved.key) != (ACCOUNTS, self.key):
            raise HistoryRefused("account: is not this wallet's under this head")
        if not proved.holds():
            raise HistoryRefused("account: is not in the state that the head commits to")
        try:
            return Account() if proved.value is None else decode(proved.value, Account)
        except CodecError as error:
            raise HistoryRefused(f"account: {error}") from None

    def _is_next(self, at: int, each: ProvedTransaction, due: int) -> bool:
        """Whether the wallet's message spent the nonce that is due; the first ones may have been
        refused before there was an account."""
        message = each.message
        if due == 0 and isinstance(message, OpenWallet) and not each.receipt.ok:
            return False
        if message.nonce != due:
            raise HistoryRefused(f"transactions[{at}]: message {due} of the wallet is missing")
        return True

    def _check_link(self, at: int, message: RecordTrade, before: bytes) -> None:
        """An accepted record names the one before it."""
        if self.key not in (message.signer, message.seller):
            raise HistoryRefused(f"transactions[{at}]: is not of this wallet")
        named = message.history if message.signer == self.key else message.seller_history
        if named != before:
            raise HistoryRefused(f"transactions[{at}]: does not follow the record before it")
