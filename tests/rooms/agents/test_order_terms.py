"""What a wish becomes as an order: curves where they are asked for, else the mean worth or cost."""

from __future__ import annotations

from math import log

import pytest

from peerwatt.agents.order_terms import order_fields, revised_limit
from peerwatt.agents.ports import BuyIntent, SellIntent
from peerwatt.records.market import FirstRound, Mechanism, PriceRule, Prices

FEED_IN, RETAIL = 50_000, 300_000
PRICES = Prices(
    price_rule=PriceRule.MARGINAL, retail_ucoin_per_kwh=RETAIL, feed_in_ucoin_per_kwh=FEED_IN,
    network_fee_ucoin_per_kwh=0, platform_fee_ucoin_per_kwh=0, levy_ucoin_per_kwh=0,
    lost_load_ucoin_per_kwh=500_000, shortfall_penalty_ucoin_per_kwh=0,
    failed_clearing_penalty_ucoin=0,
)  # fmt: skip
CURVE = ("price_high_ucoin_per_kwh", "price_low_ucoin_per_kwh")
SWEEPS = [each for each in Mechanism if each.among_cars and each != Mechanism.V2V]


def buyer(least: int = 0, high: int = 200_000, low: int = 100_000) -> BuyIntent:
    return BuyIntent(
        min_wh=least, max_wh=2_000, price_high_ucoin_per_kwh=high, price_low_ucoin_per_kwh=low
    )


def seller(ask: int = 100_000, slope: int = 20_000) -> SellIntent:
    return SellIntent(max_wh=2_000, ask_ucoin_per_kwh=ask, slope_ucoin_per_kwh2=slope)


def test_curves_go_as_they_are_where_they_are_asked_for() -> None:
    for mechanism in (Mechanism.WELFARE, Mechanism.UNIFORM, Mechanism.WELFARE_PAIRS):
        fields = order_fields(buyer(500), mechanism, PRICES)
        assert fields == dict(zip(CURVE, (200_000, 100_000), strict=True)) | {
            "min_wh": 500,
            "max_wh": 2_000,
        }
        assert order_fields(seller(), mechanism, PRICES) == {
            "max_wh": 2_000,
            "ask_ucoin_per_kwh": 100_000,
            "slope_ucoin_per_kwh2": 20_000,
        }


def test_petcons_auction_is_told_a_limit_alone() -> None:
    fields = order_fields(buyer(), Mechanism.ITERATIVE_AUCTION, PRICES)
    assert fields is not None
    assert [fields[name] for name in CURVE] == [200_000, 200_000]
    asks = order_fields(seller(), Mechanism.ITERATIVE_AUCTION, PRICES)
    assert asks == {"max_wh": 2_000, "ask_ucoin_per_kwh": 100_000, "slope_ucoin_per_kwh2": 0}


@pytest.mark.parametrize("mechanism", SWEEPS)
def test_one_price_is_the_mean_worth_or_cost(mechanism: Mechanism) -> None:
    mean = int(200_000 * 100_000 / 100_000 * log(2))
    fields = order_fields(buyer(), mechanism, PRICES)
    assert fields is not None
    assert [fields[name] for name in CURVE] == [mean, mean]
    half = order_fields(buyer(1_000), mechanism, PRICES)
    assert half is not None
    assert half[CURVE[0]] == pytest.approx((RETAIL + mean) / 2, abs=1)
    asks = order_fields(seller(), mechanism, PRICES)
    assert asks == {"max_wh": 2_000, "ask_ucoin_per_kwh": 120_000, "slope_ucoin_per_kwh2": 0}


def test_limits_lie_within_the_grids_or_there_is_no_order() -> None:
    def bid(intent: BuyIntent) -> int | None:
        fields = order_fields(intent, Mechanism.MCAFEE, PRICES)
        return None if fields is None else fields[CURVE[0]]

    assert bid(buyer(high=400_000, low=350_000)) == RETAIL
    assert bid(buyer(high=40_000, low=10_000)) is None
    assert bid(buyer(least=1, high=40_000, low=0)) == FEED_IN
    low = order_fields(seller(10_000, 0), Mechanism.MCAFEE, PRICES)
    assert low is not None
    assert low["ask_ucoin_per_kwh"] == FEED_IN
    assert order_fields(seller(300_001, 0), Mechanism.MCAFEE, PRICES) is None


def test_two_rounds_ask_for_a_curve_and_a_limit() -> None:
    fields = order_fields(buyer(), Mechanism.V2V, PRICES)
    assert fields is not None
    assert [fields[name] for name in CURVE] == [200_000, 100_000]
    assert fields["limit_ucoin_per_kwh"] == int(200_000 * log(2))


def test_losers_sign_what_does_not_harm_them() -> None:
    first = FirstRound(
        buyer_price_ucoin_per_kwh=200_000, seller_price_ucoin_per_kwh=180_000, traded_wh=1
    )
    needs, wants = buyer(least=1), buyer()
    # Short by 40,000, and half as much beyond; by 120,000, held at retail.
    assert revised_limit(needs, 160_000, first, PRICES) == 220_000
    dear = FirstRound(buyer_price_ucoin_per_kwh=280_000, seller_price_ucoin_per_kwh=0, traded_wh=0)
    assert revised_limit(needs, 160_000, dear, PRICES) == RETAIL
    assert revised_limit(wants, 160_000, first, PRICES) is None
    assert revised_limit(needs, 200_000, first, PRICES) is None
    assert revised_limit(seller(100_000), 220_000, first, PRICES) == 160_000
    assert revised_limit(seller(170_000), 220_000, first, PRICES) == 170_000
    assert revised_limit(seller(180_001), 220_000, first, PRICES) is None
    assert revised_limit(seller(100_000), 180_000, first, PRICES) is None
