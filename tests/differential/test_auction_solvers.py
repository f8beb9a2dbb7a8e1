"""The ledger's auctions against solvers that share no code with it, on seeded random books.

`welfare` against the closed form in floats and against CVXPY with Clarabel, which know nothing of
whole Wh and whole ucoin; `uniform` against a merit order of its blocks, which must agree exactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pytest

from peerwatt.contracts.auction import STEPS, Book, Outcome, clear
from peerwatt.mechanisms.allocation import OnePriceClearing
from peerwatt.mechanisms.one_price import BuyerCurves, GridTerms, SellerCurves, clear_one_price
from peerwatt.records.market import BuyOrder, Mechanism, PriceRule, Prices, SellOrder
from peerwatt.units import UCOIN_PER_COIN, WH_PER_KWH

KEY = bytes(32)
LOST_LOAD = 700_000


def random_book(seed: int, mechanism: Mechanism) -> Book:
    """Cars of a hub: a few kWh each, prices near a tariff's, a connection that
    binds now and then; some prices tie."""
    draw = Random(seed)
    fee = draw.choice([0, 20_000])
    retail, feed_in = draw.choice([120_000, 300_000]), draw.choice([0, 50_000])
    terms = Prices(
        price_rule=PriceRule.MARGINAL, retail_ucoin_per_kwh=retail, feed_in_ucoin_per_kwh=feed_in,
        network_fee_ucoin_per_kwh=fee, platform_fee_ucoin_per_kwh=0, levy_ucoin_per_kwh=0,
        lost_load_ucoin_per_kwh=LOST_LOAD, shortfall_penalty_ucoin_per_kwh=0,
    failed_clearing_penalty_ucoin=1_000_000,
    )  # fmt: skip
    buys, sells = [], []
    for number in range(draw.randint(0, 12)):
        low = draw.choice([draw.randint(50_000, 400_000), retail])
        most = draw.randint(2_000, 15_000)
        buys.append(
            BuyOrder(
                order_id=bytes([1, number]) * 16,
                owner=KEY,
                port=f"b{number}",
                max_wh=most,
                min_wh=draw.choice([0, 0, draw.randint(0, most)]),
                price_high_ucoin_per_kwh=draw.choice([low, draw.randint(low, LOST_LOAD)]),
                price_low_ucoin_per_kwh=low,
                held_ucoin=0,
            )
        )
    for number in range(draw.randint(0, 8)):
        sells.append(SellOrder(
            order_id=bytes([2, number]) * 16, owner=KEY, port=f"s{number}",
            max_wh=draw.randint(2_000, 15_000),
            ask_ucoin_per_kwh=draw.choice([0, draw.randint(0, 350_000)]),
            slope_ucoin_per_kwh2=draw.choice([0, 5_000, 50_000]), held_ucoin=0,
        ))  # fmt: skip
    return Book(
        mechanism, buys, sells, terms,
        import_limit_wh=draw.choice([0, draw.randint(0, 80_000)]),
        export_limit_wh=draw.choice([0, draw.randint(0, 20_000)]),
    )  # fmt: skip


# --- the same book in kWh and coin per kWh


def kwh(values: Iterable[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([*values], dtype=np.float64) / WH_PER_KWH


def coin(values: Iterable[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([*values], dtype=np.float64) / UCOIN_PER_COIN


def in_floats(book: Book, *, more_wh: int = 0) -> OnePriceClearing:
    """The closed form's answer; `more_wh` is demanded at any price or, below zero, given away."""
    terms = book.prices
    extra_need, gift = max(more_wh, 0), max(-more_wh, 0)
    buys, sells = book.buys, book.sells
    return clear_one_price(
        BuyerCurves(
            minimum_kwh=kwh([*(o.min_wh for o in buys), extra_need]),
            maximum_kwh=kwh([*(o.max_wh for o in buys), extra_need]),
            price_high=coin([*(o.price_high_ucoin_per_kwh for o in buys), LOST_LOAD]),
            price_low=coin([*(o.price_low_ucoin_per_kwh for o in buys), LOST_LOAD]),
        ),
        SellerCurves(
            maximum_kwh=kwh([*(o.max_wh for o in sells), gift]),
            ask=coin([*(o.ask_ucoin_per_kwh for o in sells), 0]),
            slope=coin([*(o.slope_ucoin_per_kwh2 for o in sells), 0]),
        ),
        GridTerms(
            retail=terms.retail_ucoin_per_kwh / UCOIN_PER_COIN,
            feed_in=terms.feed_in_ucoin_per_kwh / UCOIN_PER_COIN,
            import_limit_kwh=book.import_limit_wh / WH_PER_KWH,
            export_limit_kwh=book.export_limit_wh / WH_PER_KWH,
            local_fee=terms.local_fee_ucoin_per_kwh / UCOIN_PER_COIN,
        ),
        lost_load=LOST_LOAD / UCOIN_PER_COIN,
    )


