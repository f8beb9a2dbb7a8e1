"""Clearings that prices prove: what is accepted, how good its gap is, and what a liar can move."""

from __future__ import annotations

import random
import warnings
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_books import HUB, buy, held_ucoin, jolted, outcome_of, random_book, sell, solved
from pair_optimum import ACCURACY, rounding_coin, scale_coin, welfare_coin

from peerwatt.contracts import proved
from peerwatt.contracts.auction import Book, Outcome
from peerwatt.contracts.certificates import allowed_gap_ucoin
from peerwatt.contracts.clearing import Cleared, award, clear_book
from peerwatt.contracts.pairs import PairPrices, certify, wanted
from peerwatt.contracts.proved import UNITS_PER_WH, Flaw, ProvedOutcome
from peerwatt.mechanisms.allocation import OnePriceClearing, Regime
from peerwatt.mechanisms.one_price import BuyerCurves, GridTerms, SellerCurves
from peerwatt.mechanisms.welfare_one_price import certify_one_price
from peerwatt.records.market import BuyOrder, Mechanism, Order
from peerwatt.units import PCOIN_PER_UCOIN, UCOIN_PER_COIN, WH_PER_KWH

FIXED = settings(max_examples=250, derandomize=True, deadline=None)
SEEDS = st.integers(0, 2**32)


def proposed(seed: int) -> tuple[Book, PairPrices]:
    """A random book with the solver's prices, those jolted, or any prices at all."""
    chance = random.Random(seed)
    book = random_book(chance)
    prices = solved(book)
    if prices is None or chance.random() < 0.2:
        most = book.prices.lost_load_ucoin_per_kwh * PCOIN_PER_UCOIN
        orders = [[chance.randrange(most + 2) for _ in side] for side in (book.buys, book.sells)]
        return book, PairPrices(*orders)
    return book, jolted(chance, book, prices) if chance.random() < 0.7 else prices


@FIXED
@given(SEEDS)
def test_what_is_accepted_keeps_every_limit_and_pays_everybody(seed: int) -> None:
    book, prices = proposed(seed)
    found = certify(book, prices)
    if isinstance(found, Flaw):
        assert found.at is None or 0 <= found.at < len(book.buys) + len(book.sells)
        return
    terms, net = book.prices, found.import_wh - found.export_wh
    assert sum(found.bought_wh) - sum(found.sold_wh) == net
    assert 0 <= found.import_wh <= book.import_limit_wh
    assert 0 <= found.export_wh <= book.export_limit_wh
    for order, energy_wh, price, whole in zip(
        book.buys, found.bought_wh, prices.buyers, found.buyer_prices, strict=True
    ):
        assert 0 <= energy_wh * UNITS_PER_WH < wanted(order, price) + UNITS_PER_WH
        assert energy_wh <= order.max_wh
        assert whole - 1 < price / PCOIN_PER_UCOIN <= whole <= terms.lost_load_ucoin_per_kwh
    for offer, energy_wh, paid in zip(book.sells, found.sold_wh, found.seller_prices, strict=True):
        assert 0 <= energy_wh <= offer.max_wh
        assert paid >= offer.ask_ucoin_per_kwh
    collected = sum(p * e for p, e in zip(found.buyer_prices, found.bought_wh, strict=True))
    owed = sum(p * e for p, e in zip(found.seller_prices, found.sold_wh, strict=True))
    owed += terms.retail_ucoin_per_kwh * found.import_wh
    owed -= terms.feed_in_ucoin_per_kwh * found.export_wh
    owed += terms.local_fee_ucoin_per_kwh * (sum(found.sold_wh) - found.export_wh)
    assert collected >= owed
    awards = sum(1 for energy_wh in (*found.bought_wh, *found.sold_wh) if energy_wh)
    allowed = allowed_gap_ucoin(found.traded_ucoin, awards, terms.retail_ucoin_per_kwh)
    assert 0 <= found.gap_ucoin <= allowed


