"""Whether somebody gains by a lie, in the first round alone and with the second.

Knows the search for lies and the mechanisms that it is let loose on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peerwatt.market_lab.lies import LEAST_GAIN, PRICE, QUANTITY, lies_in
from peerwatt.market_lab.subjects import Clear, Market, Outcome, random_market, subject_of
from peerwatt.mechanisms.auction_result import money_at
from peerwatt.mechanisms.v2v import V2VClearing, clear_v2v
from peerwatt.mechanisms.v2v_quantities import CarsThatBuy, CarsThatSell
from peerwatt.studies.study import Row
from peerwatt.studies.v2v.parameters import V2V

WAYS = {
    "first": (PRICE, "first round alone, price"),
    "first_quantity": (QUANTITY, "first round alone, quantity"),
    "two": (PRICE, "two rounds, all sign, price"),
    "two_free": (PRICE, "two rounds, losers may refuse, price"),
}
"""What is lied about, and in which game."""


@dataclass(frozen=True)
class _Game:
    """The paper's two rounds among cars of known truth."""

    truth: Market
    adjustment: float

    def first(self, said: Market, seed: int) -> Outcome:
        """Nobody signs, and energy that is left goes to the grid."""
        return _outcome(self._clear(said, seed), rounds=1)

    def all_sign(self, said: Market, seed: int) -> Outcome:
        return _outcome(self._clear(said, seed), rounds=2)

    def who_gains_signs(self, said: Market, seed: int) -> Outcome:
        """Each signs its new price if that is no worse than the truth."""
        asked = self._clear(said, seed).second
        signed = (
            np.nan_to_num(asked.bid, nan=np.inf) <= self.truth.value,
            np.nan_to_num(asked.ask, nan=-np.inf) >= self.truth.cost,
        )
        return _outcome(self._clear(said, seed, signed), rounds=2)

    def _clear(
        self,
        said: Market,
        seed: int,
        signed: tuple[np.ndarray[tuple[int, ...], np.dtype[np.bool_]], ...] | None = None,
    ) -> V2VClearing:
        buyers = CarsThatBuy(
            bid=said.value,
            weight=3.0,
            minimum_kwh=0.2 * said.need_kwh,
            maximum_kwh=said.need_kwh,
            adjustment=self.adjustment,
        )
        sellers = CarsThatSell(
            ask=said.cost,
            maximum_kwh=said.have_kwh,
            quadratic_cost=0.02,
            linear_cost=0.05,
            adjustment=self.adjustment,
        )
        both = None if signed is None else (signed[0], signed[1])
        return clear_v2v(buyers, sellers, said.band, paper=True, signed=both, seed=seed)


def _outcome(found: V2VClearing, *, rounds: int) -> Outcome:
    each = (found.first, found.second)[:rounds]
    return Outcome(
        np.sum([of.bought_kwh for of in each], axis=0),
        np.sum([money_at(of.buyer_price, of.bought_kwh) for of in each], axis=0),
        np.sum([of.sold_kwh for of in each], axis=0),
        np.sum([money_at(of.seller_price, of.sold_kwh) for of in each], axis=0),
    )


def lies(v2v: V2V, draw: int) -> Row:
    """The best lie of each way: whether any pays, and how much of the best welfare it takes."""
    seed = v2v.number(draw)
    truth = random_market(seed)
    game = _Game(truth, v2v.adjustment)
    games: dict[str, Clear] = {
        "first": game.first,
        "first_quantity": game.first,
        "two": game.all_sign,
        "two_free": game.who_gains_signs,
    }
    best = _best_welfare(truth)
    row: Row = {"draw": draw, "best_welfare": best}
    for way, clear in games.items():
        tried = lies_in(clear, truth, seed, kinds=[WAYS[way][0]], most_a_side=v2v.liars_a_side)
        gain = max(each.gain for each in tried)
        row[f"{way}_pays"] = bool(gain > LEAST_GAIN * max(best, 1.0))
        row[f"{way}_gain"] = max(gain, 0.0)
    return row


def _best_welfare(truth: Market) -> float:
    found = subject_of("uniform").clear(truth, 0)
    return float(truth.value @ found.bought_kwh - truth.cost @ found.sold_kwh)
