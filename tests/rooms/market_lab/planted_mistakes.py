"""Mechanisms that look like truthful ones and are not, each with one mistake planted in it.

Written in plain loops, so that they share nothing with what they resemble.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from peerwatt.market_lab.subjects import Clear, Market, Outcome

Price = float | Callable[[int], float]


class Book(NamedTuple):
    """Rows best price first, and where the last kWh that both sides agree on lies."""

    buyers: list[int]
    sellers: list[int]
    last_buyer: int
    """Rank, -1 without trade."""
    last_seller: int
    volume: float


def ranked(said: Market) -> tuple[list[int], list[int]]:
    return (
        sorted(range(len(said.value)), key=lambda i: (-said.value[i], i)),
        sorted(range(len(said.cost)), key=lambda j: (said.cost[j], j)),
    )


def by_volume(said: Market) -> Book:
    buyers, sellers = ranked(said)
    i = j = 0
    volume, last = 0.0, (-1, -1)
    wanted, offered = float(said.need_kwh[buyers[0]]), float(said.have_kwh[sellers[0]])
    while said.value[buyers[i]] >= said.cost[sellers[j]]:
        step = min(wanted, offered)
        volume, last = volume + step, (i, j)
        wanted, offered = wanted - step, offered - step
        if wanted <= 1e-12:
            i += 1
            if i == len(buyers):
                break
            wanted = float(said.need_kwh[buyers[i]])
        if offered <= 1e-12:
            j += 1
            if j == len(sellers):
                break
            offered = float(said.have_kwh[sellers[j]])
    return Book(buyers, sellers, *last, volume)


def by_count(said: Market) -> Book:
    buyers, sellers = ranked(said)
    pairs = zip(buyers, sellers, strict=False)
    k = sum(said.value[i] >= said.cost[j] for i, j in pairs)
    return Book(buyers, sellers, k - 1, k - 1, float(k))


def shared(wanted: Sequence[float], total: float) -> list[float]:
    whole = sum(wanted)
    return [each * min(1.0, total / whole) if whole > 0 else 0.0 for each in wanted]


def best_served(wanted: Sequence[float], total: float) -> list[float]:
    served = []
    for each in wanted:
        served.append(min(each, max(total, 0.0)))
        total -= each
    return served


def trade(
    said: Market,
    buyers: list[int],
    sellers: list[int],
    pay: Price,
    get: Price,
    *,
    cut: Callable[[Sequence[float], float], list[float]] = shared,
) -> Outcome:
    """These rows trade what the shorter side has; prices may differ by row."""
    wanted = [float(said.need_kwh[i]) for i in buyers]
    offered = [float(said.have_kwh[j]) for j in sellers]
    total = min(sum(wanted), sum(offered))
    found = Outcome(*(np.zeros(len(a)) for a in (said.value, said.value, said.cost, said.cost)))
    for rows, kwh, price, quantity, money in (
        (buyers, cut(wanted, total), pay, found.bought_kwh, found.paid),
        (sellers, cut(offered, total), get, found.sold_kwh, found.earned),
    ):
        for row, each in zip(rows, kwh, strict=True):
            quantity[row] = each
            money[row] = each * (price(row) if callable(price) else price)
    return found


def nothing(said: Market) -> Outcome:
    return trade(said, [], [], 0.0, 0.0)


def next_price(said: Market, book: Book, *, buyer: bool) -> float:
    """Of the order after the last that trades; the grid's behind the last of all."""
    rows, last = (book.buyers, book.last_buyer) if buyer else (book.sellers, book.last_seller)
    prices, grid = (said.value, said.band.feed_in) if buyer else (said.cost, said.band.retail)
    return float(prices[rows[last + 1]]) if last + 1 < len(rows) else grid


def around(
    said: Market,
    seed: int,
    *,
    find: Callable[[Market], Book] = by_count,
    pay: Callable[[Market, Book], Price],
    get: Callable[[Market, Book], Price],
    left_out: int = 0,
    cut: Callable[[Sequence[float], float], list[float]] = shared,
) -> Outcome:
    """Orders up to the last, or those before, trade at prices that the variant makes up."""
    book = find(said)
    if book.last_buyer < 0:
        return nothing(said)
    buyers = book.buyers[: book.last_buyer + 1 - left_out]
    sellers = book.sellers[: book.last_seller + 1 - left_out]
    return trade(said, buyers, sellers, pay(said, book), get(said, book), cut=cut)


def last_bid(said: Market, book: Book) -> float:
    return float(said.value[book.buyers[book.last_buyer]])


def last_ask(said: Market, book: Book) -> float:
    return float(said.cost[book.sellers[book.last_seller]])


def second_last_bid(said: Market, book: Book) -> float:
    return float(said.value[book.buyers[max(book.last_buyer - 1, 0)]])


def second_last_ask(said: Market, book: Book) -> float:
    return float(said.cost[book.sellers[max(book.last_seller - 1, 0)]])


def middle(said: Market, book: Book) -> float:
    return (last_bid(said, book) + last_ask(said, book)) / 2


def mcafee_price(said: Market, book: Book) -> float:
    return (next_price(said, book, buyer=True) + next_price(said, book, buyer=False)) / 2


def clipped(said: Market, book: Book) -> float:
    return min(max(mcafee_price(said, book), last_ask(said, book)), last_bid(said, book))


def half_own_bid(said: Market, book: Book) -> Price:
    return lambda row: (last_bid(said, book) + float(said.value[row])) / 2


def half_own_ask(said: Market, book: Book) -> Price:
    return lambda row: (last_ask(said, book) + float(said.cost[row])) / 2


def own_bid(said: Market, book: Book) -> Price:
    return lambda row: float(said.value[row])


