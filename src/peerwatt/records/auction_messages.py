"""The messages of iterative auctions: how one ended, and whose agents were silent.

Knows units, the header of messages and what is said in an auction.
"""

from __future__ import annotations

from peerwatt.records.auction import LastBids, Rents, RoundId, Stalled
from peerwatt.records.message_header import Header
from peerwatt.units import Count, Hash, PriceUcoinPerKwh


class ProposeAuction(Header, tag=22):
    """A member proposes how the iterative auction of a frozen book, named by its root, ended: of
    its run `run`, to which all but the absent and the stalling were invited, everybody's last two
    bids, buyers' and then sellers' by order, `iteration` being the latest's; the hash of all bids
    before; and the rents of the allocation that was made from the first of the two, which the
    second answer, and which is awarded."""

    round_id: RoundId
    orders_root: Hash
    run: Count
    stalling: tuple[Stalled, ...]
    iteration: Count
    before: Hash
    bids: tuple[LastBids, ...]
    rents: Rents


class ReportAbsence(Header, tag=23):
    """A site's operator says that the agents of these orders, ascending, are silent."""

    round_id: RoundId
    order_ids: tuple[Hash, ...]


class ConfirmPresence(Header, tag=24):
    """An order's owner answers that its agent is there."""

    round_id: RoundId
    order_id: Hash


class ReviseOrder(Header, tag=31):
    """Who lost in the first of two rounds signs a new limit for the second: no worse for the other
    side than the first round's price, and no worse for itself than the grid's."""

    round_id: RoundId
    order_id: Hash
    limit_ucoin_per_kwh: PriceUcoinPerKwh
