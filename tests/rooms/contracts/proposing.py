"""Proposes clearings on the small hub, and limits its feeders."""

from __future__ import annotations

from typing import Any

from small_hub import FIRST_SLOT_S, PORTS, SmallHub, round_id

from peerwatt.records import transactions as tx
from peerwatt.records.market import FeederLimit, SlotLimit, prices_hash
from peerwatt.units import PCOIN_PER_UCOIN


def proposal(
    hub: SmallHub,
    by: str = "operator",
    *,
    at: dict[str, int] | int,
    feeders: tuple[int, ...] = (),
    **fields: Any,
) -> bytes:
    """A proposed clearing of the first slot's round at these prices, in ucoin/kWh: by driver, or
    the one of the bus; and by how much it is dearer on each limited feeder."""
    if isinstance(at, dict):
        by_port = {PORTS[name]: price * PCOIN_PER_UCOIN for name, price in at.items()}
        listed = tuple(by_port[order.port] for _, order in hub.host.items("orders", round_id()))
    else:
        listed = (at * PCOIN_PER_UCOIN,)
    feeder_prices = tuple(price * PCOIN_PER_UCOIN for price in feeders)
    usual = {
        "orders_root": hub.round().orders_root,
        "prices_hash": prices_hash(listed, feeder_prices),
        "prices": listed,
        "feeder_prices": feeder_prices,
    }
    return hub.sign(tx.ProposeClearing, by, **(usual | fields))


def limit(hub: SmallHub, **feeders: tuple[int, int]) -> SmallHub:
    """Limit feeders in the first slot to what they may draw and feed in, in W."""
    limit = SlotLimit(
        slot_start_s=FIRST_SLOT_S,
        import_limit_w=40_000,
        export_limit_w=20_000,
        feeders=tuple(
            FeederLimit(feeder=name, import_limit_w=each[0], export_limit_w=each[1])
            for name, each in sorted(feeders.items())
        ),
    )
    hub.do(tx.PublishLimits, "grid", limits=(limit,))
    return hub
