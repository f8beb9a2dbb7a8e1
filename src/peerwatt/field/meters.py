"""Simulated meters: registers side by side, and one signing meter for each.

Knows units, readings and signatures. Knows no cars, no batteries and no awards.

Registers are counted in whole watt-seconds, so no energy is rounded away between readings. A
reading shows whole Wh: what is left over stays in the register and appears later. The Wh of
consecutive readings therefore add up to the whole energy, less one Wh at most.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from peerwatt.records.readings import MeterReading, SignedReading, sign_reading
from peerwatt.records.signing import SigningKey
from peerwatt.units import S_PER_H

Ints = npt.NDArray[np.int64]

WS_PER_WH = S_PER_H


class Registers:
    """Import and export of several meters since they were made, with their metering period."""

    __slots__ = ("end_s", "export_ws", "import_ws", "start_export_ws", "start_import_ws", "start_s")

    def __init__(self, count: int) -> None:
        self.import_ws: Ints = np.zeros(count, np.int64)
        self.export_ws: Ints = np.zeros(count, np.int64)
        self.begin(0)

    def begin(self, at_s: int) -> None:
        """A new metering period starts: all meters note where they stand."""
        self.start_s = self.end_s = at_s
        self.start_import_ws = self.import_ws.copy()
        self.start_export_ws = self.export_ws.copy()

    def record(self, import_ws: Ints, export_ws: Ints, until_s: int) -> None:
        """Energy, never negative, that each meter has seen flow until then."""
        if until_s <= self.end_s:
            raise ValueError(f"until_s: {until_s} is not after {self.end_s}")
        if (import_ws < 0).any() or (export_ws < 0).any():
            raise ValueError("import_ws, export_ws: a register cannot fall")
        self.import_ws += import_ws
        self.export_ws += export_ws
        self.end_s = until_s


class SimulatedMeter:
    """One meter: its place among the registers, its key and its sequence number."""

    __slots__ = ("_chain_id", "_key", "_last", "_place", "_registers")

    def __init__(self, registers: Registers, place: int, key: SigningKey, chain_id: str) -> None:
        self._registers = registers
        self._place = place
        self._key = key
        self._chain_id = chain_id
        self._last: SignedReading | None = None

    @property
    def key(self) -> bytes:
        """The public key that its readings verify under."""
        return self._key.public

    def live_ws(self) -> tuple[int, int]:
        """Import and export so far, in watt-seconds."""
        registers, place = self._registers, self._place
        return int(registers.import_ws[place]), int(registers.export_ws[place])

    def read(self, start_s: int, end_s: int) -> SignedReading:
        """The signed registers at the two ends of the metering period that ends now."""
        registers, place, last = self._registers, self._place, self._last
        if start_s != registers.start_s:
            raise ValueError(f"start_s: the metering period began at {registers.start_s}")
        if end_s != registers.end_s or end_s == start_s:
            raise ValueError(f"end_s: the meter has counted until {registers.end_s}")
        if last is not None and last.reading.end_s == end_s:
            return last
        reading = MeterReading(
            meter=self.key,
            sequence=last.reading.sequence + 1 if last is not None else 1,
            start_s=start_s,
            end_s=end_s,
            import_start_wh=int(registers.start_import_ws[place]) // WS_PER_WH,
            import_end_wh=int(registers.import_ws[place]) // WS_PER_WH,
            export_start_wh=int(registers.start_export_ws[place]) // WS_PER_WH,
            export_end_wh=int(registers.export_ws[place]) // WS_PER_WH,
        )
        self._last = sign_reading(reading, self._key, self._chain_id)
        return self._last
