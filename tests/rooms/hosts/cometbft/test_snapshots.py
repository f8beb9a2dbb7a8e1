"""Snapshots: alike on every node, restored only when they prove what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import toy_ledger as toy
from fake_engine import LIAR, FakeEngine, Line
from msgspec.structs import replace

from peerwatt.hosts.cometbft import messages as abci
from peerwatt.hosts.cometbft import snapshots
from peerwatt.hosts.cometbft.app import Application
from peerwatt.hosts.cometbft.parts import ApplyResult, OfferResult, Snapshot
from peerwatt.hosts.cometbft.snapshots import Contents, Shelf, describe
from peerwatt.hosts.state import Row
from peerwatt.hosts.store import KeptBlock, Store, Tip
from peerwatt.records.codec import decode, digest, encode
from peerwatt.records.members import Account
from peerwatt.records.receipts import Block

EVERY = 3


def node(folder: Path, *, every: int = EVERY, path: Path | None = None) -> Application:
    return Application(toy, Store(path), toy.genesis(), Shelf(folder, every))


def run(engine: FakeEngine, blocks: int) -> None:
    for _ in range(blocks):
        height = len(engine.blocks)
        engine.offer(toy.move(1, 2 * height, 3, 5))
        if height % 2:
            engine.offer(toy.move(1, 2 * height + 1, 0, 0))
        else:
            engine.offer(toy.move(1, 2 * height + 1, 4, 1))
        engine.decide(time_s=height, misbehavior=[LIAR])


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[FakeEngine, Application]:
    """A chain of eight blocks with snapshots of the third and sixth, in small chunks."""
    monkeypatch.setattr(snapshots, "CHUNK_BYTES", 300)
    engine, app = FakeEngine(toy.genesis()), node(tmp_path / "running")
    engine.connect(app.answer)
    run(engine, 8)
    return engine, app


def offered(app: Application) -> tuple[Snapshot, ...]:
    line = Line(app.answer)
    return line.ask(abci.RequestListSnapshots(), abci.ResponseListSnapshots).snapshots


def chunks(app: Application, snapshot: Snapshot) -> list[bytes]:
    line = Line(app.answer)
    return [
        line.ask(
            abci.RequestLoadSnapshotChunk(
                height=snapshot.height, format=snapshot.format, chunk=index
            ),
            abci.ResponseLoadSnapshotChunk,
        ).chunk
        for index in range(snapshot.chunks)
    ]


def offer(app: Application, snapshot: Snapshot, app_hash: bytes) -> int:
    request = abci.RequestOfferSnapshot(snapshot=snapshot, app_hash=app_hash)
    return Line(app.answer).ask(request, abci.ResponseOfferSnapshot).result


def apply(app: Application, index: int, chunk: bytes) -> abci.ResponseApplySnapshotChunk:
    request = abci.RequestApplySnapshotChunk(index=index, chunk=chunk, sender="peer")
    return Line(app.answer).ask(request, abci.ResponseApplySnapshotChunk)


def test_a_new_node_goes_on_from_a_snapshot(
    tmp_path: Path, running: tuple[FakeEngine, Application]
) -> None:
    engine, app = running
    newest, older = offered(app)
    assert (newest.height, older.height) == (6, 3)
    assert newest.chunks > 3
    path = tmp_path / "new.db"
    new = node(tmp_path / "new", path=path)
    assert offer(new, newest, engine.results[5].app_hash) == OfferResult.ACCEPT
    for index, chunk in reversed(list(enumerate(chunks(app, newest)))):
        assert apply(new, index, chunk).result == ApplyResult.ACCEPT
    info = Line(new.answer).ask(abci.RequestInfo(), abci.ResponseInfo)
    assert (info.last_block_height, info.last_block_app_hash) == (6, engine.results[5].app_hash)
    engine.connect(new.answer)  # the last two blocks
    assert new.chain.app_hash == app.chain.app_hash
    assert new.chain.head == app.chain.head
    run(engine, 1)
    assert new.chain.block(7) == app.chain.block(7)
    assert offered(new)[0].height == 9
    engine.connect(app.answer)
    assert offered(app)[0] == offered(new)[0]
    assert new.chain.sealed("orders", toy.round_id(0)) == app.chain.sealed(
        "orders", toy.round_id(0)
    )
    assert new.chain.receipt("orders", toy.round_id(0), b"k").round.holds()
    new.chain._store.close()
    with Store(path) as store:
        again = Application(toy, store, toy.genesis(), Shelf(tmp_path / "new", EVERY))
        assert again.chain.app_hash == app.chain.app_hash


def test_what_a_store_held_before_is_gone() -> None:
    tip = Tip(1, b"g", bytes(32), b"")
    old = [Row("t", b"", b"old", b"1"), Row("t", b"", b"both", b"2")]
    kept = KeptBlock(b"1", b"block", b"result")
    with Store(None) as store:
        store.commit(tip, old, {("tree", b"old"): ()}, kept)
        store.add_witness(1, b"w", b"record")
        new = [Row("t", b"", b"both", b"3")]
        store.replace(tip._replace(height=3), new, {("tree", b"new"): ()}, [b"1", b"2"], kept)
        assert store.state_rows() == new
        assert store.sealed_slots() == [("tree", b"new")]
        assert store.witnesses() == []
        assert store.block_ids() == [b"1", b"2", b"1"]
        assert [store.block(height) for height in (1, 2, 3)] == [None, None, b"block"]


def test_only_the_newest_are_kept_and_found_again(
    tmp_path: Path, running: tuple[FakeEngine, Application]
) -> None:
    engine, app = running
    run(engine, 2)
    assert [each.height for each in offered(app)] == [9, 6]
    files = sorted((tmp_path / "running").iterdir())
    assert len(files) == 2
    shelf = Shelf(tmp_path / "running", EVERY)
    assert shelf.offered == offered(app)
    files[0].write_bytes(files[0].read_bytes()[:-1])
    (tmp_path / "running" / "x.snapshot").write_bytes(b"")
    (tmp_path / "running" / "12-ab.unfinished").write_bytes(b"half")
    assert len(Shelf(tmp_path / "running", EVERY).offered) == 1
    assert len(list((tmp_path / "running").iterdir())) == 1


def test_what_is_not_there_is_not_given(running: tuple[FakeEngine, Application]) -> None:
    _, app = running
    newest = offered(app)[0]
    for wrong in ({"height": 5}, {"format": 2}, {"chunks": newest.chunks + 1}):
        asked = replace(newest, **wrong)
        assert chunks(app, asked)[-1] == b""
    assert Shelf(Path("nowhere"), 0).offered == ()
    with pytest.raises(ValueError, match="every: is -1"):
        Shelf(Path("nowhere"), -1)


def test_a_disk_without_room_for_snapshots_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    engine, app = FakeEngine(toy.genesis()), node(tmp_path / "file" / "snapshots")
    engine.connect(app.answer)
    run(engine, 4)
    assert app.chain.height == 4
    assert caplog.messages == ["snapshot of 3 not kept: Not a directory"]
    assert offered(app) == ()


def test_a_snapshot_whose_file_is_gone_is_not_given(
    tmp_path: Path, running: tuple[FakeEngine, Application], caplog: pytest.LogCaptureFixture
) -> None:
    _, app = running
    newest = offered(app)[0]
    for path in (tmp_path / "running").iterdir():
        path.unlink()
    assert set(chunks(app, newest)) == {b""}
    assert caplog.messages[0] == "snapshot of 6 not read: No such file or directory"


@pytest.mark.parametrize(
    ("wrong", "result"),
    [
        ({"format": 2}, OfferResult.REJECT_FORMAT),
        ({"height": 0}, OfferResult.REJECT),
        ({"hash": bytes(32)}, OfferResult.REJECT),
        ({"chunks": 1}, OfferResult.REJECT),
        ({"metadata": b"x", "hash": digest(b"x")}, OfferResult.REJECT),
        ({"metadata": b"\x90", "hash": digest(b"\x90"), "chunks": 0}, OfferResult.REJECT),
    ],
)
def test_a_snapshot_that_makes_no_sense_is_refused(
    tmp_path: Path,
    running: tuple[FakeEngine, Application],
    wrong: dict[str, Any],
    result: OfferResult,
) -> None:
    engine, app = running
    new = node(tmp_path / "new")
    snapshot = replace(offered(app)[0], **wrong)
    assert offer(new, snapshot, engine.results[5].app_hash) == result
    assert apply(new, 0, b"").result == ApplyResult.ABORT
    assert new.chain.height == 0


def test_a_chain_with_blocks_takes_none(running: tuple[FakeEngine, Application]) -> None:
    engine, app = running
    newest = offered(app)[0]
    assert offer(app, newest, engine.results[5].app_hash) == OfferResult.ABORT
    assert app.chain.height == 8


def test_a_corrupt_chunk_is_asked_for_again_from_somebody_else(
    tmp_path: Path, running: tuple[FakeEngine, Application]
) -> None:
    engine, app = running
    newest = offered(app)[0]
    new = node(tmp_path / "new")
    assert offer(new, newest, engine.results[5].app_hash) == OfferResult.ACCEPT
    right = chunks(app, newest)
    for wrong in (right[0][:-1], right[1], b""):
        answer = apply(new, 0, wrong)
        assert answer.result == ApplyResult.RETRY
        assert (answer.refetch_chunks, answer.reject_senders) == ((0,), ("peer",))
    assert apply(new, len(right), right[0]).result == ApplyResult.RETRY
    for index, chunk in enumerate(right):
        assert apply(new, index, chunk).result == ApplyResult.ACCEPT
    assert new.chain.height == 6


def changed(contents: Contents, table: str, key: bytes, **about: Any) -> Contents:
    """The snapshot with a row's key, scope or value changed."""
    rows = []
    for name, scope, at, value in contents.rows:
        hit = (name, at) == (table, key)
        rows.append(
            (name, about.get("scope", scope), at, about.get("value", value))
            if hit
            else (name, scope, at, value)
        )
    return replace(contents, rows=tuple(sorted(rows)))


