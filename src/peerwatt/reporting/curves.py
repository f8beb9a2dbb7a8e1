"""Demand and supply of a round's book over the price, as points to draw.

Knows orders as table columns and the grid's two prices. Knows no clearing: it draws what the
ledger cleared and decides nothing. Floats hold whole numbers here, exactly so below 2^53.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from peerwatt.units import WH_PER_KWH

if TYPE_CHECKING:
    import polars

Floats = npt.NDArray[np.float64]
STEPS = 10
EVEN_PRICES = 96


class Curves(NamedTuple):
    """Energy in whole Wh demanded and supplied at ascending prices, the grid's included."""

    price_ucoin_per_kwh: list[int]
    demand_wh: list[int]
    supply_wh: list[int]


def round_curves(market_round: dict[str, Any], orders: polars.DataFrame) -> Curves:
    """The curves of one round: its row of table `rounds`, and its rows of table `orders`.

    Prices are spread evenly from 0 to just above lost load, with both sides of every jump.
    """
    retail, lost_load, grid_buys_at = _grid_prices(market_round)
    fee = market_round["fee_ucoin_per_kwh"]
    sells = orders.filter(orders["side"] == "sell")
    asks = sells.filter(sells["slope_ucoin_per_kwh2"] == 0)["ask_ucoin_per_kwh"] + fee
    top = int(lost_load * 1.04) + 1
    jumps_up = [retail, *asks.unique().to_list()]
    jumps_down = [lost_load, grid_buys_at]
    prices = {
        *np.linspace(0, top, EVEN_PRICES, dtype=np.int64).tolist(),
        *(at - side for at in jumps_up for side in (0, 1)),
        *(at + side for at in jumps_down for side in (0, 1)),
    }
    price = np.array(sorted(each for each in prices if 0 <= each <= top), dtype=np.float64)
    demand = demand_wh(market_round, orders.filter(orders["side"] == "buy"), price)
    buyers = orders.height - sells.height
    supply = supply_wh(market_round, sells, price, buyers)
    return _without_straight_points(price, demand, supply)


def demand_wh(market_round: dict[str, Any], buys: polars.DataFrame, price: Floats) -> Floats:
    """(P,) what all buyers want at each price, and the grid at feed-in up to its limit.

    A buyer's minimum holds up to lost load. Of the rest X, with marginal values from high to
    low, it wants X low (high - p) / ((high - low) p): all below low, nothing above high.
    """
    _, lost_load, grid_buys_at = _grid_prices(market_round)
    least, most = _column(buys, "min_wh"), _column(buys, "max_wh")
    high, low = _column(buys, "price_high_ucoin_per_kwh"), _column(buys, "price_low_ucoin_per_kwh")
    p = np.maximum(price, 1)
    above, width = low * np.maximum(high - p, 0), np.maximum(high - low, 1) * p
    if _stepped(market_round):
        elastic = (most - least) * np.minimum(STEPS * above // width, STEPS) // STEPS
    else:
        elastic = np.minimum((most - least) * above // width, most - least)
    wanted = np.where(price <= low, most, least + np.where(price >= high, 0, elastic))
    exported = np.where(price <= grid_buys_at, market_round["export_limit_wh"], 0)
    total: Floats = np.where(price <= lost_load, wanted.sum(axis=0), 0) + exported
    return total


def supply_wh(
    market_round: dict[str, Any], sells: polars.DataFrame, price: Floats, buyers: int = 1
) -> Floats:
    """(P,) what all sellers give at each price less the local fee, and the grid at retail.

    A seller gives all whose marginal cost ask + slope x energy is at most the price; in pairs it
    gives so much to each of the `buyers`, all together up to its order.
    """
    retail, _, _ = _grid_prices(market_round)
    most, slope = _column(sells, "max_wh"), _column(sells, "slope_ucoin_per_kwh2")
    margin = price - market_round["fee_ucoin_per_kwh"] - _column(sells, "ask_ucoin_per_kwh")
    rise = margin * WH_PER_KWH
    if market_round["mechanism"] == "welfare-pairs":
        rise = rise * buyers
    if _stepped(market_round):
        part = most * (STEPS * rise // np.maximum(slope * most, 1)) // STEPS
    else:
        part = rise // np.maximum(slope, 1)
    given = np.where(margin < 0, 0, np.where(rise >= slope * most, most, part))
    imported = np.where(price >= retail, market_round["import_limit_wh"], 0)
    total: Floats = given.sum(axis=0) + imported
    return total


def _grid_prices(market_round: dict[str, Any]) -> tuple[int, int, int]:
    """Retail, lost load, and the highest price at which the grid still takes a surplus."""
    return (
        market_round["retail_ucoin_per_kwh"],
        market_round["lost_load_ucoin_per_kwh"],
        market_round["feed_in_ucoin_per_kwh"] + market_round["fee_ucoin_per_kwh"],
    )


def _stepped(market_round: dict[str, Any]) -> bool:
    """Mechanism `uniform` reads a curve as ten equal steps."""
    return bool(market_round["mechanism"] == "uniform")


def _column(orders: polars.DataFrame, name: str) -> Floats:
    """(N, 1) a column against which prices broadcast."""
    return orders[name].fill_null(0).to_numpy().astype(np.float64)[:, None]


def _without_straight_points(price: Floats, demand: Floats, supply: Floats) -> Curves:
    """Drops points at which neither curve moves, as the line through them is the same."""
    both = np.stack([demand, supply])
    same = np.all(np.diff(both, axis=1) == 0, axis=0)
    kept = np.ones(len(price), dtype=bool)
    kept[1:-1] = ~(same[:-1] & same[1:])
    columns = (each[kept].astype(np.int64).tolist() for each in (price, demand, supply))
    return Curves(*columns)