@FIXED
@given(SEEDS)
def test_no_award_needs_a_greater_hold_than_its_order_has(seed: int) -> None:
    """Else clearing a round would stop every node."""
    book, prices = proposed(seed)
    found = certify(book, prices)
    if isinstance(found, Flaw):
        return
    orders: list[Order] = [*book.buys, *book.sells]
    held = {order.order_id: held_ucoin(book, order) for order in orders}
    for each in award(book, *outcome_of(found)):
        assert each.held_ucoin <= held[each.order_id]


def test_nobody_is_made_to_take_a_wh_that_it_does_not_want() -> None:
    """Two to whom nothing is worth anything, so that nothing is held, are sent 0.9 Wh each."""
    book = worthless_book()
    price = 200_000 * PCOIN_PER_UCOIN
    sent_wh = 0.9
    reserve = round(price - sent_wh * book.sells[0].slope_ucoin_per_kwh2 * 1_000)
    found = certify(book, PairPrices([price, price], [reserve]))
    assert isinstance(found, Flaw) or sum(found.bought_wh) == 0


def worthless_book() -> Book:
    return Book(
        Mechanism.WELFARE_PAIRS,
        [buy(number, 0, 1_000, 0, 0) for number in range(2)],
        [sell(0, 2, 100_000, 10_000)],
        HUB,
        0,
        0,
    )


def test_equals_share_what_the_connection_carries() -> None:
    """Cars whose curves are flat at one price: whichever the operator favours, grid energy goes to
    the highest price alone, and there in equal shares."""
    flat = 400_000
    book = Book(
        Mechanism.WELFARE_PAIRS,
        [buy(number, 0, 10_000, flat, flat) for number in range(4)],
        [],
        HUB,
        20_000,
        0,
    )
    prices = solved(book)
    assert prices is not None
    found = certify(book, prices)
    assert isinstance(found, ProvedOutcome)
    assert max(found.bought_wh) == 5_000
    assert min(found.bought_wh) >= 4_999
    greedy = [flat * (PCOIN_PER_UCOIN - 1), *[flat * PCOIN_PER_UCOIN] * 3]
    for unfair in (greedy, [prices.buyers[0] + 1, *prices.buyers[1:]]):
        refused = certify(book, PairPrices(unfair, []))
        assert isinstance(refused, Flaw)


# --- the gap against a cone solver


def lacking(seed: int, monkeypatch: pytest.MonkeyPatch) -> tuple[float, float] | None:
    """What the awards of these prices lack of the optimum, and at most may, coin; whatever the
    gap: nothing is refused for it."""
    monkeypatch.setattr(proved, "allowed_gap_ucoin", lambda *_: 10**30)
    chance = random.Random(seed)
    book = random_book(chance, 5)
    prices = solved(book)
    if prices is None:
        return None
    found = certify(book, jolted(chance, book, prices) if seed % 3 else prices)
    if isinstance(found, Flaw):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it does not vouch for
        best, got = welfare_coin(book), welfare_coin(book, found)
    if best is None or got is None:
        return None
    bound = found.gap_ucoin / UCOIN_PER_COIN + rounding_coin(book) + ACCURACY * scale_coin(book)
    return best - got, bound


