"""What the study can be told.

Knows names, units and bounds.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from peerwatt.studies.petcon import setting
from peerwatt.studies.petcon.setting import Market, draw
from peerwatt.studies.study import Parameters

Experiment = Literal["auction", "evolution", "rival", "hybrid", "secrets", "lots"]
Price = Annotated[float, Field(gt=0, le=10)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
SEEDS_APART = 1_000_000
"""Draws of one seed are not those of the next."""


class Petcon(Parameters):
    """PETCON's section VI."""

    experiment: Experiment = "auction"
    """Which part: the auction of many draws, its turns one by one, the rival it is compared with,
    the grid beside it, what bids give away, or where the lots lie."""
    draws: Count = 1000
    """Markets of the auction and of its rival."""
    few_draws: Count = 100
    """Markets of the other parts."""
    tau: Annotated[float, Field(gt=0, le=1e6)] = setting.TAU
    """What charging is worth: the paper gives no value, its average payment does."""
    buyers: Annotated[int, Field(ge=1, le=500)] = setting.BUYERS
    """Cars that charge."""
    sellers: Annotated[int, Field(ge=1, le=500)] = setting.SELLERS
    """Cars that discharge."""
    theta: Annotated[float, Field(gt=0, le=1)] = 0.4
    """Share of new bids in the damped auction; a fit to the paper's count of turns."""
    epsilon: Annotated[float, Field(gt=0, le=0.1)] = 1e-3
    """Relative change of bids and asks, by the Frobenius norm, at which turns end."""
    most_turns: Annotated[int, Field(ge=2, le=10_000)] = 150
    """Turns after which an auction is given up."""
    traced_turns: Annotated[int, Field(ge=2, le=1_000)] = 40
    """Turns that are looked at one by one."""
    first_payment: Price = 2.50
    """What every buyer's first bids come to, in equal parts."""
    rival_steps: Annotated[tuple[Price, ...], Field(min_length=1, max_length=9)] = (0.2, 0.5, 1.5)
    """How strongly the rival's one price follows demand over supply."""
    grid_prices: Annotated[tuple[Price, ...], Field(min_length=2, max_length=50)] = (
        *(0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.2, 0.25, 0.3),
    )
    """The grid's price, selling or buying, $/kWh as it is sent."""
    noises: Annotated[tuple[Price, ...], Field(min_length=1, max_length=9)] = (
        0.003,
        0.01,
        0.03,
        0.1,
    )
    """Standard deviations of the noise on the logarithm of bids."""
    noisy_turns: Annotated[int, Field(ge=2, le=1_000)] = 15
    """Turns of an auction with noise, whose bids never stand still."""
    lots: Annotated[int, Field(ge=1, le=10_000)] = 58
    """Parking lots in the paper's box."""
    hubs: Annotated[int, Field(ge=1, le=100)] = 6
    """Aggregators among them: the paper does not say how many."""

    def market(self, number: int) -> Market:
        """The market of this draw."""
        seed = self.seed * SEEDS_APART + number
        return draw(seed, buyers=self.buyers, sellers=self.sellers, tau=self.tau)


def draws_of(petcon: Petcon) -> int:
    """How many draws a part takes."""
    if petcon.experiment == "lots":
        return 1
    return petcon.draws if petcon.experiment in ("auction", "rival") else petcon.few_draws
