"""What a node answers: proofs in the light proxy's own form, records, and refusals."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
import toy_ledger as toy
from fake_engine import FakeEngine

from peerwatt.hosts.cometbft import messages as abci
from peerwatt.hosts.cometbft.app import Application
from peerwatt.hosts.cometbft.parts import ProofOp, ValueOp
from peerwatt.hosts.cometbft.queries import ABSENCE_OP, VALUE_OP
from peerwatt.hosts.cometbft.snapshots import Shelf
from peerwatt.hosts.cometbft.wire import decode as from_wire
from peerwatt.hosts.cometbft.wire import varint
from peerwatt.hosts.store import Store
from peerwatt.records.codec import decode
from peerwatt.records.members import Account
from peerwatt.records.merkle import Absence, verify_entry
from peerwatt.records.receipts import Block, BlockResult

PATH = "/store/accounts/key"


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory) -> FakeEngine:
    started = FakeEngine(toy.genesis())
    shelf = Shelf(tmp_path_factory.mktemp("shelf"), 0)
    started.connect(Application(toy, Store(None), toy.genesis(), shelf).answer)
    for height in range(3):
        started.offer(toy.move(1, 2 * height, 9, 5))
        started.offer(toy.move(1, 2 * height + 1, 0, 0))
        started.decide(time_s=height)
    return started


def ask(
    engine: FakeEngine, path: str, data: bytes = b"", **about: int | bool
) -> abci.ResponseQuery:
    return engine.line.ask(
        abci.RequestQuery(path=path, data=data, **about),  # type: ignore[arg-type]
        abci.ResponseQuery,
    )


def root_shown(key: bytes, value: bytes, op: ProofOp) -> bytes:
    """What CometBFT's value operator computes, written down from its specification."""
    assert (op.type, op.key) == (VALUE_OP, key)
    value_op = from_wire(op.data, ValueOp)
    assert value_op.key == key
    hashed = sha256(value).digest()
    leaf = b"\0" + varint(len(key)) + key + varint(32) + hashed
    node = sha256(leaf).digest()
    assert node == value_op.proof.leaf_hash
    return _climb(value_op.proof.index, value_op.proof.total, node, list(value_op.proof.aunts))


def _climb(index: int, total: int, node: bytes, aunts: list[bytes]) -> bytes:
    if total == 1:
        assert not aunts
        return node
    left_size = 1 << (total - 1).bit_length() - 1
    if index < left_size:
        left, right = _climb(index, left_size, node, aunts[:-1]), aunts[-1]
    else:
        right = _climb(index - left_size, total - left_size, node, aunts[:-1])
        left = aunts[-1]
    return sha256(b"\1" + left + right).digest()


@pytest.mark.parametrize("number", [1, 2, 8, 9])
def test_a_value_is_proved_up_to_the_app_hash_of_the_next_header(
    engine: FakeEngine, number: int
) -> None:
    found = ask(engine, PATH, toy.key(number), prove=True)
    assert (found.code, found.key, found.height) == (0, toy.key(number), 2)
    assert found.proof_ops is not None
    entry, store = found.proof_ops.ops
    root = root_shown(toy.key(number), found.value, entry)
    # The header of block 3 carries the app hash that block 2 gave.
    assert root_shown(b"accounts", root, store) == engine.results[1].app_hash
    assert decode(found.value, Account).free_ucoin == {1: 990, 9: 10}.get(number, 1000)


def test_that_nothing_is_there_is_proved_by_an_operator_of_our_own(engine: FakeEngine) -> None:
    found = ask(engine, PATH, toy.key(11), prove=True)
    assert (found.code, found.value, found.height) == (0, b"", 2)
    assert found.proof_ops is not None
    absence, store = found.proof_ops.ops
    assert (absence.type, absence.key) == (ABSENCE_OP, toy.key(11))
    record = ask(engine, PATH, toy.key(1), prove=True)
    assert record.proof_ops is not None
    root = root_shown(toy.key(1), record.value, record.proof_ops.ops[0])
    assert verify_entry(root, toy.key(11), None, decode(absence.data, Absence))
    assert root_shown(b"accounts", root, store) == engine.results[1].app_hash


