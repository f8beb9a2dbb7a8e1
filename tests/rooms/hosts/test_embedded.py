"""The embedded host with a toy ledger: admission, blocks, proofs, witnesses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import toy_ledger as toy

from peerwatt.hosts import host as ports
from peerwatt.hosts.embedded import EmbeddedHost
from peerwatt.hosts.host import State
from peerwatt.hosts.replica import BlockRefused
from peerwatt.hosts.store import Store, StoreError
from peerwatt.records.chain import is_signed, results_root, transactions_root
from peerwatt.records.codec import digest, encode
from peerwatt.records.merkle import verify, verify_entry
from peerwatt.records.receipts import BlockContext, BlockResult, Reason, Receipt
from peerwatt.records.signing import SigningKey
from peerwatt.records.trees import prove

KEY = SigningKey(bytes(32))


def new_host(store: Store | None = None) -> EmbeddedHost:
    return EmbeddedHost(toy, store or Store(None), KEY, toy.genesis())


def limited_host(transactions: int = 99, size: int = 9999) -> EmbeddedHost:
    return EmbeddedHost(
        toy,
        Store(None),
        KEY,
        toy.genesis(),
        max_block_transactions=transactions,
        max_block_bytes=size,
    )


def units(host: EmbeddedHost, number: int) -> int:
    account: Any = host.get("accounts", toy.key(number))
    return int(account.free_ucoin)


def test_the_toy_and_the_host_are_what_the_ports_say() -> None:
    ledger: ports.Ledger = toy
    host: ports.Host = EmbeddedHost(ledger, Store(None), KEY, toy.genesis())
    assert (host.chain_id, host.height, host.head) == ("sim-toy", 0, None)


def test_admission_sees_what_waits_and_only_a_block_reaches_the_state() -> None:
    host = new_host()
    assert host.submit(toy.move(1, 0, 2, 600)).ok
    second = host.submit(toy.move(1, 1, 2, 600))
    assert (second.reason, second.field) == (Reason.UNFUNDED, "units")
    assert host.submit(toy.move(2, 0, 3, 1600)).ok
    assert (units(host, 1), host.pending) == (1000, 2)
    block = host.seal(10)
    assert (units(host, 1), units(host, 2), units(host, 3), host.pending) == (400, 0, 2600, 0)
    assert [receipt.ok for receipt in host.receipts(1)] == [True, True]
    assert host.refused == (second,)
    assert host.head == block.signed_header
    assert [(height, event.kind) for height, event in host.events()] == [(1, "moved")] * 2
    assert list(host.events(2)) == []


def test_the_same_bytes_again_change_nothing() -> None:
    host = new_host()
    transaction = toy.move(1, 0, 2, 100)
    first = host.submit(transaction)
    assert (host.submit(transaction), host.pending) == (first, 1)
    host.seal(1)
    again = host.submit(transaction)
    assert (again.reason, host.pending) == (Reason.WRONG_NONCE, 0)
    host.seal(2)
    assert (units(host, 2), host.receipts(2)) == (1100, ())


def test_a_replay_is_refused_after_a_restart_too() -> None:
    store = Store(None)
    host = new_host(store)
    transaction = toy.move(1, 0, 2, 100)
    host.submit(transaction)
    host.seal(1, [transaction, b"junk"])
    again = new_host(store)
    assert again.submit(transaction).reason == Reason.WRONG_NONCE
    assert again.submit(b"junk").reason == Reason.MALFORMED
    assert (again.pending, len(again.refused)) == (0, 2)


def test_what_was_refused_is_checked_again_when_resubmitted() -> None:
    host = new_host()
    early = toy.move(1, 1, 2, 100)
    assert host.submit(early).reason == Reason.WRONG_NONCE
    assert [each.transaction_id for each in host.refused] == [digest(early)]
    host.submit(toy.move(1, 0, 2, 100))
    assert host.submit(early).ok
    assert host.refused == ()
    host.seal(1)
    assert units(host, 2) == 1200


def test_a_dishonest_proposers_transactions_are_refused_on_record() -> None:
    host = new_host()
    replayed = toy.move(1, 0, 2, 100)
    host.submit(replayed)
    host.seal(1)
    overdrawn = toy.move(1, 1, 2, 10_000)
    assert host.submit(overdrawn).reason == Reason.UNFUNDED
    host.submit(toy.move(3, 0, 2, 5))
    host.seal(2, extra=[replayed, overdrawn, b"junk"])
    reasons = [receipt.reason for receipt in host.receipts(2)]
    assert reasons == [0, Reason.WRONG_NONCE, Reason.UNFUNDED, Reason.MALFORMED]
    assert units(host, 2) == 1105
    assert len(host.refused) == 1


def test_what_waits_is_checked_again_after_each_block() -> None:
    host = limited_host(transactions=1)
    host.submit(toy.move(2, 0, 3, 900))
    spends_first = toy.move(1, 0, 4, 800)
    host.submit(toy.move(1, 0, 2, 700))
    host.seal(1)
    assert host.pending == 1
    host.seal(2, extra=[spends_first])
    assert host.pending == 0
    assert [receipt.reason for receipt in host.refused] == [Reason.WRONG_NONCE]
    assert (units(host, 1), units(host, 4)) == (200, 1800)


def test_a_block_takes_what_fits_and_the_rest_waits_in_order() -> None:
    moves = [toy.move(1, nonce, 2, 1) for nonce in range(7)]
    for host in (limited_host(transactions=3), limited_host(size=3 * len(moves[0]) + 1)):
        for each in moves:
            assert host.submit(each).ok
        sealed = [host.seal(1).transactions for _ in range(4)]
        assert [len(each) for each in sealed] == [3, 3, 1, 0]
        assert [each for block in sealed for each in block] == moves


def test_a_transaction_that_fits_no_block_is_refused() -> None:
    receipt = limited_host(size=10).submit(bytes(11))
    assert (receipt.reason, receipt.field) == (Reason.OVERSIZED, "transaction")


def test_a_proposer_cannot_put_in_more_than_a_block_takes() -> None:
    host = new_host()
    with pytest.raises(ValueError, match="extra: has 20001, at most 20000 are allowed"):
        host.seal(1, extra=[b""] * 20_001)
    with pytest.raises(ValueError, match="extra: have 16777217 bytes, at most"):
        host.seal(1, extra=[bytes(1 << 24), b"1"])
    assert host.height == 0


def test_block_time_never_goes_back() -> None:
    host = new_host()
    host.seal(5)
    host.seal(5)
    with pytest.raises(BlockRefused, match="block 3: block_time_s: 4 is before the last block's 5"):
        host.seal(4)
    assert host.height == 2


def test_a_header_commits_to_what_came_before() -> None:
    host = new_host()
    first_state = host.app_hash
    host.submit(toy.move(1, 0, 2, 1))
    block = host.seal(7)
    header = block.signed_header.header
    assert is_signed(block.signed_header)
    assert (header.app_hash, header.context.previous_block_id) == (
        first_state,
        digest(toy.genesis()),
    )
    assert header.transactions_root == transactions_root(block.transactions)
    next_header = host.seal(8).signed_header.header
    assert next_header.context.previous_block_id == header.block_id
    result = host.result(1)
    assert next_header.results_root == results_root(result)
    leaves = [*map(encode, result.receipts), *map(encode, result.events)]
    assert verify(next_header.results_root, leaves[0], prove(leaves, 0))


def test_a_value_is_proved_by_the_header_after_it() -> None:
    host = new_host()
    with pytest.raises(ports.NotYetProved):
        host.prove("accounts", toy.key(2))
    host.submit(toy.move(1, 0, 2, 5))
    host.seal(1)
    before = host.prove("accounts", toy.key(2))
    host.seal(2)
    after = host.prove("accounts", toy.key(2))
    nothing = host.prove("accounts", toy.key(77))
    assert [each.holds() for each in (before, after, nothing)] == [True] * 3
    assert before.value != after.value == encode(host.get("accounts", toy.key(2)))
    assert nothing.value is None


def test_proofs_go_on_right_after_a_restart() -> None:
    store = Store(None)
    host = new_host(store)
    for height in range(1, 4):
        host.submit(toy.move(1, height - 1, 2, height))
        host.submit(toy.move(3, height - 1, 20 + height, height))
        host.seal(height)
    again = new_host(store)
    assert again.prove("accounts", toy.key(2)) == host.prove("accounts", toy.key(2))
    assert again.prove("accounts", toy.key(23)).value is None
    host.submit(toy.move(1, 3, 2, 9))
    host.seal(4)
    assert host.prove("accounts", toy.key(23)).value is not None


def test_an_item_is_proved_in_its_sealed_tree_or_not_there() -> None:
    host = new_host()
    moves = [toy.move(1, nonce, 2, nonce) for nonce in range(5)]
    for each in [*moves, toy.move(1, 5, 0, 0)]:
        assert host.submit(each).ok
    host.seal(1)
    host.seal(2)
    for each in moves:
        proved = host.prove_item("orders", toy.round_id(0), digest(each))
        assert proved.item == each
        assert proved.holds()
    missing = host.prove_item("orders", toy.round_id(0), bytes(32))
    assert missing.item is None
    assert missing.holds()
    assert not verify_entry(missing.root, digest(moves[0]), None, missing.evidence)


def test_questions_that_have_no_answer() -> None:
    host = new_host()
    host.seal(1)
    with pytest.raises(ValueError, match="table_name: there is no table 'nowhere'"):
        host.get("nowhere", b"")
    with pytest.raises(ValueError, match="table_name: 'moves' is an index"):
        host.prove("moves", b"")
    with pytest.raises(ValueError, match="name: no tree 'orders' of 00 has been sealed"):
        host.prove_item("orders", b"\0", b"")
    with pytest.raises(ValueError, match="name: 'moves' is none of a round's trees"):
        host.receipt("moves", b"", b"")
    with pytest.raises(ValueError, match="height: there is no block 2, the last is 1"):
        host.receipts(2)


def test_a_host_goes_on_only_with_its_own_chain_and_key() -> None:
    store = Store(None)
    new_host(store).seal(1)
    with pytest.raises(StoreError, match="holds another chain, its genesis differs"):
        EmbeddedHost(toy, store, KEY, toy.genesis("sim-other"))
    with pytest.raises(StoreError, match="made with another proposer key"):
        EmbeddedHost(toy, store, SigningKey(bytes([1] * 32)), toy.genesis())
    with pytest.raises(ValueError, match="encoding"):
        EmbeddedHost(toy, Store(None), KEY, b"junk")


class OtherToy:
    """The toy, to be changed in one way."""

    TABLES = toy.TABLES

    def init_chain(self, state: State, genesis: bytes) -> None:
        toy.init_chain(state, genesis)

    def market_time_s(self, state: State, block_time_s: int, transactions: Sequence[bytes]) -> int:
        return block_time_s

    def check_tx(self, state: State, context: BlockContext, transaction: bytes) -> Receipt:
        return toy.check_tx(state, context, transaction)

    def apply_block(
        self, state: State, context: BlockContext, transactions: Sequence[bytes]
    ) -> BlockResult:
        return toy.apply_block(state, context, transactions)


class TickingToy(OtherToy):
    """Market time is the length of the transaction that a block starts with."""

    def market_time_s(self, state: State, block_time_s: int, transactions: Sequence[bytes]) -> int:
        return len(transactions[0]) if transactions else 0

    def check_tx(self, state: State, context: BlockContext, transaction: bytes) -> Receipt:
        time = str(context.market_time_s)
        return Receipt(transaction_id=digest(transaction), reason=0, field=time)


def test_admission_runs_at_the_market_time_of_the_block_to_come() -> None:
    host = EmbeddedHost(TickingToy(), Store(None), KEY, toy.genesis())
    assert [host.submit(bytes(n)).field for n in (5, 9, 2)] == ["5", "5", "5"]
    assert host.seal(1).signed_header.header.context.market_time_s == 5
    assert host.submit(bytes(3)).field == "3"


class StoppingToy(OtherToy):
    """Breaks at the end of a block."""

    def apply_block(
        self, state: State, context: BlockContext, transactions: Sequence[bytes]
    ) -> BlockResult:
        super().apply_block(state, context, transactions)
        raise RuntimeError("an invariant broke")


class LosingToy(OtherToy):
    """Gives no receipts."""

    def apply_block(
        self, state: State, context: BlockContext, transactions: Sequence[bytes]
    ) -> BlockResult:
        super().apply_block(state, context, transactions)
        return BlockResult(receipts=())


@pytest.mark.parametrize("ledger", [StoppingToy(), LosingToy()])
def test_a_block_that_breaks_leaves_nothing_behind(ledger: OtherToy) -> None:
    host = EmbeddedHost(ledger, Store(None), KEY, toy.genesis())
    before = host.app_hash
    host.submit(toy.move(1, 0, 2, 5))
    with pytest.raises(RuntimeError):
        host.seal(1)
    assert (host.height, host.app_hash, units(host, 1), host.pending) == (0, before, 1000, 1)