RICH = encode(Account(free_ucoin=10**9))


def doubled(contents: Contents) -> Contents:
    """What is hashed last is true, what is read is not."""
    true = next(row for row in contents.rows if row[:3] == ("accounts", b"", toy.key(1)))
    changed_rows = changed(contents, "accounts", toy.key(1), value=RICH).rows
    hidden = ("accounts", b"x", toy.key(1), true[3])
    return replace(contents, rows=tuple(sorted([*changed_rows, hidden])))


def resealed(contents: Contents) -> Contents:
    name, scope, _ = contents.sealed[0]
    return replace(contents, sealed=((name, scope, ((b"k", b"v"),)), *contents.sealed[1:]))


def swapped(contents: Contents) -> Contents:
    block = replace(decode(contents.block, Block), transactions=(b"x",))
    return replace(contents, block=encode(block))


OTHER_GENESIS = toy.genesis("sim-other")
WRONG: list[tuple[str, Any, str]] = [
    ("a richer account", lambda it: changed(it, "accounts", toy.key(1), value=RICH),
     "contents: damaged .its state has another app hash"),
    ("the app hash of that", lambda it: replace(it, app_hash=bytes(32)),
     "app_hash: is not the one that the validators signed"),
    ("another height", lambda it: replace(it, height=7), "app_hash: is not the one"),
    ("another chain", lambda it: replace(it, genesis=OTHER_GENESIS), "genesis: is another chain's"),
    ("a hidden row", doubled, "rows: the hashed table 'accounts' has no scopes"),
    ("rows out of order", lambda it: replace(it, rows=it.rows[::-1]), "rows: those of"),
    ("a row twice", lambda it: replace(it, rows=(it.rows[0], *it.rows)), "rows: those of"),
    ("an unknown table", lambda it: replace(it, rows=(*it.rows, ("zzz", b"", b"", b"\xc0"))),
     "there is no table 'zzz'"),
    ("a row of no form", lambda it: changed(it, "rounds", toy.round_id(0), value=b"\xc1"),
     "contents: "),
    ("another entry", resealed, "sealed: 'orders' of .* has not its round's root"),
    ("a tree too few", lambda it: replace(it, sealed=it.sealed[1:]), "sealed: .* is missing"),
    ("a tree too many", lambda it: replace(it, sealed=(*it.sealed, ("x", b"y", ()))),
     "sealed: 'x' of 79 has not its round's root"),
    ("an earlier block lost", lambda it: replace(it, block_ids=it.block_ids[1:]),
     "blocks are missing"),
    ("an earlier block changed", lambda it: replace(it, block_ids=(bytes(32), *it.block_ids[1:])),
     "its blocks are not in one chain"),
    ("no blocks", lambda it: replace(it, block_ids=()), "contents: "),
    ("another last block", lambda it: replace(it, block=b"\x90"), "contents: "),
    ("other transactions", swapped, "block: its transactions are not those of its header"),
    ("another undo", lambda it: replace(it, undo=encode({})), "its last block is of another state"),
    ("an undo of no form", lambda it: replace(it, undo=b"\xc1"), "contents: "),
    ("a result of no form", lambda it: replace(it, result=b"\xc1"), "contents: "),
]  # fmt: skip


