"""A chain run again from its files: the same hashes, and every changed byte or lie is named."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toy_ledger as toy
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from peerwatt.hosts.embedded import EmbeddedHost
from peerwatt.hosts.folder import FolderError
from peerwatt.hosts.replay import replay, replay_blocks
from peerwatt.hosts.replica import BlockRefused, Replica
from peerwatt.hosts.store import Store
from peerwatt.records.chain import transactions_root
from peerwatt.records.codec import encode
from peerwatt.records.receipts import HEADER_DOMAIN, Block, Header, SignedHeader
from peerwatt.records.signing import SigningKey

KEY = SigningKey(bytes(32))
WITNESS = SigningKey(bytes([1] * 32))
FILES = ("genesis.bin", "blocks.bin", "witnesses.bin")


def busy_host(blocks: int = 3) -> EmbeddedHost:
    host = EmbeddedHost(toy, Store(None), KEY, toy.genesis())
    for height in range(blocks):
        host.submit(toy.move(1, height, 2, 10 + height))
        host.submit(toy.move(3 + height, 0, 0, 0))
        host.seal(100 * height, extra=[b"junk"])
    return host


def blocks_of(host: Replica) -> list[Block]:
    return [host.block(height) for height in range(1, host.height + 1)]


def test_an_export_is_the_same_every_time_and_replays_to_the_same_chain(tmp_path: Path) -> None:
    host, twin = busy_host(), busy_host()
    for each, name in ((host, "a"), (twin, "b")):
        each.export(tmp_path / name)
    host.export(tmp_path / "c")
    for name in FILES:
        content = (tmp_path / "a" / name).read_bytes()
        assert content == (tmp_path / "b" / name).read_bytes()
        assert content == (tmp_path / "c" / name).read_bytes()
    replica = replay(tmp_path / "a", toy)
    assert (replica.height, replica.head, replica.app_hash) == (4, host.head, host.app_hash)
    assert list(replica.events()) == list(host.events())
    assert blocks_of(replica) == blocks_of(host)
    replica.export(tmp_path / "d")
    assert (tmp_path / "d" / "blocks.bin").read_bytes() == (tmp_path / "a" / FILES[1]).read_bytes()


def test_an_export_ends_with_a_block_that_proves_all_before(tmp_path: Path) -> None:
    host = busy_host()
    after_messages = host.app_hash
    host.submit(toy.move(1, 3, 2, 1))
    host.export(tmp_path)
    assert host.head is not None
    assert host.head.header.app_hash == after_messages == host.app_hash
    assert host.block(4).transactions == ()
    assert host.pending == 1


def test_an_empty_chain_is_exported_too(tmp_path: Path) -> None:
    host = EmbeddedHost(toy, Store(None), KEY, toy.genesis())
    host.export(tmp_path)
    assert replay(tmp_path, toy).head == host.head


def test_a_replay_goes_into_a_store(tmp_path: Path) -> None:
    host = busy_host()
    host.export(tmp_path)
    with Store(tmp_path / "chain.db") as store:
        replay(tmp_path, toy, store)
    with Store(tmp_path / "chain.db") as store:
        assert Replica(toy, store, toy.genesis()).head == host.head


MOVE = st.builds(
    toy.move, st.integers(1, 3), st.integers(0, 3), st.integers(0, 4), st.integers(0, 1500)
)
ACTION = st.one_of(
    st.tuples(st.just("submit"), MOVE),
    st.tuples(st.just("seal"), st.lists(MOVE | st.binary(max_size=3), max_size=2)),
    st.tuples(st.just("reopen"), st.none()),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(ACTION, max_size=30))
def test_any_run_replays_and_keeps_every_unit(actions: list[tuple[str, Any]]) -> None:
    store = Store(None)
    host = EmbeddedHost(toy, store, KEY, toy.genesis())
    for action, what in actions:
        if action == "submit":
            assert host.submit(what) == host.submit(what)
        elif action == "seal":
            waiting = host.pending
            block = host.seal(host.height, what)
            assert len(block.transactions) == waiting + len(what)
            assert all(receipt.ok for receipt in host.receipts(host.height)[:waiting])
        else:
            host = EmbeddedHost(toy, store, KEY, toy.genesis())
    blocks = range(1, host.height + 1)
    transactions = [each for height in blocks for each in host.block(height).transactions]
    receipts = [each for height in blocks for each in host.receipts(height)]
    accepted = [each for each, receipt in zip(transactions, receipts, strict=True) if receipt.ok]
    burned = sum(each.units for each in map(toy.read, accepted) if each.to == toy.SEALS)
    assert len(accepted) == len(set(accepted))
    assert sum(account.free_ucoin for _, account in host.items("accounts")) == 8000 - burned
    replica = replay_blocks(toy.genesis(), blocks_of(host), toy)
    assert (replica.app_hash, replica.head) == (host.app_hash, host.head)
    assert replica.items("accounts") == host.items("accounts")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    host = busy_host(1)
    host.witness(WITNESS)
    host.export(folder)
    return folder


def copy_with(exported: Path, folder: Path, name: str, content: bytes) -> Path:
    for each in FILES:
        (folder / each).write_bytes((exported / each).read_bytes())
    (folder / name).write_bytes(content)
    return folder


def test_any_changed_byte_is_found(exported: Path, tmp_path: Path) -> None:
    rng = random.Random(11)
    for name in FILES:
        content = (exported / name).read_bytes()
        for at in range(rng.randrange(3), len(content), 3):
            changed = bytearray(content)
            changed[at] ^= 1 << rng.randrange(8)
            folder = copy_with(exported, tmp_path, name, bytes(changed))
            with pytest.raises(ValueError, match=r"^(block \d+|blocks.bin|witnesses.bin|\w+): "):
                replay(folder, toy)


@pytest.mark.parametrize(
    ("name", "change", "error"),
    [
        ("blocks.bin", lambda data: data[:-1], r"blocks.bin: entry 2: is cut off \(it starts at"),
        ("blocks.bin", lambda data: data + b"\0", "blocks.bin: entry 3: is cut off"),
        ("blocks.bin", lambda data: data + bytes(4), "blocks.bin: entry 3: encoding: "),
        ("blocks.bin", lambda data: data + data, "block 3: height: is 1, must be 3"),
        ("genesis.bin", lambda _: toy.genesis("sim-x"), "block 1: chain_id: is sim-toy, must"),
        (
            "witnesses.bin",
            lambda data: data.replace(data[-9:], bytes(9)),
            "witnesses.bin: signatur",
        ),
    ],
)
def test_what_is_wrong_is_named(
    exported: Path, tmp_path: Path, name: str, change: Callable[[bytes], bytes], error: str
) -> None:
    folder = copy_with(exported, tmp_path, name, change((exported / name).read_bytes()))
    with pytest.raises(ValueError, match=f"^{error}"):
        replay(folder, toy)


def test_a_missing_file_is_named(exported: Path, tmp_path: Path) -> None:
    folder = copy_with(exported, tmp_path, "blocks.bin", b"")
    (folder / "blocks.bin").unlink()
    with pytest.raises(FolderError, match=r"^blocks.bin: No such file"):
        replay(folder, toy)


def resigned(block: Block, key: SigningKey = KEY, **header: Any) -> Block:
    """The block with a header that lies, signed all the same, as an operator can."""
    lie: Header = replace(block.signed_header.header, **header)
    signature = key.sign(HEADER_DOMAIN, lie.chain_id, encode(lie))
    return replace(block, signed_header=SignedHeader(header=lie, signature=signature))


def in_context(block: Block, **context: Any) -> dict[str, Any]:
    return {"context": replace(block.signed_header.header.context, **context)}


def unsigned(block: Block) -> Block:
    return replace(block, signed_header=replace(block.signed_header, signature=bytes(64)))


LIES: list[tuple[str, Callable[[Block], Block]]] = [
    ("chain_id: is sim-x, must be sim-toy", lambda b: resigned(b, chain_id="sim-x")),
    ("height: is 7, must be 2", lambda b: resigned(b, **in_context(b, height=7))),
    ("previous_block_id: ", lambda b: resigned(b, **in_context(b, previous_block_id=bytes(32)))),
    ("market_time_s: is 9, must be 100", lambda b: resigned(b, **in_context(b, market_time_s=9))),
    ("misbehavior: ", lambda b: resigned(b, **in_context(b, misbehavior=(bytes(32),)))),
    ("block_time_s: -1 is before", lambda b: resigned(b, block_time_s=-1)),
    ("app_hash: is 00000000", lambda b: resigned(b, app_hash=bytes(32))),
    ("results_root: is 00000000", lambda b: resigned(b, results_root=bytes(32))),
    ("history_root: is 00000000", lambda b: resigned(b, history_root=bytes(32))),
    ("transactions_root: ", lambda b: replace(b, transactions=b.transactions[1:])),
    ("transactions_root: ", lambda b: replace(b, transactions=b.transactions[::-1])),
    ("transactions: has 20001", lambda b: replace(b, transactions=(b"",) * 20_001)),
    ("signature: ", unsigned),
    ("signature: ", lambda b: resigned(b, WITNESS)),
    ("proposer: ", lambda b: resigned(b, WITNESS, **in_context(b, proposer=WITNESS.public))),
]  # fmt: skip


@pytest.mark.parametrize(("error", "lie"), LIES)
def test_a_proposers_lie_is_named_and_changes_nothing(
    error: str, lie: Callable[[Block], Block]
) -> None:
    blocks = blocks_of(busy_host())
    replica = replay_blocks(toy.genesis(), blocks[:1], toy)
    before = (replica.head, replica.app_hash)
    with pytest.raises(BlockRefused, match=f"^block 2: {error}"):
        replica.accept(lie(blocks[1]))
    assert (replica.head, replica.app_hash) == before
    replica.accept(blocks[1])


def test_a_left_out_transaction_shows_in_the_next_header() -> None:
    blocks = blocks_of(busy_host())
    without = blocks[1].transactions[1:]
    forged = resigned(
        replace(blocks[1], transactions=without), transactions_root=transactions_root(without)
    )
    with pytest.raises(BlockRefused, match=r"^block 3: previous_block_id: "):
        replay_blocks(toy.genesis(), [blocks[0], forged, blocks[2]], toy)
    relinked = resigned(
        blocks[2], **in_context(blocks[2], previous_block_id=forged.signed_header.header.block_id)
    )
    with pytest.raises(BlockRefused, match=r"^block 3: app_hash: "):
        replay_blocks(toy.genesis(), [blocks[0], forged, relinked], toy)
