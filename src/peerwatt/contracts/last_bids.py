"""The end of an iterative auction: an allocation derived from bids and rents, and proved by them.

Knows the book and the bounds; nothing of who ran the auction, or how. Buyer i bids b_ij for what it
gets from seller j, which asks s_ji a kWh; the grid is one seller more, at retail. The auctioneer's
problem A of PETCON (Kang et al., IEEE Trans. Ind. Informatics 13(6), 2017, eq. 10,
doi:10.1109/TII.2017.2709784), with the local fees inside,

    max  sum_ij b_ij ln d_ij - sum_ij (s_ji + fee) d_ij

within buyers' minima and maxima, sellers' offers and the connection, is solved by

    d_ij = b_ij / (s_ji + fee + g_j + n_i),   g_j >= 0,

up to the gap sum_j g_j left_j + sum_i |n_i| left_i: at such a d the logarithms drop out. The site
sends nothing out. What is above a limit is cut, which costs at most twice what was bid for it.

What is settled is not the bids, as the paper prints it, but energy at these prices without n_i: a
buyer at a bound pays what its energy costs, not what it would have paid. Prices are in pcoin/kWh,
energy in uWh, as agents are told it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from peerwatt.contracts.auction import Book
from peerwatt.contracts.certificates import ceil_div
from peerwatt.contracts.feeders import MWH_PER_WH, Whole, whole_awards
from peerwatt.contracts.proved import Flaw, ProvedOutcome, outcome_of
from peerwatt.records.auction import UWH_PER_KWH, UWH_PER_WH, Rents, energy_uwh, minima_bind
from peerwatt.records.receipts import Reason
from peerwatt.units import PCOIN_PER_UCOIN

UWH_PER_MWH = UWH_PER_WH // MWH_PER_WH
Table = list[list[int]]
"""A row per buyer, a column per seller and the grid's last."""


def energies_of(
    book: Book, payments: Sequence[Sequence[int]], asks: Sequence[Sequence[int]], rents: Rents
) -> Table | Flaw:
    """What buyers' bids (I, J + 1) get at sellers' asks (J, I) and these rents. A flaw's `at` is
    the place of a rent: buyers', sellers', the grid's."""
    prices = _own_prices(book, asks, rents)
    energies = []
    for at, (row, rent) in enumerate(zip(payments, rents.buyers, strict=True)):
        if any(paid and price + rent <= 0 for paid, price in zip(row, prices[at], strict=True)):
            return Flaw(Reason.NOT_OPTIMAL, at)
        energies.append([energy_uwh(b, p + rent) for b, p in zip(row, prices[at], strict=True)])
    return energies


def _own_prices(book: Book, asks: Sequence[Sequence[int]], rents: Rents) -> Table:
    """What a kWh costs each buyer, its own rent apart."""
    fee = book.prices.local_fee_ucoin_per_kwh * PCOIN_PER_UCOIN
    grid = book.prices.retail_ucoin_per_kwh * PCOIN_PER_UCOIN + rents.grid
    return [
        [*(ask[at] + fee + rent for ask, rent in zip(asks, rents.sellers, strict=True)), grid]
        for at in range(len(book.buys))
    ]


def certify(
    book: Book,
    payments: Sequence[Sequence[int]],
    asks: Sequence[Sequence[int]],
    rents: Rents,
    energies: Table,
) -> ProvedOutcome | Flaw:
    """The clearing that these energies mean, if the rents prove it; else what is wrong. Whoever
    would pay more than its limit on average keeps its minimum up to lost load, else nothing; what
    it leaves is sold to nobody."""
    flaw = _beyond_limits(book, payments, energies)
    if flaw is not None:
        return flaw
    prices = _own_prices(book, asks, rents)
    paid = [_average(row, own) for row, own in zip(energies, prices, strict=True)]
    kept = [_within(book, at, paid[at], row) for at, row in enumerate(energies)]
    paid = [p if sum(row) else 0 for p, row in zip(paid, kept, strict=True)]
    awards = _whole(book, kept)
    grid_price = book.prices.retail_ucoin_per_kwh * PCOIN_PER_UCOIN + rents.grid
    lost_load = book.prices.lost_load_ucoin_per_kwh * PCOIN_PER_UCOIN
    return outcome_of(
        book,
        awards,
        paid=_covering(book, awards, paid),
        taken=[sum(row) for row in kept],
        fair=_fair_prices(book, asks, rents, kept),
        grid_price=min(grid_price, lost_load),
        gap=_gap(book, payments, rents, energies),
        units_per_wh=UWH_PER_WH,
    )


def _sums(book: Book, table: Sequence[Sequence[int]]) -> list[int]:
    """A table's columns, summed."""
    return [sum(row[at] for row in table) for at in range(len(book.sells) + 1)]


def _offers(book: Book) -> list[int]:
    """What sellers offer and the connection lets in, uWh."""
    limits = [*(order.max_wh for order in book.sells), book.import_limit_wh]
    return [limit * UWH_PER_WH for limit in limits]


def _minima(book: Book, payments: Sequence[Sequence[int]]) -> list[int]:
    """Buyers' minima, uWh; who bids nothing has none, nor anybody where they do not bind."""
    offers_wh = [*(order.max_wh for order in book.sells), book.import_limit_wh]
    bind = minima_bind([order.min_wh for order in book.buys], offers_wh)
    bids = zip(book.buys, payments, strict=True)
    return [order.min_wh * UWH_PER_WH if bind and any(row) else 0 for order, row in bids]


