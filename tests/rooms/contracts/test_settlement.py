"""Settlement on random readings: the pool is never short, no charge exceeds its hold; by hand."""

from __future__ import annotations

from typing import Any

import pytest
from books import books
from hypothesis import given, settings
from hypothesis import strategies as st

from peerwatt.contracts.auction import Book, clear
from peerwatt.contracts.clearing import award, price
from peerwatt.contracts.settlement import Pool, settle
from peerwatt.records.market import Award, Clearing, Flag, PriceRule, Prices, SettledAward, Side
from peerwatt.records.readings import MeterReading
from peerwatt.units import cost_ceil_ucoin, cost_floor_ucoin

FIXED = settings(max_examples=120, derandomize=True, deadline=None)
KEY = bytes(32)


def cleared(book: Book) -> tuple[list[Award], Clearing]:
    done = clear(book)
    pricing = price(book, done)
    clearing = Clearing(
        price_ucoin_per_kwh=done.price_ucoin_per_kwh,
        buyer_price_ucoin_per_kwh=pricing.buyer_price,
        bought_wh=sum(done.bought_wh),
        sold_wh=sum(done.sold_wh),
        import_wh=done.import_wh,
        export_wh=done.export_wh,
        supplier_held_ucoin=cost_ceil_ucoin(sum(done.sold_wh), book.prices.feed_in_ucoin_per_kwh),
        sellers_dropped=False,
        proposer=b"",
        gap_ucoin=0,
        traded_ucoin=0,
    )
    return award(book, done, pricing), clearing


def reading(net_wh: int, through_wh: int = 0) -> MeterReading:
    """A meter's registers when this much went in on balance, and as much again came back out."""
    return MeterReading(
        meter=KEY, sequence=1, start_s=0, end_s=900,
        import_start_wh=0, import_end_wh=max(net_wh, 0) + through_wh,
        export_start_wh=0, export_end_wh=max(-net_wh, 0) + through_wh,
    )  # fmt: skip


@st.composite
def settled_rounds(draw: Any) -> tuple[Book, list[Award], Clearing, dict[str, MeterReading]]:
    """A cleared book and what its meters measured: nothing, something else, or as awarded."""
    book = draw(books())
    awards, clearing = cleared(book)
    readings = {}
    for each in awards:
        awarded = each.energy_wh if each.side == Side.BUY else -each.energy_wh
        near = st.integers(-2, 2).map(lambda off, awarded=awarded: awarded + off)
        anything = st.integers(-6_000, 6_000)
        net_wh = draw(st.just(awarded) | near | anything | st.sampled_from([0, None]))
        if net_wh is not None:
            readings[each.port] = reading(net_wh, draw(st.integers(0, 3)))
    return book, awards, clearing, readings


def run(
    book: Book, awards: list[Award], clearing: Clearing, readings: dict[str, MeterReading]
) -> Pool:
    limits = (book.import_limit_wh, book.export_limit_wh)
    return settle(awards, readings, book.prices, clearing, *limits)


@FIXED
@given(settled_rounds())
def test_the_pool_is_never_short_whatever_the_meters_say(round_: Any) -> None:
    book, awards, clearing, readings = round_
    pool, terms = run(book, awards, clearing, readings), book.prices
    paid_in = sum(each.paid_ucoin + each.penalty_ucoin for each in pool.settled)
    received = sum(each.received_ucoin for each in pool.settled)
    local_wh = pool.sold_wh - pool.export_wh
    fees = cost_floor_ucoin(local_wh, terms.local_fee_ucoin_per_kwh)
    exported = cost_ceil_ucoin(pool.export_wh, terms.feed_in_ucoin_per_kwh)
    imported = cost_floor_ucoin(pool.import_wh, terms.retail_ucoin_per_kwh)
    assert paid_in + exported >= received + imported + fees
    assert exported <= clearing.supplier_held_ucoin


@FIXED
@given(settled_rounds())
def test_no_charge_exceeds_its_hold_and_no_figure_is_below_zero(round_: Any) -> None:
    book, awards, clearing, readings = round_
    pool = run(book, awards, clearing, readings)
    for each, awarded in zip(pool.settled, awards, strict=True):
        assert each.order_id == awarded.order_id
        assert 0 <= each.paid_ucoin + each.penalty_ucoin <= awarded.held_ucoin
        assert min(each.paid_ucoin, each.penalty_ucoin, each.received_ucoin) >= 0
        assert 0 <= each.excused_wh <= each.awarded_wh - each.metered_wh
        assert 0 <= each.metered_wh <= each.awarded_wh


@FIXED
@given(settled_rounds())
def test_energy_balances_and_what_nobody_served_is_shared_alike(round_: Any) -> None:
    book, awards, clearing, readings = round_
    pool = run(book, awards, clearing, readings)
    assert pool.bought_wh + pool.export_wh == pool.sold_wh + pool.import_wh
    assert min(pool.import_wh, pool.export_wh) == 0
    buys = [each for each in pool.settled if each.side == Side.BUY]
    assert sum(each.excused_wh for each in buys) == pool.unserved_wh
    missing = [each.awarded_wh - each.metered_wh for each in buys]
    for each, lacks in zip(buys, missing, strict=True):
        assert abs(each.excused_wh * sum(missing) - pool.unserved_wh * lacks) <= sum(missing)


