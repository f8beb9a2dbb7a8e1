"""What bids give away of those who bid, and what hiding it by noise costs.

Knows `mechanisms.privacy` and the draws. Whoever listens hears bids, asks and allocations, no more.
"""

from __future__ import annotations

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.auction_rounds import AuctionTurn, auction_turns, run_auction
from peerwatt.mechanisms.iterative_auction import ASK_SHARE
from peerwatt.mechanisms.privacy import (
    RevealedBuyers,
    noise,
    reveal_buyers,
    reveal_sellers,
    reveal_values,
)
from peerwatt.studies.petcon.auctions import first_bids
from peerwatt.studies.petcon.parameters import Petcon
from peerwatt.studies.petcon.setting import Market
from peerwatt.studies.study import Row, Tables

KNOWN = 1e-6
"""A parameter that is found to within this share of itself is no secret."""
NOISE_SEED = 7


def secrets_told(petcon: Petcon, number: int) -> Tables:
    """Tables `secrets`, a row a draw, and `noise`, a row a draw and size of noise."""
    market = petcon.market(number)
    turns = _listen(petcon, market, 2)
    found = heard(market, turns)
    weight_error = np.abs(found.weight / market.buyers.weight - 1)
    minimum_error = np.abs(found.minimum_kwh / market.buyers.minimum_kwh - 1)
    told = turns[0]
    # The share of the first new asks is the same for all sellers, and so are those before.
    asks = (told.next_unit_prices - (1 - ASK_SHARE) * told.unit_prices) / ASK_SHARE
    sold = reveal_sellers(asks, told.allocation.kwh, efficiency=market.sellers.efficiency)
    row = {
        "draw": number,
        "weights_known": _share(weight_error < KNOWN),
        "minima_known": _share(minimum_error < KNOWN),
        "moved": _share(np.isfinite(found.weight)),
        "costs_known": _share(
            (np.abs(sold.quadratic_cost / market.sellers.quadratic_cost - 1) < KNOWN)
            & (np.abs(sold.linear_cost / market.sellers.linear_cost - 1) < KNOWN)
        ),
    }
    return {"secrets": [row], "noise": [_noisy(petcon, market, number, s) for s in petcon.noises]}


def _share(hits: FloatArray | np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> float:
    return float(np.mean(hits))


def _listen(petcon: Petcon, market: Market, count: int) -> list[AuctionTurn]:
    """The first turns of the auction in which each side damps by itself."""
    turns = auction_turns(market.buyers, market.sellers, first=first_bids(petcon, market))
    return [next(turns) for _ in range(count)]


def heard(market: Market, turns: list[AuctionTurn]) -> RevealedBuyers:
    """What these turns tell of the buyers, without any noise."""
    values, energies = [], []
    for turn in turns:
        told = reveal_values(turn.payments, turn.allocation.kwh, turn.next_payments)
        # Noise can turn a line round so far that it says nothing.
        values.append(np.where(told.value > 0, told.value, np.nan))
        energies.append(turn.allocation.kwh.sum(axis=1))
    return reveal_buyers(
        np.array(values),
        np.array(energies),
        efficiency=market.buyers.efficiency,
        scale_kwh=market.buyers.scale_kwh,
    )


def _noisy(petcon: Petcon, market: Market, number: int, size: float) -> Row:
    """Noise hides weights from who listens to all turns, and costs welfare."""
    seed = NOISE_SEED + number
    first = first_bids(petcon, market)
    outcome = run_auction(
        market.buyers,
        market.sellers,
        epsilon=petcon.epsilon,
        most_turns=petcon.noisy_turns,
        first=first,
        spoken=noise(size, seed),
    )
    turns = auction_turns(market.buyers, market.sellers, first=first, spoken=noise(size, seed))
    told = heard(market, [next(turns) for _ in range(outcome.turn.number)])
    known = told.weight[np.isfinite(told.weight)]
    true = market.buyers.weight[np.isfinite(told.weight)]
    return {
        "draw": number,
        "size": size,
        "weight_error": float(np.median(np.abs(known / true - 1))) if len(known) else None,
        "relative_gap": max(outcome.relative_gap, 0.0),
    }