def _beyond_limits(book: Book, payments: Sequence[Sequence[int]], energies: Table) -> Flaw | None:
    """But for 1 Wh, buyers get neither less nor more than they may, and nobody gives more."""
    for at, (row, least) in enumerate(zip(energies, _minima(book, payments), strict=True)):
        most = book.buys[at].max_wh * UWH_PER_WH
        if not least - UWH_PER_WH <= sum(row) <= most + UWH_PER_WH:
            return Flaw(Reason.AGAINST_BID, at)
    for at, (given, offer) in enumerate(zip(_sums(book, energies), _offers(book), strict=True)):
        if given > offer + UWH_PER_WH:
            return Flaw(Reason.BEYOND_LIMIT, len(book.buys) + at)
    return None


def _gap(book: Book, payments: Sequence[Sequence[int]], rents: Rents, energies: Table) -> int:
    """By how much another allocation of these bids could be better; price times energy."""
    lost_load = book.prices.lost_load_ucoin_per_kwh * PCOIN_PER_UCOIN
    gap, minima = 0, _minima(book, payments)
    for at, (row, rent) in enumerate(zip(energies, rents.buyers, strict=True)):
        taken, most = sum(row), book.buys[at].max_wh * UWH_PER_WH
        least = minima[at]
        # Every energy was rounded down by less than 1 uWh, so a minimum may be exceeded by more.
        left = most - taken if rent > 0 else taken + len(row) - least
        gap += abs(rent) * max(left, 0) + lost_load * max(least - taken, 0)
        gap += _cut(taken - most, sum(payments[at]), taken)
    sold, bid = _sums(book, energies), _sums(book, payments)
    limits = zip(_offers(book), (*rents.sellers, rents.grid), sold, bid, strict=True)
    for offer, rent, given, paid in limits:
        gap += rent * max(offer - given, 0) + _cut(given - offer, paid, given)
    return gap


def _cut(over: int, payments: int, energy: int) -> int:
    """What it costs at most to cut this energy, alike, by what is over; at most half of it is."""
    return ceil_div(2 * over * payments * UWH_PER_KWH, energy) if over > 0 else 0


def _average(energies: Sequence[int], prices: Sequence[int]) -> int:
    """What a kWh costs on average, rounded up."""
    cost = sum(price * energy for price, energy in zip(prices, energies, strict=True))
    return ceil_div(cost, sum(energies)) if sum(energies) else 0


def _within(book: Book, at: int, price: int, energies: list[int]) -> list[int]:
    """What a buyer wants of its energies at this price, pcoin/kWh."""
    order, taken = book.buys[at], sum(energies)
    wanted_wh = 0
    if price <= order.price_high_ucoin_per_kwh * PCOIN_PER_UCOIN:
        wanted_wh = order.max_wh
    elif price <= book.prices.lost_load_ucoin_per_kwh * PCOIN_PER_UCOIN:
        wanted_wh = order.min_wh
    wanted = wanted_wh * UWH_PER_WH
    return energies if taken <= wanted else [each * wanted // taken for each in energies]


def _covering(book: Book, awards: Whole, paid: list[int]) -> list[int]:
    """What buyers pay, pcoin/kWh: the average, or, where the rounding to whole Wh leaves too little
    for the grid, the fees and what sellers ask, more by an equal amount, nobody beyond its limit.
    """
    prices = book.prices
    due = prices.retail_ucoin_per_kwh * awards.net_wh
    for order, energy_wh in zip(book.sells, awards.sold_wh, strict=True):
        due += (order.ask_ucoin_per_kwh + prices.local_fee_ucoin_per_kwh) * energy_wh
    limits = [
        prices.lost_load_ucoin_per_kwh if e <= order.min_wh else order.price_high_ucoin_per_kwh
        for order, e in zip(book.buys, awards.bought_wh, strict=True)
    ]

    def raised(more: int) -> list[int]:
        return [
            max(p, min(p + more * PCOIN_PER_UCOIN, limit * PCOIN_PER_UCOIN))
            for p, limit in zip(paid, limits, strict=True)
        ]

    def covers(more: int) -> bool:
        listed = zip(raised(more), awards.bought_wh, strict=True)
        return sum(ceil_div(p, PCOIN_PER_UCOIN) * e for p, e in listed) >= due

    enough = range(prices.lost_load_ucoin_per_kwh + 1)
    return raised(bisect_left(enough, True, key=covers))


def _fair_prices(book: Book, asks: Sequence[Sequence[int]], rents: Rents, kept: Table) -> list[int]:
    """What sellers' energy earns, ucoin/kWh: what they ask for it and their rents, never more than
    lost load."""
    fair, most = [], book.prices.lost_load_ucoin_per_kwh
    for at, order in enumerate(book.sells):
        given = [row[at] for row in kept]
        earned = sum((ask + rents.sellers[at]) * e for ask, e in zip(asks[at], given, strict=True))
        price = earned // (sum(given) * PCOIN_PER_UCOIN) if sum(given) else 0
        fair.append(min(max(price, order.ask_ucoin_per_kwh), most))
    return fair


def _whole(book: Book, kept: Table) -> Whole:
    """Whole Wh per buyer and seller, and what comes from the grid."""
    wanted_mwh = [ceil_div(sum(row), UWH_PER_MWH) for row in kept]
    sums = zip(_sums(book, kept), _offers(book), strict=True)
    *given_mwh, import_mwh = [ceil_div(min(e, offer), UWH_PER_MWH) for e, offer in sums]
    return whole_awards(book, wanted_mwh, given_mwh, min(import_mwh, sum(wanted_mwh)) // MWH_PER_WH)