@pytest.mark.parametrize(
    ("lie", "why"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG]
)
def test_a_wrong_snapshot_is_refused_and_nothing_changes(
    tmp_path: Path,
    running: tuple[FakeEngine, Application],
    caplog: pytest.LogCaptureFixture,
    lie: Any,
    why: str,
) -> None:
    """Its maker describes the wrong contents rightly, so that every chunk fits."""
    engine, app = running
    true = decode(b"".join(chunks(app, offered(app)[0])), Contents)
    data = encode(lie(true))
    snapshot = describe(6, data)
    new = node(tmp_path / "new")
    before = new.chain.app_hash
    assert offer(new, snapshot, engine.results[5].app_hash) == OfferResult.ACCEPT
    size = snapshots.CHUNK_BYTES
    results = [
        apply(new, index, data[index * size : (index + 1) * size]).result
        for index in range(snapshot.chunks)
    ]
    assert results == [ApplyResult.ACCEPT] * (snapshot.chunks - 1) + [ApplyResult.REJECT_SNAPSHOT]
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("snapshot refused: ")
    assert "\n" not in line
    assert re.search(why, line)
    assert (new.chain.height, new.chain.app_hash) == (0, before)
    engine.connect(new.answer)
    assert new.chain.app_hash == app.chain.app_hash


