"""What the study can be told, and the markets that it draws.

Knows names, units and bounds. Knows no mechanism's result.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from peerwatt.market_lab.subjects import Market
from peerwatt.mechanisms.auction_book import Band
from peerwatt.mechanisms.v2v_quantities import CarsThatBuy, CarsThatSell
from peerwatt.studies.study import Parameters

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Factor = Annotated[float, Field(gt=1, le=100)]
Price = Annotated[float, Field(ge=0, le=10)]
SEEDS_APART = 1_000_000
"""Draws of one seed are not those of the next."""


class V2V(Parameters):
    """The scheme's section 4; the paper gives no number, so that all of these are ours."""

    experiment: Literal["rounds", "lies", "sizes"] = "rounds"
    """Which part: both rounds of many markets, lies in small ones, or welfare by market size."""
    draws: Count = 1000
    """Markets whose rounds are looked at."""
    lie_draws: Count = 80
    """Markets in which lies are searched."""
    size_draws: Count = 500
    """Markets of each size."""
    feed_in: Price = 0.05
    """The grid pays, coin per kWh."""
    retail: Price = 0.35
    """The grid takes."""
    most_cars: Annotated[int, Field(ge=2, le=200)] = 12
    """A side; there are two at least."""
    adjustment: Factor = 1.5
    """n, how far losers move, in the claims."""
    adjustments: Annotated[tuple[Factor, ...], Field(min_length=1, max_length=9)] = (1.1, 2.0, 3.0)
    """Others, beside it."""
    liars_a_side: Annotated[int, Field(ge=1, le=6)] = 6
    """Cars of each side that try to lie; the markets have six at most."""
    sizes: Annotated[tuple[Count, ...], Field(min_length=1, max_length=9)] = (10, 50, 200)
    """Orders a side."""

    def number(self, draw: int) -> int:
        """From which a draw's chance follows."""
        return self.seed * SEEDS_APART + draw

    def cars(self, draw: int, adjustment: float) -> tuple[CarsThatBuy, CarsThatSell, Band]:
        """Cars that say what energy is worth to them; the same ones whatever the adjustment."""
        rng = np.random.default_rng([self.number(draw), 1])
        buyers, sellers = (int(count) for count in rng.integers(2, self.most_cars + 1, 2))
        least, most = rng.uniform(1, 5, buyers), rng.uniform(6, 15, buyers)
        return (
            CarsThatBuy(
                bid=rng.uniform(self.feed_in, self.retail, buyers),
                weight=rng.uniform(1, 5, buyers),
                minimum_kwh=least,
                maximum_kwh=most,
                adjustment=adjustment,
            ),
            CarsThatSell(
                ask=rng.uniform(self.feed_in, self.retail, sellers),
                maximum_kwh=rng.uniform(5, 20, sellers),
                quadratic_cost=rng.uniform(0.005, 0.02, sellers),
                linear_cost=rng.uniform(0.01, 0.1, sellers),
                adjustment=adjustment,
            ),
            Band(feed_in=self.feed_in, retail=self.retail),
        )

    def orders(self, draw: int, size: int) -> Market:
        """As many orders a side, of 1 to 10 kWh."""
        rng = np.random.default_rng([self.number(draw), 2, size])
        value, cost = rng.uniform(self.feed_in, self.retail, (2, size))
        need_kwh, have_kwh = rng.uniform(1, 10, (2, size))
        band = Band(feed_in=self.feed_in, retail=self.retail)
        return Market(value, need_kwh, cost, have_kwh, band)


def draws_of(v2v: V2V) -> int:
    """How many the part takes."""
    return {"rounds": v2v.draws, "lies": v2v.lie_draws, "sizes": v2v.size_draws}[v2v.experiment]
