"""The ledger's check of a pairs clearing, in whole numbers, against solving it in floats.

Frozen books of 10^3, 10^4 and 10^5 buyers and as many sellers behind one connection. Peer in the
same run: `clear_pairs`, numpy's solve of the same book, which finds the prices that `certify` then
turns into awards, payments and a gap. Whoever proposes does both; every validator checks alone.
"""

from __future__ import annotations

import os
import random
import sys
from typing import Any, NamedTuple

from harness import profile, ratios, report, seconds, shown, spread, take_turns

from peerwatt.contracts.auction import Book
from peerwatt.contracts.pairs import Flaw, PairPrices, certify, split_prices
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


def orders_of(size: int) -> list[Order]:
    """As many sellers as buyers. Slopes grow with the book, so that pairs stay selective."""
    chance = random.Random(SEED)
    orders: list[Order] = []
    for at in range(2 * size):
        common: Any = {"order_id": chance.randbytes(32), "owner": bytes(32), "port": "p"}
        most = chance.randrange(1_000, 11_000)
        if at % 2:
            low = chance.randrange(50_000, 250_000)
            orders.append(
                BuyOrder(
                    min_wh=chance.choice([0, most // 4]),
                    max_wh=most,
                    price_high_ucoin_per_kwh=low + chance.randrange(250_000),
                    price_low_ucoin_per_kwh=low,
                    held_ucoin=0,
                    **common,
                )
            )
        else:
            orders.append(
                SellOrder(
                    max_wh=most,
                    ask_ucoin_per_kwh=chance.randrange(60_000, 280_000),
                    slope_ucoin_per_kwh2=round(size * chance.choice([500, 1_000, 2_000])),
                    held_ucoin=0,
                    **common,
                )
            )
    return sorted(orders, key=lambda order: order.order_id)


def solve(asked: PairsBook) -> PairsClearing:
    return clear_pairs(asked.buyers, asked.sellers, asked.grid, lost_load=asked.lost_load)


def prepared(size: int) -> tuple[PairsBook, Book, PairPrices]:
    """The book as the solver takes it, as the ledger has it, and the prices that prove it."""
    orders = orders_of(size)
    terms: Any = Terms(PRICES, 500 * size, 100 * size)
    asked = pairs_book(terms, orders)
    listed = listed_prices(terms, orders, solve(asked))
    book = Book(
        mechanism=Mechanism.WELFARE_PAIRS,
        buys=[order for order in orders if isinstance(order, BuyOrder)],
        sells=[order for order in orders if isinstance(order, SellOrder)],
        prices=PRICES,
        import_limit_wh=terms.import_limit_wh,
        export_limit_wh=terms.export_limit_wh,
    )
    return asked, book, split_prices(orders, listed)


def compared(size: int, turns: int) -> dict[str, Any]:
    asked, book, prices = prepared(size)
    found = certify(book, prices)
    if isinstance(found, Flaw):
        raise SystemExit(f"{size} a side: refused, {found.reason.name}")
    times = take_turns(
        {
            "check": lambda: seconds(lambda: certify(book, prices)),
            "solve": lambda: seconds(lambda: solve(asked)),
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


def row(size: int, figures: dict[str, Any]) -> tuple[str, ...]:
    certain, most = MOST_TIMES_AT
    return (
        f"check of a pairs clearing, {size:,} a side, gap {figures['gap_ucoin']} ucoin",
        f"{figures['seconds_check']['median'] * 1e3:,.3g} ms",
        f"numpy's solve: {figures['seconds_solve']['median'] * 1e3:,.3g} ms",
        f"{shown(figures['times_longer'], '.1f')} times longer",
        f"<= {most}" if size == certain else "reported",
    )


def main() -> None:
    figures = {f"size_{size}": compared(size, turns) for size, turns in SIZES.items()}
    certain, most = MOST_TIMES_AT
    met = figures[f"size_{certain}"]["times_longer"]["median"] <= most
    _, book, prices = prepared(10**4)
    profile("certificate_check", lambda: certify(book, prices))
    *first, last = (row(size, figures[f"size_{size}"]) for size in SIZES)
    for line in first:
        print("| " + " | ".join(line) + " |", flush=True)
    target = f"at most {most} times the solve at {certain:,} a side"
    report("certificate_check", target, {**figures, "met": met}, last)


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in ONE_CORE.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_CORE)
    main()
