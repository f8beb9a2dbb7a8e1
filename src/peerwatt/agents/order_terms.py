"""What an agent's wish becomes as an order: energy and prices, as the round's mechanism asks.

Knows intents and records. Where an order says one price, it is what the energy is worth to a buyer
or costs a seller on average: in an auction that is truthful nothing else is better.
"""

from __future__ import annotations

from math import ceil, floor, log

from peerwatt.agents.ports import BuyIntent, Intent, SellIntent
from peerwatt.records.market import FirstRound, Mechanism, Prices
from peerwatt.units import WH_PER_KWH

ADJUSTMENT = 1.5
"""n of the V2V paper's eq. (4): how far a loser moves beyond the first round's price."""


def order_fields(intent: Intent, mechanism: Mechanism, prices: Prices) -> dict[str, int] | None:
    """The fields of `PlaceBuyOrder` or `PlaceSellOrder` that say energy and prices, in Wh and
    ucoin/kWh. None where the grid is the better counterpart: of a seller whose cost is above
    retail, and of a buyer without need to whom energy is worth less than feed-in."""
    limit = None
    if mechanism.among_cars:
        limit = _limit(intent, prices)
        if limit is None:
            return None
    fields = _buyer_fields(intent) if isinstance(intent, BuyIntent) else _seller_fields(intent)
    if mechanism == Mechanism.V2V and limit is not None:
        return fields | {"limit_ucoin_per_kwh": limit}
    if not mechanism.states_limits:
        return fields
    if isinstance(intent, BuyIntent):
        stated = fields["price_high_ucoin_per_kwh"] if limit is None else limit
        return fields | {"price_high_ucoin_per_kwh": stated, "price_low_ucoin_per_kwh": stated}
    stated = fields["ask_ucoin_per_kwh"] if limit is None else limit
    return fields | {"ask_ucoin_per_kwh": stated, "slope_ucoin_per_kwh2": 0}


def _buyer_fields(intent: BuyIntent) -> dict[str, int]:
    return {
        "min_wh": intent.min_wh,
        "max_wh": intent.max_wh,
        "price_high_ucoin_per_kwh": intent.price_high_ucoin_per_kwh,
        "price_low_ucoin_per_kwh": intent.price_low_ucoin_per_kwh,
    }


def _seller_fields(intent: SellIntent) -> dict[str, int]:
    return {
        "max_wh": intent.max_wh,
        "ask_ucoin_per_kwh": intent.ask_ucoin_per_kwh,
        "slope_ucoin_per_kwh2": intent.slope_ucoin_per_kwh2,
    }


def _limit(intent: Intent, prices: Prices) -> int | None:
    """The one price of an intent within the grid's two, if it has business there."""
    feed_in, retail = prices.feed_in_ucoin_per_kwh, prices.retail_ucoin_per_kwh
    if isinstance(intent, SellIntent):
        rise = intent.slope_ucoin_per_kwh2 * intent.max_wh / WH_PER_KWH
        cost = ceil(intent.ask_ucoin_per_kwh + rise / 2)
        return max(cost, feed_in) if cost <= retail else None
    worth = floor(_mean_worth(intent, retail))
    if worth < feed_in:
        return feed_in if intent.min_wh else None
    return min(worth, retail)


def _mean_worth(intent: BuyIntent, retail: int) -> float:
    """What a kWh is worth on average: what is needed, what else it would cost; of the rest the
    mean of w / (kappa + c), which falls from `high` to `low`."""
    high, low = intent.price_high_ucoin_per_kwh, intent.price_low_ucoin_per_kwh
    falls = high > low > 0
    rest = high * low / (high - low) * log(high / low) if falls else (high + low) / 2
    return (intent.min_wh * retail + (intent.max_wh - intent.min_wh) * rest) / max(intent.max_wh, 1)


def revised_limit(intent: Intent, limit: int, first: FirstRound, prices: Prices) -> int | None:
    """The limit that an agent which lost in the first round signs for the second, eq. (4) of the
    V2V paper held inside the grid's prices; None where it lost nothing, or would lose by it: a
    buyer that needs nothing, a seller to whom even the first kWh costs more."""
    if isinstance(intent, BuyIntent):
        point = first.buyer_price_ucoin_per_kwh
        if limit >= point or not intent.min_wh:
            return None
        revised = min(limit + ceil(ADJUSTMENT * (point - limit)), prices.retail_ucoin_per_kwh)
        return revised if revised > limit else None
    point = first.seller_price_ucoin_per_kwh
    least = max(prices.feed_in_ucoin_per_kwh, intent.ask_ucoin_per_kwh)
    if limit <= point or point < least:
        return None
    return max(limit - ceil(ADJUSTMENT * (limit - point)), least)
