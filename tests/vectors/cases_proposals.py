"""Proposed clearings: Ann's curve ends at 200,000 with 2 kWh, which Bob serves best at 190,000."""

from __future__ import annotations

from functools import partial
from typing import Any

from book import Book
from proposing import limit, proposal
from small_hub import (
    CLEAR_LEAD_S,
    FIRST_SLOT_S,
    GATE_LEAD_S,
    SmallHub,
    round_id,
)

from peerwatt.records import transactions as tx
from peerwatt.records.codec import digest
from peerwatt.records.market import Mechanism, prices_hash
from peerwatt.records.receipts import Reason
from peerwatt.units import PCOIN_PER_UCOIN

CLEAR_BY_S = FIRST_SLOT_S - CLEAR_LEAD_S
HONEST = {"ann": 190_000, "bob": 170_000}


def closed(**buy: Any) -> SmallHub:
    """The gate has fallen over Ann's and Bob's orders."""
    hub = SmallHub().site().drivers("ann", "bob")
    hub.done(hub.minted("regulator", 100))
    hub.open(mechanism=Mechanism.WELFARE_PAIRS)
    hub.buy("ann", **buy)
    hub.sell("bob")
    hub.block(at=FIRST_SLOT_S - GATE_LEAD_S)
    return hub


def _no(
    book: Book,
    hub: SmallHub,
    reason: Reason,
    field: str,
    *,
    by: str = "operator",
    at: dict[str, int] | int = HONEST,
    note: str = "",
    **fields: Any,
) -> None:
    transaction = proposal(hub, by, at=at, **fields)
    book.refused_bytes(hub, tx.ProposeClearing, transaction, reason, field, note)


def accepted(book: Book) -> None:
    hub = closed()
    yes = partial(book.accepted_bytes, hub, tx.ProposeClearing)
    yes(proposal(hub, at=HONEST | {"ann": 189_990}), "the first that proves a clearing")
    yes(proposal(hub, "regulator", at=HONEST), "a smaller gap")
    _no(book, hub, Reason.ALREADY_EXISTS, "prices_hash", by="regulator")
    _no(book, hub, Reason.CONFLICTING, "prices_hash")
    book.block(hub, "the smallest gap clears", at=CLEAR_BY_S, events=["cleared"])


def in_parts(book: Book) -> None:
    hub = closed()
    prices = tuple(
        HONEST[{"p1": "ann", "p2": "bob"}[order.port]] * 1_000_000
        for _, order in hub.host.items("orders", round_id())
    )
    first = proposal(hub, at=HONEST, parts=2, prices=prices[:1])
    book.accepted_bytes(hub, tx.ProposeClearing, first, "a first part")
    no = partial(_no, book, hub, Reason.OUT_OF_ORDER)
    no("part", part=2, parts=3)
    no("prices_hash", part=1, parts=2, prices_hash=bytes(32))
    last = proposal(hub, at=HONEST, part=1, parts=2, prices=prices[1:])
    book.accepted_bytes(hub, tx.ProposeClearing, last, "the last part")


def who_and_when(book: Book) -> None:
    hub = SmallHub().site().drivers("ann").open(0, mechanism=Mechanism.WELFARE_PAIRS).open(1)
    hub.buy("ann")
    at = {"ann": 300_000}
    no = partial(_no, book, hub, at=at)
    no(Reason.TOO_EARLY, "round_id")
    hub.block(at=FIRST_SLOT_S - GATE_LEAD_S)
    no(Reason.UNKNOWN_ROUND, "round_id", round_id=round_id(7))
    no(Reason.NOT_PERMITTED, "signer", by="ann")
    no(Reason.OUT_OF_RANGE, "round_id", round_id=round_id(1))
    no(Reason.UNFUNDED, "signer", by="regulator")
    no(Reason.TOO_MANY, "parts", parts=0)
    late = proposal(hub, at=at)
    note = "a clearing proposed at clear_by_s comes too late: the grid alone"
    book.block(hub, note, late, at=CLEAR_BY_S, events=["cleared"])
    late = hub.sign(tx.ProposeClearing, "operator", **_OF_NOTHING)
    book.refused_bytes(hub, tx.ProposeClearing, late, Reason.TOO_LATE, "round_id", "")


_OF_NOTHING: dict[str, Any] = {
    "orders_root": bytes(32), "prices_hash": digest(b""), "prices": ()
}  # fmt: skip


