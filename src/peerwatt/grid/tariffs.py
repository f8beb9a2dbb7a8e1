"""What a supplier charges for the grid's energy, by the hour of the local clock.

Knows local dates and hours. Knows no site, no slot and no feed-in: what the supplier pays
for energy is the site's own contract.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

SUMMER_MONTHS = range(6, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeOfUse:
    """Prices in USD/kWh, each good from its hour on: ((hour, price), ...), from hour 0."""

    summer_weekday: tuple[tuple[int, float], ...]
    summer_weekend: tuple[tuple[int, float], ...]
    winter: tuple[tuple[int, float], ...]

    def price_usd_per_kwh(self, local: datetime) -> float:
        if local.month not in SUMMER_MONTHS:
            season = self.winter
        else:
            season = self.summer_weekday if local.weekday() < 5 else self.summer_weekend
        return max((hour, price) for hour, price in season if hour <= local.hour)[1]

    @property
    def cheapest_usd_per_kwh(self) -> float:
        return min(self._prices)

    @property
    def dearest_usd_per_kwh(self) -> float:
        return max(self._prices)

    @property
    def _prices(self) -> list[float]:
        return [price for _, price in self.summer_weekday + self.summer_weekend + self.winter]


# Southern California Edison, schedule TOU-EV-8 (electric vehicle charging above 20 kW), the
# energy prices in force in June 2019 as the acnportal project lists them, to a tenth of a
# cent. Holidays, which the schedule bills as weekends, and fixed charges are not modelled.
SCE_TOU_EV_8_2019 = TimeOfUse(
    summer_weekday=((0, 0.126), (16, 0.496), (21, 0.126)),
    summer_weekend=((0, 0.126), (16, 0.256), (21, 0.126)),
    winter=((0, 0.136), (8, 0.077), (16, 0.297), (21, 0.136)),
)

SCHEDULES = {"sce-tou-ev-8-2019": SCE_TOU_EV_8_2019}


def flat(price_usd_per_kwh: float) -> TimeOfUse:
    """The same price at all times."""
    always = ((0, price_usd_per_kwh),)
    return TimeOfUse(summer_weekday=always, summer_weekend=always, winter=always)


def retail_usd_per_kwh(tariff: TimeOfUse, local: Iterable[datetime]) -> npt.NDArray[np.float64]:
    """(T,) the price at each local time."""
    return np.array([tariff.price_usd_per_kwh(time) for time in local], dtype=np.float64)
