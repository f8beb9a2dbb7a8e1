"""A host whose chain a network of validators decides: it offers transactions and follows blocks.

Knows the RPC, the light client and, by constructor, a ledger. It believes no node: every block
that comes is one whose header enough validators signed, and is executed here again, so that what
is read is what the contracts say. State moves on by `sync` and what calls it, at no other time.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from peerwatt.hosts.cometbft.chain import DecidedChain, validator_id
from peerwatt.hosts.cometbft.genesis import GenesisError, check_chain_id, read_app_state
from peerwatt.hosts.cometbft.light import EngineHeader, read_validators
from peerwatt.hosts.cometbft.reader import POLL_S, Reader, once_there, query, results_hash, value_of
from peerwatt.hosts.cometbft.rpc import TIMEOUT_S, Nodes, Refused, Rpc, RpcError, Unusable, field
from peerwatt.hosts.host import Ledger
from peerwatt.hosts.replica import BlockRefused
from peerwatt.hosts.store import Store
from peerwatt.records.codec import CodecError, decode, digest
from peerwatt.records.receipts import Block, Event, Reason, Receipt
from peerwatt.records.transactions import MAX_TRANSACTION_BYTES

CONFIRM_TIMEOUT_S = 30.0
OFFER_AGAIN_S = 5.0
IN_CACHE = "tx already exists in cache"
MEMPOOL_FULL = "mempool is full"
NO_EVIDENCE = sha256().digest()
MAX_OFFERED = 1 << 16


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
        self._offered: dict[bytes, int] = {}

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
            return Receipt(
                transaction_id=transaction_id, reason=Reason.OVERSIZED, field="transaction"
            )
        self._offered.setdefault(transaction_id, self.height)
        if len(self._offered) > MAX_OFFERED:
            del self._offered[next(iter(self._offered))]
        body = base64.b64encode(transaction).decode()
        return self._nodes.ask(lambda node: _offer(node, transaction_id, body))

    def confirm(self, transaction: bytes, *, timeout_s: float = CONFIRM_TIMEOUT_S) -> Confirmed:
        """Offer a transaction until it stands in a block, or is refused before.

        What was offered is offered again while no block has it, since the node that let it in may
        have been lost with it.

        Raises:
            TimeoutError: no block had it in time; it may still come.
            RpcError: no node could be asked.
        """
        transaction_id = digest(transaction)
        deadline_s = time.monotonic() + timeout_s
        look_from = self._offered.get(transaction_id, 0) + 1
        while True:
            self.sync()
            found = self._find(transaction_id, look_from)
            if found is not None:
                return found
            look_from = self.height + 1
            receipt = self.submit(transaction)
            if not receipt.ok:
                # It may have come into a block just now, and be a replay for that reason.
                self.sync()
                return self._find(transaction_id, look_from) or Confirmed(None, receipt)
            again_s = min(time.monotonic() + OFFER_AGAIN_S, deadline_s)
            while time.monotonic() < again_s:
                if self.sync() and (found := self._find(transaction_id, look_from)):
                    return found
                time.sleep(POLL_S)
            if time.monotonic() >= deadline_s:
                raise TimeoutError(f"transaction {transaction_id.hex()[:16]}…: in no block yet")

    def _find(self, transaction_id: bytes, look_from: int) -> Confirmed | None:
        for height in range(look_from, self.height + 1):
            for receipt in self.receipts(height):
                if receipt.transaction_id == transaction_id:
                    return Confirmed(height, receipt)
        return None

    def sync(self) -> int:
        """Take in all blocks that there are; how many came.

        Raises:
            RpcError: no node could be asked, or none has a next block that is one.
        """
        before, latest = self.height, self._reader.height()
        while self.height < latest:
            self._next()
        return self.height - before

    def wait_for(self, height: int, *, timeout_s: float = CONFIRM_TIMEOUT_S) -> None:
        """Take in blocks until there are so many; TimeoutError if they do not come."""
        deadline_s = time.monotonic() + timeout_s
        while self.height < height:
            if not self.sync():
                if time.monotonic() > deadline_s:
                    raise TimeoutError(f"height: the chain got to {self.height}, not to {height}")
                time.sleep(POLL_S)

    def follow(self, from_height: int = 1) -> Iterator[tuple[int, Event]]:
        """What happens from a block on, without end, as blocks come; to resume, follow from the
        height after the last one that was dealt with."""
        height = from_height
        while True:
            if height > self.height:
                self.wait_for(height, timeout_s=float("inf"))
            for event in self.result(height).events:
                yield height, event
            height += 1

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


def _offer(node: Rpc, transaction_id: bytes, body: str) -> Receipt:
    """A node's answer to a transaction."""
    try:
        answer = node.call("broadcast_tx_sync", tx=body)
    except Refused as error:
        # It waits there, or stands in a block: a receipt of record will tell.
        if IN_CACHE in error.why:
            return Receipt(transaction_id=transaction_id, reason=Reason.OK, field="")
        if MEMPOOL_FULL in error.why:
            return Receipt(transaction_id=transaction_id, reason=Reason.TOO_MANY, field="pending")
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
        block = decode(value_of(query(node, f"/block/{height}", b"")), Block)
    except CodecError as error:
        raise Unusable(f"{node.url}: block {height}: is none ({error})") from None
    ours = block.signed_header.header
    for name, given, due in (
        ("height", ours.context.height, header.height),
        ("time", ours.block_time_s, header.time_s),
        ("app_hash", ours.app_hash, header.app_hash),
        ("transactions", ours.transactions_root, header.data_hash),
        ("proposer", ours.context.proposer, validator_id(header.proposer_address)),
        ("misbehavior", not ours.context.misbehavior, header.evidence_hash == NO_EVIDENCE),
    ):
        if given != due:
            raise Unusable(f"{node.url}: block {height}: its {name} is not the header's")
    return block
