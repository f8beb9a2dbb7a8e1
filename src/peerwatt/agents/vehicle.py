"""The cars' rule: when to buy, how much a kWh is worth now, and what to ask when selling.

Knows its own car, and of the hub only what is published (`HubOutlook`). Knows no other car
and no order. Plans in floats; what it wants goes out in whole units.

A buyer with remaining need R plans to stay until its planned departure and bids

    theta   the price of the dearest slot that it would use if it filled R cheapest first,
    u       R over all that its plug can deliver until then,
    rho     how full the hub is for it (`HubOutlook.congestion`),
    v_lo    theta,
    v_hi    theta + (lost load - theta) max(u, rho)^exponent, at least 1.05 theta,

the marginal value falling from v_hi to v_lo over what the slot can take. So it waits for cheap
slots while it can, and pays more as it, or the hub, runs out of time. What later slots can no
longer deliver cannot wait: it is the order's minimum, which the market buys at up to lost load.
A car that stays beyond its plan takes each slot for its last: u = 1.

A seller asks its cost, rising with what it sells in the round, and never withholds: the
evening peak is too thin to repay energy kept back for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from peerwatt.agents.outlook import Floats, HubOutlook, Ints
from peerwatt.agents.ports import BuyIntent, SellIntent
from peerwatt.units import S_PER_H, UCOIN_PER_COIN, WH_PER_KWH, energy_floor_wh

URGENCY_EXPONENT = 4.0
"""How late urgency and congestion raise a bid: higher is later."""
LEAST_BAND = 1.05
"""Least ratio of the highest to the lowest value of an order."""
_LEAST_PRICE = 1 / UCOIN_PER_COIN


class Bids(NamedTuple):
    """The buyers' curves of one round, each (n,): kWh and USD per kWh."""

    minimum_kwh: Floats
    maximum_kwh: Floats
    price_high: Floats
    price_low: Floats


def plan_purchases(
    need_kwh: Floats,
    power_kwh: Floats,
    from_s: Ints,
    planned_departure_s: Ints,
    outlook: HubOutlook,
    *,
    exponent: float | Floats = URGENCY_EXPONENT,
) -> Bids:
    """The rule for n cars of one hub at once; each uses only its own row and the outlook.

    All arrays are (n,): `need_kwh` > 0 still to charge, `power_kwh` what the plug gives in a
    full slot, `from_s` when the car is, or will be, at its plug.
    """
    until_s = _counts_on_s(from_s, planned_departure_s, outlook)
    room = power_kwh[:, None] * _shares_at_plug(from_s, until_s, outlook)
    deliverable = room.sum(axis=1)
    target = np.minimum(need_kwh, deliverable)
    theta = _threshold(target, room, outlook.retail_usd_per_kwh)
    urgency = np.divide(target, deliverable, out=np.ones_like(target), where=need_kwh < deliverable)
    urgency[until_s != planned_departure_s] = 1.0
    leaves = np.searchsorted(outlook.slot_start_s, until_s, side="left") - 1
    pressure = np.maximum(urgency, outlook.congestion()[leaves]) ** exponent
    # Where even the planned slots cost more than going without, bid up to that and no more.
    lost_load = outlook.lost_load_usd_per_kwh
    low = np.maximum(np.where(theta < lost_load, theta, lost_load / LEAST_BAND), _LEAST_PRICE)
    high = np.maximum(low + (lost_load - low) * pressure, LEAST_BAND * low)
    maximum = np.minimum(need_kwh, room[:, 0])
    return Bids(
        minimum_kwh=np.clip(need_kwh - room[:, 1:].sum(axis=1), 0.0, maximum),
        maximum_kwh=maximum,
        price_high=np.minimum(high, lost_load),
        price_low=low,
    )


@dataclass(slots=True, kw_only=True)
class ChargingCar:
    """The agent of a car that wants energy."""

    need_wh: int
    """Still to charge."""
    charge_limit_w: int
    """What plug and car can take."""
    from_s: int
    """Unix seconds at which it is at its plug; it may order for the slot that it comes into."""
    planned_departure_s: int
    exponent: float = URGENCY_EXPONENT

    def orders(self, outlook: HubOutlook) -> Sequence[BuyIntent]:
        return purchase_orders([self], outlook)[0]

    def delivered(self, energy_wh: int) -> None:
        self.need_wh = max(self.need_wh - energy_wh, 0)


