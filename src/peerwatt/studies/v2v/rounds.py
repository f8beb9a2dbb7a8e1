"""Both rounds of one market: who loses, what is traded, and what the grid would better.

Knows the mechanism. All bid what energy is worth to them, and all sign what the paper has them
sign; the same market is then cleared with new prices held inside the grid's.
"""

from __future__ import annotations

import numpy as np

from peerwatt.mechanisms.v2v import Round, V2VClearing, clear_v2v
from peerwatt.mechanisms.v2v_quantities import CarsThatBuy, CarsThatSell
from peerwatt.studies.study import Row
from peerwatt.studies.v2v.parameters import V2V

ROUNDING = 1e-9
"""Of a price or a share, which is nothing."""


def rounds(v2v: V2V, draw: int) -> list[Row]:
    """A row for each adjustment."""
    return [
        _row(v2v, draw, adjustment) for adjustment in sorted({v2v.adjustment, *v2v.adjustments})
    ]


def _row(v2v: V2V, draw: int, adjustment: float) -> Row:
    buyers, sellers, band = v2v.cars(draw, adjustment)
    paper = clear_v2v(buyers, sellers, band, paper=True, seed=draw)
    nobody = np.zeros(len(buyers.bid), np.bool_), np.zeros(len(sellers.ask), np.bool_)
    # Each loser's new price is worse than its value: who may refuse it does.
    free = clear_v2v(buyers, sellers, band, paper=True, signed=nobody, seed=draw)
    held = clear_v2v(buyers, sellers, band, auction="mcafee-paper", seed=draw)
    second = paper.second
    buys, sells = second.bought_kwh > 0, second.sold_kwh > 0
    lost = buys & (paper.first.bought_kwh == 0), sells & (paper.first.sold_kwh == 0)
    lose = (
        buys & (buyers.bid < second.buyer_price - ROUNDING),
        sells & (sellers.ask > second.seller_price + ROUNDING),
    )
    spread = band.retail - band.feed_in
    held_kwh = float(held.second.bought_kwh.sum())
    return {
        "draw": draw,
        "adjustment": adjustment,
        "buyers": int(buys.sum()),
        "buyers_losing": int(lose[0].sum()),
        "sellers": int(sells.sum()),
        "sellers_losing": int(lose[1].sum()),
        "losers": int(lost[0].sum() + lost[1].sum()),
        "losers_losing": int((lost[0] & lose[0]).sum() + (lost[1] & lose[1]).sum()),
        "signs_beyond": signs_beyond(v2v, second),
        "signs_beyond_held": signs_beyond(v2v, held.second),
        "second_welfare": worth(buyers, sellers, second) if buys.any() else None,
        "crosses": crosses(second),
        "crosses_held": crosses(held.second),
        "surplus": paper.surplus,
        "surplus_held": held.surplus,
        "grid_betters": grid_betters(v2v, second),
        "grid_betters_held": grid_betters(v2v, held.second),
        "kept_held": held.second.surplus / held_kwh / spread if held_kwh > 0 else None,
        "first_kwh": float(paper.first.bought_kwh.sum()),
        "second_kwh": float(second.bought_kwh.sum()),
        "second_kwh_free": float(free.second.bought_kwh.sum()),
        "planned_kwh": float(paper.quantities.wanted_kwh.sum()),
        "have_kwh": float(np.sum(sellers.maximum_kwh)),
        "need_kwh": float(np.sum(buyers.maximum_kwh)),
        "all_allocated": all_allocated(paper, buyers, sellers),
    }


def worth(buyers: CarsThatBuy, sellers: CarsThatSell, of: Round) -> float:
    """Coin by which what is bought is worth more to buyers than to sellers."""
    return float(buyers.bid @ of.bought_kwh - sellers.ask @ of.sold_kwh)


def crosses(of: Round) -> bool | None:
    """Whether P_buy >= P_sell; None where a side of the round is empty."""
    if np.isnan(of.buyer_price) or np.isnan(of.seller_price):
        return None
    return bool(of.buyer_price >= of.seller_price - ROUNDING)


def grid_betters(v2v: V2V, of: Round) -> bool | None:
    """Whether a side would fare better with the grid; None where nothing is traded."""
    if not (of.bought_kwh > 0).any():
        return None
    return bool(of.buyer_price > v2v.retail + ROUNDING or of.seller_price < v2v.feed_in - ROUNDING)


def signs_beyond(v2v: V2V, of: Round) -> bool:
    """Whether anybody's new price is one that the grid betters."""
    return bool(
        (np.nan_to_num(of.bid, nan=v2v.retail) > v2v.retail + ROUNDING).any()
        or (np.nan_to_num(of.ask, nan=v2v.feed_in) < v2v.feed_in - ROUNDING).any()
    )


def all_allocated(found: V2VClearing, buyers: CarsThatBuy, sellers: CarsThatSell) -> bool:
    """Whether the cars sell all that they have and buy all that they want."""
    kwh = float(found.first.bought_kwh.sum() + found.second.bought_kwh.sum())
    most = max(float(np.sum(buyers.maximum_kwh)), float(np.sum(sellers.maximum_kwh)))
    return kwh >= most * (1 - ROUNDING)
