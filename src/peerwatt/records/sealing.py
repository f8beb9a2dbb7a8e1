"""A trade's body is sealed before it is sent: its readers can open it, the ledger cannot.

Knows libsodium. The body is encrypted once (XSalsa20-Poly1305) under a key of its own, and that key
is put into one sealed box (X25519) a reader, whose Ed25519 key on the ledger is converted. Chance
comes from the caller, as `entropy`; the same entropy must never serve two bodies.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from nacl.bindings import (
    crypto_sign_ed25519_pk_to_curve25519,
    crypto_sign_ed25519_sk_to_curve25519,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import CryptoError
from nacl.public import Box, PrivateKey, PublicKey, SealedBox
from nacl.secret import SecretBox

from peerwatt.records.codec import CodecError, decode, digest, encode
from peerwatt.records.signing import SigningKey
from peerwatt.records.trades import SealedBody, SealedKey, TradeBody

ENTROPY_BYTES = 64
NONCE_BYTES = SecretBox.NONCE_SIZE


class SealError(ValueError):
    """A body that cannot be sealed or opened: one line that names the field and the reason."""


def seal_body(body: TradeBody, readers: Sequence[bytes], entropy: bytes) -> bytes:
    """The bytes that a record carries, which these keys' owners can open.

    Raises:
        SealError: there is no reader, one's key is no key, or the entropy is too short.
    """
    if len(entropy) < ENTROPY_BYTES:
        raise SealError(f"entropy: must have {ENTROPY_BYTES} bytes, has {len(entropy)}")
    if not readers:
        raise SealError("readers: nobody could open it")
    key, nonce = digest(b"key" + entropy), digest(b"nonce" + entropy)[:NONCE_BYTES]
    return encode(
        SealedBody(
            keys=tuple(_sealed(key, reader, entropy) for reader in sorted(readers)),
            nonce=nonce,
            ciphertext=SecretBox(key).encrypt(encode(body), nonce).ciphertext,
        )
    )


def open_body(data: bytes, reader: SigningKey) -> TradeBody:
    """What a record's body says, to one of its readers.

    Raises:
        SealError: it is no sealed body, not for this reader, or was changed.
    """
    try:
        sealed = decode(data, SealedBody)
    except CodecError as error:
        raise SealError(f"body: {error}") from None
    mine = next((each.sealed for each in sealed.keys if each.reader == reader.public), None)
    if mine is None:
        raise SealError("body: is not sealed to this key")
    _, secret = crypto_sign_seed_keypair(reader.seed)
    private = PrivateKey(crypto_sign_ed25519_sk_to_curve25519(secret))
    try:
        key = SealedBox(private).decrypt(mine)
        return decode(SecretBox(key).decrypt(sealed.ciphertext, sealed.nonce), TradeBody)
    except (CryptoError, CodecError, ValueError) as error:
        raise SealError(f"body: cannot be opened ({error})") from None


def _sealed(key: bytes, reader: bytes, entropy: bytes) -> SealedKey:
    """A sealed box as libsodium makes it, but for where its one-time key comes from."""
    try:
        public = PublicKey(crypto_sign_ed25519_pk_to_curve25519(reader))
    except (CryptoError, ValueError, TypeError):
        raise SealError(f"readers: {reader.hex()} is no key") from None
    once = PrivateKey(digest(b"once" + reader + entropy))
    ours, theirs = bytes(once.public_key), bytes(public)
    nonce = blake2b(ours + theirs, digest_size=NONCE_BYTES).digest()
    return SealedKey(reader=reader, sealed=ours + Box(once, public).encrypt(key, nonce).ciphertext)
