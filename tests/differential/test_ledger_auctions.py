"""The ledger's double auctions against those on arrays, which share no code with it.

10,000 books for each mechanism, 1,500 of them on every run. Prices are even whole numbers, so that
every middle of two is whole, and energies whole Wh; what is cut by shares may differ by the
rounding to whole Wh, everything else is equal. Lots are handed to the ledger as the arrays'
generator draws them.
"""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from peerwatt.contracts.double_auctions import Limit, Limits, Traded, auction
from peerwatt.mechanisms.auction_book import Band, Book, Network, Orders
from peerwatt.mechanisms.auction_result import Auction
from peerwatt.mechanisms.double_auction import clear_double_auction
from peerwatt.records.market import Mechanism
from peerwatt.units import UCOIN_PER_COIN, WH_PER_KWH

PER_TEST = 500
QUICK = range(0, 1_500, PER_TEST)
SLOW = range(1_500, 10_000, PER_TEST)
ON_ARRAYS = {
    Mechanism.PAY_AS_BID: "pay-as-bid",
    Mechanism.K_PRICE: "uniform",
    Mechanism.MCAFEE: "mcafee",
    Mechanism.MCAFEE_PAPER: "mcafee-paper",
    Mechanism.HUANG: "huang",
    Mechanism.SBBA: "sbba",
    Mechanism.MUDA: "muda",
}
DRAWN = (Mechanism.SBBA, Mechanism.MUDA)
"""Where the arrays draw a lot of its own beside that of ties: there no prices tie."""
FEED_IN, RETAIL, LOT_WH = 40_000, 400_000, 2_000


def draw_book(
    seed: int, mechanism: Mechanism
) -> tuple[list[tuple[int, int]], list[tuple[int, int]], int]:
    """(price, Wh) of bids and asks, and the local fee; some sizes and prices alike."""
    draw = Random(seed)
    fee = draw.choice((0, 20_000))
    sizes = [draw.randint(1, 15_000) for _ in range(3)] if draw.random() < 0.5 else None
    levels = [2 * draw.randint(FEED_IN // 2, RETAIL // 2) for _ in range(6)]
    free = draw.sample(range(FEED_IN, RETAIL, 2), 60)
    ties = mechanism not in DRAWN and draw.random() < 0.5

    def order() -> tuple[int, int]:
        price = draw.choice(levels) if ties else free.pop()
        if mechanism == Mechanism.SBBA:
            return price, LOT_WH
        return price, draw.choice(sizes) if sizes else draw.randint(1, 15_000)

    return (
        [order() for _ in range(draw.randint(0, 12))],
        [order() for _ in range(draw.randint(0, 12))],
        fee,
    )


def on_arrays(
    bids: list[tuple[int, int]], asks: list[tuple[int, int]], fee: int, name: str, seed: int
) -> Auction:
    """What the mechanism on arrays makes of it."""
    sides = [
        Orders(
            price=np.array([price / UCOIN_PER_COIN for price, _ in side]),
            kwh=np.array([wh / WH_PER_KWH for _, wh in side]),
        )
        for side in (bids, asks)
    ]
    book = Book(
        bids=sides[0],
        asks=sides[1],
        network=Network(local_fee=fee / UCOIN_PER_COIN),
        band=Band(feed_in=FEED_IN / UCOIN_PER_COIN, retail=RETAIL / UCOIN_PER_COIN),
    )
    return clear_double_auction(book, name, seed=seed)


def lots(mechanism: Mechanism, seed: int, bids: int, asks: int) -> tuple[list[bytes], list[bytes]]:
    """Every order's lot as the arrays draw it; a lot's last bit is its half."""
    if mechanism == Mechanism.SBBA:
        drawn = np.random.default_rng((seed, 1)).permutation(asks)
        return [bytes(8)] * bids, [int(each).to_bytes(8, "big") for each in drawn]
    chance = np.random.default_rng((seed, 2) if mechanism == Mechanism.MUDA else seed)
    if mechanism == Mechanism.MUDA:
        halves = [chance.integers(0, 2, count) for count in (bids, asks)]
        turns = [np.argsort(chance.permutation(count)) for count in (bids, asks)]
    else:
        halves = [np.zeros(count, dtype=np.int64) for count in (bids, asks)]
        turns = [chance.permutation(count) for count in (bids, asks)]
    found = [
        [int(turn).to_bytes(8, "big") + bytes([half]) for turn, half in zip(*side, strict=True)]
        for side in zip(turns, halves, strict=True)
    ]
    return found[0], found[1]


def on_ledger(
    bids: list[tuple[int, int]],
    asks: list[tuple[int, int]],
    fee: int,
    mechanism: Mechanism,
    seed: int,
) -> Traded:
    """What the ledger makes of it."""
    drawn = lots(mechanism, seed, len(bids), len(asks))
    limits = Limits(
        bids=[Limit(lot, *order) for lot, order in zip(drawn[0], bids, strict=True)],
        asks=[Limit(lot, p + fee, wh) for lot, (p, wh) in zip(drawn[1], asks, strict=True)],
        feed_in=FEED_IN,
        retail=RETAIL,
        lot_wh=LOT_WH,
    )
    return auction(mechanism, limits)


@pytest.mark.parametrize(
    "first", [*QUICK, *(pytest.param(first, marks=pytest.mark.slow) for first in SLOW)]
)
def test_the_ledger_and_the_arrays_agree(first: int) -> None:
    for seed in range(first, first + PER_TEST):
        for mechanism, name in ON_ARRAYS.items():
            bids, asks, fee = draw_book(seed, mechanism)
            array = on_arrays(bids, asks, fee, name, seed)
            whole = on_ledger(bids, asks, fee, mechanism, seed)
            at = f"seed {seed}, {name}"
            for wh, kwh in (
                (whole.bought_wh, array.bought_kwh),
                (whole.sold_wh, array.sold_kwh),
            ):
                assert np.abs(np.array(wh) - kwh * WH_PER_KWH).max(initial=0) < 1 + 1e-6, at
            assert sum(whole.bought_wh) == sum(whole.sold_wh), at
            same_prices(whole.paid, whole.bought_wh, array.paid, array.bought_kwh, 0, at)
            same_prices(whole.earned, whole.sold_wh, array.earned, array.sold_kwh, fee, at)


def same_prices(
    money: list[int],
    wh: list[int],
    coin: np.ndarray[tuple[int], np.dtype[np.float64]],
    kwh: np.ndarray[tuple[int], np.dtype[np.float64]],
    fee: int,
    at: str,
) -> None:
    """Whoever trades on both sides does so at one price."""
    for due, energy_wh, due_coin, energy_kwh in zip(money, wh, coin, kwh, strict=True):
        if energy_wh and energy_kwh > 1e-6:
            assert due % energy_wh == 0, at
            expected = due_coin / energy_kwh * UCOIN_PER_COIN
            assert due // energy_wh - fee == pytest.approx(expected, abs=1e-3), at
