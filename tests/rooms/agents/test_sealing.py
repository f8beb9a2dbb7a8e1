"""What an agent seals: covered by the least deposit, bound to its key, found again by it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from peerwatt.agents.sealing import held_ucoin, salt_of, seal_fields, terms_of
from peerwatt.records.codec import digest
from peerwatt.records.market import Mechanism, PriceRule, Prices
from peerwatt.records.sealed import DEPOSITS_UCOIN, BuyTerms, SellTerms, commitment_of
from peerwatt.records.signing import SigningKey

KEY, OTHER = (SigningKey(digest(name)) for name in (b"ann", b"bob"))
PRICES = Prices(
    price_rule=PriceRule.MARGINAL, retail_ucoin_per_kwh=300_000, feed_in_ucoin_per_kwh=50_000,
    network_fee_ucoin_per_kwh=0, platform_fee_ucoin_per_kwh=0, levy_ucoin_per_kwh=0,
    lost_load_ucoin_per_kwh=500_000, shortfall_penalty_ucoin_per_kwh=0,
    failed_clearing_penalty_ucoin=0,
)  # fmt: skip
BOUND = ("sim-hub", b"round", "p1")
BUY = {
    "min_wh": 1_000,
    "max_wh": 3_000,
    "price_high_ucoin_per_kwh": 200_000,
    "price_low_ucoin_per_kwh": 100_000,
}
SELL = {"max_wh": 2_000, "ask_ucoin_per_kwh": 100_000, "slope_ucoin_per_kwh2": 0}


def test_terms_are_what_an_order_would_say() -> None:
    assert terms_of(BUY) == BuyTerms(**BUY)
    assert terms_of(SELL) == SellTerms(**SELL)


def test_the_least_deposit_covers_it() -> None:
    buys, sells = terms_of(BUY), terms_of(SELL)
    assert held_ucoin(buys, Mechanism.WELFARE, PRICES) == 500_000 + 2 * 200_000
    assert held_ucoin(buys, Mechanism.V2V, PRICES) == 500_000 + 2 * 300_000
    assert held_ucoin(sells, Mechanism.WELFARE, PRICES) == 2 * 500_000
    for mechanism, deposit in ((Mechanism.WELFARE, 0), (Mechanism.V2V, 1)):
        fields = seal_fields(buys, mechanism, PRICES, KEY, BOUND)
        assert fields["deposit_ucoin"] == DEPOSITS_UCOIN[deposit]
    with pytest.raises(ValueError, match="no deposit covers"):
        seal_fields(BuyTerms(**BUY | {"max_wh": 2 * 10**9}), Mechanism.WELFARE, PRICES, KEY, BOUND)


def test_the_salt_is_the_keys_and_the_rounds_own() -> None:
    salt = salt_of(KEY, *BOUND)
    assert salt == salt_of(KEY, *BOUND)
    others = [
        salt_of(OTHER, *BOUND),
        salt_of(KEY, "sim-other", *BOUND[1:]),
        salt_of(KEY, BOUND[0], b"other", BOUND[2]),
        salt_of(KEY, *BOUND[:2], "p2"),
    ]
    assert len({salt, *others}) == 5
    terms = terms_of(BUY)
    fields = seal_fields(terms, Mechanism.WELFARE, PRICES, KEY, BOUND)
    bound = (BOUND[0], KEY.public, *BOUND[1:])
    assert fields["commitment"] == commitment_of(*bound, terms, salt)
    changed = replace(terms, max_wh=2_999)
    assert fields["commitment"] != commitment_of(*bound, changed, salt)
