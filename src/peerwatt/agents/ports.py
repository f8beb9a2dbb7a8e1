"""What an agent is to the hub: something that answers a round with orders it would sign.

Knows intents in whole units and the public outlook. Knows no keys, no ports of the site and
no ledger: who runs an agent puts its intents into signed orders. A user's own agent takes the
place of ours by having these two methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from peerwatt.agents.outlook import HubOutlook


@dataclass(frozen=True, slots=True, kw_only=True)
class BuyIntent:
    """Energy wanted in the slot: the minimum at up to lost load, the rest along a curve whose
    marginal value falls from the high to the low price."""

    min_wh: int
    max_wh: int
    price_high_ucoin_per_kwh: int
    price_low_ucoin_per_kwh: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SellIntent:
    """Energy offered in the slot: marginal cost `ask` at nothing sold, rising by the slope."""

    max_wh: int
    ask_ucoin_per_kwh: int
    slope_ucoin_per_kwh2: int


Intent = BuyIntent | SellIntent


class Agent(Protocol):
    """Acts for one car, roof or store."""

    def orders(self, outlook: HubOutlook) -> Sequence[Intent]:
        """What it wants of the round whose slot is the first of the outlook; often nothing."""
        ...

    def delivered(self, energy_wh: int) -> None:
        """Energy that changed hands, above zero taken, below zero given: the award as the gate
        closes, then what the meter counted less the award."""
        ...
