"""The auction on random books: balance, limits, who is served at which price, exact shares."""

from __future__ import annotations

from fractions import Fraction

import pytest
from books import books
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from peerwatt.contracts.auction import (
    STEPS,
    Book,
    Outcome,
    apportion,
    clear,
    demand_wh,
    supply_wh,
)
from peerwatt.contracts.clearing import award, price
from peerwatt.records.market import BuyOrder, Mechanism, PriceRule, Prices, SellOrder, Side
from peerwatt.units import WH_PER_KWH, cost_ceil_ucoin, cost_floor_ucoin

FIXED = settings(max_examples=80, derandomize=True, deadline=None)
KEY = bytes(32)


@FIXED
@given(books())
def test_energy_balances_and_nobody_gets_more_than_its_size(book: Book) -> None:
    done = clear(book)
    assert sum(done.bought_wh) + done.export_wh == sum(done.sold_wh) + done.import_wh
    for order, energy_wh in zip(book.buys, done.bought_wh, strict=True):
        assert 0 <= energy_wh <= order.max_wh
    for sell, energy_wh in zip(book.sells, done.sold_wh, strict=True):
        assert 0 <= energy_wh <= sell.max_wh
    assert 0 <= done.import_wh <= book.import_limit_wh
    assert 0 <= done.export_wh <= book.export_limit_wh
    assert not (done.import_wh and done.export_wh)


@FIXED
@given(books())
def test_the_price_is_the_grids_where_the_grid_is_marginal(book: Book) -> None:
    done, terms = clear(book), book.prices
    at = done.price_ucoin_per_kwh
    worth = terms.feed_in_ucoin_per_kwh + terms.local_fee_ucoin_per_kwh
    assert 0 <= at <= terms.lost_load_ucoin_per_kwh
    if 0 < done.import_wh < book.import_limit_wh:
        assert at == terms.retail_ucoin_per_kwh
    elif done.import_wh:
        assert at >= terms.retail_ucoin_per_kwh
    elif book.import_limit_wh:
        assert at <= terms.retail_ucoin_per_kwh
    if 0 < done.export_wh < book.export_limit_wh:
        assert at == worth
    elif done.export_wh:
        assert at <= worth


@FIXED
@given(books())
def test_nobody_trades_at_a_loss(book: Book) -> None:
    """At the clearing price, by each one's own curve and exactly."""
    done = clear(book)
    at = done.price_ucoin_per_kwh
    for order, energy_wh in zip(book.buys, done.bought_wh, strict=True):
        if energy_wh > order.min_wh:
            assert at <= marginal_value(order, energy_wh)
    seller_price = at - book.prices.local_fee_ucoin_per_kwh
    for sell, energy_wh in zip(book.sells, done.sold_wh, strict=True):
        if energy_wh:
            assert marginal_cost(sell, energy_wh) <= seller_price


@FIXED
@given(books(Mechanism.WELFARE))
def test_nobody_is_left_out_that_would_trade(book: Book) -> None:
    """Beyond what everyone got, and a Wh of rounding, no buyer values energy above the price and
    no seller gives it below: the price supports the outcome."""
    done = clear(book)
    at = done.price_ucoin_per_kwh
    for order, energy_wh in zip(book.buys, done.bought_wh, strict=True):
        if at < book.prices.lost_load_ucoin_per_kwh:
            assert energy_wh >= order.min_wh
        if order.min_wh <= energy_wh < order.max_wh - 1:
            assert marginal_value(order, energy_wh + 1) <= at + 1
    seller_price = at - book.prices.local_fee_ucoin_per_kwh
    for sell, energy_wh in zip(book.sells, done.sold_wh, strict=True):
        if energy_wh < sell.max_wh - 1:
            assert marginal_cost(sell, energy_wh + 1) >= seller_price - 1


@FIXED
@given(books())
def test_only_one_side_is_shared_out_and_each_between_its_neighbouring_prices(book: Book) -> None:
    done = clear(book)
    at, stepped = done.price_ucoin_per_kwh, book.mechanism == Mechanism.UNIFORM
    lost_load, fee = book.prices.lost_load_ucoin_per_kwh, book.prices.local_fee_ucoin_per_kwh
    demand = [[demand_wh(o, p, lost_load, stepped) for o in book.buys] for p in (at, at + 1)]
    supply = [[supply_wh(o, p - fee, stepped) for o in book.sells] for p in (at - 1, at)]
    buyers_whole, sellers_whole = done.bought_wh == demand[0], done.sold_wh == supply[1]
    assert buyers_whole or sellers_whole
    between = zip(*sorted(demand), done.bought_wh, strict=True)
    assert all(low <= got <= high for low, high, got in between) or buyers_whole
    sold = zip(*sorted(supply), done.sold_wh, strict=True)
    assert all(low <= got <= high for low, high, got in sold) or sellers_whole


