"""The light client: real headers and votes as a validator gave them, and changing validators."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import toy_ledger as toy
from fake_rpc import CHAIN, FakeChain, nodes, powers, signed, validators

from peerwatt.hosts.cometbft import light
from peerwatt.hosts.cometbft.light import LightClient
from peerwatt.hosts.cometbft.rpc import Nodes, Refused, Unusable

RECORDED = json.loads((Path(__file__).parent / "data" / "commits.json").read_text())
HEIGHTS = ("commit_1", "commit_5")


@pytest.mark.parametrize("name", HEIGHTS)
def test_a_real_header_has_the_hash_that_was_voted_on(name: str) -> None:
    document = RECORDED[name]
    header, chain_id = light.read_header(document["header"])
    assert header.hash.hex().upper() == document["commit"]["block_id"]["hash"]
    assert chain_id == RECORDED["chain_id"]
    assert header.height == int(name[-1])


@pytest.mark.parametrize("name", HEIGHTS)
def test_real_votes_are_counted_and_forged_ones_are_not(name: str) -> None:
    commit = RECORDED[name]["commit"]
    known = light.read_validators(RECORDED["validators"])
    header, chain_id = light.read_header(RECORDED[name]["header"])
    assert light.validators_hash(known) == header.validators_hash
    voted = sum(each["block_id_flag"] == 2 for each in commit["signatures"])
    assert voted >= 3
    assert light.signers(chain_id, commit, known) == 10 * voted
    assert light.signers("sim-other", commit, known) == 0
    assert light.signers(chain_id, commit | {"height": "9"}, known) == 0
    assert light.signers(chain_id, commit | {"round": 7}, known) == 0
    half = dict(list(known.items())[:2])
    assert light.signers(chain_id, commit, half) <= 20
    twice = commit | {"signatures": commit["signatures"] * 2}
    assert light.signers(chain_id, twice, known) == 10 * voted


def test_any_changed_field_changes_a_headers_hash() -> None:
    document = RECORDED["commit_5"]["header"]
    known = light.read_header(document)[0].hash
    for name, value in document.items():
        if isinstance(value, str):
            end = "Z" if name == "time" else ""
            last = value.removesuffix(end)[-1]
            changed = value.removesuffix(last + end) + ("1" if last != "1" else "2") + end
            assert light.read_header(document | {name: changed})[0].hash != known, name
    version = {"block": "11", "app": "9"}
    assert light.read_header(document | {"version": version})[0].hash != known
    last_block = {**document["last_block_id"], "hash": "00" * 32}
    assert light.read_header(document | {"last_block_id": last_block})[0].hash != known


def test_what_is_no_header_is_told() -> None:
    document = RECORDED["commit_5"]["header"]
    for changes in ({"height": "x"}, {"time": 3}, {"app_hash": "zz"}, {"last_block_id": None}):
        with pytest.raises(Unusable, match="a node's answer has no"):
            light.read_header(document | changes)
    row: dict[str, Any] = RECORDED["validators"][0]
    with pytest.raises(Unusable, match=r"is not of Ed25519"):
        light.read_validators([row | {"pub_key": {"type": "other", "value": ""}}])
    with pytest.raises(Unusable, match="key or power is none"):
        light.read_validators([row | {"voting_power": "-1"}])


@pytest.fixture
def chain(tmp_path: Path) -> FakeChain:
    return FakeChain(tmp_path)


def asked(chain: FakeChain, height: int) -> tuple[int, list[str]]:
    """The height of the header that a new light client believes, and what it asked for."""
    with nodes(chain, 1) as (node,):
        client = LightClient(Nodes([node.url], CHAIN), powers(chain.first_keys))
        return client.header(height).height, node.calls


def test_one_call_is_enough_while_validators_stay(chain: FakeChain) -> None:
    for nonce in range(5):
        chain.decide(toy.move(1, nonce, 2, 1))
    assert asked(chain, 5) == (5, ["status", "commit"])


def test_validators_may_change_bit_by_bit_or_all_at_once(chain: FakeChain) -> None:
    chain.decide()
    chain.decide(then=validators(3, 4, 5, 6))
    chain.decide()
    assert asked(chain, 3) == (3, ["status", "commit", "validators"])
    chain.decide(then=validators(11, 12, 13))
    for _ in range(4):
        chain.decide()
    height, calls = asked(chain, 8)
    assert height == 8
    assert calls.count("commit") > 2


def test_validators_that_nobody_announced_are_refused(chain: FakeChain) -> None:
    chain.decide()
    chain.keys = validators(11, 12, 13, 14)
    chain.decide()
    with pytest.raises(Unusable, match="header 2 has validators that were not announced"):
        asked(chain, 2)


def test_a_third_of_those_trusted_is_not_enough_to_skip(chain: FakeChain) -> None:
    chain.first_keys = chain.keys = validators(1, 2, 3)
    chain.decide()
    chain.decide(then=validators(3, 4, 5))
    chain.decide()
    height, calls = asked(chain, 3)
    assert (height, calls.count("commit")) == (3, 5)


def test_validators_that_are_not_the_headers_are_refused(chain: FakeChain) -> None:
    chain.decide(then=validators(3, 4, 5, 6))
    chain.decide()
    chain.sets[1] = validators(3, 4, 5, 7)
    with pytest.raises(Unusable, match="the validators of 2 are not its header's"):
        asked(chain, 2)


def test_more_than_two_thirds_must_have_signed(chain: FakeChain) -> None:
    chain.first_keys = chain.keys = validators(1, 2, 3)
    chain.decide()
    chain.commits[0] = signed(chain.headers[0], chain.keys, absent=1)
    with pytest.raises(Unusable, match="a power of 20 of 30, not more than two thirds"):
        asked(chain, 1)


def test_there_is_no_header_of_the_future_or_of_genesis(chain: FakeChain) -> None:
    with pytest.raises(Refused, match="height 1 must be less"):
        asked(chain, 1)
    with pytest.raises(ValueError, match="must be 1 or more"):
        asked(chain, 0)
