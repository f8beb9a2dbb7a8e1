"""Orders, readings and disputes."""

from __future__ import annotations

from functools import partial
from typing import Any

from book import Book
from small_hub import (
    GATE_LEAD_S,
    LOST_LOAD,
    SETTLE_LAG_S,
    WINDOW_S,
    SmallHub,
    end_s,
    key,
    public,
    round_id,
    start_s,
)

from peerwatt.records import transactions as tx
from peerwatt.records.codec import digest
from peerwatt.records.readings import SignedReading, sign_reading
from peerwatt.records.receipts import Reason

GATE_S = start_s(0) - GATE_LEAD_S


def both_sides(book: Book) -> None:
    """What holds for whoever buys and whoever sells."""
    hub = SmallHub(max_orders=2).site().drivers("ann", "bob", "cat").open(0, 1)
    hub.do(tx.CheckIn, "operator", port="p4", wallet=public("ann"))
    book.accepted(hub, tx.PlaceBuyOrder, "ann", port="p1")
    book.accepted(hub, tx.PlaceSellOrder, "bob", port="p2")
    later = {"port": "p3", "round_id": round_id(1)}
    for kind in (tx.PlaceBuyOrder, tx.PlaceSellOrder):
        no = partial(book.refused, hub, kind)
        no("cat", Reason.UNKNOWN_ROUND, "round_id", port="p3", round_id=round_id(7))
        no("cat", Reason.UNKNOWN_PORT, "port", port="x")
        no("cat", Reason.NOT_PLUGGED_IN, "port", note="another's port", port="p1")
        no("ann", Reason.ALREADY_EXISTS, "port", port="p1")
        no("cat", Reason.TOO_MANY, "round_id", port="p3")
        no("cat", Reason.OUT_OF_RANGE, "max_wh", note="nothing", max_wh=0, **later)
        no("cat", Reason.OVER_LIMIT, "max_wh", max_wh=2_751, **later)
    hub.do(tx.CheckOut, "operator", port="p3")
    for kind in (tx.PlaceBuyOrder, tx.PlaceSellOrder):
        no = partial(book.refused, hub, kind)
        no("cat", Reason.NOT_PLUGGED_IN, "port", note="not any more", **later)
    hub.block(at=GATE_S)
    for kind in (tx.PlaceBuyOrder, tx.PlaceSellOrder):
        book.refused(hub, kind, "cat", Reason.TOO_LATE, "round_id", port="p3")


def prices_and_holds(book: Book) -> None:
    """A buy order of 500 Wh at lost load and 1,500 Wh at its high price holds 850,000 ucoin."""
    hub = SmallHub().site().drivers("cat", coins=1).open()
    low, high = "price_low_ucoin_per_kwh", "price_high_ucoin_per_kwh"
    no = partial(book.refused, hub, tx.PlaceBuyOrder, "cat", port="p3")
    no(Reason.OUT_OF_RANGE, "min_wh", min_wh=2_001)
    no(Reason.OUT_OF_RANGE, high, note="above lost load", **{high: LOST_LOAD + 1})
    no(Reason.OUT_OF_RANGE, low, note="above the high one", **{low: 400_001})
    sell = partial(book.refused, hub, tx.PlaceSellOrder, "cat", port="p3")
    sell(Reason.OUT_OF_RANGE, "ask_ucoin_per_kwh", ask_ucoin_per_kwh=LOST_LOAD + 1)
    hub.do(tx.Transfer, "cat", to=public("grid"), amount_ucoin=150_001)
    no(Reason.UNFUNDED, "max_wh")
    sell(Reason.UNFUNDED, "max_wh")
    hub.done(hub.sign(tx.Mint, "issuer", cosigner="regulator", to=public("cat"), amount_ucoin=1))
    book.accepted(hub, tx.PlaceBuyOrder, "cat", note="holds all that it can cost", port="p3")
    assert (hub.account("cat").free_ucoin, hub.account("cat").held_ucoin) == (0, 850_000)


