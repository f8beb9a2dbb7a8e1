"""Auctions: Ann bids 285,000 for what Bob asks 170,000 a kWh for, with fees 190,000: 1.5 kWh."""

from __future__ import annotations

from functools import partial
from typing import Any

from auctioning import FLAT, GATE_S, LIMIT, auction_end, auctioned, ended, talk_of
from book import Book
from msgspec.structs import replace
from small_hub import CLEAR_LEAD_S, FIRST_SLOT_S, PORTS, SmallHub, key, round_id

from peerwatt.records import transactions as tx
from peerwatt.records.auction import (
    MAX_PAIRS,
    STALL_ITERATIONS,
    Bid,
    Rents,
    Stalled,
    said,
    sign_bid,
)
from peerwatt.records.codec import digest
from peerwatt.records.market import Mechanism, SlotLimit
from peerwatt.records.receipts import Reason
from peerwatt.units import PCOIN_PER_UCOIN

CLEAR_BY_S = FIRST_SLOT_S - CLEAR_LEAD_S
HALF_S, ANSWER_S = GATE_S + 15, GATE_S + 23
PAID, ASKED = {"ann": (285_000, 0)}, {"bob": (170_000,)}
KIND = tx.ProposeAuction


def order_id(hub: SmallHub, name: str) -> bytes:
    found = {order.port: key for key, order in hub.host.items("orders", round_id())}
    return found[PORTS[name]]


def honest(hub: SmallHub, **changes: Any) -> dict[str, Any]:
    return ended(talk_of(hub), **({"paid": PAID, "asked": ASKED} | changes))


def orders(book: Book) -> None:
    """They say no more than a limit."""
    hub = SmallHub().site().drivers("ann", "bob").open(mechanism=Mechanism.ITERATIVE_AUCTION)
    curve = {"price_low_ucoin_per_kwh": 399_999, "price_high_ucoin_per_kwh": 400_000}
    no, out = partial(book.refused, hub), Reason.OUT_OF_RANGE
    no(tx.PlaceBuyOrder, "ann", out, "price_low_ucoin_per_kwh", note="a curve", port="p1", **curve)
    no(tx.PlaceSellOrder, "bob", out, "slope_ucoin_per_kwh2", note="a slope", port="p2")
    book.accepted(hub, tx.PlaceBuyOrder, "ann", note="a limit alone", port="p1", **LIMIT)
    book.accepted(hub, tx.PlaceSellOrder, "bob", note="a reserve alone", port="p2", **FLAT)


def accepted(book: Book) -> None:
    hub = auctioned()
    worse = honest(hub, paid={"ann": (285_000, 3_000)}, rents={"bob": 10})
    book.accepted_bytes(hub, KIND, auction_end(hub, worse), "some rent of who is not sold out")
    book.accepted_bytes(hub, KIND, auction_end(hub, honest(hub), "regulator"), "a smaller gap")
    again = auction_end(hub, honest(hub), "regulator")
    book.refused_bytes(hub, KIND, again, Reason.ALREADY_EXISTS, "round_id")
    third = auction_end(hub, worse | {"run": 1}, "supplier")
    book.accepted_bytes(hub, KIND, third, "a larger gap, which changes nothing")
    book.block(hub, "the auction with the smallest gap clears", at=CLEAR_BY_S, events=["cleared"])


def limits(book: Book) -> None:
    """Rents: Bob is sold out, the grid is full, Ann at her maximum, Cat at her minimum; and Dan
    would pay more than he may."""
    hub = SmallHub().site().drivers("ann", "bob", "cat", "dan")
    hub.open(mechanism=Mechanism.ITERATIVE_AUCTION)
    hub.buy("ann", min_wh=0, **LIMIT)
    hub.buy("cat", **LIMIT)
    low = {"price_high_ucoin_per_kwh": 200_000, "price_low_ucoin_per_kwh": 200_000}
    hub.buy("dan", min_wh=300, **low)
    hub.sell("bob", max_wh=1_250, **FLAT)
    hub.block(at=GATE_S)
    # Ann gets 0.5 kWh of Bob at 250,000 and 1.5 of the grid at 330,000, her rent inside, Cat 0.25
    # at 170,000 and at 270,000, Dan 0.5 of Bob at 230,000.
    paid = {"ann": (125_000, 495_000), "cat": (42_500, 67_500), "dan": (115_000, 0)}
    names = [{port: name for name, port in PORTS.items()}[o.port] for o in talk_of(hub).sides[0]]
    asked = {"bob": tuple({"ann": 190_000, "cat": 170_000, "dan": 200_000}[n] for n in names)}
    rents = {"ann": 30_000, "cat": -30_000, "bob": 10_000}
    fields = ended(talk_of(hub), paid=paid, asked=asked, rents=rents)
    book.accepted_bytes(hub, KIND, auction_end(hub, fields), "with rents on all sides")
    book.block(hub, "who would pay too much keeps its minimum", at=CLEAR_BY_S, events=["cleared"])