def test_contents_that_are_none_are_refused(
    tmp_path: Path, running: tuple[FakeEngine, Application], caplog: pytest.LogCaptureFixture
) -> None:
    engine, _ = running
    new = node(tmp_path / "new")
    assert offer(new, describe(6, b"garbage"), engine.results[5].app_hash) == OfferResult.ACCEPT
    assert apply(new, 0, b"garbage").result == ApplyResult.REJECT_SNAPSHOT
    assert "snapshot refused: contents: " in caplog.text


def test_a_changed_row_that_no_hash_covers_shows_in_the_block_that_it_matters_to(
    tmp_path: Path, running: tuple[FakeEngine, Application]
) -> None:
    """An open order's units are changed: the seal of its round gives another app hash."""
    engine, app = running
    true = decode(b"".join(chunks(app, offered(app)[1])), Contents)
    (key, value) = next((row[2], row[3]) for row in true.rows if row[0] == "moves")
    record = replace(decode(value, toy.Move), units=999)
    data = encode(changed(true, "moves", key, value=encode(record)))
    new = node(tmp_path / "new")
    snapshot = describe(3, data)
    assert offer(new, snapshot, engine.results[2].app_hash) == OfferResult.ACCEPT
    size = snapshots.CHUNK_BYTES
    for index in range(snapshot.chunks):
        answer = apply(new, index, data[index * size : (index + 1) * size])
        assert answer.result == ApplyResult.ACCEPT
    with pytest.raises(AssertionError, match="executed again, it gave another result"):
        engine.connect(new.answer)
