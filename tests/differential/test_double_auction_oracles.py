"""Double auctions against plain loops written from their published rules, and a linear program."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from peerwatt.mechanisms.auction_book import Band, Book, Network, Orders
from peerwatt.mechanisms.double_auction import clear_double_auction

linprog: Any = importlib.import_module("scipy.optimize").linprog  # its stubs are partial
SEEDS = range(150)


def unit_market(seed: int) -> tuple[list[float], list[float], Book]:
    """Distinct prices: bids falling, asks rising, each for 1 kWh, in the book in any order."""
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 9, 2)
    bids, asks = rng.uniform(0.05, 0.35, n), rng.uniform(0.05, 0.35, m)
    book = Book(
        bids=Orders(price=bids, kwh=np.ones(n)),
        asks=Orders(price=asks, kwh=np.ones(m)),
        band=Band(feed_in=0.05, retail=0.35),
    )
    return sorted(bids, reverse=True), sorted(asks), book


def sized_market(seed: int) -> tuple[list[tuple[float, int]], list[tuple[float, int]], Book]:
    """The same with whole sizes; rows of (price, size)."""
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 8, 2)
    bids = [
        (float(p), int(q))
        for p, q in zip(rng.uniform(0.05, 0.35, n), rng.integers(1, 6, n), strict=True)
    ]
    asks = [
        (float(p), int(q))
        for p, q in zip(rng.uniform(0.05, 0.35, m), rng.integers(1, 6, m), strict=True)
    ]
    book = Book(
        bids=Orders(
            price=np.array([p for p, _ in bids]), kwh=np.array([q for _, q in bids], float)
        ),
        asks=Orders(
            price=np.array([p for p, _ in asks]), kwh=np.array([q for _, q in asks], float)
        ),
    )
    return sorted(bids, reverse=True), sorted(asks), book


def units(rows: list[tuple[float, int]]) -> Iterator[tuple[float, int]]:
    """(price, rank of the order) of each kWh."""
    for rank, (price, size) in enumerate(rows):
        yield from ((price, rank) for _ in range(size))


def last_trade(bids: list[Any], asks: list[Any]) -> tuple[int, int]:
    """Ranks of the orders of the last kWh that both sides agree on; (-1, -1) if there is none."""
    found = (-1, -1)
    for (bid, buyer), (ask, seller) in zip(units(bids), units(asks), strict=False):
        if bid < ask:
            break
        found = (buyer, seller)
    return found


@pytest.mark.parametrize("name", ["mcafee", "mcafee-paper"])
def test_mcafee_on_unit_orders(name: str) -> None:
    for seed in SEEDS:
        bids, asks, book = unit_market(seed)
        k = 0
        while k < min(len(bids), len(asks)) and bids[k] >= asks[k]:
            k += 1
        found = clear_double_auction(book, name)
        if k == 0:
            assert found.bought_kwh.sum() == 0
            continue
        after = bids[k] if k < len(bids) else 0.05
        before = asks[k] if k < len(asks) else 0.35
        price = (after + before) / 2
        if asks[k - 1] <= price <= bids[k - 1]:
            pairs, pay, get = k, price, price
        else:
            pairs, pay, get = k - 1, bids[k - 1], asks[k - 1]
        assert found.bought_kwh.sum() == pytest.approx(pairs), seed
        assert found.surplus == pytest.approx(pairs * (pay - get)), seed
        winners = np.asarray(book.bids.price) >= (bids[pairs - 1] if pairs else 9)
        np.testing.assert_array_equal(found.bought_kwh > 0, winners)
        if pairs:
            assert (found.bid_price, found.ask_price) == pytest.approx((pay, get))


def test_sbba_on_unit_orders() -> None:
    for seed in SEEDS:
        bids, asks, book = unit_market(seed)
        k = sum(bid >= ask for bid, ask in zip(bids, asks, strict=False))
        found = clear_double_auction(book, "sbba", seed=seed)
        if k == 0:
            assert found.bought_kwh.sum() == 0
            continue
        outside = asks[k] if k < len(asks) else 9.0
        pairs = k if outside <= bids[k - 1] else k - 1
        assert found.bought_kwh.sum() == pytest.approx(pairs), seed
        if pairs:
            assert found.bid_price == found.ask_price == min(bids[k - 1], outside)
        sold = np.sort(np.asarray(book.asks.price)[found.sold_kwh > 0])
        assert set(sold) <= set(asks[:k])


def test_each_seller_is_drawn_out_of_sbba_as_often_as_another() -> None:
    book = Book(
        bids=Orders(price=np.full(4, 0.3), kwh=np.ones(4)),
        asks=Orders(price=np.array([0.1, 0.12, 0.14, 0.16]), kwh=np.ones(4)),
    )
    sold = [clear_double_auction(book, "sbba", seed=seed).sold_kwh for seed in range(400)]
    assert np.mean(sold, axis=0) == pytest.approx([0.75] * 4, abs=0.09)


def test_huang_kwh_by_kwh() -> None:
    for seed in SEEDS:
        bids, asks, book = sized_market(seed)
        last_bid, last_ask = last_trade(bids, asks)
        found = clear_double_auction(book, "huang")
        kept = [
            [size for _, size in rows[: max(0, last)]]
            for rows, last in ((bids, last_bid), (asks, last_ask))
        ]
        shares = [equal_cuts(each, min(sum(kept[0]), sum(kept[1]))) for each in kept]
        for rows, orders, kwh, share in (
            (bids, book.bids, found.bought_kwh, shares[0]),
            (asks, book.asks, found.sold_kwh, shares[1]),
        ):
            by_price = dict(zip((price for price, _ in rows), share, strict=False))
            expected = [by_price.get(price, 0.0) for price in np.asarray(orders.price)]
            assert kwh == pytest.approx(expected, abs=1e-9), seed
        if sum(shares[0]) > 0:
            assert (found.bid_price, found.ask_price) == (bids[last_bid][0], asks[last_ask][0])


def equal_cuts(sizes: list[int], total: float) -> list[float]:
    """Bisects the cut that all give up alike."""
    low, high = 0.0, float(max(sizes, default=0))
    for _ in range(200):
        cut = (low + high) / 2
        low, high = (low, cut) if sum(max(s - cut, 0) for s in sizes) < total else (cut, high)
    return [max(size - high, 0.0) for size in sizes]


def test_muda_by_its_own_halves() -> None:
    for seed in SEEDS:
        _, _, book = sized_market(seed)
        found = clear_double_auction(book, "muda", seed=seed)
        prices = [
            None if word == "none" else float(word)
            for word in found.case.split(": ")[1].split(" and ")
        ]
        chance = np.random.default_rng((seed, 2))
        halves = [chance.integers(0, 2, len(side)) for side in (book.bids, book.asks)]
        for here, price in enumerate(prices):
            bids = [i for i in range(len(book.bids)) if halves[0][i] == here]
            asks = [j for j in range(len(book.asks)) if halves[1][j] == here]
            if price is None:
                assert found.bought_kwh[bids].sum() == 0
                continue
            bid_kwh, ask_kwh = np.asarray(book.bids.kwh), np.asarray(book.asks.kwh)
            wanted = sum(bid_kwh[i] for i in bids if book.bids.price[i] >= price)
            offered = sum(ask_kwh[j] for j in asks if book.asks.price[j] <= price)
            assert found.bought_kwh[bids].sum() == pytest.approx(min(wanted, offered)), seed
            assert found.sold_kwh[asks].sum() == pytest.approx(min(wanted, offered)), seed
            np.testing.assert_allclose(found.paid[bids], price * found.bought_kwh[bids], rtol=1e-5)
            # All but one of the longer side get all they want, or nothing.
            parts = [i for i in bids if 0 < found.bought_kwh[i] < bid_kwh[i]]
            parts += [j for j in asks if 0 < found.sold_kwh[j] < ask_kwh[j]]
            assert len(parts) <= 1


def optimum(book: Book) -> float:
    """The most welfare, pair by pair, as a linear program that knows nothing of a merit order."""
    into = 1 - book.network.loss_per_km * np.asarray(book.bids.distance_km)
    out = 1 - book.network.loss_per_km * np.asarray(book.asks.distance_km)
    of_bid, of_ask = np.asarray(book.bids.order), np.asarray(book.asks.order)
    n, m = len(of_bid), len(of_ask)
    km = np.add.outer(
        np.asarray(book.bids.distance_km)[of_bid], np.asarray(book.asks.distance_km)[of_ask]
    )
    gain = (book.bids.price * into[of_bid])[:, None] - (book.asks.price / out[of_ask])[None, :]
    gain = gain - book.network.local_fee - book.network.fee_per_km * km
    rows = np.vstack([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    limits = np.concatenate([book.bids.kwh / into[of_bid], book.asks.kwh * out[of_ask]])
    return -float(linprog(-gain.ravel(), A_ub=rows, b_ub=limits).fun)


def stepped_book(seed: int) -> Book:
    rng = np.random.default_rng(seed)
    sides = []
    for sign in (-1.0, 1.0):
        steps = rng.integers(1, 4, int(rng.integers(1, 5)))
        order = np.repeat(np.arange(len(steps)), steps)
        price = rng.uniform(0.05, 0.35, len(order)).round(3)
        sides.append(
            Orders(
                price=price[np.lexsort((sign * price, order))],
                kwh=rng.uniform(0.5, 3, len(order)),
                order=order,
                distance_km=rng.uniform(0, 4, len(steps)),
            )
        )
    network = Network(local_fee=0.01, fee_per_km=0.003, loss_per_km=0.01)
    return Book(bids=sides[0], asks=sides[1], network=network)


def without(orders: Orders, order: int) -> Orders:
    keep = np.asarray(orders.order) != order
    of = np.asarray(orders.order)[keep]
    return Orders(
        price=orders.price[keep],
        kwh=orders.kwh[keep],
        order=of - (of > order),
        distance_km=np.delete(np.asarray(orders.distance_km), order),
    )


@pytest.mark.parametrize("name", ["uniform", "pay-as-bid", "vcg"])
def test_awards_by_merit_are_the_linear_programs(name: str) -> None:
    for seed in range(60):
        book = stepped_book(seed)
        assert clear_double_auction(book, name).welfare == pytest.approx(optimum(book), abs=1e-9)


def test_vcg_pays_what_the_linear_program_loses_without_each() -> None:
    for seed in range(60):
        book = stepped_book(seed)
        found = clear_double_auction(book, "vcg", seed=seed)
        for i in range(len(book.bids)):
            alone = Book(bids=without(book.bids, i), asks=book.asks, network=book.network)
            others = optimum(alone) if len(alone.bids) else 0.0
            gain = found.welfare - others
            mine = np.where(np.arange(len(book.bids)) == i, found.bought_kwh, 0.0)
            assert worth(book.bids, mine) - found.paid[i] == pytest.approx(gain, abs=1e-8), seed
        for j in range(len(book.asks)):
            alone = Book(bids=book.bids, asks=without(book.asks, j), network=book.network)
            others = optimum(alone) if len(alone.asks) else 0.0
            gain = found.welfare - others
            mine = np.where(np.arange(len(book.asks)) == j, found.sold_kwh, 0.0)
            assert found.earned[j] - worth(book.asks, mine) == pytest.approx(gain, abs=1e-8), seed


def worth(orders: Orders, kwh: np.ndarray) -> float:
    """By the orders' own prices, best step first, kWh by kWh."""
    total, left = 0.0, list(kwh)
    for of, price, size in zip(np.asarray(orders.order), orders.price, orders.kwh, strict=True):
        part = min(left[of], size)
        left[of] -= part
        total += price * part
    return total
