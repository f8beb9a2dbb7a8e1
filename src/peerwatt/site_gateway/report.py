"""What the meters of a slot signed goes to the ledger.

Knows units, the ports and the messages. Knows no awards, no prices and no batteries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from peerwatt.field.ports import ChargePoint, Meter
from peerwatt.records.readings import SignedReading
from peerwatt.records.signing import SigningKey
from peerwatt.records.transactions import ReportReadings, sign_message

MAX_READINGS_PER_MESSAGE = 1_000
"""A signed reading takes some 150 bytes; a thousand stay well below a transaction's bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A reading that was not reported, the port it came from ("" for the main meter) and why."""

    port: str
    reading: SignedReading
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Transactions with rising nonces, ready to submit, and what is not in them."""

    transactions: tuple[bytes, ...]
    dropped: tuple[Dropped, ...]
    next_nonce: int


def read_meters(
    points: Mapping[str, ChargePoint],
    main_meter: Meter,
    ports: Iterable[str],
    *,
    start_s: int,
    end_s: int,
) -> dict[str, SignedReading]:
    """The readings of these ports and, under "", of the main meter."""
    readings = {port: points[port].meter.read(start_s, end_s) for port in ports}
    return {"": main_meter.read(start_s, end_s)} | readings


def report_readings(
    readings: Mapping[str, SignedReading],
    *,
    registered: Mapping[str, bytes],
    start_s: int,
    end_s: int,
    round_id: bytes,
    operator: SigningKey,
    chain_id: str,
    nonce: int,
    valid_until_s: int,
    per_message: int = MAX_READINGS_PER_MESSAGE,
) -> Report:
    """Checks every reading against the meter registered at its port and signs the messages.

    `readings` and `registered` (public keys) are by port, "" for the main meter; `nonce` is the
    operator's next one. A reading that the ledger would refuse is dropped and named, so that it
    does not take the good ones of its message with it.
    """
    if not 1 <= per_message <= MAX_READINGS_PER_MESSAGE:
        raise ValueError(f"per_message: must be 1 to {MAX_READINGS_PER_MESSAGE}")
    good: list[SignedReading] = []
    dropped: list[Dropped] = []
    for port, signed in sorted(readings.items()):
        why = _objection(signed, registered.get(port), start_s, end_s, chain_id)
        if why:
            dropped.append(Dropped(port=port, reading=signed, why=why))
        else:
            good.append(signed)
    parts = [good[at : at + per_message] for at in range(0, len(good), per_message)]
    return Report(
        transactions=tuple(
            _transaction(part, round_id, operator, chain_id, nonce + i, valid_until_s)
            for i, part in enumerate(parts)
        ),
        dropped=tuple(dropped),
        next_nonce=nonce + len(parts),
    )


def _objection(
    signed: SignedReading, meter: bytes | None, start_s: int, end_s: int, chain_id: str
) -> str:
    """Why a reading cannot be reported; empty when it can."""
    reading = signed.reading
    if meter is None:
        return "no meter is registered at this port"
    if reading.meter != meter:
        return "meter: not the one registered at this port"
    if (reading.start_s, reading.end_s) != (start_s, end_s):
        return f"start_s, end_s: not the slot's {start_s} to {end_s}"
    if reading.imported_wh < 0 or reading.exported_wh < 0:
        return "import_end_wh, export_end_wh: a register fell"
    if not signed.is_signed(chain_id):
        return "signature: not the meter's"
    return ""


def _transaction(
    readings: Sequence[SignedReading],
    round_id: bytes,
    operator: SigningKey,
    chain_id: str,
    nonce: int,
    valid_until_s: int,
) -> bytes:
    message = ReportReadings(
        chain_id=chain_id,
        signer=operator.public,
        nonce=nonce,
        valid_until_s=valid_until_s,
        round_id=round_id,
        readings=tuple(readings),
    )
    return sign_message(message, operator)
