"""A host whose chain a network of validators decides: it offers transactions and follows blocks.

Knows the RPC, the light client and, by constructor, a ledger. It believes no node: every block
that comes is one whose header enough validators signed, and is executed here again, so that what
is read is what the contracts say. State moves on by `sync` and what calls it, at no other time.
"""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from peerwatt.hosts.cometbft.chain import DecidedChain, validator_id
from peerwatt.hosts.cometbft.genesis import GenesisError, check_chain_id, read_app_state
from peerwatt.hosts.cometbft.light import NO_EVIDENCE, EngineHeader, read_validators
from peerwatt.hosts.cometbft.reader import POLL_S, Reader, of_block, once_there, results_hash
from peerwatt.hosts.cometbft.rpc import TIMEOUT_S, Nodes, Refused, Rpc, RpcError, Unusable, field
from peerwatt.hosts.host import Ledger
from peerwatt.hosts.replica import BlockRefused
from peerwatt.hosts.store import Store
from peerwatt.records.codec import CodecError, decode, digest
from peerwatt.records.receipts import Block, Event, Header, Reason, Receipt
from peerwatt.records.transactions import MAX_TRANSACTION_BYTES

T = TypeVar("T")
CONFIRM_TIMEOUT_S = 30.0
OFFER_AGAIN_S = 5.0
IN_CACHE = "tx already exists in cache"
MEMPOOL_FULL = "mempool is full"
MAX_PENDING = 1 << 16


class EngineGenesis(NamedTuple):
    """What a client starts from: the chain's name, its first validators, which it trusts, and the
    ledger's own genesis, canonical bytes."""

    chain_id: str
    validators: dict[bytes, int]
    ledger: bytes


class Confirmed(NamedTuple):
    """What became of a transaction: its receipt of record and its block's height; height None: it
    was never let in, and the receipt says why."""

    height: int | None
    receipt: Receipt


def read_genesis(document: bytes) -> EngineGenesis:
    """What to start from, from an engine's genesis document.

    Raises:
        GenesisError: it is none, or has no ledger's genesis of the same chain in it.
    """
    try:
        found = json.loads(document)
        ledger = read_app_state(json.dumps(found["app_state"]).encode())
        check_chain_id(ledger, found["chain_id"])
        validators = read_validators(found["validators"])
    except GenesisError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise GenesisError(f"genesis: is no engine's genesis document ({error})") from None
    if not validators:
        raise GenesisError("genesis: names no validators")
    return EngineGenesis(str(found["chain_id"]), validators, ledger)


