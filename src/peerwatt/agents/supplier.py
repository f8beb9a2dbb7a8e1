"""The supplier's side of the hub: it sells at retail and buys at feed-in, up to the limits.

Knows its own prices and the connection's limits by slot. Knows no car and no order: it places
none, for the market clears against what it publishes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peerwatt.agents.outlook import Floats, Ints
from peerwatt.records.market import SlotLimit, TariffStep
from peerwatt.units import S_PER_H, UCOIN_PER_COIN, UNLIMITED_W, WH_PER_KWH


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Supplier:
    """Prices and limits of K slots, in the form in which they are published.

    Raises `ValueError` naming a field whose shape or value is wrong.
    """

    slot_start_s: Ints
    """(K,) unix seconds, ascending."""
    slot_s: int
    retail_usd_per_kwh: Floats
    """(K,)"""
    feed_in_usd_per_kwh: Floats
    """(K,) at most retail."""
    import_limit_kwh: Floats
    """(K,) per slot; may be infinite."""
    export_limit_kwh: Floats
    """(K,) per slot; may be infinite."""

    def __post_init__(self) -> None:
        shape = self.slot_start_s.shape
        for name in (
            "retail_usd_per_kwh",
            "feed_in_usd_per_kwh",
            "import_limit_kwh",
            "export_limit_kwh",
        ):
            value = getattr(self, name)
            if value.shape != shape:
                raise ValueError(f"{name}: must have shape {shape}, has {value.shape}")
            if not (value >= 0).all():
                raise ValueError(f"{name}: must not be below zero")
        if (np.diff(self.slot_start_s) <= 0).any():
            raise ValueError("slot_start_s: must ascend")
        if (self.feed_in_usd_per_kwh > self.retail_usd_per_kwh).any():
            raise ValueError("feed_in_usd_per_kwh: must be at most retail")

    def tariff_steps(self) -> tuple[TariffStep, ...]:
        """The prices in whole units, one step for each change."""
        prices = np.rint(
            np.stack([self.retail_usd_per_kwh, self.feed_in_usd_per_kwh], axis=1) * UCOIN_PER_COIN
        ).astype(np.int64)
        changes = np.append(True, (prices[1:] != prices[:-1]).any(axis=1))
        return tuple(
            TariffStep(
                from_s=int(self.slot_start_s[k]),
                retail_ucoin_per_kwh=int(prices[k, 0]),
                feed_in_ucoin_per_kwh=int(prices[k, 1]),
            )
            for k in np.flatnonzero(changes)
        )

    def slot_limits(self) -> tuple[SlotLimit, ...]:
        """The limits of each slot as whole watts, rounded down."""
        limits = zip(self.slot_start_s, self.import_limit_kwh, self.export_limit_kwh, strict=True)
        return tuple(
            SlotLimit(
                slot_start_s=int(start_s),
                import_limit_w=self._watts(import_kwh),
                export_limit_w=self._watts(export_kwh),
            )
            for start_s, import_kwh, export_kwh in limits
        )

    def _watts(self, energy_kwh: float) -> int:
        power_w = energy_kwh * WH_PER_KWH * S_PER_H / self.slot_s
        # A millionth of a watt is rounding, not a limit.
        return UNLIMITED_W if power_w >= UNLIMITED_W else int(power_w + 1e-6)
