"""A simulated site: what flows, what is metered, and that both agree."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerwatt.field.ports import ChargePoint
from peerwatt.field.simulated import Car, Generator, Plug, SimulatedHub
from peerwatt.grid.batteries import ONE_WAY, full_battery, ideal_battery
from peerwatt.records.signing import derive_key
from peerwatt.units import UNLIMITED_W

CHAIN = "sim-test"
START_S = 900 * 10**6
ALICE, BOB, ROOF = b"a" * 32, b"b" * 32, b"r" * 32


def hub_of(plugs: int, **options: Any) -> SimulatedHub:
    ports: list[Plug | Generator] = [
        Plug(
            name=f"p{i}",
            key=derive_key(1, f"meter {i}", CHAIN),
            charge_limit_w=6_600,
            discharge_limit_w=6_600,
        )
        for i in range(plugs)
    ]
    roof = Generator(
        name="roof",
        key=derive_key(1, "roof", CHAIN),
        wallet=ROOF,
        start_s=START_S,
        step_s=900,
        power_w=(4_000, 2_000),
    )
    main_key = derive_key(1, "main", CHAIN)
    return SimulatedHub(
        ports=[*ports, roof], main_key=main_key, chain_id=CHAIN, start_s=START_S, **options
    )


def car(wallet: bytes = ALICE, soc: float = 0.5, full: bool = False) -> Car:
    make = full_battery if full else ideal_battery
    battery = make(
        capacity_wh=60_000.0, charge_limit_w=6_600.0, discharge_limit_w=6_600.0, reserve_soc=0.4
    )
    return Car(wallet=wallet, battery=battery, soc=soc)


def metered_wh(point: ChargePoint, start_s: int, end_s: int) -> tuple[int, int]:
    reading = point.meter.read(start_s, end_s).reading
    return reading.imported_wh, reading.exported_wh


def test_power_becomes_energy_in_the_battery_and_on_both_meters() -> None:
    hub = hub_of(2)
    hub.plug_in("p0", car(ALICE), START_S)
    hub.plug_in("p1", car(BOB), START_S)
    hub.begin_slot(import_limit_w=UNLIMITED_W, export_limit_w=UNLIMITED_W)
    hub.points["p0"].set_power_limit_w(6_000, 900)
    hub.points["p1"].set_power_limit_w(-3_600, 900)
    hub.advance(900)
    end_s = START_S + 900
    assert metered_wh(hub.points["p0"], START_S, end_s) == (1_500, 0)
    assert metered_wh(hub.points["p1"], START_S, end_s) == (0, 900)
    main = hub.main_meter.read(START_S, end_s).reading
    assert (main.imported_wh, main.exported_wh) == (600, 0)
    assert hub.soc("p0") == pytest.approx(0.5 + 1_500 / 60_000)
    assert hub.soc("p1") == pytest.approx(0.5 - 900 / ONE_WAY / 60_000)


def test_a_set_point_lapses() -> None:
    hub = hub_of(1)
    hub.plug_in("p0", car(), START_S)
    hub.points["p0"].set_power_limit_w(3_600, 45)
    hub.advance(60)
    hub.advance(60)
    assert hub.points["p0"].meter.live_ws() == (3_600 * 45, 0)


def test_a_set_point_is_clipped_to_the_port() -> None:
    hub = hub_of(1)
    hub.plug_in("p0", car(), START_S)
    hub.points["p0"].set_power_limit_w(50_000, 60)
    hub.advance(60)
    hub.points["p0"].set_power_limit_w(-50_000, 60)
    hub.advance(60)
    assert hub.points["p0"].meter.live_ws() == (6_600 * 60, 6_600 * 60)


def test_an_early_unplug_ends_the_flow_in_its_second() -> None:
    hub = hub_of(1)
    hub.plug_in("p0", car(), START_S)
    hub.unplug("p0", START_S + 137)
    for _ in range(15):
        hub.points["p0"].set_power_limit_w(6_600, 60)
        hub.advance(60)
    assert hub.points["p0"].meter.live_ws() == (6_600 * 137, 0)
    assert hub.points["p0"].wallet is None


def test_the_next_car_does_not_inherit_the_set_point() -> None:
    hub = hub_of(1)
    hub.plug_in("p0", car(ALICE), START_S)
    hub.unplug("p0", START_S + 10)
    hub.plug_in("p0", car(BOB, soc=0.7), START_S + 20)
    hub.points["p0"].set_power_limit_w(6_600, 900)
    hub.advance(60)
    hub.advance(60)
    assert hub.points["p0"].meter.live_ws() == (66_000, 0)
    assert (hub.points["p0"].wallet, hub.soc("p0")) == (BOB, 0.7)


def test_a_battery_gives_all_it_has_and_says_so() -> None:
    """1,000 Wh above the reserve are sqrt(0.85) of that at the meter, to the watt-second."""
    hub = hub_of(1)
    hub.plug_in("p0", car(soc=0.4 + 1_000 / 60_000), START_S)
    point = hub.points["p0"]
    assert point.discharge_limit_w == 6_600
    point.set_power_limit_w(-6_600, 900)
    hub.advance(900)
    assert point.meter.live_ws() == (0, int(1_000 * ONE_WAY * 3_600))
    assert point.discharge_limit_w == 0
    assert hub.soc("p0") == pytest.approx(0.4)


def test_an_ideal_battery_takes_exactly_what_it_has_room_for() -> None:
    hub = hub_of(1)
    hub.plug_in("p0", car(soc=1 - 700 / 60_000), START_S)
    for _ in range(15):
        hub.points["p0"].set_power_limit_w(6_600, 60)
        hub.advance(60)
    assert hub.points["p0"].meter.live_ws() == (700 * 3_600, 0)
    assert hub.points["p0"].charge_limit_w == 0


def test_below_six_ampere_nothing_flows_and_a_full_car_is_offered_them() -> None:
    hub = hub_of(1)
    hub.plug_in("p0", car(soc=0.98, full=True), START_S)
    point = hub.points["p0"]
    assert (point.minimum_w, point.charge_limit_w) == (1_248, 1_248)
    point.set_power_limit_w(1_247, 60)
    hub.advance(60)
    assert point.meter.live_ws() == (0, 0)
    point.set_power_limit_w(1_248, 60)
    hub.advance(60)
    # At 98 % it tapers to a tenth of its power.
    assert point.meter.live_ws()[0] == pytest.approx(660 * 60, rel=0.01)


def test_the_roof_gives_what_it_is_asked_for_and_no_more_than_the_sun() -> None:
    hub = hub_of(0)
    roof = hub.points["roof"]
    assert (roof.wallet, roof.charge_limit_w, roof.discharge_limit_w) == (ROOF, 0, 4_000)
    roof.set_power_limit_w(-1_000, 900)
    hub.advance(900)
    assert roof.meter.live_ws() == (0, 900_000)
    roof.set_power_limit_w(-5_000, 900)
    hub.advance(900)
    assert roof.meter.live_ws() == (0, 900_000 + 1_800_000)
    assert roof.discharge_limit_w == 0
    roof.set_power_limit_w(1_000, 900)
    hub.advance(900)
    assert roof.meter.live_ws()[0] == 0


def test_load_management_cuts_buyers_alike_when_a_seller_pulls_the_plug() -> None:
    """Within one step: 60 s x (6,600 + 3,300) W wanted, 60 s x 5,000 W from the connection,
    30 s x 6,600 W from the seller that leaves."""
    hub = hub_of(3)
    for port in ("p0", "p1", "p2"):
        hub.plug_in(port, car(), START_S)
    hub.unplug("p2", START_S + 30)
    hub.begin_slot(import_limit_w=5_000, export_limit_w=0)
    for port, power_w in (("p0", 6_600), ("p1", 3_300), ("p2", -6_600)):
        hub.points[port].set_power_limit_w(power_w, 60)
    hub.advance(60)
    served_ws = 60 * 5_000 + 30 * 6_600
    assert hub.points["p0"].meter.live_ws()[0] == pytest.approx(served_ws * 2 / 3, abs=120)
    assert hub.points["p1"].meter.live_ws()[0] == pytest.approx(served_ws / 3, abs=120)
    assert 300_000 - 60 < hub.main_meter.live_ws()[0] <= 300_000


ports_flow = st.lists(
    st.tuples(st.integers(-7_000, 7_000), st.integers(0, 60), st.floats(0.35, 1.0), st.booleans()),
    min_size=4,
    max_size=4,
)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    st.lists(ports_flow, min_size=1, max_size=4),
    st.sampled_from([0, 20_000]),
    st.integers(0, 12_000),
    st.integers(0, 12_000),
)
def test_the_main_meter_reconciles_and_keeps_its_limits(
    steps: list[list[tuple[int, int, float, bool]]], loss_ppm: int, import_w: int, export_w: int
) -> None:
    hub = hub_of(4, wiring_loss_ppm=loss_ppm)
    for place, (_, _, soc, full) in enumerate(steps[0]):
        hub.plug_in(f"p{place}", car(soc=soc, full=full), START_S)
    hub.begin_slot(import_limit_w=import_w, export_limit_w=export_w)
    loss_ws = 0
    for step in steps:
        before = [point.meter.live_ws() for point in hub.points.values()]
        main_before = hub.main_meter.live_ws()
        for place, (power_w, for_s, _, _) in enumerate(step):
            hub.points[f"p{place}"].set_power_limit_w(power_w, for_s)
        hub.points["roof"].set_power_limit_w(-5_000, 60)
        hub.advance(60)
        after = [point.meter.live_ws() for point in hub.points.values()]
        imported = hub.main_meter.live_ws()[0] - main_before[0]
        exported = hub.main_meter.live_ws()[1] - main_before[1]
        moved = [(a[0] - b[0], a[1] - b[1]) for a, b in zip(after, before, strict=True)]
        step_loss = sum(i + e for i, e in moved) * loss_ppm // 10**6
        assert imported - exported == sum(i - e for i, e in moved) + step_loss
        assert min(imported, exported) == 0
        assert imported <= import_w * 60
        assert exported <= export_w * 60
        assert all(i >= 0 and e >= 0 for i, e in moved)
        loss_ws += step_loss
    now_s = START_S + 60 * len(steps)
    readings = [point.meter.read(START_S, now_s).reading for point in hub.points.values()]
    main = hub.main_meter.read(START_S, now_s).reading
    ports_wh = sum(reading.imported_wh - reading.exported_wh for reading in readings)
    difference_wh = main.imported_wh - main.exported_wh - ports_wh - loss_ws / 3_600
    assert abs(difference_wh) <= len(readings) + 1


def test_events_out_of_order_are_refused_and_change_nothing() -> None:
    hub = hub_of(1)
    hub.plug_in("p0", car(), START_S + 60)
    with pytest.raises(ValueError, match=r"^port: there is no 'p9'"):
        hub.plug_in("p9", car(), START_S)
    with pytest.raises(ValueError, match=r"^port: 'p0' is taken"):
        hub.plug_in("p0", car(), START_S + 70)
    with pytest.raises(ValueError, match=r"^at_s: .* is past"):
        hub.unplug("p0", START_S + 30)
    with pytest.raises(ValueError, match=r"^port: 'roof' is a generator's"):
        hub.unplug("roof", START_S)
    with pytest.raises(ValueError, match="nothing is plugged in"):
        hub.soc("p0")
    hub.advance(60)
    assert (hub.points["p0"].wallet, hub.soc("p0")) == (ALICE, 0.5)
    hub.unplug("p0", START_S + 61)
    with pytest.raises(ValueError, match=r"^port: 'p0' is free"):
        hub.unplug("p0", START_S + 62)
    with pytest.raises(ValueError, match="duration_s"):
        hub.advance(0)


def test_a_hub_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="wiring_loss_ppm"):
        hub_of(1, wiring_loss_ppm=10**6)
    key = derive_key(1, "m", CHAIN)
    twice = [Plug(name="p", key=key, charge_limit_w=1, discharge_limit_w=0)] * 2
    with pytest.raises(ValueError, match="two have one name"):
        SimulatedHub(ports=twice, main_key=key, chain_id=CHAIN, start_s=0)
