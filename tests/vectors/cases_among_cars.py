"""Auctions among cars: what orders they take, each mechanism's clearing, limits for a second round.

Ann and Bob bid 280,000 and 200,000, Cat and Dan ask 100,000 and 150,000, each for 2 kWh; fees are
20,000, retail 300,000 and feed-in 80,000.
"""

from __future__ import annotations

from functools import partial

from book import Book
from small_hub import (
    CLEAR_LEAD_S,
    FEED_IN,
    FIRST_SLOT_S,
    GATE_LEAD_S,
    RETAIL,
    SmallHub,
    round_id,
)

from peerwatt.records import transactions as tx
from peerwatt.records.codec import digest
from peerwatt.records.market import Mechanism
from peerwatt.records.receipts import Reason

GATE_S, CLEAR_BY_S = FIRST_SLOT_S - GATE_LEAD_S, FIRST_SLOT_S - CLEAR_LEAD_S
LOW, HIGH, LIMIT = (
    "price_low_ucoin_per_kwh",
    "price_high_ucoin_per_kwh",
    "limit_ucoin_per_kwh",
)
SWEEPS = [each for each in Mechanism if each.among_cars and each != Mechanism.V2V]
CURVE = {"min_wh": 1_000, "max_wh": 1_000, HIGH: RETAIL}
COST = {"max_wh": 1_000, "ask_ucoin_per_kwh": 0, "slope_ucoin_per_kwh2": 1}


def opened(mechanism: Mechanism) -> SmallHub:
    lot_wh = 1_500 if mechanism == Mechanism.SBBA else 0
    hub = SmallHub().site().drivers("ann", "bob", "cat", "dan")
    return hub.open(mechanism=mechanism, lot_wh=lot_wh)


def rounds(book: Book) -> None:
    hub = SmallHub().site()
    no = partial(book.refused, hub, tx.OpenRound, "operator", Reason.OUT_OF_RANGE, "lot_wh")
    no(note="no size where one is due", mechanism=Mechanism.SBBA)
    no(note="a size where none is asked for", mechanism=Mechanism.MCAFEE, lot_wh=1)
    book.accepted(hub, tx.OpenRound, "operator", mechanism=Mechanism.SBBA, lot_wh=1_500)


def orders(book: Book) -> None:
    hub, out = opened(Mechanism.MCAFEE), Reason.OUT_OF_RANGE
    flat = {LOW: 200_000, HIGH: 200_000}
    buys = partial(book.refused, hub, tx.PlaceBuyOrder, "ann", out, port="p1")
    buys(LOW, note="a curve")
    buys(LIMIT, note="a second limit", **flat, **{LIMIT: 1})
    buys(HIGH, note="below feed-in", **{LOW: FEED_IN - 1, HIGH: FEED_IN - 1})
    buys(HIGH, note="above retail", **{LOW: RETAIL + 1, HIGH: RETAIL + 1})
    sells = partial(book.refused, hub, tx.PlaceSellOrder, "bob", out, port="p2")
    sells("slope_ucoin_per_kwh2", note="a slope")
    sells(LIMIT, note="a second limit", slope_ucoin_per_kwh2=0, **{LIMIT: 1})
    asks = partial(sells, "ask_ucoin_per_kwh", slope_ucoin_per_kwh2=0)
    asks(note="below feed-in", ask_ucoin_per_kwh=FEED_IN - 1)
    asks(note="above retail", ask_ucoin_per_kwh=RETAIL + 1)
    two = opened(Mechanism.V2V)
    for kind, port in ((tx.PlaceBuyOrder, "p1"), (tx.PlaceSellOrder, "p1")):
        for limit, note in ((FEED_IN - 1, "below feed-in"), (RETAIL + 1, "above retail")):
            fields = {"port": port, LIMIT: limit}
            book.refused(two, kind, "ann", out, LIMIT, note=f"{kind.__name__} {note}", **fields)
    book.accepted(two, tx.PlaceBuyOrder, "ann", note="V2V", port="p1", **{LIMIT: RETAIL})


def each_sweep(book: Book) -> None:
    for mechanism in SWEEPS:
        hub = opened(mechanism)
        for name, bid in (("ann", 280_000), ("bob", 200_000)):
            hub.buy(name, min_wh=0, **{LOW: bid, HIGH: bid})
        for name, ask in (("cat", 100_000), ("dan", 150_000)):
            hub.sell(name, ask_ucoin_per_kwh=ask, slope_ucoin_per_kwh2=0)
        book.block(hub, f"{mechanism.name} clears", at=GATE_S, events=["cleared"])


def two_rounds(book: Book) -> None:
    """The first round's price is 185,000 for the one and 165,000 for the other side."""
    hub = opened(Mechanism.V2V)
    hub.buy("ann", **CURVE, **{LIMIT: 250_000})
    bob = hub.buy("bob", **CURVE, **{LIMIT: 150_000})
    hub.sell("cat", **COST, **{LIMIT: 100_000})
    dan = hub.sell("dan", **COST, **{LIMIT: 200_000})
    no = partial(book.refused, hub, tx.ReviseOrder)
    own = {"order_id": bob, LIMIT: 210_000}
    no("bob", Reason.TOO_EARLY, "round_id", **own)
    no("bob", Reason.UNKNOWN_ROUND, "round_id", round_id=round_id(1), **own)
    book.block(hub, "the first of two rounds", at=GATE_S, events=["closed"])
    no("bob", Reason.UNKNOWN_ORDER, "order_id", order_id=digest(b"none"), **{LIMIT: 210_000})
    no("ann", Reason.NOT_PERMITTED, "signer", **own)
    out = partial(no, reason=Reason.OUT_OF_RANGE, field=LIMIT)
    out("bob", note="short of the first price", order_id=bob, **{LIMIT: 184_999})
    out("bob", note="above retail", order_id=bob, **{LIMIT: RETAIL + 1})
    out("dan", note="short of the first price, of a seller", order_id=dan, **{LIMIT: 165_001})
    out("dan", note="below feed-in", order_id=dan, **{LIMIT: FEED_IN - 1})
    book.accepted(hub, tx.ReviseOrder, "bob", **own)
    no("bob", Reason.ALREADY_EXISTS, "order_id", **own)
    book.accepted(hub, tx.ReviseOrder, "dan", note="a seller", order_id=dan, **{LIMIT: 150_000})
    book.block(hub, "the second of two rounds", at=CLEAR_BY_S, events=["cleared"])
    no("bob", Reason.TOO_LATE, "round_id", **own)


def no_second_round(book: Book) -> None:
    hub = SmallHub().site().drivers("ann").open(mechanism=Mechanism.WELFARE_PAIRS)
    order_id = hub.buy("ann")
    hub.gate()
    fields = {"order_id": order_id, LIMIT: 200_000}
    book.refused(hub, tx.ReviseOrder, "ann", Reason.OUT_OF_RANGE, "round_id", **fields)


CASES = (rounds, orders, each_sweep, two_rounds, no_second_round)
