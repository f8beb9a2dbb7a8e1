"""Overlays against a plain dictionary, and committed state that can be taken back."""

from __future__ import annotations

from typing import Any

import pytest
import toy_ledger as toy
from hypothesis import given
from hypothesis import strategies as st

from peerwatt.hosts.state import Committed, Overlay, Row
from peerwatt.records.codec import CodecError, encode
from peerwatt.records.members import Account
from peerwatt.records.merkle import verify_stored

KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e"])
WRITES = st.lists(st.tuples(KEYS, st.none() | st.integers(0, 9)), max_size=12)


def committed() -> Committed:
    return Committed(toy.TABLES, [], [])


def write(state: Overlay, key: bytes, nonce: int | None) -> None:
    if nonce is None:
        state.delete(toy.ACCOUNTS, key)
        state.delete(toy.MOVES, key, b"scope")
    else:
        state.put(toy.ACCOUNTS, key, Account(nonce=nonce))
        message = toy.Move(signer=b"", nonce=nonce, to=b"", units=0)
        state.put(toy.MOVES, key, message, b"scope")


def nonces(state: Overlay | Committed) -> dict[bytes, int]:
    accounts = {key: record.nonce for key, record in state.items(toy.ACCOUNTS)}
    assert accounts == {key: record.nonce for key, record in state.items(toy.MOVES, b"scope")}
    assert list(accounts) == sorted(accounts)
    assert state.items(toy.MOVES, b"other") == []
    for key in [b"a", b"b", b"c", b"d", b"e"]:
        record: Any = state.get(toy.ACCOUNTS, key)
        assert (None if record is None else record.nonce) == accounts.get(key)
    return accounts


def expected(below: dict[bytes, int], writes: list[tuple[bytes, int | None]]) -> dict[bytes, int]:
    after = {**below, **dict(writes)}
    return {key: nonce for key, nonce in sorted(after.items()) if nonce is not None}


@given(st.lists(WRITES, max_size=4), WRITES, WRITES)
def test_reads_see_own_writes_and_only_a_commit_reaches_the_state(
    blocks: list[list[tuple[bytes, int | None]]],
    block_writes: list[tuple[bytes, int | None]],
    message_writes: list[tuple[bytes, int | None]],
) -> None:
    state = committed()
    plain: dict[bytes, int] = {}
    for writes in blocks:
        overlay = Overlay(state)
        for each in writes:
            write(overlay, *each)
        state.prepare(overlay)
        state.finish(overlay)
        plain = expected(plain, writes)
    root = state.app_hash
    block = Overlay(state)
    for each in block_writes:
        write(block, *each)
    message = Overlay(block)
    for each in message_writes:
        write(message, *each)
    in_block = expected(plain, block_writes)
    in_message = expected(in_block, message_writes)
    assert (nonces(message), nonces(block), nonces(state)) == (in_message, in_block, plain)
    message.merge_into(block)
    assert (nonces(block), nonces(state)) == (in_message, plain)
    state.prepare(block)
    state.cancel()
    assert (nonces(state), state.app_hash) == (plain, root)
    rows = [row for row in state.prepare(block) if row.value is not None]
    state.finish(block)
    assert nonces(state) == in_message
    untouched = [Row("accounts", b"", k, encode(Account(nonce=v))) for k, v in in_message.items()]
    assert {row for row in rows if row.table == "accounts"} <= set(untouched)
    assert Committed(toy.TABLES, untouched, []).app_hash == state.app_hash


def test_proofs_are_of_the_state_before_the_last_block() -> None:
    state = committed()
    hashes = []
    for nonce in range(3):
        overlay = Overlay(state)
        write(overlay, b"a", nonce)
        write(overlay, bytes([nonce]), nonce)
        state.prepare(overlay)
        state.finish(overlay)
        hashes.append(state.app_hash)
        value, proof = state.prove("accounts", b"a")
        if nonce:
            assert value == encode(Account(nonce=nonce - 1))
            assert verify_stored(hashes[-2], "accounts", b"a", value, proof)
            assert not verify_stored(hashes[-1], "accounts", b"a", value, proof)
        assert state.app_hash == hashes[-1]
    again = state.restore_undo(state.undo)
    assert again == hashes[-2]


def test_a_hashed_table_has_no_scopes() -> None:
    with pytest.raises(ValueError, match="scope: the hashed table 'accounts' has none"):
        Overlay(committed()).put(toy.ACCOUNTS, b"a", Account(), b"scope")


def test_a_tree_is_sealed_once_and_in_order() -> None:
    state = committed()
    below = Overlay(state)
    above = Overlay(below)
    root = above.seal("orders", b"1", [(b"a", b"x"), (b"b", b"y")])
    above.merge_into(below)
    with pytest.raises(ValueError, match="name: 'orders' of 31 is sealed already"):
        below.seal("orders", b"1", [])
    state.prepare(below)
    state.finish(below)
    with pytest.raises(ValueError, match="is sealed already"):
        Overlay(state).seal("orders", b"1", [])
    assert Overlay(state).seal("orders", b"2", [(b"a", b"x"), (b"b", b"y")]) == root
    with pytest.raises(ValueError, match=r"items\[1\]: ids must be strictly ascending"):
        Overlay(state).seal("orders", b"3", [(b"b", b"y"), (b"a", b"x")])


def test_an_unknown_table_is_refused() -> None:
    state = committed()
    overlay = Overlay(state)
    overlay.put(toy.Kind("nowhere", Account, True), b"a", Account())
    with pytest.raises(ValueError, match="there is no table 'nowhere'"):
        state.prepare(overlay)
    with pytest.raises(CodecError, match="there is no table 'nowhere'"):
        Committed(toy.TABLES, [Row("nowhere", b"", b"a", b"")], [])
