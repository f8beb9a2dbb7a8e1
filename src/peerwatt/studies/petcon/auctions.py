"""Algorithm 1 on the paper's draws: as printed, damped, adaptive; turn by turn; beside a rival.

Knows the mechanisms and the draws. Knows no claim. Money in dollars, energy in kWh.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.auction_rounds import AuctionOutcome, Ending, auction_turns, run_auction
from peerwatt.mechanisms.iterative_auction import marginal_values
from peerwatt.mechanisms.welfare import PairsClearing, clear_pairs
from peerwatt.studies.petcon.parameters import Petcon
from peerwatt.studies.petcon.setting import (
    CHARGING_EFFICIENCY,
    TRANSMISSION_EFFICIENCY,
    Market,
)
from peerwatt.studies.petcon.settlement import Settlement, as_printed, at_prices
from peerwatt.studies.study import Row

SHADED = 0.9
"""What a buyer that misstates says of what charging is worth to it."""


def first_bids(petcon: Petcon, market: Market) -> tuple[FloatArray, FloatArray]:
    """Everybody says the same: equal parts of a payment, and the cost of the mean supply."""
    shape = petcon.buyers, petcon.sellers
    sellers = market.sellers
    sent = float(sellers.maximum_kwh.mean()) / petcon.buyers
    ask = (2 * sellers.quadratic_cost * sent + sellers.linear_cost) / sellers.efficiency
    return np.full(shape, petcon.first_payment / petcon.sellers), np.broadcast_to(ask, shape)


def auction(petcon: Petcon, number: int) -> Row:
    """One draw's auction, in three ways, and who is left with what."""
    market = petcon.market(number)
    best = clear_pairs(market.buyers, market.sellers)
    damped = _run(petcon, market, petcon.theta)
    ways = {
        "printed": _run(petcon, market, 1.0),
        "damped": damped,
        "adaptive": _run(petcon, market, None),
    }
    row: Row = {"draw": number, "optimum": best.welfare}
    for name, outcome in ways.items():
        row |= {
            f"{name}_turns": outcome.turn.number,
            f"{name}_converged": outcome.ending is Ending.CONVERGED,
            f"{name}_period": outcome.period,
            f"{name}_relative_gap": max(outcome.relative_gap, 0.0),
        }
    row |= _settled("printed_rules", as_printed(market, damped))
    row |= _settled("at_prices", at_prices(market, damped))
    sellers = market.sellers
    idle = petcon.buyers * sellers.linear_cost**2 / (4 * np.asarray(sellers.quadratic_cost))
    row["reward_for_nothing"] = float((market.minimum_reward + idle).mean())
    row["gain_by_shading"] = gain_by_shading(market, best)
    return row


def _run(petcon: Petcon, market: Market, theta: float | None) -> AuctionOutcome:
    return run_auction(
        market.buyers,
        market.sellers,
        theta=theta,
        epsilon=petcon.epsilon,
        most_turns=petcon.most_turns,
        first=first_bids(petcon, market),
    )


def _settled(rules: str, found: Settlement) -> Row:
    return {
        f"{rules}_payment": float(found.payment.mean()),
        f"{rules}_reward": float(found.reward.mean()),
        f"{rules}_budget": found.budget,
        f"{rules}_buyers_losing": float((found.buyer_surplus < 0).mean()),
        f"{rules}_sellers_losing": float((found.seller_surplus < 0).mean()),
        f"{rules}_buyer_surplus": float(found.buyer_surplus.mean()),
        f"{rules}_seller_surplus": float(found.seller_surplus.mean()),
    }


def gain_by_shading(market: Market, honest: PairsClearing) -> float:
    """What the first buyer gains, in dollars, where it states `SHADED` of what charging is worth.

    It pays what it bids at the optimum of what is stated: marginal value times energy, eq. (15).
    """
    stated = market.buyers.weight.copy()
    stated[0] *= SHADED
    buyers = replace(market.buyers, weight=stated)
    shaded = clear_pairs(buyers, market.sellers)
    return _surplus_of_first(market, shaded, buyers.weight[0]) - _surplus_of_first(
        market, honest, market.buyers.weight[0]
    )


