"""The roof's rule: sell all that the sun gives, at any price.

Knows the published production forecast. Its energy costs nothing to make and cannot be kept,
so it asks nothing: where cars want less, the grid's feed-in price is its floor.
"""

from __future__ import annotations

from collections.abc import Sequence

from peerwatt.agents.outlook import HubOutlook
from peerwatt.agents.ports import SellIntent
from peerwatt.units import WH_PER_KWH


class Rooftop:
    """The agent of a photovoltaic roof; it has no state to keep. Where every pair of buyer and
    seller has its own cost, even the sun's must rise with what it sends to each."""

    def __init__(self, slope_ucoin_per_kwh2: int = 0) -> None:
        self._slope = slope_ucoin_per_kwh2

    def orders(self, outlook: HubOutlook) -> Sequence[SellIntent]:
        max_wh = int(outlook.pv_kwh[0] * WH_PER_KWH)
        if max_wh == 0:
            return ()
        return (SellIntent(max_wh=max_wh, ask_ucoin_per_kwh=0, slope_ucoin_per_kwh2=self._slope),)

    def delivered(self, energy_wh: int) -> None:
        """Nothing to remember: the sun does not run low."""
