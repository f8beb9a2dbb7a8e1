"""A book that cars clear with one another, in one round or in two, and the grid for the rest.

Knows the auctions, the grid's part and what welfare wants. In a `V2V` round welfare says how much
each would trade, a first auction says at what price, and who lost may sign a better limit for the
second: there all who are left, with limits at or beyond the first round's price, trade at the
least of the bids and the greatest of the asks, by shares of size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from peerwatt.contracts.auction import Book, Outcome, clear
from peerwatt.contracts.certificates import ceil_div, one_price_gap_ucoin
from peerwatt.contracts.double_auctions import (
    Limit,
    Limits,
    Traded,
    auction,
    lot_of,
    proportional,
)
from peerwatt.contracts.grid_rest import grid_rest
from peerwatt.records.market import BuyOrder, FirstRound, Mechanism, SellOrder
from peerwatt.units import WH_PER_KWH


class AmongCars(NamedTuple):
    """Everybody's energy and mean price, the grid's flows and the proof's figures."""

    outcome: Outcome
    buyer_prices: list[int]
    seller_prices: list[int]
    gap_ucoin: int
    traded_ucoin: int


def clear_among_cars(book: Book, revised: Mapping[bytes, int]) -> AmongCars:
    """The book cleared; `revised` are limits signed for a second round, by order."""
    traded = trade_among_cars(book, revised)
    bids = [revised.get(order.order_id, limit_of(book, order)) for order in book.buys]
    asks = [revised.get(order.order_id, limit_of(book, order)) for order in book.sells]
    rest = grid_rest(book, traded, bids, asks)
    retail, feed_in = book.prices.retail_ucoin_per_kwh, book.prices.feed_in_ucoin_per_kwh
    fee = book.prices.local_fee_ucoin_per_kwh
    bought = [a + b for a, b in zip(traded.bought_wh, rest.bought_wh, strict=True)]
    sold = [a + b for a, b in zip(traded.sold_wh, rest.sold_wh, strict=True)]
    paid = [due + retail * wh for due, wh in zip(traded.paid, rest.bought_wh, strict=True)]
    earned = [
        due - fee * own + feed_in * wh
        for due, own, wh in zip(traded.earned, traded.sold_wh, rest.sold_wh, strict=True)
    ]
    dearest = max(map(_mean_up, traded.paid, traded.bought_wh), default=0)
    outcome = Outcome(
        price_ucoin_per_kwh=dearest if any(traded.bought_wh) else retail,
        bought_wh=bought,
        sold_wh=sold,
        import_wh=rest.import_wh,
        export_wh=rest.export_wh,
    )
    best = clear(book._replace(mechanism=Mechanism.WELFARE)).price_ucoin_per_kwh
    return AmongCars(
        outcome=outcome,
        buyer_prices=list(map(_mean_up, paid, bought)),
        seller_prices=[due // wh if wh else 0 for due, wh in zip(earned, sold, strict=True)],
        gap_ucoin=one_price_gap_ucoin(book, outcome._replace(price_ucoin_per_kwh=best)),
        traded_ucoin=sum(paid) // WH_PER_KWH,
    )


def _mean_up(money: int, energy_wh: int) -> int:
    """What a kWh costs, rounded up; nothing for nothing."""
    return ceil_div(money, energy_wh) if energy_wh else 0


def first_round(book: Book) -> FirstRound | None:
    """What the first of two rounds comes to; none where one side wants nothing."""
    limits = limits_of(book)
    traded = auction(Mechanism.MCAFEE, limits)
    prices = _first_prices(limits, traded)
    if prices is None:
        return None
    return FirstRound(
        buyer_price_ucoin_per_kwh=prices[0],
        seller_price_ucoin_per_kwh=max(prices[1] - book.prices.local_fee_ucoin_per_kwh, 0),
        traded_wh=sum(traded.bought_wh),
    )


def _first_prices(limits: Limits, traded: Traded) -> tuple[int, int] | None:
    """What winners pay and get at the hub; where no bid reaches an ask, the middle of the best."""
    if traded.prices is not None:
        return traded.prices
    bids = [each.price for each in limits.bids if each.energy_wh]
    asks = [each.price for each in limits.asks if each.energy_wh]
    return ((max(bids) + min(asks)) // 2,) * 2 if bids and asks else None


def trade_among_cars(book: Book, revised: Mapping[bytes, int]) -> Traded:
    """What cars trade with one another, in one round or in two."""
    limits = limits_of(book)
    if book.mechanism != Mechanism.V2V:
        return auction(book.mechanism, limits)
    first = auction(Mechanism.MCAFEE, limits)
    prices = _first_prices(limits, first)
    return first if prices is None else _second_round(book, limits, first, prices, revised)


def _second_round(
    book: Book,
    limits: Limits,
    first: Traded,
    first_prices: tuple[int, int],
    revised: Mapping[bytes, int],
) -> Traded:
    """Both rounds together: who has energy left and a limit that reaches the first round's price
    trades at the least favourable limits of all."""
    buyer_price, seller_price = first_prices
    fee = book.prices.local_fee_ucoin_per_kwh
    bids = [revised.get(order.order_id, order.limit_ucoin_per_kwh) for order in book.buys]
    asks = [revised.get(order.order_id, order.limit_ucoin_per_kwh) + fee for order in book.sells]
    wanted = [
        each.energy_wh - got if bid >= buyer_price else 0
        for each, got, bid in zip(limits.bids, first.bought_wh, bids, strict=True)
    ]
    offered = [
        each.energy_wh - gave if ask <= seller_price else 0
        for each, gave, ask in zip(limits.asks, first.sold_wh, asks, strict=True)
    ]
    price_paid = min((bid for bid, wh in zip(bids, wanted, strict=True) if wh), default=0)
    price_got = max((ask for ask, wh in zip(asks, offered, strict=True) if wh), default=0)
    volume_wh = min(sum(wanted), sum(offered))
    bought, sold = proportional(wanted, volume_wh), proportional(offered, volume_wh)
    return Traded(
        bought_wh=[a + b for a, b in zip(first.bought_wh, bought, strict=True)],
        sold_wh=[a + b for a, b in zip(first.sold_wh, sold, strict=True)],
        paid=[due + price_paid * wh for due, wh in zip(first.paid, bought, strict=True)],
        earned=[due + price_got * wh for due, wh in zip(first.earned, sold, strict=True)],
    )


def limits_of(book: Book) -> Limits:
    """Both sides as an auction takes them, sellers with the local fee inside their price."""
    fee = book.prices.local_fee_ucoin_per_kwh
    wanted, offered = _quantities(book)
    return Limits(
        bids=_limits(book, book.buys, wanted, 0),
        asks=_limits(book, book.sells, offered, fee),
        feed_in=book.prices.feed_in_ucoin_per_kwh,
        retail=book.prices.retail_ucoin_per_kwh,
        lot_wh=book.lot_wh,
    )


def _limits(
    book: Book, orders: Sequence[BuyOrder | SellOrder], energies: Sequence[int], fee: int
) -> list[Limit]:
    return [
        Limit(lot_of(book.seed, order.order_id), limit_of(book, order) + fee, energy_wh)
        for order, energy_wh in zip(orders, energies, strict=True)
    ]


def limit_of(book: Book, order: BuyOrder | SellOrder) -> int:
    """The price that an order bids or asks."""
    if book.mechanism == Mechanism.V2V:
        return order.limit_ucoin_per_kwh
    if isinstance(order, BuyOrder):
        return order.price_high_ucoin_per_kwh
    return order.ask_ucoin_per_kwh


def _quantities(book: Book) -> tuple[list[int], list[int]]:
    """What each would buy and sell: all that its order names or, of two rounds, what welfare wants
    of cars alone, whatever they bid."""
    if book.mechanism != Mechanism.V2V:
        return [order.max_wh for order in book.buys], [order.max_wh for order in book.sells]
    free = {
        "network_fee_ucoin_per_kwh": 0,
        "platform_fee_ucoin_per_kwh": 0,
        "levy_ucoin_per_kwh": 0,
    }
    alone = book._replace(
        mechanism=Mechanism.WELFARE,
        prices=replace(book.prices, **free),
        import_limit_wh=0,
        export_limit_wh=0,
    )
    found = clear(alone)
    return found.bought_wh, found.sold_wh
