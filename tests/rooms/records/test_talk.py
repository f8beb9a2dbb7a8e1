"""Frames: words arrive whole from any pieces, and what is none is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerwatt.records.auction import Bid, sign_bid
from peerwatt.records.codec import CodecError, encode
from peerwatt.records.signing import SigningKey
from peerwatt.records.talk import (
    MAX_WORD_BYTES,
    Answer,
    Bring,
    Demand,
    Refuse,
    Unpacker,
    Word,
    pack,
)

KEY = SigningKey(bytes([1]) * 32)
BID = Bid(invitation=bytes(32), iteration=4, order_id=b"b" * 32, answers=bytes(32), amounts=(7, 0))
WORDS: list[Word] = [
    Bring(transactions=(b"one", b"", b"three")),
    Demand(round_id=b"round-one", energy_wh=1_000),
    Answer(signed=sign_bid(BID, KEY, "chain")),
    Refuse(order_id=bytes(32), why="amounts: are below what the order asks"),
]


@given(st.lists(st.sampled_from(WORDS), max_size=6), st.data())
def test_words_come_out_whole_however_they_come_in(words: list[Word], data: st.DataObject) -> None:
    sent, unpacker, found = b"".join(map(pack, words)), Unpacker(), []
    while sent:
        size = data.draw(st.integers(1, len(sent)))
        found += unpacker.feed(sent[:size])
        sent = sent[size:]
    assert found == words


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ((MAX_WORD_BYTES + 1).to_bytes(4, "big"), "length"),
        (b"\xff\xff\xff\xff", "length"),
        (b"\x00\x00\x00\x00", "encoding"),
        (b"\x00\x00\x00\x02hi", "encoding"),
        (b"GET / HTTP/1.1\r\n", "length"),
        (pack(Refuse(order_id=bytes(32), why="x" * 201)), "why"),
        (pack(Demand(round_id=b"round-one", energy_wh=-1)), "energy_wh"),
    ],
)
def test_what_is_no_word_is_refused(data: bytes, field: str) -> None:
    unpacker = Unpacker()
    with pytest.raises(CodecError) as caught:
        list(unpacker.feed(data))
    assert caught.value.field == field


def test_a_negative_amount_is_no_bid() -> None:
    word = Answer(signed=sign_bid(BID, KEY, "chain"))
    data = encode(word).replace(encode((7, 0)), encode((-7, 0)))
    with pytest.raises(CodecError):
        list(Unpacker().feed(len(data).to_bytes(4, "big") + data))