@dataclass(slots=True, kw_only=True)
class SellingCar:
    """The agent of a car with energy to spare."""

    for_sale_wh: int
    """At the plug, above the reserve for the way home."""
    discharge_limit_w: int
    from_s: int
    planned_departure_s: int
    ask_ucoin_per_kwh: int
    """What refilling elsewhere and wear cost, per kWh at this plug."""
    slope_ucoin_per_kwh2: int
    """How fast that rises with what it sells in one round: 2 l1 for a cost of l1 q^2."""

    def orders(self, outlook: HubOutlook) -> Sequence[SellIntent]:
        from_s, planned_s = np.array([self.from_s]), np.array([self.planned_departure_s])
        until_s = _counts_on_s(from_s, planned_s, outlook)
        share = float(_shares_at_plug(from_s, until_s, outlook)[0, 0])
        plugged_s = round(share * outlook.slot_s)
        max_wh = min(self.for_sale_wh, energy_floor_wh(self.discharge_limit_w, plugged_s))
        if max_wh == 0:
            return ()
        return (
            SellIntent(
                max_wh=max_wh,
                ask_ucoin_per_kwh=self.ask_ucoin_per_kwh,
                slope_ucoin_per_kwh2=self.slope_ucoin_per_kwh2,
            ),
        )

    def delivered(self, energy_wh: int) -> None:
        self.for_sale_wh = max(self.for_sale_wh + energy_wh, 0)


def purchase_orders(
    cars: Sequence[ChargingCar], outlook: HubOutlook
) -> list[tuple[BuyIntent, ...]]:
    """The orders of many cars, planned together for speed; the same as asking each alone."""
    slot_h = outlook.slot_s / S_PER_H
    bids = plan_purchases(
        np.array([car.need_wh for car in cars]) / WH_PER_KWH,
        np.array([car.charge_limit_w for car in cars]) * slot_h / WH_PER_KWH,
        np.array([car.from_s for car in cars], dtype=np.int64),
        np.array([car.planned_departure_s for car in cars], dtype=np.int64),
        outlook,
        exponent=np.array([car.exponent for car in cars]),
    )
    return [_whole_units(*row) for row in zip(*(column.tolist() for column in bids), strict=True)]


def _whole_units(minimum: float, maximum: float, high: float, low: float) -> tuple[BuyIntent, ...]:
    """At most one intent: energy rounded down, but for what rounding itself took off."""
    min_wh, max_wh = (int(kwh * WH_PER_KWH + 1e-6) for kwh in (minimum, maximum))
    if max_wh == 0:
        return ()
    price_high = max(round(high * UCOIN_PER_COIN), 2)
    return (
        BuyIntent(
            min_wh=min_wh,
            max_wh=max_wh,
            price_high_ucoin_per_kwh=price_high,
            price_low_ucoin_per_kwh=min(round(low * UCOIN_PER_COIN), price_high - 1),
        ),
    )


def _counts_on_s(from_s: Ints, planned_departure_s: Ints, outlook: HubOutlook) -> Ints:
    """(n,) until when a car counts on its plug: its plan, or beyond that the slot at hand."""
    first_s = int(outlook.slot_start_s[0])
    beyond_plan = planned_departure_s <= np.maximum(from_s, first_s)
    return np.where(beyond_plan, first_s + outlook.slot_s, planned_departure_s)


def _shares_at_plug(from_s: Ints, until_s: Ints, outlook: HubOutlook) -> Floats:
    """(n, K) the share of each slot between two times."""
    begin = np.maximum(from_s[:, None], outlook.slot_start_s)
    end = np.minimum(until_s[:, None], outlook.slot_start_s + outlook.slot_s)
    return np.asarray(np.maximum(end - begin, 0) / outlook.slot_s, dtype=np.float64)


def _threshold(target_kwh: Floats, room: Floats, price: Floats) -> Floats:
    """(n,) price of the dearest slot used when each target is filled cheapest slots first."""
    order = np.argsort(price, kind="stable")
    filled = np.cumsum(room[:, order], axis=1)
    slots_before = (filled < target_kwh[:, None] - 1e-9).sum(axis=1)
    return np.asarray(price[order][np.minimum(slots_before, len(price) - 1)], dtype=np.float64)
