"""Proposes clearings on the small hub."""

from __future__ import annotations

from typing import Any

from small_hub import PORTS, SmallHub, round_id

from peerwatt.records import transactions as tx
from peerwatt.records.market import prices_hash
from peerwatt.units import PCOIN_PER_UCOIN


def proposal(hub: SmallHub, by: str = "operator", *, at: dict[str, int], **fields: Any) -> bytes:
    """A proposed clearing of the first slot's round at these prices, in ucoin/kWh by driver."""
    by_port = {PORTS[name]: price * PCOIN_PER_UCOIN for name, price in at.items()}
    listed = tuple(by_port[order.port] for _, order in hub.host.items("orders", round_id()))
    usual = {
        "orders_root": hub.round().orders_root,
        "prices_hash": prices_hash(listed),
        "prices": listed,
    }
    return hub.sign(tx.ProposeClearing, by, **(usual | fields))
