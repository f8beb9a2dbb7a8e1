"""Whose a wallet is, asked and answered in disputes; rewards: voted, funded, earned, paid."""

from __future__ import annotations

from functools import partial

from book import Book
from small_hub import (
    MEMBERS,
    SETTLE_LAG_S,
    START_S,
    WINDOW_S,
    SmallHub,
    end_s,
    public,
    round_id,
)

from peerwatt.records import transactions as tx
from peerwatt.records.codec import digest
from peerwatt.records.members import Member, Role
from peerwatt.records.receipts import Reason
from peerwatt.units import UCOIN_PER_COIN

EPOCH_S = 3_600


def a_dispute(**changes: object) -> tuple[SmallHub, dict[str, bytes]]:
    """A settled round of four cars, about which ann has opened a dispute; each car's order."""
    hub = SmallHub(**changes).site().drivers("ann", "bob", "cat", "dan").open()
    orders = {"ann": hub.buy("ann"), "bob": hub.sell("bob"), "cat": hub.buy("cat")}
    orders["dan"] = hub.buy("dan")
    hub.gate()
    hub.report({"": 4_000, "p1": 2_000, "p2": -2_000, "p3": 2_000, "p4": 2_000})
    hub.do(tx.OpenDispute, "ann", order_id=orders["ann"])
    return hub, orders


def requests(book: Book) -> None:
    hub, orders = a_dispute()
    of = {name: {"order_id": orders["ann"], "whose_order_id": at} for name, at in orders.items()}
    no = partial(book.refused, hub, tx.RequestOpening)
    none = {"order_id": orders["bob"], "whose_order_id": orders["bob"]}
    no("regulator", Reason.UNKNOWN_DISPUTE, "order_id", **none)
    no("bob", Reason.NOT_PERMITTED, "signer", note="by a car of the round", **of["ann"])
    no("grid", Reason.NOT_PERMITTED, "signer", note="by another member", **of["ann"])
    unknown = of["ann"] | {"whose_order_id": digest(b"none")}
    no("regulator", Reason.UNKNOWN_ORDER, "whose_order_id", **unknown)
    ask = partial(book.accepted, hub, tx.RequestOpening)
    ask("operator", note="by the disputed site's operator", **of["ann"])
    no("regulator", Reason.ALREADY_EXISTS, "whose_order_id", **of["ann"])
    ask("ann", note="by the disputing owner", **of["bob"])
    no("regulator", Reason.TOO_MANY, "order_id", **of["cat"])
    hub.do(tx.OpenDispute, "dan", order_id=orders["dan"])
    ask("regulator", note="by a regulator", **of["cat"] | {"order_id": orders["dan"]})
    hub.do(tx.ResolveDispute, "regulator", order_id=orders["ann"], credit_ucoin=0)
    no("regulator", Reason.ALREADY_RESOLVED, "order_id", **of["dan"])


def requests_after_the_round(book: Book) -> None:
    hub, orders = a_dispute()
    hub.block(at=end_s(0) + SETTLE_LAG_S + WINDOW_S)
    about = {"order_id": orders["ann"], "whose_order_id": orders["bob"]}
    no = partial(book.refused, hub, tx.RequestOpening, "regulator")
    no(Reason.UNKNOWN_ORDER, "whose_order_id", note="of a round that has ended", **about)
    own = about | {"whose_order_id": orders["ann"]}
    book.accepted(hub, tx.RequestOpening, "regulator", note="of the disputed order", **own)


def consents(book: Book) -> None:
    hub, orders = a_dispute()
    at = {"order_id": orders["ann"], "wallet": public("bob")}
    no = partial(book.refused, hub, tx.ConsentOpening)
    no("authority", Reason.UNKNOWN_OPENING, "wallet", **at)
    hub.do(tx.RequestOpening, "regulator", order_id=orders["ann"], whose_order_id=orders["bob"])
    no("regulator", Reason.NOT_PERMITTED, "signer", **at)
    no("authority", Reason.UNKNOWN_DISPUTE, "order_id", **at | {"order_id": orders["bob"]})
    no("authority", Reason.UNKNOWN_OPENING, "wallet", note="another wallet",
       **at | {"wallet": public("cat")})  # fmt: skip
    book.accepted(hub, tx.ConsentOpening, "authority", **at)
    no("authority", Reason.ALREADY_RESOLVED, "wallet", **at)
    hub.do(tx.RequestOpening, "regulator", order_id=orders["ann"], whose_order_id=orders["cat"])
    hub.do(tx.ResolveDispute, "regulator", order_id=orders["ann"], credit_ucoin=0)
    late = at | {"wallet": public("cat")}
    no("authority", Reason.ALREADY_RESOLVED, "order_id", note="a dispute that is decided", **late)