def cancels(book: Book) -> None:
    hub = SmallHub().site().drivers("ann", "bob").open(0)
    order = hub.buy("ann")
    hub.sell("bob")
    no = partial(book.refused, hub, tx.CancelOrder)
    no("ann", Reason.UNKNOWN_ROUND, "round_id", order_id=order, round_id=round_id(1))
    no("ann", Reason.UNKNOWN_ORDER, "order_id", order_id=digest(b"none"))
    no("bob", Reason.NOT_PERMITTED, "signer", order_id=order)
    book.accepted(hub, tx.CancelOrder, "ann", order_id=order)
    again = hub.buy("ann")
    cancel = hub.sign(tx.CancelOrder, "ann", order_id=again)
    note = "the gate falls before an order is taken back: TOO_LATE"
    book.block(hub, note, cancel, at=GATE_S, events=["cleared"])
    no("ann", Reason.TOO_LATE, "round_id", order_id=again)


def a_cleared_market() -> SmallHub:
    """Ann, bob and cat have traded in the first slot, whose gate has fallen."""
    hub = SmallHub().site().drivers("ann", "bob", "cat").open()
    hub.buy("ann")
    hub.sell("bob")
    hub.buy("cat")
    assert hub.gate() == ["cleared"]
    return hub


def reports(book: Book) -> None:
    hub = a_cleared_market()
    good = hub.readings({"p1": 1_000})
    report = tx.ReportReadings
    book.refused(hub, report, "operator", Reason.TOO_EARLY, "round_id", readings=good)
    hub.block(at=end_s(0))

    def no(reason: Reason, field: str, note: str = "", *readings: SignedReading) -> None:
        book.refused(hub, report, "operator", reason, field, note=note, readings=readings)

    def changed(**fields: Any) -> SignedReading:
        return hub.reading("p1", 1_000, **fields)

    nobodys = changed(meter=public("nobody"))
    forged = sign_reading(good[0].reading, key("meter/p2"), hub.chain_id)
    book.refused(
        hub,
        report,
        "operator",
        Reason.UNKNOWN_ROUND,
        "round_id",
        round_id=round_id(7),
        readings=good,
    )
    book.refused(hub, report, "ann", Reason.NOT_PERMITTED, "signer", readings=good)
    no(Reason.TOO_MANY, "readings", "none")
    no(Reason.UNKNOWN_METER, "readings[0].meter", "", nobodys)
    no(Reason.UNKNOWN_METER, "readings[1].meter", "", *good, nobodys)
    no(Reason.BAD_READING_SIGNATURE, "readings[0].signature", "", forged)
    shifted = changed(start_s=start_s(0) + 1)
    no(Reason.WRONG_PERIOD, "readings[0].start_s", "of another slot", shifted)
    no(Reason.REGISTER_BACKWARDS, "readings[0].import_end_wh", "", changed(import_start_wh=1_001))
    no(Reason.REGISTER_BACKWARDS, "readings[0].export_end_wh", "", changed(export_start_wh=1))
    no(Reason.OUT_OF_ORDER, "readings", "twice the same", *good * 2)
    book.accepted(hub, report, "operator", note="of one meter", readings=good)
    no(Reason.ALREADY_REPORTED, "readings[0]", "", *good)
    unawaited = hub.readings({"p4": 0})
    book.accepted(hub, report, "operator", note="of a port without an award", readings=unawaited)
    hub.block(at=end_s(0) + SETTLE_LAG_S)
    no(Reason.TOO_LATE, "round_id", "at settle_by", *hub.readings({"p2": -1_000}))


