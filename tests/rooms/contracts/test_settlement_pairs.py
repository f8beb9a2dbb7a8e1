"""Settlement where every buyer has its own price: the pool is never short, whoever cheats."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_books import HUB, buy, outcome_of, random_book, sell, solved

from peerwatt.contracts.auction import Book
from peerwatt.contracts.clearing import award
from peerwatt.contracts.pairs import certify
from peerwatt.contracts.proved import ProvedOutcome
from peerwatt.contracts.settlement import Pool, settle
from peerwatt.records.market import Award, Clearing, Mechanism, Side
from peerwatt.records.readings import MeterReading
from peerwatt.units import cost_ceil_ucoin, cost_floor_ucoin

FIXED = settings(max_examples=250, derandomize=True, deadline=None)
METERS = ("as awarded", "nothing", "less", "more", "wrong way", "missing")


def cleared_round(book: Book) -> tuple[list[Award], Clearing] | None:
    """An honest clearing of the book with its awards."""
    prices = solved(book)
    if prices is None:
        return None
    found = certify(book, prices)
    assert isinstance(found, ProvedOutcome)
    done, pricing = outcome_of(found)
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
        gap_ucoin=found.gap_ucoin,
        traded_ucoin=found.traded_ucoin,
    )
    return award(book, done, pricing), clearing


def measured(chance: random.Random, awards: list[Award]) -> dict[str, MeterReading]:
    """Each meter does one of `METERS`, often all of a side the same."""
    habit = {side: chance.choice(METERS) for side in Side}
    readings = {}
    for each in awards:
        kind = habit[each.side] if chance.random() < 0.6 else chance.choice(METERS)
        share = {"as awarded": 1.0, "nothing": 0.0, "less": chance.random(), "wrong way": -1.0}
        energy_wh = round(each.energy_wh * share.get(kind, 1 + chance.random()))
        if kind != "missing":
            readings[each.port] = reading(energy_wh if each.side == Side.BUY else -energy_wh)
    return readings


def reading(net_wh: int) -> MeterReading:
    return MeterReading(
        meter=bytes(32), sequence=1, start_s=0, end_s=900,
        import_start_wh=0, import_end_wh=max(net_wh, 0),
        export_start_wh=0, export_end_wh=max(-net_wh, 0),
    )  # fmt: skip


def holds(book: Book, awards: list[Award], clearing: Clearing, pool: Pool) -> None:
    """The pool pays everybody out of what comes in, and no charge exceeds its hold."""
    terms = book.prices
    paid_in = sum(each.paid_ucoin + each.penalty_ucoin for each in pool.settled)
    received = sum(each.received_ucoin for each in pool.settled)
    fees = cost_floor_ucoin(pool.sold_wh - pool.export_wh, terms.local_fee_ucoin_per_kwh)
    exported = cost_ceil_ucoin(pool.export_wh, terms.feed_in_ucoin_per_kwh)
    imported = cost_floor_ucoin(pool.import_wh, terms.retail_ucoin_per_kwh)
    assert paid_in + exported >= received + imported + fees
    assert exported <= clearing.supplier_held_ucoin
    assert pool.bought_wh + pool.export_wh == pool.sold_wh + pool.import_wh
    for each, awarded in zip(pool.settled, awards, strict=True):
        assert 0 <= each.paid_ucoin + each.penalty_ucoin <= awarded.held_ucoin
        assert min(each.paid_ucoin, each.penalty_ucoin, each.received_ucoin) >= 0


def settle_random(seed: int, turns: int = 1) -> int:
    """Settle one book's awards under `turns` draws of readings; how many were settled."""
    chance = random.Random(seed)
    book = random_book(chance)
    found = cleared_round(book)
    if found is None:
        return 0
    awards, clearing = found
    limits = book.import_limit_wh, book.export_limit_wh
    for _ in range(turns):
        readings = measured(chance, awards)
        holds(book, awards, clearing, settle(awards, readings, book.prices, clearing, *limits))
    return turns


@FIXED
@given(st.integers(0, 2**32))
def test_the_pool_is_never_short_whatever_the_meters_say(seed: int) -> None:
    settle_random(seed, 4)


@pytest.mark.slow
def test_the_pool_is_never_short_in_a_hundred_thousand_settlements() -> None:
    assert sum(settle_random(seed, 10) for seed in range(10_200)) >= 100_000


def test_import_and_export_in_one_round_settle_as_their_net() -> None:
    """A steep seller trades a little with each buyer and feeds in the rest, while the buyers fetch
    theirs from the grid: net, it is a local trade, whose fee the spread of the grid pays."""
    book = Book(
        Mechanism.WELFARE_PAIRS,
        [buy(0, 0, 3_000, 350_000, 400_000), buy(1, 0, 2_000, 310_000, 450_000)],
        [sell(0, 4_000, 10_000, 10**6)],
        HUB,
        20_000,
        20_000,
    )
    found = cleared_round(book)
    assert found is not None
    awards, clearing = found
    assert clearing.sold_wh == 4_000
    assert (clearing.import_wh, clearing.export_wh) == (1_000, 0)
    for kinds in range(200):
        readings = measured(random.Random(kinds), awards)
        pool = settle(awards, readings, book.prices, clearing, 20_000, 20_000)
        holds(book, awards, clearing, pool)
