"""Signed messages: ids, who signs what, and that nothing between them can be moved."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from peerwatt.records.codec import CodecError, decode, digest, encode
from peerwatt.records.signing import SigningKey
from peerwatt.records.transactions import (
    COSIGN_DOMAIN,
    Change,
    Header,
    Message,
    Mint,
    Tick,
    Transaction,
    decode_message,
    parse,
    sign_message,
)

ANN, BOB, EVE = (SigningKey(bytes([n]) * 32) for n in (1, 2, 3))
MINT = Mint(
    chain_id="chain", signer=ANN.public, nonce=0, valid_until_s=9, to=EVE.public,
    amount_ucoin=5, deposit_reference=bytes(32),
)  # fmt: skip


def sealed(**changes: bytes) -> Transaction:
    """The cosigned mint, changed after it was signed."""
    signed = decode(sign_message(MINT, ANN, BOB), Transaction)
    return msgspec.structs.replace(signed, **changes)


def test_a_signed_message_comes_back_and_its_id_is_the_messages_hash() -> None:
    transaction = decode(sign_message(MINT, ANN), Transaction)
    assert decode_message(transaction.message) == MINT
    assert transaction.message_id == digest(encode(MINT))
    assert transaction.is_signed(ANN.public, "chain")
    assert not transaction.is_signed(BOB.public, "chain")
    assert not transaction.is_signed(ANN.public, "other")
    assert not transaction.is_cosigned("chain")


def test_the_id_does_not_depend_on_who_signs() -> None:
    ids = {
        decode(sign_message(MINT, ANN, other), Transaction).message_id for other in (None, BOB, EVE)
    }
    assert len(ids) == 1


def test_the_signer_signs_the_cosignature_too() -> None:
    transaction = sealed()
    assert transaction.is_signed(ANN.public, "chain")
    assert transaction.is_cosigned("chain")
    assert not transaction.is_cosigned("other")
    by_eve = EVE.sign(COSIGN_DOMAIN, "chain", transaction.message)
    for parted in (
        sealed(cosigner=b"", cosignature=b""),
        sealed(cosigner=EVE.public, cosignature=by_eve),
        sealed(cosignature=by_eve),
    ):
        assert not parted.is_signed(ANN.public, "chain")


@pytest.mark.parametrize("moved", [-32, -1, 1, 64])
def test_bytes_cannot_move_between_cosigner_and_cosignature(moved: int) -> None:
    """The signer signs the two in a row; parted elsewhere they would only burn its nonce."""
    signed = sealed()
    row = signed.cosigner + signed.cosignature
    parted = sealed(cosigner=row[: 32 + moved], cosignature=row[32 + moved :])
    with pytest.raises(CodecError) as caught:
        decode(encode(parted), Transaction)
    assert caught.value.field in ("cosigner", "cosignature")


def test_the_cosignature_is_for_no_other_message() -> None:
    other = encode(msgspec.structs.replace(MINT, amount_ucoin=6))
    assert not sealed(message=other).is_cosigned("chain")


def test_the_set_of_messages_is_closed_and_each_has_its_own_tag() -> None:
    kinds = get_args(Message)
    tags = [kind.__struct_config__.tag for kind in kinds]
    assert tags == sorted(dict.fromkeys(tags))
    assert sorted(kind.__name__ for kind in Header.__subclasses__()) == sorted(
        kind.__name__ for kind in kinds
    )
    assert [kind.__struct_config__.tag for kind in get_args(Change)] == [1, 2, 3, 4]


@pytest.mark.parametrize("kind", get_args(Message))
def test_every_message_starts_with_chain_signer_nonce_and_validity(kind: type[Header]) -> None:
    assert kind.__struct_fields__[:4] == ("chain_id", "signer", "nonce", "valid_until_s")
    assert kind.__doc__


def test_a_message_is_not_a_transaction() -> None:
    tick = Tick(chain_id="chain", signer=ANN.public, nonce=0, valid_until_s=9, time_s=9)
    with pytest.raises(CodecError):
        decode(encode(tick), Transaction)
    with pytest.raises(CodecError):
        decode_message(sign_message(tick, ANN))


def test_what_is_short_is_parsed_once_and_what_is_wrong_never() -> None:
    data = sign_message(MINT, ANN)
    assert parse(data) is parse(bytes(bytearray(data)))
    assert parse(data) == (decode(data, Transaction), MINT)
    for wrong in (b"", data + b"x", encode(sealed(message=b"nonsense"))):
        for _ in range(2):
            with pytest.raises(CodecError):
                parse(wrong)
