"""What a frozen book must come to at one price, computed again from its definition.

Knows the records, and fractions where the ledger has integers. Prices are ucoin per kWh.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

from msgspec.structs import replace

from peerwatt.records.market import (
    Award,
    BuyOrder,
    Clearing,
    Mechanism,
    Order,
    PriceRule,
    Prices,
    Round,
    SellOrder,
    Side,
)
from peerwatt.simulation.reference_rows import down, up

STEPS = 10


class Curves(NamedTuple):
    """Who wants and who gives how much, by price; the grid stands last on either side."""

    round: Round
    buys: Sequence[BuyOrder]
    sells: Sequence[SellOrder]
    export_limit_wh: int

    @property
    def fee(self) -> int:
        """What lies between a buyer's and a seller's price."""
        prices = self.round.prices
        fees = (prices.network_fee_ucoin_per_kwh, prices.platform_fee_ucoin_per_kwh)
        return sum(fees) + prices.levy_ucoin_per_kwh

    def demands(self, price: int) -> list[int]:
        """What each wants at this price."""
        to_grid = price - self.fee <= self.round.prices.feed_in_ucoin_per_kwh
        return [
            *(self._wanted(order, price) for order in self.buys),
            self.export_limit_wh if to_grid else 0,
        ]

    def supplies(self, price: int) -> list[int]:
        """What each gives at this price."""
        from_grid = price >= self.round.prices.retail_ucoin_per_kwh
        return [
            *(self._given(order, price - self.fee) for order in self.sells),
            self.round.import_limit_wh if from_grid else 0,
        ]

    def _wanted(self, order: BuyOrder, price: int) -> int:
        low, high = order.price_low_ucoin_per_kwh, order.price_high_ucoin_per_kwh
        if price > self.round.prices.lost_load_ucoin_per_kwh:
            return 0
        share = Fraction(0)
        if price <= low:
            share = Fraction(1)
        elif price < high:
            share = Fraction(low * (high - price), (high - low) * price)
        return order.min_wh + floor((order.max_wh - order.min_wh) * self._stepped(share))

    def _given(self, order: SellOrder, price: int) -> int:
        margin, rise = price - order.ask_ucoin_per_kwh, order.slope_ucoin_per_kwh2 * order.max_wh
        if margin < 0:
            return 0
        share = Fraction(1) if rise == 0 else min(Fraction(margin * 1000, rise), Fraction(1))
        return floor(order.max_wh * self._stepped(share))

    def _stepped(self, share: Fraction) -> Fraction:
        if self.round.mechanism == Mechanism.UNIFORM:
            return Fraction(floor(share * STEPS), STEPS)
        return share


def split(total: int, weights: Sequence[int]) -> list[int]:
    """A total by weights: whole parts, and what is left to the largest remainders, first first."""
    if total == 0 or sum(weights) == 0:
        return [0] * len(weights)
    exact = [Fraction(total * weight, sum(weights)) for weight in weights]
    parts = [floor(each) for each in exact]
    while sum(parts) < total:
        lacking = [each - part for each, part in zip(exact, parts, strict=True)]
        parts[lacking.index(max(lacking))] += 1
    return parts


def between(low: Sequence[int], high: Sequence[int], total: int) -> list[int]:
    """From low towards high, each by its share of the way, until they sum to the total."""
    parts = split(total - sum(low), [h - n for n, h in zip(low, high, strict=True)])
    return [n + part for n, part in zip(low, parts, strict=True)]


class Cleared(NamedTuple):
    """A clearing and its awards, by id."""

    clearing: Clearing
    awards: list[Award]


def clear(market_round: Round, orders: Sequence[Order], supplier_free_ucoin: int) -> Cleared:
    """Clear a book at one price; where the supplier cannot pay for the sellers' energy, or pairs
    should trade and nobody has proved how, sellers stay out, and buyers pay what the grid costs."""
    buys = [each for each in orders if isinstance(each, BuyOrder)]
    sells = [each for each in orders if isinstance(each, SellOrder)]
    curves = Curves(market_round, buys, sells, market_round.export_limit_wh)
    price, bought, sold = meet(curves)
    at_stake = up(sum(sold[:-1]), market_round.prices.feed_in_ucoin_per_kwh)
    unproved = market_round.mechanism.proposed
    if market_round.feeders:
        raise NotImplementedError("the reference ledger does not clear behind limited feeders")
    dropped = unproved or at_stake > supplier_free_ucoin
    if dropped:
        passed_on = replace(market_round.prices, price_rule=PriceRule.MIDPOINT)
        alone = replace(market_round, prices=passed_on, mechanism=Mechanism.WELFARE)
        curves, at_stake = Curves(alone, buys, [], 0), 0
        price, bought, sold = meet(curves)
    buyer_price, seller_prices = _prices(curves, price, bought, sold)
    clearing = Clearing(
        price_ucoin_per_kwh=price,
        buyer_price_ucoin_per_kwh=buyer_price,
        bought_wh=sum(bought[:-1]),
        sold_wh=sum(sold[:-1]),
        import_wh=sold[-1],
        export_wh=bought[-1],
        supplier_held_ucoin=at_stake,
        sellers_dropped=dropped,
        proposer=b"",
        gap_ucoin=gap_ucoin(curves, price, bought, sold),
        traded_ucoin=down(sum(bought[:-1]), price),
    )
    return Cleared(clearing, _awards(curves, clearing, seller_prices, bought, sold))


def gap_ucoin(curves: Curves, price: int, bought: Sequence[int], sold: Sequence[int]) -> int:
    """By how much another clearing of the book could be better: what each could gain by itself."""
    prices, seller_price = curves.round.prices, price - curves.fee
    gap = 0
    for order, energy_wh in zip(curves.buys, bought, strict=False):
        lacking = prices.lost_load_ucoin_per_kwh - price
        minimum = min(energy_wh, order.min_wh)
        gap += _gain(lacking, minimum, order.min_wh)
        gap += _buyer_gain(order, price, energy_wh - minimum)
    for offer, energy_wh in zip(curves.sells, sold, strict=False):
        gap += _seller_gain(offer, seller_price, energy_wh)
    gap += _gain(price - prices.retail_ucoin_per_kwh, sold[-1], curves.round.import_limit_wh)
    gap += _gain(prices.feed_in_ucoin_per_kwh - seller_price, bought[-1], curves.export_limit_wh)
    return up(gap, 1)


def _gain(each: int, used: int, limit: int) -> int:
    """What is gained by using all, where each brings something; else by using nothing."""
    return max(each * (limit - used), -each * used)


def _buyer_gain(order: BuyOrder, price: int, taken_wh: int) -> int:
    """What a buyer could gain beyond its minimum, rounded up."""
    low, high = order.price_low_ucoin_per_kwh, order.price_high_ucoin_per_kwh
    span_wh = order.max_wh - order.min_wh
    bounds = could_gain(Fraction(price), Fraction(low), Fraction(high), span_wh, Fraction(taken_wh))
    return ceil(min(bounds))


def could_gain(
    price: Fraction, low: Fraction, high: Fraction, span_wh: int, taken_wh: Fraction
) -> list[Fraction]:
    """Bounds on what a buyer could gain whose value falls from high to low, at this price."""
    base = span_wh * low + taken_wh * (high - low)
    if base == 0:
        return [price * taken_wh]
    value = span_wh * low * high / base
    straight = max((value - price) * (span_wh - taken_wh), (price - value) * taken_wh)
    if high == low or price == 0 or value == 0:
        return [straight]
    weight, ratio = span_wh * low * high / (high - low), price / value
    return [straight, weight * (ratio - 1) ** 2 / (2 * min(ratio, Fraction(1)))]


def _seller_gain(order: SellOrder, price: int, given_wh: int) -> int:
    """What a seller could gain, likewise."""
    slope = Fraction(order.slope_ucoin_per_kwh2, 1000)
    margin = price - order.ask_ucoin_per_kwh - slope * given_wh
    straight = ceil(max(margin * (order.max_wh - given_wh), -margin * given_wh))
    return straight if slope == 0 else min(straight, ceil(margin**2 / (2 * slope)))


def meet(curves: Curves) -> tuple[int, list[int], list[int]]:
    """The least price at which supply covers demand, or the one below; the side that is there in
    excess shares out what the other side takes."""

    def covered(price: int) -> bool:
        return sum(curves.supplies(price)) >= sum(curves.demands(price))

    lost_load = curves.round.prices.lost_load_ucoin_per_kwh
    price = bisect_left(range(lost_load + 1), True, key=covered)
    demands, supplies = curves.demands(price), curves.supplies(price)
    cheaper = curves.supplies(price - 1)
    if price <= lost_load and sum(cheaper) <= sum(demands):
        return price, demands, between(cheaper, supplies, sum(demands))
    demands = between(demands, curves.demands(price - 1), sum(cheaper))
    return price - 1, demands, cheaper


def _prices(
    curves: Curves, price: int, bought: Sequence[int], sold: Sequence[int]
) -> tuple[int, list[int]]:
    """What buyers pay, and what each seller gets."""
    prices, fee = curves.round.prices, curves.fee
    net = max(price - fee, 0)
    if prices.price_rule == PriceRule.MARGINAL or sum(bought[:-1]) == 0:
        return price, [net for _ in curves.sells]
    given, exported, imported = sum(sold[:-1]), bought[-1], sold[-1]
    local = given - exported
    paid = []
    for order in curves.sells:
        middle = floor(Fraction(order.ask_ucoin_per_kwh + net, 2))
        paid.append(floor(Fraction(middle * local + net * exported, given)) if given else 0)
    cost = sum(each * wh for each, wh in zip(paid, sold, strict=False)) + fee * local
    cost += prices.retail_ucoin_per_kwh * imported - prices.feed_in_ucoin_per_kwh * exported
    return max(-floor(Fraction(-cost, sum(bought[:-1]))), 0), paid


def _awards(
    curves: Curves,
    clearing: Clearing,
    seller_prices: Sequence[int],
    bought: Sequence[int],
    sold: Sequence[int],
) -> list[Award]:
    price = clearing.buyer_price_ucoin_per_kwh
    paid = [*(price for _ in curves.buys), *seller_prices]
    orders: list[Order] = [*curves.buys, *curves.sells]
    return awards_of(curves.round.prices, price, orders, [*bought[:-1], *sold[:-1]], paid)


def awards_of(
    prices: Prices,
    dearest: int,
    orders: Sequence[Order],
    energies: Sequence[int],
    paid: Sequence[int],
) -> list[Award]:
    """An award for each who got energy, by id; a seller's hold covers what it may not deliver."""
    rows = []
    for order, energy_wh, each in zip(orders, energies, paid, strict=True):
        buys = isinstance(order, BuyOrder)
        risk = each if buys else lacking_price(prices, dearest, each)
        rows.append((order, Side.BUY if buys else Side.SELL, energy_wh, each, risk))
    awards = [
        Award(
            order_id=order.order_id,
            owner=order.owner,
            port=order.port,
            side=side,
            energy_wh=energy_wh,
            price_ucoin_per_kwh=each,
            held_ucoin=up(energy_wh, risk),
        )
        for order, side, energy_wh, each, risk in rows
        if energy_wh > 0
    ]
    return sorted(awards, key=lambda award: award.order_id)


def lacking_price(prices: Prices, buyer_price: int, seller_price: int) -> int:
    """What a seller pays for a kWh that it does not deliver."""
    dearer = max(prices.retail_ucoin_per_kwh, buyer_price) - seller_price
    return max(dearer, 0) + prices.shortfall_penalty_ucoin_per_kwh