def no_gap_is_too_small(seeds: range, share_judged: float, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = [found for seed in seeds if (found := lacking(seed, monkeypatch)) is not None]
    assert len(judged) >= share_judged * len(seeds)
    assert all(lack <= bound for lack, bound in judged)


def test_no_clearing_is_better_by_more_than_the_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    no_gap_is_too_small(range(120), 0.5, monkeypatch)


@pytest.mark.slow
def test_no_clearing_is_better_by_more_than_the_gap_of_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    no_gap_is_too_small(range(1_000, 6_000), 0.5, monkeypatch)


# --- what a liar can move


def gain_ucoin(book: Book, found: ProvedOutcome, who: int) -> float:
    """What the clearing is worth to an order, by its own curve: buyers first."""
    if who >= len(book.buys):
        at = who - len(book.buys)
        margin = found.seller_prices[at] - book.sells[at].ask_ucoin_per_kwh
        return margin * found.sold_wh[at] / WH_PER_KWH
    worth = value_of(book.buys[who], found.bought_wh[who], book.prices.lost_load_ucoin_per_kwh)
    return (worth - found.buyer_prices[who] * found.bought_wh[who]) / WH_PER_KWH


def value_of(order: BuyOrder, energy_wh: int, lost_load: int) -> float:
    low, high = order.price_low_ucoin_per_kwh, order.price_high_ucoin_per_kwh
    span, beyond = order.max_wh - order.min_wh, max(energy_wh - order.min_wh, 0)
    least = min(energy_wh, order.min_wh) * lost_load
    if low in (0, high) or beyond == 0:
        return float(least + low * beyond)
    kappa = span * low / (high - low)
    return least + kappa * high * log(1 + beyond / kappa)


def climbed(seed: int, steps: int) -> tuple[float, int, int, int] | None:
    """From honest prices uphill for one order: what it gained, and what gap is allowed; then the
    gaps of the liar's prices and of the honest ones."""
    chance = random.Random(seed)
    book = random_book(chance)
    best = solved(book)
    honest = None if best is None else certify(book, best)
    if best is None or isinstance(honest, Flaw) or honest is None or not sum(honest.sold_wh):
        return None
    who = chance.randrange(len(book.buys) + len(book.sells))
    lie, before = honest, gain_ucoin(book, honest, who)
    for _ in range(steps):
        tried = jolted(chance, book, best)
        found = certify(book, tried)
        if isinstance(found, Flaw):
            continue
        if gain_ucoin(book, found, who) > gain_ucoin(book, lie, who):
            best, lie = tried, found
    awards = sum(1 for energy_wh in (*lie.bought_wh, *lie.sold_wh) if energy_wh)
    allowed = allowed_gap_ucoin(lie.traded_ucoin, awards, book.prices.retail_ucoin_per_kwh)
    return gain_ucoin(book, lie, who) - before, allowed, lie.gap_ucoin, honest.gap_ucoin


def nobody_gains_more_than_is_allowed(seeds: range, steps: int) -> None:
    climbs = [climb for seed in seeds if (climb := climbed(seed, steps)) is not None]
    assert len(climbs) >= len(seeds) // 3
    assert any(gain > 0 for gain, *_ in climbs)
    assert all(gain <= allowed for gain, allowed, *_ in climbs)


def test_prices_that_favour_somebody_move_less_than_the_gap_allowed() -> None:
    nobody_gains_more_than_is_allowed(range(40), 80)


@pytest.mark.slow
def test_prices_that_favour_somebody_move_less_than_the_gap_allowed_after_long_climbs() -> None:
    nobody_gains_more_than_is_allowed(range(1_000, 1_150), 2_000)


def test_where_supply_meets_demand_to_the_wh_the_proof_leaves_the_price_open() -> None:
    """One car takes at most what the other gives: every price between what it costs and what it is
    worth is optimal, and money moves without any gap. The gap proves the energy, not the split."""
    book = Book(
        Mechanism.WELFARE_PAIRS,
        [buy(0, 0, 2_000, 250_000, 280_000)],
        [sell(0, 2_000, 50_000, 10_000)],
        HUB,
        0,
        0,
    )
    outcomes = []
    for price in (90_000, 250_000):
        asked = [(price - 20_000) * PCOIN_PER_UCOIN]
        found = certify(book, PairPrices([price * PCOIN_PER_UCOIN], asked))
        assert isinstance(found, ProvedOutcome)
        outcomes.append(found)
    assert outcomes[0].bought_wh == outcomes[1].bought_wh == [2_000]
    assert max(found.gap_ucoin for found in outcomes) <= 1
    assert outcomes[0].seller_prices < outcomes[1].seller_prices


# --- what the ledger clears itself, at one price


def one_price(seed: int) -> Cleared:
    return clear_book(random_book(random.Random(seed))._replace(mechanism=Mechanism.WELFARE))


def gaps_are_tiny(seeds: range) -> None:
    """At most half a Wh an order at lost load, which whole Wh and whole prices cost."""
    for seed in seeds:
        cleared = one_price(seed)
        orders = len(cleared.book.buys) + len(cleared.book.sells)
        most = orders * cleared.book.prices.lost_load_ucoin_per_kwh / WH_PER_KWH / 2
        assert 0 <= cleared.gap_ucoin <= most + 1, seed


def test_what_the_ledger_clears_itself_leaves_hardly_any_gap() -> None:
    gaps_are_tiny(range(500))


@pytest.mark.slow
def test_what_the_ledger_clears_itself_leaves_hardly_any_gap_in_ten_thousand_books() -> None:
    gaps_are_tiny(range(1_000, 11_000))


def test_the_whole_numbered_gap_of_one_price_is_that_of_the_floats() -> None:
    compared = 0
    for seed in range(400):
        cleared = one_price(seed)
        book, done = cleared.book, cleared.outcome
        if not book.buys or any(order.price_low_ucoin_per_kwh == 0 for order in book.buys):
            continue
        gap = float_gap_ucoin(book, done)
        assert cleared.gap_ucoin - gap < 1 + len(book.buys) * 1e-3 + 1e-9 * cleared.traded_ucoin
        assert cleared.gap_ucoin >= gap - 1e-9 * cleared.traded_ucoin - 1e-3
        compared += 1
    assert compared >= 100


def float_gap_ucoin(book: Book, done: Outcome) -> float:
    """The mechanism's own certificate of the same clearing."""
    terms, coin = book.prices, UCOIN_PER_COIN
    price = done.price_ucoin_per_kwh / coin
    buyers = BuyerCurves(
        minimum_kwh=np.array([o.min_wh for o in book.buys]) / WH_PER_KWH,
        maximum_kwh=np.array([o.max_wh for o in book.buys]) / WH_PER_KWH,
        price_high=np.array([o.price_high_ucoin_per_kwh for o in book.buys]) / coin,
        price_low=np.array([o.price_low_ucoin_per_kwh for o in book.buys]) / coin,
    )
    sellers = SellerCurves(
        maximum_kwh=np.array([o.max_wh for o in book.sells]) / WH_PER_KWH,
        ask=np.array([o.ask_ucoin_per_kwh for o in book.sells]) / coin,
        slope=np.array([o.slope_ucoin_per_kwh2 for o in book.sells]) / coin,
    )
    grid = GridTerms(
        retail=terms.retail_ucoin_per_kwh / coin,
        feed_in=terms.feed_in_ucoin_per_kwh / coin,
        import_limit_kwh=book.import_limit_wh / WH_PER_KWH,
        export_limit_kwh=book.export_limit_wh / WH_PER_KWH,
        local_fee=terms.local_fee_ucoin_per_kwh / coin,
    )
    clearing = OnePriceClearing(
        buyer_price=price,
        seller_price=price - grid.local_fee,
        regime=Regime.LOCAL,
        bought_kwh=np.array(done.bought_wh) / WH_PER_KWH,
        sold_kwh=np.array(done.sold_wh) / WH_PER_KWH,
        import_kwh=done.import_wh / WH_PER_KWH,
        export_kwh=done.export_wh / WH_PER_KWH,
        welfare=0.0,
    )
    lost_load = terms.lost_load_ucoin_per_kwh / coin
    return certify_one_price(buyers, sellers, grid, clearing, lost_load=lost_load).gap * coin
