"""Every invariant fires: each on a state that was made wrong in one place."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from small_hub import SmallHub, public, round_id

from peerwatt.contracts.accounts import release, spend, spend_held
from peerwatt.contracts.invariants import broken_invariants
from peerwatt.contracts.life import moved
from peerwatt.contracts.state import (
    ACCOUNTS,
    AGENDA,
    CHAIN,
    CHAIN_KEY,
    ROUNDS,
    Due,
    InvariantError,
    Table,
    must,
)
from peerwatt.hosts.state import Overlay
from peerwatt.records.market import RoundStatus, SettlementTotals


@pytest.fixture(scope="module")
def traded() -> SmallHub:
    """A round that has settled and one that has cleared."""
    hub = SmallHub().site().drivers("ann", "bob").open(0, 1)
    for slot in (0, 1):
        hub.buy("ann", slot)
        hub.sell("bob", slot)
    hub.report({"": 0, "p1": 2_000, "p2": -2_000})
    assert [hub.round(slot).status for slot in (0, 1)] == [RoundStatus.SETTLED, RoundStatus.CLEARED]
    return hub


def broken(hub: SmallHub, table: Table[Any], at: bytes, **changes: Any) -> list[str]:
    """What is found when one record of a sound state is changed."""
    state = Overlay(hub.host.state)
    assert broken_invariants(state) == []
    state.put(table, at, replace(must(state.get(table, at)), **changes))
    return broken_invariants(state)


def test_coins_out_of_nothing_are_found(traded: SmallHub) -> None:
    chain = traded.get(CHAIN, CHAIN_KEY)
    [line] = broken(traded, CHAIN, CHAIN_KEY, issued_ucoin=chain.issued_ucoin - 1)
    assert line == f"accounts hold {chain.issued_ucoin} ucoin, supply is {chain.issued_ucoin - 1}"


def test_an_account_below_zero_is_found(traded: SmallHub) -> None:
    lines = broken(traded, ACCOUNTS, public("ann"), free_ucoin=-1)
    assert f"account {public('ann').hex()} is below zero" in lines


def test_a_hold_that_backs_nothing_is_found(traded: SmallHub) -> None:
    account = traded.account("ann")
    [line] = broken(
        traded, ACCOUNTS, public("ann"),
        held_ucoin=account.held_ucoin + 1, free_ucoin=account.free_ucoin - 1,
    )  # fmt: skip
    assert line.endswith(f"holds {account.held_ucoin + 1} ucoin, {account.held_ucoin} are needed")


@pytest.mark.parametrize(
    ("slot", "part", "field", "value", "what"),
    [
        (1, "clearing", "bought_wh", 1, "awarded energy does not balance"),
        (1, "clearing", "import_wh", 10_001, "awarded import is over the limit"),
        (1, "clearing", "export_wh", 5_001, "awarded export is over the limit"),
        (0, "totals", "sold_wh", 1, "settled energy does not balance"),
        (0, "totals", "pot_ucoin", 1, "settled money does not balance"),
    ],
)
def test_a_round_that_does_not_balance_is_found(
    traded: SmallHub, slot: int, part: str, field: str, value: int, what: str
) -> None:
    record = getattr(traded.round(slot), part)
    lines = broken(traded, ROUNDS, round_id(slot), **{part: replace(record, **{field: value})})
    assert f"round {round_id(slot).hex()}: {what}" in lines


def test_a_round_that_miscounts_its_readings_is_found(traded: SmallHub) -> None:
    [line] = broken(traded, ROUNDS, round_id(1), awaited_readings=2)
    assert line == f"round {round_id(1).hex()}: awaited_readings is not what is missing"


def test_a_book_that_miscounts_its_orders_is_found() -> None:
    hub = SmallHub().site().drivers("ann").open()
    hub.buy("ann")
    [line] = broken(hub, ROUNDS, round_id(0), order_count=2)
    assert line == f"round {round_id(0).hex()}: order_count is not that of its book"


def test_a_round_that_nothing_will_end_is_found(traded: SmallHub) -> None:
    state = Overlay(traded.host.state)
    for at, _ in traded.items(AGENDA):
        state.delete(AGENDA, at)
    assert sorted(broken_invariants(state)) == [
        f"round {round_id(slot).hex()} stands 0 times in the agenda" for slot in (0, 1)
    ]


def test_a_round_that_is_due_twice_is_found(traded: SmallHub) -> None:
    state = Overlay(traded.host.state)
    state.put(AGENDA, bytes(8) + round_id(1), Due(round_id=round_id(1)))
    [line] = broken_invariants(state)
    assert line == f"round {round_id(1).hex()} stands 2 times in the agenda"


def test_no_account_goes_below_zero_whatever_asks_for_it(traded: SmallHub) -> None:
    state = Overlay(traded.host.state)
    ann = traded.account("ann")
    for take in (
        lambda: spend(state, public("ann"), ann.free_ucoin + 1),
        lambda: release(state, public("ann"), ann.held_ucoin + 1),
        lambda: spend_held(state, public("ann"), 5, 6),
        lambda: spend(state, public("nobody"), 1),
    ):
        with pytest.raises(InvariantError):
            take()
    assert state.changes == {}


def test_a_round_cannot_leave_its_table(traded: SmallHub) -> None:
    settled = traded.round(0)
    assert settled.totals != SettlementTotals()
    with pytest.raises(InvariantError, match="a SETTLED round cannot be OPEN next"):
        moved(settled, RoundStatus.OPEN)
