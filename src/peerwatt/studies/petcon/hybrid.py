"""The hybrid model of Fig. 6: the grid sells to the cars, or buys from them, at 70 % efficiency.

Knows the exact optimum with the grid inside. A price of the grid is per kWh as it is sent, by the
grid or by a car.
"""

from __future__ import annotations

import math

from peerwatt.mechanisms.one_price import GridTerms
from peerwatt.mechanisms.welfare import PairsClearing, clear_pairs
from peerwatt.studies.petcon.parameters import Petcon
from peerwatt.studies.petcon.setting import GRID_EFFICIENCY, TRANSMISSION_EFFICIENCY, Market
from peerwatt.studies.study import Row

NO_PRICE = 1e3
"""A price at which nobody buys, where the grid only takes."""


def hybrid(petcon: Petcon, number: int) -> list[Row]:
    """A draw's optimum without the grid, and with it at each price and in each direction."""
    market = petcon.market(number)
    alone = clear_pairs(market.buyers, market.sellers)
    rows = []
    for price in petcon.grid_prices:
        for grid, clearing in (
            ("none", alone),
            ("sells", grid_sells(market, price)),
            ("buys", grid_buys(market, price)),
        ):
            row: Row = {"draw": number, "grid": grid, "price": price}
            rows.append(row | outcome(market, clearing, price))
    return rows


def grid_sells(market: Market, price: float) -> PairsClearing:
    """Without a limit; of each kWh that it sends, 70 % arrive."""
    terms = GridTerms(retail=price, feed_in=0.0, import_limit_kwh=math.inf, export_limit_kwh=0.0)
    return clear_pairs(market.buyers, market.sellers, terms, grid_efficiency=GRID_EFFICIENCY)


def grid_buys(market: Market, price: float) -> PairsClearing:
    """Without a limit; a car is paid the price for each kWh that it sends."""
    terms = GridTerms(
        retail=NO_PRICE,
        # At the grid's meter 70 % of it arrive.
        feed_in=price / GRID_EFFICIENCY,
        import_limit_kwh=0.0,
        export_limit_kwh=math.inf,
    )
    efficiency = GRID_EFFICIENCY / TRANSMISSION_EFFICIENCY
    return clear_pairs(market.buyers, market.sellers, terms, grid_efficiency=efficiency)


def outcome(market: Market, clearing: PairsClearing, price: float) -> Row:
    """Fig. 6's four values, and the welfare that it leaves out."""
    by_cars = float(clearing.sold_kwh.sum()) / TRANSMISSION_EFFICIENCY
    to_grid = float(clearing.to_grid_kwh.sum()) / TRANSMISSION_EFFICIENCY
    bought = float(clearing.bought_kwh.sum())
    sent = by_cars + clearing.import_kwh
    paid = float(clearing.income.sum()) + price * clearing.import_kwh
    earned = float(clearing.income.sum()) + price * to_grid
    usable = float(clearing.sold_kwh.sum()) + GRID_EFFICIENCY * to_grid
    return {
        "buying_price": paid / bought,
        "sent_kwh_a_buyer": sent / len(clearing.bought_kwh),
        "selling_price": earned / (by_cars + to_grid),
        "usable_kwh_a_seller": usable / len(clearing.sold_kwh),
        "efficiency": (bought + GRID_EFFICIENCY * to_grid) / (sent + to_grid),
        "welfare": clearing.welfare,
    }
