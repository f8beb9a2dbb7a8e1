"""Sealed orders: what is refused before the gate and after it, and what withholding costs."""

from __future__ import annotations

from functools import partial

from book import Book
from small_hub import CHAIN_ID, CLEAR_LEAD_S, FIRST_SLOT_S, GATE_LEAD_S, SmallHub, public, round_id

from peerwatt.records import transactions as tx
from peerwatt.records.codec import digest
from peerwatt.records.market import NO_HASH
from peerwatt.records.receipts import Reason
from peerwatt.records.sealed import DEPOSITS_UCOIN, BuyTerms, SellTerms, Terms, commitment_of

GATE_S, CLEAR_BY_S = FIRST_SLOT_S - GATE_LEAD_S, FIRST_SLOT_S - CLEAR_LEAD_S
REVEAL_BY_S = GATE_S + 15
SALT = digest(b"salt")
BUY = BuyTerms(
    min_wh=500,
    max_wh=2_000,
    price_high_ucoin_per_kwh=400_000,
    price_low_ucoin_per_kwh=200_000,
)
SELL = SellTerms(max_wh=2_000, ask_ucoin_per_kwh=150_000, slope_ucoin_per_kwh2=10_000)
NONE = digest(b"none")


def sealed(name: str, port: str, terms: Terms, rung: int = 1) -> dict[str, object]:
    bound = commitment_of(CHAIN_ID, public(name), round_id(), port, terms, SALT)
    return {"port": port, "deposit_ucoin": DEPOSITS_UCOIN[rung], "commitment": bound}


def opened(**fields: int) -> SmallHub:
    return SmallHub(**fields).site().drivers("ann", "bob", "cat").open(reveal_by_s=REVEAL_BY_S)


def rounds(book: Book) -> None:
    hub = SmallHub().site().drivers("ann")
    order = Reason.OUT_OF_ORDER
    for note, at in (("with the gate", GATE_S), ("before the gate", GATE_S - 1)):
        book.refused(hub, tx.OpenRound, "operator", order, "reveal_by_s", note=note, reveal_by_s=at)
    late = {"reveal_by_s": CLEAR_BY_S}
    book.refused(hub, tx.OpenRound, "operator", order, "clear_by_s", note="no time left", **late)
    book.accepted(hub, tx.OpenRound, "operator", note="sealed", reveal_by_s=REVEAL_BY_S)
    for kind in (tx.PlaceBuyOrder, tx.PlaceSellOrder):
        book.refused(hub, kind, "ann", Reason.SEALED_ONLY, "round_id", port="p1")
    plain = SmallHub().site().drivers("ann").open()
    ann = sealed("ann", "p1", BUY)
    book.refused(plain, tx.SealOrder, "ann", Reason.NOT_SEALED, "round_id", **ann)
    shown = {"order_id": NONE, "terms": BUY, "salt": SALT}
    book.refused(plain, tx.RevealOrder, "ann", Reason.NOT_SEALED, "round_id", **shown)


def seals(book: Book) -> None:
    hub = opened(max_orders=2)
    no = partial(book.refused, hub, tx.SealOrder, "ann")
    ann = sealed("ann", "p1", BUY)
    no(Reason.UNKNOWN_ROUND, "round_id", round_id=round_id(7), **ann)
    no(Reason.UNKNOWN_PORT, "port", **(ann | {"port": "p9"}))
    no(Reason.NOT_PLUGGED_IN, "port", **(ann | {"port": "p2"}))
    no(Reason.OUT_OF_RANGE, "deposit_ucoin", **(ann | {"deposit_ucoin": DEPOSITS_UCOIN[1] + 1}))
    no(Reason.UNFUNDED, "deposit_ucoin", **(ann | {"deposit_ucoin": DEPOSITS_UCOIN[4]}))
    first = book.accepted(hub, tx.SealOrder, "ann", **ann)
    no(Reason.ALREADY_EXISTS, "port", **ann)
    book.refused(hub, tx.CancelOrder, "bob", Reason.NOT_PERMITTED, "signer", order_id=first,
                 note="sealed")  # fmt: skip
    book.accepted(hub, tx.CancelOrder, "ann", note="sealed", order_id=first)
    for name, port in (("ann", "p1"), ("bob", "p2")):
        hub.do(tx.SealOrder, name, **sealed(name, port, BUY))
    cat = sealed("cat", "p3", BUY)
    book.refused(hub, tx.SealOrder, "cat", Reason.TOO_MANY, "round_id", **cat)
    hub.block(at=GATE_S)
    no(Reason.TOO_LATE, "round_id", **ann)


def reveals(book: Book) -> None:
    hub = opened()
    wrong = BuyTerms(
        min_wh=3_000,
        max_wh=2_000,
        price_high_ucoin_per_kwh=400_000,
        price_low_ucoin_per_kwh=200_000,
    )
    dear = SellTerms(max_wh=2_000, ask_ucoin_per_kwh=150_000, slope_ucoin_per_kwh2=10_000)
    ann = hub.do(tx.SealOrder, "ann", **sealed("ann", "p1", BUY))
    bob = hub.do(tx.SealOrder, "bob", **sealed("bob", "p2", dear, rung=0))
    cat = hub.do(tx.SealOrder, "cat", **sealed("cat", "p3", wrong))
    no = partial(book.refused, hub, tx.RevealOrder)
    own = {"order_id": ann, "terms": BUY, "salt": SALT}
    no("ann", Reason.TOO_EARLY, "round_id", **own)
    no("ann", Reason.UNKNOWN_ROUND, "round_id", round_id=round_id(7), **own)
    book.block(hub, "the gate of sealed orders", at=GATE_S, events=[])
    no("ann", Reason.UNKNOWN_ORDER, "order_id", **(own | {"order_id": NONE}))
    no("bob", Reason.NOT_PERMITTED, "signer", **own)
    no("ann", Reason.WRONG_COMMITMENT, "terms", note="salt", **(own | {"salt": NO_HASH}))
    no("ann", Reason.WRONG_COMMITMENT, "terms", note="terms", **(own | {"terms": SELL}))
    no("cat", Reason.OUT_OF_RANGE, "terms", order_id=cat, terms=wrong, salt=SALT)
    no("bob", Reason.OVER_LIMIT, "terms", order_id=bob, terms=dear, salt=SALT)
    book.accepted(hub, tx.RevealOrder, "ann", **own)
    no("ann", Reason.UNKNOWN_ORDER, "order_id", note="again", **own)
    late = hub.sign(tx.RevealOrder, "bob", order_id=bob, terms=dear, salt=SALT)
    events = ["withheld", "withheld", "cleared"]
    book.block(hub, "two are not shown: TOO_LATE", late, at=REVEAL_BY_S, events=events)


def nobody(book: Book) -> None:
    hub = opened()
    bob = hub.do(tx.SealOrder, "bob", **sealed("bob", "p2", SELL, rung=2))
    hub.block(at=GATE_S)
    book.accepted(hub, tx.RevealOrder, "bob", note="an offer", order_id=bob, terms=SELL, salt=SALT)
    hub = opened()
    hub.do(tx.SealOrder, "bob", **sealed("bob", "p2", SELL))
    book.block(hub, "nothing is shown", at=REVEAL_BY_S, events=["withheld", "void"])


CASES = (rounds, seals, reveals, nobody)
