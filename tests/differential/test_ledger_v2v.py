"""The ledger's two rounds against `mechanisms.v2v`, which shares no code with them.

A buyer's curve of X elastic kWh from `low` (1 + X) down to `low` is the paper's utility w ln(c + 1)
with w = `low` (1 + X), so that both sides want the same energies to a few Wh; where these settle
who is the marginal trader, the two may part, and such markets are told from the rest by counting.
"""

from __future__ import annotations

from random import Random

import numpy as np

from peerwatt.contracts.among_cars import first_round, limits_of, trade_among_cars
from peerwatt.contracts.auction import Book
from peerwatt.mechanisms.auction_book import Band
from peerwatt.mechanisms.v2v import V2VClearing, clear_v2v
from peerwatt.mechanisms.v2v_quantities import CarsThatBuy, CarsThatSell
from peerwatt.records.market import BuyOrder, Mechanism, PriceRule, Prices, SellOrder
from peerwatt.units import UCOIN_PER_COIN, WH_PER_KWH

MARKETS = 1_000
FEED_IN, RETAIL, LOST_LOAD = 40_000, 400_000, 20_000_000
TERMS = Prices(
    price_rule=PriceRule.MARGINAL, retail_ucoin_per_kwh=RETAIL, feed_in_ucoin_per_kwh=FEED_IN,
    network_fee_ucoin_per_kwh=0, platform_fee_ucoin_per_kwh=0, levy_ucoin_per_kwh=0,
    lost_load_ucoin_per_kwh=LOST_LOAD, shortfall_penalty_ucoin_per_kwh=0,
    failed_clearing_penalty_ucoin=0,
)  # fmt: skip


def draw_book(seed: int) -> Book:
    """A market of cars on the ledger."""
    draw = Random(seed)
    limits = iter(draw.sample(range(FEED_IN, RETAIL, 2), 24))
    buys, sells = [], []
    for number in range(draw.randint(1, 10)):
        elastic, low = draw.randint(1, 12), draw.randint(10_000, 60_000)
        least_wh = draw.choice([0, draw.randint(0, 2_000)])
        buys.append(BuyOrder(
            order_id=bytes([1, number]) * 16, owner=bytes(32), port=f"b{number}",
            min_wh=least_wh, max_wh=least_wh + elastic * WH_PER_KWH,
            price_high_ucoin_per_kwh=low * (1 + elastic), price_low_ucoin_per_kwh=low,
            held_ucoin=0, limit_ucoin_per_kwh=next(limits),
        ))  # fmt: skip
    for number in range(draw.randint(1, 8)):
        sells.append(SellOrder(
            order_id=bytes([2, number]) * 16, owner=bytes(32), port=f"s{number}",
            max_wh=draw.randint(2_000, 15_000), ask_ucoin_per_kwh=draw.randint(0, 60_000),
            slope_ucoin_per_kwh2=draw.randint(5_000, 50_000), held_ucoin=0,
            limit_ucoin_per_kwh=next(limits),
        ))  # fmt: skip
    return Book(Mechanism.V2V, buys, sells, TERMS, 10**9, 10**9)


def on_arrays(book: Book) -> V2VClearing:
    """The same market as floats; everybody signs."""
    buys, sells = book.buys, book.sells
    return clear_v2v(
        CarsThatBuy(
            bid=np.array([each.limit_ucoin_per_kwh for each in buys]) / UCOIN_PER_COIN,
            weight=np.array([each.price_high_ucoin_per_kwh for each in buys]) / UCOIN_PER_COIN,
            minimum_kwh=np.array([each.min_wh for each in buys]) / WH_PER_KWH,
            maximum_kwh=np.array([each.max_wh for each in buys]) / WH_PER_KWH,
        ),
        CarsThatSell(
            ask=np.array([each.limit_ucoin_per_kwh for each in sells]) / UCOIN_PER_COIN,
            maximum_kwh=np.array([each.max_wh for each in sells]) / WH_PER_KWH,
            quadratic_cost=np.array([each.slope_ucoin_per_kwh2 for each in sells])
            / (2 * UCOIN_PER_COIN),
            linear_cost=np.array([each.ask_ucoin_per_kwh for each in sells]) / UCOIN_PER_COIN,
        ),
        Band(feed_in=FEED_IN / UCOIN_PER_COIN, retail=RETAIL / UCOIN_PER_COIN),
    )


def signed(book: Book, array: V2VClearing) -> dict[bytes, int]:
    """The losers' new limits, as the arrays have them, in whole ucoin."""
    second = (*array.second.bid, *array.second.ask)
    return {
        order.order_id: round(limit * UCOIN_PER_COIN)
        for order, limit in zip((*book.buys, *book.sells), second, strict=True)
        if np.isfinite(limit) and round(limit * UCOIN_PER_COIN) != order.limit_ucoin_per_kwh
    }


def test_quantities_prices_and_both_rounds_agree() -> None:
    compared = in_second = 0
    for seed in range(MARKETS):
        book = draw_book(seed)
        array, limits = on_arrays(book), limits_of(book)
        wanted = np.array([each.energy_wh for each in limits.bids])
        offered = np.array([each.energy_wh for each in limits.asks])
        at = f"seed {seed}"
        assert sum(wanted) == sum(offered), at
        assert np.abs(wanted - array.quantities.wanted_kwh * WH_PER_KWH).max() <= 3, at
        assert np.abs(offered - array.quantities.offered_kwh * WH_PER_KWH).max() <= 3, at
        first = first_round(book)
        assert first is not None
        prices = first.buyer_price_ucoin_per_kwh, first.seller_price_ucoin_per_kwh
        if np.abs(np.array(prices) - np.array(array.star) * UCOIN_PER_COIN).max() > 1:
            continue
        compared += 1
        in_second += array.second.bought_kwh.sum() > 0
        traded = trade_among_cars(book, signed(book, array))
        for told, rounds in (
            (traded.bought_wh, (array.first.bought_kwh, array.second.bought_kwh)),
            (traded.sold_wh, (array.first.sold_kwh, array.second.sold_kwh)),
        ):
            assert np.abs(np.array(told) - sum(rounds) * WH_PER_KWH).max() <= 40, at
        paid = sum(
            each.bought_kwh.sum() * each.buyer_price
            for each in (array.first, array.second)
            if each.bought_kwh.sum() > 0
        )
        assert abs(sum(traded.paid) / WH_PER_KWH - paid * UCOIN_PER_COIN) < 20_000, at
    assert compared >= 0.97 * MARKETS
    assert in_second >= 0.1 * MARKETS
