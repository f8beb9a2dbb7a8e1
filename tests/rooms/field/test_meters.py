"""Registers only rise, lose nothing, and what a meter signs is once and for all."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerwatt.field.meters import Registers, SimulatedMeter
from peerwatt.records.readings import SignedReading
from peerwatt.records.signing import derive_key

CHAIN = "sim-test"


def meter_at(place: int, registers: Registers) -> SimulatedMeter:
    return SimulatedMeter(registers, place, derive_key(1, f"meter {place}", CHAIN), CHAIN)


flows = st.lists(
    st.lists(st.tuples(st.integers(0, 500_000), st.integers(0, 500_000)), min_size=1, max_size=5),
    min_size=1,
    max_size=6,
)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(flows)
def test_registers_never_fall_and_nothing_is_lost(periods: list[list[tuple[int, int]]]) -> None:
    registers = Registers(2)
    meter = meter_at(1, registers)
    now_s, readings = 0, list[SignedReading]()
    for steps in periods:
        registers.begin(now_s)
        start_s = now_s
        for import_ws, export_ws in steps:
            now_s += 60
            registers.record(np.array([7, import_ws]), np.array([0, export_ws]), now_s)
        readings.append(meter.read(start_s, now_s))
    total_import = sum(i for steps in periods for i, _ in steps)
    total_export = sum(e for steps in periods for _, e in steps)
    assert meter.live_ws() == (total_import, total_export)
    each = [signed.reading for signed in readings]
    assert sum(reading.imported_wh for reading in each) == total_import // 3600
    assert sum(reading.exported_wh for reading in each) == total_export // 3600
    assert all(r.imported_wh >= 0 and r.exported_wh >= 0 for r in each)
    for before, after in pairwise(each):
        assert after.import_start_wh == before.import_end_wh
        assert after.export_start_wh == before.export_end_wh
        assert after.sequence > before.sequence
    assert all(signed.is_signed(CHAIN) for signed in readings)


def test_a_period_is_signed_once_and_for_this_chain_and_meter() -> None:
    registers = Registers(2)
    first, second = meter_at(0, registers), meter_at(1, registers)
    registers.begin(900)
    registers.record(np.array([3_600, 0]), np.array([0, 7_199]), 1_800)
    signed = first.read(900, 1_800)
    assert signed is first.read(900, 1_800)
    assert signed.is_signed(CHAIN)
    assert not signed.is_signed("sim-other")
    assert (signed.reading.meter, signed.reading.imported_wh) == (first.key, 1)
    assert (second.read(900, 1_800).reading.exported_wh, second.live_ws()) == (1, (0, 7_199))


def test_a_meter_reads_only_the_period_that_ends_now() -> None:
    registers = Registers(1)
    meter = meter_at(0, registers)
    registers.begin(900)
    with pytest.raises(ValueError, match="end_s"):
        meter.read(900, 900)
    registers.record(np.array([1]), np.array([0]), 1_800)
    with pytest.raises(ValueError, match="start_s"):
        meter.read(0, 1_800)
    with pytest.raises(ValueError, match="end_s"):
        meter.read(900, 2_700)


def test_time_and_registers_do_not_run_backwards() -> None:
    registers = Registers(1)
    registers.record(np.array([5]), np.array([0]), 60)
    with pytest.raises(ValueError, match="cannot fall"):
        registers.record(np.array([-1]), np.array([0]), 120)
    with pytest.raises(ValueError, match="until_s"):
        registers.record(np.array([1]), np.array([0]), 60)
    assert registers.import_ws.tolist() == [5]
