"""One step of dispatch, without a site: set-points are possible and keep to the connection."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerwatt.records.market import Award, Side
from peerwatt.site_gateway.dispatch import Pace, Target, set_points, targets_of


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.integers(0, 6_000_000),
            st.just(0) | st.integers(1_248, 11_000),
            st.sampled_from([0, 1_248]),
            st.integers(-900, 900),
        ),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 15),
    st.integers(0, 30_000),
    st.integers(0, 30_000),
)
def test_set_points_are_possible(
    ports: list[tuple[bool, int, int, int, int]], steps: int, import_w: int, export_w: int
) -> None:
    buys, remaining_ws, limit_w, minimum_w, time_left_s = zip(*ports, strict=True)
    slot_left_s = steps * 60
    pace = Pace(
        buys=np.array(buys),
        remaining_ws=np.array(remaining_ws),
        limit_w=np.array(limit_w),
        minimum_w=np.array(minimum_w),
        time_left_s=np.minimum(time_left_s, slot_left_s),
        waits_s=np.zeros(len(ports), np.int64),
    )
    power_w, for_s = set_points(
        pace,
        step_s=60,
        slot_left_s=slot_left_s,
        import_limit_w=import_w,
        export_limit_w=export_w,
    )
    assert np.all(np.where(pace.buys, power_w, -power_w) >= 0)
    assert np.all(np.abs(power_w) <= pace.limit_w)
    assert np.all((power_w == 0) | (np.abs(power_w) >= pace.minimum_w))
    assert np.all((for_s >= 0) & (for_s <= 60))
    energy_ws = np.abs(power_w) * for_s
    assert np.all(energy_ws < pace.remaining_ws + 60)
    net_ws = int((power_w * for_s).sum())
    # What is left to the site's load management: rounding, and pulses of less than a second.
    slack_ws = int((60 + pace.minimum_w).sum())
    assert -export_w * 60 - slack_ws <= net_ws <= import_w * 60 + slack_ws


def buyer(*, remaining_ws: int, minimum_w: int, time_left_s: int) -> Pace:
    return Pace(
        buys=np.array([True]),
        remaining_ws=np.array([remaining_ws]),
        limit_w=np.array([6_600]),
        minimum_w=np.array([minimum_w]),
        time_left_s=np.array([time_left_s]),
        waits_s=np.array([0]),
    )


@pytest.mark.parametrize(("minimum_w", "time_left_s"), [(0, 30), (1_248, 900)])
def test_not_even_hurry_or_rounding_overruns_the_connection(
    minimum_w: int, time_left_s: int
) -> None:
    """800 W for a car that is gone in half a minute, and for one that takes no less than
    1,248 W: 48,000 Ws in this step and not one more."""
    pace = buyer(remaining_ws=180_000, minimum_w=minimum_w, time_left_s=time_left_s)
    power_w, for_s = set_points(
        pace, step_s=60, slot_left_s=900, import_limit_w=800, export_limit_w=0
    )
    assert 47_000 < int(power_w[0] * for_s[0]) <= 48_000


def award(port: str, owner: int, side: Side, energy_wh: int) -> Award:
    return Award(
        order_id=bytes(32),
        owner=bytes([owner]) * 32,
        port=port,
        side=side,
        energy_wh=energy_wh,
        price_ucoin_per_kwh=1,
        held_ucoin=0,
    )


def test_targets_are_signed_sums_by_port_and_owner() -> None:
    awards = [
        award("p2", 2, Side.SELL, 300),
        award("p1", 1, Side.BUY, 500),
        award("p2", 2, Side.BUY, 100),
        award("p1", 3, Side.BUY, 50),
        award("p3", 3, Side.BUY, 0),
    ]
    assert targets_of(awards, {bytes([1]) * 32: 1_234}) == (
        Target(port="p1", owner=bytes([1]) * 32, energy_wh=500, arrives_s=1_234),
        Target(port="p1", owner=bytes([3]) * 32, energy_wh=50),
        Target(port="p2", owner=bytes([2]) * 32, energy_wh=-200),
    )
