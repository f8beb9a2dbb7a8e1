"""What meters sign."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from peerwatt.records.codec import CodecError, decode, encode
from peerwatt.records.readings import MeterReading, SignedReading, sign_reading
from peerwatt.records.signing import SigningKey
from peerwatt.units import MAX_ENERGY_WH

METER, OTHER = SigningKey(bytes([1]) * 32), SigningKey(bytes([2]) * 32)
READING = MeterReading(
    meter=METER.public, sequence=7, start_s=900, end_s=1800,
    import_start_wh=100, import_end_wh=350, export_start_wh=40, export_end_wh=41,
)  # fmt: skip


def test_energy_is_the_difference_of_the_registers() -> None:
    assert (READING.imported_wh, READING.exported_wh) == (250, 1)


def test_only_the_named_meter_can_sign_and_for_one_chain() -> None:
    signed = sign_reading(READING, METER, "chain")
    assert signed.is_signed("chain")
    assert not signed.is_signed("other")
    assert not sign_reading(READING, OTHER, "chain").is_signed("chain")


@pytest.mark.parametrize("field", list(MeterReading.__struct_fields__[1:]))
def test_no_field_can_change_after_signing(field: str) -> None:
    signed = sign_reading(READING, METER, "chain")
    forged = replace(READING, **{field: getattr(READING, field) + 1})
    assert not replace(signed, reading=forged).is_signed("chain")


@pytest.mark.parametrize("register", [-1, MAX_ENERGY_WH + 1])
def test_registers_have_bounds(register: int) -> None:
    signed = sign_reading(replace(READING, import_end_wh=register), METER, "chain")
    with pytest.raises(CodecError) as caught:
        decode(encode(signed), SignedReading)
    assert caught.value.field == "reading"