def own_ask(said: Market, book: Book) -> Price:
    return lambda row: float(said.cost[row])


def next_bid(said: Market, book: Book) -> float:
    return next_price(said, book, buyer=True)


def next_ask(said: Market, book: Book) -> float:
    return next_price(said, book, buyer=False)


def sbba(said: Market, seed: int, *, out: str, price: str = "least") -> Outcome:
    """SBBA with another seller drawn out than a random one, or at another price."""
    book = by_count(said)
    k = book.last_buyer + 1
    if k == 0:
        return nothing(said)
    bid, above = last_bid(said, book), next_price(said, book, buyer=False)
    if above <= bid:
        at = above if price == "least" else (bid + last_ask(said, book)) / 2
        return trade(said, book.buyers[:k], book.sellers[:k], at, at)
    at = bid if price == "least" else (bid + last_ask(said, book)) / 2
    sellers = book.sellers[: k - 1] if out == "dearest" else book.sellers[1:k]
    return trade(said, book.buyers[: k - 1], sellers, at, at)


def loose_volume_mcafee(said: Market, seed: int) -> Outcome:
    """McAfee's first case whether or not the volumes end together."""
    book = by_volume(said)
    if book.last_buyer < 0:
        return nothing(said)
    price = mcafee_price(said, book)
    buyers = book.buyers[: book.last_buyer + 1]
    sellers = book.sellers[: book.last_seller + 1]
    if last_ask(said, book) <= price <= last_bid(said, book):
        return trade(said, buyers, sellers, price, price)
    return trade(said, buyers[:-1], sellers[:-1], last_bid(said, book), last_ask(said, book))


def posted(
    said: Market,
    seed: int,
    *,
    price: Callable[[Market], float],
    cut: Callable[[Sequence[float], float], list[float]] = shared,
) -> Outcome:
    """All who accept one price trade at it."""
    at = price(said)
    buyers, sellers = ranked(said)
    return trade(
        said,
        [i for i in buyers if said.value[i] >= at],
        [j for j in sellers if said.cost[j] <= at],
        at,
        at,
        cut=cut,
    )


def mean_of_all(said: Market) -> float:
    return float(np.concatenate([said.value, said.cost]).mean())


def best_two(said: Market) -> float:
    return float((said.value.max() + said.cost.min()) / 2)


def fixed(said: Market) -> float:
    return (said.band.feed_in + said.band.retail) / 2


def ends(said: Market) -> float:
    return float((said.value.min() + said.cost.max()) / 2)


VARIANTS: dict[str, tuple[Clear, bool]] = {
    "McAfee's price, clipped where it fails": (partial(around, pay=clipped, get=clipped), True),
    "the middle of the last pair": (partial(around, pay=middle, get=middle), True),
    "nobody left out, last bid and last ask": (partial(around, pay=last_bid, get=last_ask), True),
    "last bid and last ask the other way round": (
        partial(around, pay=last_ask, get=last_bid),
        True,
    ),
    "left out, but buyers pay the last winner's bid": (
        partial(around, pay=second_last_bid, get=last_ask, left_out=1),
        True,
    ),
    "left out, but sellers get the last winner's ask": (
        partial(around, pay=last_bid, get=second_last_ask, left_out=1),
        True,
    ),
    "left out, half of one's own bid": (
        partial(around, pay=half_own_bid, get=last_ask, left_out=1),
        True,
    ),
    "left out, half of one's own ask": (
        partial(around, pay=last_bid, get=half_own_ask, left_out=1),
        True,
    ),
    "left out, the middle of the last winners": (
        partial(
            around,
            pay=lambda m, b: (second_last_bid(m, b) + second_last_ask(m, b)) / 2,
            get=lambda m, b: (second_last_bid(m, b) + second_last_ask(m, b)) / 2,
            left_out=1,
        ),
        True,
    ),
    "buyers pay the next bid, even below the last ask": (
        partial(around, pay=next_bid, get=last_ask),
        True,
    ),
    "sellers get the next ask, even above the last bid": (
        partial(around, pay=last_bid, get=next_ask),
        True,
    ),
    "buyers pay their bids": (partial(around, pay=own_bid, get=next_ask), True),
    "sellers get their asks": (partial(around, pay=next_bid, get=own_ask), True),
    "SBBA that leaves out the dearest": (partial(sbba, out="dearest"), True),
    "SBBA that leaves out the cheapest": (partial(sbba, out="cheapest"), True),
    "SBBA at the middle": (partial(sbba, out="dearest", price="middle"), True),
    "McAfee by volume whenever its price fits": (loose_volume_mcafee, False),
    "Huang without leaving out": (
        partial(around, find=by_volume, pay=last_bid, get=last_ask),
        False,
    ),
    "Huang, the best served first": (
        partial(around, find=by_volume, pay=last_bid, get=last_ask, left_out=1, cut=best_served),
        False,
    ),
    "Huang at the last winner's bid": (
        partial(around, find=by_volume, pay=second_last_bid, get=last_ask, left_out=1),
        False,
    ),
    "Huang, half of one's own ask": (
        partial(around, find=by_volume, pay=last_bid, get=half_own_ask, left_out=1),
        False,
    ),
    "count of orders, the best served first": (
        partial(around, pay=last_bid, get=last_ask, left_out=1, cut=best_served),
        False,
    ),
    "the mean of all prices": (partial(posted, price=mean_of_all), False),
    "the middle of the best two": (partial(posted, price=best_two), False),
    "the middle of the worst two": (partial(posted, price=ends), False),
    "a fixed price, the best served first": (
        partial(posted, price=fixed, cut=best_served),
        False,
    ),
    "a fixed price, shares by stated size": (partial(posted, price=fixed), False),
}
"""What was planted, to the mechanism and whether it is tried on orders of one size."""
