"""What a mechanism hands back: frozen results, energies in kWh and prices in coin per kWh.

Knows numpy alone. It holds no rule: how a result comes about is the mechanism's affair.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class Regime(StrEnum):
    """Who sets the one price of a round (see `OnePriceClearing`)."""

    IDLE = "idle"
    """Nobody trades."""
    EXPORT_FULL = "export-full"
    """The grid buys up to its limit: sellers get the feed-in price or less."""
    EXPORT = "export"
    """The grid buys the surplus: sellers get the feed-in price."""
    LOCAL = "local"
    """Cars trade among themselves: the price lies between feed-in (plus fee) and retail."""
    IMPORT = "import"
    """The grid is the marginal seller: buyers pay retail."""
    IMPORT_FULL = "import-full"
    """The grid sells up to its limit: buyers pay retail or more."""
    SHORT = "short"
    """Even the minima cannot be met: buyers pay the value of lost load, minima are cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnePriceClearing:
    """One round cleared at one price, the grid inside.

    `sum(bought_kwh) + export_kwh == sum(sold_kwh) + import_kwh` to rounding, and never both
    import and export. `seller_price` is `buyer_price` less the local fee.
    """

    buyer_price: float
    seller_price: float
    regime: Regime
    bought_kwh: FloatArray
    """(buyers,), the minimum included."""
    sold_kwh: FloatArray
    """(sellers,)"""
    import_kwh: float
    export_kwh: float
    welfare: float
    """Value to buyers less sellers' cost, grid energy at its prices, and local fees; in coin."""