class CometHost(DecidedChain):
    """A chain of a network of validators; a `Host`. One thread's.

    Args:
        ledger: the contracts.
        urls: nodes, `http://host:port` each; one that does not answer is passed over.
        genesis: the engine's genesis document.
        store: where the chain is kept here; this host goes on from what it holds.
        timeout_s: how long a node may take to answer.

    Raises:
        GenesisError: the genesis document will not do.
        StoreError: the store holds another chain, or is damaged.
        RpcError: a URL is none. (No node is asked before it is needed.)
    """

    def __init__(
        self,
        ledger: Ledger,
        urls: Sequence[str],
        genesis: bytes,
        store: Store | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        start = read_genesis(genesis)
        super().__init__(ledger, Store(None) if store is None else store, start.ledger)
        self._nodes = Nodes(urls, start.chain_id, timeout_s)
        self._reader = Reader(self._nodes, start.validators)
        self._waiting: dict[bytes, bytes] = {}
        self._offered_to = ""
        self._heights: dict[bytes, int] = {}
        self._dropped: dict[bytes, Receipt] = {}

    @property
    def pending(self) -> int:
        """How many transactions were let in and stand in no block that came here."""
        return len(self._waiting)

    @property
    def dropped(self) -> tuple[Receipt, ...]:
        """What was let in and later refused, before any block had it."""
        return tuple(self._dropped.values())

    def close(self) -> None:
        """Hang up."""
        self._nodes.close()

    def submit(self, transaction: bytes) -> Receipt:
        """Offer a transaction to a node. Its answer is local: whether it was let in. The same bytes
        again change nothing, whichever node they go to.

        Raises:
            RpcError: no node could be asked.
        """
        transaction_id = digest(transaction)
        if len(transaction) > MAX_TRANSACTION_BYTES:
            return _receipt(transaction_id, Reason.OVERSIZED, "transaction")
        if len(self._waiting) >= MAX_PENDING:
            return _receipt(transaction_id, Reason.TOO_MANY, "pending")
        known = transaction_id in self._waiting or transaction_id in self._heights
        receipt = self._nodes.ask(lambda node: self._offer(node, transaction))
        if known:
            return receipt
        self._waiting[transaction_id] = transaction
        if not receipt.ok:
            # A node that fell silent can have passed it on before; then a block has it.
            self.sync()
            if self._waiting.pop(transaction_id, None) is None:
                return _receipt(transaction_id, Reason.OK, "")
        return receipt

    def _offer(self, node: Rpc, transaction: bytes) -> Receipt:
        """Offer to a node; to one that is asked for the first time, all that waits before, because
        it may not have heard of it yet, and nonces have an order."""
        if node.url != self._offered_to:
            for waiting in self._waiting.values():
                _offer(node, waiting)
            self._offered_to = node.url
        return _offer(node, transaction)

    def offer_again(self) -> None:
        """Offer all that waits once more, in its order, as a node may have been lost with it. What
        is refused now waits no more: it has come into a block, or never will."""
        self.sync()
        for transaction_id, transaction in list(self._waiting.items()):
            receipt = self._nodes.ask(partial(_offer, transaction=transaction))
            if receipt.reason not in (Reason.OK, Reason.TOO_MANY):
                del self._waiting[transaction_id]
                _keep(self._dropped, transaction_id, receipt)

    def confirm(self, transaction: bytes, *, timeout_s: float = CONFIRM_TIMEOUT_S) -> Confirmed:
        """Offer a transaction, again while no block has it, until one has or it is refused.

        Raises:
            TimeoutError: no block had it in time; it may still come.
            RpcError: no node could be asked.
        """
        transaction_id = digest(transaction)
        receipt = self.submit(transaction)
        self.wait_until(lambda: transaction_id not in self._waiting, timeout_s=timeout_s)
        # What was refused may be a replay of what a block has.
        self.sync()
        height = self._heights.get(transaction_id) or self._search(transaction_id)
        if height is None:
            return Confirmed(None, self._dropped.get(transaction_id, receipt))
        found = (r for r in self.receipts(height) if r.transaction_id == transaction_id)
        return Confirmed(height, next(found))

    def _search(self, transaction_id: bytes) -> int | None:
        for height in range(1, self.height + 1):
            if any(each.transaction_id == transaction_id for each in self.receipts(height)):
                return height
        return None

    def wait_until(
        self, done: Callable[[], object], *, timeout_s: float = CONFIRM_TIMEOUT_S
    ) -> None:
        """Take in blocks until something is so, offering what waits again from time to time.

        Raises:
            TimeoutError: it was not so in time.
            RpcError: no node could be asked.
        """
        now_s = time.monotonic()
        deadline_s, again_s = now_s + timeout_s, now_s + OFFER_AGAIN_S
        while not done():
            if not self.sync():
                now_s = time.monotonic()
                if now_s > deadline_s:
                    raise TimeoutError(
                        f"in {timeout_s:g} s the chain got to block {self.height}, and "
                        f"{self.pending} transactions still wait"
                    )
                if now_s > again_s:
                    self.offer_again()
                    again_s = now_s + OFFER_AGAIN_S
                time.sleep(POLL_S)

    def sync(self) -> int:
        """Take in all blocks that there are; how many came.

        Raises:
            RpcError: no node could be asked, or none has a next block that is one.
        """
        before, latest = self.height, self._reader.height()
        while self.height < latest:
            self._next()
        return self.height - before

    def engine_header(self, height: int) -> EngineHeader:
        """The engine's header of a block, as the validators signed it; waits for one to come.

        Raises:
            TimeoutError, RpcError: as `Reader.header`.
        """
        return self._reader.header(height)

    def follow(self, from_height: int = 1) -> Iterator[tuple[int, Event]]:
        """What happens from a block on, without end, as blocks come; to resume, follow from the
        height after the last one that was dealt with."""
        height = from_height
        while True:
            if height > self.height:
                self.wait_until(partial(self._has, height), timeout_s=math.inf)
            for event in self.result(height).events:
                yield height, event
            height += 1

    def _has(self, height: int) -> bool:
        return self.height >= height

    def _next(self) -> None:
        """Take in the next block, from the first node whose block the validators' header names."""
        height = self.height + 1
        header = self._reader.header(height)
        if height > 1 and header.results_hash != results_hash(self.receipts(height - 1)):
            raise RpcError(f"block {height - 1}: its receipts here are not the network's")
        block = once_there(
            lambda: self._nodes.ask(lambda node: _block(node, height, header)), f"block {height}"
        )
        try:
            self.accept(block)
        except BlockRefused as error:
            raise RpcError(f"the network's block does not follow here: {error}") from None
        for receipt in self.receipts(height):
            if self._waiting.pop(receipt.transaction_id, None) is not None:
                _keep(self._heights, receipt.transaction_id, height)


def _keep(known: dict[bytes, T], transaction_id: bytes, what: T) -> None:
    """Remember something of a transaction, and forget the oldest beyond a number."""
    known[transaction_id] = what
    if len(known) > MAX_PENDING:
        del known[next(iter(known))]


def _receipt(transaction_id: bytes, reason: Reason, what: str) -> Receipt:
    return Receipt(transaction_id=transaction_id, reason=reason, field=what)


def _offer(node: Rpc, transaction: bytes) -> Receipt:
    """A node's answer to a transaction."""
    transaction_id = digest(transaction)
    try:
        answer = node.call("broadcast_tx_sync", tx=base64.b64encode(transaction).decode())
    except Refused as error:
        # It waits there, or stands in a block: a receipt of record will tell.
        if IN_CACHE in error.why:
            return _receipt(transaction_id, Reason.OK, "")
        if MEMPOOL_FULL in error.why:
            return _receipt(transaction_id, Reason.TOO_MANY, "pending")
        raise
    try:
        receipt = decode(bytes.fromhex(field(answer, "data")), Receipt)
    except (CodecError, ValueError, TypeError):
        raise Unusable(f"{node.url}: answers a transaction with no receipt") from None
    if receipt.transaction_id != transaction_id:
        raise Unusable(f"{node.url}: answers a transaction with another's receipt")
    return receipt


def _block(node: Rpc, height: int, header: EngineHeader) -> Block:
    """A node's block, if it is the one that the engine's header names."""
    try:
        block = decode(of_block(node, "block", height), Block)
    except CodecError as error:
        raise Unusable(f"{node.url}: block {height}: is none ({error})") from None
    if name := difference(block.signed_header.header, header):
        raise Unusable(f"{node.url}: block {height}: its {name} is not the header's")
    return block


def difference(ours: Header, header: EngineHeader) -> str | None:
    """In what a block of the ledger is not the one that the engine's header names, if it is not."""
    for name, given, due in (
        ("height", ours.context.height, header.height),
        ("time", ours.block_time_s, header.time_s),
        ("app_hash", ours.app_hash, header.app_hash),
        ("transactions", ours.transactions_root, header.data_hash),
        ("proposer", ours.context.proposer, validator_id(header.proposer_address)),
        ("misbehavior", not ours.context.misbehavior, header.evidence_hash == NO_EVIDENCE),
    ):
        if given != due:
            return name
    return None
