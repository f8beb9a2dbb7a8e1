"""Settled slots of the small hub, in which Ann bought of Bob, and records of that."""

from __future__ import annotations

from typing import Any

from small_hub import SmallHub, end_s, public, round_id

from peerwatt.records import transactions as tx
from peerwatt.records.market import NO_HASH, Side
from peerwatt.records.trades import TradeKind

ENERGY_WH = 2_000
FIRST_RECORD: dict[str, Any] = {
    "trade_kind": TradeKind.CAR,
    "tags": ("v2v",),
    "history": NO_HASH,
    "seller_history": NO_HASH,
    "body": b"sealed",
}
"""What a record says beside what it is of, where both histories begin with it."""


def settled(
    *,
    slots: int = 1,
    report: bool = True,
    taken_wh: int = ENERGY_WH,
    given_wh: int = ENERGY_WH,
    seller: str = "bob",
) -> SmallHub:
    """Ann bought 2 kWh in each slot, and the seller at p2 gave them; Cat is there, too."""
    hub = SmallHub().site().drivers("ann", "bob", "cat")
    if seller != "bob":
        hub.do(tx.CheckOut, "operator", port="p2")
        hub.do(tx.CheckIn, "operator", port="p2", wallet=public(seller))
    hub.open(*range(slots))
    for slot in range(slots):
        hub.buy("ann", slot, min_wh=ENERGY_WH, max_wh=ENERGY_WH)
        hub.sell(seller, slot, port="p2", max_wh=ENERGY_WH, slope_ucoin_per_kwh2=0)
    for slot in range(slots):
        hub.gate(slot)
    for slot in range(slots):
        if report:
            net_wh = {"": taken_wh - given_wh, "p1": taken_wh, "p2": -given_wh}
            hub.report(net_wh, slot)
        else:
            hub.block(at=end_s(slot) + 30)
    return hub


def awards(hub: SmallHub, slot: int = 0) -> tuple[bytes, bytes]:
    """The ids of a slot's settled purchase and sale; zeros where nothing is settled."""
    ids = {row.side: row.order_id for _, row in hub.host.items("settlements", round_id(slot))}
    return ids.get(Side.BUY, NO_HASH), ids.get(Side.SELL, NO_HASH)


def record(
    hub: SmallHub, *, slot: int = 0, by: str = "ann", cosigner: str = "bob", **changed: Any
) -> bytes:
    """Ann's record of what she bought in a slot, signed by Bob too; with something changed."""
    bought, sold = awards(hub, slot)
    usual = {
        "round_id": round_id(slot),
        "order_id": bought,
        "sale_id": sold,
        "seller": public("bob"),
        "time_s": end_s(slot),
    }
    fields: dict[str, Any] = FIRST_RECORD | usual | changed
    return hub.sign(tx.RecordTrade, by, cosigner=cosigner, **fields)
