"""The wire by bytes: what other protobuf speakers write, whatever a stranger sends, any cutting."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import messages

from peerwatt.hosts.cometbft import messages as abci
from peerwatt.hosts.cometbft.messages import REQUEST, RESPONSE
from peerwatt.hosts.cometbft.parts import (
    Attribute,
    Event,
    ExecTxResult,
    Misbehavior,
    Proof,
    ProofOp,
    ProofOps,
    Timestamp,
    Validator,
    ValueOp,
)
from peerwatt.hosts.cometbft.wire import (
    Frames,
    Message,
    Union,
    WireError,
    decode,
    encode,
    frame,
    read_varint,
    varint,
)

KINDS = [(REQUEST, kind) for kind in REQUEST.kinds.values()]
KINDS += [(RESPONSE, kind) for kind in RESPONSE.kinds.values()]

# Message, union and bytes written down from the protobuf encoding by hand.
KNOWN: list[tuple[Union, Message, str]] = [
    (REQUEST, abci.RequestEcho(message="hi"), "0a04 0a02 6869"),
    (REQUEST, abci.RequestFlush(), "1200"),
    (REQUEST, abci.RequestInfo(version="0.40.0", block_version=11, p2p_version=8),
     "1a0c 0a06302e34302e30 100b 1808"),
    (REQUEST, abci.RequestCheckTx(tx=b"abc", type=abci.RECHECK), "4207 0a03616263 1001"),
    (REQUEST, abci.RequestCommit(), "5a00"),
    (REQUEST, abci.RequestFinalizeBlock(
        txs=(b"a", b"", b"b"), height=300, time=Timestamp(seconds=1, nanos=2)),
     "a20111 0a0161 0a00 0a0162 28ac02 3204 0801 1002"),
    (REQUEST, abci.RequestFinalizeBlock(
        misbehavior=(Misbehavior(type=1, validator=Validator(address=b"\7", power=9)),)),
     "a2010b 1a09 0801 1205 0a0107 1809"),
    (REQUEST, abci.RequestQuery(data=b"\1", path="/p", prove=True), "3209 0a0101 12022f70 2001"),
    (RESPONSE, abci.ResponseCheckTx(code=102, log="no"), "4a06 0866 1a026e6f"),
    (RESPONSE, abci.ResponseCommit(retain_height=128), "6203 188001"),
    (RESPONSE, abci.ResponseApplySnapshotChunk(
        result=3, refetch_chunks=(0, 300), reject_senders=("x",)),
     "8201 0a 0803 1203 00ac02 1a0178"),
    (RESPONSE, abci.ResponseFinalizeBlock(
        tx_results=(ExecTxResult(), ExecTxResult(code=1)), app_hash=b"\xff"),
     "aa0109 1200 1202 0801 2a01ff"),
    (RESPONSE, abci.ResponseFinalizeBlock(
        events=(Event(type="e", attributes=(Attribute(key="k", value="v", index=True),)),)),
     "aa010f 0a0d 0a0165 1208 0a016b 120176 1801"),
]  # fmt: skip


@pytest.mark.parametrize(("union", "message", "known"), KNOWN)
def test_known_bytes(union: Union, message: Message, known: str) -> None:
    assert union.encode(message) == bytes.fromhex(known)
    assert union.decode(bytes.fromhex(known)) == message


def test_negative_numbers_take_ten_bytes() -> None:
    data = bytes.fromhex("08 ffffffffffffffffff01")
    assert encode(Timestamp(seconds=-1)) == data
    assert decode(data, Timestamp) == Timestamp(seconds=-1)


def test_a_proof_as_the_value_operator_reads_it() -> None:
    proof = Proof(total=2, index=1, leaf_hash=b"L", aunts=(b"A",))
    op = ProofOp(type="simple:v", key=b"k", data=encode(ValueOp(key=b"k", proof=proof)))
    known = "0a08 73696d706c653a76 12016b 1a0f 0a016b 120a 0802 1001 1a014c 220141"
    assert encode(op) == bytes.fromhex(known)
    assert encode(ProofOps(ops=(op,)))[:2] == bytes([0x0A, len(encode(op))])


@pytest.mark.parametrize(("union", "kind"), KINDS, ids=lambda each: getattr(each, "__name__", ""))
@settings(max_examples=20)
@given(data=st.data())
def test_what_is_written_is_read(union: Union, kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(messages(kind))
    written = union.encode(message)
    assert union.decode(written) == message
    assert union.encode(union.decode(written)) == written


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_wire_error(data: bytes) -> None:
    for union in (REQUEST, RESPONSE):
        try:
            again = union.decode(data)
        except WireError:
            continue
        assert union.decode(union.encode(again)) == again


@given(messages(abci.RequestFinalizeBlock), st.data())
def test_damaged_messages_raise_nothing_else(message: Message, data: st.DataObject) -> None:
    written = bytearray(REQUEST.encode(message))
    for at in data.draw(st.lists(st.integers(0, len(written) - 1), max_size=3)):
        written[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(written)))
    for damaged in (bytes(written), bytes(written[:cut])):
        try:
            REQUEST.decode(damaged)
        except WireError:
            continue


def test_fields_that_nobody_knows_are_passed_over() -> None:
    known = encode(abci.RequestEcho(message="hi"))
    strange = bytes.fromhex("f801 05fa01 03 616263f901 0102030405060708fd01 01020304")
    assert decode(strange + known + strange, abci.RequestEcho) == abci.RequestEcho(message="hi")


def test_of_a_field_that_comes_twice_the_last_counts() -> None:
    both = encode(abci.RequestEcho(message="a")) + encode(abci.RequestEcho(message="b"))
    assert decode(both, abci.RequestEcho) == abci.RequestEcho(message="b")


@pytest.mark.parametrize("packed", ["12 03 00 ac02", "10 00 10 ac02", "12 01 00 10 ac02"])
def test_repeated_numbers_are_read_packed_or_not(packed: str) -> None:
    read = decode(bytes.fromhex(packed), abci.ResponseApplySnapshotChunk)
    assert read.refetch_chunks == (0, 300)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "request: is empty"),
        ("ba01 00", "request: field 23 is none that is known"),
        ("0801", "request: field 1 is not of its type"),
        ("0a05 0a0a", "byte 1: cut off, 5 bytes were announced"),
        ("0a03 0a0a61", "byte 3: cut off, 10 bytes were announced"),
        ("0a02 0801", "RequestEcho.message: is not of its type"),
        ("0a03 0a01ff", "message: is not text"),
        ("4202 1201", "byte 3: cut off, 1 bytes were announced"),
        ("4203 120161", "RequestCheckTx.type: is not of its type"),
        ("4202 1080", "byte 3: cut off in a number"),
        ("420c 10ffffffffffffffffffff01", "byte 3: a number of more than 64 bits"),
        ("420b 10ffffffffffffffffff02", "byte 3: a number of more than 64 bits"),
        ("4203 7b7c7b", "byte 3: wire type 3 is none that is in use"),
        ("4203 7d0102", "byte 3: cut off in a number"),
        ("f8", "byte 0: cut off in a number"),
    ],
)
def test_each_refusal_in_one_line(data: str, why: str) -> None:
    with pytest.raises(WireError) as refused:
        REQUEST.decode(bytes.fromhex(data))
    assert str(refused.value) == why


@given(st.integers(0, 2**64 - 1))
def test_every_number_is_read_as_written(number: int) -> None:
    data = varint(number)
    assert read_varint(data, 0, len(data)) == (number, len(data))
    assert read_varint(data[:-1], 0, len(data) - 1) is None


@given(st.lists(st.binary(max_size=300), max_size=12), st.data())
def test_a_stream_is_cut_into_its_messages_however_it_arrives(
    sent: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(map(frame, sent))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    frames, got = Frames(), list[bytes]()
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += frames.feed(stream[start:end])
    assert got == sent
    assert frames.held == 0


@given(st.binary(min_size=1, max_size=50))
def test_half_a_message_is_none(data: bytes) -> None:
    frames = Frames()
    stream = frame(data)
    assert [list(frames.feed(stream[at : at + 1])) for at in range(len(stream) - 1)] == (
        [[]] * (len(stream) - 1)
    )
    assert frames.held == len(stream) - 1
    assert list(frames.feed(stream[-1:])) == [data]


def test_messages_that_came_whole_are_given_before_the_stream_ends() -> None:
    messages = Frames(max_bytes=10).feed(frame(b"a" * 10) + varint(11))
    assert next(messages) == b"a" * 10
    with pytest.raises(WireError, match="a message of 11 bytes was announced, at most 10"):
        next(messages)


def test_a_length_that_is_no_number_ends_the_stream() -> None:
    with pytest.raises(WireError, match="more than 64 bits"):
        list(Frames().feed(b"\xff" * 11))
