"""Reading a ledger from nodes that nobody needs to believe: values and receipts, each proved.

Knows the application's queries and their proofs, and the light client. It runs no contracts: a
value is what its Merkle proof says under the app hash of a header that enough validators signed.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from peerwatt.hosts.cometbft.light import EngineHeader, LightClient, Validators
from peerwatt.hosts.cometbft.parts import ExecTxResult, Proof, ValueOp
from peerwatt.hosts.cometbft.queries import ABSENCE_OP, VALUE_OP
from peerwatt.hosts.cometbft.rpc import Nodes, Refused, Rpc, Unusable, field, number
from peerwatt.hosts.cometbft.wire import WireError
from peerwatt.hosts.cometbft.wire import decode as from_wire
from peerwatt.hosts.cometbft.wire import encode as to_wire
from peerwatt.records.codec import CodecError, decode, encode
from peerwatt.records.merkle import (
    Absence,
    Evidence,
    StoreProof,
    shown_root,
    tree_root,
    verify_stored,
)
from peerwatt.records.merkle import Proof as MerkleProof
from peerwatt.records.receipts import BlockResult, Receipt

T = TypeVar("T")
HEADER_TIMEOUT_S = 30.0
POLL_S = 0.05


class Value(NamedTuple):
    """An encoded record (none if there is none) in the state after the block at `height`, the
    proof of it, and the header after, whose app hash it leads to."""

    value: bytes | None
    height: int
    proof: StoreProof
    header: EngineHeader


class Reader:
    """Proved reads from several nodes of one chain.

    Args:
        nodes: whom to ask.
        validators: those of the chain's genesis.
    """

    def __init__(self, nodes: Nodes, validators: Validators) -> None:
        self._nodes = nodes
        self._light = LightClient(nodes, validators)

    def height(self) -> int:
        """How many blocks the application of the node that is asked has kept, by its word."""
        return number({"last_block_height": 0} | self._info(), "last_block_height")

    def _info(self) -> dict[str, Any]:
        info = field(self._nodes.call("abci_info"), "response")
        return info if isinstance(info, dict) else {}

    def header(self, height: int, timeout_s: float = HEADER_TIMEOUT_S) -> EngineHeader:
        """A header that enough validators signed, once there is one.

        Raises:
            TimeoutError: no block of this height came in time.
            Unusable: no node can prove one.
        """
        return once_there(lambda: self._light.header(height), f"header {height}", timeout_s)

    def value(
        self, store: str, key: bytes, *, at_least: int = 1, timeout_s: float = HEADER_TIMEOUT_S
    ) -> Value:
        """The record under a key of a hashed table, or its absence, proved.

        Args:
            store: the table's name.
            key: the record's key.
            at_least: of the state after this block, or a later one.
            timeout_s: how long to wait for that block and the header after it.

        Raises:
            Refused: there is no such table, or no header commits to it.
            TimeoutError: the chain did not get so far in time.
            Unusable: no node gives a proof that holds.
        """
        deadline_s = time.monotonic() + timeout_s
        # A state is proved by the header after it.
        self.header(at_least + 1, timeout_s)
        while True:
            found = self._nodes.ask(lambda node: self._value(node, store, key))
            if found.height >= at_least:
                return found
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"height: no node got to {at_least} in time")
            time.sleep(POLL_S)

    def _value(self, node: Rpc, store: str, key: bytes) -> Value:
        response = query(node, f"/store/{store}/key", key, prove=True)
        height = number(response, "height")
        value, proof = _proof_of(node, response, store, key)
        header = self.header(height + 1)
        if not verify_stored(header.app_hash, store, key, value, proof):
            raise Unusable(f"{node.url}: the proof of {store} {key.hex()} does not hold")
        return Value(value, height, proof, header)

    def receipts(self, height: int) -> tuple[Receipt, ...]:
        """The receipts of record of a block, as the header after it commits to them.

        Raises:
            Refused: there is no such block.
            TimeoutError: no block came after it in time.
            Unusable: no node gives receipts that are those of the header.
        """
        return self._nodes.ask(lambda node: self._receipts(node, height))

    def _receipts(self, node: Rpc, height: int) -> tuple[Receipt, ...]:
        data = of_block(node, "result", height)
        try:
            receipts = decode(data, BlockResult).receipts
        except CodecError as error:
            raise Unusable(f"{node.url}: block {height}: no receipts ({error})") from None
        if results_hash(receipts) != self.header(height + 1).results_hash:
            raise Unusable(f"{node.url}: block {height}: its receipts are not the header's")
        return receipts


def once_there(ask: Callable[[], T], what: str, timeout_s: float = HEADER_TIMEOUT_S) -> T:
    """An answer that a node refuses as long as it has not got so far; TimeoutError if it never
    does."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except Refused as error:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{what}: did not come in time ({error})") from None
        time.sleep(POLL_S)


