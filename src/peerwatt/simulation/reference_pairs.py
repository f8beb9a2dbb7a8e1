"""What proposed prices come to, pair by pair, computed again from their definition in fractions.

Knows the records. Buyer i with price p and seller j with reserve t trade (p - t)+ over the seller's
slope; the grid fills up and takes the rest. Prices are ucoin per kWh, energy Wh.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

from peerwatt.records.market import BuyOrder, Clearing, Order, Round, SellOrder
from peerwatt.records.receipts import Reason
from peerwatt.simulation.reference_market import Cleared, awards_of, could_gain, split
from peerwatt.simulation.reference_rows import up

# What a ledger that counts in whole numbers may add to a gap, per seller.
CRUMB = Fraction(1, 10**30)
PRICE_PARTS = 10**6
SMALLEST = 1000 * 2**64
ZERO = Fraction(0)


class Pairs(NamedTuple):
    """A proved clearing: energy and prices per order as listed, and its proof's figures."""

    energy_wh: list[int]
    prices: list[int]
    import_wh: int
    export_wh: int
    grid_price: int
    gap_ucoin: int
    traded_ucoin: int


class _Book:
    """A book with prices, and all that flows at them."""

    def __init__(self, market_round: Round, orders: Sequence[Order], listed: Sequence[int]) -> None:
        prices = market_round.prices
        self.round, self.grid = market_round, prices
        self.fee = prices.network_fee_ucoin_per_kwh + prices.platform_fee_ucoin_per_kwh
        self.fee += prices.levy_ucoin_per_kwh
        exact = [Fraction(price, PRICE_PARTS) for price in listed]
        both = list(zip(orders, exact, strict=True))
        self.buys = [(o, p) for o, p in both if isinstance(o, BuyOrder)]
        self.sells = [(o, t) for o, t in both if isinstance(o, SellOrder)]
        traded = [
            [max(p - t, ZERO) * 1000 * _steepness(o) for o, t in self.sells] for _, p in self.buys
        ]
        places = range(len(self.sells))
        self.highest = max([Fraction(prices.retail_ucoin_per_kwh), *(p for _, p in self.buys)])
        self.sent = [sum(row, ZERO) for row in traded]
        self.sold = [sum((row[at] for row in traded), ZERO) for at in places]
        rows = [(p, row) for (_, p), row in zip(self.buys, traded, strict=True)]
        self.income = [sum((p * row[at] for p, row in rows), ZERO) for at in places]
        self.wanted = [_wanted(order, p) for order, p in self.buys]
        self.fetched = self._fetched()
        self.handed = self._handed()
        both_wh = zip(self.sent, self.fetched, self.wanted, strict=True)
        self.taken = [min(sent + fetched, wanted) for sent, fetched, wanted in both_wh]

    def _fetched(self) -> list[Fraction]:
        """From the grid: what those at the highest price want beyond what they are sent; each an
        equal share where the connection is full."""
        fetched = [
            max(wanted - sent, ZERO) if p == self.highest else ZERO
            for wanted, sent, (_, p) in zip(self.wanted, self.sent, self.buys, strict=True)
        ]
        total, room = sum(fetched, ZERO), self.round.import_limit_wh
        return [_counted(wh * room / total) for wh in fetched] if total > room else fetched

    def _handed(self) -> list[Fraction]:
        """To the grid: what sellers below its price have left, lowest asks first."""
        handed, room = [ZERO for _ in self.sells], Fraction(self.round.export_limit_wh)
        asks = [order.ask_ucoin_per_kwh for order, _ in self.sells]
        for at in sorted(range(len(asks)), key=asks.__getitem__):
            if asks[at] < self.grid.feed_in_ucoin_per_kwh:
                left = max(self.sells[at][0].max_wh - self.sold[at], ZERO)
                handed[at] = min(left, room)
                room -= handed[at]
        return handed


