"""Two lies of an operator that clears, each refused and paid for, and then the proof."""

from __future__ import annotations

from typing import Any

import pytest

from peerwatt.records.receipts import Reason
from peerwatt.simulation.config import load
from peerwatt.simulation.contest import Contest, ContestedWorld
from peerwatt.simulation.run import DayRun
from peerwatt.units import UCOIN_PER_COIN


@pytest.fixture(scope="module")
def contested(jpl_sessions: Any) -> tuple[ContestedWorld, Contest]:
    world = DayRun(load(mechanism="welfare-pairs"), jpl_sessions).found(ContestedWorld)
    return world, world.contest()


def test_lies_are_let_in_refused_on_record_and_paid_for(
    contested: tuple[ContestedWorld, Contest],
) -> None:
    world, contest = contested
    reasons = [Reason(lie.receipt.reason) for lie in contest.lies]
    assert reasons == [Reason.INCOMPLETE, Reason.AGAINST_BID]
    assert [lie.fine_ucoin for lie in contest.lies] == [UCOIN_PER_COIN] * 2
    assert world.refused == []


def test_the_honest_clearing_is_proved(contested: tuple[ContestedWorld, Contest]) -> None:
    world, contest = contested
    clearing = contest.clearing
    assert clearing.proposer == world.members["aggregator"].key.public
    assert not clearing.sellers_dropped
    assert min(contest.buyers, contest.sellers) >= 10
    assert clearing.sold_wh > 10_000
    assert clearing.gap_ucoin * 100_000 < clearing.traded_ucoin
