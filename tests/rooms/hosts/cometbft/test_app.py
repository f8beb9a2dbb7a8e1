"""The application under an engine: whole blocks, crashes at each step, and what it refuses."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import toy_ledger as toy
from fake_engine import LIAR, PROPOSER, FakeEngine, Line

from peerwatt.hosts.cometbft import messages as abci
from peerwatt.hosts.cometbft.app import FORGET_EVERY, Application
from peerwatt.hosts.cometbft.chain import Decided, DecidedChain, validator_id
from peerwatt.hosts.cometbft.genesis import app_state
from peerwatt.hosts.cometbft.parts import Timestamp, Verdict
from peerwatt.hosts.cometbft.snapshots import Shelf
from peerwatt.hosts.embedded import EmbeddedHost
from peerwatt.hosts.replica import BlockRefused, Replica
from peerwatt.hosts.store import Store, StoreError
from peerwatt.records.chain import UNSIGNED
from peerwatt.records.codec import decode, encode
from peerwatt.records.receipts import Reason, Receipt
from peerwatt.records.signing import SigningKey

STEPS = ["prepared", "processed", "decided", "finalized", "committed", "rechecked"]


def application(store: Store, folder: Path = Path("nowhere"), **options: Any) -> Application:
    return Application(toy, store, toy.genesis(), Shelf(folder, 0), **options)


def connected(**options: Any) -> tuple[FakeEngine, Application]:
    engine, app = FakeEngine(toy.genesis()), application(Store(None), **options)
    engine.connect(app.answer)
    return engine, app


def offer_next(engine: FakeEngine) -> None:
    """The transactions that come at this height in every run: moves, and a sealed round."""
    height = len(engine.blocks)
    engine.offer(toy.move(1, height, 2 + height, 5))
    engine.offer(toy.move(2, 2 * height, 1, 7))
    engine.offer(toy.move(2, 2 * height + 1, 0, 0))


def steps_of_next(engine: FakeEngine) -> Iterator[str]:
    offer_next(engine)
    height = len(engine.blocks)
    overdrawn = toy.move(1, height + 1, 3, 100_000)
    return engine.steps(time_s=height + 1, extra=[overdrawn], misbehavior=[LIAR])


def decide_next(engine: FakeEngine) -> None:
    for _ in steps_of_next(engine):
        pass


def test_blocks_give_receipts_and_the_next_app_hash() -> None:
    engine, app = connected()
    assert engine.offer(toy.move(1, 0, 2, 5)).code == 0
    refused = engine.offer(toy.move(1, 0, 2, 5))
    assert (refused.code, refused.info) == (Reason.WRONG_NONCE, "nonce")
    result = engine.decide(time_s=7, extra=[b"garbage", toy.move(1, 1, 2, 2000)])
    receipts = [decode(each.data, Receipt) for each in result.tx_results]
    assert [each.reason for each in receipts] == [0, Reason.MALFORMED, Reason.UNFUNDED]
    assert [each.code for each in result.tx_results] == [each.reason for each in receipts]
    assert tuple(receipts) == app.chain.receipts(1)
    assert [each.type for each in result.events] == ["moved"]
    info = engine.line.ask(abci.RequestInfo(), abci.ResponseInfo)
    assert (info.last_block_height, info.last_block_app_hash) == (1, result.app_hash)
    assert app.chain.get("accounts", toy.key(2)).free_ucoin == 1005


def test_headers_say_what_the_engine_decided() -> None:
    engine, app = connected()
    engine.decide(time_s=7, misbehavior=[LIAR])
    signed = app.chain.block(1).signed_header
    context = signed.header.context
    assert signed.signature == UNSIGNED
    assert signed.header.block_time_s == context.market_time_s == 7
    assert context.proposer == validator_id(PROPOSER) == PROPOSER + bytes(12)
    assert context.misbehavior == (validator_id(LIAR),)
    assert signed.header.app_hash == engine.genesis_hash
    engine.decide(time_s=8)
    assert app.chain.block(2).signed_header.header.app_hash == engine.results[0].app_hash


def test_what_waits_is_checked_above_all_that_waits() -> None:
    engine, app = connected()
    for nonce in range(5):
        assert engine.offer(toy.move(1, nonce, 2, 200)).code == 0
    assert engine.offer(toy.move(1, 5, 2, 1)).code == Reason.UNFUNDED
    assert app.chain.get("accounts", toy.key(1)).nonce == 0
    engine.decide()
    assert app.chain.get("accounts", toy.key(2)).free_ucoin == 2000


def test_what_a_block_has_made_wrong_is_let_go_at_the_recheck() -> None:
    engine, _ = connected()
    assert engine.offer(toy.move(1, 0, 2, 900)).code == 0
    assert engine.offer(toy.move(1, 1, 2, 100)).code == 0
    engine.mempool.reverse()
    block = engine.decide(extra=[])
    assert [each.code for each in block.tx_results] == [Reason.WRONG_NONCE, 0]
    assert engine.offer(toy.move(1, 1, 2, 50)).code == 0
    engine.mempool.append(toy.move(1, 1, 2, 60))
    engine.decide()
    assert engine.mempool == []


def test_between_execution_and_commit_readers_see_the_block_before() -> None:
    engine, app = connected()
    decide_next(engine)
    known = engine.line.ask(abci.RequestInfo(), abci.ResponseInfo)
    offer_next(engine)
    for step in engine.steps(time_s=9):
        if step != "finalized":
            continue
        assert engine.line.ask(abci.RequestInfo(), abci.ResponseInfo) == known
        assert app.chain.get("accounts", toy.key(1)).nonce == 1
        assert engine.line.ask(
            abci.RequestQuery(path="/result/1"), abci.ResponseQuery
        ).value == encode(app.chain.result(1))
    assert app.chain.height == 2


def run(path: Path, engine: FakeEngine, until: Callable[[str, int], bool], blocks: int) -> bool:
    """Go on with a chain for some blocks, or until the application dies; whether it did."""
    with Store(path) as store:
        engine.connect(application(store).answer)
        while len(engine.blocks) < blocks:
            height = len(engine.blocks) + 1
            for step in steps_of_next(engine):
                if until(step, height):
                    return True
    return False


@pytest.mark.parametrize("fatal", STEPS)
@pytest.mark.parametrize("height", [1, 2])
def test_dead_after_any_step_it_goes_on_as_if_nothing_had_been(
    tmp_path: Path, fatal: str, height: int
) -> None:
    undisturbed = FakeEngine(toy.genesis())
    run(tmp_path / "undisturbed.db", undisturbed, lambda *_: False, 4)
    engine = FakeEngine(toy.genesis())
    path = tmp_path / "chain.db"
    assert run(path, engine, lambda step, at: (step, at) == (fatal, height), 4)
    engine.mempool.clear()  # it died with the node, too
    assert not run(path, engine, lambda *_: False, 4)
    assert engine.results == undisturbed.results
    with Store(path) as store:
        assert application(store).chain.height == 4


def test_killed_at_any_statement_of_a_commit_it_is_before_or_after_it(tmp_path: Path) -> None:
    """The process ends right before each statement that a commit gives to SQLite."""
    undisturbed, _ = connected()
    for _ in range(2):
        decide_next(undisturbed)
    heights = []
    for fatal in range(1, 100):
        path = tmp_path / f"{fatal}.db"
        engine = FakeEngine(toy.genesis())
        with Store(path) as store:
            engine.connect(application(store).answer)
            decide_next(engine)
        child = os.fork()
        if child == 0:
            _commit_until(path, engine, fatal)
        _, status = os.waitpid(child, 0)
        with Store(path) as store:
            app = application(store)
            heights.append(app.chain.height)
            undisturbed.connect(app.answer)
            assert app.chain.height == 2
            assert app.chain.app_hash == undisturbed.results[1].app_hash
        if os.waitstatus_to_exitcode(status) == 0:
            break
    assert heights == sorted(heights)
    assert set(heights) == {1, 2}
    assert len(heights) > 5


def _commit_until(path: Path, engine: FakeEngine, fatal: int) -> None:
    try:
        store = Store(path)
        engine.connect(application(store).answer)
        seen = 0

        def count(_: str) -> None:
            nonlocal seen
            seen += 1
            if seen == fatal:
                os._exit(9)

        for step in steps_of_next(engine):
            if step == "finalized":
                store._db.set_trace_callback(count)
            if step == "committed":
                os._exit(0)
    finally:
        os._exit(1)


def test_a_commit_that_fails_stops_the_node_and_keeps_the_block_before() -> None:
    engine, app = connected()
    decide_next(engine)
    offer_next(engine)
    steps = engine.steps(time_s=2)
    while next(steps) != "finalized":
        continue
    before = engine.results[0].app_hash
    app.chain._store._db.set_progress_handler(lambda: True, 1)
    with pytest.raises(AssertionError, match="ResponseException"):
        next(steps)
    app.chain._store._db.set_progress_handler(None, 1)
    assert isinstance(engine.line.session.error, StoreError)
    assert (app.chain.height, app.chain.app_hash) == (1, before)


def test_an_engine_that_comes_back_executes_again_what_was_not_kept() -> None:
    """The engine dies between execution and commit; the application lives on."""
    engine, app = connected()
    decide_next(engine)
    offer_next(engine)
    steps = engine.steps(time_s=2)
    while next(steps) != "finalized":
        continue
    app.chain.proved("accounts", toy.key(1))
    again = FakeEngine(toy.genesis())
    again.blocks, again.results = engine.blocks, engine.results
    again.genesis_hash = engine.genesis_hash
    again.connect(app.answer)
    assert app.chain.height == 2
    assert app.chain.app_hash == engine.results[1].app_hash


def test_of_blocks_executed_one_after_the_other_the_last_is_kept() -> None:
    chain = DecidedChain(toy, Store(None), toy.genesis())
    for receiver in (3, 2):
        chain.finalize(Decided(1, 1, (toy.move(1, 0, receiver, 7),), validator_id(PROPOSER)))
    chain.commit()
    assert chain.get("accounts", toy.key(2)).free_ucoin == 1007
    assert chain.get("accounts", toy.key(3)).free_ucoin == 1000
    alone = DecidedChain(toy, Store(None), toy.genesis())
    alone.finalize(Decided(1, 1, (toy.move(1, 0, 2, 7),), validator_id(PROPOSER)))
    assert (chain.app_hash, chain.is_running) == (alone.app_hash, False)


def test_recorded_blocks_give_the_same_app_hashes_and_receipts_on_the_embedded_host() -> None:
    engine, app = connected()
    for _ in range(4):
        offer_next(engine)
        height = len(engine.blocks)
        engine.decide(time_s=height + 1, extra=[toy.move(1, height + 1, 3, 100_000)])
    embedded = EmbeddedHost(toy, Store(None), SigningKey(bytes(32)), toy.genesis())
    assert embedded.app_hash == engine.genesis_hash
    for block, result in zip(engine.blocks, engine.results, strict=True):
        embedded.seal(block.time.seconds, extra=block.txs)
        assert embedded.app_hash == result.app_hash
        assert embedded.result(block.height) == app.chain.result(block.height)


def test_its_blocks_run_again_with_whom_they_report_but_not_changed() -> None:
    engine, app = connected()
    for _ in range(3):
        decide_next(engine)
    again = DecidedChain(toy, Store(None), toy.genesis())
    for height in range(1, 4):
        again.accept(app.chain.block(height))
    assert (again.app_hash, again.head) == (app.chain.app_hash, app.chain.head)
    with pytest.raises(BlockRefused, match=r"block 1: misbehavior: is .*, must be "):
        Replica(toy, Store(None), toy.genesis()).accept(app.chain.block(1))
    embedded = EmbeddedHost(toy, Store(None), SigningKey(bytes(32)), toy.genesis())
    signed = embedded.seal(1)
    with pytest.raises(BlockRefused, match="block 1: signature: is not empty"):
        DecidedChain(toy, Store(None), toy.genesis()).accept(signed)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"chain_id": "sim-b"}, "chain_id: the engine's is 'sim-b', the ledger's is 'sim-toy'"),
        ({"app_state_bytes": b"{}"}, "app_state: has no 'genesis'"),
        ({"app_state_bytes": b"{"}, "app_state: is not JSON"),
        ({"app_state_bytes": b'{"genesis": "zz"}'}, "app_state.genesis: non-hexadecimal number"),
        ({"app_state_bytes": b'{"genesis": "90"}'}, "app_state.genesis: "),
        ({"initial_height": 5}, "initial_height: is 5, must be 1"),
    ],
)  # fmt: skip
def test_a_chain_that_is_not_ours_is_not_begun(changed: dict[str, Any], why: str) -> None:
    request: dict[str, Any] = {
        "chain_id": "sim-toy",
        "app_state_bytes": _json(app_state(toy.genesis())),
        "initial_height": 1,
    }
    _stops(application(Store(None)), abci.RequestInitChain(**request | changed), why)


def test_another_genesis_of_the_same_chain_is_not_begun() -> None:
    other = toy.decode(toy.genesis(), toy.Genesis)
    other = toy.replace(other, mint_cap_ucoin=5)
    request = abci.RequestInitChain(
        chain_id="sim-toy", app_state_bytes=_json(app_state(encode(other))), initial_height=1
    )
    why = "app_state: is not the genesis that this node was started with"
    _stops(application(Store(None)), request, why)


def test_a_chain_does_not_begin_twice() -> None:
    engine, app = connected()
    engine.decide()
    why = "the chain has 1 blocks and cannot begin again"
    _stops(app, engine._init_chain(), why)


def _json(document: dict[str, str]) -> bytes:
    return json.dumps(document).encode()


def _stops(app: Application, request: Any, why: str) -> None:
    line = Line(app.answer)
    response = line.ask(request, abci.ResponseException)
    assert why in response.error
    assert "\n" not in response.error
    assert line.session.error is not None


@pytest.mark.parametrize(
    ("height", "time_s", "proposer", "why"),
    [
        (2, 9, PROPOSER, "block 1: height: is 2, must be 1"),
        (1, -1, PROPOSER, "block 1: block_time_s: -1 is before the last block's 0"),
        (1, 1, b"x", "address: must have 20 bytes, has 1"),
    ],
)
def test_a_block_that_no_engine_decides_stops_the_node(
    height: int, time_s: int, proposer: bytes, why: str
) -> None:
    app = application(Store(None))
    request = abci.RequestFinalizeBlock(
        height=height, time=Timestamp(seconds=time_s), proposer_address=proposer
    )
    _stops(app, request, f"FinalizeBlock: {why}")
    assert app.chain.height == 0


def test_a_commit_of_nothing_stops_the_node() -> None:
    why = "Commit: commit: no block has been executed since the last one was kept"
    _stops(application(Store(None)), abci.RequestCommit(), why)


def test_vote_extensions_are_not_used() -> None:
    engine, _ = connected()
    extended = engine.line.ask(abci.RequestExtendVote(height=1), abci.ResponseExtendVote)
    assert extended.vote_extension == b""
    for extension, verdict in ((b"", Verdict.ACCEPT), (b"x", Verdict.REJECT)):
        request = abci.RequestVerifyVoteExtension(vote_extension=extension)
        answer = engine.line.ask(request, abci.ResponseVerifyVoteExtension)
        assert answer.status == verdict


def test_old_blocks_are_forgotten_but_their_ids() -> None:
    engine, app = connected(keep_blocks=10)
    retained = []
    for height in range(1, FORGET_EVERY + 5):
        steps = engine.steps(time_s=height)
        for _ in steps:
            pass
        retained.append(app.chain.height - 9)
    first = FORGET_EVERY - 9
    with pytest.raises(ValueError, match=f"there is no block {first - 1}, the last is"):
        app.chain.block(first - 1)
    assert app.chain.block(first).signed_header.header.context.height == first
    assert len(app.chain._store.block_ids()) == app.chain.height
    with pytest.raises(ValueError, match="there is no block 1,"):
        app.chain.export(Path("nowhere"))
    assert not Path("nowhere").exists()
    again = application(app.chain._store, keep_blocks=10)
    assert again.chain.app_hash == app.chain.app_hash
    with pytest.raises(ValueError, match="there is no block"):
        again.chain.block(app.chain.height - 10)


@pytest.mark.parametrize(("keep", "every", "least"), [(1, 0, 2), (29, 10, 30)])
def test_fewer_blocks_than_snapshots_need_are_refused(keep: int, every: int, least: int) -> None:
    with pytest.raises(ValueError, match=f"keep_blocks: is {keep}, must be 0 .* at least {least}"):
        Application(
            toy, Store(None), toy.genesis(), Shelf(Path("nowhere"), every), keep_blocks=keep
        )