@FIXED
@given(settled_rounds())
def test_who_delivers_as_awarded_pays_or_gets_just_that(round_: Any) -> None:
    """Whatever the others do."""
    book, awards, clearing, readings = round_
    pool = run(book, awards, clearing, readings)
    for each, awarded in zip(pool.settled, awards, strict=True):
        if each.metered_wh == awarded.energy_wh:
            energy = (awarded.energy_wh, awarded.price_ucoin_per_kwh)
            assert each.penalty_ucoin == each.excused_wh == 0
            if each.side == Side.BUY:
                assert each.paid_ucoin == cost_ceil_ucoin(*energy)
            else:
                assert each.received_ucoin == cost_floor_ucoin(*energy)


# --- by hand

TERMS = Prices(
    price_rule=PriceRule.MIDPOINT, retail_ucoin_per_kwh=300_000, feed_in_ucoin_per_kwh=80_000,
    network_fee_ucoin_per_kwh=20_000, platform_fee_ucoin_per_kwh=0, levy_ucoin_per_kwh=0,
    lost_load_ucoin_per_kwh=500_000, shortfall_penalty_ucoin_per_kwh=50_000,
    failed_clearing_penalty_ucoin=1_000_000,
)  # fmt: skip
PRICE, PAID = 220_000, 200_000


def two(import_wh: int, export_wh: int = 0, sold_wh: int = 1_000) -> tuple[list[Award], Clearing]:
    """A buyer of what a seller and the grid give, less what goes out."""
    bought_wh = sold_wh + import_wh - export_wh
    awards = [
        Award(
            order_id=bytes([n]) * 32, owner=KEY, port=port, side=side, energy_wh=energy_wh,
            price_ucoin_per_kwh=at, held_ucoin=10**9,
        )
        for n, (port, side, energy_wh, at) in enumerate(
            [("b", Side.BUY, bought_wh, PRICE), ("s", Side.SELL, sold_wh, PAID)]
        )
    ]  # fmt: skip
    clearing = Clearing(
        price_ucoin_per_kwh=PRICE, buyer_price_ucoin_per_kwh=PRICE, bought_wh=bought_wh,
        sold_wh=sold_wh, import_wh=import_wh, export_wh=export_wh, supplier_held_ucoin=10**9,
        sellers_dropped=False,
        proposer=b"",
        gap_ucoin=0,
        traded_ucoin=0,
    )  # fmt: skip
    return awards, clearing


def outcome(
    net_wh: dict[str, int], *, import_wh: int = 0, export_wh: int = 0,
    import_limit: int = 5_000, export_limit: int = 5_000,
) -> tuple[SettledAward, SettledAward]:  # fmt: skip
    awards, clearing = two(import_wh, export_wh)
    readings = {port: reading(net) for port, net in net_wh.items()}
    pool = settle(awards, readings, TERMS, clearing, import_limit, export_limit)
    buyer, seller = pool.settled
    return buyer, seller


def money(each: SettledAward) -> tuple[int, int, int]:
    return each.paid_ucoin, each.received_ucoin, each.penalty_ucoin


def test_as_awarded() -> None:
    buyer, seller = outcome({"b": 1_000, "s": -1_000})
    assert (money(buyer), money(seller)) == ((220_000, 0, 0), (0, 200_000, 0))
    assert (buyer.flags, seller.flags) == (0, 0)


def test_a_short_seller_pays_its_replacement_and_a_penalty_and_the_buyer_is_whole() -> None:
    """400 Wh at (300,000 - 200,000) + 50,000 a kWh."""
    buyer, seller = outcome({"b": 1_000, "s": -600})
    assert (money(buyer), money(seller)) == ((220_000, 0, 0), (0, 120_000, 60_000))


def test_a_full_connection_replaces_nothing_and_the_unserved_pays_nothing() -> None:
    buyer, seller = outcome({"b": 600, "s": -600}, import_limit=0)
    assert (money(buyer), buyer.excused_wh) == ((132_000, 0, 0), 400)
    assert money(seller) == (0, 120_000, 60_000)


def test_a_buyer_that_takes_less_grid_energy_pays_nothing_for_it() -> None:
    buyer, _ = outcome({"b": 1_000, "s": -1_000}, import_wh=500)
    assert money(buyer) == (220_000, 0, 0)


def test_a_buyer_that_leaves_a_cars_energy_pays_what_feed_in_does_not() -> None:
    """400 Wh go to the supplier at 80,000: 140,000 a kWh are missing."""
    buyer, seller = outcome({"b": 600, "s": -1_000})
    assert (money(buyer), money(seller)) == ((132_000, 0, 56_000), (0, 200_000, 0))


def test_a_buyer_pays_whole_for_what_nobody_can_take() -> None:
    buyer, seller = outcome({"b": 600, "s": -600}, export_limit=0)
    assert (money(buyer), seller.excused_wh) == ((132_000, 0, 88_000), 400)
    assert money(seller) == (0, 120_000, 0)


def test_missing_readings() -> None:
    """A buyer's counts as awarded, a seller's as nothing."""
    buyer, seller = outcome({})
    assert (buyer.metered_wh, seller.metered_wh) == (1_000, 0)
    assert buyer.flags == seller.flags == Flag.READING_MISSING
    assert (money(buyer), money(seller)) == ((220_000, 0, 0), (0, 0, 150_000))


@pytest.mark.parametrize(
    ("net_wh", "metered", "flags"),
    [
        ({"b": 1_200, "s": -1_300}, (1_000, 1_000), Flag.OVER_AWARD),
        ({"b": -500, "s": 500}, (0, 0), 0),
    ],
)
def test_more_than_awarded_or_the_wrong_way(
    net_wh: dict[str, int], metered: tuple[int, int], flags: int
) -> None:
    buyer, seller = outcome(net_wh)
    assert (buyer.metered_wh, seller.metered_wh) == metered
    assert buyer.flags == seller.flags == flags