def one_party(book: Book) -> None:
    """A member that regulates and registers cannot answer its own question."""
    both = Role.REGULATOR | Role.REGISTRATION_AUTHORITY
    roles = MEMBERS | {"regulator": both}
    members = [Member(key=public(name), name=name, roles=role) for name, role in roles.items()]
    hub, orders = a_dispute(members=tuple(sorted(members, key=lambda member: member.key)))
    hub.do(tx.RequestOpening, "regulator", order_id=orders["ann"], whose_order_id=orders["bob"])
    at = {"order_id": orders["ann"], "wallet": public("bob")}
    book.refused(hub, tx.ConsentOpening, "regulator", Reason.ONE_PARTY, "signer", **at)
    book.accepted(hub, tx.ConsentOpening, "authority", note="of the other party", **at)


def funds(book: Book) -> None:
    hub = SmallHub().site().drivers("ann")
    book.accepted(hub, tx.FundRewards, "supplier", note="of the first")
    book.accepted(hub, tx.FundRewards, "operator", note="of another", amount_ucoin=5)
    book.refused(hub, tx.FundRewards, "ann", Reason.NOT_PERMITTED, "signer", amount_ucoin=1)
    most = hub.free("operator")
    book.refused(
        hub, tx.FundRewards, "operator", Reason.UNFUNDED, "amount_ucoin", amount_ucoin=most + 1
    )


def terms_of_rewards(book: Book) -> None:
    hub = SmallHub()
    terms = tx.SetRewards(epoch_s=EPOCH_S, contribution_ucoin=7, proposer_ucoin=3)
    proposal = book.accepted(hub, tx.ProposeChange, "grid", note="of rewards", change=terms)
    for name in ("operator", "regulator", "supplier"):
        hub.do(tx.Vote, name, proposal_id=proposal)
    book.accepted(hub, tx.Vote, "issuer", note="which sets rewards", proposal_id=proposal)


def contributions(book: Book) -> None:
    """Two sellers in an epoch of an hour: by their meters both sold as much."""
    hub = SmallHub().site().drivers("ann", "bob", "cat", "dan")
    terms = tx.SetRewards(epoch_s=EPOCH_S, contribution_ucoin=UCOIN_PER_COIN, proposer_ucoin=0)
    proposal = hub.do(tx.ProposeChange, "grid", change=terms)
    for name in ("operator", "regulator", "supplier", "issuer"):
        hub.do(tx.Vote, name, proposal_id=proposal)
    hub.do(tx.FundRewards, "supplier", amount_ucoin=2 * UCOIN_PER_COIN - 1)
    hub.open(0, 3)
    for slot in (0, 3):
        hub.buy("ann", slot)
        hub.buy("dan", slot)
        hub.sell("bob", slot, max_wh=1_000)
        hub.sell("cat", slot, max_wh=1_500)
    for slot, end_of in ((0, START_S + EPOCH_S), (3, START_S + 2 * EPOCH_S)):
        hub.block(at=end_s(slot) + 30)
        net_wh = {"": 2_000, "p1": 2_000, "p4": 2_000, "p2": -1_000, "p3": -1_000}
        readings = hub.readings(net_wh, slot)
        report = hub.sign(tx.ReportReadings, "operator", round_id=round_id(slot), readings=readings)
        told = f"of slot {slot}"
        book.block(hub, f"{told}: both sold", report, at=end_s(slot) + 31, events=["settled"])
        paid = ["contribution_rewarded"] if slot == 0 else []
        what = "which is paid" if paid else "for which there are not coins enough"
        book.block(hub, f"{told}: the epoch's end, {what}", at=end_of, events=paid)
    book.block(hub, "at the end of an epoch without a sale", at=START_S + 3 * EPOCH_S, events=[])


CASES = (
    *(requests, requests_after_the_round, consents, one_party),
    *(funds, terms_of_rewards, contributions),
)