def _steepness(order: SellOrder) -> Fraction:
    """How much more is sold at a higher price: what the ledger counts with, cut after 64 bits."""
    return Fraction(2**64 // order.slope_ucoin_per_kwh2, 2**64)


def _counted(energy_wh: Fraction) -> Fraction:
    """Energy in the smallest part that the ledger counts, rounded down."""
    return Fraction(floor(energy_wh * SMALLEST), SMALLEST)


def _wanted(order: BuyOrder, price: Fraction) -> Fraction:
    """A buyer's demand; its value falls by a millionth at least."""
    high = Fraction(order.price_high_ucoin_per_kwh)
    low = min(Fraction(order.price_low_ucoin_per_kwh), high - high / 10**6)
    share = ZERO
    if price < high and low > 0:
        share = Fraction(1) if price <= low else low * (high - price) / ((high - low) * price)
    return _counted(order.min_wh + share * (order.max_wh - order.min_wh))


def prove(
    market_round: Round, orders: Sequence[Order], listed: Sequence[int]
) -> Pairs | list[Reason]:
    """The clearing that prices prove, or all that they do not."""
    book = _Book(market_round, orders, listed)
    against = _flaws(book)
    if against:
        return against
    gap = ceil(_gap(book) + CRUMB * len(book.sells))
    worth = sum((p * wh for (_, p), wh in zip(book.buys, book.taken, strict=True)), ZERO)
    traded = floor(worth / 1000)
    bought_wh, sold_wh, net_wh = _whole(book)
    awards = sum(1 for wh in (*bought_wh, *sold_wh) if wh)
    retail = book.grid.retail_ucoin_per_kwh
    buyer_prices = [ceil(p) for _, p in book.buys]
    due = _due(book, bought_wh, sold_wh, net_wh, buyer_prices)
    if due is None or gap > max(traded, 10**6) // 10**4 + up(awards, retail):
        return [Reason.NOT_OPTIMAL]
    sides = [isinstance(order, SellOrder) for order in orders]
    places = sorted(range(len(orders)), key=sides.__getitem__)
    energy = dict(zip(places, [*bought_wh, *sold_wh], strict=True))
    price = dict(zip(places, [*buyer_prices, *due], strict=True))
    return Pairs(
        energy_wh=[energy[at] for at in range(len(orders))],
        prices=[price[at] for at in range(len(orders))],
        import_wh=max(net_wh, 0),
        export_wh=max(-net_wh, 0),
        grid_price=max([retail, *buyer_prices]),
        gap_ucoin=gap,
        traded_ucoin=traded,
    )


def _flaws(book: _Book) -> list[Reason]:
    lost_load, retail = book.grid.lost_load_ucoin_per_kwh, book.grid.retail_ucoin_per_kwh
    flaws = []
    for at, (order, p) in enumerate(book.buys):
        if p > lost_load or book.sent[at] > book.wanted[at] + 1:
            flaws.append(Reason.AGAINST_BID)
        due = book.wanted[at] if p >= retail else Fraction(order.min_wh)
        if p < lost_load and book.taken[at] < due - 1:
            flaws.append(Reason.BEYOND_LIMIT if p == book.highest else Reason.AGAINST_BID)
    for at, (offer, t) in enumerate(book.sells):
        if t < offer.ask_ucoin_per_kwh + book.fee:
            flaws.append(Reason.BELOW_COST)
        if book.sold[at] > offer.max_wh + 1:
            flaws.append(Reason.BEYOND_LIMIT)
    return flaws


def _gap(book: _Book) -> Fraction:
    """By how much another clearing could be better, ucoin."""
    grid, lost_load = book.grid, book.grid.lost_load_ucoin_per_kwh
    retail, feed_in = grid.retail_ucoin_per_kwh, grid.feed_in_ucoin_per_kwh
    lowest = min([Fraction(feed_in), *(t - book.fee for _, t in book.sells)])
    gap = (book.highest - retail) * (book.round.import_limit_wh - sum(book.fetched, ZERO))
    gap += (feed_in - lowest) * (book.round.export_limit_wh - sum(book.handed, ZERO))
    for at, (order, p) in enumerate(book.buys):
        taken, span = book.taken[at], order.max_wh - order.min_wh
        low, high = order.price_low_ucoin_per_kwh, order.price_high_ucoin_per_kwh
        beyond = max(taken - order.min_wh, ZERO)
        gap += min(could_gain(p, Fraction(low), Fraction(high), span, beyond))
        gap += (lost_load - p) * max(order.min_wh - taken, ZERO)
        gap += p * (book.sent[at] + book.fetched[at] - taken)
    for at, (offer, t) in enumerate(book.sells):
        left = offer.max_wh - book.sold[at] - book.handed[at]
        cost = offer.ask_ucoin_per_kwh + book.fee
        gap += (t - cost) * left if left > 0 else (t - lost_load) * left
        gap += (t - book.fee - lowest) * book.handed[at]
    return gap / 1000


def _mwh(energy_wh: Fraction) -> int:
    """Thousandths of a Wh, rounded up."""
    return ceil(energy_wh * 1000)


def _whole(book: _Book) -> tuple[list[int], list[int], int]:
    """Whole Wh for everybody, and what the grid adds, such that it balances."""
    takes = [_mwh(wh) for wh in book.taken]
    gives = [
        _mwh(min(wh, Fraction(order.max_wh)) + out)
        for wh, out, (order, _) in zip(book.sold, book.handed, book.sells, strict=True)
    ]
    taken, given = sum(takes) // 1000, sum(gives) // 1000
    imported = min(_mwh(sum(book.fetched, ZERO)) // 1000, taken)
    exported = min(_mwh(sum(book.handed, ZERO)) // 1000, given)
    local = min(taken - imported, given - exported)
    return split(local + imported, takes), split(local + exported, gives), imported - exported


def _due(
    book: _Book,
    bought_wh: Sequence[int],
    sold_wh: Sequence[int],
    net_wh: int,
    buyer_prices: Sequence[int],
) -> list[int] | None:
    """What sellers are paid per kWh: what they earn, or as much less as buyers cannot cover."""
    grid, out, into = book.grid, max(-net_wh, 0), max(net_wh, 0)
    pool = sum(p * wh for p, wh in zip(buyer_prices, bought_wh, strict=True))
    pool += grid.feed_in_ucoin_per_kwh * out - grid.retail_ucoin_per_kwh * into
    pool -= book.fee * (sum(sold_wh) - out)
    earned = []
    for at, (order, _) in enumerate(book.sells):
        given, ask = book.sold[at] + book.handed[at], order.ask_ucoin_per_kwh
        money = book.income[at] - book.fee * book.sold[at]
        money += grid.feed_in_ucoin_per_kwh * book.handed[at]
        earned.append(max(floor(money / given), ask) if given else ask)
    asks = [order.ask_ucoin_per_kwh for order, _ in book.sells]

    def paid(less: int) -> list[int]:
        return [max(price - less, ask) for price, ask in zip(earned, asks, strict=True)]

    def covered(less: int) -> bool:
        return sum(p * wh for p, wh in zip(paid(less), sold_wh, strict=True)) <= pool

    low, high = 0, grid.lost_load_ucoin_per_kwh + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if covered(middle) else (middle + 1, high)
    return paid(low) if covered(low) else None


def cleared_pairs(
    market_round: Round, orders: Sequence[Order], pairs: Pairs, proposer: bytes, free_ucoin: int
) -> Cleared | None:
    """The clearing and its awards; none where the supplier cannot pay for the sellers' energy."""
    rows = list(zip(orders, pairs.energy_wh, pairs.prices, strict=True))
    bought = [(wh, price) for order, wh, price in rows if isinstance(order, BuyOrder)]
    sold_wh = sum(wh for order, wh, _ in rows if isinstance(order, SellOrder))
    at_stake = up(sold_wh, market_round.prices.feed_in_ucoin_per_kwh)
    if at_stake > free_ucoin:
        return None
    dearest = max((price for wh, price in bought if wh), default=0)
    clearing = Clearing(
        price_ucoin_per_kwh=pairs.grid_price,
        buyer_price_ucoin_per_kwh=dearest,
        bought_wh=sum(wh for wh, _ in bought),
        sold_wh=sold_wh,
        import_wh=pairs.import_wh,
        export_wh=pairs.export_wh,
        supplier_held_ucoin=at_stake,
        sellers_dropped=False,
        proposer=proposer,
        gap_ucoin=pairs.gap_ucoin,
        traded_ucoin=pairs.traded_ucoin,
    )
    awards = awards_of(market_round.prices, dearest, orders, pairs.energy_wh, pairs.prices)
    return Cleared(clearing, awards)
