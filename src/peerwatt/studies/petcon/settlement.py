"""Who pays what after PETCON's auction: by its rules as printed, and by prices that balance.

Knows the market drawn and how its auction ended. Knows neither how that came about nor what is
claimed of it. Money in dollars, energy at the bus in kWh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peerwatt.mechanisms.allocation import FloatArray
from peerwatt.mechanisms.auction_rounds import AuctionOutcome
from peerwatt.studies.petcon.setting import Market


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Settlement:
    """What an auction comes to for everybody."""

    payment: FloatArray
    """(buyers,)"""
    reward: FloatArray
    """(sellers,)"""
    buyer_surplus: FloatArray
    """(buyers,) utility, eq. (1), which counts from the minimum, less payment."""
    seller_surplus: FloatArray
    """(sellers,) reward less cost, eq. (2)."""

    @property
    def budget(self) -> float:
        """What is left to the auctioneer."""
        return float(self.payment.sum() - self.reward.sum())


def as_printed(market: Market, outcome: AuctionOutcome) -> Settlement:
    """Buyers pay what they bid in all (15); a seller gets sum s^2 / (4 l1) and its minimum (16).

    Of the bids that the last allocation leads to, whose prices are per kWh sent.
    """
    sellers = market.sellers
    asks = outcome.turn.next_unit_prices * sellers.efficiency
    reward = (asks * asks / (4 * np.asarray(sellers.quadratic_cost))).sum(axis=0)
    return _settled(
        market, outcome, outcome.turn.next_payments.sum(axis=1), reward + market.minimum_reward
    )


def at_prices(market: Market, outcome: AuctionOutcome) -> Settlement:
    """Each kWh is paid at its seller's marginal cost and what the seller's limit is worth; so much
    is got for it. What a buyer bids beyond that at its maximum it keeps, as it does not need it."""
    turn = outcome.turn
    value = (turn.unit_prices + turn.allocation.seller_rent) * turn.allocation.kwh
    return _settled(market, outcome, value.sum(axis=1), value.sum(axis=0))


def _settled(
    market: Market, outcome: AuctionOutcome, payment: FloatArray, reward: FloatArray
) -> Settlement:
    buyers, sellers, kwh = market.buyers, market.sellers, outcome.turn.allocation.kwh
    beyond = np.maximum(buyers.efficiency * kwh.sum(axis=1) - buyers.minimum_kwh, 0.0)
    utility = buyers.weight * np.log1p(beyond / buyers.scale_kwh)
    sent = kwh / sellers.efficiency
    cost = (sellers.quadratic_cost * sent**2 + sellers.linear_cost * sent).sum(axis=0)
    return Settlement(
        payment=payment,
        reward=reward,
        buyer_surplus=utility - payment,
        seller_surplus=reward - cost,
    )
