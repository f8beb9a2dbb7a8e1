"""What cars did not trade with one another: the grid serves it at its own two prices.

Knows records and arithmetic. A buyer takes from the grid what it needs, and the rest of what it
wants where its limit is retail; a seller gives the grid what is left where feed-in is enough for
it. Both may meet on the site's own wires, but only where what lies between the two prices bears
the local fee; then buyers pay retail, sellers get feed-in, and the pot has the difference.
"""

from __future__ import annotations

from typing import NamedTuple

from peerwatt.contracts.auction import Book, apportion
from peerwatt.contracts.double_auctions import Traded


class Rest(NamedTuple):
    """Energy from and to the grid per order, in Wh, and the connection's two flows."""

    bought_wh: list[int]
    sold_wh: list[int]
    import_wh: int
    export_wh: int


def grid_rest(book: Book, traded: Traded, bids: list[int], asks: list[int]) -> Rest:
    """The grid's part, within the connection's limits; `bids` and `asks` are the limits that the
    orders end with, at the plug. Needs come first, shares go by size."""
    prices = book.prices
    needs, wishes = [], []
    for order, got_wh, bid in zip(book.buys, traded.bought_wh, bids, strict=True):
        needs.append(max(order.min_wh - got_wh, 0))
        left_wh = order.max_wh - got_wh - needs[-1]
        wishes.append(left_wh if bid >= prices.retail_ucoin_per_kwh else 0)
    spare = [
        order.max_wh - gave_wh if ask <= prices.feed_in_ucoin_per_kwh else 0
        for order, gave_wh, ask in zip(book.sells, traded.sold_wh, asks, strict=True)
    ]
    demand = sum(needs) + sum(wishes)
    spread = prices.retail_ucoin_per_kwh - prices.feed_in_ucoin_per_kwh
    if demand and spread < prices.local_fee_ucoin_per_kwh:
        spare = [0] * len(spare)
    served_wh = min(demand, book.import_limit_wh + sum(spare))
    needed_wh = min(sum(needs), served_wh)
    shares = apportion(needed_wh, needs), apportion(served_wh - needed_wh, wishes)
    within_wh = min(served_wh, sum(spare))
    export_wh = min(sum(spare) - within_wh, book.export_limit_wh)
    return Rest(
        bought_wh=[need + wish for need, wish in zip(*shares, strict=True)],
        sold_wh=apportion(within_wh + export_wh, spare),
        import_wh=served_wh - within_wh,
        export_wh=export_wh,
    )
