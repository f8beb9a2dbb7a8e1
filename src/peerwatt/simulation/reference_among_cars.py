"""What a round among cars must come to: its auction, a second one for losers, the grid's part.

Knows the records and the reference's rows. Prices are ucoin per kWh, energy Wh, money their
product.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import ceil, floor

from msgspec.structs import replace

from peerwatt.contracts.state import Revision
from peerwatt.records import transactions as tx
from peerwatt.records.market import (
    BuyOrder,
    Clearing,
    FirstRound,
    Mechanism,
    Order,
    Round,
    RoundStatus,
    SellOrder,
)
from peerwatt.records.receipts import Reason
from peerwatt.simulation.reference_double_auctions import Deals, Hall, Offer, deals
from peerwatt.simulation.reference_market import (
    Cleared,
    Curves,
    awards_of,
    gap_ucoin,
    meet,
    split,
)
from peerwatt.simulation.reference_rows import Rows, up

Objections = Iterator[Reason]
Limits = Mapping[bytes, int]


def to_revise(rows: Rows, message: tx.ReviseOrder, now_s: int) -> Objections:
    """Against a loser's new limit."""
    market_round: Round | None = rows.get("rounds", message.round_id)
    if market_round is None:
        yield Reason.UNKNOWN_ROUND
        return
    if market_round.status == RoundStatus.OPEN:
        yield Reason.TOO_EARLY
    elif market_round.status != RoundStatus.CLOSED or now_s >= market_round.clear_by_s:
        yield Reason.TOO_LATE
    if market_round.mechanism != Mechanism.V2V:
        yield Reason.OUT_OF_RANGE
    order: Order | None = rows.get("orders", message.order_id, message.round_id)
    if order is None:
        yield Reason.UNKNOWN_ORDER
        return
    if order.owner != message.signer:
        yield Reason.NOT_PERMITTED
    if message.order_id in rows.shelf("revisions", message.round_id):
        yield Reason.ALREADY_EXISTS
    first, limit, prices = market_round.first, message.limit_ucoin_per_kwh, market_round.prices
    if first is None:
        return
    if isinstance(order, BuyOrder):
        worse = limit <= order.limit_ucoin_per_kwh or limit > prices.retail_ucoin_per_kwh
        short = limit < first.buyer_price_ucoin_per_kwh
    else:
        worse = limit >= order.limit_ucoin_per_kwh or limit < prices.feed_in_ucoin_per_kwh
        short = limit > first.seller_price_ucoin_per_kwh
    if worse or short:
        yield Reason.OUT_OF_RANGE


def revise(rows: Rows, message: tx.ReviseOrder) -> None:
    """It stands with the new limit from now on."""
    revision = Revision(limit_ucoin_per_kwh=message.limit_ucoin_per_kwh)
    rows.put("revisions", message.order_id, revision, message.round_id)


def fee_of(market_round: Round) -> int:
    """What lies between the two prices of what cars trade."""
    return Curves(market_round, [], [], 0).fee


def stated(market_round: Round, order: Order) -> int:
    """The price that an order names."""
    if market_round.mechanism == Mechanism.V2V:
        return order.limit_ucoin_per_kwh
    if isinstance(order, BuyOrder):
        return order.price_high_ucoin_per_kwh
    return order.ask_ucoin_per_kwh


def hall_of(market_round: Round, orders: Sequence[Order]) -> Hall:
    """The auction of a book."""
    amounts = {order.order_id: order.max_wh for order in orders}
    if market_round.mechanism == Mechanism.V2V:
        amounts = _as_welfare_wants(market_round, orders)
    fee, prices = fee_of(market_round), market_round.prices
    offers = [
        Offer(
            order.order_id,
            stated(market_round, order) + (fee if isinstance(order, SellOrder) else 0),
            amounts[order.order_id],
        )
        for order in orders
    ]
    buys = [isinstance(order, BuyOrder) for order in orders]
    return Hall(
        bids=[offer for offer, buy in zip(offers, buys, strict=True) if buy],
        asks=[offer for offer, buy in zip(offers, buys, strict=True) if not buy],
        seed=market_round.book_hash,
        feed_in=prices.feed_in_ucoin_per_kwh,
        retail=prices.retail_ucoin_per_kwh,
        lot_wh=market_round.lot_wh,
    )


