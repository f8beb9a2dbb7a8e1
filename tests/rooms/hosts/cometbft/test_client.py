"""A host over nodes that lie, lag, fall silent and lose what they were given."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import toy_ledger as toy
from fake_rpc import FakeChain, FakeNode, altered, b64, hex_of, host_of, nodes, pay

from peerwatt.hosts.cometbft import client
from peerwatt.hosts.cometbft.client import read_genesis
from peerwatt.hosts.cometbft.genesis import GenesisError
from peerwatt.hosts.cometbft.rpc import RpcError, Unusable
from peerwatt.hosts.store import Store
from peerwatt.records.codec import decode, digest, encode
from peerwatt.records.receipts import Block, Reason, Receipt
from peerwatt.records.transactions import MAX_TRANSACTION_BYTES


@pytest.fixture
def chain(tmp_path: Path) -> FakeChain:
    return FakeChain(tmp_path / "snapshots")


@pytest.fixture
def two(chain: FakeChain) -> Iterator[list[FakeNode]]:
    with nodes(chain, 2) as made:
        yield made


def test_it_follows_the_chain_by_executing_it(chain: FakeChain, two: list[FakeNode]) -> None:
    for nonce in range(3):
        pay(chain, nonce)
    chain.decide(toy.move(2, 0, 0, 0))
    host = host_of(two)
    assert host.height == 0
    assert host.sync() == 4
    theirs = chain.app.chain
    assert (host.height, host.app_hash, host.head) == (4, theirs.app_hash, theirs.head)
    assert host.get("accounts", toy.key(1)).free_ucoin == 1000 - 15
    assert list(host.events()) == list(theirs.events())
    assert host.receipts(2) == theirs.receipts(2)
    assert host.sync() == 0
    assert two[1].calls == []


def test_a_transaction_is_confirmed_once_however_often_it_is_offered(
    chain: FakeChain, two: list[FakeNode]
) -> None:
    two[0].decides = two[1].decides = True
    host = host_of(two)
    first = host.confirm(toy.move(1, 0, 2, 5))
    assert (first.height, first.receipt.ok) == (1, True)
    assert host.confirm(toy.move(1, 0, 2, 5)) == first
    assert host_of(two).confirm(toy.move(1, 0, 2, 5)) == first
    host.sync()
    assert host.get("accounts", toy.key(1)).free_ucoin == 1000 - 5


def test_what_is_refused_at_admission_has_no_height(two: list[FakeNode]) -> None:
    refused = host_of(two).confirm(toy.move(1, 7, 2, 5))
    assert refused.height is None
    assert refused.receipt.reason == Reason.WRONG_NONCE
    assert refused.receipt.transaction_id == digest(toy.move(1, 7, 2, 5))


def test_submitting_again_changes_nothing(chain: FakeChain, two: list[FakeNode]) -> None:
    host = host_of(two)
    receipts = [host.submit(toy.move(1, 0, 2, 5)) for _ in range(2)]
    assert receipts[0] == receipts[1]
    assert receipts[0].ok
    assert len(chain.engine.mempool) == 1
    for nonce in (1, 2):
        assert host.submit(toy.move(1, nonce, 2, 5)).ok
    full = host.submit(toy.move(1, 3, 2, 5))
    assert (full.reason, full.field) == (Reason.TOO_MANY, "pending")
    calls = len(two[0].calls)
    assert host.submit(bytes(MAX_TRANSACTION_BYTES + 1)).reason == Reason.OVERSIZED
    assert len(two[0].calls) == calls


def test_what_a_node_lost_is_offered_again(
    chain: FakeChain, two: list[FakeNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "OFFER_AGAIN_S", 0.1)
    two[0].loses, two[1].decides = True, True
    host = host_of(two)
    assert host.submit(toy.move(1, 0, 2, 5)).ok
    with pytest.raises(TimeoutError, match="1 transactions still wait"):
        host.confirm(toy.move(1, 0, 2, 5), timeout_s=0.3)
    two[0].stop()
    assert host.confirm(toy.move(1, 0, 2, 5)).receipt.ok
    assert host.pending == 0


def test_what_is_refused_when_it_is_offered_again_waits_no_more(
    chain: FakeChain, two: list[FakeNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "OFFER_AGAIN_S", 0.1)
    two[0].loses = True
    host = host_of(two)
    assert host.submit(toy.move(1, 0, 2, 5)).ok
    two[0].cache.clear()
    chain.decide(toy.move(1, 0, 2, 7))
    late = host.confirm(toy.move(1, 0, 2, 5))
    assert (late.height, late.receipt.reason) == (None, Reason.WRONG_NONCE)
    assert host.pending == 0


def test_what_waits_goes_to_the_next_node_first(chain: FakeChain, two: list[FakeNode]) -> None:
    host = host_of(two)
    two[0].loses = True
    assert host.submit(toy.move(1, 0, 2, 5)).ok
    two[0].stop()
    assert host.submit(toy.move(1, 1, 2, 5)).ok
    chain.decide()
    host.sync()
    assert host.pending == 0
    assert host.get("accounts", toy.key(1)).free_ucoin == 1000 - 10


def test_another_node_is_asked_when_one_falls_silent(chain: FakeChain, two: list[FakeNode]) -> None:
    host = host_of(two)
    pay(chain, 0)
    assert host.sync() == 1
    two[0].stop()
    pay(chain, 1)
    assert host.sync() == 1
    assert host.submit(toy.move(1, 2, 2, 5)).ok
    two[1].stop()
    with pytest.raises(Unusable) as error:
        host.sync()
    for node in two:
        assert f"{node.url}: cannot be reached (Connection refused)" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_node_of_another_chain_is_told(two: list[FakeNode]) -> None:
    two[0].chain_id = "sim-other"
    with pytest.raises(RpcError, match="is a node of chain 'sim-other', not of 'sim-toy'"):
        host_of(two).sync()


def lying_block(block: Block, change: str) -> Any:
    header = block.signed_header.header
    context = header.context
    fields: dict[str, Any] = {f: getattr(header, f) for f in header.__struct_fields__}
    transactions = block.transactions
    seen: dict[str, Any] = {f: getattr(context, f) for f in context.__struct_fields__}
    match change:
        case "time":
            fields["block_time_s"] += 1
        case "app_hash":
            fields["app_hash"] = bytes(32)
        case "transactions":
            fields["transactions_root"] = bytes(32)
        case "proposer":
            seen["proposer"] = bytes(32)
        case "misbehavior":
            seen["misbehavior"] = (bytes(32),)
        case "height":
            seen["height"] = 7
        case "dropped":
            transactions = ()
    fields["context"] = type(context)(**seen)
    signed_header = type(block.signed_header)(
        header=type(header)(**fields), signature=block.signed_header.signature
    )
    return Block(signed_header=signed_header, transactions=transactions)


@pytest.mark.parametrize(
    "change", ["time", "app_hash", "transactions", "proposer", "misbehavior", "height"]
)
def test_a_block_that_is_not_the_headers_is_not_believed(
    chain: FakeChain, two: list[FakeNode], change: str
) -> None:
    pay(chain, 0)

    def lie(method: str, params: dict[str, Any], result: Any) -> Any:
        if not params.get("path", "").startswith("/block/"):
            return result
        block = decode(base64.b64decode(result["response"]["value"]), Block)
        forged = b64(encode(lying_block(block, change)))
        return altered(result, ["response", "value"], forged)

    two[0].lie = lie
    with pytest.raises(Unusable, match=f"block 1: its {change} is not the header's"):
        host_of(two[:1]).sync()
    assert host_of(two).sync() == 1


def test_a_block_without_its_transactions_changes_nothing(
    chain: FakeChain, two: list[FakeNode]
) -> None:
    pay(chain, 0)

    def lie(method: str, params: dict[str, Any], result: Any) -> Any:
        if not params.get("path", "").startswith("/block/"):
            return result
        block = decode(base64.b64decode(result["response"]["value"]), Block)
        return altered(result, ["response", "value"], b64(encode(lying_block(block, "dropped"))))

    two[0].lie = lie
    host = host_of(two)
    with pytest.raises(RpcError, match="does not follow here: block 1: transactions_root"):
        host.sync()
    assert host.height == 0


def test_it_goes_on_from_what_it_kept(
    chain: FakeChain, two: list[FakeNode], tmp_path: Path
) -> None:
    pay(chain, 0)
    with Store(tmp_path / "kept.db") as store:
        assert host_of(two, store).sync() == 1
    pay(chain, 1)
    chain.decide(toy.move(2, 0, 0, 0))
    with Store(tmp_path / "kept.db") as store:
        host = host_of(two, store)
        assert host.height == 1
        assert host.sync() == 2
        assert host.app_hash == chain.app.chain.app_hash


def test_events_are_followed_from_where_one_left_off(chain: FakeChain, two: list[FakeNode]) -> None:
    for nonce in range(3):
        pay(chain, nonce)
        chain.decide(toy.move(2, nonce, 0, 0))
    host = host_of(two)
    host.sync()
    known = list(host.events())
    assert len(known) >= 3
    stream = host_of(two).follow()
    assert [next(stream) for _ in known] == known
    later = host_of(two).follow(known[1][0])
    assert next(later) == known[1]


def test_blocks_that_a_node_keeps_no_more_come_from_another(
    chain: FakeChain, two: list[FakeNode]
) -> None:
    for nonce in range(3):
        pay(chain, nonce)
    two[0].lowest = 3
    assert host_of(two).sync() == 3
    with pytest.raises(Unusable, match="height 1 is not available, lowest height is 3"):
        host_of(two[:1]).sync()
    two[0].lowest, two[0].lowest_in_app = 1, 3
    assert host_of(two).sync() == 3
    with pytest.raises(Unusable, match="keeps block 1 no more"):
        host_of(two[:1]).sync()


def test_a_node_that_is_behind_is_waited_for(chain: FakeChain, two: list[FakeNode]) -> None:
    pay(chain, 0)
    pay(chain, 1)
    host = host_of(two[:1])
    two[0].behind = 1
    assert host.sync() == 1
    timer = threading.Timer(0.2, setattr, (two[0], "behind", 0))
    timer.start()
    host.wait_until(lambda: host.height == 2)


def test_waiting_for_a_block_that_does_not_come_ends(two: list[FakeNode]) -> None:
    host = host_of(two)
    with pytest.raises(TimeoutError, match="the chain got to block 0, and 0 transactions still"):
        host.wait_until(lambda: host.height >= 1, timeout_s=0.1)


def test_an_answer_of_another_transaction_is_not_believed(two: list[FakeNode]) -> None:
    def lie(method: str, params: dict[str, Any], result: Any) -> Any:
        if method != "broadcast_tx_sync":
            return result
        return result | {
            "data": hex_of(encode(Receipt(transaction_id=bytes(32), reason=0, field="")))
        }

    two[0].lie = lie
    with pytest.raises(Unusable, match="with another's receipt"):
        host_of(two[:1]).submit(toy.move(1, 0, 2, 5))
    two[0].lie = lambda method, params, result: (
        result | {"data": "zz"} if method == "broadcast_tx_sync" else result
    )
    with pytest.raises(Unusable, match="with no receipt"):
        host_of(two[:1]).submit(toy.move(1, 1, 2, 5))


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"{", "is no engine's genesis document"),
        (b"[]", "is no engine's genesis document"),
        (json.dumps({"app_state": {"genesis": "00"}}).encode(), "app_state"),
    ],
)
def test_a_genesis_that_is_none_is_refused(document: bytes, why: str) -> None:
    with pytest.raises(GenesisError, match=why):
        read_genesis(document)


def test_a_genesis_without_validators_or_of_two_chains_is_refused(chain: FakeChain) -> None:
    document = json.loads(chain.genesis)
    with pytest.raises(GenesisError, match="names no validators"):
        read_genesis(json.dumps(document | {"validators": []}).encode())
    with pytest.raises(GenesisError, match="chain_id"):
        read_genesis(json.dumps(document | {"chain_id": "sim-x"}).encode())


def test_what_a_node_passed_on_before_it_fell_silent_is_recognised(
    chain: FakeChain, two: list[FakeNode]
) -> None:
    """Offered to a node that never answers but whose block has it, then to one that refuses it."""
    host = host_of(two)

    def mute(method: str, params: dict[str, Any], result: Any) -> Any:
        return {} if method == "broadcast_tx_sync" else result

    two[0].lie, two[0].decides = mute, True
    first = toy.move(1, 0, 2, 5)
    receipt = host.submit(first)
    assert (receipt.transaction_id, receipt.reason) == (digest(first), Reason.OK)
    assert (host.pending, host.height) == (0, 1)
    assert "broadcast_tx_sync" in two[1].calls
    refused = host.submit(toy.move(1, 0, 2, 7))
    assert refused.reason == Reason.WRONG_NONCE
    assert (host.pending, host.dropped) == (0, ())
    assert host.submit(toy.move(1, 1, 2, 5)).ok
