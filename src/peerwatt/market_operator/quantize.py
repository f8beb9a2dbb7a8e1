"""Where the ledger's whole numbers become arrays, and prices become whole numbers again.

Knows records and numpy. The only file in which both meet: energy goes from Wh to kWh, money from
ucoin to coin, and prices come back in pcoin per kWh.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.feeder_pairs import FeederPairsClearing
from peerwatt.mechanisms.feeders import FeederClearing, Feeders
from peerwatt.mechanisms.iterative_auction import BidAllocation
from peerwatt.mechanisms.one_price import BuyerCurves, GridTerms, SellerCurves
from peerwatt.mechanisms.welfare import PairsClearing
from peerwatt.mechanisms.welfare_book import PairBuyers, PairSellers
from peerwatt.records.auction import MAX_RENT_PCOIN_PER_KWH, Rents, energy_uwh, minima_bind
from peerwatt.records.market import BuyOrder, Order, Round, SellOrder
from peerwatt.units import PCOIN_PER_UCOIN, UCOIN_PER_COIN, WH_PER_KWH

# A flat curve falls, or rises, by a millionth, so that a price says how much of it is served.
LEAST_FALL = 1e-6
# Of a price in pcoin/kWh, so much is what a float cannot say.
NOISE = 1e-3


class PairsBook(NamedTuple):
    """A frozen book as the mechanism takes it, in kWh and coin; orders ascend by id."""

    buyers: PairBuyers
    sellers: PairSellers
    grid: GridTerms
    lost_load: float


def pairs_book(market_round: Round, orders: Sequence[Order]) -> PairsBook:
    """The book of a round; the order's slope is the pair's, 2 l1 of PETCON."""
    buys, sells = _parted(orders)
    return PairsBook(
        buyers=_buyers(buys),
        sellers=PairSellers(
            maximum_kwh=_kwh([order.max_wh for order in sells]),
            quadratic_cost=_coin([order.slope_ucoin_per_kwh2 for order in sells]) / 2,
            linear_cost=_coin([order.ask_ucoin_per_kwh for order in sells]),
        ),
        grid=_grid(market_round),
        lost_load=market_round.prices.lost_load_ucoin_per_kwh / UCOIN_PER_COIN,
    )


def feeders_of(market_round: Round, orders: Sequence[Order]) -> Feeders:
    """The limited feeders of a round; who is behind none of them is at the bus."""
    return _feeders(market_round, *_parted(orders))


class OnePriceBook(NamedTuple):
    """A frozen book as the mechanism of one price a feeder takes it, in kWh and coin."""

    buyers: BuyerCurves
    sellers: SellerCurves
    grid: GridTerms
    feeders: Feeders
    lost_load: float


def one_price_book(market_round: Round, orders: Sequence[Order]) -> OnePriceBook:
    """The book of a round; the order's slope is that of its seller's total."""
    buys, sells = _parted(orders)
    prices = market_round.prices
    high = _coin([max(order.price_high_ucoin_per_kwh, 1) for order in buys])
    low = _coin([max(order.price_low_ucoin_per_kwh, 1) for order in buys])
    most = _kwh([order.max_wh for order in sells])
    rise = LEAST_FALL * prices.retail_ucoin_per_kwh / UCOIN_PER_COIN
    slope = _coin([order.slope_ucoin_per_kwh2 for order in sells])
    return OnePriceBook(
        buyers=BuyerCurves(
            minimum_kwh=_kwh([order.min_wh for order in buys]),
            maximum_kwh=_kwh([_wanted_wh(order) for order in buys]),
            price_high=high,
            price_low=np.minimum(low, high * (1 - LEAST_FALL)),
        ),
        sellers=SellerCurves(
            maximum_kwh=most,
            ask=_coin([order.ask_ucoin_per_kwh for order in sells]),
            slope=np.maximum(slope, rise / most),
        ),
        grid=_grid(market_round),
        feeders=_feeders(market_round, buys, sells),
        lost_load=prices.lost_load_ucoin_per_kwh / UCOIN_PER_COIN,
    )


def _parted(orders: Sequence[Order]) -> tuple[list[BuyOrder], list[SellOrder]]:
    buys = [order for order in orders if isinstance(order, BuyOrder)]
    return buys, [order for order in orders if isinstance(order, SellOrder)]


def _grid(market_round: Round) -> GridTerms:
    prices = market_round.prices
    return GridTerms(
        retail=prices.retail_ucoin_per_kwh / UCOIN_PER_COIN,
        feed_in=prices.feed_in_ucoin_per_kwh / UCOIN_PER_COIN,
        import_limit_kwh=market_round.import_limit_wh / WH_PER_KWH,
        export_limit_kwh=market_round.export_limit_wh / WH_PER_KWH,
        local_fee=prices.local_fee_ucoin_per_kwh / UCOIN_PER_COIN,
    )


def _feeders(market_round: Round, buys: Sequence[BuyOrder], sells: Sequence[SellOrder]) -> Feeders:
    """The limited feeders of a round; who is behind none of them is at the bus."""
    places = {room.feeder: place for place, room in enumerate(market_round.feeders)}
    bus = len(places)
    return Feeders(
        import_limit_kwh=_kwh([room.import_limit_wh for room in market_round.feeders]),
        export_limit_kwh=_kwh([room.export_limit_wh for room in market_round.feeders]),
        buyers=np.array([places.get(order.feeder, bus) for order in buys], dtype=np.intp),
        sellers=np.array([places.get(order.feeder, bus) for order in sells], dtype=np.intp),
    )


def _wanted_wh(order: BuyOrder) -> int:
    """A curve that ends at nothing is worth nothing beyond the minimum at any price."""
    return order.max_wh if order.price_low_ucoin_per_kwh else order.min_wh


def _buyers(buys: Sequence[BuyOrder]) -> PairBuyers:
    """w ln(1 + c/kappa) whose marginal value falls from the order's high to its low price."""
    least = _kwh([order.min_wh for order in buys])
    most = _kwh([_wanted_wh(order) for order in buys])
    high = _coin([max(order.price_high_ucoin_per_kwh, 1) for order in buys])
    low = _coin([max(order.price_low_ucoin_per_kwh, 1) for order in buys])
    low = np.minimum(low, high * (1 - LEAST_FALL))
    span = np.where(most > least, most - least, 1.0)
    scale = span * low / (high - low)
    return PairBuyers(weight=scale * high, minimum_kwh=least, maximum_kwh=most, scale_kwh=scale)


