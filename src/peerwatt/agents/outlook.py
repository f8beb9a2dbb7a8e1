"""What anyone at a hub can see before a round closes.

Knows published prices, limits and forecasts, the hub's published sum of needs, and the public
history of arrivals. Knows no single car, no key and no order: a rule that needs more than
this and its own car could not run outside a simulation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from peerwatt.units import WH_PER_KWH

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HubOutlook:
    """The public state at one round's gate; K slots, the first being the round's own. Its arrays
    are there to be read: all agents of a hub are handed the same.

    Raises `ValueError` naming a field that is wrong.
    """

    slot_start_s: Ints
    """(K,) unix seconds."""
    slot_s: int
    retail_usd_per_kwh: Floats
    """(K,) the supplier's published tariff."""
    feed_in_usd_per_kwh: float
    lost_load_usd_per_kwh: float
    """What the hub says that a kWh not delivered is worth; caps every price."""
    import_limit_kwh: Floats
    """(K,) what the connection can carry in each slot; may be infinite."""
    pv_kwh: Floats
    """(K,) the roof's published forecast."""
    plugged_due_kwh: Floats
    """(K,) what the cars now plugged in still need by the end of each slot: the hub sums what
    they state, by planned departure, and publishes the sums alone. See `needs_due_kwh`."""
    expected_due_kwh: Floats
    """(K,) the same for cars still to come, as the mean of past days of the same kind."""

    def __post_init__(self) -> None:
        if not self.lost_load_usd_per_kwh > 0:
            raise ValueError("lost_load_usd_per_kwh: must be above zero")
        expected = self.slot_start_s.shape
        if self.slot_start_s.ndim != 1 or not self.slot_start_s.size:
            raise ValueError(f"slot_start_s: must have shape (K,), K >= 1, has {expected}")
        for name in (
            "slot_start_s",
            "retail_usd_per_kwh",
            "import_limit_kwh",
            "pv_kwh",
            "plugged_due_kwh",
            "expected_due_kwh",
        ):
            values = getattr(self, name).view()
            if values.shape != expected:
                raise ValueError(f"{name}: must have shape {expected}, has {values.shape}")
            values.flags.writeable = False
            object.__setattr__(self, name, values)

    def congestion(self) -> Floats:
        """(K,) how full the hub is for a car that leaves in slot k, from 0 to 1.

        The largest, over all ends tau from slot k on, of what is due by tau over what
        connection and roof can deliver by tau: a car competes with all who can only be served
        up to the tightest moment after its departure.
        """
        due_kwh = self.plugged_due_kwh + self.expected_due_kwh
        supply_kwh = np.cumsum(self.import_limit_kwh + self.pv_kwh)
        full = np.where(due_kwh > 0, 1.0, 0.0)
        load = np.divide(due_kwh, supply_kwh, out=full, where=supply_kwh > 0)
        return np.minimum(np.maximum.accumulate(load[::-1])[::-1], 1.0)


def needs_due_kwh(
    planned_departure_s: Ints, need_wh: Ints, *, slot_start_s: Ints, slot_s: int
) -> Floats:
    """(K,) the sum of needs due by the end of each slot, from cars' statements (n,), (n,).

    A need is due at the end of the slot in which its car plans to leave; one that has stayed
    beyond its plan is due in the first slot, one that plans beyond the horizon in the last.
    """
    due = np.searchsorted(slot_start_s, planned_departure_s, side="left") - 1
    slots = len(slot_start_s)
    by_slot = np.bincount(np.clip(due, 0, slots - 1), weights=need_wh, minlength=slots)
    return np.asarray(np.cumsum(by_slot) / WH_PER_KWH, dtype=np.float64)
