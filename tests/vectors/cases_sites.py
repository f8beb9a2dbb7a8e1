"""Sites, ports, who is plugged in, tariffs, limits and the opening of rounds."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

from book import Book
from msgspec.structs import replace
from small_hub import (
    FIRST_SLOT_S,
    LOST_LOAD,
    RETAIL,
    SLOT_S,
    START_S,
    USUAL,
    SmallHub,
    public,
    times,
)

from peerwatt.contracts.sites import MAX_AHEAD_S, MAX_FEEDERS
from peerwatt.records import transactions as tx
from peerwatt.records.market import FeederLimit, Mechanism, SlotLimit
from peerwatt.records.members import Member, Role
from peerwatt.records.receipts import Reason

[STEP] = USUAL[tx.PublishTariff]["steps"]
[LIMIT] = USUAL[tx.PublishLimits]["limits"]


def register_sites(book: Book) -> None:
    hub = SmallHub()
    site: dict[str, Any] = {
        "supplier": public("supplier"),
        "grid_operator": public("grid"),
        "main_meter": public("meter/"),
    }
    book.accepted(hub, tx.RegisterSite, "operator", cosigner="grid", **site)
    fresh = site | {"site": "second", "main_meter": public("meter/second")}

    def no(by: str, cosigner: str, reason: Reason, field: str, note: str = "", **changes: Any):
        fields = fresh | changes
        book.refused(
            hub, tx.RegisterSite, by, reason, field, note=note, cosigner=cosigner, **fields
        )

    no("supplier", "grid", Reason.NOT_PERMITTED, "signer")
    no("operator", "", Reason.BAD_COSIGNATURE, "cosigner", "nobody")
    no("operator", "regulator", Reason.BAD_COSIGNATURE, "cosigner", "somebody else")
    regulator = public("regulator")
    no("operator", "regulator", Reason.UNKNOWN_MEMBER, "grid_operator", grid_operator=regulator)
    no("operator", "grid", Reason.UNKNOWN_MEMBER, "supplier", supplier=public("grid"))
    no("operator", "grid", Reason.ALREADY_EXISTS, "site", site="garage")
    no("operator", "grid", Reason.ALREADY_EXISTS, "main_meter", main_meter=public("meter/"))
    no("operator", "grid", Reason.MALFORMED, "slot_s", slot_s=59)
    names = tuple(f"f{number:02}" for number in range(MAX_FEEDERS + 1))
    no("operator", "grid", Reason.TOO_MANY, "feeders", feeders=names)
    no("operator", "grid", Reason.OUT_OF_ORDER, "feeders", feeders=("west", "east"))


def register_ports(book: Book) -> None:
    hub = SmallHub().site()
    port = {"port": "p9", "meter": public("meter/p9")}
    book.accepted(hub, tx.RegisterPort, "operator", **port)
    no = partial(book.refused, hub, tx.RegisterPort)
    no("operator", Reason.UNKNOWN_SITE, "site", site="x", **port)
    no("grid", Reason.NOT_PERMITTED, "signer", **port)
    no("operator", Reason.ALREADY_EXISTS, "port", **port)
    port["port"] = "p10"
    no("operator", Reason.ALREADY_EXISTS, "meter", note="a port's", **port)
    port["meter"] = public("meter/")
    no("operator", Reason.ALREADY_EXISTS, "meter", note="the main meter", **port)
    port["meter"] = public("meter/p10")
    no("operator", Reason.UNKNOWN_FEEDER, "feeder", feeder="north", **port)
    book.accepted(hub, tx.RegisterPort, "operator", note="behind a feeder", feeder="east", **port)


def plugs(book: Book) -> None:
    hub = SmallHub().site().drivers("ann", "bob", coins=0)
    ann = {"port": "p3", "wallet": public("ann")}
    book.accepted(hub, tx.CheckIn, "operator", **ann)
    no = partial(book.refused, hub, tx.CheckIn)
    no("operator", Reason.UNKNOWN_SITE, "site", site="x", **ann)
    no("grid", Reason.NOT_PERMITTED, "signer", **ann)
    no("operator", Reason.UNKNOWN_PORT, "port", **ann | {"port": "x"})
    no("operator", Reason.PORT_TAKEN, "port", **ann)
    for wallet, note in (("nobody", "nobody's"), ("grid", "a member's")):
        fields = {"port": "p4", "wallet": public(wallet)}
        no("operator", Reason.UNKNOWN_ACCOUNT, "wallet", note=note, **fields)
    book.accepted(hub, tx.CheckOut, "operator", port="p3")
    no = partial(book.refused, hub, tx.CheckOut)
    no("operator", Reason.UNKNOWN_SITE, "site", site="x", port="p1")
    no("grid", Reason.NOT_PERMITTED, "signer", port="p1")
    no("operator", Reason.UNKNOWN_PORT, "port", port="x")
    no("operator", Reason.NOT_PLUGGED_IN, "port", port="p3")


def tariffs(book: Book) -> None:
    hub = SmallHub()
    book.accepted(hub, tx.PublishTariff, "supplier", cosigner="grid")

    def no(
        reason: Reason,
        field: str,
        note: str = "",
        *,
        by: str = "supplier",
        cosigner: str = "grid",
        **changes: Any,
    ) -> None:
        fields = {"tariff": "second"} | changes
        book.refused(
            hub, tx.PublishTariff, by, reason, field, note=note, cosigner=cosigner, **fields
        )

    no(Reason.NOT_PERMITTED, "signer", by="operator")
    no(Reason.BAD_COSIGNATURE, "cosigner", "nobody", cosigner="")
    no(Reason.BAD_COSIGNATURE, "cosigner", "no grid operator", cosigner="operator")
    no(Reason.ALREADY_EXISTS, "tariff", tariff="day")
    no(Reason.TOO_MANY, "steps", "none", steps=())
    no(Reason.OUT_OF_ORDER, "steps", "twice the same", steps=(STEP, STEP))
    no(Reason.OUT_OF_ORDER, "steps", "from the end on", end_s=START_S)
    levy = RETAIL - STEP.feed_in_ucoin_per_kwh - 15_000
    note = "feed-in and fees as dear as retail"
    no(Reason.OUT_OF_RANGE, "steps", note, levy_ucoin_per_kwh=levy)
    dear = replace(STEP, retail_ucoin_per_kwh=LOST_LOAD + 1)
    no(Reason.OUT_OF_RANGE, "lost_load_ucoin_per_kwh", "retail above lost load", steps=(dear,))


def limits(book: Book) -> None:
    hub = SmallHub().site().open(2)
    book.accepted(hub, tx.PublishLimits, "grid")
    lower = replace(LIMIT, import_limit_w=0)
    book.accepted(hub, tx.PublishLimits, "grid", note="a later one replaces it", limits=(lower,))

    def no(reason: Reason, note: str, *limits: SlotLimit) -> None:
        book.refused(hub, tx.PublishLimits, "grid", reason, "limits", note=note, limits=limits)

    book.refused(hub, tx.PublishLimits, "grid", Reason.UNKNOWN_SITE, "site", site="x")
    book.refused(hub, tx.PublishLimits, "operator", Reason.NOT_PERMITTED, "signer")
    no(Reason.TOO_MANY, "none")
    no(Reason.OUT_OF_ORDER, "twice the same", LIMIT, LIMIT)
    no(Reason.OUT_OF_RANGE, "off the grid of slots", moved(1))
    no(Reason.OUT_OF_RANGE, "too far ahead", moved(MAX_AHEAD_S))
    no(Reason.TOO_LATE, "the slot has begun", moved(START_S - FIRST_SLOT_S))
    no(Reason.TOO_LATE, "the round is open", moved(2 * SLOT_S))
    no(Reason.OVER_LIMIT, "import", replace(LIMIT, import_limit_w=40_001))
    no(Reason.OVER_LIMIT, "export", replace(LIMIT, export_limit_w=20_001))
    east, north = (
        FeederLimit(feeder=name, import_limit_w=4_000, export_limit_w=0)
        for name in ("east", "north")
    )
    no(Reason.UNKNOWN_FEEDER, "a feeder of another site", replace(LIMIT, feeders=(north,)))
    no(Reason.OUT_OF_ORDER, "a feeder twice", replace(LIMIT, feeders=(east, east)))
    feeders = (replace(LIMIT, feeders=(east,)),)
    book.accepted(hub, tx.PublishLimits, "grid", note="with a feeder's", limits=feeders)
    book.refused(hub, tx.OpenRound, "operator", Reason.FEEDERS_LIMITED, "mechanism", **times(0))
    proposed = times(0) | {"mechanism": Mechanism.WELFARE_PROPOSED}
    book.accepted(hub, tx.OpenRound, "operator", note="with a feeder's limit", **proposed)


def moved(seconds: int) -> SlotLimit:
    """The usual limit for another slot."""
    return replace(LIMIT, slot_start_s=LIMIT.slot_start_s + seconds)


def open_rounds(book: Book) -> None:
    hub = SmallHub().site()
    hub.do(tx.PublishLimits, "grid")
    book.accepted(hub, tx.OpenRound, "operator", note="with the slot's own limits")
    book.refused(hub, tx.OpenRound, "operator", Reason.ALREADY_EXISTS, "slot_start_s")
    more_tariffs(hub)
    slot = times(1)

    def no(reason: Reason, field: str, note: str = "", by: str = "operator", **changes: Any):
        book.refused(hub, tx.OpenRound, by, reason, field, note=note, **slot | changes)

    no(Reason.UNKNOWN_SITE, "site", site="x")
    no(Reason.NOT_PERMITTED, "signer", by="grid")
    no(Reason.UNKNOWN_TARIFF, "tariff", "none", tariff="x")
    no(Reason.UNKNOWN_TARIFF, "tariff", "another supplier's", tariff="other-supplier")
    no(Reason.UNKNOWN_TARIFF, "tariff", "another grid operator's", tariff="other-grid")
    no(Reason.TOO_LATE, "gate_s", "at the gate", gate_s=START_S)
    names = list(slot)
    for earlier, later in pairwise(names):
        no(Reason.OUT_OF_ORDER, later, **{later: slot[earlier]})
    shifted, longer = slot["slot_start_s"] + 1, slot["slot_end_s"] + 1
    no(Reason.OUT_OF_RANGE, "slot_start_s", "off the grid of slots", slot_start_s=shifted)
    no(Reason.OUT_OF_RANGE, "slot_end_s", "not of a slot's length", slot_end_s=longer)
    far_s = START_S + MAX_AHEAD_S + 1
    no(Reason.OUT_OF_RANGE, "settle_by_s", "too far ahead", settle_by_s=far_s)
    no(Reason.OUT_OF_RANGE, "tariff", "ends within the slot", tariff="short")
    no(Reason.OUT_OF_RANGE, "tariff", "begins within the slot", tariff="late")
    no(Reason.OUT_OF_RANGE, "tariff", "changes within the slot", tariff="two")
    book.accepted(hub, tx.OpenRound, "operator", note="with the site's limits", **slot)


def more_tariffs(hub: SmallHub) -> None:
    """Tariffs that do not fit the second slot of the site, each for another reason."""
    foreign = Member(key=public("other"), name="other", roles=Role.SUPPLIER | Role.GRID_OPERATOR)
    added = hub.do(tx.ProposeChange, "operator", change=tx.AddMember(member=foreign))
    for member in ("grid", "supplier", "issuer", "regulator"):
        hub.do(tx.Vote, member, proposal_id=added)
    step = replace(STEP, from_s=times(1)["slot_start_s"] + 1)
    short = times(1)["slot_end_s"] - 1
    hub.do(tx.PublishTariff, "other", cosigner="grid", tariff="other-supplier")
    hub.do(tx.PublishTariff, "supplier", cosigner="other", tariff="other-grid")
    hub.do(tx.PublishTariff, "supplier", cosigner="grid", tariff="short", end_s=short)
    hub.do(tx.PublishTariff, "supplier", cosigner="grid", tariff="late", steps=(step,))
    hub.do(tx.PublishTariff, "supplier", cosigner="grid", tariff="two", steps=(STEP, step))


CASES = (register_sites, register_ports, plugs, tariffs, limits, open_rounds)
