"""Sealed bodies: readers open them, nobody else does, and libsodium's own box opens the key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from nacl.bindings import crypto_sign_ed25519_sk_to_curve25519, crypto_sign_seed_keypair
from nacl.public import PrivateKey, SealedBox
from nacl.secret import SecretBox

from peerwatt.records.codec import decode, digest, encode
from peerwatt.records.sealing import ENTROPY_BYTES, SealError, open_body, seal_body
from peerwatt.records.signing import SigningKey
from peerwatt.records.trades import MAX_BODY_BYTES, SealedBody, TradeBody

KEYS = [SigningKey(digest(f"reader {at}".encode())) for at in range(4)]
ENTROPY = bytes(range(ENTROPY_BYTES))
BODY = TradeBody(
    site="hub",
    slot_start_s=1_700_000_100,
    order_id=digest(b"a"),
    sale_id=digest(b"b"),
    bought_wh=2_000,
    paid_ucoin=500_000,
    from_seller_wh=1_500,
)


def sealed(*readers: SigningKey, entropy: bytes = ENTROPY) -> bytes:
    return seal_body(BODY, [each.public for each in readers], entropy)


@given(st.integers(1, 4), st.binary(min_size=ENTROPY_BYTES, max_size=ENTROPY_BYTES))
def test_every_reader_opens_it_and_nobody_else(readers: int, entropy: bytes) -> None:
    data = sealed(*KEYS[:readers], entropy=entropy)
    for key in KEYS[:readers]:
        assert open_body(data, key) == BODY
    for key in KEYS[readers:]:
        with pytest.raises(SealError, match="not sealed to this key"):
            open_body(data, key)


def test_the_key_is_in_sealed_boxes_as_libsodium_makes_them() -> None:
    """A reader needs nothing of ours to open it."""
    found = decode(sealed(KEYS[0]), SealedBody)
    _, secret = crypto_sign_seed_keypair(KEYS[0].seed)
    private = PrivateKey(crypto_sign_ed25519_sk_to_curve25519(secret))
    key = SealedBox(private).decrypt(found.keys[0].sealed)
    assert SecretBox(key).decrypt(found.ciphertext, found.nonce) == encode(BODY)


def test_other_chance_gives_other_bytes_and_the_same_chance_the_same() -> None:
    assert sealed(KEYS[0]) == sealed(KEYS[0])
    first, other = (decode(sealed(KEYS[0], entropy=e), SealedBody) for e in (ENTROPY, bytes(64)))
    assert first.nonce != other.nonce
    assert first.ciphertext != other.ciphertext
    assert first.keys[0].sealed[:32] != other.keys[0].sealed[:32]


def test_each_reader_has_a_box_with_a_key_used_once() -> None:
    found = decode(sealed(*KEYS), SealedBody)
    assert len({each.sealed[:32] for each in found.keys}) == len(KEYS)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_byte_that_was_changed_is_noticed(at: int, by: int) -> None:
    data = bytearray(sealed(KEYS[0]))
    data[at % len(data)] ^= by
    with pytest.raises(SealError):
        open_body(bytes(data), KEYS[0])


def test_a_box_for_another_does_not_open() -> None:
    """The second reader's box under the first one's name."""
    found = decode(sealed(KEYS[0], KEYS[1]), SealedBody)
    swapped = [
        replace(each, sealed=other.sealed)
        for each, other in zip(found.keys, reversed(found.keys), strict=True)
    ]
    with pytest.raises(SealError, match="cannot be opened"):
        open_body(encode(replace(found, keys=tuple(swapped))), KEYS[0])


@pytest.mark.parametrize(
    ("readers", "entropy", "why"),
    [
        ([], ENTROPY, "readers: nobody could open it"),
        ([KEYS[0].public], bytes(63), "entropy: must have 64 bytes, has 63"),
        ([b"short"], ENTROPY, "readers: 73686f7274 is no key"),
        ([bytes(32)], ENTROPY, "is no key"),
    ],
)
def test_what_cannot_be_sealed_says_why(readers: list[bytes], entropy: bytes, why: str) -> None:
    with pytest.raises(SealError, match=why):
        seal_body(BODY, readers, entropy)


def test_a_body_for_all_that_read_it_fits_a_record() -> None:
    assert len(sealed(*KEYS)) < MAX_BODY_BYTES // 2
