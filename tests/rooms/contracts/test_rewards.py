"""Rewards: out of a fund alone, for metered energy and for blocks; figures by hand."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from small_hub import START_S, SmallHub, end_s, genesis, public

from peerwatt.contracts.invariants import broken_invariants
from peerwatt.contracts.rewards import pay_rewards
from peerwatt.contracts.state import (
    ACCOUNTS,
    CONTRIBUTIONS,
    REWARD_TERMS,
    REWARDS,
    TERMS_KEY,
    Contribution,
)
from peerwatt.hosts.state import Overlay
from peerwatt.records import transactions as tx
from peerwatt.records.codec import digest
from peerwatt.records.members import Account
from peerwatt.records.receipts import BlockContext, Event

EPOCH_S = 7_200
VOTERS = ("operator", "regulator", "supplier", "issuer")


def rewarding(contribution: int, proposer: int, fund: int) -> SmallHub:
    """A hub whose members voted for rewards; the supplier has paid for them."""
    hub = SmallHub().site().drivers("ann", "bob", "cat", "dan")
    vote(hub, contribution, proposer)
    hub.do(tx.FundRewards, "supplier", amount_ucoin=fund)
    return hub


def vote(hub: SmallHub, contribution: int, proposer: int) -> None:
    change = tx.SetRewards(
        epoch_s=EPOCH_S, contribution_ucoin=contribution, proposer_ucoin=proposer
    )
    proposal = hub.do(tx.ProposeChange, "grid", change=change)
    for name in VOTERS:
        hub.do(tx.Vote, name, proposal_id=proposal)


def fund(hub: SmallHub) -> int:
    account: Account = hub.get(ACCOUNTS, REWARDS)
    return account.free_ucoin


def sell(hub: SmallHub, slot: int, **sold_wh: int) -> None:
    """A round in which ann buys and these sell so much by their meters, of 2,000 Wh each."""
    hub.open(slot)
    hub.buy("ann", slot, min_wh=0, max_wh=2_000)
    hub.buy("dan", slot, min_wh=0, max_wh=2_000)
    for name in sold_wh:
        hub.sell(name, slot, max_wh=2_000, ask_ucoin_per_kwh=0)
    hub.gate(slot)
    ports = {"bob": "p2", "cat": "p3"}
    out = {ports[name]: -wh for name, wh in sold_wh.items()}
    assert hub.report({"": 0, "p1": 2_000, "p4": 2_000, **out}, slot)


def test_nothing_is_counted_where_nothing_is_rewarded() -> None:
    hub = SmallHub().site().drivers("ann", "bob", "cat", "dan")
    sell(hub, 0, bob=500)
    assert hub.items(CONTRIBUTIONS) == []
    assert hub.get(ACCOUNTS, REWARDS) is None


def test_who_sold_most_by_its_meter_is_paid_at_the_end_of_the_epoch() -> None:
    """Both are awarded alike; what counts is what their meters saw, summed over rounds."""
    hub = rewarding(700, 0, 1_000)
    sell(hub, 0, bob=900, cat=500)
    sell(hub, 2, cat=500)
    before = {name: hub.free(name) for name in ("bob", "cat")}
    hub.block(at=hub.get(REWARD_TERMS, TERMS_KEY).end_s - 1)
    assert {name: hub.free(name) for name in before} == before
    hub.block(at=hub.now_s + 1)
    assert hub.events() == ["contribution_rewarded"]
    assert hub.free("cat") - before["cat"] == 700
    assert (hub.free("bob"), fund(hub)) == (before["bob"], 300)
    assert hub.items(CONTRIBUTIONS) == []


def test_a_tie_goes_to_the_smaller_key() -> None:
    hub = rewarding(10, 0, 10)
    sell(hub, 0, bob=400, cat=400)
    hub.block(at=START_S + EPOCH_S)
    [(_, event)] = hub.host.events(hub.host.height)
    assert event.key == b"garage/" + min(public("bob"), public("cat"))


def test_a_reward_that_the_fund_cannot_pay_is_not_paid_in_part() -> None:
    hub = rewarding(10, 0, 9)
    sell(hub, 0, bob=400)
    hub.block(at=START_S + EPOCH_S)
    assert (hub.events(), fund(hub)) == ([], 9)


def test_new_terms_begin_anew() -> None:
    hub = rewarding(10, 0, 100)
    sell(hub, 0, bob=400)
    vote(hub, 20, 0)
    assert hub.items(CONTRIBUTIONS) == []
    assert hub.get(REWARD_TERMS, TERMS_KEY).end_s == end_s(0) + 30 + EPOCH_S


def test_a_block_pays_its_proposer_where_something_was_accepted() -> None:
    hub = rewarding(0, 3, 100)
    before, funded = hub.free("operator"), fund(hub)
    assert funded == 100 - 3, "the block that funded it was the first"
    hub.block()
    assert hub.free("operator") == before, "nothing was in it"
    hub.block(hub.sign(tx.Transfer, "ann", to=public("bob"), amount_ucoin=10**15))
    assert hub.free("operator") == before, "all was refused"
    hub.do(tx.Transfer, "ann", to=public("bob"), amount_ucoin=1)
    assert (hub.free("operator") - before, fund(hub)) == (3, funded - 3)


def test_a_validators_block_pays_the_member_that_runs_it() -> None:
    """An engine names the proposer by the first 20 bytes of its key's hash."""
    members = tuple(
        replace(each, validator=public(f"validator/{each.name}")) for each in genesis().members
    )
    hub = SmallHub(members=members).site()
    vote(hub, 0, 3)
    hub.do(tx.FundRewards, "supplier", amount_ucoin=50)
    for named, paid in (
        (digest(public("validator/grid"))[:20] + bytes(12), [public("grid")]),
        (digest(public("nobody"))[:20] + bytes(12), []),
        (bytes(32), []),
    ):
        context = BlockContext(
            height=99, market_time_s=hub.now_s, previous_block_id=bytes(32), proposer=named
        )
        events = pay_rewards(Overlay(hub.host.state), context, accepted=True)
        assert events == tuple(Event(kind="proposer_rewarded", key=key) for key in paid)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ("epoch", "is not paid"),
        ("nothing", "a contribution is nothing"),
        ("acted", "the reward account has acted"),
        ("terms", "contributions are counted that nobody rewards"),
    ],
)
def test_what_cannot_be_is_found(wrong: str, line: str) -> None:
    hub = rewarding(10, 0, 100)
    state = Overlay(hub.host.state)
    assert broken_invariants(state) == []
    terms, key = hub.get(REWARD_TERMS, TERMS_KEY), b"garage/" + public("bob")
    if wrong == "epoch":
        state.put(REWARD_TERMS, TERMS_KEY, replace(terms, end_s=hub.now_s))
    elif wrong == "acted":
        state.put(ACCOUNTS, REWARDS, replace(hub.get(ACCOUNTS, REWARDS), nonce=1))
    else:
        state.put(CONTRIBUTIONS, key, Contribution(sold_wh=int(wrong == "terms")))
    if wrong == "terms":
        state.delete(REWARD_TERMS, TERMS_KEY)
    [found] = broken_invariants(state)
    assert found.endswith(line)