def test_while_a_block_is_executed_the_state_before_it_is_proved(engine: FakeEngine) -> None:
    """Its header, which is decided, carries that state's hash."""
    for step in engine.steps(time_s=9):
        if step != "finalized":
            continue
        found = ask(engine, PATH, toy.key(1), prove=True)
        assert found.proof_ops is not None
        root = root_shown(toy.key(1), found.value, found.proof_ops.ops[0])
        assert root_shown(b"accounts", root, found.proof_ops.ops[1]) == engine.results[2].app_hash
        assert found.height == 3


def test_without_proof_the_newest_record_is_given(engine: FakeEngine) -> None:
    found = ask(engine, PATH, toy.key(9))
    assert decode(found.value, Account).free_ucoin == 15
    assert (found.height, found.proof_ops) == (3, None)
    assert ask(engine, PATH, toy.key(11)).value == b""
    accounts = decode(ask(engine, "/items/accounts").value, tuple[tuple[bytes, bytes], ...])
    assert len(accounts) == 9
    assert decode(accounts[0][1], Account).free_ucoin == 985
    assert ask(engine, "/items/moves", toy.key(9)).value == b"\x90"


def test_blocks_results_and_sealed_trees_are_given(engine: FakeEngine) -> None:
    block = decode(ask(engine, "/block/2").value, Block)
    assert block.transactions == engine.blocks[1].txs
    assert len(decode(ask(engine, "/result/2").value, BlockResult).receipts) == 2
    sealed = ask(engine, "/sealed/orders", toy.round_id(1)).value
    assert len(decode(sealed, tuple[tuple[bytes, bytes], ...])) == 1


@pytest.mark.parametrize(
    ("path", "data", "about", "why"),
    [
        ("", b"", {}, "path: must be /store/NAME/key, /items/NAME, /sealed/NAME, /block/N"),
        ("/store/accounts", b"", {}, "path: must be"),
        ("store/accounts/key", b"", {}, "path: must be"),
        ("/block/x", b"", {}, "path: 'x' is no height"),
        ("/block/-1", b"", {}, "path: '-1' is no height"),
        ("/block/" + "9" * 40, b"", {}, "is no height"),
        ("/block/4", b"", {}, "height: there is no block 4, the last is 3"),
        ("/result/0", b"", {}, "height: there is no block 0, the last is 3"),
        ("/items/nothing", b"", {}, "table_name: there is no table 'nothing'"),
        ("/store/nothing/key", b"k", {"prove": True}, "table_name: there is no table 'nothing'"),
        ("/store/moves/key", b"k", {"prove": True}, "store: 'moves' is an index"),
        (PATH, b"", {"prove": True}, "data: must be the record's key"),
        (PATH, b"k", {"prove": True, "height": 3}, "height: is 3, what can be proved now is"),
        (PATH, b"k", {"height": 2}, "height: is 2, the state kept is that of 3"),
        ("/block/1", b"", {"prove": True}, "prove: there are proofs of /store/NAME/key only"),
    ],
)
def test_each_refusal_in_one_line(
    engine: FakeEngine, path: str, data: bytes, about: dict[str, int | bool], why: str
) -> None:
    refused = ask(engine, path, data, **about)
    assert refused.code == 1
    assert why in refused.log
    assert "\n" not in refused.log
    assert (refused.value, refused.proof_ops) == (b"", None)
    assert ask(engine, PATH, toy.key(9)).code == 0


def test_before_block_2_no_header_commits_to_a_block() -> None:
    started = FakeEngine(toy.genesis())
    shelf = Shelf(Path("nowhere"), 0)
    started.connect(Application(toy, Store(None), toy.genesis(), shelf).answer)
    for _ in range(2):
        assert "before block 2" in ask(started, PATH, toy.key(1), prove=True).log
        if not started.blocks:
            started.decide()
