"""What the hub publishes: shapes, sums of needs, and how full it is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from peerwatt.agents.outlook import HubOutlook, needs_due_kwh

SLOT_S = 900


def outlook(slots: int = 4, **changed: object) -> HubOutlook:
    flat = np.full(slots, 0.2)
    hub = HubOutlook(
        slot_start_s=np.arange(slots) * SLOT_S,
        slot_s=SLOT_S,
        retail_usd_per_kwh=flat,
        feed_in_usd_per_kwh=0.05,
        lost_load_usd_per_kwh=0.5,
        import_limit_kwh=np.full(slots, 10.0),
        pv_kwh=np.zeros(slots),
        plugged_due_kwh=np.zeros(slots),
        expected_due_kwh=np.zeros(slots),
    )
    return dataclasses.replace(hub, **changed)  # type: ignore[arg-type]


def test_needs_are_due_in_the_slot_of_the_planned_departure() -> None:
    due = needs_due_kwh(
        np.array([-50, 1, 900, 901, 99_999]),
        np.array([1_000, 2_000, 4_000, 8_000, 16_000]),
        slot_start_s=np.arange(3) * SLOT_S,
        slot_s=SLOT_S,
    )
    assert due == pytest.approx([7.0, 15.0, 31.0])


def test_congestion_is_the_tightest_moment_from_the_departure_on() -> None:
    hub = outlook(
        plugged_due_kwh=np.array([2.0, 6.0, 6.0, 12.0]),
        expected_due_kwh=np.array([0.0, 0.0, 18.0, 18.0]),
    )
    assert hub.congestion() == pytest.approx([0.8, 0.8, 0.8, 0.75])
    sunny = dataclasses.replace(hub, pv_kwh=np.full(4, 5.0))
    assert sunny.congestion() == pytest.approx([24 / 45, 24 / 45, 24 / 45, 0.5])


def test_congestion_has_bounds_without_limit_and_without_supply() -> None:
    due = np.array([0.0, 50.0, 50.0, 50.0])
    assert outlook(plugged_due_kwh=due, import_limit_kwh=np.full(4, np.inf)).congestion().max() == 0
    cut_off = outlook(plugged_due_kwh=due, import_limit_kwh=np.zeros(4))
    assert cut_off.congestion() == pytest.approx([1, 1, 1, 1])
    assert outlook(import_limit_kwh=np.zeros(4)).congestion().max() == 0


def test_wrong_shapes_and_values_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"pv_kwh: must have shape \(4,\), has \(3,\)"):
        outlook(pv_kwh=np.zeros(3))
    with pytest.raises(ValueError, match="slot_start_s"):
        outlook(slot_start_s=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="lost_load_usd_per_kwh"):
        outlook(lost_load_usd_per_kwh=0.0)
