"""One encoding for each record; whatever else comes in is refused and never crashes."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerwatt.records.codec import CodecError, Record, decode, digest, encode
from peerwatt.records.market import BuyOrder, Order, SellOrder
from peerwatt.records.members import Account
from peerwatt.records.transactions import CheckOut, Message, RemoveMember, Tick, Transaction

KEY = bytes(range(32))
TICK = Tick(chain_id="a", signer=KEY, nonce=1, valid_until_s=2, time_s=3)
SELL = SellOrder(
    order_id=KEY, owner=KEY, port="p1", max_wh=5, ask_ucoin_per_kwh=6, slope_ucoin_per_kwh2=7,
    held_ucoin=8,
)  # fmt: skip
TYPES: tuple[Any, ...] = (Message, Order, Transaction, Account, tuple[tuple[bytes, bytes], ...])


def test_a_record_is_an_array_of_its_fields_behind_its_tag() -> None:
    assert msgspec.msgpack.decode(encode(TICK)) == [1, "a", KEY, 1, 2, 3]
    assert encode(Account(nonce=1)) == bytes.fromhex("94010000c2")


def test_records_come_back_as_they_were() -> None:
    assert decode(encode(TICK), Message) == TICK  # type: ignore[arg-type]
    assert decode(encode(SELL), Order) == SELL  # type: ignore[arg-type]


def test_records_are_frozen() -> None:
    with pytest.raises(AttributeError):
        TICK.time_s = 4  # type: ignore[misc]


def test_digest_is_sha256() -> None:
    assert digest(b"peerwatt") == sha256(b"peerwatt").digest()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ([1, "A", KEY, 1, 2, 3], "chain_id"),
        ([1, "a", KEY[1:], 1, 2, 3], "signer"),
        ([1, "a", KEY, -1, 2, 3], "nonce"),
        ([1, "a", KEY, 1, 2.0, 3], "valid_until_s"),
        ([1, "a", KEY, 1, 2, 2**63], "time_s"),
        ([1, "a", KEY, 1, 2, 2**64 - 1], "time_s"),
        ([1, "a", KEY, 1, 2, True], "time_s"),
        ([1, "a", KEY, 1, 2, None], "time_s"),
        ([2, "a", KEY, 1, 2, [1, [KEY, "a", 64]]], "change"),
        ([2, "a", KEY, 1, 2, [9, KEY]], "change"),
        ([1, "a", KEY, 1, 2], "encoding"),
        ([1, "a", KEY, 1, 2, 3, 4], "encoding"),
        ([99, "a", KEY, 1, 2, 3], "encoding"),
        ({"chain_id": "a"}, "encoding"),
        (7, "encoding"),
    ],
)
def test_a_wrong_field_is_named(fields: Any, field: str) -> None:
    with pytest.raises(CodecError) as caught:
        decode(msgspec.msgpack.encode(fields), Message)  # type: ignore[arg-type]
    assert caught.value.field == field
    assert str(caught.value) == f"{field}: {caught.value.why}"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x96",
        b"\x00",
        b"\xc1",
        encode(TICK) + b"\x00",
        encode(TICK)[:-1],
        b"\x96\x01\x01",  # a wrong field, and cut off behind it
        b"\x96\x01\xa1\xff",  # no UTF-8
        b"\x98\x0b\xd6\xff\xff\xff\xff\xff",  # a time stamp
        b"\xdd\xff\xff\xff\xff",  # four thousand million elements, it says
        b"\x98\x0b\xdd\xff\xff\xff\xff",
        b"\x91" * 100_000,
        b"\x96\x01\xa1a" + b"\x91" * 100_000,
        b"\x81\x90\x01",
    ],
)
@pytest.mark.parametrize("kind", TYPES)
def test_what_is_no_record_is_refused_in_one_way(data: bytes, kind: Any) -> None:
    with pytest.raises(CodecError):
        decode(data, kind)


@pytest.mark.parametrize(
    "data",
    [
        b"\xdc\x00\x06" + encode(TICK)[1:],  # the array's length in three bytes
        b"\x96\xcc\x01" + encode(TICK)[2:],  # the tag in two
        encode(TICK)[:-1] + b"\xcc\x03",
        encode(TICK)[:-1] + b"\xd0\x03",
        encode(TICK).replace(b"\xa1a", b"\xd9\x01a"),
        encode(TICK).replace(b"\xc4\x20", b"\xc5\x00\x20"),
    ],
)
def test_another_encoding_of_the_same_record_is_refused(data: bytes) -> None:
    with pytest.raises(CodecError, match="not the canonical form"):
        decode(data, Message)  # type: ignore[arg-type]


def test_a_record_that_leaves_out_a_default_is_not_canonical() -> None:
    with pytest.raises(CodecError, match="not the canonical form"):
        decode(b"\x90", Account)


WRECKS = st.tuples(
    st.sampled_from([encode(TICK), encode(CheckOut(
        chain_id="a", signer=KEY, nonce=1, valid_until_s=2, site="s", port="p"
    )), encode(SELL), encode(RemoveMember(key=KEY))]),
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 255), st.booleans()), max_size=4),
)  # fmt: skip


@settings(max_examples=400, derandomize=True, deadline=None)
@given(WRECKS, st.sampled_from(TYPES))
def test_no_bytes_crash_the_decoder(wreck: tuple[bytes, list[Any]], kind: Any) -> None:
    data, blows = wreck
    for at, value, cut in blows:
        at %= len(data) + 1
        data = data[:at] if cut else data[:at] + bytes([value]) + data[at + 1 :]
    with suppress(CodecError):
        assert encode(decode(data, kind)) == data


@settings(max_examples=200, derandomize=True)
@given(st.integers(0, 2**53), st.integers(0, 10**16), st.integers(0, 10**16), st.booleans())
def test_equal_records_have_equal_bytes(nonce: int, free: int, held: int, wallet: bool) -> None:
    account = Account(nonce=nonce, free_ucoin=free, held_ucoin=held, wallet=wallet)
    assert decode(encode(account), Account) == account
    assert encode(decode(encode(account), Account)) == encode(account)


def test_a_union_of_orders_names_the_right_record() -> None:
    fields = msgspec.msgpack.decode(encode(SELL))
    fields[5] = -1
    with pytest.raises(CodecError) as caught:
        decode(msgspec.msgpack.encode(fields), Order)  # type: ignore[arg-type]
    assert caught.value.field == "ask_ucoin_per_kwh"
    assert issubclass(BuyOrder, Record)


def test_fields_of_a_record_are_given_by_name() -> None:
    with pytest.raises(TypeError):
        Account(1, 2, 3)  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Account().nonce = 1  # type: ignore[misc]
