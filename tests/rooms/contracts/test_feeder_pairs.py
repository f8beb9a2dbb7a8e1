"""Pairs behind feeders: the optimum of a convex solver proves itself, whichever limits bind."""

from __future__ import annotations

import random

import cvxpy as cp
import numpy as np
import pytest
from feeder_books import feeder_book
from msgspec.structs import replace
from pair_books import HUB, buy, jolted, sell, solved
from test_feeders import keeps_every_limit, pays_everybody

from peerwatt.contracts.auction import Book
from peerwatt.contracts.clearing import Cleared, clear_proposed
from peerwatt.contracts.feeders import places_of
from peerwatt.contracts.pairs import PairPrices
from peerwatt.contracts.proved import Flaw
from peerwatt.records.market import FeederRoom, Mechanism
from peerwatt.units import PCOIN_PER_UCOIN, UCOIN_PER_COIN

PAIRS = Mechanism.WELFARE_PAIRS
PCOIN = PCOIN_PER_UCOIN * UCOIN_PER_COIN


def hub_book(seed: int) -> Book:
    """A few cars either side behind two feeders, one of them or both scarce in either direction."""
    chance = random.Random(seed)
    buys = [
        buy(at, chance.choice([0, 500]), chance.randrange(1_000, 6_000), 150_000, 450_000)
        for at in range(chance.randrange(2, 6))
    ]
    sells = [
        sell(at, chance.randrange(1_000, 5_000), chance.randrange(20_000, 150_000), 20_000)
        for at in range(chance.randrange(2, 5))
    ]
    book = Book(
        mechanism=PAIRS,
        buys=sorted(buys, key=lambda order: order.order_id),
        sells=sorted(sells, key=lambda order: order.order_id),
        prices=HUB,
        import_limit_wh=chance.choice([1_000, 40_000]),
        export_limit_wh=0,
    )
    names = ("", "east", "west")
    rooms = [chance.choice([(600, 600), (60_000, 700), (1_500, 60_000)]) for _ in names[1:]]
    behind = {order.order_id: chance.choice(names) for order in (*buys, *sells)}
    return book._replace(
        buys=[replace(order, feeder=behind[order.order_id]) for order in book.buys],
        sells=[replace(order, feeder=behind[order.order_id]) for order in book.sells],
        feeders=tuple(
            FeederRoom(feeder=name, import_limit_wh=most, export_limit_wh=least)
            for name, (most, least) in zip(names[1:], rooms, strict=True)
        ),
    )


def optimum(book: Book) -> tuple[PairPrices, list[int]]:
    """The multipliers of the problem as Clarabel solves it, in kWh and coin, as whole pcoin."""
    places = places_of(book)
    buys, sells = book.buys, book.sells
    least = np.array([order.min_wh for order in buys]) / 1e3
    span = np.array([order.max_wh for order in buys]) / 1e3 - least
    high, low = 0.45, 0.15
    scale = span * low / (high - low)
    asks = np.array([order.ask_ucoin_per_kwh for order in sells]) / 1e6 + 0.02
    most = np.array([order.max_wh for order in sells]) / 1e3
    met, extra = cp.Variable(len(buys), nonneg=True), cp.Variable(len(buys), nonneg=True)
    sent, grid = cp.Variable((len(buys), len(sells)), nonneg=True), cp.Variable(len(buys))
    worth = 0.5 * cp.sum(met) + cp.sum(
        cp.multiply(scale * high, cp.log(1 + cp.multiply(1 / scale, extra)))
    )
    cost = 0.3 * cp.sum(grid) + cp.sum(cp.sum(sent, axis=0) @ asks)
    cost += 0.02 / 2 * cp.sum_squares(sent)
    balance = cp.sum(sent, axis=1) + grid - met - extra == 0
    supply = cp.sum(sent, axis=0) <= most
    limits = []
    for place, room in enumerate(book.feeders):
        net = cp.sum(cp.multiply(np.equal(places.buys, place) * 1.0, cp.sum(sent, axis=1) + grid))
        net -= cp.sum(cp.multiply(np.equal(places.sells, place) * 1.0, cp.sum(sent, axis=0)))
        limits += [net <= room.import_limit_wh / 1e3, -net <= room.export_limit_wh / 1e3]
    bounds = [met <= least, extra <= span, grid >= 0, cp.sum(grid) <= book.import_limit_wh / 1e3]
    problem = cp.Problem(cp.Maximize(worth - cost), [balance, supply, *limits, *bounds])
    problem.solve(solver="CLARABEL", tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    dearer = [
        float(limits[at].dual_value) - float(limits[at + 1].dual_value)
        for at in range(0, len(limits), 2)
    ]
    price = np.abs(np.asarray(balance.dual_value))
    reserve = np.maximum(asks + np.asarray(supply.dual_value), asks)
    return _listed(book, price, reserve, [0.0 if abs(each) < 1e-7 else each for each in dearer])


def _listed(
    book: Book, price: np.ndarray, reserve: np.ndarray, dearer: list[float]
) -> tuple[PairPrices, list[int]]:  # type: ignore[type-arg]
    """As whole pcoin; those who are nearly at the grid's price are at it."""
    at_bus = price - np.array([[*dearer, 0.0][place] for place in places_of(book).buys])
    highest = max(0.3, float(at_bus.max()))
    feeders = [round(each * PCOIN) for each in dearer]
    grid = [round(highest * PCOIN) + [*feeders, 0][place] for place in places_of(book).buys]
    buyers = [
        dear if highest - there < 1e-6 else round(own * PCOIN)
        for dear, there, own in zip(grid, at_bus, price, strict=True)
    ]
    lost_load = HUB.lost_load_ucoin_per_kwh * PCOIN_PER_UCOIN
    sellers = [round(each * PCOIN) for each in map(float, reserve)]
    return PairPrices([min(max(p, 0), lost_load) for p in buyers], sellers), feeders


def proved(book: Book, prices: PairPrices, dearer: list[int]) -> Cleared | Flaw:
    orders = [*book.buys, *book.sells]
    return clear_proposed(book, orders, [*prices.buyers, *prices.sellers], dearer)


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
def test_the_optimum_behind_feeders_proves_itself() -> None:
    imports = exports = several = 0
    for seed in range(60):
        book = hub_book(seed)
        prices, dearer = optimum(book)
        cleared = proved(book, prices, dearer)
        assert not isinstance(cleared, Flaw), (seed, cleared)
        keeps_every_limit(book, cleared)
        pays_everybody(book, cleared)
        imports += any(each > 0 for each in dearer)
        exports += any(each < 0 for each in dearer)
        several += all(dearer)
    assert min(imports, exports, several) >= 3


def test_prices_that_are_off_are_refused_or_still_keep_all_limits() -> None:
    accepted = 0
    for seed in range(400):
        chance = random.Random(seed)
        book = feeder_book(chance, PAIRS)
        prices = solved(book._replace(feeders=()))
        if prices is None or not (book.buys or book.sells):
            continue
        if chance.random() < 0.3:
            prices = jolted(chance, book, prices)
        dearer = [chance.choice([0, 0, 0, 1, -1, 10**6, -(10**9)]) for _ in book.feeders]
        cleared = proved(book, prices, dearer)
        if isinstance(cleared, Flaw):
            continue
        accepted += 1
        keeps_every_limit(book, cleared)
        pays_everybody(book, cleared)
    assert accepted > 50