def listed_prices(
    market_round: Round, orders: Sequence[Order], clearing: PairsClearing
) -> tuple[int, ...]:
    """The clearing's prices, one per order in pcoin/kWh: what a buyer pays, a seller's reserve."""
    pcoin_per_coin = PCOIN_PER_UCOIN * UCOIN_PER_COIN
    fee = market_round.prices.local_fee_ucoin_per_kwh
    highest = market_round.prices.lost_load_ucoin_per_kwh * PCOIN_PER_UCOIN
    buyers, sellers = iter(clearing.buyer_price), iter(clearing.reserve_price)
    listed = []
    for order in orders:
        if isinstance(order, BuyOrder):
            listed.append(min(round(float(next(buyers)) * pcoin_per_coin), highest))
        else:
            cost = (order.ask_ucoin_per_kwh + fee) * PCOIN_PER_UCOIN
            # Rounded up, so that no seller is asked for more than it offers.
            listed.append(max(math.ceil(float(next(sellers)) * pcoin_per_coin), cost))
    return tuple(listed)


def listed_feeder_prices(
    market_round: Round, orders: Sequence[Order], clearing: FeederPairsClearing
) -> tuple[int, ...]:
    """As `listed_prices`, and then by how much energy is dearer on each limited feeder. Rounded as
    the bus sees them, so that those who are at one price there stay at one."""
    pcoin_per_coin = PCOIN_PER_UCOIN * UCOIN_PER_COIN
    prices = market_round.prices
    highest = prices.lost_load_ucoin_per_kwh * PCOIN_PER_UCOIN
    exact = np.append(clearing.feeder_price, 0.0)
    dearer = [round(float(each) * pcoin_per_coin) for each in exact]
    feeders = feeders_of(market_round, orders)
    buyers = zip(clearing.buyer_price, feeders.buyers, strict=True)
    sellers = zip(clearing.reserve_price, feeders.sellers, strict=True)
    listed = []
    for order in orders:
        if isinstance(order, BuyOrder):
            price, place = next(buyers)
            there = round(float(price - exact[place]) * pcoin_per_coin) + dearer[place]
            listed.append(min(max(there, 0), highest))
        else:
            reserve, place = next(sellers)
            cost = (order.ask_ucoin_per_kwh + prices.local_fee_ucoin_per_kwh) * PCOIN_PER_UCOIN
            there = math.ceil(float(reserve - exact[place]) * pcoin_per_coin) + dearer[place]
            listed.append(max(there, cost))
    return (*listed, *dearer[:-1])