def scarce(book: Book) -> None:
    """Bob has 600 Wh for two minima of 500, and the connection is cut: bids share them, and what is
    bid on the grid counts for nothing."""
    hub = SmallHub().site().drivers("ann", "bob", "cat")
    cut = SlotLimit(slot_start_s=FIRST_SLOT_S, import_limit_w=0, export_limit_w=0)
    hub.do(tx.PublishLimits, "grid", limits=(cut,))
    hub.open(mechanism=Mechanism.ITERATIVE_AUCTION)
    for name in ("ann", "cat"):
        hub.buy(name, **LIMIT)
    hub.sell("bob", max_wh=600, **FLAT)
    hub.block(at=GATE_S)
    paid = {"ann": (60_000, 9_000), "cat": (60_000, 0)}
    fields = ended(talk_of(hub), paid=paid, asked={"bob": (170_000,) * 2}, rents={"bob": 10_000})
    book.accepted_bytes(hub, KIND, auction_end(hub, fields), "too little for all minima")
    book.block(hub, "minima share what there is", at=CLEAR_BY_S, events=["cleared"])


def who_and_when(book: Book) -> None:
    hub = SmallHub().site().drivers("ann", "bob")
    hub.open(mechanism=Mechanism.ITERATIVE_AUCTION).open(1, mechanism=Mechanism.WELFARE_PAIRS)
    hub.buy("ann", **LIMIT)
    hub.sell("bob", **FLAT)
    hub.buy("ann", slot=1)
    early = auction_end(hub, honest(hub))
    book.refused_bytes(hub, KIND, early, Reason.TOO_EARLY, "round_id")
    hub.block(at=GATE_S)
    unknown = auction_end(hub, honest(hub) | {"round_id": round_id(7)})
    book.refused_bytes(hub, KIND, unknown, Reason.UNKNOWN_ROUND, "round_id")
    book.refused_bytes(
        hub, KIND, auction_end(hub, honest(hub), "ann"), Reason.NOT_PERMITTED, "signer"
    )
    poor = auction_end(hub, honest(hub), "regulator")
    book.refused_bytes(hub, KIND, poor, Reason.UNFUNDED, "signer")
    priced = {"orders_root": hub.round().orders_root, "prices_hash": digest(b""), "prices": ()}
    note = "prices for an auction"
    book.refused(
        hub, tx.ProposeClearing, "operator", Reason.OUT_OF_RANGE, "round_id", note=note, **priced
    )
    late = auction_end(hub, honest(hub))
    note = "an auction proposed at clear_by_s comes too late: the grid alone"
    book.block(hub, note, late, at=CLEAR_BY_S, events=["cleared"])
    hub.block(at=GATE_S + 900)
    pairs = auction_end(hub, honest_of_nothing(hub) | {"round_id": round_id(1)})
    book.refused_bytes(hub, KIND, pairs, Reason.OUT_OF_RANGE, "round_id", "an auction of pairs")


def honest_of_nothing(hub: SmallHub) -> dict[str, Any]:
    """An end without orders."""
    return talk_of(hub).end([], [], rents=Rents(buyers=(), sellers=(), grid=0), told=[])


