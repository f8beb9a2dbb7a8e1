"""A round's life: every move by time, bounded work a block, and what is kept of it in the end."""

from __future__ import annotations

import pytest
from small_hub import (
    FIRST_SLOT_S,
    GATE_LEAD_S,
    OK,
    SETTLE_LAG_S,
    WINDOW_S,
    SmallHub,
    end_s,
    public,
    round_id,
    start_s,
)

from peerwatt.contracts.life import FINAL, LIFE
from peerwatt.contracts.rounds import advance
from peerwatt.contracts.state import AGENDA, LIMITS, Due, InvariantError
from peerwatt.hosts.state import Overlay
from peerwatt.records import transactions as tx
from peerwatt.records.codec import digest, encode
from peerwatt.records.market import NO_HASH, RoundStatus, SlotLimit
from peerwatt.records.merkle import sealed_root
from peerwatt.records.receipts import Reason

GATE_S = start_s(0) - GATE_LEAD_S
SETTLE_BY_S = end_s(0) + SETTLE_LAG_S
ENDS_S = SETTLE_BY_S + WINDOW_S


def test_the_table_of_moves_leads_everywhere_and_ends() -> None:
    assert FINAL == (RoundStatus.ENDED, RoundStatus.VOID)
    reached = {RoundStatus.OPEN}
    for move in LIFE:
        assert move.before in reached
        assert move.after > move.before
        reached.add(move.after)
    assert reached == set(RoundStatus)


def test_a_life() -> None:
    hub = SmallHub().site().drivers("ann", "bob").open()
    opened = hub.round()
    assert (opened.status, opened.order_count, opened.book_hash) == (RoundStatus.OPEN, 0, NO_HASH)
    buy, sell = hub.buy("ann"), hub.sell("bob")
    orders = [(at, encode(order)) for at, order in hub.host.items("orders", round_id())]
    assert {at for at, _ in orders} == {buy, sell}
    hub.block(at=GATE_S - 1)
    assert hub.round().status == RoundStatus.OPEN
    assert hub.gate() == ["cleared"]
    cleared = hub.round()
    assert cleared.orders_root == sealed_root(orders)
    assert (cleared.awaited_readings, cleared.status) == (3, RoundStatus.CLEARED)
    assert hub.host.items("orders", round_id()) == []
    hub.block(at=end_s(0) - 1)
    assert hub.round().status == RoundStatus.CLEARED
    hub.block(at=end_s(0))
    assert hub.round().status == RoundStatus.DELIVERED
    assert hub.report({"p1": 2_000, "p2": -2_000}) == [OK]
    assert (hub.round().awaited_readings, hub.events()) == (1, [])
    assert hub.report({"": 0}, at=end_s(0) + 31) == [OK]
    assert hub.events() == ["settled"]
    settled = hub.round()
    rows = hub.host.sealed("settlements", round_id())
    assert settled.settlements_root == sealed_root(rows)
    assert len(hub.host.sealed("readings", round_id())) == 3
    for table in ("awards", "readings", "port_orders"):
        assert hub.host.items(table, round_id()) == []
    hub.block(at=ENDS_S - 1)
    assert hub.round() == settled
    hub.block(at=ENDS_S)
    assert hub.round().status == RoundStatus.ENDED
    assert hub.host.items("settlements", round_id()) == []
    assert hub.items(AGENDA) == []


def test_the_book_hash_takes_in_all_that_happens_to_the_book() -> None:
    hub = SmallHub().site().drivers("ann").open()
    order = hub.buy("ann")
    [(_, record)] = hub.host.items("orders", round_id())
    once = digest(NO_HASH + encode(record))
    assert (hub.round().book_hash, hub.round().order_count) == (once, 1)
    hub.do(tx.CancelOrder, "ann", order_id=order)
    assert (hub.round().book_hash, hub.round().order_count) == (digest(once + order), 0)


def test_a_round_without_orders_is_void_and_done_with() -> None:
    hub = SmallHub().site().open()
    assert hub.gate() == ["void"]
    assert hub.round().void_reason == Reason.NO_ORDERS
    assert hub.items(AGENDA) == []
    refusal = hub.refused(tx.ReportReadings, "operator", readings=hub.readings({"p1": 0}))
    assert refusal == (Reason.TOO_LATE, "round_id")


def test_a_book_whose_last_order_is_taken_back_is_void() -> None:
    hub = SmallHub().site().drivers("ann").open()
    hub.do(tx.CancelOrder, "ann", order_id=hub.buy("ann"))
    assert (hub.gate(), hub.account("ann").held_ucoin) == (["void"], 0)


