"""The ledger under attack: it holds, the same seed gives the same blocks, and bugs are found."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from typer.testing import CliRunner

from peerwatt.cli.main import app
from peerwatt.contracts import ledger, orders
from peerwatt.contracts import state as tables
from peerwatt.hosts.embedded import EmbeddedHost
from peerwatt.hosts.store import Store
from peerwatt.simulation import faults
from peerwatt.simulation.disk import STATEMENTS, Disk, FailingStore, PowerCut
from peerwatt.simulation.faults import Outcome, run_seed
from peerwatt.simulation.parties import Parties
from peerwatt.simulation.tally import EVENTS, REASONS

BLOCKS = 60
SEEDS = range(1, 9)


def first_failure(blocks: int = BLOCKS) -> str:
    """The failure of the first of the seeds that has one."""
    return next((o.failure for s in SEEDS if (o := run_seed(s, blocks)).failure), "")


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return [run_seed(seed, BLOCKS) for seed in SEEDS]


def test_nothing_breaks_and_everything_was_tried(outcomes: list[Outcome]) -> None:
    assert [outcome.failure for outcome in outcomes] == [""] * len(outcomes)
    assert all(outcome.blocks > BLOCKS for outcome in outcomes)
    for tried in ("settled_rounds", "power_cuts", "disk_errors", "restarts", "refused"):
        assert sum(getattr(outcome, tried) for outcome in outcomes) > 5, tried
    for counts, names in (("reasons", REASONS), ("happened", EVENTS)):
        seen = sum((getattr(outcome, counts) for outcome in outcomes), Counter())
        never = [name for name in names if not seen[name]]
        assert len(never) < len(names) / 3, never


def test_the_same_seed_gives_the_same_blocks(outcomes: list[Outcome]) -> None:
    assert run_seed(SEEDS[0], BLOCKS) == outcomes[0]
    assert len({outcome.head_id for outcome in outcomes}) == len(outcomes)


def test_a_store_that_loses_a_commit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    keep, commits = Store._commit, 0

    def lose(self: Store, tip: Any, *rest: Any) -> None:
        nonlocal commits
        commits += 1
        if commits % 20:
            keep(self, tip, *rest)

    monkeypatch.setattr(Store, "_commit", lose)
    assert first_failure().startswith("nothing lost")


def test_a_store_that_keeps_a_block_in_two_steps_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only a power cut between the two steps shows it."""
    keep = Store._commit

    def halves(self: Store, tip: Any, rows: Any, sealed: Any, kept: Any) -> None:
        keep(self, tip, rows, sealed, None)
        keep(self, tip, [], {}, kept)

    monkeypatch.setattr(Store, "_commit", halves)
    monkeypatch.setattr(faults, "DISK_ERROR", 0.0)
    assert first_failure().startswith("nothing lost: the chain cannot be opened")


def test_a_ledger_that_remembers_outside_its_state_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No rule breaks, but the blocks alone do not give the state."""
    apply, calls = ledger.apply_block, 0

    def remembering(state: Any, context: Any, transactions: Any) -> Any:
        nonlocal calls
        calls += 1
        row = tables.Deposit(to=tables.POT, amount_ucoin=0)
        if calls > 2 * BLOCKS:  # in the second life of the same blocks
            state.put(tables.DEPOSITS, calls.to_bytes(32, "big"), row)
        return apply(state, context, transactions)

    monkeypatch.setattr(ledger, "apply_block", remembering)
    assert first_failure().startswith("replay: block")


@pytest.mark.parametrize("statement", range(STATEMENTS + 1))
def test_a_power_cut_at_each_statement_leaves_a_whole_block(tmp_path: Path, statement: int) -> None:
    chance = Random(statement)
    parties = Parties(1, chance)
    genesis, key = parties.genesis(), parties.key("operator-north")
    disk = Disk(tmp_path / "chain.db", chance)
    store = FailingStore(disk)
    host = EmbeddedHost(ledger, store, key, genesis)
    parties.host = host
    heights = []
    for _ in range(12):
        store.fail_at(statement, dark=True)
        height = host.height
        with pytest.raises(PowerCut):
            host.seal(parties.now_s, [parties.mint("ann", 1)])
        store.mend()
        store.close()
        disk.restore()
        store = FailingStore(disk)
        host = parties.host = EmbeddedHost(ledger, store, key, genesis)
        heights.append(host.height - height)
    assert set(heights) == ({0, 1} if statement == STATEMENTS else {0})
    store.close()


def test_a_failure_prints_the_command_that_replays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "release", lambda *_: None)
    asked = ["soak", "sim", "--seeds", "8", "--blocks", "60"]
    answer = CliRunner().invoke(app, asked)
    assert answer.exit_code == 1
    [again] = [line for line in answer.output.splitlines() if "soak sim" in line][:1]
    once = CliRunner().invoke(app, again.split()[1:])
    assert once.exit_code == 1
    assert "are needed" in once.output or "admission" in once.output


def test_the_command_counts_what_it_did() -> None:
    answer = CliRunner().invoke(app, ["soak", "sim", "--seeds", "2", "--blocks", "20"])
    assert answer.exit_code == 0, answer.output
    assert "2 seeds held, 0 failed" in answer.output
