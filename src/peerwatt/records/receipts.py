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
    """Why a transaction was refused. The hundreds tell what was at fault: 1 the envelope or the
    sender, 2 what it names, 3 that it was done before, 4 its values, time or money, 5 a reading,
    6 the clock, 8 a clearing that proves nothing, for which its sender pays the tariff's penalty;
    7 is why a round is void. docs/reasons.md lists each message's reasons in the
    order in which they are checked."""

    OK = 0

    OVERSIZED = 101
    MALFORMED = 102
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
    UNKNOWN_FEEDER = 211
    UNKNOWN_PURCHASE = 212
    UNKNOWN_SALE = 213
    UNKNOWN_OPENING = 214

    ALREADY_EXISTS = 301
    ALREADY_VOTED = 302
    ALREADY_REPORTED = 303
    ALREADY_RESOLVED = 304
    ALREADY_RECORDED = 306

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
    FEEDERS_LIMITED = 411
    NOT_REPORTED = 412
    WRONG_HISTORY = 415
    NOTHING_TRADED = 416
    ONE_PARTY = 417
    SEALED_ONLY = 418
    NOT_SEALED = 419
    WRONG_COMMITMENT = 420

    BAD_READING_SIGNATURE = 501
    REGISTER_BACKWARDS = 502
    REPEATED_SEQUENCE = 503
    WRONG_PERIOD = 504

    CLOCK_BACKWARDS = 601
    NOT_TICK_CLOCK = 602

    NO_ORDERS = 701

    WRONG_BOOK = 801
    INCOMPLETE = 802
    BELOW_COST = 803
    AGAINST_BID = 804
    BEYOND_LIMIT = 805
    NOT_OPTIMAL = 806
    CONFLICTING = 807
    BAD_BID_SIGNATURE = 808
    NOT_SETTLED = 809
    WRONGLY_LEFT_OUT = 810
    UNBACKED_BID = 811
    NOT_ANSWERED = 812

    @property
    def words(self) -> str:
        """The reason as a sentence for people."""
        return WORDS[self]


WORDS = {
    Reason.OK: "It was accepted.",
    Reason.OVERSIZED: "It is larger than a transaction may be.",
    Reason.MALFORMED: "It is not a message in the one form that the ledger reads.",
    Reason.WRONG_CHAIN: "It was made for another chain.",
    Reason.BAD_SIGNATURE: "The signature is not its sender's.",
    Reason.UNKNOWN_SIGNER: "Its sender has no account.",
    Reason.WRONG_NONCE: "Its counter is not its sender's next one: a replay, or out of order.",
    Reason.EXPIRED: "It was valid until a time that is past.",
    Reason.BAD_COSIGNATURE: "The second signature that it needs is missing or not valid.",
    Reason.NOT_PERMITTED: "Its sender has no right to do this.",
    Reason.UNKNOWN_MEMBER: "It names a member that does not exist or lacks the role.",
    Reason.UNKNOWN_ACCOUNT: "It names an account that does not exist.",
    Reason.UNKNOWN_SITE: "It names a site that is not registered.",
    Reason.UNKNOWN_PORT: "It names a port that the site does not have.",
    Reason.UNKNOWN_METER: "It names a meter that is not registered at the site.",
    Reason.UNKNOWN_TARIFF: "It names a tariff that the site's supplier has not published.",
    Reason.UNKNOWN_ROUND: "It names a round that was never opened.",
    Reason.UNKNOWN_ORDER: "It names an order that is not there.",
    Reason.UNKNOWN_PROPOSAL: "It names a proposal that is not there.",
    Reason.UNKNOWN_DISPUTE: "It names a dispute that is not there.",
    Reason.UNKNOWN_FEEDER: "It names a feeder that the site does not have.",
    Reason.UNKNOWN_OPENING: "It consents to an opening of this wallet that nobody has asked for.",
    Reason.UNKNOWN_PURCHASE: "It names a purchase that was not settled in its round.",
    Reason.UNKNOWN_SALE: "It names a sale that was not settled in its round, or another's.",
    Reason.ALREADY_EXISTS: "There is one already.",
    Reason.ALREADY_VOTED: "Its sender has voted already.",
    Reason.ALREADY_REPORTED: "This meter has reported for this round already.",
    Reason.ALREADY_RESOLVED: "It has been decided already.",
    Reason.ALREADY_RECORDED: "This purchase has its record already.",
    Reason.OUT_OF_ORDER: "What must ascend does not.",
    Reason.OUT_OF_RANGE: "The value is outside what is allowed here.",
    Reason.TOO_MANY: "There are more than are allowed, or none.",
    Reason.OVER_LIMIT: "It is more than the port or the connection can carry.",
    Reason.TOO_EARLY: "The time for this has not come.",
    Reason.TOO_LATE: "The time for this is over.",
    Reason.NOT_PLUGGED_IN: "Its sender is not plugged in at this port.",
    Reason.PORT_TAKEN: "Somebody else is plugged in at this port.",
    Reason.OVER_CAP: "It would create more coins than the epoch allows.",
    Reason.UNFUNDED: "Its sender does not have the coins that it could cost.",
    Reason.FEEDERS_LIMITED: "Feeders are limited in its slot, which this mechanism does not know.",
    Reason.NOT_REPORTED: "Nobody has said that this order's agent is silent.",
    Reason.ONE_PARTY: "It takes two parties, and its sender is the other one already.",
    Reason.WRONG_HISTORY: "It does not follow the newest record of its wallet.",
    Reason.NOTHING_TRADED: "No energy changed hands under this award.",
    Reason.SEALED_ONLY: "The round takes sealed orders alone.",
    Reason.NOT_SEALED: "Orders of the round are not sealed.",
    Reason.WRONG_COMMITMENT: "It is not what was committed to before the gate.",
    Reason.BAD_READING_SIGNATURE: "The reading was not signed by its meter.",
    Reason.REGISTER_BACKWARDS: "A meter's register would have run backwards.",
    Reason.REPEATED_SEQUENCE: "The meter has used this sequence number, or a later one, before.",
    Reason.WRONG_PERIOD: "The reading is not of the round's slot.",
    Reason.CLOCK_BACKWARDS: "The clock would have run backwards.",
    Reason.NOT_TICK_CLOCK: "This chain runs on block time and takes no ticks.",
    Reason.NO_ORDERS: "Nobody placed an order.",
    Reason.WRONG_BOOK: "It was made for another book than the one that was frozen.",
    Reason.INCOMPLETE: "It is not one price, bid or rent for each that has to have one.",
    Reason.BELOW_COST: "A seller would give energy below its ask and the fees.",
    Reason.AGAINST_BID: "A buyer would get more than it wants at its price, or not its minimum.",
    Reason.BEYOND_LIMIT: "It moves more energy than an order, a feeder or the connection allows.",
    Reason.NOT_OPTIMAL: "It may leave more welfare on the table than the ledger allows.",
    Reason.CONFLICTING: "Its sender has proposed another clearing of this round before.",
    Reason.BAD_BID_SIGNATURE: "A bid was not signed by its order's owner for this step of the run.",
    Reason.NOT_SETTLED: "The last bids differ from those before by more than they may.",
    Reason.WRONGLY_LEFT_OUT: "The bids do not show that the order kept an auction from ending.",
    Reason.UNBACKED_BID: "A buyer's bid is more than its order holds.",
    Reason.NOT_ANSWERED: "The last bid does not answer the energy that its order would be awarded.",
}