def results_hash(receipts: tuple[Receipt, ...]) -> bytes:
    """The hash by which an engine's header names what the transactions of a block did."""
    return tree_root(
        to_wire(ExecTxResult(code=each.reason, data=encode(each))) for each in receipts
    )


def query(node: Rpc, path: str, data: bytes, *, prove: bool = False) -> Any:
    """An application's answer to a query.

    Raises:
        Refused: it cannot be answered.
        Unusable: the node does not answer.
    """
    response = _response(node, path, data, prove=prove)
    if number(response, "code"):
        raise Refused(node.url, path, str(field(response, "log")))
    return response


def _response(node: Rpc, path: str, data: bytes, *, prove: bool) -> Any:
    answer = node.call("abci_query", path=path, data=data.hex(), prove=prove)
    return field(answer, "response")


def of_block(node: Rpc, what: str, height: int) -> bytes:
    """A `block` or its `result`, as the application keeps them.

    Raises:
        Refused: the node has not got so far.
        Unusable: it keeps that block no more, or does not answer.
    """
    response = _response(node, f"/{what}/{height}", b"", prove=False)
    if not number(response, "code"):
        return value_of(response)
    if number(response, "height") >= height:
        raise Unusable(f"{node.url}: keeps block {height} no more")
    raise Refused(node.url, f"/{what}/{height}", str(field(response, "log")))


def value_of(response: Any) -> bytes:
    """The value in an application's answer, which leaves an empty one out."""
    return _bytes(response, "value")


def _bytes(answer: Any, name: str) -> bytes:
    try:
        return base64.b64decode(field(answer, name) or "", validate=True)
    except (ValueError, TypeError):
        raise Unusable(f"a node's answer has no bytes as {name}") from None


def _proof_of(node: Rpc, response: Any, store: str, key: bytes) -> tuple[bytes | None, StoreProof]:
    """The value and its proof in an answer's two steps: key in store, store in state."""
    ops = field(response, "proofOps", "ops")
    try:
        entry, above = (_evidence(op) for op in ops)
    except (ValueError, TypeError) as error:
        raise Unusable(f"{node.url}: no proof of {store} {key.hex()} ({error})") from None
    root = shown_root(entry)
    if root is None or not isinstance(above, MerkleProof):
        raise Unusable(f"{node.url}: no proof of {store} {key.hex()}")
    value = None if isinstance(entry, Absence) else value_of(response)
    return value, StoreProof(store_root=root, entry=entry, store=above)


def _evidence(op: Any) -> Evidence:
    data = _bytes(op, "data")
    match field(op, "type"):
        case t if t == ABSENCE_OP:
            return decode(data, Absence)
        case t if t == VALUE_OP:
            return _inclusion(data)
    raise ValueError("a step of an unknown kind")


def _inclusion(data: bytes) -> MerkleProof:
    try:
        proof: Proof = from_wire(data, ValueOp).proof
    except WireError as error:
        raise ValueError(str(error)) from None
    return MerkleProof(
        total=proof.total, index=proof.index, leaf_hash=proof.leaf_hash, aunts=proof.aunts
    )
