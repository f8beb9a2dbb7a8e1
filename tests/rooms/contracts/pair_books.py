"""Books and prices for tests of clearings pair by pair: random ones, and those a solver finds."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from peerwatt.contracts.auction import Book, Outcome
from peerwatt.contracts.certificates import ceil_div
from peerwatt.contracts.clearing import Pricing
from peerwatt.contracts.pairs import PairPrices
from peerwatt.contracts.proved import ProvedOutcome
from peerwatt.market_operator.quantize import listed_prices, pairs_book
from peerwatt.mechanisms.welfare import clear_pairs
from peerwatt.mechanisms.welfare_newton import NotConvergedError
from peerwatt.records.codec import digest
from peerwatt.records.market import BuyOrder, Mechanism, Order, PriceRule, Prices, SellOrder
from peerwatt.units import PCOIN_PER_UCOIN

SLOPES = (1, 100, 10_000, 70_000, 1_000_000, 10**9)
ENERGIES_WH = (1, 2, 100, 2_000, 11_000)


HUB = Prices(
    price_rule=PriceRule.MIDPOINT,
    retail_ucoin_per_kwh=300_000,
    feed_in_ucoin_per_kwh=80_000,
    network_fee_ucoin_per_kwh=10_000,
    platform_fee_ucoin_per_kwh=5_000,
    levy_ucoin_per_kwh=5_000,
    lost_load_ucoin_per_kwh=500_000,
    shortfall_penalty_ucoin_per_kwh=50_000,
    failed_clearing_penalty_ucoin=1_000_000,
)


@dataclass(frozen=True)
class Terms:
    """As much of a round as its book needs."""

    prices: Prices
    import_limit_wh: int
    export_limit_wh: int


def random_terms(chance: random.Random) -> Prices:
    """feed-in + fees < retail <= lost load; lost load and retail may coincide."""
    feed_in, fees = chance.choice([0, 80_000]), [chance.choice([0, 1, 10_000]) for _ in range(3)]
    retail = max(chance.choice([100_001, 300_000]), feed_in + sum(fees) + 1)
    return Prices(
        price_rule=PriceRule.MIDPOINT,
        retail_ucoin_per_kwh=retail,
        feed_in_ucoin_per_kwh=feed_in,
        network_fee_ucoin_per_kwh=fees[0],
        platform_fee_ucoin_per_kwh=fees[1],
        levy_ucoin_per_kwh=fees[2],
        lost_load_ucoin_per_kwh=chance.choice([retail, 500_000, 5_000_000]),
        shortfall_penalty_ucoin_per_kwh=chance.choice([0, 1, 50_000]),
        failed_clearing_penalty_ucoin=1_000_000,
    )


def random_book(chance: random.Random, most: int = 8) -> Book:
    """Up to `most` a side, either side empty at times; limits of zero, scarce and ample; flat and
    steep curves, minima that are all or nothing, slopes from 1 to 1e9."""
    terms = random_terms(chance)
    marks = (0, 1, 80_000, 200_000, terms.retail_ucoin_per_kwh, terms.lost_load_ucoin_per_kwh)

    def price() -> int:
        some = chance.choice([*marks, chance.randrange(terms.lost_load_ucoin_per_kwh + 1)])
        return min(some, terms.lost_load_ucoin_per_kwh)

    buys, sells = [], []
    for number in range(chance.randrange(most + 1)):
        low, high = sorted((price(), price()))
        energy = chance.choice([*ENERGIES_WH, chance.randrange(1, 20_000)])
        buys.append(buy(number, chance.choice([0, 0, energy // 3, energy]), energy, low, high))
    for number in range(chance.randrange(most + 1)):
        sells.append(sell(number, chance.choice(ENERGIES_WH), price(), chance.choice(SLOPES)))
    if chance.random() < 0.5:
        sells = [sell(n, o.max_wh, o.ask_ucoin_per_kwh // 4, 20_000) for n, o in enumerate(sells)]
    return Book(
        mechanism=Mechanism.WELFARE_PAIRS,
        buys=sorted(buys, key=lambda order: order.order_id),
        sells=sorted(sells, key=lambda order: order.order_id),
        prices=terms,
        import_limit_wh=chance.choice([0, 0, 500, 5_000, 40_000 * most]),
        export_limit_wh=chance.choice([0, 1_000, 20_000]),
    )


def buy(number: int, least: int, most: int, low: int, high: int) -> BuyOrder:
    return BuyOrder(
        order_id=digest(b"buy %d" % number),
        owner=digest(b"buyer %d" % number),
        port=f"b{number}",
        min_wh=least,
        max_wh=most,
        price_high_ucoin_per_kwh=high,
        price_low_ucoin_per_kwh=low,
        held_ucoin=0,
    )


def sell(number: int, most: int, ask: int, slope: int) -> SellOrder:
    return SellOrder(
        order_id=digest(b"sell %d" % number),
        owner=digest(b"seller %d" % number),
        port=f"s{number}",
        max_wh=most,
        ask_ucoin_per_kwh=ask,
        slope_ucoin_per_kwh2=slope,
        held_ucoin=0,
    )


def solved(book: Book) -> PairPrices | None:
    """The prices that an honest operator proposes; none where the solver gives up."""
    orders: list[Order] = [*book.buys, *book.sells]
    if not orders:
        return PairPrices([], [])
    terms: Any = Terms(book.prices, book.import_limit_wh, book.export_limit_wh)
    asked = pairs_book(terms, orders)
    try:
        clearing = clear_pairs(
            asked.buyers, asked.sellers, asked.grid, lost_load=asked.lost_load, tolerance=1e-6
        )
    except NotConvergedError:
        return None
    listed = list(listed_prices(terms, orders, clearing))
    return PairPrices(listed[: len(book.buys)], listed[len(book.buys) :])


def outcome_of(found: ProvedOutcome) -> tuple[Outcome, Pricing]:
    """What was certified as `clearing` hands it on."""
    energies = (found.bought_wh, found.sold_wh, found.import_wh, found.export_wh)
    paying = [p for p, e in zip(found.buyer_prices, found.bought_wh, strict=True) if e]
    pricing = Pricing(found.buyer_prices, found.seller_prices, max(paying, default=0))
    return Outcome(found.grid_price, *energies), pricing


def held_ucoin(book: Book, order: BuyOrder | SellOrder) -> int:
    """What is held for an order when it is placed."""
    lost_load = book.prices.lost_load_ucoin_per_kwh
    if isinstance(order, SellOrder):
        worst = lost_load + book.prices.shortfall_penalty_ucoin_per_kwh
        return ceil_div(order.max_wh * worst, 1_000)
    elastic = (order.max_wh - order.min_wh) * order.price_high_ucoin_per_kwh
    return ceil_div(order.min_wh * lost_load, 1_000) + ceil_div(elastic, 1_000)


def jolted(chance: random.Random, book: Book, prices_: PairPrices) -> PairPrices:
    """The same prices but for one or two, by a little or by much, or at one of the grid's."""
    buyers, sellers = list(prices_.buyers), list(prices_.sellers)
    marks = [book.prices.retail_ucoin_per_kwh, book.prices.lost_load_ucoin_per_kwh]
    for side in chance.choices([buyers, sellers], k=chance.choice([1, 2, 4])):
        if side:
            at = chance.randrange(len(side))
            by = chance.choice([1, 1_000, 10**6, 10**9, 10**10]) * chance.choice([-1, 1])
            moved = [max(side[at] + by, 0), chance.choice(marks) * PCOIN_PER_UCOIN]
            side[at] = chance.choices(moved, [5, 1])[0]
    return PairPrices(buyers, sellers)
