"""Signatures: what they bind, what is refused, what is remembered, and derived keys."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerwatt.records import signing
from peerwatt.records.signing import SigningKey, derive_key, verify
from peerwatt.units import ChainId

ANN, BOB = SigningKey(bytes(32)), SigningKey(bytes([1]) * 32)
SIGNED = ANN.sign("reading", "chain", b"data")
ORDER = 2**252 + 27742317777372353535851937790883648493


def test_the_key_is_rfc_8032s() -> None:
    """Test 1 of RFC 8032, section 7.1, for the public key."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert SigningKey(seed).public.hex() == public


def test_a_signature_holds_for_its_key_domain_chain_and_data_alone() -> None:
    assert verify(ANN.public, "reading", "chain", b"data", SIGNED)
    assert not verify(BOB.public, "reading", "chain", b"data", SIGNED)
    assert not verify(ANN.public, "header", "chain", b"data", SIGNED)
    assert not verify(ANN.public, "reading", "chain2", b"data", SIGNED)
    assert not verify(ANN.public, "reading", "chain", b"date", SIGNED)


def test_a_part_cannot_move_into_its_neighbour() -> None:
    """No chain id holds what parts it from the domain before and the data behind it."""
    assert signing.signed_bytes("a", "b", b"c") == b"peerwatt/a/b\nc"
    for chain_id in ("b\n", "b\nc", "a/b"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(chain_id, ChainId)


@settings(derandomize=True)
@given(st.integers(0, 511))
def test_any_flipped_bit_is_found(bit: int) -> None:
    forged = bytearray(SIGNED)
    forged[bit // 8] ^= 1 << bit % 8
    assert not verify(ANN.public, "reading", "chain", b"data", bytes(forged))


def test_the_twin_of_a_signature_is_refused() -> None:
    """S + L verifies by the equation; RFC 8032 wants S < L, so that a signature has no twin."""
    twin = int.from_bytes(SIGNED[32:], "little") + ORDER
    assert not verify(
        ANN.public, "reading", "chain", b"data", SIGNED[:32] + twin.to_bytes(32, "little")
    )


@pytest.mark.parametrize(
    "public", [bytes(32), bytes([1]) + bytes(31), bytes([0xEC]) + bytes([0xFF]) * 30 + b"\x7f"]
)
def test_keys_of_small_order_sign_nothing(public: bytes) -> None:
    """The pot's key, 32 zero bytes, is one of them: nobody can send in its name."""
    for first in (bytes(32), bytes([1]) + bytes(31)):
        assert not verify(public, "transaction", "chain", b"data", first + bytes(32))


@pytest.mark.parametrize("public", [b"", ANN.public[:31], ANN.public + b"\0", ANN.public * 2])
def test_keys_of_another_length_are_refused(public: bytes) -> None:
    """The library below reads 32 bytes from whatever it is given."""
    assert not verify(public, "reading", "chain", b"data", SIGNED)


@pytest.mark.parametrize("extra", [b"", b"x", b"peerwatt/reading/chain\n"])
def test_signatures_of_another_length_are_refused(extra: bytes) -> None:
    """A longer one would let its owner put bytes in front of what says the domain."""
    prefix = b"peerwatt/reading/chain\n"
    signature = ANN.sign("reading", "chain", b"data")
    assert not verify(ANN.public, "reading", "chain", b"data", signature[:-1] + extra)
    whole = signing.crypto_sign(extra + prefix + b"data", ANN._secret)
    if extra:
        assert not verify(ANN.public, "reading", "chain", b"data", whole[:64] + extra)


def test_only_short_data_is_remembered() -> None:
    """65,536 remembered megabytes would be the whole memory."""
    signing._verify_remembered.cache_clear()
    long = bytes(signing.REMEMBERED_BYTES + 1)
    assert verify(ANN.public, "reading", "long", long, ANN.sign("reading", "long", long))
    assert signing._verify_remembered.cache_info().currsize == 0
    short = bytes(signing.REMEMBERED_BYTES)
    assert verify(ANN.public, "reading", "short", short, ANN.sign("reading", "short", short))
    assert signing._verify_remembered.cache_info().currsize == 1


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_seed_has_32_bytes(size: int) -> None:
    with pytest.raises(ValueError, match=f"seed: must have 32 bytes, has {size}"):
        SigningKey(bytes(size))


def test_a_key_does_not_print_its_seed() -> None:
    assert ANN.seed.hex()[:16] not in repr(BOB)
    assert repr(BOB) == f"SigningKey(public={BOB.public.hex()[:16]}…)"


def test_derived_keys_differ_by_seed_label_and_chain_and_repeat() -> None:
    keys = [
        derive_key(seed, label, chain).public
        for seed in (1, 2)
        for label in ("a", "b")
        for chain in ("sim-a", "sim-b")
    ]
    assert len(set(keys)) == 8
    assert derive_key(1, "a", "sim-a").public == keys[0]


@pytest.mark.parametrize("chain_id", ["", "hub", "xsim-", "SIM-a"])
def test_derived_keys_are_for_simulated_chains_only(chain_id: str) -> None:
    with pytest.raises(ValueError, match="chain_id: derived keys are for 'sim-' chains only"):
        derive_key(1, "a", chain_id)
