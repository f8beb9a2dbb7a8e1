"""What a delivered round must come to: its settlement, computed again from its definition.

Knows the records. Prices are ucoin per kWh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from peerwatt.records.market import Award, Flag, Round, SettledAward, Side
from peerwatt.records.readings import MeterReading
from peerwatt.simulation.reference_market import lacking_price, split
from peerwatt.simulation.reference_rows import down, up


class Settled(NamedTuple):
    """Settled awards by id, what was taken and given, and what could not be served."""

    rows: list[SettledAward]
    taken_wh: int
    given_wh: int
    unserved_wh: int


def settle(
    market_round: Round, awards: Sequence[Award], readings: Mapping[str, MeterReading]
) -> Settled:
    """Settle awards against what their meters saw."""
    clearing, prices = market_round.clearing, market_round.prices
    if clearing is None:
        raise ValueError("clearing: there is none")
    buys = [each for each in awards if each.side == Side.BUY]
    sells = [each for each in awards if each.side == Side.SELL]
    taken, given = [_seen(each, readings) for each in buys], [_seen(e, readings) for e in sells]
    awarded_in = sum(each.energy_wh for each in buys)
    awarded_out = sum(each.energy_wh for each in sells)
    idle, short = awarded_in - sum(taken), awarded_out - sum(given)
    # To serve all buyers, so much would have had to come in.
    unserved = _within(awarded_in - sum(given) - market_round.import_limit_wh, idle)
    owed = idle - unserved
    # Had the sellers given all, so much would have had to go out.
    outflow = awarded_out - (awarded_in - owed)
    stranded = _within(outflow - market_round.export_limit_wh, min(short - unserved, owed))
    outflow = max(sum(given) - sum(taken), 0)
    exported = _within(outflow - clearing.export_wh, owed - stranded)
    missing = [award.energy_wh - wh for award, wh in zip(buys, taken, strict=True)]
    excused = split(unserved, missing)
    left = [wh - off for wh, off in zip(missing, excused, strict=True)]
    out = split(exported, left)
    lost = split(stranded, [wh - off for wh, off in zip(left, out, strict=True)])
    rows = []
    for at, award in enumerate(buys):
        price = award.price_ucoin_per_kwh
        shrunk = left[at] - out[at] - lost[at]
        due = price * (taken[at] + lost[at])
        due += max(price - prices.feed_in_ucoin_per_kwh, 0) * out[at]
        due += max(price - prices.retail_ucoin_per_kwh, 0) * shrunk
        paid = up(taken[at], price)
        row = _row(award, readings, taken[at], excused[at], paid=paid, penalty=up(due, 1) - paid)
        rows.append(row)
    lacking = [award.energy_wh - wh for award, wh in zip(sells, given, strict=True)]
    excused = split(stranded, lacking)
    for at, award in enumerate(sells):
        price = award.price_ucoin_per_kwh
        each = lacking_price(prices, clearing.buyer_price_ucoin_per_kwh, price)
        penalty, got = up(lacking[at] - excused[at], each), down(given[at], price)
        rows.append(_row(award, readings, given[at], excused[at], got=got, penalty=penalty))
    rows.sort(key=lambda row: row.order_id)
    return Settled(rows, sum(taken), sum(given), unserved)


def _within(value: int, most: int) -> int:
    return max(min(value, most), 0)


def _net(award: Award, reading: MeterReading) -> int:
    into = reading.import_end_wh - reading.import_start_wh
    out = reading.export_end_wh - reading.export_start_wh
    return into - out if award.side == Side.BUY else out - into


def _seen(award: Award, readings: Mapping[str, MeterReading]) -> int:
    """Metered energy, within the award; without a reading all of it for a buyer, else nothing."""
    if award.port not in readings:
        return award.energy_wh if award.side == Side.BUY else 0
    return _within(_net(award, readings[award.port]), award.energy_wh)


def _row(
    award: Award,
    readings: Mapping[str, MeterReading],
    metered_wh: int,
    excused_wh: int,
    *,
    paid: int = 0,
    got: int = 0,
    penalty: int,
) -> SettledAward:
    flags = 0
    if award.port not in readings:
        flags = Flag.READING_MISSING
    elif _net(award, readings[award.port]) > award.energy_wh:
        flags = Flag.OVER_AWARD
    return SettledAward(
        order_id=award.order_id,
        owner=award.owner,
        port=award.port,
        side=award.side,
        awarded_wh=award.energy_wh,
        metered_wh=metered_wh,
        excused_wh=excused_wh,
        paid_ucoin=paid,
        received_ucoin=got,
        penalty_ucoin=penalty,
        flags=int(flags),
    )
