"""What a charge point and a meter must offer, simulated or real.

Knows units and the record of a signed reading. Knows no awards, no prices and no ledger.

Who may call what: only the site's gateway calls `set_power_limit_w` and `read`. Everything
else here is for anyone at the site to look at. Nobody but the hardware moves a register, and
nobody but the meter holds its key. Plugging in, unplugging and the passing of time are not
calls but things that happen; a simulated site has further methods for those.

What real ones will map to. `wallet`: the token that a transaction was authorised with.
`set_power_limit_w`: a charging profile of OCPP with a duration (2.1: a set-point, negative to
discharge). `departure_s`, `charge_limit_w` and
`discharge_limit_w`: what the car told the charger (`NotifyEVChargingNeeds`), else the
charger's own. `live_ws`: meter values; an adapter multiplies what its meter resolves. `read`:
clock-aligned signed meter values.
"""

from __future__ import annotations

from typing import Protocol

from peerwatt.records.readings import SignedReading


class Meter(Protocol):
    """Counts energy both ways in registers that only rise, and signs them."""

    @property
    def key(self) -> bytes:
        """The public key that its readings verify under."""

    def live_ws(self) -> tuple[int, int]:
        """Import and export so far, in watt-seconds. Unsigned: for control, never for money."""

    def read(self, start_s: int, end_s: int) -> SignedReading:
        """The signed whole-Wh registers at the two ends of the metering period that ends now.

        Raises ValueError when that is not the period. A second call for it returns the very
        same reading: one sequence number never stands for two readings.
        """


class ChargePoint(Protocol):
    """A metered connection whose power can be set: a car's plug, a roof, a battery."""

    @property
    def name(self) -> str:
        """The port's name at its site."""

    @property
    def meter(self) -> Meter:
        """The meter of this port alone."""

    @property
    def wallet(self) -> bytes | None:
        """Who plugged in and was let in with this wallet; None when nothing is there."""

    @property
    def departure_s(self) -> int | None:
        """When the driver said it would leave; None if it did not say."""

    @property
    def charge_limit_w(self) -> int:
        """The most that may be asked to flow in now: at least the minimum, zero when full."""

    @property
    def discharge_limit_w(self) -> int:
        """The most that may be asked to flow out now: at least the minimum, zero when empty."""

    @property
    def minimum_w(self) -> int:
        """A set-point closer to zero than this lets nothing flow."""

    def set_power_limit_w(self, power_w: int, for_s: int) -> None:
        """Charge (positive) or discharge (negative) at this power from now on, for so long.

        The set-point then lapses to zero, so that a gateway that fails stops the trade.
        """