def _as_welfare_wants(market_round: Round, orders: Sequence[Order]) -> dict[bytes, int]:
    """What cars would trade with one another at the price at which all want the same, free of
    fees, were there no grid."""
    free = replace(
        market_round.prices,
        network_fee_ucoin_per_kwh=0,
        platform_fee_ucoin_per_kwh=0,
        levy_ucoin_per_kwh=0,
    )
    alone = replace(
        market_round,
        prices=free,
        mechanism=Mechanism.WELFARE,
        import_limit_wh=0,
        export_limit_wh=0,
    )
    buys = [each for each in orders if isinstance(each, BuyOrder)]
    sells = [each for each in orders if isinstance(each, SellOrder)]
    _, bought, sold = meet(Curves(alone, buys, sells, 0))
    ids = [*(each.order_id for each in buys), *(each.order_id for each in sells)]
    return dict(zip(ids, [*bought[:-1], *sold[:-1]], strict=True))


def first_of_two(market_round: Round, orders: Sequence[Order]) -> FirstRound | None:
    """What the first round came to; none where only one side wants anything."""
    hall = hall_of(market_round, orders)
    found = deals(hall, Mechanism.MCAFEE)
    prices = _meeting_point(hall, found)
    if prices is None:
        return None
    buying = {each.order_id for each in hall.bids}
    return FirstRound(
        buyer_price_ucoin_per_kwh=prices[0],
        seller_price_ucoin_per_kwh=max(0, prices[1] - fee_of(market_round)),
        traded_wh=sum(wh for order_id, wh in found.energies.items() if order_id in buying),
    )


def _meeting_point(hall: Hall, found: Deals) -> tuple[int, int] | None:
    if found.two is not None:
        return found.two
    bids = [each.price for each in hall.bids if each.wh]
    asks = [each.price for each in hall.asks if each.wh]
    if not bids or not asks:
        return None
    middle = floor(Fraction(max(bids) + min(asks), 2))
    return middle, middle


def clear_among_cars(
    market_round: Round, orders: Sequence[Order], limits: Limits, supplier_free_ucoin: int
) -> Cleared:
    """The clearing and its awards; without sellers where the supplier cannot pay for what they
    sell."""
    hall = hall_of(market_round, orders)
    twice = market_round.mechanism == Mechanism.V2V
    found = deals(hall, Mechanism.MCAFEE if twice else market_round.mechanism)
    cars = {order.order_id: found.energies.get(order.order_id, 0) for order in orders}
    money = {each: wh * found.prices.get(each, 0) for each, wh in cars.items()}
    if twice:
        _second(market_round, orders, hall, found, limits, cars, money)
    grid, flows = _from_grid(market_round, orders, limits, cars)
    prices, fee = market_round.prices, fee_of(market_round)
    energies, paid = [], []
    for order in orders:
        own, more = cars[order.order_id], grid[order.order_id]
        energies.append(own + more)
        if isinstance(order, BuyOrder):
            total = money[order.order_id] + more * prices.retail_ucoin_per_kwh
            paid.append(ceil(Fraction(total, own + more)) if own + more else 0)
        else:
            total = money[order.order_id] - own * fee + more * prices.feed_in_ucoin_per_kwh
            paid.append(floor(Fraction(total, own + more)) if own + more else 0)
    sold_wh = sum(e for o, e in zip(orders, energies, strict=True) if isinstance(o, SellOrder))
    at_stake = up(sold_wh, prices.feed_in_ucoin_per_kwh)
    if at_stake > supplier_free_ucoin:
        buyers = [order for order in orders if isinstance(order, BuyOrder)]
        alone = clear_among_cars(market_round, buyers, limits, 0)
        return alone._replace(clearing=replace(alone.clearing, sellers_dropped=True))
    buys = [order for order in orders if isinstance(order, BuyOrder)]
    clearing = _clearing(market_round, orders, energies, flows, at_stake)
    dearest = [
        ceil(Fraction(money[b.order_id], cars[b.order_id])) for b in buys if cars[b.order_id]
    ]
    highest = [
        p for o, e, p in zip(orders, energies, paid, strict=True) if e and isinstance(o, BuyOrder)
    ]
    due = sum(money[b.order_id] + grid[b.order_id] * prices.retail_ucoin_per_kwh for b in buys)
    clearing = replace(
        clearing,
        price_ucoin_per_kwh=max(dearest, default=prices.retail_ucoin_per_kwh),
        buyer_price_ucoin_per_kwh=max(highest, default=0),
        traded_ucoin=due // 1000,
    )
    awards = awards_of(prices, max(highest, default=0), orders, energies, paid)
    return Cleared(clearing, awards)


