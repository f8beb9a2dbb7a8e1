"""What a meter signs: cumulative registers at the start and the end of a slot.

Knows units and the codec. Registers only rise, so energy between two readings cannot hide.
"""

from __future__ import annotations

from peerwatt.records.codec import Record, encode
from peerwatt.records.signing import SigningKey, verify
from peerwatt.units import Count, EnergyWh, Key, Signature, TimeS

READING_DOMAIN = "reading"


class MeterReading(Record):
    """Import (towards the device) and export registers at the two ends of one slot."""

    meter: Key
    sequence: Count
    start_s: TimeS
    end_s: TimeS
    import_start_wh: EnergyWh
    import_end_wh: EnergyWh
    export_start_wh: EnergyWh
    export_end_wh: EnergyWh

    @property
    def imported_wh(self) -> int:
        """Energy drawn in the slot."""
        return self.import_end_wh - self.import_start_wh

    @property
    def exported_wh(self) -> int:
        """Energy fed in during the slot."""
        return self.export_end_wh - self.export_start_wh


class SignedReading(Record):
    """A reading and its meter's signature (domain "reading")."""

    reading: MeterReading
    signature: Signature

    def is_signed(self, chain_id: str) -> bool:
        """Whether the meter that the reading names signed it for this chain."""
        data = encode(self.reading)
        return verify(self.reading.meter, READING_DOMAIN, chain_id, data, self.signature)


def sign_reading(reading: MeterReading, key: SigningKey, chain_id: str) -> SignedReading:
    """The reading with its meter's signature."""
    signature = key.sign(READING_DOMAIN, chain_id, encode(reading))
    return SignedReading(reading=reading, signature=signature)
