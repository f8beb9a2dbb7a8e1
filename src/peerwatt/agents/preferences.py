"""What energy is worth to a buyer, or costs a seller, and what each would bid for it.

Knows one car's own numbers and PETCON's rules (Kang et al., IEEE Trans. Ind. Informatics 13(6),
2017, doi:10.1109/TII.2017.2709784). Energy is in kWh, money in USD. Nothing here is ever sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from peerwatt.agents.ports import BuyIntent, Intent, SellIntent
from peerwatt.units import UCOIN_PER_COIN, WH_PER_KWH

LEAST_KWH = 1e-4
"""Less is never awarded: who gets no more, and would pay less for it than it does, gives up."""
LEAST_FALL = 1e-6
"""A flat curve falls by a millionth."""


class Preference(Protocol):
    """One side of the market."""

    @property
    def maximum_kwh(self) -> float:
        """The most that changes hands in all."""

    @property
    def buys(self) -> bool:
        """Whether it is a buyer's, who hears last of the grid's energy."""

    def first(self, others: int) -> list[float]:
        """The first bid to so many others."""

    def answer(self, energies_kwh: Sequence[float], bids: Sequence[float]) -> list[float]:
        """What is right to bid on these energies, which these bids got: USD or USD/kWh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Utility:
    """A buyer's: w ln(1 + (C - minimum)/scale) from its minimum to its maximum; what is missing of
    the minimum is worth lost load."""

    minimum_kwh: float
    maximum_kwh: float
    weight_usd: float
    scale_kwh: float
    lost_load_usd_per_kwh: float

    buys = True

    @classmethod
    def of(cls, intent: BuyIntent, lost_load_ucoin_per_kwh: int) -> Utility:
        """The curve whose marginal value falls from the intent's high to its low price."""
        high = max(intent.price_high_ucoin_per_kwh, 1) / UCOIN_PER_COIN
        low = max(intent.price_low_ucoin_per_kwh, 1) / UCOIN_PER_COIN
        low = min(low, high * (1 - LEAST_FALL))
        minimum, maximum = intent.min_wh / WH_PER_KWH, intent.max_wh / WH_PER_KWH
        span = maximum - minimum if maximum > minimum else 1.0
        scale = span * low / (high - low)
        return cls(
            minimum_kwh=minimum,
            maximum_kwh=maximum,
            weight_usd=scale * high,
            scale_kwh=scale,
            lost_load_usd_per_kwh=lost_load_ucoin_per_kwh / UCOIN_PER_COIN,
        )

    def marginal_usd_per_kwh(self, energy_kwh: float) -> float:
        """What a little more is worth, having so much."""
        if energy_kwh < self.minimum_kwh:
            return self.lost_load_usd_per_kwh
        taken = min(energy_kwh, self.maximum_kwh)
        return self.weight_usd / (self.scale_kwh + taken - self.minimum_kwh)

    def first(self, others: int) -> list[float]:
        """All it wants, from each alike."""
        value = self.marginal_usd_per_kwh(self.maximum_kwh)
        return [value * self.maximum_kwh / others] * others

    def answer(self, energies_kwh: Sequence[float], bids: Sequence[float]) -> list[float]:
        """PETCON's problem EB, eq. (13): b_ij = m_i(C_i) c_ij. At the minimum m falls from lost
        load to the curve's price: between the two the minimum at today's price is right."""
        total = sum(energies_kwh)
        if total == 0:
            return [0.0] * len(bids)
        for_the_minimum = sum(bids) / total * self.minimum_kwh / total
        value = max(for_the_minimum, self.marginal_usd_per_kwh(max(total, self.minimum_kwh)))
        value = min(value, self.lost_load_usd_per_kwh)
        if total < LEAST_KWH and value * total <= sum(bids):
            return [0.0] * len(bids)
        return [value * energy for energy in energies_kwh]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A seller's: l1 d^2 + l2 d for what goes to each buyer."""

    maximum_kwh: float
    quadratic_usd_per_kwh2: float
    linear_usd_per_kwh: float

    buys = False

    @classmethod
    def of(cls, intent: SellIntent) -> Cost:
        """The cost whose marginal rises from the intent's ask by its slope."""
        return cls(
            maximum_kwh=intent.max_wh / WH_PER_KWH,
            quadratic_usd_per_kwh2=intent.slope_ucoin_per_kwh2 / UCOIN_PER_COIN / 2,
            linear_usd_per_kwh=intent.ask_ucoin_per_kwh / UCOIN_PER_COIN,
        )

    def first(self, others: int) -> list[float]:
        """As if all it offers went to each alike."""
        return self.answer([self.maximum_kwh / others] * others, ())

    def answer(self, energies_kwh: Sequence[float], bids: Sequence[float]) -> list[float]:
        """PETCON's problem ES, eq. (14): s_ji = 2 l1 d_ji + l2."""
        slope = 2 * self.quadratic_usd_per_kwh2
        return [slope * energy + self.linear_usd_per_kwh for energy in energies_kwh]


def preference_of(intent: Intent, lost_load_ucoin_per_kwh: int) -> Preference:
    """What stands behind an intent, of which its order says the limit alone."""
    if isinstance(intent, BuyIntent):
        return Utility.of(intent, lost_load_ucoin_per_kwh)
    return Cost.of(intent)
