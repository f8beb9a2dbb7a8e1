"""A small hub on which two cars have traded, and what others hold of its chain."""

from __future__ import annotations

from typing import Any

from small_hub import SmallHub, genesis, round_id

from peerwatt.contracts import ledger
from peerwatt.hosts.replay import replay_blocks
from peerwatt.hosts.replica import Replica
from peerwatt.records.bundles import ReceiptBundle
from peerwatt.records.codec import encode


def traded(coins: int = 100, **changes: Any) -> SmallHub:
    """Ann bought of bob; the round is settled, and one more block proves it."""
    hub = SmallHub(**changes).site().drivers("ann", "bob", coins=coins).open()
    hub.buy("ann")
    hub.sell("bob")
    hub.gate()
    hub.report({"": 0, "p1": 2_000, "p2": -2_000})
    hub.block()
    return hub


def follower(hub: SmallHub, blocks: int | None = None, **changes: Any) -> Replica:
    """Another member that executes the hub's blocks itself."""
    last = hub.host.height if blocks is None else blocks
    heights = range(1, last + 1)
    document = encode(genesis(**changes))
    return replay_blocks(document, map(hub.host.block, heights), ledger)


def receipt(hub: SmallHub) -> ReceiptBundle:
    """What proves ann's settlement to a stranger."""
    [(order_id, _), *_] = hub.host.sealed("settlements", round_id())
    return hub.host.receipt("settlements", round_id(), order_id)
