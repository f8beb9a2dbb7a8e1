"""The audit: no lie where truth is a dominant strategy, a lie wherever one was planted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from planted_mistakes import VARIANTS

from peerwatt.market_lab.audit import Report, audit
from peerwatt.market_lab.lies import (
    BOTH,
    KINDS,
    LEAST_GAIN,
    PRICE,
    QUANTITY,
    lies_in,
    utility,
)
from peerwatt.market_lab.subjects import (
    SUBJECTS,
    Clear,
    Market,
    Outcome,
    Subject,
    random_market,
    saying,
    subject_of,
)
from peerwatt.mechanisms.auction_book import Band
from peerwatt.mechanisms.v2v import clear_v2v
from peerwatt.mechanisms.v2v_quantities import CarsThatBuy, CarsThatSell

TRUTHFUL = [name for name in SUBJECTS if subject_of(name).truthful_in_price]
BAND = Band(feed_in=0.05, retail=0.35)


def lies_of(
    clear: Clear, seeds: range, *, one_size: bool, kinds: tuple[str, ...], most_a_side: int = 1
) -> list[str]:
    """Lies that pay, in words."""
    found = []
    for seed in seeds:
        market = random_market(seed, one_size=one_size)
        for lie in lies_in(clear, market, seed, kinds=kinds, most_a_side=most_a_side):
            if lie.gain > LEAST_GAIN:
                found.append(f"market {seed}: {lie}")
    return found


@pytest.mark.parametrize("name", TRUTHFUL)
def test_no_lie_about_a_price_pays_where_none_should(name: str) -> None:
    subject = subject_of(name)
    seeds = range(100)
    assert lies_of(subject.clear, seeds, one_size=subject.one_size, kinds=(PRICE,)) == []


@pytest.mark.parametrize("name", ["muda", "vcg"])
def test_no_lie_about_a_quantity_pays_where_none_should(name: str) -> None:
    kinds = (QUANTITY, BOTH)
    assert lies_of(subject_of(name).clear, range(40), one_size=False, kinds=kinds) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", TRUTHFUL)
def test_no_lie_pays_in_a_thousand_markets(name: str) -> None:
    subject = subject_of(name)
    kinds = KINDS if subject.truthful_in_quantity else (PRICE,)
    seeds = range(1000, 2000)
    assert lies_of(subject.clear, seeds, one_size=subject.one_size, kinds=kinds) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("uniform", PRICE),
        ("pay-as-bid", PRICE),
        ("one-price", PRICE),
        ("huang", QUANTITY),
        ("mcafee", QUANTITY),
        ("mcafee-paper", QUANTITY),
        ("v2v", PRICE),
        ("v2v-paper", PRICE),
        ("v2v", QUANTITY),
    ],
)
def test_the_known_lies_are_found(name: str, kind: str) -> None:
    assert lies_of(subject_of(name).clear, range(12), one_size=False, kinds=(kind,))


def first_round_alone(said: Market, seed: int) -> Outcome:
    """V2V as if the market ended with its auction."""
    found = clear_v2v(
        CarsThatBuy(bid=said.value, weight=3.0, minimum_kwh=0.5, maximum_kwh=said.need_kwh),
        CarsThatSell(
            ask=said.cost, maximum_kwh=said.have_kwh, quadratic_cost=0.02, linear_cost=0.05
        ),
        said.band,
        paper=True,
        seed=seed,
    ).first
    pay, get = (np.nan_to_num(price) for price in (found.buyer_price, found.seller_price))
    return Outcome(found.bought_kwh, pay * found.bought_kwh, found.sold_kwh, get * found.sold_kwh)


def test_the_lies_of_v2v_are_those_of_its_second_round() -> None:
    assert lies_of(first_round_alone, range(40), one_size=False, kinds=(PRICE,)) == []
    assert lies_of(subject_of("v2v-paper").clear, range(6), one_size=False, kinds=(PRICE,))


def test_at_least_95_of_100_planted_mistakes_are_found() -> None:
    missed = []
    for words, (clear, one_size) in VARIANTS.items():
        kinds = (PRICE,) if one_size else (PRICE, QUANTITY)
        batches = (range(first, first + 5) for first in range(0, 60, 5))
        if not any(lies_of(clear, each, one_size=one_size, kinds=kinds) for each in batches):
            missed.append(words)
    assert len(VARIANTS) >= 25
    assert len(missed) <= 0.05 * len(VARIANTS), missed


def made_up(**changed: Any) -> Market:
    parts: dict[str, Any] = {
        "value": np.array([0.30, 0.20]),
        "need_kwh": np.array([2.0, 2.0]),
        "cost": np.array([0.10, 0.25]),
        "have_kwh": np.array([2.0, 2.0]),
        "band": BAND,
    }
    return Market(**(parts | changed))


def test_what_is_of_no_use_is_worth_nothing_and_what_is_missing_is_bought_in() -> None:
    truth = made_up()
    outcome = Outcome(
        np.array([3.0, 0]), np.array([0.6, 0]), np.array([3.0, 0]), np.array([0.6, 0])
    )
    assert utility(truth, outcome, True, 0) == pytest.approx(0.3 * 2 - 0.6)
    assert utility(truth, outcome, False, 0) == pytest.approx(0.6 - 0.2 - 0.35)


def test_a_lie_can_be_replayed_from_what_the_report_says() -> None:
    subject = subject_of("uniform")
    report = audit(subject, [(seed, random_market(seed)) for seed in range(6)])
    example = report.best[PRICE]
    truth, lie = random_market(example.market), example.lie
    said = saying(truth, lie.buyer, lie.row, lie.price, lie.kwh)
    honest, lied = (
        utility(truth, subject.clear(market, example.market), lie.buyer, lie.row)
        for market in (truth, said)
    )
    assert lied - honest == pytest.approx(lie.gain)
    assert lie.gain > 0


def measured(name: str, market: Market) -> Report:
    return audit(subject_of(name), [(0, market)])


def test_gains_money_and_losers_are_measured() -> None:
    market = made_up()
    uniform = measured("uniform", market)
    assert (uniform.welfare, uniform.traded) == (pytest.approx(1), pytest.approx(1))
    assert uniform.buyers_gain == pytest.approx(2 * (0.3 - 0.225) / 0.4)
    assert uniform.surplus == pytest.approx(0, abs=1e-12)
    own = measured("pay-as-bid", market)
    assert (own.buyers_gain, own.sellers_gain, own.surplus) == pytest.approx((0, 0, 1), abs=1e-9)
    vcg = measured("vcg", market)
    assert vcg.short == 1
    assert vcg.surplus < 0
    assert vcg.broken == []
    assert uniform.worse_than_no_trade == uniform.worse_than_grid == 0


def test_a_broken_claim_is_named() -> None:
    def dear(said: Market, seed: int) -> Outcome:
        """The grid's dearest price for all, half of it to sellers' credit twice over."""
        pairs = np.array([2.0, 0.0])
        return Outcome(pairs, 0.4 * pairs, pairs, 0.5 * pairs)

    subject = Subject(name="dear", clear=dear, truthful_in_price=True)
    report = audit(subject, [(0, made_up())])
    assert report.broken == ["never short of money"]
    assert report.short == 1
    assert report.worse_than_no_trade == pytest.approx(0.25)
    assert report.worse_than_grid == pytest.approx(0.25)
    liar = Subject(name="own", clear=subject_of("pay-as-bid").clear, truthful_in_price=True)
    assert audit(liar, [(0, made_up())]).broken == ["truthful in price"]


def test_a_row_is_json_without_times() -> None:
    row = measured("sbba", random_market(1, one_size=True)).as_row()
    assert row["quantity_lies_pay"] is None
    assert "seconds" not in row
    assert all(not (isinstance(value, float) and math.isnan(value)) for value in row.values())