def test_an_order_at_the_gate_is_late_though_the_book_is_still_open() -> None:
    """The block's time counts: the gate falls in this very block, after its messages."""
    hub = SmallHub().site().drivers("ann", "bob").open()
    hub.buy("ann")
    late = hub.sign(tx.PlaceBuyOrder, "bob", port="p2")
    assert hub.block(late, at=GATE_S) == [(Reason.TOO_LATE, "round_id")]
    assert hub.events() == ["cleared"]


@pytest.mark.parametrize(("at", "reason"), [(0, Reason.OK), (1, Reason.TOO_LATE)])
def test_readings_count_until_just_before_settle_by(at: int, reason: Reason) -> None:
    hub = SmallHub().site().drivers("ann").open()
    hub.buy("ann")
    hub.gate()
    hub.block(at=end_s(0))
    report = hub.sign(tx.ReportReadings, "operator", readings=hub.readings({"p1": 1_000}))
    [answer] = hub.block(report, at=SETTLE_BY_S - 1 + at)
    assert answer.reason == reason


def test_all_that_is_due_in_one_leap_happens_oldest_first() -> None:
    hub = SmallHub().site().drivers("ann").open(0, 1)
    hub.buy("ann")
    hub.block(at=ENDS_S + 900)
    happened = [
        (event.kind, int.from_bytes(event.key[:8], "big") - FIRST_SLOT_S)
        for _, event in hub.host.events(hub.host.height)
    ]
    assert happened == [
        ("cleared", 0), ("void", 900), ("delivered", 0), ("settled", 0), ("ended", 0),
    ]  # fmt: skip


def test_work_is_capped_by_orders_and_goes_on_in_the_next_block() -> None:
    """Six rounds of two orders each; a block does no new one once three orders' work is done."""
    hub = SmallHub(max_work=4).site().drivers("ann", "bob").open(*range(6), gate_s=GATE_S)
    for slot in range(6):
        hub.buy("ann", slot)
        hub.buy("bob", slot)
    hub.block(at=GATE_S)
    done = [hub.events()]
    while hub.events():
        hub.block()
        done.append(hub.events())
    assert done == [["cleared", "cleared"]] * 3 + [[]]


def test_a_round_larger_than_a_blocks_share_is_still_done() -> None:
    hub = SmallHub(max_work=1).site().drivers("ann", "bob", "cat").open()
    for name in ("ann", "bob", "cat"):
        hub.buy(name)
    assert hub.gate() == ["cleared"]


def test_the_limits_of_a_slot_are_used_up_by_its_round() -> None:
    hub = SmallHub().site()
    hub.do(tx.PublishLimits, "grid")
    hub.open(0, 1)
    assert (hub.round(0).import_limit_wh, hub.round(0).export_limit_wh) == (2_000, 1_000)
    assert (hub.round(1).import_limit_wh, hub.round(1).export_limit_wh) == (10_000, 5_000)
    assert hub.items(LIMITS) == []


def test_a_later_limit_replaces_an_earlier_one() -> None:
    hub = SmallHub().site()
    hub.do(tx.PublishLimits, "grid")
    lower = SlotLimit(slot_start_s=FIRST_SLOT_S, import_limit_w=4, export_limit_w=0)
    hub.do(tx.PublishLimits, "grid", limits=(lower,))
    hub.open()
    assert (hub.round().import_limit_wh, hub.round().export_limit_wh) == (1, 0)


def test_orders_stand_when_their_car_is_unplugged_and_the_port_is_taken_for_the_round() -> None:
    hub = SmallHub().site().drivers("ann", "bob").open(0, 1)
    order = hub.buy("ann")
    hub.do(tx.CheckOut, "operator", port="p1")
    hub.do(tx.CheckIn, "operator", port="p1", wallet=public("bob"))
    refusal = hub.refused(tx.PlaceBuyOrder, "bob", port="p1")
    assert refusal == (Reason.ALREADY_EXISTS, "port")
    hub.do(tx.PlaceBuyOrder, "bob", port="p1", round_id=round_id(1))
    hub.do(tx.CancelOrder, "ann", order_id=order)
    hub.do(tx.PlaceBuyOrder, "bob", port="p1")


def test_what_cannot_be_due_stops_the_node() -> None:
    hub = SmallHub().site().open()
    hub.gate()
    state = Overlay(hub.host.state)
    state.put(AGENDA, bytes(8) + round_id(), Due(round_id=round_id()))
    with pytest.raises(InvariantError, match="nothing is due for a VOID round"):
        advance(state, GATE_S)
