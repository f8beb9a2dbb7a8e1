"""The contracts under parties that Hypothesis plays: right ones and wrong ones, a step at a time.

The bench checks every block: admission answers as the block does, a refused message changes
nothing but its signer's nonce (and its fine, where it has one), every record reads back. Here the
invariants are asked after every step, and in the end every round ends and every hold is released.
"""

from __future__ import annotations

from typing import Any

import pytest
from fuzz_bench import Bench, start
from fuzz_choices import ByteChoices
from fuzz_ledger import KIND, STARTS, STEPS
from fuzz_moves import KINDS, MAKERS, message
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from peerwatt.contracts.invariants import broken_invariants
from peerwatt.contracts.life import FINAL
from peerwatt.contracts.state import (
    ACCOUNTS,
    AGENDA,
    DISPUTES,
    ORDERS,
    PROPOSALS,
    ROUNDS,
    SETTLEMENTS,
)
from peerwatt.records.market import RoundStatus

FAST = settings(
    max_examples=15,
    stateful_step_count=25,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
DEEP = settings(FAST, max_examples=1_500, stateful_step_count=80, derandomize=False)
DATA = st.data()
MONEY = ("Mint", "Withdraw", "Transfer", "OpenWallet", "FundRewards")
SITE = ("RegisterSite", "RegisterPort", "PublishTariff", "PublishLimits", "CheckIn", "CheckOut")
ORDERS_OF_A_BOOK = ("PlaceBuyOrder", "PlaceSellOrder")


class Drawn:
    """Choices that Hypothesis draws, so that it can shrink them."""

    def __init__(self, data: st.DataObject) -> None:
        self._draw = data.draw

    def below(self, count: int) -> int:
        return self._draw(st.integers(0, count - 1))


class Contracts(RuleBasedStateMachine):
    """One hub; who sends what comes from the moves, when it is sent from these rules."""

    @initialize(begun=st.sampled_from(STARTS))
    def begin(self, begun: tuple[int, int]) -> None:
        self.bench = Bench(start(*begun))

    def send(self, name: str, data: st.DataObject) -> None:
        """One message in a block of its own; in four times one by a wrong party or spoilt."""
        self.bench.block(message(KIND[name], self.bench, Drawn(data)))

    def has(self, *statuses: RoundStatus) -> bool:
        return any(each.status in statuses for _, each in self.bench.state.items(ROUNDS))

    @rule(data=DATA, name=st.sampled_from(MONEY))
    def money(self, data: st.DataObject, name: str) -> None:
        self.send(name, data)

    @rule(data=DATA, name=st.sampled_from(SITE))
    def the_site(self, data: st.DataObject, name: str) -> None:
        self.send(name, data)

    @rule(data=DATA)
    def open_round(self, data: st.DataObject) -> None:
        self.send("OpenRound", data)

    @rule(data=DATA, name=st.sampled_from(ORDERS_OF_A_BOOK))
    def order(self, data: st.DataObject, name: str) -> None:
        self.send(name, data)

    @precondition(lambda self: self.bench.rows(ORDERS))
    @rule(data=DATA)
    def cancel(self, data: st.DataObject) -> None:
        self.send("CancelOrder", data)

    @rule(data=DATA)
    def tick(self, data: st.DataObject) -> None:
        self.send("Tick", data)

    @precondition(lambda self: self.has(RoundStatus.CLOSED, RoundStatus.PROPOSED))
    @rule(data=DATA)
    def propose_clearing(self, data: st.DataObject) -> None:
        self.send("ProposeClearing", data)

    @precondition(lambda self: self.has(RoundStatus.CLEARED, RoundStatus.DELIVERED))
    @rule(data=DATA)
    def report(self, data: st.DataObject) -> None:
        self.send("ReportReadings", data)

    @precondition(lambda self: self.bench.rows(SETTLEMENTS))
    @rule(data=DATA)
    def dispute(self, data: st.DataObject) -> None:
        self.send("OpenDispute", data)

    @precondition(lambda self: self.bench.state.items(DISPUTES))
    @rule(data=DATA)
    def resolve(self, data: st.DataObject) -> None:
        self.send("ResolveDispute", data)

    @precondition(lambda self: self.bench.state.items(DISPUTES))
    @rule(data=DATA, name=st.sampled_from(("RequestOpening", "ConsentOpening")))
    def opening(self, data: st.DataObject, name: str) -> None:
        self.send(name, data)

    @rule(data=DATA)
    def propose_change(self, data: st.DataObject) -> None:
        self.send("ProposeChange", data)

    @precondition(lambda self: self.bench.state.items(PROPOSALS))
    @rule(data=DATA)
    def vote(self, data: st.DataObject) -> None:
        self.send("Vote", data)

    @rule(data=DATA, step=st.sampled_from(STEPS[len(KINDS) :]))
    def several_things(self, data: st.DataObject, step: Any) -> None:
        """A block of several messages, a book of orders, or a round's next step."""
        step(self.bench, Drawn(data))

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "bench"):
            assert broken_invariants(self.bench.state) == []

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            everything_ends(self.bench)


def everything_ends(bench: Bench) -> None:
    """Once time has passed, every round ends, and nothing is held but for open disputes."""
    bench.block(at(bench, bench.now_s + 40 * 86_400))
    while bench.state.items(AGENDA):
        assert bench.block().events
    assert all(each.status in FINAL for _, each in bench.state.items(ROUNDS))
    frozen = [each for _, each in bench.state.items(DISPUTES) if not each.resolved]
    held_ucoin = sum(account.held_ucoin for _, account in bench.state.items(ACCOUNTS))
    assert held_ucoin == sum(each.frozen_ucoin for each in frozen)


def at(bench: Bench, time_s: int) -> bytes:
    """What moves the clock."""
    return bench.signed(bench.message(KIND["Tick"], "clock", {"time_s": time_s}), "clock")


def test_parties_right_and_wrong() -> None:
    run_state_machine_as_test(Contracts, settings=FAST)


@pytest.mark.slow
def test_parties_right_and_wrong_for_long() -> None:
    run_state_machine_as_test(Contracts, settings=DEEP)


def test_every_message_is_sent() -> None:
    """A message that comes new to the ledger is fuzzed too."""
    assert [kind.__name__ for kind in KINDS] == list(MAKERS)


@pytest.mark.parametrize("begun", STARTS)
def test_every_message_can_be_made_at_once(begun: tuple[int, int]) -> None:
    bench = Bench(start(*begun))
    for kind in KINDS:
        bench.block(message(kind, bench, ByteChoices(b""), spoil=False))
    everything_ends(bench)
