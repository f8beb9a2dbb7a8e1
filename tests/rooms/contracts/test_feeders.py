"""Clearings behind feeders: each accepted one keeps all limits and pays everybody."""

from __future__ import annotations

import random

import pytest
from feeder_books import feeder_book, solved_at_own_prices
from pair_books import held_ucoin, random_book

from peerwatt.contracts.auction import Book
from peerwatt.contracts.certificates import allowed_gap_ucoin
from peerwatt.contracts.clearing import Cleared, award, clear_proposed, grid_alone
from peerwatt.contracts.feeders import Whole, net_flows, whole_awards
from peerwatt.contracts.proved import Flaw
from peerwatt.contracts.settlement import settle
from peerwatt.records.market import Clearing, FeederRoom, Mechanism, PriceRule, Side
from peerwatt.records.readings import MeterReading
from peerwatt.units import cost_ceil_ucoin, cost_floor_ucoin

ONE_PRICE = Mechanism.WELFARE_PROPOSED


def proposed(seed: int, jolt: bool = False) -> tuple[Book, Cleared | Flaw]:
    """A random book cleared by the honest prices, or by prices that are slightly off."""
    chance = random.Random(seed)
    book = feeder_book(chance, ONE_PRICE)
    bus, dearer = solved_at_own_prices(book)
    if jolt:
        bus += chance.choice([-1, 1]) * chance.choice([0, 1, 1_000, 10**6, 10**9])
        dearer = [d + chance.choice([-1, 0, 1]) * chance.choice([1, 10**6, 10**9]) for d in dearer]
    return book, clear_proposed(book, [*book.buys, *book.sells], [max(bus, 0)], dearer)


def keeps_every_limit(book: Book, cleared: Cleared) -> None:
    outcome = cleared.outcome
    assert 0 <= outcome.import_wh <= book.import_limit_wh
    assert 0 <= outcome.export_wh <= book.export_limit_wh
    bought, sold = sum(outcome.bought_wh), sum(outcome.sold_wh)
    assert bought - sold == outcome.import_wh - outcome.export_wh
    for order, energy_wh in zip(book.buys, outcome.bought_wh, strict=True):
        assert 0 <= energy_wh <= order.max_wh
    for offer, energy_wh in zip(book.sells, outcome.sold_wh, strict=True):
        assert 0 <= energy_wh <= offer.max_wh
    flows = net_flows(book, outcome.bought_wh, outcome.sold_wh)
    for room, net_wh in zip(book.feeders, flows, strict=False):
        assert -room.export_limit_wh <= net_wh <= room.import_limit_wh


def pays_everybody(book: Book, cleared: Cleared) -> None:
    outcome, pricing, terms = cleared.outcome, cleared.pricing, book.prices
    paid = sum(p * e for p, e in zip(pricing.buyer_prices, outcome.bought_wh, strict=True))
    owed = sum(p * e for p, e in zip(pricing.seller_prices, outcome.sold_wh, strict=True))
    owed += terms.retail_ucoin_per_kwh * outcome.import_wh
    owed -= terms.feed_in_ucoin_per_kwh * outcome.export_wh
    owed += terms.local_fee_ucoin_per_kwh * (sum(outcome.sold_wh) - outcome.export_wh)
    assert owed <= paid
    for offer, energy, price in zip(
        book.sells, outcome.sold_wh, pricing.seller_prices, strict=True
    ):
        assert not energy or price >= offer.ask_ucoin_per_kwh
    held = {order.order_id: held_ucoin(book, order) for order in (*book.buys, *book.sells)}
    for each in award(book, outcome, pricing):
        assert each.held_ucoin <= held[each.order_id]


@pytest.mark.parametrize("first", range(0, 300, 100))
def test_honest_prices_prove_a_clearing_within_all_limits(first: int) -> None:
    for seed in range(first, first + 100):
        book, cleared = proposed(seed)
        assert not isinstance(cleared, Flaw), (seed, cleared)
        keeps_every_limit(book, cleared)
        pays_everybody(book, cleared)


def test_prices_that_are_off_are_refused_or_still_keep_all_limits() -> None:
    refused = 0
    for seed in range(300):
        book, cleared = proposed(seed, jolt=True)
        if isinstance(cleared, Flaw):
            refused += 1
            continue
        keeps_every_limit(book, cleared)
        pays_everybody(book, cleared)
        awards = len(book.buys) + len(book.sells)
        retail = book.prices.retail_ucoin_per_kwh
        assert cleared.gap_ucoin <= allowed_gap_ucoin(cleared.traded_ucoin, awards, retail)
    assert 50 < refused < 290


