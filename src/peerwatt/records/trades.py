"""Records of trade between cars: what stands on the ledger, and what only members can read.

Knows units and the codec. A record names two wallets, which are pseudonyms, the settled awards it
is of, and the hash of each wallet's record before it; what was traded is in a body that was
encrypted before it was sent. The ledger keeps of each wallet how many records it has and the hash
of the newest, from which all others follow.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from peerwatt.records.codec import Record
from peerwatt.units import Count, EnergyWh, Hash, Key, Name, TimeS, Ucoin

MAX_TAGS = 8
MAX_BODY_BYTES = 2_048
Body = Annotated[bytes, Meta(min_length=1, max_length=MAX_BODY_BYTES)]


class TradeKind(IntEnum):
    """What the energy came from."""

    CAR = 1
    SITE = 2


class WalletHistory(Record):
    """A wallet's trade records: how many there are, and the hash of the newest one."""

    count: Count
    head: Hash


class RecordedTrade(Record):
    """That a settled award has its record, and which."""

    record_hash: Hash


class TradeBody(Record):
    """What only the readers of a record see: what was bought, what was paid for it, and how much of
    it came from the seller that signs."""

    site: Name
    slot_start_s: TimeS
    order_id: Hash
    sale_id: Hash
    bought_wh: EnergyWh
    paid_ucoin: Ucoin
    from_seller_wh: EnergyWh


class SealedKey(Record):
    """The body's key, sealed to one reader: a member, by its key on the ledger."""

    reader: Key
    sealed: Annotated[bytes, Meta(min_length=80, max_length=80)]


class SealedBody(Record):
    """A body that its readers alone can open; the bytes that a record carries."""

    keys: tuple[SealedKey, ...]
    nonce: Annotated[bytes, Meta(min_length=24, max_length=24)]
    ciphertext: bytes
