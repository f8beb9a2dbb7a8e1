"""The race against theory, the audit's messages counted, faults and what becomes of blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from peerwatt.studies.proof_of_work.consortium import race_for_block
from peerwatt.studies.proof_of_work.network import Network
from peerwatt.studies.proof_of_work.outcome import Outcome
from peerwatt.studies.proof_of_work.race import (
    difficulty_for,
    find_times,
    leader_share,
    two_leaders_chance,
)
from peerwatt.studies.proof_of_work.setting import Setting
from peerwatt.studies.proof_of_work.votes import vote_for_block

Make = Callable[[Setting, np.random.Generator], Outcome]


def made(make: Make, count: int, **changes: Any) -> list[Outcome]:
    setting = Setting(**changes)
    return [make(setting, np.random.default_rng([7, draw])) for draw in range(count)]


def test_the_first_hash_comes_after_an_exponential_time_and_by_hash_rate() -> None:
    from scipy import stats

    rates = np.array([3.0, 1.0, 1.0, 1.0])
    difficulty = difficulty_for(rates, 60.0)
    chance = np.random.default_rng(1)
    times = np.array([find_times(chance, rates, difficulty) for _ in range(20_000)])
    assert stats.kstest(times.min(axis=1), stats.expon(scale=60).cdf).pvalue > 0.001
    leads = np.bincount(times.argmin(axis=1), minlength=4) / len(times)
    assert leads == pytest.approx(leader_share(rates), abs=0.015)
    assert leader_share(rates) == pytest.approx([0.5, 1 / 6, 1 / 6, 1 / 6])


def test_two_leaders_are_as_frequent_as_theory_says() -> None:
    changes = {"members": 6, "race_s": 0.5, "strongest": 3.0}
    setting = Setting(**changes)
    delay_s = setting.latency_s + setting.block_bytes / setting.bytes_per_s
    difficulty = difficulty_for(setting.hash_rates, setting.race_s)
    theory = two_leaders_chance(setting.hash_rates, difficulty, delay_s, setting.jitter_s)
    count = 4_000
    share = np.mean([each.two_leaders for each in made(race_for_block, count, **changes)])
    assert 0.05 < theory < 0.2
    assert share == pytest.approx(theory, abs=4 * np.sqrt(theory * (1 - theory) / count))


def test_two_leaders_by_theory_for_equal_rates_and_one_delay() -> None:
    rates = np.ones(5)
    chance = two_leaders_chance(rates, difficulty_for(rates, 10.0), 0.3, 0.0)
    assert chance == pytest.approx(1 - np.exp(-4 / 5 * 0.3 / 10))


def test_the_audit_sends_what_the_paper_says() -> None:
    n = 7
    (block,) = made(race_for_block, 1, members=n, race_s=1e3)
    # The block, a result from each of the others to all, a reply each, and the block to store.
    assert block.messages == (n - 1) + (n - 1) ** 2 + (n - 1) + (n - 1)
    assert block.decided
    assert not block.two_leaders
    setting = Setting(members=n)
    size = setting.result_bytes
    results, replies = (n - 1) ** 2 * size, (n - 1) * size * (n - 1)
    assert block.sent_bytes == 2 * (n - 1) * setting.block_bytes + results + replies


def test_a_sound_block_by_votes_sends_two_votes_from_each_to_each() -> None:
    n = 7
    for block in made(vote_for_block, 20, members=n, jitter_s=0.0):
        assert block.messages <= (n - 1) + 2 * n * (n - 1)
        assert (block.decided, block.rounds) == (True, 1)
        setting = Setting(members=n, jitter_s=0.0)
        legs = 3 * setting.latency_s + setting.audit_s
        sent = (setting.block_bytes + 2 * setting.result_bytes) / setting.bytes_per_s
        assert block.finality_s == pytest.approx(legs + sent)


def test_energy_is_the_race_and_little_else() -> None:
    (block,) = made(race_for_block, 1, members=5, race_s=1e3)
    assert block.race_s is not None
    assert block.energy_j == pytest.approx(5 * 200 * block.race_s, rel=1e-3)
    assert block.energy_j > 5 * 200 * block.race_s


@pytest.mark.parametrize("make", [race_for_block, vote_for_block])
@pytest.mark.parametrize("how_many", ["one", "third", "most"])
def test_an_audit_that_slips_costs_a_second_look_and_nobody_blame(
    make: Make, how_many: str
) -> None:
    for block in made(make, 20, members=7, fault="slip", faulty=how_many):
        assert block.decided
        assert block.blamed_faulty == block.blamed_good == 0


def test_who_calls_a_good_block_bad_is_blamed_by_the_majority() -> None:
    blocks = made(race_for_block, 60, members=10, fault="lying-audit", faulty="third")
    for block in blocks:
        assert block.decided
        assert block.blamed_good == 0
        assert block.blamed_faulty == (0 if block.leader_faulty else 3)
    assert any(block.leader_faulty for block in blocks)


def test_a_majority_that_lies_has_a_good_leader_blamed() -> None:
    blocks = made(race_for_block, 60, members=10, fault="lying-audit", faulty="most")
    assert any(block.blamed_good for block in blocks)
    assert all(block.decided and block.leader_faulty for block in blocks)


def test_a_bad_block_is_dropped_with_its_leader_unless_most_want_it() -> None:
    few = made(race_for_block, 60, members=10, fault="bad-block", faulty="third")
    assert not any(block.bad_stored or block.blamed_good for block in few)
    assert any(block.blamed_faulty and block.rounds > 1 for block in few)
    many = made(race_for_block, 60, members=10, fault="bad-block", faulty="most")
    assert any(block.bad_stored and block.blamed_good == 4 for block in many)
    assert all(block.bad_stored == block.leader_faulty for block in many)


def test_votes_store_no_bad_block_up_to_two_thirds() -> None:
    for how_many in ("one", "third", "most"):
        blocks = made(vote_for_block, 40, members=10, fault="bad-block", faulty=how_many)
        assert all(block.decided and not block.bad_stored for block in blocks)
        assert any(block.rounds > 1 for block in blocks)


def test_one_silent_lag_stops_the_audit_and_not_the_votes() -> None:
    stuck = made(race_for_block, 10, members=10, fault="silent", faulty="one", race_s=1.0)
    assert not any(block.decided for block in stuck)
    for how_many, goes_on in (("one", True), ("third", True), ("most", False)):
        blocks = made(vote_for_block, 20, members=10, fault="silent", faulty=how_many)
        assert {block.decided for block in blocks} == {goes_on}


def test_an_undecided_block_has_no_time_and_no_leader() -> None:
    for make in (race_for_block, vote_for_block):
        (block,) = made(make, 1, members=4, fault="silent", faulty="most", race_s=1.0)
        assert (block.finality_s, block.leader, block.leader_faulty) == (None, None, False)


def test_a_seed_decides_everything() -> None:
    for make in (race_for_block, vote_for_block):
        assert made(make, 3, fault="bad-block") == made(make, 3, fault="bad-block")


def test_events_come_in_the_order_of_their_times() -> None:
    network = Network(Setting(), np.random.default_rng(1))
    heard: list[str] = []
    network.later(2.0, lambda: heard.append("second"))
    network.later(1.0, lambda: network.later(1.0, lambda: heard.append("third")))
    network.later(9.0, lambda: heard.append("too late"))
    network.run(5.0, lambda: False)
    assert heard == ["second", "third"]
