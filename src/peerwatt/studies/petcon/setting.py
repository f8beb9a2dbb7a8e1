"""The market that PETCON's section VI draws at random: 35 cars charge, 45 discharge.

Knows the book of the pairs auction. Knows neither how a market is cleared nor what is claimed.

Kang et al., IEEE Trans. Ind. Informatics 13(6), 2017, doi:10.1109/TII.2017.2709784. The paper gives
neither its cars' states of charge nor tau, which weighs what charging is worth, w = tau over the
state of charge. Of both, its figures tell the mean of w alone: by the average payment of 2.50
dollars. States from 20 to 50 % and tau = 10.07 meet it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.welfare_book import PairBuyers, PairSellers

BUYERS, SELLERS = 35, 45
BATTERY_KWH = 24.0
STATE_OF_CHARGE = (0.2, 0.5)
MINIMUM_KWH = (5.0, 10.0)
MAXIMUM_KWH = (12.0, 18.0)
SUPPLY_KWH = (10.0, 20.0)
MINIMUM_REWARD = (1.0, 2.0)
CHARGING_EFFICIENCY = 0.8
TRANSMISSION_EFFICIENCY = 0.9
GRID_EFFICIENCY = 0.7
QUADRATIC_COST = 0.01
LINEAR_COST = 0.015
TAU = 10.07


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Market:
    """One draw; money in dollars. The bus is where a buyer's charger takes what arrives."""

    buyers: PairBuyers
    sellers: PairSellers
    minimum_reward: FloatArray
    """(sellers,) what each gets for taking part, eq. (16)."""


def draw(seed: int, *, buyers: int = BUYERS, sellers: int = SELLERS, tau: float = TAU) -> Market:
    """The market of this seed; `tau` scales what charging is worth, and nothing else of it."""
    rng = np.random.default_rng(seed)
    return Market(
        buyers=PairBuyers(
            weight=tau / (BATTERY_KWH * rng.uniform(*STATE_OF_CHARGE, buyers)),
            minimum_kwh=rng.uniform(*MINIMUM_KWH, buyers),
            maximum_kwh=rng.uniform(*MAXIMUM_KWH, buyers),
            efficiency=CHARGING_EFFICIENCY,
        ),
        sellers=PairSellers(
            maximum_kwh=rng.uniform(*SUPPLY_KWH, sellers),
            quadratic_cost=QUADRATIC_COST,
            linear_cost=LINEAR_COST,
            efficiency=TRANSMISSION_EFFICIENCY,
        ),
        minimum_reward=rng.uniform(*MINIMUM_REWARD, sellers),
    )