def welfare(book: Book, done: Outcome) -> float:
    """Coins that an outcome is worth, by everyone's own curve."""
    terms = book.prices
    total = 0.0
    for order, energy_wh in zip(book.buys, done.bought_wh, strict=True):
        least = min(energy_wh, order.min_wh)
        total += LOST_LOAD * least
        low, high = order.price_low_ucoin_per_kwh, order.price_high_ucoin_per_kwh
        size, beyond = order.max_wh - order.min_wh, energy_wh - least
        if low < high and size:
            kappa = size * low / (high - low)
            total += kappa * high * float(np.log1p(beyond / kappa))
        else:
            total += high * beyond
    for sell, energy_wh in zip(book.sells, done.sold_wh, strict=True):
        slope = sell.slope_ucoin_per_kwh2 * energy_wh / WH_PER_KWH
        total -= (sell.ask_ucoin_per_kwh + slope / 2) * energy_wh
    local_wh = sum(done.sold_wh) - done.export_wh
    total -= terms.local_fee_ucoin_per_kwh * local_wh
    total -= terms.retail_ucoin_per_kwh * done.import_wh
    total += terms.feed_in_ucoin_per_kwh * done.export_wh
    return total / WH_PER_KWH / UCOIN_PER_COIN


BOOKS = range(300)


def test_the_price_lies_where_a_few_wh_more_or_less_would_put_it() -> None:
    """Floors take less than a Wh from each order, so the whole price is, but for one ucoin, what
    the float solver finds with that much more demand or more supply."""
    for seed in BOOKS:
        book = random_book(seed, Mechanism.WELFARE)
        rounding_wh = len(book.buys) + len(book.sells)
        at = clear(book).price_ucoin_per_kwh
        low = in_floats(book, more_wh=-rounding_wh).buyer_price * UCOIN_PER_COIN
        high = in_floats(book, more_wh=rounding_wh).buyer_price * UCOIN_PER_COIN
        assert low - 1.001 <= at <= high + 1.001, seed


def test_quantities_are_the_float_solvers_but_for_rounding() -> None:
    for seed in BOOKS:
        book = random_book(seed, Mechanism.WELFARE)
        done, floats = clear(book), in_floats(book)
        rounding_wh = len(book.buys) + len(book.sells) + 1
        pairs = [
            (sum(done.bought_wh), floats.bought_kwh.sum()),
            (sum(done.sold_wh), floats.sold_kwh.sum()),
            (done.import_wh, floats.import_kwh),
            (done.export_wh, floats.export_kwh),
        ]
        for whole, real in pairs:
            assert abs(whole - real * WH_PER_KWH) <= rounding_wh, (seed, pairs)


def test_welfare_is_the_optimum_to_a_millionth() -> None:
    """And to what a Wh more or less is worth on curves so steep that it matters."""
    for seed in BOOKS:
        book = random_book(seed, Mechanism.WELFARE)
        best, ours = in_floats(book).welfare, welfare(book, clear(book))
        assert ours <= best * (1 + 1e-12) + 1e-9, seed
        assert best - ours <= 1e-6 * max(best, 1.0) + steepness(book), seed


def steepness(book: Book) -> float:
    """Coins: one Wh of each buyer at the most that its marginal value falls over that Wh."""
    falls = 0.0
    for order in book.buys:
        low, high = order.price_low_ucoin_per_kwh, order.price_high_ucoin_per_kwh
        falls += high * (high - low) / (max(order.max_wh - order.min_wh, 1) * low)
    return falls / WH_PER_KWH / UCOIN_PER_COIN


def test_welfare_is_a_convex_solvers_optimum_to_a_millionth() -> None:
    cvxpy = pytest.importorskip("cvxpy")
    for seed in range(25):
        book = random_book(seed, Mechanism.WELFARE)
        if book.buys and book.sells:
            best = by_convex_programme(cvxpy, book)
            rounding = 1e-6 + steepness(book)
            assert welfare(book, clear(book)) == pytest.approx(best, rel=1e-6, abs=rounding), seed