@FIXED
@given(books(Mechanism.UNIFORM))
def test_stepped_curves_trade_whole_steps_except_at_the_margin(book: Book) -> None:
    done = clear(book)
    at, lost_load = done.price_ucoin_per_kwh, book.prices.lost_load_ucoin_per_kwh
    whole = [demand_wh(order, at, lost_load, True) for order in book.buys]
    for order, energy_wh in zip(book.buys, whole, strict=True):
        elastic = order.max_wh - order.min_wh
        steps = [order.min_wh + elastic * k // STEPS for k in range(STEPS + 1)]
        assert energy_wh in steps


def marginal_value(order: BuyOrder, energy_wh: int) -> Fraction:
    """w / (kappa + c) with kappa = X low / (high - low), w = kappa high, c beyond the minimum."""
    low, high = order.price_low_ucoin_per_kwh, order.price_high_ucoin_per_kwh
    size, beyond = order.max_wh - order.min_wh, energy_wh - order.min_wh
    if low == high:
        return Fraction(high)
    return Fraction(size * low * high, size * low + (high - low) * beyond)


def marginal_cost(order: SellOrder, energy_wh: int) -> Fraction:
    slope = Fraction(order.slope_ucoin_per_kwh2 * energy_wh, WH_PER_KWH)
    return order.ask_ucoin_per_kwh + slope


# --- money


@FIXED
@given(books())
def test_prices_leave_nobody_worse_off_and_the_pool_whole(book: Book) -> None:
    """The buyers' one price is at most the clearing price; a seller earns its cost but for the
    rounding down of whole prices; what is paid covers all that is due."""
    done, terms = clear(book), book.prices
    pricing = price(book, done)
    assert 0 <= pricing.buyer_price <= done.price_ucoin_per_kwh
    for order, energy_wh, paid in zip(book.sells, done.sold_wh, pricing.seller_prices, strict=True):
        if energy_wh:
            marginal = marginal_cost(order, energy_wh)
            cost = (order.ask_ucoin_per_kwh + marginal) * energy_wh / 2
            assert (paid + 2) * energy_wh >= cost
            assert paid <= done.price_ucoin_per_kwh - terms.local_fee_ucoin_per_kwh
    paid_in = sum(cost_ceil_ucoin(energy_wh, pricing.buyer_price) for energy_wh in done.bought_wh)
    received = sum(map(cost_floor_ucoin, done.sold_wh, pricing.seller_prices))
    local_wh = sum(done.sold_wh) - done.export_wh
    fees = cost_floor_ucoin(local_wh, terms.local_fee_ucoin_per_kwh)
    supplier = cost_floor_ucoin(done.import_wh, terms.retail_ucoin_per_kwh)
    supplier -= cost_ceil_ucoin(done.export_wh, terms.feed_in_ucoin_per_kwh)
    assert paid_in - received - fees - supplier >= 0


@FIXED
@given(books())
def test_awards_are_by_id_whole_and_never_hold_more_than_their_orders(book: Book) -> None:
    done = clear(book)
    awards = award(book, done, price(book, done))
    ids = [each.order_id for each in awards]
    assert ids == sorted(ids)
    assert len(ids) == sum(1 for energy in (*done.bought_wh, *done.sold_wh) if energy)
    orders = {order.order_id: order for order in (*book.buys, *book.sells)}
    for each in awards:
        order = orders[each.order_id]
        assert 0 < each.energy_wh <= order.max_wh
        assert each.held_ucoin <= most_at_risk(order, book.prices)
        assert each.side == (Side.BUY if isinstance(order, BuyOrder) else Side.SELL)


def most_at_risk(order: BuyOrder | SellOrder, terms: Prices) -> int:
    """What placing the order held."""
    lost_load = terms.lost_load_ucoin_per_kwh
    if isinstance(order, SellOrder):
        return cost_ceil_ucoin(order.max_wh, lost_load + terms.shortfall_penalty_ucoin_per_kwh)
    elastic = cost_ceil_ucoin(order.max_wh - order.min_wh, order.price_high_ucoin_per_kwh)
    return cost_ceil_ucoin(order.min_wh, lost_load) + elastic


# --- shares


@FIXED
@given(st.lists(st.integers(0, 10**9), max_size=12), st.data())
def test_shares_are_pro_rata_to_the_unit(weights: list[int], data: st.DataObject) -> None:
    whole = sum(weights)
    total = data.draw(st.integers(0, whole))
    shares = apportion(total, weights)
    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        assert 0 <= share <= weight
        assert abs(share * whole - total * weight) < max(whole, 1)


@pytest.mark.parametrize(
    ("total", "weights", "shares"),
    [
        (0, [3, 4], [0, 0]),
        (5, [], []),
        (2, [1, 1, 1], [1, 1, 0]),  # equal remainders: the first come
        (10, [1, 2, 9], [1, 2, 7]),  # 0.83, 1.67, 7.5: the two largest remainders are rounded up
        (7, [0, 7, 0], [0, 7, 0]),
    ],
)
def test_shares(total: int, weights: list[int], shares: list[int]) -> None:
    assert apportion(total, weights) == shares


# --- curves


@FIXED
@given(books(), st.integers(0, 2_000_000), st.integers(0, 2_000_000))
def test_demand_never_rises_and_supply_never_falls(book: Book, one: int, two: int) -> None:
    low, high = sorted((one, two))
    for stepped in (False, True):
        for order in book.buys:
            lost_load = book.prices.lost_load_ucoin_per_kwh
            at_low, at_high = (demand_wh(order, p, lost_load, stepped) for p in (low, high))
            assert order.max_wh >= at_low >= at_high >= 0
        for sell in book.sells:
            sold_low, sold_high = (supply_wh(sell, p, stepped) for p in (low, high))
            assert 0 <= sold_low <= sold_high <= sell.max_wh


def buyer(low: int, high: int, least: int = 0, most: int = 1_000) -> BuyOrder:
    return BuyOrder(
        order_id=KEY, owner=KEY, port="p", min_wh=least, max_wh=most,
        price_high_ucoin_per_kwh=high, price_low_ucoin_per_kwh=low, held_ucoin=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("at", "energy_wh", "stepped_wh"),
    [(100, 1_000, 1_000), (200, 1_000, 1_000), (201, 990, 900), (300, 333, 300), (400, 0, 0)],
)
def test_a_demand_curve_by_hand(at: int, energy_wh: int, stepped_wh: int) -> None:
    """D = 1000 x 200 (400 - p) / (200 p) between its prices."""
    order = buyer(200, 400)
    assert demand_wh(order, at, 900, stepped=False) == energy_wh
    assert demand_wh(order, at, 900, stepped=True) == stepped_wh


def test_a_minimum_is_bought_up_to_lost_load_and_not_beyond() -> None:
    order = buyer(200, 400, least=600)
    assert [demand_wh(order, p, 900, stepped=False) for p in (399, 400, 900, 901)] == [
        601, 600, 600, 0,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("at", "energy_wh", "stepped_wh"),
    [(99, 0, 0), (100, 0, 0), (150, 500, 500), (155, 550, 500), (200, 1_000, 1_000)],
)
def test_a_supply_curve_by_hand(at: int, energy_wh: int, stepped_wh: int) -> None:
    """S = (p - 100) / 100 kWh, up to one."""
    order = SellOrder(
        order_id=KEY, owner=KEY, port="p", max_wh=1_000, ask_ucoin_per_kwh=100,
        slope_ucoin_per_kwh2=100, held_ucoin=0,
    )  # fmt: skip
    assert supply_wh(order, at, stepped=False) == energy_wh
    assert supply_wh(order, at, stepped=True) == stepped_wh


TERMS = Prices(
    price_rule=PriceRule.MIDPOINT, retail_ucoin_per_kwh=300_000, feed_in_ucoin_per_kwh=80_000,
    network_fee_ucoin_per_kwh=10_000, platform_fee_ucoin_per_kwh=0, levy_ucoin_per_kwh=0,
    lost_load_ucoin_per_kwh=500_000, shortfall_penalty_ucoin_per_kwh=0,
    failed_clearing_penalty_ucoin=1_000_000,
)  # fmt: skip


def test_the_midpoint_rule_by_hand() -> None:
    """One kWh from a car that asks 100,000, one from the grid: the clearing price is retail, the
    car gets (100,000 + 290,000) / 2, the buyers pay the mean of 205,000 with fee and 300,000."""
    sell = SellOrder(
        order_id=b"s" * 32, owner=KEY, port="s", max_wh=1_000, ask_ucoin_per_kwh=100_000,
        slope_ucoin_per_kwh2=0, held_ucoin=0,
    )  # fmt: skip
    book = Book(Mechanism.WELFARE, [buyer(400_000, 400_000, most=2_000)], [sell], TERMS, 5_000, 0)
    done = clear(book)
    assert done == Outcome(300_000, [2_000], [1_000], 1_000, 0)
    assert price(book, done) == ([252_500], [195_000], 252_500)
    marginal = book._replace(prices=replace(TERMS, price_rule=PriceRule.MARGINAL))
    assert price(marginal, done) == ([300_000], [290_000], 300_000)


def test_scarce_minima_are_cut_alike_at_lost_load() -> None:
    buys = [
        BuyOrder(
            order_id=bytes([n]) * 32, owner=KEY, port=f"p{n}", min_wh=least, max_wh=3_000,
            price_high_ucoin_per_kwh=400_000, price_low_ucoin_per_kwh=1, held_ucoin=0,
        )
        for n, least in enumerate([1_000, 2_000, 0])
    ]  # fmt: skip
    done = clear(Book(Mechanism.WELFARE, buys, [], TERMS, 1_000, 0))
    assert done == Outcome(500_000, [333, 667, 0], [], 1_000, 0)
    nothing = clear(Book(Mechanism.WELFARE, buys, [], TERMS, 0, 0))
    assert nothing == Outcome(500_000, [0, 0, 0], [], 0, 0)
