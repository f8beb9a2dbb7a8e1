"""What the ledger answers: a receipt with a numbered reason, events, and what a block is.

Knows units and the codec. Reasons are never reused; docs/reasons.md is printed from here.
"""

from __future__ import annotations

from enum import IntEnum

from peerwatt.records.codec import Record, digest, encode
from peerwatt.units import ChainId, Count, Hash, Key, Signature, TimeS


class BlockContext(Record):
    """All that contracts see of the world outside the messages."""

    height: Count
    market_time_s: TimeS
    previous_block_id: Hash
    proposer: Key
    misbehavior: tuple[Key, ...] = ()


class Receipt(Record):
    """The ledger's answer to one transaction; `field` names what was wrong, empty when accepted."""

    transaction_id: Hash
    reason: Count
    field: str

    @property
    def ok(self) -> bool:
        """Whether the transaction was accepted."""
        return self.reason == 0


class Event(Record):
    """Something that happened to a record: what, and the record's key."""

    kind: str
    key: bytes


class BlockResult(Record):
    """What a block did: one receipt per transaction, and events in order."""

    receipts: tuple[Receipt, ...]
    events: tuple[Event, ...] = ()


class Header(Record):
    """A block's header. Roots of state and results are those *before* this block, so what a block
    did is proved by the next header; `history_root` is of the ids of all blocks before."""

    chain_id: ChainId
    context: BlockContext
    block_time_s: TimeS
    transactions_root: Hash
    app_hash: Hash
    results_root: Hash
    history_root: Hash

    @property
    def block_id(self) -> bytes:
        """The hash of the header."""
        return digest(encode(self))


class SignedHeader(Record):
    """A header with its proposer's signature (domain "header")."""

    header: Header
    signature: Signature


class Block(Record):
    """A signed header and the transactions that it commits to."""

    signed_header: SignedHeader
    transactions: tuple[bytes, ...]


HEADER_DOMAIN = "header"
WITNESS_DOMAIN = "witness"


class Reason(IntEnum):
    """Why a transaction was refused, in the order in which it is checked."""

    OK = 0

    MALFORMED = 101
    OVERSIZED = 102
    WRONG_CHAIN = 103
    BAD_SIGNATURE = 104
    UNKNOWN_SIGNER = 105
    WRONG_NONCE = 106
    EXPIRED = 107
    BAD_COSIGNATURE = 108
    NOT_PERMITTED = 109

    UNKNOWN_MEMBER = 201
    UNKNOWN_ACCOUNT = 202
    UNKNOWN_SITE = 203
    UNKNOWN_PORT = 204
    UNKNOWN_METER = 205
    UNKNOWN_TARIFF = 206
    UNKNOWN_ROUND = 207
    UNKNOWN_ORDER = 208
    UNKNOWN_PROPOSAL = 209
    UNKNOWN_DISPUTE = 210

    ALREADY_EXISTS = 301
    ALREADY_VOTED = 302
    ALREADY_REPORTED = 303
    ALREADY_RESOLVED = 304

    OUT_OF_ORDER = 401
    OUT_OF_RANGE = 402
    TOO_MANY = 403
    OVER_LIMIT = 404
    TOO_EARLY = 405
    TOO_LATE = 406
    NOT_PLUGGED_IN = 407
    PORT_TAKEN = 408
    OVER_CAP = 409
    UNFUNDED = 410

    BAD_READING_SIGNATURE = 501
    REGISTER_BACKWARDS = 502
    REPEATED_SEQUENCE = 503
    WRONG_PERIOD = 504

    CLOCK_BACKWARDS = 601
    NOT_TICK_CLOCK = 602

    NO_ORDERS = 701
