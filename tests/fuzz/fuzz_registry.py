"""Fuzzing targets of the registration authority: what drivers bring to it.

Knows the authority and how it may refuse; whatever else a target raises is a finding.
"""

from __future__ import annotations

import warnings
from functools import cache

from fuzz_decoders import one_line, shape
from small_hub import START_S, key, public

from peerwatt.records.codec import CodecError, decode
from peerwatt.registry.certificates import CertificateError, check
from peerwatt.registry.register import (
    AddressRequest,
    Book,
    Register,
    RegisterError,
    request_addresses,
)

WALLETS = 3


@cache
def _start() -> tuple[Book, bytes]:
    """A register with one certificate."""
    book = Book(
        chain_id="sim-small-hub", authority=public("authority"), name="office", secret=bytes(32)
    )
    register = Register(key("authority"), book)
    data = register.certify(
        subject="8ABC123", public_key=public("driver"), from_s=START_S, until_s=START_S + 10**6
    )
    return register.book, data


def good_certificate() -> bytes:
    return _start()[1]


def good_request() -> AddressRequest:
    wallets = [key(f"wallet/{at}") for at in range(WALLETS)]
    return request_addresses(good_certificate(), key("driver"), wallets, "sim-small-hub")


def certificate(data: bytes) -> str:
    """A certificate: believed, or refused in one line. Only its own bytes are believed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = check(data, public("authority"))
    except CertificateError as error:
        return shape(one_line(error).partition(" (")[0])
    assert data == good_certificate()
    return f"of {found.subject}"


def address_request(data: bytes) -> str:
    """A driver's request for tokens: granted, or refused in one line and nothing remembered."""
    try:
        request = decode(data, AddressRequest)
    except CodecError as error:
        return shape(error.field)
    register = Register(key("authority"), _start()[0])
    before = register.book
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tokens = register.give_tokens(request, START_S)
    except (RegisterError, CertificateError) as error:
        assert register.book == before
        return shape(one_line(error).partition(": ")[0])
    assert len(tokens) == len(register.book.entries[0].wallets)
    return f"{len(tokens)} tokens"
