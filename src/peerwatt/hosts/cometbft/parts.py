"""What the messages of ABCI 2.0 are made of: times, keys, evidence, snapshots, proofs, verdicts.

Knows the wire. Names and numbers are those of the engine's own definitions; fields that the
application does not read are left out and passed over when they come.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from peerwatt.hosts.cometbft.wire import Message


class Timestamp(Message):
    """A time as seconds since 1970 and nanoseconds."""

    seconds: Annotated[int, 1] = 0
    nanos: Annotated[int, 2] = 0


class PublicKey(Message):
    """A validator's key."""

    ed25519: Annotated[bytes, 1] = b""


class ValidatorUpdate(Message):
    """A validator and its voting power; 0 takes it out."""

    pub_key: Annotated[PublicKey, 1] = PublicKey()
    power: Annotated[int, 2] = 0


class Validator(Message):
    """A validator as blocks name it: the first 20 bytes of its key's SHA-256."""

    address: Annotated[bytes, 1] = b""
    power: Annotated[int, 3] = 0


class Misbehavior(Message):
    """Evidence that a validator broke the engine's rules."""

    type: Annotated[int, 1] = 0
    validator: Annotated[Validator, 2] = Validator()
    height: Annotated[int, 3] = 0
    time: Annotated[Timestamp, 4] = Timestamp()
    total_voting_power: Annotated[int, 5] = 0


class Snapshot(Message):
    """A snapshot on offer."""

    height: Annotated[int, 1] = 0
    format: Annotated[int, 2] = 0
    chunks: Annotated[int, 3] = 0
    hash: Annotated[bytes, 4] = b""
    metadata: Annotated[bytes, 5] = b""


class Attribute(Message):
    """A value that blocks and transactions can be searched by."""

    key: Annotated[str, 1] = ""
    value: Annotated[str, 2] = ""
    index: Annotated[bool, 3] = False


class Event(Message):
    """Something that happened in a block."""

    type: Annotated[str, 1] = ""
    attributes: Annotated[tuple[Attribute, ...], 2] = ()


class ExecTxResult(Message):
    """What a transaction did in its block; the engine hashes code, data and gas."""

    code: Annotated[int, 1] = 0
    data: Annotated[bytes, 2] = b""
    log: Annotated[str, 3] = ""
    info: Annotated[str, 4] = ""
    codespace: Annotated[str, 8] = ""


class Proof(Message):
    """A Merkle proof of inclusion."""

    total: Annotated[int, 1] = 0
    index: Annotated[int, 2] = 0
    leaf_hash: Annotated[bytes, 3] = b""
    aunts: Annotated[tuple[bytes, ...], 4] = ()


class ValueOp(Message):
    """The proof of a value under a key: the only kind that the stock light proxy checks."""

    key: Annotated[bytes, 1] = b""
    proof: Annotated[Proof, 2] = Proof()


class ProofOp(Message):
    """One step of a proof that leads through several trees."""

    type: Annotated[str, 1] = ""
    key: Annotated[bytes, 2] = b""
    data: Annotated[bytes, 3] = b""


class ProofOps(Message):
    """The steps from a value up to the app hash."""

    ops: Annotated[tuple[ProofOp, ...], 1] = ()


class OfferResult(IntEnum):
    """Answers to an offered snapshot."""

    ACCEPT = 1
    ABORT = 2
    REJECT = 3
    REJECT_FORMAT = 4


class ApplyResult(IntEnum):
    """Answers to a snapshot's chunk."""

    ACCEPT = 1
    ABORT = 2
    RETRY = 3
    REJECT_SNAPSHOT = 5


class Verdict(IntEnum):
    """Answers to a proposal or a vote extension."""

    ACCEPT = 1
    REJECT = 2