def lies(book: Book) -> None:
    hub = auctioned()
    fields = honest(hub)
    no = partial(_no, book, hub)
    [ann, bob] = fields["bids"]
    no(fields | {"orders_root": bytes(32)}, Reason.WRONG_BOOK, "orders_root")
    no(fields | {"iteration": 0}, Reason.OUT_OF_RANGE, "iteration")
    long = replace(ann.latest, amounts=(0,) * (2 * MAX_PAIRS + 1))
    no(fields | {"bids": (replace(ann, latest=long), bob)}, Reason.TOO_MANY, "bids")
    no(fields | {"bids": (ann,)}, Reason.INCOMPLETE, "bids", "an order dropped")
    rents = replace(fields["rents"], sellers=())
    no(fields | {"rents": rents}, Reason.INCOMPLETE, "rents")
    short = replace(bob.previous, amounts=())
    no(fields | {"bids": (ann, replace(bob, previous=short))}, Reason.INCOMPLETE, "bids[1]")
    no(honest(hub, asked={"bob": (149_999,)}), Reason.BELOW_COST, "bids[1]")
    no(honest(hub, paid={"ann": (285_000, 565_001)}), Reason.UNBACKED_BID, "bids[0]")
    no(fields | {"run": 2}, Reason.BAD_BID_SIGNATURE, "bids[0]", "of another run")
    no(fields | {"iteration": 8}, Reason.BAD_BID_SIGNATURE, "bids[0]", "of another iteration")
    forged = talk_of(hub).bid(talk_of(hub).invited[1], 7, bob.latest.amounts, by="ann")
    bids = (ann, replace(bob, latest=forged))
    no(fields | {"bids": bids}, Reason.BAD_BID_SIGNATURE, "bids[1]", "signed by another")
    early = [[285_286 * PCOIN_PER_UCOIN, 0], [170_000 * PCOIN_PER_UCOIN]]
    no(honest(hub, latest=early), Reason.NOT_SETTLED, "bids")
    moved = Rents(buyers=(1,), sellers=(0,), grid=0)
    no(fields | {"rents": moved}, Reason.NOT_ANSWERED, "bids[0]", "another rent")


def _no(
    book: Book,
    hub: SmallHub,
    fields: dict[str, Any],
    reason: Reason,
    field: str,
    note: str = "",
) -> None:
    book.refused_bytes(hub, KIND, auction_end(hub, fields), reason, field, note)


def false_ends(book: Book) -> None:
    """Everybody has answered it, and it is no optimum."""
    hub = auctioned()
    no = partial(_no, book, hub)
    away = Rents(buyers=(-190_000 * PCOIN_PER_UCOIN,), sellers=(0,), grid=0)
    told = [(0, 0), (0,)]
    free = honest(hub, shown=away, told=told)
    no(free, Reason.NOT_OPTIMAL, "rents[0]", "energy for nothing")
    nearly = Rents(buyers=(1 - 190_000 * PCOIN_PER_UCOIN,), sellers=(0,), grid=0)
    cheap = honest(hub, shown=nearly, told=told)
    no(cheap, Reason.AGAINST_BID, "rents[0]", "more energy than can be written, for nearly nothing")
    no(honest(hub, paid={"ann": (285_000, 151_000)}), Reason.AGAINST_BID, "rents[0]", "too much")
    no(honest(hub, paid={"ann": (85_000, 0)}), Reason.AGAINST_BID, "rents[0]", "not the minimum")
    hub = auctioned(("ann", "cat"))
    no = partial(_no, book, hub)
    two = {"paid": {"ann": (285_000, 0), "cat": (285_000, 0)}, "asked": {"bob": (170_000,) * 2}}
    no(honest(hub, **two), Reason.BEYOND_LIMIT, "rents[2]", "more than Bob offers")
    idle = honest(hub, **two, rents={"bob": 200_000})
    no(idle, Reason.NOT_OPTIMAL, "rents", "a rent of who is not sold out")


def absences(book: Book) -> None:
    hub = auctioned(("ann", "cat"), ("bob", "dan"))
    ids = sorted(order_id(hub, name) for name in ("cat", "dan"))
    report, confirm = {"order_ids": tuple(ids)}, {"order_id": order_id(hub, "cat")}
    no = partial(book.refused, hub, tx.ReportAbsence)
    no("operator", Reason.UNKNOWN_ROUND, "round_id", round_id=round_id(7), **report)
    no("grid", Reason.NOT_PERMITTED, "signer", **report)
    no("operator", Reason.TOO_MANY, "order_ids", order_ids=())
    no("operator", Reason.OUT_OF_ORDER, "order_ids", order_ids=tuple(ids[::-1]))
    no("operator", Reason.UNKNOWN_ORDER, "order_ids", order_ids=(digest(b"none"),))
    no_answer = partial(book.refused, hub, tx.ConfirmPresence)
    no_answer("cat", Reason.NOT_REPORTED, "order_id", **confirm)
    book.accepted(hub, tx.ReportAbsence, "operator", **report)
    no("operator", Reason.ALREADY_EXISTS, "order_ids", **report)
    no_answer("cat", Reason.UNKNOWN_ROUND, "round_id", round_id=round_id(7), **confirm)
    no_answer("cat", Reason.UNKNOWN_ORDER, "order_id", order_id=digest(b"none"))
    no_answer("ann", Reason.NOT_PERMITTED, "signer", **confirm)
    book.accepted(hub, tx.ConfirmPresence, "cat", **confirm)
    no_answer("cat", Reason.ALREADY_RESOLVED, "order_id", **confirm)
    talk = talk_of(hub, without="dan")
    paid = {"ann": (190_000, 0), "cat": (190_000, 0)}
    fields = ended(talk, paid=paid, asked={"bob": (170_000,) * 2})
    early = auction_end(hub, fields)
    book.refused_bytes(hub, KIND, early, Reason.TOO_EARLY, "round_id", "while Dan may answer")
    hub.block(at=HALF_S)
    no("operator", Reason.TOO_LATE, "round_id", order_ids=(order_id(hub, "ann"),))
    hub.block(at=ANSWER_S)
    dan = {"order_id": order_id(hub, "dan")}
    no_answer("dan", Reason.TOO_LATE, "round_id", **dan)
    book.accepted_bytes(hub, KIND, auction_end(hub, fields), "without who is silent")
    events = ["absent", "cleared"]
    book.block(hub, "who was silent pays", at=CLEAR_BY_S, events=events)


