"""Records of trade: Ann bought 2 kWh of Bob in a slot that is settled."""

from __future__ import annotations

from functools import partial
from typing import Any

from book import Book
from recording import awards, record, settled
from small_hub import END_S, SETTLE_LAG_S, WINDOW_S, SmallHub, end_s, public, round_id

from peerwatt.records import transactions as tx
from peerwatt.records.codec import digest
from peerwatt.records.receipts import Reason
from peerwatt.records.trades import MAX_TAGS


def _no(
    book: Book, hub: SmallHub, reason: Reason, field: str, *, note: str = "", **changed: Any
) -> None:
    book.refused_bytes(hub, tx.RecordTrade, record(hub, **changed), reason, field, note)


def accepted(book: Book) -> None:
    hub = settled(slots=2)
    no = partial(_no, book, hub)
    first = book.accepted_bytes(hub, tx.RecordTrade, record(hub), "both histories begin")
    no(Reason.ALREADY_RECORDED, "order_id", history=first, seller_history=first)
    no(Reason.WRONG_HISTORY, "history", slot=1, seller_history=first)
    no(Reason.WRONG_HISTORY, "seller_history", slot=1, history=first)
    second = record(hub, slot=1, history=first, seller_history=first, tags=())
    book.accepted_bytes(hub, tx.RecordTrade, second, "both histories go on")


def whose(book: Book) -> None:
    hub = settled()
    no = partial(_no, book, hub)
    bought, sold = awards(hub)
    no(Reason.UNKNOWN_PURCHASE, "order_id", order_id=digest(b"no order"))
    no(Reason.UNKNOWN_PURCHASE, "order_id", note="a sale", order_id=sold)
    no(Reason.NOT_PERMITTED, "signer", by="cat")
    no(Reason.UNKNOWN_SALE, "sale_id", sale_id=digest(b"no order"))
    no(Reason.UNKNOWN_SALE, "sale_id", note="a purchase", sale_id=bought)
    no(Reason.UNKNOWN_SALE, "sale_id", note="another's", seller=public("cat"), cosigner="cat")
    no(Reason.BAD_COSIGNATURE, "cosigner", note="nobody", cosigner="")
    no(Reason.BAD_COSIGNATURE, "cosigner", note="somebody else", cosigner="cat")


def what_it_says(book: Book) -> None:
    hub = settled()
    no = partial(_no, book, hub)
    no(Reason.TOO_MANY, "tags", tags=tuple(f"tag-{at}" for at in range(MAX_TAGS + 1)))
    no(Reason.OUT_OF_ORDER, "tags", tags=("b", "a"))
    no(Reason.OUT_OF_RANGE, "time_s", note="before the slot's end", time_s=end_s(0) - 1)
    no(Reason.OUT_OF_RANGE, "time_s", note="after its block", time_s=hub.now_s + 1)
    no(Reason.MALFORMED, "body", body=b"")
    no(Reason.MALFORMED, "body", note="a body too large", body=bytes(2_049))


def nothing_traded(book: Book) -> None:
    hub = settled(taken_wh=0)
    _no(book, hub, Reason.NOTHING_TRADED, "order_id", note="nothing bought")
    hub = settled(given_wh=0)
    _no(book, hub, Reason.NOTHING_TRADED, "sale_id", note="nothing sold")


def own_sale(book: Book) -> None:
    """Ann is plugged in at two ports, and sells to herself."""
    hub = settled(seller="ann")
    _no(book, hub, Reason.BAD_COSIGNATURE, "cosigner", seller=public("ann"), cosigner="ann")


def when(book: Book) -> None:
    hub = settled(report=False)
    no = partial(_no, book, hub)
    no(Reason.UNKNOWN_ROUND, "round_id", round_id=round_id(7))
    no(Reason.TOO_EARLY, "round_id")
    hub = settled()
    hub.block(at=end_s(0) + SETTLE_LAG_S + WINDOW_S - 1)
    last = record(hub, valid_until_s=END_S)
    at = end_s(0) + SETTLE_LAG_S + WINDOW_S
    vector_note = "a record in the block in which the window ends comes too late"
    book.block(hub, vector_note, last, at=at, events=["ended"])
    _no(book, hub, Reason.TOO_LATE, "round_id")


CASES = (accepted, whose, what_it_says, nothing_traded, own_sale, when)
