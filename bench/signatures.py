"""The bound that signatures set: what blocks of transactions were signed with, checked by PyNaCl.

Knows how messages are signed. It checks each signature once, on one core, and does nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from nacl.bindings import crypto_sign_open

from peerwatt.records.codec import decode, encode
from peerwatt.records.readings import READING_DOMAIN
from peerwatt.records.signing import signed_bytes
from peerwatt.records.transactions import (
    TRANSACTION_DOMAIN,
    ReportReadings,
    Transaction,
    decode_message,
)


class Signed(NamedTuple):
    """A signature with what was signed behind it, and the key."""

    data: bytes
    public: bytes


def signed_in(transactions: Iterable[bytes]) -> Iterator[Signed]:
    """What the signers of these transactions signed, and the meters of readings in them."""
    for each in transactions:
        transaction = decode(each, Transaction)
        message = decode_message(transaction.message)
        data = transaction.message + transaction.cosigner + transaction.cosignature
        text = signed_bytes(TRANSACTION_DOMAIN, message.chain_id, data)
        yield Signed(transaction.signature + text, message.signer)
        if isinstance(message, ReportReadings):
            for signed in message.readings:
                text = signed_bytes(READING_DOMAIN, message.chain_id, encode(signed.reading))
                yield Signed(signed.signature + text, signed.reading.meter)


def check_all(signed: Sequence[Signed]) -> None:
    """Every signature once, by PyNaCl's binding of libsodium; it raises at a false one."""
    for data, public in signed:
        crypto_sign_open(data, public)