def other_absences(book: Book) -> None:
    hub = SmallHub().site().drivers("ann", "bob")
    hub.open(mechanism=Mechanism.ITERATIVE_AUCTION).open(1, mechanism=Mechanism.WELFARE_PAIRS)
    hub.buy("ann", **LIMIT)
    ann = {"order_ids": (order_id(hub, "ann"),)}
    no = partial(book.refused, hub, tx.ReportAbsence, "operator")
    no(Reason.TOO_EARLY, "round_id", **ann)
    no(Reason.OUT_OF_RANGE, "round_id", round_id=round_id(1), **ann)
    hub.block(at=GATE_S)
    hub.do(tx.ReportAbsence, "operator", **ann)
    note = "all are silent: nothing is cleared"
    book.block(hub, note, at=CLEAR_BY_S, events=["absent", "cleared"])


def stalling(book: Book) -> None:
    """Cat moves by a tenth and a little after 30 iterations, and is left out."""
    hub = auctioned(("ann", "cat"))
    cat = next(o for o in talk_of(hub).orders if o.port == PORTS["cat"])

    def shown(iteration: int, *amounts: int, by: str = "cat", invitation: bytes = b"i" * 32) -> Any:
        bids = [
            said(
                sign_bid(
                    Bid(
                        invitation=invitation,
                        iteration=iteration + at - 1,
                        order_id=cat.order_id,
                        answers=digest(b"told"),
                        amounts=(amount, 0)[: 2 - (at == 1 and len(amounts) > 2)],
                    ),
                    key(by),
                    hub.chain_id,
                )
            )
            for at, amount in enumerate(amounts[:2])
        ]
        return Stalled(
            order_id=cat.order_id,
            invitation=b"i" * 32,
            iteration=iteration,
            previous=bids[0],
            latest=bids[1],
        )

    def fields(*evidence: Stalled) -> dict[str, Any]:
        return ended(talk_of(hub, stalling=evidence), paid=PAID, asked=ASKED)

    no = partial(_no, book, hub)
    stalled = shown(STALL_ITERATIONS, 1_000, 1_101)
    wrong = Reason.WRONGLY_LEFT_OUT
    no(fields(shown(STALL_ITERATIONS, 1_000, 1_100)), wrong, "stalling[0]", "it moved a tenth")
    no(fields(shown(STALL_ITERATIONS - 1, 1_000, 9_000)), wrong, "stalling[0]", "too early")
    no(fields(shown(STALL_ITERATIONS, 1_000, 9_000, by="ann")), wrong, "stalling[0]", "forged")
    other = shown(STALL_ITERATIONS, 1_000, 9_000, invitation=b"j" * 32)
    no(fields(other), wrong, "stalling[0]", "of another run")
    no(fields(shown(STALL_ITERATIONS, 1_000, 9_000, 0)), wrong, "stalling[0]", "not alike")
    stranger = replace(stalled, order_id=digest(b"none"))
    no(fields(stalled, stalled), Reason.OUT_OF_ORDER, "stalling")
    no(fields(stalled) | {"stalling": (stranger,)}, Reason.UNKNOWN_ORDER, "stalling[0]")
    book.accepted_bytes(hub, KIND, auction_end(hub, fields(stalled)), "without who stalls")
    book.block(hub, "who stalled gets nothing", at=CLEAR_BY_S, events=["cleared"])


CASES = (
    orders,
    accepted,
    limits,
    scarce,
    who_and_when,
    lies,
    false_ends,
    absences,
    other_absences,
    stalling,
)