def listed_own_prices(market_round: Round, clearing: FeederClearing) -> tuple[int, ...]:
    """The bus's price in pcoin/kWh, and by how much each limited feeder's differs; where something
    is full rounded to the side on which less flows through it, and else up, as a little left over
    is cheaper than a little missing."""
    prices = market_round.prices
    highest = prices.lost_load_ucoin_per_kwh * PCOIN_PER_UCOIN
    feed_in = (prices.feed_in_ucoin_per_kwh + prices.local_fee_ucoin_per_kwh) / UCOIN_PER_COIN

    def whole(price: float, full_of_exports: bool) -> int:
        exact = price * PCOIN_PER_UCOIN * UCOIN_PER_COIN
        rounded = math.floor(exact + NOISE) if full_of_exports else math.ceil(exact - NOISE)
        return min(rounded, highest)

    bus_price = clearing.bus_price
    bus = whole(bus_price, bus_price < feed_in)
    own = [
        bus if price == bus_price else whole(price, price < bus_price)
        for price in map(float, clearing.feeder_price)
    ]
    return (bus, *(price - bus for price in own))


class AuctionStep(NamedTuple):
    """One step of an iterative auction as problem A takes it: I buyers, J sellers and the grid as
    one seller more, in kWh and coin."""

    payments: FloatArray
    """(I, J+1)"""
    unit_prices: FloatArray
    """(I, J+1), local fees inside."""
    minimum_kwh: FloatArray
    maximum_kwh: FloatArray
    supply_kwh: FloatArray
    """(J+1,)"""


def auction_step(
    market_round: Round,
    invited: Sequence[Order],
    payments: Sequence[Sequence[int]],
    asks: Sequence[Sequence[int]],
) -> AuctionStep:
    """What buyers' bids (I, J+1) in pcoin and sellers' (J, I) in pcoin/kWh ask of an allocation."""
    buys, sells = _parted(invited)
    pcoin_per_coin = PCOIN_PER_UCOIN * UCOIN_PER_COIN
    grid = _grid(market_round)
    minima_wh = [order.min_wh for order in buys]
    offers_wh = [*(order.max_wh for order in sells), market_round.import_limit_wh]
    bind = minima_bind(minima_wh, offers_wh)
    asked = np.array(asks, dtype=np.float64).reshape(len(sells), len(buys)).T / pcoin_per_coin
    retail = np.full((len(buys), 1), grid.retail)
    paid = np.array(payments, dtype=np.float64).reshape(len(buys), len(sells) + 1)
    return AuctionStep(
        payments=paid / pcoin_per_coin,
        unit_prices=np.hstack([asked + grid.local_fee, retail]),
        minimum_kwh=_kwh(minima_wh) if bind else np.zeros(len(buys)),
        maximum_kwh=_kwh([order.max_wh for order in buys]),
        supply_kwh=_kwh(offers_wh),
    )


def auction_rents(found: BidAllocation) -> Rents:
    """The rents of an allocation in pcoin/kWh; rounded up, so that nobody gives or takes more than
    it may."""
    pcoin_per_coin = PCOIN_PER_UCOIN * UCOIN_PER_COIN

    def whole(rents: FloatArray) -> list[int]:
        listed = (math.ceil(float(each) * pcoin_per_coin) for each in rents)
        return [max(min(rent, MAX_RENT_PCOIN_PER_KWH), -MAX_RENT_PCOIN_PER_KWH) for rent in listed]

    *sellers, grid = whole(found.seller_rent)
    return Rents(buyers=tuple(whole(found.buyer_rent)), sellers=tuple(sellers), grid=grid)


def allocated_uwh(
    market_round: Round,
    payments: Sequence[Sequence[int]],
    asks: Sequence[Sequence[int]],
    rents: Rents,
) -> list[tuple[int, ...]]:
    """What the ledger will derive from bids and rents, and agents have to answer, to the uWh: of
    each buyer with each seller and the grid, then of each seller with each buyer."""
    prices = market_round.prices
    fee = prices.local_fee_ucoin_per_kwh * PCOIN_PER_UCOIN
    grid = prices.retail_ucoin_per_kwh * PCOIN_PER_UCOIN + rents.grid
    rows = []
    for at, rent in enumerate(rents.buyers):
        own = [ask[at] + fee + each for ask, each in zip(asks, rents.sellers, strict=True)]
        paid = payments[at] if market_round.import_limit_wh else (*payments[at][:-1], 0)
        rows.append(tuple(energy_uwh(b, p + rent) for b, p in zip(paid, (*own, grid), strict=True)))
    return [*rows, *(tuple(row[at] for row in rows) for at in range(len(asks)))]


def _kwh(energies_wh: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array(energies_wh, dtype=np.float64) / WH_PER_KWH


def _coin(amounts_ucoin: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array(amounts_ucoin, dtype=np.float64) / UCOIN_PER_COIN
