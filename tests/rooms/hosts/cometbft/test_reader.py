"""Proved reads from nodes that lie about headers, values and receipts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import toy_ledger as toy
from fake_rpc import (
    FakeChain,
    FakeNode,
    altered,
    b64,
    host_of,
    nodes,
    pay,
    reader_of,
    signed,
    validators,
)

from peerwatt.hosts.cometbft.rpc import Refused, Unusable
from peerwatt.records.codec import decode, encode
from peerwatt.records.members import Account
from peerwatt.records.receipts import Receipt


@pytest.fixture
def chain(tmp_path: Path) -> FakeChain:
    return FakeChain(tmp_path / "snapshots")


@pytest.fixture
def two(chain: FakeChain) -> Iterator[list[FakeNode]]:
    with nodes(chain, 2) as made:
        yield made


def lying_commit(change: str, chain: FakeChain) -> Any:
    """A node's commit of a header that is not the chain's."""

    def lie(method: str, params: dict[str, Any], result: Any) -> Any:
        if method != "commit" or int(params["height"]) != 2:
            return result
        path = ["signed_header"]
        header = altered(result, [*path, "header", "app_hash"], "AB" * 32)["signed_header"][
            "header"
        ]
        strangers = validators(11, 12, 13, 14)
        match change:
            case "header":
                return altered(result, [*path, "header"], header)
            case "by nobody":
                block_id = signed(header, strangers)["block_id"]
                forged = altered(result, [*path, "header"], header)
                return altered(forged, [*path, "commit", "block_id"], block_id)
            case "by two":
                commit = signed(chain.headers[1], chain.keys, absent=2)
                return altered(result, [*path, "commit"], commit)
            case "height":
                old = {"header": chain.headers[0], "commit": chain.commits[0]}
                return {"signed_header": old}
            case "no time":
                return altered(result, [*path, "header", "time"], "yesterday")
        return {"signed_header": None}

    return lie


COMMIT_LIES = {
    "header": "is not the one that was signed",
    "by nobody": "is signed by a power of 0 of 40",
    "by two": "is signed by a power of 20 of 40, not more than two thirds",
    "height": "is not the one that was signed",
    "no time": "has no time where one must be",
    "nothing": "has no header",
}


@pytest.mark.parametrize("change", COMMIT_LIES)
def test_a_header_that_too_few_signed_is_not_believed(
    chain: FakeChain, two: list[FakeNode], change: str
) -> None:
    for nonce in range(3):
        pay(chain, nonce)
    two[0].lie = lying_commit(change, chain)
    with pytest.raises(Unusable, match=COMMIT_LIES[change]):
        host_of(two[:1]).sync()
    assert host_of(two).sync() == 3


def test_values_are_proved_under_signed_headers(chain: FakeChain, two: list[FakeNode]) -> None:
    pay(chain, 0)
    pay(chain, 1)
    found = reader_of(two).value("accounts", toy.key(1))
    assert found.height == 1
    assert found.value is not None
    assert decode(found.value, Account).free_ucoin == 1000 - 5
    absent = reader_of(two).value("accounts", b"nobody")
    assert absent.value is None
    with pytest.raises(Refused, match="there is no table 'nonsense'"):
        reader_of(two).value("nonsense", b"x")
    with pytest.raises(TimeoutError, match="header 3: did not come"):
        reader_of(two).value("accounts", toy.key(1), at_least=2, timeout_s=0.1)
    pay(chain, 2)
    assert reader_of(two).value("accounts", toy.key(1), at_least=2).height == 2


VALUE_LIES: dict[str, Any] = {
    "another value": ["response", "value"],
    "another height": ["response", "height"],
    "no proof": ["response", "proofOps"],
    "half a proof": ["response", "proofOps", "ops"],
}


@pytest.mark.parametrize("change", VALUE_LIES)
def test_a_value_without_its_proof_is_not_believed(
    chain: FakeChain, two: list[FakeNode], change: str
) -> None:
    for nonce in range(3):
        pay(chain, nonce)
    lies = {
        "another value": b64(encode(Account(free_ucoin=10**9))),
        "another height": "1",
        "no proof": None,
        "half a proof": [{"type": "simple:v", "key": "", "data": "AA=="}],
    }

    def lie(method: str, params: dict[str, Any], result: Any) -> Any:
        asked = method == "abci_query"
        return altered(result, VALUE_LIES[change], lies[change]) if asked else result

    two[0].lie = lie
    with pytest.raises(
        Unusable, match=r"the proof of accounts|no proof of accounts|has no proofOps"
    ):
        reader_of(two[:1]).value("accounts", toy.key(1))
    assert reader_of(two).value("accounts", toy.key(1)).height == 2


def test_receipts_are_those_of_the_header_after(chain: FakeChain, two: list[FakeNode]) -> None:
    pay(chain, 0)
    chain.decide()
    receipts = reader_of(two).receipts(1)
    assert receipts == chain.app.chain.receipts(1)
    forged = Receipt(transaction_id=bytes(32), reason=0, field="")

    def lie(method: str, params: dict[str, Any], result: Any) -> Any:
        asked = method == "abci_query"
        return (
            altered(result, ["response", "value"], b64(encode(((forged,), ()))))
            if asked
            else result
        )

    two[0].lie = lie
    with pytest.raises(Unusable, match="block 1: its receipts are not the header's"):
        reader_of(two[:1]).receipts(1)
    assert reader_of(two).receipts(1) == receipts