def registers(book: Book) -> None:
    """A meter's second reading goes on where its first one ended."""
    hub = SmallHub().site().drivers("ann").open(0, 1)
    hub.buy("ann")
    hub.buy("ann", slot=1)
    hub.block(at=end_s(0))
    before = {"import_start_wh": 100, "export_start_wh": 50, "export_end_wh": 50}
    first = hub.reading("p1", 1_000, sequence=5, **before)
    hub.do(tx.ReportReadings, "operator", readings=(first,))
    hub.block(at=end_s(1))

    def second(**fields: int) -> dict[str, Any]:
        return {"round_id": round_id(1), "readings": (hub.reading("p1", 500, slot=1, **fields),)}

    no = partial(book.refused, hub, tx.ReportReadings, "operator")
    no(Reason.REPEATED_SEQUENCE, "readings[0].sequence", **second(sequence=5))
    no(Reason.REGISTER_BACKWARDS, "readings[0].import_start_wh", **second(import_start_wh=999))
    no(Reason.REGISTER_BACKWARDS, "readings[0].export_start_wh", **second(export_start_wh=49))
    gap = second(import_start_wh=1_200, import_end_wh=1_700)
    book.accepted(hub, tx.ReportReadings, "operator", note="after a gap in the registers", **gap)


def reports_out_of_order(book: Book) -> None:
    """Once a meter has reported a slot, no earlier one counts any more."""
    hub = SmallHub().site().drivers("ann").open(0, 1, settle_by_s=end_s(1) + SETTLE_LAG_S)
    hub.buy("ann")
    hub.buy("ann", slot=1)
    hub.report({"p1": 1_000}, slot=1)
    book.refused(
        hub,
        tx.ReportReadings,
        "operator",
        Reason.WRONG_PERIOD,
        "readings[0].start_s",
        note="of the slot before the last one's",
        readings=hub.readings({"p1": 1_000}),
    )


def disputes(book: Book) -> None:
    hub = a_cleared_market()
    awards = hub.rows("awards")
    ann, bob, cat = ({"order_id": awards[port].order_id} for port in ("p1", "p2", "p3"))
    no = partial(book.refused, hub, tx.OpenDispute)
    no("ann", Reason.UNKNOWN_ROUND, "round_id", round_id=round_id(9), **ann)
    no("ann", Reason.TOO_EARLY, "round_id", **ann)
    hub.report({"": 0, "p1": 1_000, "p2": -2_000, "p3": 1_000})
    most = awards["p1"].held_ucoin
    no("ann", Reason.UNKNOWN_ORDER, "order_id", order_id=digest(b"none"))
    no("bob", Reason.NOT_PERMITTED, "signer", **ann)
    no("ann", Reason.OUT_OF_RANGE, "amount_ucoin", note="nothing", amount_ucoin=0, **ann)
    no("ann", Reason.OUT_OF_RANGE, "amount_ucoin", note="too much", amount_ucoin=most + 1, **ann)
    book.accepted(hub, tx.OpenDispute, "ann", **ann)
    no("ann", Reason.ALREADY_EXISTS, "order_id", **ann)
    never = partial(book.refused, hub, tx.ResolveDispute)
    never("operator", Reason.NOT_PERMITTED, "signer", **ann)
    never("regulator", Reason.UNKNOWN_DISPUTE, "order_id", **bob)
    never("regulator", Reason.OUT_OF_RANGE, "credit_ucoin", credit_ucoin=1_001, **ann)
    book.accepted(hub, tx.ResolveDispute, "regulator", **ann)
    never("regulator", Reason.ALREADY_RESOLVED, "order_id", **ann)
    hub.do(tx.Withdraw, "operator", amount_ucoin=hub.free("operator"))
    book.accepted(hub, tx.OpenDispute, "cat", note="of an operator without coins", **cat)
    book.accepted(hub, tx.ResolveDispute, "regulator", note="with nothing", credit_ucoin=0, **cat)
    hub.block(at=end_s(0) + SETTLE_LAG_S + WINDOW_S)
    no("bob", Reason.TOO_LATE, "round_id", **bob)


CASES = (both_sides, prices_and_holds, cancels, reports, registers, reports_out_of_order, disputes)