def by_convex_programme(cvxpy: object, book: Book) -> float:
    """The greatest welfare, as a programme with logarithms: no curve is ever inverted."""
    cp: Any = cvxpy
    terms = book.prices
    least = kwh(o.min_wh for o in book.buys)
    size = kwh(o.max_wh for o in book.buys) - least
    low = coin(o.price_low_ucoin_per_kwh for o in book.buys)
    high = coin(o.price_high_ucoin_per_kwh for o in book.buys)
    kappa = np.where((high > low) & (size > 0), size * low / np.where(high > low, high - low, 1), 0)
    need, extra = cp.Variable(len(least), nonneg=True), cp.Variable(len(least), nonneg=True)
    sold = cp.Variable(len(book.sells), nonneg=True)
    drawn, fed = cp.Variable(nonneg=True), cp.Variable(nonneg=True)
    bent = np.flatnonzero(kappa > 0)
    flat = np.flatnonzero(kappa == 0)
    worth = LOST_LOAD / UCOIN_PER_COIN * cp.sum(need) + high[flat] @ extra[flat]
    if len(bent):
        logs = cp.log(1 + cp.multiply(1 / kappa[bent], extra[bent]))
        worth += (kappa * high)[bent] @ logs
    ask = coin(o.ask_ucoin_per_kwh for o in book.sells)
    slope = coin(o.slope_ucoin_per_kwh2 for o in book.sells)
    cost = ask @ sold + cp.sum(cp.multiply(slope / 2, cp.square(sold)))
    fee = terms.local_fee_ucoin_per_kwh / UCOIN_PER_COIN
    grid = terms.retail_ucoin_per_kwh / UCOIN_PER_COIN * drawn
    grid -= terms.feed_in_ucoin_per_kwh / UCOIN_PER_COIN * fed
    problem = cp.Problem(
        cp.Maximize(worth - cost - grid - fee * (cp.sum(sold) - fed)),
        [
            need <= least,
            extra <= size,
            sold <= kwh(o.max_wh for o in book.sells),
            drawn <= book.import_limit_wh / WH_PER_KWH,
            fed <= book.export_limit_wh / WH_PER_KWH,
            cp.sum(need) + cp.sum(extra) + fed == cp.sum(sold) + drawn,
        ],
    )
    return float(problem.solve(solver=cp.CLARABEL))


# --- uniform: the same blocks in a merit order


class Block(NamedTuple):
    """Energy that is bought at up to, or sold from, a whole price."""

    price: int
    energy_wh: int


def wanted(book: Book) -> list[Block]:
    """Buyers' minima and tenths and the grid at feed-in, dearest first."""
    worth = book.prices.feed_in_ucoin_per_kwh + book.prices.local_fee_ucoin_per_kwh
    blocks = [Block(worth, book.export_limit_wh)]
    for order in book.buys:
        blocks.append(Block(LOST_LOAD, order.min_wh))
        low, high = order.price_low_ucoin_per_kwh, order.price_high_ucoin_per_kwh
        size = order.max_wh - order.min_wh
        for k in range(1, STEPS + 1):
            energy_wh = size * k // STEPS - size * (k - 1) // STEPS
            blocks.append(Block(STEPS * low * high // (STEPS * low + k * (high - low)), energy_wh))
    return sorted((b for b in blocks if b.energy_wh), key=lambda b: -b.price)


def offered(book: Book) -> list[Block]:
    """Sellers' tenths, fees on top, and the grid at retail, cheapest first."""
    blocks = [Block(book.prices.retail_ucoin_per_kwh, book.import_limit_wh)]
    for order in book.sells:
        dearest = order.slope_ucoin_per_kwh2 * order.max_wh
        for k in range(1, STEPS + 1):
            energy_wh = order.max_wh * k // STEPS - order.max_wh * (k - 1) // STEPS
            rise = -(-k * dearest // (STEPS * WH_PER_KWH))
            cost = order.ask_ucoin_per_kwh + rise + book.prices.local_fee_ucoin_per_kwh
            blocks.append(Block(cost, energy_wh))
    return sorted((b for b in blocks if b.energy_wh), key=lambda b: b.price)


def merit_order(bids: list[Block], asks: list[Block]) -> tuple[int, int, int]:
    """(energy traded, lowest and highest price that supports it): dearest bid meets cheapest ask
    as long as it pays."""
    traded, low, high = 0, 0, LOST_LOAD
    left_bid = left_ask = 0
    bid_at = ask_at = -1
    while True:
        if not left_bid:
            bid_at += 1
            left_bid = bids[bid_at].energy_wh if bid_at < len(bids) else 0
        if not left_ask:
            ask_at += 1
            left_ask = asks[ask_at].energy_wh if ask_at < len(asks) else 0
        bid = bids[bid_at].price if left_bid else None
        ask = asks[ask_at].price if left_ask else None
        if bid is None or ask is None or bid < ask:
            return traded, max(low, bid or 0), min(high, LOST_LOAD if ask is None else ask)
        step = min(left_bid, left_ask)
        traded, left_bid, left_ask = traded + step, left_bid - step, left_ask - step
        low, high = ask, bid


@pytest.mark.parametrize("mechanism", [Mechanism.UNIFORM])
def test_uniform_is_the_merit_order_of_its_blocks(mechanism: Mechanism) -> None:
    for seed in range(1_500):
        book = random_book(seed, mechanism)
        done = clear(book)
        traded, low, high = merit_order(wanted(book), offered(book))
        assert sum(done.bought_wh) + done.export_wh == traded, seed
        assert low <= done.price_ucoin_per_kwh <= high, seed