def lies(book: Book) -> None:
    hub = closed()
    ann, bob = _places(hub)
    no = partial(_no, book, hub)
    no(Reason.WRONG_BOOK, "orders_root", orders_root=bytes(32))
    no(Reason.INCOMPLETE, "prices_hash", prices_hash=bytes(32))
    no(Reason.INCOMPLETE, "prices", note="more prices than orders", prices=(1, 2, 3))
    no(
        Reason.INCOMPLETE,
        "prices",
        note="fewer prices than orders",
        prices=(),
        prices_hash=digest(b""),
    )
    no(Reason.BELOW_COST, f"prices[{bob}]", at=HONEST | {"bob": 169_999})
    no(Reason.AGAINST_BID, f"prices[{ann}]", at=HONEST | {"ann": 191_000})
    no(Reason.NOT_OPTIMAL, "prices", at=HONEST | {"ann": 188_000})
    hub = closed(max_wh=2_750)
    _no(book, hub, Reason.BEYOND_LIMIT, f"prices[{_places(hub)[1]}]", at=HONEST | {"ann": 195_000})


def _places(hub: SmallHub) -> tuple[int, int]:
    """Where Ann's and Bob's orders stand in the book."""
    ports = [order.port for _, order in hub.host.items("orders", round_id())]
    return ports.index("p1"), ports.index("p2")


def slopes(book: Book) -> None:
    hub = SmallHub().site().drivers("bob").open(mechanism=Mechanism.WELFARE_PAIRS)
    slope = "slope_ucoin_per_kwh2"
    book.refused(hub, tx.PlaceSellOrder, "bob", Reason.OUT_OF_RANGE, slope, port="p2", **{slope: 0})


def limited(mechanism: Mechanism, **feeders: tuple[int, int]) -> SmallHub:
    """The gate has fallen over Ann's and Bob's orders, hers behind east and his behind west."""
    hub = limit(SmallHub().site().drivers("ann", "bob"), **feeders).open(mechanism=mechanism)
    hub.buy("ann")
    hub.sell("bob")
    hub.block(at=FIRST_SLOT_S - GATE_LEAD_S)
    return hub


def one_price(book: Book) -> None:
    """East carries 1 kWh, at which Ann's marginal value is 300,000 and Bob's cost 180,000."""
    hub = limited(Mechanism.WELFARE_PROPOSED, east=(4_000, 0))
    no = partial(_no, book, hub)
    at: dict[str, Any] = {"at": 180_000, "feeders": (120_000,)}
    of_east = prices_hash((), (120_000 * PCOIN_PER_UCOIN,))
    note = "no price of the bus"
    no(Reason.INCOMPLETE, "prices", note=note, prices=(), prices_hash=of_east, **at)
    no(Reason.INCOMPLETE, "feeder_prices", note="none of the feeder", at=180_000)
    more = (120_000, 0)
    no(Reason.INCOMPLETE, "feeder_prices", note="too many", at=180_000, feeders=more)
    no(Reason.AGAINST_BID, "prices[0]", at=500_001, feeders=(-1,))
    no(Reason.AGAINST_BID, "feeder_prices[0]", at=180_000, feeders=(320_001,))
    no(Reason.BEYOND_LIMIT, "feeder_prices[0]", at=180_000, feeders=(110_000,))
    no(Reason.NOT_OPTIMAL, "prices", note="less than east carries", at=180_000, feeders=(130_000,))
    yes = proposal(hub, **at)
    book.accepted_bytes(hub, tx.ProposeClearing, yes, "one price a feeder")
    note = "a feeder's limit is kept, and its rent goes to the pot"
    book.block(hub, note, at=CLEAR_BY_S, events=["cleared"])


def pairs(book: Book) -> None:
    """The same in pairs: Ann's own price is 300,000, and Bob's reserve is what he costs."""
    hub = limited(Mechanism.WELFARE_PAIRS, east=(4_000, 0), west=(0, 20_000))
    no = partial(_no, book, hub)
    at = {"ann": 300_000, "bob": 170_000}
    no(Reason.INCOMPLETE, "feeder_prices", note="of pairs", at=at, feeders=(120_000,))
    lavish = {"at": at | {"ann": 200_000}, "feeders": (10_000, 0)}
    no(Reason.BEYOND_LIMIT, "feeder_prices[0]", note="east carries half of it", **lavish)
    note = "a price of west, which is not full"
    no(Reason.NOT_OPTIMAL, "prices", note=note, at=at, feeders=(110_000, -10_000))
    yes = proposal(hub, at=at, feeders=(120_000, 0))
    book.accepted_bytes(hub, tx.ProposeClearing, yes, "pairs behind feeders")
    note = "a feeder's limit is kept in pairs"
    book.block(hub, note, at=CLEAR_BY_S, events=["cleared"])


def withheld_behind_feeders(book: Book) -> None:
    hub = limited(Mechanism.WELFARE_PROPOSED, east=(4_000, 0))
    note = "nobody proposes: the grid alone, within the feeder's limit"
    book.block(hub, note, at=CLEAR_BY_S, events=["cleared"])


CASES = (accepted, in_parts, who_and_when, lies, slopes, one_price, pairs, withheld_behind_feeders)
