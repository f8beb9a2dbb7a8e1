"""Calls to nodes that hang up, stall, or answer with anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_rpc import CHAIN, FakeChain, FakeNode, nodes

from peerwatt.hosts.cometbft import rpc
from peerwatt.hosts.cometbft.rpc import Nodes, Refused, Rpc, RpcError, Unusable


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FakeNode]:
    with nodes(FakeChain(tmp_path), 1) as (made,):
        yield made


def test_a_connection_stays_open(node: FakeNode) -> None:
    client = Rpc(node.url)
    assert rpc.chain_of(client.call("status")) == CHAIN
    with pytest.raises(Refused, match=r"commit: Internal error: height 9 must be") as error:
        client.call("commit", height="9")
    assert error.value.why.startswith("Internal error")
    assert client.call("status")["node_info"]["network"] == CHAIN


def test_a_connection_that_the_node_closed_is_opened_anew(node: FakeNode) -> None:
    client = Rpc(node.url)
    client.call("status")
    node.hangs_up = 1
    assert client.call("status")
    node.hangs_up = 2
    with pytest.raises(Unusable, match="cannot be reached"):
        client.call("status")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"<html>", "with what is no JSON-RPC"),
        (b"[]", "with what is no JSON-RPC"),
        (b'{"id": 1}', "with what is no JSON-RPC"),
        (b'{"id": 99, "result": {}}', "with what answers another call"),
        (b'{"id": 1, "error": {"message": "no", "data": "way"}}', "status: no: way"),
        (b'{"id": 1, "error": "odd"}', "status: odd"),
        (b"[" * 100_000, "with what is no JSON-RPC"),
    ],
)
def test_what_is_no_answer_is_told(node: FakeNode, answer: bytes, why: str) -> None:
    node.raw = answer
    with pytest.raises(RpcError, match=why):
        Rpc(node.url).call("status")


def test_an_endless_answer_is_cut(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "MAX_ANSWER_BYTES", 100)
    node.raw = json.dumps({"id": 1, "result": "x" * 1000}).encode()
    client = Rpc(node.url)
    with pytest.raises(Unusable, match="with more than 100 bytes"):
        client.call("status")
    node.raw = b'{"id": 2, "result": "short"}'
    assert client.call("status") == "short"


@pytest.mark.parametrize(
    "url", ["", "localhost:1", "https://localhost:1", "http://localhost", "http://x:99999"]
)
def test_what_is_no_place_of_a_node_is_refused(url: str) -> None:
    with pytest.raises(RpcError, match=r"must be http://HOST:PORT"):
        Nodes([url], CHAIN)


def test_there_must_be_a_node() -> None:
    with pytest.raises(RpcError, match="there must be one at least"):
        Nodes([], CHAIN)


def test_fields_that_are_missing_are_named() -> None:
    answer = {"a": [{"b": "12", "c": "x"}]}
    assert rpc.number(answer, "a", 0, "b") == 12
    with pytest.raises(Unusable, match=r"has no a\.0\.d"):
        rpc.field(answer, "a", 0, "d")
    with pytest.raises(Unusable, match=r"has no a\.1"):
        rpc.field(answer, "a", 1)
    with pytest.raises(Unusable, match=r"has no number as a\.0\.c"):
        rpc.number(answer, "a", 0, "c")
