"""The price at which the grid takes what sellers have left, where it has room for a part only.

Knows sellers' reserve prices and what they sell at a price; knows neither buyers nor orders.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from peerwatt.mechanisms.allocation import FloatArray

SoldAt = Callable[[float, NDArray[np.bool_]], tuple[float, float]]
"""(price, sellers) -> (energy these would sell to buyers at it, how fast that falls with it)."""


def floor_for_room(
    reserve: FloatArray, supply: FloatArray, sold_at: SoldAt, *, feed_in: float, room: float
) -> tuple[float, bool]:
    """(floor, moves): the highest price at most `feed_in` at which no more than `room` is left.

    At a floor f those sellers with a reserve price below f sell to buyers at f and have the
    rest of their supply left for the grid: a sum that rises with f, and jumps where f passes
    the cost of a seller who has some left. `moves` is false where the floor rests on such a
    jump or on `feed_in`: it then stays when buyers' prices change a little.
    """

    def left(price: float, among: NDArray[np.bool_]) -> float:
        return float(supply[among].sum()) - sold_at(price, among)[0]

    if left(feed_in, reserve < feed_in) <= room:
        return feed_in, False
    steps = np.unique(reserve[reserve < feed_in])
    below, above = 0, len(steps)
    while above - below > 1:
        middle = (below + above) // 2
        if left(steps[middle], reserve < steps[middle]) <= room:
            below = middle
        else:
            above = middle
    price = float(steps[below])
    among = reserve <= price
    if left(price, among) >= room:
        return price, False
    wanted = float(supply[among].sum()) - room
    # Newton from the left on a convex falling piecewise linear function: never past the root.
    while True:
        sold, slope = sold_at(price, among)
        if slope <= 0:
            # Nobody buys at this price any more: only rounding keeps the two apart.
            return price, False
        if sold <= wanted:
            return price, True
        higher = price + (sold - wanted) / slope
        if higher <= price:
            return price, True
        price = min(higher, feed_in)
