"""Where the ledger's whole numbers become arrays, and prices become whole numbers again.

Knows records and numpy. The only file in which both meet: energy goes from Wh to kWh, money from
ucoin to coin, and prices come back in pcoin per kWh.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from peerwatt.mechanisms.one_price import GridTerms
from peerwatt.mechanisms.welfare import PairsClearing
from peerwatt.mechanisms.welfare_book import PairBuyers, PairSellers
from peerwatt.records.market import BuyOrder, Order, Round, SellOrder
from peerwatt.units import PCOIN_PER_UCOIN, UCOIN_PER_COIN, WH_PER_KWH

# A curve that does not fall has no logarithm; this one falls by a millionth.
LEAST_FALL = 1e-6


class PairsBook(NamedTuple):
    """A frozen book as the mechanism takes it, in kWh and coin; orders ascend by id."""

    buyers: PairBuyers
    sellers: PairSellers
    grid: GridTerms
    lost_load: float


def pairs_book(market_round: Round, orders: Sequence[Order]) -> PairsBook:
    """The book of a round; the order's slope is the pair's, 2 l1 of PETCON."""
    prices = market_round.prices
    buys = [order for order in orders if isinstance(order, BuyOrder)]
    sells = [order for order in orders if isinstance(order, SellOrder)]
    return PairsBook(
        buyers=_buyers(buys),
        sellers=PairSellers(
            maximum_kwh=_kwh([order.max_wh for order in sells]),
            quadratic_cost=_coin([order.slope_ucoin_per_kwh2 for order in sells]) / 2,
            linear_cost=_coin([order.ask_ucoin_per_kwh for order in sells]),
        ),
        grid=GridTerms(
            retail=prices.retail_ucoin_per_kwh / UCOIN_PER_COIN,
            feed_in=prices.feed_in_ucoin_per_kwh / UCOIN_PER_COIN,
            import_limit_kwh=market_round.import_limit_wh / WH_PER_KWH,
            export_limit_kwh=market_round.export_limit_wh / WH_PER_KWH,
            local_fee=prices.local_fee_ucoin_per_kwh / UCOIN_PER_COIN,
        ),
        lost_load=prices.lost_load_ucoin_per_kwh / UCOIN_PER_COIN,
    )


def _buyers(buys: Sequence[BuyOrder]) -> PairBuyers:
    """w ln(1 + c/kappa) whose marginal value falls from the order's high to its low price."""
    least = _kwh([order.min_wh for order in buys])
    # A curve that ends at nothing is worth nothing beyond the minimum at any price.
    most = _kwh([order.max_wh if order.price_low_ucoin_per_kwh else order.min_wh for order in buys])
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


def _kwh(energies_wh: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array(energies_wh, dtype=np.float64) / WH_PER_KWH


def _coin(amounts_ucoin: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array(amounts_ucoin, dtype=np.float64) / UCOIN_PER_COIN
