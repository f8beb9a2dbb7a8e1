"""Books with feeders for tests: random ones, and the prices that an honest operator proposes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace
from pair_books import random_book

from peerwatt.contracts.auction import Book
from peerwatt.market_operator.quantize import listed_own_prices, one_price_book
from peerwatt.mechanisms.feeders import clear_one_price_feeders
from peerwatt.records.market import FeederRoom, Mechanism, Order, Prices, SellOrder

FEEDERS = ("", "east", "north", "west")
LIMITS_WH = (0, 1, 700, 5_000, 60_000)


@dataclass(frozen=True)
class Terms:
    """As much of a round as its book needs."""

    prices: Prices
    import_limit_wh: int
    export_limit_wh: int
    feeders: tuple[FeederRoom, ...]


def feeder_book(chance: random.Random, mechanism: Mechanism, most: int = 8) -> Book:
    """A random book whose orders are behind three feeders or none, some of them limited; for one
    price some sellers' curves are flat."""
    book = random_book(chance, most)
    limited = [name for name in FEEDERS[1:] if chance.random() < 0.7]
    rooms = tuple(
        FeederRoom(
            feeder=name,
            import_limit_wh=chance.choice(LIMITS_WH),
            export_limit_wh=chance.choice(LIMITS_WH),
        )
        for name in limited
    )

    def behind(order: Any) -> Any:
        order = replace(order, feeder=chance.choice(FEEDERS))
        if isinstance(order, SellOrder) and mechanism == Mechanism.WELFARE_PROPOSED:
            slope = chance.choice([0, order.slope_ucoin_per_kwh2])
            return replace(order, slope_ucoin_per_kwh2=slope)
        return order

    return book._replace(
        mechanism=mechanism,
        buys=[behind(order) for order in book.buys],
        sells=[behind(order) for order in book.sells],
        feeders=rooms,
    )


def solved_at_own_prices(book: Book) -> tuple[int, list[int]]:
    """The bus's price and by how much each limited feeder is dearer, in pcoin/kWh."""
    orders: list[Order] = [*book.buys, *book.sells]
    terms: Any = Terms(book.prices, book.import_limit_wh, book.export_limit_wh, book.feeders)
    buyers, sellers, grid, feeders, lost_load = one_price_book(terms, orders)
    found = clear_one_price_feeders(buyers, sellers, grid, feeders, lost_load=lost_load)
    bus, *dearer = listed_own_prices(terms, found)
    return bus, dearer