def _clearing(
    market_round: Round,
    orders: Sequence[Order],
    energies: Sequence[int],
    flows: tuple[int, int],
    at_stake: int,
) -> Clearing:
    """The energies, and how far they are from the best at the price at which that would be."""
    buys = [each for each in orders if isinstance(each, BuyOrder)]
    sells = [each for each in orders if isinstance(each, SellOrder)]
    by_id = dict(zip((each.order_id for each in orders), energies, strict=True))
    plain = replace(market_round, mechanism=Mechanism.WELFARE)
    curves = Curves(plain, buys, sells, market_round.export_limit_wh)
    bought = [*(by_id[each.order_id] for each in buys), flows[1]]
    sold = [*(by_id[each.order_id] for each in sells), flows[0]]
    return Clearing(
        price_ucoin_per_kwh=0,
        buyer_price_ucoin_per_kwh=0,
        bought_wh=sum(bought[:-1]),
        sold_wh=sum(sold[:-1]),
        import_wh=flows[0],
        export_wh=flows[1],
        supplier_held_ucoin=at_stake,
        sellers_dropped=False,
        proposer=b"",
        gap_ucoin=gap_ucoin(curves, meet(curves)[0], bought, sold),
        traded_ucoin=0,
    )


def _second(
    market_round: Round,
    orders: Sequence[Order],
    hall: Hall,
    found: Deals,
    limits: Limits,
    cars: dict[bytes, int],
    money: dict[bytes, int],
) -> None:
    """Everybody left who is at the first round's price or beyond trades at the worst limits."""
    point = _meeting_point(hall, found)
    if point is None:
        return
    fee = fee_of(market_round)
    stands = {
        order.order_id: limits.get(order.order_id, order.limit_ucoin_per_kwh)
        + (fee if isinstance(order, SellOrder) else 0)
        for order in orders
    }
    left = [
        {each.order_id: each.wh - cars[each.order_id] for each in side if each.wh}
        for side in (hall.bids, hall.asks)
    ]
    ins = [
        {each: wh for each, wh in left[0].items() if wh and stands[each] >= point[0]},
        {each: wh for each, wh in left[1].items() if wh and stands[each] <= point[1]},
    ]
    if not all(ins):
        return
    worst = min(stands[each] for each in ins[0]), max(stands[each] for each in ins[1])
    total = min(sum(side.values()) for side in ins)
    for side, price in zip(ins, worst, strict=True):
        ids = sorted(side)
        whole = sum(side.values()) <= total
        parts = [side[each] for each in ids] if whole else split(total, [side[i] for i in ids])
        for each, wh in zip(ids, parts, strict=True):
            cars[each] += wh
            money[each] += wh * price


def _from_grid(
    market_round: Round, orders: Sequence[Order], limits: Limits, cars: Mapping[bytes, int]
) -> tuple[dict[bytes, int], tuple[int, int]]:
    """What each has from the grid or gives it, and what flows in and out."""
    prices = market_round.prices
    retail, feed_in = prices.retail_ucoin_per_kwh, prices.feed_in_ucoin_per_kwh
    needs, wishes, spare = {}, {}, {}
    for order in orders:
        order_id = order.order_id
        limit = limits.get(order_id, stated(market_round, order))
        left = order.max_wh - cars[order_id]
        if isinstance(order, SellOrder):
            spare[order_id] = left if limit <= feed_in else 0
        else:
            needs[order_id] = min(max(order.min_wh - cars[order_id], 0), left)
            wishes[order_id] = left - needs[order_id] if limit >= retail else 0
    wanted = sum(needs.values()) + sum(wishes.values())
    if wanted and retail - feed_in < fee_of(market_round):
        spare = dict.fromkeys(spare, 0)
    offered = sum(spare.values())
    served = min(wanted, market_round.import_limit_wh + offered)
    inside = min(served, offered)
    out = min(offered - inside, market_round.export_limit_wh)
    first = min(served, sum(needs.values()))
    grid = dict(zip(spare, split(inside + out, [*spare.values()]), strict=True))
    firsts, rest = split(first, [*needs.values()]), split(served - first, [*wishes.values()])
    for order_id, need, wish in zip(needs, firsts, rest, strict=True):
        grid[order_id] = need + wish
    return grid, (served - inside, out)