def _surplus_of_first(market: Market, clearing: PairsClearing, stated_weight: float) -> float:
    buyers = market.buyers
    energy = clearing.bought_kwh[:1]
    one = replace(
        buyers,
        weight=np.array([stated_weight]),
        minimum_kwh=buyers.minimum_kwh[:1],
        maximum_kwh=buyers.maximum_kwh[:1],
        efficiency=CHARGING_EFFICIENCY,
        scale_kwh=1.0,
    )
    pays = float(marginal_values(one, energy[:, None])[0] * energy[0])
    beyond = max(CHARGING_EFFICIENCY * float(energy[0]) - float(buyers.minimum_kwh[0]), 0.0)
    return float(buyers.weight[0]) * float(np.log1p(beyond)) - pays


def evolution(petcon: Petcon, number: int) -> list[Row]:
    """Turn after turn: welfare, one car of each side, average payment and reward."""
    market = petcon.market(number)
    best = clear_pairs(market.buyers, market.sellers).welfare
    sellers = market.sellers
    rows = []
    for name, theta in (("printed", 1.0), ("damped", petcon.theta), ("adaptive", None)):
        turns = auction_turns(market.buyers, sellers, theta=theta, first=first_bids(petcon, market))
        for turn in islice(turns, petcon.traced_turns):
            kwh = turn.allocation.kwh
            asks = turn.next_unit_prices * sellers.efficiency
            reward = (asks**2 / (4 * np.asarray(sellers.quadratic_cost))).sum(axis=0)
            welfare = welfare_of(market, kwh)
            rows.append(
                {
                    "draw": number,
                    "way": name,
                    "turn": turn.number,
                    "welfare": welfare,
                    "short_of_optimum": (best - welfare) / best,
                    "cv1_kwh": float(kwh[0].sum()) * CHARGING_EFFICIENCY,
                    "dv1_kwh": float(kwh[:, 0].sum()) / TRANSMISSION_EFFICIENCY,
                    "payment": float(turn.next_payments.sum(axis=1).mean()),
                    "reward": float((reward + market.minimum_reward).mean()),
                }
            )
    return rows


def welfare_of(market: Market, kwh: FloatArray) -> float:
    """Eq. (3) of energy (I, J) at the bus."""
    buyers, sellers = market.buyers, market.sellers
    beyond = buyers.efficiency * kwh.sum(axis=1) - buyers.minimum_kwh
    sent = kwh / sellers.efficiency
    cost = sellers.quadratic_cost * sent**2 + sellers.linear_cost * sent
    return float(buyers.weight @ np.log1p(np.maximum(beyond, 0.0)) - cost.sum())


def rival(petcon: Petcon, number: int) -> list[Row]:
    """One price for all that a broker moves by demand over supply, until it stands still.

    The paper compares itself with a peer-to-peer algorithm that it names and does not describe;
    an auction by one adjusted price is the plainest that fits its name.
    """
    market = petcon.market(number)
    rows = []
    for step in petcon.rival_steps:
        price, turns, change = 0.05, 0, 1.0
        while change >= petcon.epsilon and turns < petcon.most_turns:
            ratio = demand_kwh(market, price) / supply_kwh(market, price)
            after = price * ratio**step
            change = abs(after - price) / after
            price, turns = after, turns + 1
        rows.append({"draw": number, "step": step, "turns": turns, "price": price})
    return rows


def demand_kwh(market: Market, price: float) -> float:
    """What all buyers want at this price per kWh at the bus."""
    buyers = market.buyers
    share = np.asarray(buyers.efficiency)
    wanted = buyers.weight / price - (np.asarray(buyers.scale_kwh) - buyers.minimum_kwh) / share
    return float(np.clip(wanted, buyers.minimum_kwh / share, buyers.maximum_kwh / share).sum())


def supply_kwh(market: Market, price: float) -> float:
    """What all sellers give at it, to each buyer until the next kWh costs as much; at the bus."""
    sellers = market.sellers
    share = np.asarray(sellers.efficiency)
    sent = (share * price - sellers.linear_cost) / (2 * np.asarray(sellers.quadratic_cost))
    each = np.maximum(sent, 1e-9) * len(market.buyers.weight)
    return float((share * np.minimum(each, sellers.maximum_kwh)).sum())
