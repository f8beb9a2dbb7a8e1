"""Two days compared: the same day is the same on any chain of one name, another day is told."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from peerwatt.audit.compare import compare
from peerwatt.contracts import ledger
from peerwatt.hosts.replay import replay_blocks
from peerwatt.records.receipts import Reason
from peerwatt.simulation.config import DayConfig
from peerwatt.simulation.run import DayRun
from peerwatt.simulation.venue import OneProcess
from peerwatt.simulation.world import World


def live(config: DayConfig, sessions: Any, chain_id: str | None = None) -> DayRun:
    run = DayRun(config, sessions)
    run.found(World, at=partial(OneProcess, config, chain_id=chain_id))
    run.live()
    return run


@pytest.fixture(scope="module")
def honest(small_config: DayConfig, small_sessions: Any) -> DayRun:
    return live(small_config, small_sessions)


def differences(ours: DayRun, theirs: DayRun) -> dict[str, list[str]]:
    parts = compare(ours.world.host, theirs.world.host)
    return {part.name: part.differences for part in parts}


def test_a_day_is_the_same_as_itself(
    honest: DayRun, small_config: Any, small_sessions: Any
) -> None:
    again = live(small_config, small_sessions)
    none: dict[str, list[str]] = {"awards": [], "receipts": [], "balances": []}
    assert differences(honest, again) == none
    host = honest.world.host
    blocks = [host.block(height) for height in range(1, host.height + 1)]
    replayed = replay_blocks(host._genesis, blocks, ledger)
    assert all(part.differences == [] for part in compare(host, replayed))


def test_what_a_lie_costs_nobody_is_in_the_receipts_only(honest: DayRun, small_run: DayRun) -> None:
    """The day with three lies in it, and a guest who tells two of them."""
    found = differences(honest, small_run)
    assert found["awards"] == []
    assert found["balances"] == ["guest #1: only in the second ()"]
    refused = [
        f"PlaceBuyOrder of guest #1: {Reason.UNFUNDED.name} (max_wh): only in the second (times 1)",
        "ReportReadings of aggregator: BAD_READING_SIGNATURE (readings[0].signature): only in the "
        "second (times 1)",
    ]
    assert set(refused) <= set(found["receipts"])
    replayed = [line for line in found["receipts"] if "WRONG_NONCE (nonce)" in line]
    assert len(replayed) == 1


def test_another_day_differs_in_all(honest: DayRun, small_config: Any, small_sessions: Any) -> None:
    sellers = small_config.sellers.model_copy(update={"seed": 2})
    other = live(small_config.model_copy(update={"sellers": sellers}), small_sessions)
    found = differences(honest, other)
    assert all(found.values()), found
    assert any("only in the first" in line for line in found["awards"])
    backwards = differences(other, honest)
    assert {name: len(lines) for name, lines in found.items()} == {
        name: len(lines) for name, lines in backwards.items()
    }


def test_another_chain_breaks_ties_otherwise_and_names_everybody_alike(
    honest: DayRun, small_config: Any, small_sessions: Any
) -> None:
    found = differences(honest, live(small_config, small_sessions, "sim-elsewhere"))
    assert found["receipts"] == []
    assert all("only in" not in line for line in found["balances"])
    awards = honest.tables["awards"].height
    assert len(found["awards"]) < awards
