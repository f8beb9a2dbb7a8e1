"""What blocks do by themselves: gates, clearings, settlements, ends of windows, capped work."""

from __future__ import annotations

from book import Book
from small_hub import (
    FIRST_SLOT_S,
    GATE_LEAD_S,
    LOST_LOAD,
    SETTLE_LAG_S,
    START_S,
    WINDOW_S,
    SmallHub,
    end_s,
    public,
    start_s,
)

from peerwatt.records import transactions as tx
from peerwatt.records.market import Mechanism, PriceRule, SlotLimit
from peerwatt.records.members import Member, Role
from peerwatt.records.receipts import Reason

GATE_S = start_s(0) - GATE_LEAD_S


def gates(book: Book) -> None:
    """The book is cleared, each time in another regime."""
    hub = SmallHub().site().open()
    book.block(hub, f"gate of an empty book: {Reason.NO_ORDERS.name}", at=GATE_S, events=["void"])

    def clear(note: str, hub: SmallHub) -> None:
        book.block(hub, f"gate: {note}", at=GATE_S, events=["cleared"])

    hub = a_book(2_000)
    clear("cars trade at the midpoint", hub)
    hub = a_book(2_000, price_rule=PriceRule.MARGINAL)
    clear("cars trade at the clearing price", hub)
    hub = a_book(2_000, mechanism=Mechanism.UNIFORM)
    clear("curves are read as ten steps", hub)
    hub = a_book(0)
    clear("all from the grid", hub)
    hub = a_book(300, import_limit_w=1_000)
    clear("the import limit binds", hub)
    hub = a_book(300, import_limit_w=0)
    clear("minima are cut at lost load", hub)
    hub = a_book(0, import_limit_w=0)
    clear("nothing can be supplied", hub)
    hub = SmallHub().site().drivers("bob", "cat").open()
    hub.sell("bob", ask_ucoin_per_kwh=50_000)
    hub.sell("cat", ask_ucoin_per_kwh=70_000)
    clear("surplus to the grid at feed-in", hub)
    hub = a_book(2_000)
    hub.do(tx.Withdraw, "supplier", amount_ucoin=hub.free("supplier") - 159_999)
    clear("the supplier cannot stand behind the sellers", hub)


def a_book(
    sold_wh: int,
    *,
    mechanism: Mechanism = Mechanism.WELFARE,
    price_rule: PriceRule = PriceRule.MIDPOINT,
    import_limit_w: int = 8_000,
) -> SmallHub:
    """Ann and cat want to buy; bob sells, unless he has nothing."""
    hub = SmallHub().site(price_rule=price_rule).drivers("ann", "bob", "cat")
    limit = SlotLimit(
        slot_start_s=FIRST_SLOT_S, import_limit_w=import_limit_w, export_limit_w=4_000
    )
    hub.do(tx.PublishLimits, "grid", limits=(limit,))
    hub.open(mechanism=mechanism)
    hub.buy("ann")
    hub.buy("cat", min_wh=300, price_high_ucoin_per_kwh=LOST_LOAD)
    if sold_wh:
        hub.sell("bob", max_wh=sold_wh)
    return hub


def settlements(book: Book) -> None:
    """Delivered as awarded or not, each with its readings."""
    as_awarded = {"": 0, "p1": 1_000, "p2": -2_000, "p3": 1_000}
    cases: list[tuple[str, dict[str, int], list[str]]] = [
        ("all as awarded", as_awarded, ["settled"]),
        ("the seller is short", as_awarded | {"": 500, "p2": -1_500}, ["settled"]),
        ("a buyer is short", as_awarded | {"": -400, "p1": 600}, ["settled"]),
        ("more than awarded", as_awarded | {"": 300, "p1": 1_500, "p2": -2_200}, ["settled"]),
        ("the main meter disagrees", as_awarded | {"": 900}, ["settled"]),
    ]
    for note, net_wh, events in cases:
        hub = a_trade()
        hub.block(at=end_s(0))
        report = hub.sign(tx.ReportReadings, "operator", readings=hub.readings(net_wh))
        book.block(hub, f"readings: {note}", report, at=end_s(0) + 30, events=events)
    hub = a_trade()
    book.block(hub, "the slot ends", at=end_s(0), events=["delivered"])
    book.block(
        hub, "no reading came until settle_by", at=end_s(0) + SETTLE_LAG_S, events=["settled"]
    )
    book.block(
        hub, "the dispute window ends", at=end_s(0) + SETTLE_LAG_S + WINDOW_S, events=["ended"]
    )
    hub = a_trade(import_limit_w=0)
    hub.block(at=end_s(0))
    report = hub.sign(
        tx.ReportReadings,
        "operator",
        readings=hub.readings({"": 0, "p1": 300, "p2": -1_300, "p3": 1_000}),
    )
    book.block(
        hub,
        "readings: the seller is short and the connection full",
        report,
        at=end_s(0) + 30,
        events=["settled"],
    )
    hub = a_trade()
    book.block(
        hub,
        "a leap over a whole round",
        at=end_s(0) + SETTLE_LAG_S + WINDOW_S,
        events=["delivered", "settled", "ended"],
    )


def a_trade(import_limit_w: int = 8_000) -> SmallHub:
    """Ann and cat have bought 1 kWh each from bob, and nothing from the grid."""
    hub = SmallHub().site().drivers("ann", "bob", "cat")
    limit = SlotLimit(
        slot_start_s=FIRST_SLOT_S, import_limit_w=import_limit_w, export_limit_w=4_000
    )
    hub.do(tx.PublishLimits, "grid", limits=(limit,))
    hub.open()
    for name in ("ann", "cat"):
        hub.buy(name, min_wh=1_000, max_wh=1_000)
    hub.sell("bob")
    hub.gate()
    assert {port: each.energy_wh for port, each in hub.rows("awards").items()} == {
        "p1": 1_000,
        "p2": 2_000,
        "p3": 1_000,
    }
    return hub


def capped_work(book: Book) -> None:
    """A block does a bounded share of what is due, oldest first, and the next goes on."""
    hub = SmallHub(max_work=4).site().drivers("ann", "bob", "cat")
    for slot in (0, 1, 2):
        hub.open(slot, gate_s=GATE_S, clear_by_s=GATE_S + 1 + slot)
        for name in ("ann", "bob"):
            hub.buy(name, slot)
    at = GATE_S
    book.block(hub, "two of three rounds that are due", at=at, events=["cleared", "cleared"])
    book.block(hub, "the third one, a block later", at=at, events=["cleared"])
    book.block(hub, "nothing is left to do", at=at, events=[])


def upgrades(book: Book) -> None:
    """New rules hold from their height on."""
    members = (Member(key=public("operator"), name="operator", roles=Role.AGGREGATOR),)
    hub = SmallHub(members=members)
    propose = hub.sign(
        tx.ProposeChange, "operator", change=tx.UpgradeRules(rules_version=2, height=9)
    )
    book.block(hub, "rules of a later height are voted in", propose, at=START_S + 1, events=[])


CASES = (gates, settlements, capped_work, upgrades)
