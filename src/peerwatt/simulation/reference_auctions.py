"""What the end of an auction must come to, computed again from its definition in fractions.

Knows the records and the reference's rows. Prices are ucoin per kWh, energy Wh, money ucoin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil, floor

from peerwatt.contracts.state import AuctionEnd, Served
from peerwatt.records.market import BuyOrder, Clearing, Order, Round, SellOrder
from peerwatt.records.receipts import Reason
from peerwatt.records.transactions import ProposeAuction
from peerwatt.simulation.reference_bids import (
    GRID,
    PARTS,
    ZERO,
    Ended,
    Pairs,
    against_answers,
    against_bids,
    against_stalling,
    energies_of,
    heard,
    left_out,
)
from peerwatt.simulation.reference_market import Cleared, awards_of, split
from peerwatt.simulation.reference_rows import up

MOST_BIDS = 20_000


def prove_auction(
    market_round: Round, present: Sequence[Order], message: ProposeAuction
) -> AuctionEnd | list[Reason]:
    """What an auction came to that was open to these orders, or all that is wrong with its end."""
    wrong = against_stalling(present, message)
    if message.iteration < 1:
        wrong.append(Reason.OUT_OF_RANGE)
    if sum(len(each.latest.amounts) for each in message.bids) > MOST_BIDS:
        wrong.append(Reason.TOO_MANY)
    if wrong:
        return wrong
    invited = [order for order in present if order.order_id not in left_out(message)]
    buys = [order for order in invited if isinstance(order, BuyOrder)]
    sells = [order for order in invited if isinstance(order, SellOrder)]
    listed: list[BuyOrder | SellOrder] = [*buys, *sells]
    rents = message.rents
    if (len(message.bids), len(rents.buyers), len(rents.sellers)) != (
        len(listed),
        len(buys),
        len(sells),
    ):
        return [Reason.INCOMPLETE]
    for order, bids in zip(listed, message.bids, strict=True):
        others = len(sells) + 1 if isinstance(order, BuyOrder) else len(buys)
        if any(len(said.amounts) != others for said in (bids.previous, bids.latest)):
            return [Reason.INCOMPLETE]
    ended = heard(market_round, buys, sells, message)
    energies = energies_of(ended)
    wrong = [*against_bids(message, listed, len(buys))]
    if energies is None:
        return [*wrong, Reason.NOT_OPTIMAL]
    beyond = _against_limits(ended, energies)
    if beyond:
        return [*wrong, *beyond]
    wrong += against_answers(message, ended, energies)
    found = _cleared(ended, energies)
    if found is None:
        wrong.append(Reason.NOT_OPTIMAL)
    return found if found is not None and not wrong else wrong


def _taken(ended: Ended, energies: Pairs, buyer: bytes) -> Fraction:
    return sum((energies[buyer, source] for source in ended.sources), ZERO)


def _given(ended: Ended, energies: Pairs, source: bytes) -> Fraction:
    return sum((energies[order.order_id, source] for order in ended.buys), ZERO)


def _least(ended: Ended, order: BuyOrder) -> int:
    """A minimum, which is nobody's that bids nothing; none counts where there is too little, or
    just enough, for all of them."""
    needed_wh = sum(each.min_wh for each in ended.buys)
    enough = needed_wh < sum(ended.offer_wh(source) for source in ended.sources)
    bids = any(ended.paid[order.order_id, source] for source in ended.sources)
    return order.min_wh if bids and enough else 0


def _against_limits(ended: Ended, energies: Pairs) -> list[Reason]:
    wrong = []
    for order in ended.buys:
        taken = _taken(ended, energies, order.order_id)
        if taken > order.max_wh + 1 or taken < _least(ended, order) - 1:
            wrong.append(Reason.AGAINST_BID)
    for source in ended.sources:
        if _given(ended, energies, source) > ended.offer_wh(source) + 1:
            wrong.append(Reason.BEYOND_LIMIT)
    return wrong


def _gap(ended: Ended, energies: Pairs) -> Fraction:
    """By how much another allocation of these bids could be better, ucoin: rents times what is left
    at each limit, and what exceeds one at twice what was bid for it."""
    crumb, gap = Fraction(1, PARTS), ZERO
    for order in ended.buys:
        rent, taken = ended.rents[order.order_id], _taken(ended, energies, order.order_id)
        least = _least(ended, order)
        above = max(taken + crumb * len(ended.sources) - least, ZERO)
        gap += rent * max(order.max_wh - taken, ZERO) if rent > 0 else -rent * above
        gap += ended.round.prices.lost_load_ucoin_per_kwh * max(least - taken, ZERO)
        bid = sum((ended.paid[order.order_id, s] for s in ended.sources), ZERO)
        gap += _too_much(taken, order.max_wh, bid)
    for source in ended.sources:
        given, offer = _given(ended, energies, source), ended.offer_wh(source)
        gap += ended.rents[source] * max(offer - given, ZERO)
        bid = sum((ended.paid[order.order_id, source] for order in ended.buys), ZERO)
        gap += _too_much(given, offer, bid)
    return gap / 1000


def _too_much(energy_wh: Fraction, most_wh: int, bid: Fraction) -> Fraction:
    return 2 * (energy_wh - most_wh) * bid * 1000 / energy_wh if energy_wh > most_wh else ZERO


def _cleared(ended: Ended, energies: Pairs) -> AuctionEnd | None:
    """Whole Wh and prices; none where the gap is too large or the money does not do."""
    prices = ended.round.prices
    lost_load, retail = prices.lost_load_ucoin_per_kwh, prices.retail_ucoin_per_kwh
    average: dict[bytes, Fraction] = {}
    kept: dict[tuple[bytes, bytes], Fraction] = {}
    for order in ended.buys:
        key, taken = order.order_id, _taken(ended, energies, order.order_id)
        cost = sum((ended.price(key, s) * energies[key, s] for s in ended.sources), ZERO)
        price = _pcoin(cost / taken) if taken else ZERO
        wanted = order.max_wh if price <= order.price_high_ucoin_per_kwh else order.min_wh
        wanted = wanted if price <= max(lost_load, order.price_high_ucoin_per_kwh) else 0
        for s in ended.sources:
            whole = energies[key, s]
            kept[key, s] = whole if taken <= wanted else _uwh(whole * wanted / taken)
        average[key] = price if _taken(ended, kept, key) else ZERO
    energy_wh, import_wh = _whole(ended, kept)
    paid = _raised(ended, average, energy_wh, import_wh)
    due = _due(ended, kept, paid, energy_wh, import_wh)
    gap = ceil(_gap(ended, energies))
    worth = sum((paid[o.order_id] * _taken(ended, kept, o.order_id) for o in ended.buys), ZERO)
    traded = floor(worth / 1000)
    awards = sum(1 for wh in energy_wh.values() if wh)
    if due is None or gap > max(traded, 10**6) // 10**4 + up(awards, retail):
        return None
    listed = {key: ceil(price) for key, price in paid.items()} | due
    return AuctionEnd(
        served=tuple(
            Served(order_id=key, energy_wh=wh, price_ucoin_per_kwh=listed[key])
            for key, wh in energy_wh.items()
            if wh
        ),
        import_wh=import_wh,
        grid_price_ucoin_per_kwh=min(ceil(retail + ended.rents[GRID]), lost_load),
        gap_ucoin=gap,
        traded_ucoin=traded,
    )


def _pcoin(price: Fraction) -> Fraction:
    """A price rounded up to a millionth."""
    return Fraction(ceil(price * PARTS), PARTS)


def _uwh(energy_wh: Fraction) -> Fraction:
    """Energy rounded down to a millionth."""
    return Fraction(floor(energy_wh * PARTS), PARTS)


def _whole(ended: Ended, kept: Pairs) -> tuple[dict[bytes, int], int]:
    """Whole Wh by order, and from the grid, such that it balances."""

    def thousandths(energy_wh: Fraction) -> int:
        return ceil(energy_wh * 1000)

    takes = [thousandths(_taken(ended, kept, order.order_id)) for order in ended.buys]
    sources = ended.sources
    *gives, grid = (
        thousandths(min(_given(ended, kept, s), Fraction(ended.offer_wh(s)))) for s in sources
    )
    import_wh = min(grid, sum(takes)) // 1000
    local_wh = min(sum(takes) // 1000 - import_wh, sum(gives) // 1000)
    bought, sold = split(local_wh + import_wh, takes), split(local_wh, gives)
    orders: list[BuyOrder | SellOrder] = [*ended.buys, *ended.sells]
    keys = [order.order_id for order in orders]
    return dict(zip(keys, [*bought, *sold], strict=True)), import_wh


def _fee(ended: Ended) -> int:
    prices = ended.round.prices
    fees = (prices.network_fee_ucoin_per_kwh, prices.platform_fee_ucoin_per_kwh)
    return sum(fees) + prices.levy_ucoin_per_kwh


def _raised(
    ended: Ended, average: Mapping[bytes, Fraction], energy_wh: Mapping[bytes, int], import_wh: int
) -> dict[bytes, Fraction]:
    """What buyers pay: as much more than on average as it takes to pay the grid, the fees and what
    sellers ask at least, nobody above what it may be asked for."""
    prices = ended.round.prices
    need = prices.retail_ucoin_per_kwh * import_wh
    need += sum((o.ask_ucoin_per_kwh + _fee(ended)) * energy_wh[o.order_id] for o in ended.sells)
    most = {
        o.order_id: o.price_high_ucoin_per_kwh
        if energy_wh[o.order_id] > o.min_wh
        else prices.lost_load_ucoin_per_kwh
        for o in ended.buys
    }

    def paid(more: int) -> dict[bytes, Fraction]:
        return {key: max(p, min(p + more, Fraction(most[key]))) for key, p in average.items()}

    def lacking(more: int) -> bool:
        return sum(ceil(p) * energy_wh[key] for key, p in paid(more).items()) < need

    low, high = 0, prices.lost_load_ucoin_per_kwh + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if lacking(middle) else (low, middle)
    return paid(low)


def _due(
    ended: Ended,
    kept: Pairs,
    paid: Mapping[bytes, Fraction],
    energy_wh: Mapping[bytes, int],
    import_wh: int,
) -> dict[bytes, int] | None:
    """What sellers are paid: what they asked and their rent, or as much less as is not there."""
    prices, earned = ended.round.prices, {}
    pool = sum(ceil(price) * energy_wh[key] for key, price in paid.items())
    pool -= prices.retail_ucoin_per_kwh * import_wh
    pool -= _fee(ended) * sum(energy_wh[order.order_id] for order in ended.sells)
    asks = {order.order_id: order.ask_ucoin_per_kwh for order in ended.sells}
    for key, ask in asks.items():
        given = _given(ended, kept, key)
        pairs = ((b.order_id, key) for b in ended.buys)
        money = sum(((ended.price(*p) - _fee(ended)) * kept[p] for p in pairs), ZERO)
        fair = max(floor(money / given), ask) if given else ask
        earned[key] = min(fair, prices.lost_load_ucoin_per_kwh)

    def less(cut: int) -> dict[bytes, int]:
        return {key: max(price - cut, asks[key]) for key, price in earned.items()}

    def covered(cut: int) -> bool:
        return sum(price * energy_wh[key] for key, price in less(cut).items()) <= pool

    low, high = 0, prices.lost_load_ucoin_per_kwh + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if covered(middle) else (middle + 1, high)
    return less(low) if covered(low) else None


def cleared_auction(
    market_round: Round,
    orders: Sequence[Order],
    end: AuctionEnd,
    proposer: bytes,
    free_ucoin: int,
) -> Cleared | None:
    """The clearing and its awards; none where the supplier cannot pay for the sellers' energy."""
    rows = {each.order_id: each for each in end.served}
    fed = [order for order in orders if order.order_id in rows]
    energies = [rows[order.order_id].energy_wh for order in fed]
    paid = [rows[order.order_id].price_ucoin_per_kwh for order in fed]
    both = list(zip(fed, energies, paid, strict=True))
    bought_wh = sum(wh for order, wh, _ in both if isinstance(order, BuyOrder))
    sold_wh = sum(wh for order, wh, _ in both if isinstance(order, SellOrder))
    at_stake = up(sold_wh, market_round.prices.feed_in_ucoin_per_kwh)
    if at_stake > free_ucoin:
        return None
    dearest = max((p for order, _, p in both if isinstance(order, BuyOrder)), default=0)
    clearing = Clearing(
        price_ucoin_per_kwh=end.grid_price_ucoin_per_kwh,
        buyer_price_ucoin_per_kwh=dearest,
        bought_wh=bought_wh,
        sold_wh=sold_wh,
        import_wh=end.import_wh,
        export_wh=0,
        supplier_held_ucoin=at_stake,
        sellers_dropped=False,
        proposer=proposer,
        gap_ucoin=end.gap_ucoin,
        traded_ucoin=end.traded_ucoin,
    )
    return Cleared(clearing, awards_of(market_round.prices, dearest, fed, energies, paid))
