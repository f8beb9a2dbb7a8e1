"""Readings: what the meters signed, accepted once, for the slot that they measure.

Knows state and records. A message is taken whole or not at all.
"""

from __future__ import annotations

from itertools import pairwise

from msgspec.structs import replace

from peerwatt.contracts.sites import site_of
from peerwatt.contracts.state import (
    METER_PROGRESS,
    METERS,
    PORT_ORDERS,
    READINGS,
    ROUNDS,
    MeterProgress,
    Refusal,
    State,
)
from peerwatt.records.market import Round, RoundStatus
from peerwatt.records.receipts import BlockContext, Reason
from peerwatt.records.transactions import ReportReadings

MAX_READINGS = 1_000


def report_readings(state: State, context: BlockContext, message: ReportReadings) -> Refusal | None:
    """The signed readings of a round's slot, brought in by the site's operator."""
    market_round = state.get(ROUNDS, message.round_id)
    if market_round is None:
        return Refusal(Reason.UNKNOWN_ROUND, "round_id")
    if site_of(state, market_round.site).operator != message.signer:
        return Refusal(Reason.NOT_PERMITTED, "signer")
    now_s, status = context.market_time_s, market_round.status
    if now_s >= market_round.settle_by_s or status > RoundStatus.DELIVERED:
        return Refusal(Reason.TOO_LATE, "round_id")
    if now_s < market_round.slot_end_s or status < RoundStatus.CLEARED:
        return Refusal(Reason.TOO_EARLY, "round_id")
    if not 1 <= len(message.readings) <= MAX_READINGS:
        return Refusal(Reason.TOO_MANY, "readings")
    ports: list[str] = []
    for at in range(len(message.readings)):
        port = _check(state, message, at, market_round)
        if isinstance(port, Refusal):
            return port
        ports.append(port)
    if any(later <= earlier for earlier, later in pairwise(ports)):
        return Refusal(Reason.OUT_OF_ORDER, "readings")
    # --- checked; from here on only writes ---
    reported = [port for port in ports if _is_awaited(state, message.round_id, port)]
    for port, signed in zip(ports, message.readings, strict=True):
        reading = signed.reading
        progress = MeterProgress(
            sequence=reading.sequence,
            end_s=reading.end_s,
            import_wh=reading.import_end_wh,
            export_wh=reading.export_end_wh,
        )
        state.put(METER_PROGRESS, reading.meter, progress)
        state.put(READINGS, port.encode(), signed, message.round_id)
    left = market_round.awaited_readings - len(reported)
    state.put(ROUNDS, message.round_id, replace(market_round, awaited_readings=left))
    return None


def _is_awaited(state: State, round_id: bytes, port: str) -> bool:
    """Whether a round settles by this port's reading: an award stands for it, or it is the main
    meter's."""
    return not port or state.get(PORT_ORDERS, port.encode(), round_id) is not None


def _check(state: State, message: ReportReadings, at: int, market_round: Round) -> str | Refusal:
    """The port (empty: main meter) of the reading at this place, or why it is refused."""
    signed, field = message.readings[at], f"readings[{at}]"
    reading = signed.reading
    meter = state.get(METERS, reading.meter)
    if meter is None or meter.site != market_round.site:
        return Refusal(Reason.UNKNOWN_METER, f"{field}.meter")
    if not signed.is_signed(message.chain_id):
        return Refusal(Reason.BAD_READING_SIGNATURE, f"{field}.signature")
    if (reading.start_s, reading.end_s) != (market_round.slot_start_s, market_round.slot_end_s):
        return Refusal(Reason.WRONG_PERIOD, f"{field}.start_s")
    if reading.import_end_wh < reading.import_start_wh:
        return Refusal(Reason.REGISTER_BACKWARDS, f"{field}.import_end_wh")
    if reading.export_end_wh < reading.export_start_wh:
        return Refusal(Reason.REGISTER_BACKWARDS, f"{field}.export_end_wh")
    if state.get(READINGS, meter.port.encode(), message.round_id) is not None:
        return Refusal(Reason.ALREADY_REPORTED, field)
    progress = state.get(METER_PROGRESS, reading.meter)
    if progress is not None:
        if reading.sequence <= progress.sequence:
            return Refusal(Reason.REPEATED_SEQUENCE, f"{field}.sequence")
        if reading.start_s < progress.end_s:
            return Refusal(Reason.WRONG_PERIOD, f"{field}.start_s")
        if reading.import_start_wh < progress.import_wh:
            return Refusal(Reason.REGISTER_BACKWARDS, f"{field}.import_start_wh")
        if reading.export_start_wh < progress.export_wh:
            return Refusal(Reason.REGISTER_BACKWARDS, f"{field}.export_start_wh")
    return meter.port
