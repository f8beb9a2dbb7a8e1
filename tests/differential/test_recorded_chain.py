"""Blocks that four real validators decided, run again on the hosts of one process: the same app
hashes and receipts, as the engine's own headers name them.

`recorded_chain/` was made by tools/record_chain.py, which says when it must be made again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peerwatt.contracts import ledger
from peerwatt.contracts.invariants import broken_invariants
from peerwatt.hosts.cometbft import commits
from peerwatt.hosts.cometbft.chain import DecidedChain
from peerwatt.hosts.cometbft.reader import results_hash
from peerwatt.hosts.embedded import EmbeddedHost
from peerwatt.hosts.folder import FolderError, read_blocks, read_genesis
from peerwatt.hosts.store import Store
from peerwatt.records.receipts import Block, Reason
from peerwatt.records.signing import SigningKey
from peerwatt.simulation.summary import energy_wh, money_ucoin
from peerwatt.simulation.tables import chain_tables

FOLDER = Path(__file__).parent / "recorded_chain"


@pytest.fixture(scope="module")
def blocks() -> list[Block]:
    return list(read_blocks(FOLDER))


@pytest.fixture(scope="module")
def headers() -> list[Any]:
    """What the engine's headers say, as its nodes wrote them."""
    lines = (FOLDER / commits.COMMITS).read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["header"] for line in lines]


@pytest.fixture(scope="module")
def follower(blocks: list[Block]) -> DecidedChain:
    """The chain run again, with the invariants checked after every block."""
    chain = DecidedChain(ledger, Store(None), read_genesis(FOLDER))
    for block in blocks:
        chain.accept(block)
        assert broken_invariants(chain.state) == [], f"block {chain.height}"
    return chain


def embedded(blocks: list[Block]) -> Iterator[EmbeddedHost]:
    """A host in this process after each block of the same transactions, which it signs itself."""
    host = EmbeddedHost(ledger, Store(None), SigningKey(bytes(32)), read_genesis(FOLDER))
    yield host
    for block in blocks:
        host.seal(block.signed_header.header.block_time_s, extra=block.transactions)
        yield host


def test_more_than_two_thirds_signed_every_block(follower: DecidedChain) -> None:
    signed = commits.check(FOLDER, follower)
    assert len(signed.hashes) == follower.height
    assert (len(signed.validators), signed.least_ppm > 666_666) == (4, True)


def test_validators_that_no_member_runs_are_named(follower: DecidedChain, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(FOLDER, tmp_path / "chain"))
    document = json.loads((copy / commits.ENGINE_GENESIS).read_bytes())
    document["validators"].pop()
    (copy / commits.ENGINE_GENESIS).write_text(json.dumps(document))
    with pytest.raises(FolderError, match="its validators are not those that members run"):
        commits.check(copy, follower)


def test_the_embedded_host_gives_the_same_app_hashes_and_receipts(
    blocks: list[Block], headers: list[Any], follower: DecidedChain
) -> None:
    results = b""
    for host, header in zip(embedded(blocks), headers, strict=False):
        height = host.height + 1
        assert header["height"] == str(height)
        assert header["app_hash"] == host.app_hash.hex().upper(), f"before block {height}"
        if host.height:
            results = results_hash(host.receipts(host.height))
            assert header["last_results_hash"] == results.hex().upper(), f"block {host.height}"
            assert host.receipts(host.height) == follower.receipts(host.height)
    assert results, "nothing was compared"


def test_what_was_recorded_is_a_day_with_trade_in_it(follower: DecidedChain) -> None:
    tables = chain_tables(follower, {}, "caltech")
    expected = json.loads((FOLDER / "expected.json").read_bytes())
    assert money_ucoin(tables["rounds"]) == expected["money_ucoin"]
    needed, unmet = (expected["energy_wh"][name] for name in ("needed", "unmet"))
    assert energy_wh(tables, needed, unmet) == expected["energy_wh"]
    assert tables["awards"].height == expected["orders"]["awarded"] > 0
    assert expected["energy_wh"]["from_cars"] > 0
    assert set(tables["receipts"]["reason"]) == {int(Reason.OK)}
    proposers = {follower.block(h).signed_header.header.context.proposer for h in range(1, 9)}
    assert len(proposers) == 4
