"""Ed25519 signatures over a domain and a chain id.

Knows one verifier, libsodium's, for all of consensus: other libraries differ in
edge cases. A signature made for one purpose or chain is worth nothing for another.
"""

from __future__ import annotations

from functools import lru_cache

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError

from peerwatt.records.codec import digest

SIMULATION_PREFIX = "sim-"
VERIFIED_CACHE = 1 << 16
REMEMBERED_BYTES = 512


class SigningKey:
    """A private key; `public` is its 32-byte Ed25519 public key."""

    __slots__ = ("_secret", "public", "seed")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != 32:
            raise ValueError(f"seed: must have 32 bytes, has {len(seed)}")
        self.seed = seed
        self.public, self._secret = crypto_sign_seed_keypair(seed)

    def sign(self, domain: str, chain_id: str, data: bytes) -> bytes:
        """The 64-byte signature of `data` for this domain on this chain."""
        signed: bytes = crypto_sign(signed_bytes(domain, chain_id, data), self._secret)
        return signed[:64]

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()[:16]}…)"


def signed_bytes(domain: str, chain_id: str, data: bytes) -> bytes:
    """What is signed: a prefix without ambiguity, then the data."""
    return f"peerwatt/{domain}/{chain_id}\n".encode() + data


def verify(public: bytes, domain: str, chain_id: str, data: bytes, signature: bytes) -> bool:
    """Whether `public` signed `data` for this domain and chain.

    Remembered for short data, because a message is checked at admission and again in its block;
    what strangers send must not fill the memory.
    """
    # libsodium reads 32 and 64 bytes, whatever it is given.
    if len(public) != 32 or len(signature) != 64:
        return False
    check = _verify_remembered if len(data) <= REMEMBERED_BYTES else _verify
    return check(public, signature, signed_bytes(domain, chain_id, data))


def _verify(public: bytes, signature: bytes, signed: bytes) -> bool:
    try:
        crypto_sign_open(signature + signed, public)
    except CryptoError:
        return False
    return True


_verify_remembered = lru_cache(maxsize=VERIFIED_CACHE)(_verify)


def derive_key(seed: int, label: str, chain_id: str) -> SigningKey:
    """A reproducible key for a simulation; refused on any chain that is not one."""
    if not chain_id.startswith(SIMULATION_PREFIX):
        raise ValueError(f"chain_id: derived keys are for '{SIMULATION_PREFIX}' chains only")
    return SigningKey(digest(f"peerwatt derived key/{chain_id}/{seed}/{label}".encode()))
