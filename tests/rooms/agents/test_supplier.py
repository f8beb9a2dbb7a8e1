"""What the supplier publishes: its prices by change, the connection's limits by slot."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from peerwatt.agents.supplier import Supplier
from peerwatt.records.market import SlotLimit, TariffStep
from peerwatt.units import UNLIMITED_W


def supplier(**changed: object) -> Supplier:
    published = Supplier(
        slot_start_s=np.arange(4) * 900,
        slot_s=900,
        retail_usd_per_kwh=np.array([0.126, 0.126, 0.496, 0.126]),
        feed_in_usd_per_kwh=np.full(4, 0.05),
        import_limit_kwh=np.full(4, 18.0),
        export_limit_kwh=np.full(4, np.inf),
    )
    return dataclasses.replace(published, **changed)  # type: ignore[arg-type]


def test_a_step_for_each_change_of_price() -> None:
    assert supplier().tariff_steps() == tuple(
        TariffStep(from_s=start, retail_ucoin_per_kwh=retail, feed_in_ucoin_per_kwh=50_000)
        for start, retail in ((0, 126_000), (1800, 496_000), (2700, 126_000))
    )


def test_limits_are_whole_watts_rounded_down() -> None:
    limits = supplier(import_limit_kwh=np.array([18.0, 0.0, 0.00039, 72.2 / 4])).slot_limits()
    assert [limit.import_limit_w for limit in limits] == [72_000, 0, 1, 72_200]
    assert limits[0] == SlotLimit(slot_start_s=0, import_limit_w=72_000, export_limit_w=UNLIMITED_W)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"feed_in_usd_per_kwh": np.full(4, 0.2)}, "feed_in_usd_per_kwh: must be at most retail"),
        ({"retail_usd_per_kwh": np.full(3, 0.2)}, "retail_usd_per_kwh: must have shape"),
        ({"import_limit_kwh": np.full(4, -1.0)}, "import_limit_kwh: must not be below zero"),
        ({"slot_start_s": np.zeros(4)}, "slot_start_s: must ascend"),
    ],
)
def test_wrong_terms_are_refused_by_name(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        supplier(**changed)
