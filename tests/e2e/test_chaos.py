"""A few faults on four real validators; the soak does all of them, for many seeds. Skipped where
the engine is not installed (`peerwatt engine install`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from peerwatt.hosts.cometbft import engine
from peerwatt.simulation.chaos import FAULTS_A_SEED, faults_of, run_seed
from peerwatt.simulation.chaos_faults import FAULTS


def test_four_seeds_in_a_row_have_every_fault() -> None:
    assert len(FAULTS) == 14
    assert {name for seed in range(4) for name in faults_of(seed)} == set(FAULTS)
    assert all(len(faults_of(seed)) == FAULTS_A_SEED for seed in range(40))


def test_what_was_committed_outlives_kills_and_partitions(tmp_path: Path) -> None:
    try:
        program = engine.find().program
    except engine.EngineError as error:
        pytest.skip(str(error))
    faults = ["kill-proposer", "partition-2-2", "forged-reading"]
    outcome = run_seed(1, tmp_path / "net", program, base_port=29_000, faults=faults)
    assert outcome.failure == ""
    assert outcome.done == faults
    assert outcome.settled_rounds > len(faults)
    assert not (tmp_path / "net").exists()
