"""Random books for property tests: prices as a tariff allows them, orders, limits."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from peerwatt.contracts.auction import Book
from peerwatt.records.codec import digest
from peerwatt.records.market import BuyOrder, Mechanism, PriceRule, Prices, SellOrder

UNUSED_UCOIN = 0


@st.composite
def prices(draw: Any, top: int = 600_000) -> Prices:
    """feed-in + fees < retail <= lost load, often by as little as may be."""
    feed_in = draw(st.integers(0, top // 4))
    fees = [draw(st.sampled_from([0, 0, 1, 7_000, 20_000])) for _ in range(3)]
    floor = feed_in + sum(fees) + 1
    retail = draw(st.integers(floor, floor + top // 2) | st.just(floor))
    lost_load = draw(st.integers(retail, retail + top) | st.just(retail))
    return Prices(
        price_rule=draw(st.sampled_from(PriceRule)),
        retail_ucoin_per_kwh=retail,
        feed_in_ucoin_per_kwh=feed_in,
        network_fee_ucoin_per_kwh=fees[0],
        platform_fee_ucoin_per_kwh=fees[1],
        levy_ucoin_per_kwh=fees[2],
        lost_load_ucoin_per_kwh=lost_load,
        shortfall_penalty_ucoin_per_kwh=draw(st.sampled_from([0, 1, 50_000])),
        failed_clearing_penalty_ucoin=1_000_000,
    )


def price_near(terms: Prices) -> st.SearchStrategy[int]:
    """Any price up to lost load, with a liking for those where the grid stands."""
    lost_load = terms.lost_load_ucoin_per_kwh
    fee = terms.local_fee_ucoin_per_kwh
    special = (
        0,
        1,
        terms.feed_in_ucoin_per_kwh,
        terms.feed_in_ucoin_per_kwh + fee,
        terms.retail_ucoin_per_kwh - fee,
        terms.retail_ucoin_per_kwh,
        lost_load,
    )
    return st.integers(0, lost_load) | st.sampled_from(special)


ENERGY_WH = st.integers(1, 5_000) | st.sampled_from([1, 2, 3, 1_000])


@st.composite
def books(draw: Any, mechanism: Mechanism | None = None) -> Book:
    """Up to six buyers and six sellers, by id; any of them may be marginal, or tie."""
    terms = draw(prices())
    price = price_near(terms)
    buys, sells = [], []
    for number in range(draw(st.integers(0, 6))):
        low, high = sorted((draw(price), draw(price)))
        most = draw(ENERGY_WH)
        buys.append(
            BuyOrder(
                order_id=digest(b"buy %d" % number),
                owner=digest(b"buyer %d" % number),
                port=f"b{number}",
                min_wh=draw(st.integers(0, most) | st.sampled_from([0, most])),
                max_wh=most,
                price_high_ucoin_per_kwh=high,
                price_low_ucoin_per_kwh=low,
                held_ucoin=UNUSED_UCOIN,
            )
        )
    for number in range(draw(st.integers(0, 6))):
        sells.append(
            SellOrder(
                order_id=digest(b"sell %d" % number),
                owner=digest(b"seller %d" % number),
                port=f"s{number}",
                max_wh=draw(ENERGY_WH),
                ask_ucoin_per_kwh=draw(price),
                slope_ucoin_per_kwh2=draw(st.sampled_from([0, 1, 999, 50_000, 10**9])),
                held_ucoin=UNUSED_UCOIN,
            )
        )
    return Book(
        mechanism=mechanism or draw(st.sampled_from(Mechanism)),
        buys=sorted(buys, key=lambda order: order.order_id),
        sells=sorted(sells, key=lambda order: order.order_id),
        prices=terms,
        import_limit_wh=draw(st.integers(0, 12_000) | st.just(0)),
        export_limit_wh=draw(st.integers(0, 6_000) | st.just(0)),
    )
