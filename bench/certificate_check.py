"""The ledger's check of a pairs clearing, in whole numbers, against solving it in floats.

Frozen books of 10^3, 10^4 and 10^5 buyers and as many sellers: a hub with a connection, where
prices spread and the solver needs many steps, and PETCON's market without one, where it needs few.
Peer in the same run: `clear_pairs`, numpy's solve of the same book, which finds the prices that
`certify` then turns into awards, payments and a gap. Whoever proposes does both; every validator
checks alone. Times are the process's own.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from harness import profile, ratios, report, shown, spread, take_turns
from msgspec.structs import replace

from peerwatt.contracts.auction import Book
from peerwatt.contracts.pairs import PairPrices, certify, split_prices
from peerwatt.contracts.proved import Flaw
from peerwatt.market_operator.quantize import PairsBook, listed_prices, pairs_book
from peerwatt.mechanisms.welfare import PairsClearing, clear_pairs
from peerwatt.records.market import BuyOrder, Mechanism, Order, PriceRule, Prices, SellOrder

ONE_CORE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
SIZES = {10**3: 7, 10**4: 5, 10**5: 3}
SEED = 7
MOST_TIMES_AT = (10**5, 10)
PRICES = Prices(
    price_rule=PriceRule.MIDPOINT,
    retail_ucoin_per_kwh=300_000,
    feed_in_ucoin_per_kwh=80_000,
    network_fee_ucoin_per_kwh=10_000,
    platform_fee_ucoin_per_kwh=5_000,
    levy_ucoin_per_kwh=5_000,
    lost_load_ucoin_per_kwh=500_000,
    shortfall_penalty_ucoin_per_kwh=0,
    failed_clearing_penalty_ucoin=0,
)


class Terms(NamedTuple):
    """As much of a round as its book needs."""

    prices: Prices
    import_limit_wh: int
    export_limit_wh: int


def hub(size: int) -> tuple[list[Order], Terms]:
    """Slopes grow with the book, so that pairs stay selective."""
    chance = random.Random(SEED)
    orders: list[Order] = []
    for _ in range(size):
        most, low = chance.randrange(1_000, 11_000), chance.randrange(50_000, 250_000)
        high = low + chance.randrange(250_000)
        orders.append(buy(chance, chance.choice([0, most // 4]), most, low, high))
        slope = size * chance.choice([500, 1_000, 2_000])
        most = chance.randrange(1_000, 11_000)
        orders.append(sell(chance, most, chance.randrange(60_000, 280_000), slope))
    orders.sort(key=lambda order: order.order_id)
    return orders, Terms(PRICES, 500 * size, 100 * size)


def petcon(size: int) -> tuple[list[Order], Terms]:
    """A draw of the paper's market: ln(1 + c) weighed by tau over the state of charge."""
    chance = random.Random(SEED)
    orders: list[Order] = []
    for _ in range(size):
        least, most = chance.randrange(5_000, 10_000), chance.randrange(12_000, 18_000)
        weight = 10.07 * 0.72 / (24 * chance.uniform(0.2, 0.5))
        low = weight / (1 + (most - least) / 1_000)
        orders.append(buy(chance, least, most, round(low * 1e6), round(weight * 1e6)))
        orders.append(sell(chance, chance.randrange(10_000, 20_000), 15_000, 20_000))
    orders.sort(key=lambda order: order.order_id)
    return orders, Terms(replace(PRICES, lost_load_ucoin_per_kwh=5_000_000), 0, 0)


def buy(chance: random.Random, least: int, most: int, low: int, high: int) -> BuyOrder:
    return BuyOrder(
        order_id=chance.randbytes(32),
        owner=bytes(32),
        port="p",
        min_wh=least,
        max_wh=most,
        price_high_ucoin_per_kwh=high,
        price_low_ucoin_per_kwh=low,
        held_ucoin=0,
    )


def sell(chance: random.Random, most: int, ask: int, slope: int) -> SellOrder:
    return SellOrder(
        order_id=chance.randbytes(32),
        owner=bytes(32),
        port="p",
        max_wh=most,
        ask_ucoin_per_kwh=ask,
        slope_ucoin_per_kwh2=slope,
        held_ucoin=0,
    )


MARKETS: dict[str, Callable[[int], tuple[list[Order], Terms]]] = {"hub": hub, "petcon": petcon}


def own_seconds(work: Callable[[], Any]) -> float:
    started_s = time.process_time()
    work()
    return time.process_time() - started_s


def solve(asked: PairsBook) -> PairsClearing:
    return clear_pairs(asked.buyers, asked.sellers, asked.grid, lost_load=asked.lost_load)


def prepared(market: str, size: int) -> tuple[PairsBook, Book, PairPrices]:
    """The book as the solver takes it, as the ledger has it, and the prices that prove it."""
    orders, terms = MARKETS[market](size)
    of_round: Any = terms
    asked = pairs_book(of_round, orders)
    listed = listed_prices(of_round, orders, solve(asked))
    book = Book(
        mechanism=Mechanism.WELFARE_PAIRS,
        buys=[order for order in orders if isinstance(order, BuyOrder)],
        sells=[order for order in orders if isinstance(order, SellOrder)],
        prices=terms.prices,
        import_limit_wh=terms.import_limit_wh,
        export_limit_wh=terms.export_limit_wh,
    )
    return asked, book, split_prices(orders, listed)


def compared(market: str, size: int, turns: int) -> dict[str, Any]:
    asked, book, prices = prepared(market, size)
    found = certify(book, prices)
    if isinstance(found, Flaw):
        raise SystemExit(f"{market}, {size} a side: refused, {found.reason.name}")
    times = take_turns(
        {
            "check": lambda: own_seconds(lambda: certify(book, prices)),
            "solve": lambda: own_seconds(lambda: solve(asked)),
        },
        turns,
    )
    return {
        "seconds_check": spread(times["check"]),
        "seconds_solve": spread(times["solve"]),
        "times_longer": spread(ratios(times["check"], times["solve"])),
        "gap_ucoin": found.gap_ucoin,
        "traded_ucoin": found.traded_ucoin,
        "sold_wh": sum(found.sold_wh),
        "bought_wh": sum(found.bought_wh),
        "import_wh": found.import_wh,
        "export_wh": found.export_wh,
    }


def row(market: str, size: int, figures: dict[str, Any]) -> tuple[str, ...]:
    certain, most = MOST_TIMES_AT
    return (
        f"check of a pairs clearing, {market}, {size:,} a side, gap {figures['gap_ucoin']} ucoin",
        f"{figures['seconds_check']['median'] * 1e3:,.3g} ms",
        f"numpy's solve: {figures['seconds_solve']['median'] * 1e3:,.3g} ms",
        f"{shown(figures['times_longer'], '.1f')} times longer",
        f"<= {most}" if size == certain else "reported",
    )


def main() -> None:
    figures: dict[str, Any] = {}
    lines = []
    for market in MARKETS:
        for size, turns in SIZES.items():
            found = compared(market, size, turns)
            figures[f"{market}_{size}"] = found
            lines.append(row(market, size, found))
    certain, most = MOST_TIMES_AT
    figures["met"] = {
        market: figures[f"{market}_{certain}"]["times_longer"]["median"] <= most
        for market in MARKETS
    }
    _, book, prices = prepared("hub", 10**4)
    profile("certificate_check", lambda: certify(book, prices))
    *first, last = lines
    for line in first:
        print("| " + " | ".join(line) + " |", flush=True)
    report(
        "certificate_check", f"at most {most} times the solve at {certain:,} a side", figures, last
    )


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in ONE_CORE.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_CORE)
    main()