def test_the_grid_alone_keeps_feeders_too() -> None:
    for seed in range(200):
        book = feeder_book(random.Random(seed), ONE_PRICE)
        cleared = grid_alone(book)
        only = book._replace(sells=[], export_limit_wh=0)
        keeps_every_limit(only, cleared)
        paid = zip(cleared.pricing.buyer_prices, cleared.outcome.bought_wh, strict=True)
        assert all(price == book.prices.retail_ucoin_per_kwh for price, wh in paid if wh)


@pytest.mark.parametrize("mechanism", [ONE_PRICE])
def test_the_pool_is_never_short_whatever_the_meters_say(mechanism: Mechanism) -> None:
    for seed in range(200):
        chance = random.Random(seed)
        book, cleared = proposed(seed)
        assert not isinstance(cleared, Flaw)
        outcome, pricing = cleared.outcome, cleared.pricing
        awards = award(book, outcome, pricing)
        readings = {}
        for each in awards:
            metered = chance.choice([0, each.energy_wh, chance.randrange(each.energy_wh + 1)])
            into, out = (metered, 0) if each.side == Side.BUY else (0, metered)
            readings[each.port] = reading(into, out)
        clearing = clearing_of(cleared)
        limits = book.import_limit_wh, book.export_limit_wh
        pool = settle(awards, readings, book.prices, clearing, *limits)
        held = {each.order_id: each.held_ucoin for each in awards}
        money = 0
        for row in pool.settled:
            assert row.paid_ucoin + row.penalty_ucoin <= held[row.order_id]
            money += row.paid_ucoin + row.penalty_ucoin - row.received_ucoin
        money -= cost_floor_ucoin(pool.import_wh, book.prices.retail_ucoin_per_kwh)
        money += cost_ceil_ucoin(pool.export_wh, book.prices.feed_in_ucoin_per_kwh)
        local = pool.sold_wh - pool.export_wh
        money -= cost_floor_ucoin(local, book.prices.local_fee_ucoin_per_kwh)
        assert money >= 0, seed


def reading(into_wh: int, out_wh: int) -> MeterReading:
    return MeterReading(
        meter=bytes(32),
        sequence=1,
        start_s=0,
        end_s=900,
        import_start_wh=0,
        import_end_wh=into_wh,
        export_start_wh=0,
        export_end_wh=out_wh,
    )


def clearing_of(cleared: Cleared) -> Clearing:
    outcome = cleared.outcome
    return Clearing(
        price_ucoin_per_kwh=outcome.price_ucoin_per_kwh,
        buyer_price_ucoin_per_kwh=cleared.pricing.buyer_price,
        bought_wh=sum(outcome.bought_wh),
        sold_wh=sum(outcome.sold_wh),
        import_wh=outcome.import_wh,
        export_wh=outcome.export_wh,
        supplier_held_ucoin=0,
        sellers_dropped=False,
        proposer=b"",
        gap_ucoin=cleared.gap_ucoin,
        traded_ucoin=cleared.traded_ucoin,
    )


def test_the_midpoint_rules_where_no_feeder_is_full() -> None:
    ruled = 0
    for seed in range(100):
        book, cleared = proposed(seed)
        assert not isinstance(cleared, Flaw)
        if any(cleared.feeder_prices) or book.prices.price_rule != PriceRule.MIDPOINT:
            continue
        ruled += len(set(cleared.pricing.buyer_prices)) == 1
    assert ruled > 5


def test_whole_awards_leave_feeders_what_they_carry() -> None:
    """Both ends of a full feeder are cut to it, and then to what meets the other side."""
    chance = random.Random(3)
    for _ in range(300):
        book = random_book(chance)
        book = feeder_book(chance, ONE_PRICE)
        wanted = [chance.randrange(order.max_wh * 1_000 + 1) for order in book.buys]
        given = [chance.randrange(order.max_wh * 1_000 + 1) for order in book.sells]
        net_wh = chance.choice([0, 500, -500])
        whole: Whole = whole_awards(book, wanted, given, net_wh)
        assert sum(whole.bought_wh) - sum(whole.sold_wh) == whole.net_wh
        assert min(net_wh, 0) <= whole.net_wh <= max(net_wh, 0)
        flows = net_flows(book, whole.bought_wh, whole.sold_wh)
        room: FeederRoom
        for room, net in zip(book.feeders, flows, strict=False):
            assert -room.export_limit_wh <= net <= room.import_limit_wh
        for most, each in zip(wanted, whole.bought_wh, strict=True):
            assert each * 1_000 < most + 1_000
