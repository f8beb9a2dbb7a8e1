"""A delivered round becomes money: metered energy paid, shortfalls charged, all residuals booked.

Knows records and arithmetic; `payouts` moves the money. With a buyer's price B, a seller's
price c, retail r and feed-in f (ucoin/kWh):

- a seller pays (max(r, B) - c)+ and the penalty for each missing Wh, so that the pool can buy
  its replacement;
- buyers are excused, and pay nothing, for what could not be replaced because the connection
  was full; sellers likewise for a surplus that the connection could not take;
- a buyer that takes less pays (B - r)+ for grid energy that shrinks, (B - f)+ for surplus that
  the supplier takes at feed-in, and B for surplus that nobody can take.

Under these rules the pool never runs short; what it keeps goes to the pot. The supplier is
paid by the main meter; what that differs from the pool is the site's loss, and its operator's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from peerwatt.contracts.auction import apportion
from peerwatt.records.market import (
    Award,
    Clearing,
    Flag,
    Prices,
    SettledAward,
    Side,
)
from peerwatt.records.readings import MeterReading
from peerwatt.units import WH_PER_KWH, cost_ceil_ucoin, cost_floor_ucoin


class Pool(NamedTuple):
    """A round's settled awards, by id, and the pool's energy in Wh."""

    settled: list[SettledAward]
    bought_wh: int
    sold_wh: int
    import_wh: int
    export_wh: int
    unserved_wh: int


class Short(NamedTuple):
    """How missing energy splits by cause: excused on each side, surplus exported or stranded."""

    unserved_wh: int
    stranded_wh: int
    exported_wh: int


def settle(
    awards: Sequence[Award],
    readings: Mapping[str, MeterReading],
    prices: Prices,
    clearing: Clearing,
    import_limit_wh: int,
    export_limit_wh: int,
) -> Pool:
    """Settle awards against metered energy; `readings` are by port, missing ones are absent."""
    buys = [each for each in awards if each.side == Side.BUY]
    sells = [each for each in awards if each.side == Side.SELL]
    taken = [_metered(each, readings) for each in buys]
    given = [_metered(each, readings) for each in sells]
    buyers_missing = [a.energy_wh - m for a, m in zip(buys, taken, strict=True)]
    sellers_missing = [a.energy_wh - m for a, m in zip(sells, given, strict=True)]
    bought, sold = sum(taken), sum(given)
    short = _split(
        clearing, sum(buyers_missing), sum(sellers_missing), import_limit_wh, export_limit_wh
    )
    excused_buys = apportion(short.unserved_wh, buyers_missing)
    excused_sells = apportion(short.stranded_wh, sellers_missing)
    owed = [n - u for n, u in zip(buyers_missing, excused_buys, strict=True)]
    exported = apportion(short.exported_wh, owed)
    stranded = apportion(short.stranded_wh, [n - h for n, h in zip(owed, exported, strict=True)])
    settled = [
        _settle_buy(*each, prices, readings)
        for each in zip(buys, taken, excused_buys, exported, stranded, strict=True)
    ]
    replacement = max(prices.retail_ucoin_per_kwh, clearing.buyer_price_ucoin_per_kwh)
    settled += [
        _settle_sell(*each, replacement, prices, readings)
        for each in zip(sells, given, excused_sells, strict=True)
    ]
    return Pool(
        settled=sorted(settled, key=lambda each: each.order_id),
        bought_wh=bought,
        sold_wh=sold,
        import_wh=max(bought - sold, 0),
        export_wh=max(sold - bought, 0),
        unserved_wh=short.unserved_wh,
    )


def _metered(award: Award, readings: Mapping[str, MeterReading]) -> int:
    """Metered energy towards the award, at most the award; missing: a buyer's counts as awarded,
    a seller's as nothing."""
    reading = readings.get(award.port)
    if reading is None:
        return award.energy_wh if award.side == Side.BUY else 0
    return min(max(_net(award, reading), 0), award.energy_wh)


def _net(award: Award, reading: MeterReading) -> int:
    net = reading.imported_wh - reading.exported_wh
    return net if award.side == Side.BUY else -net


def _split(
    clearing: Clearing,
    buyers_missing: int,
    sellers_missing: int,
    import_limit: int,
    export_limit: int,
) -> Short:
    """Split what is missing by cause.

    Buyers are excused for what the import limit kept from being replaced; then sellers for what
    the export limit kept from flowing out; surplus beyond the awarded export was exported.
    """
    awarded_import = clearing.import_wh - clearing.export_wh
    unserved = _clip(awarded_import + sellers_missing - import_limit, buyers_missing)
    owed = buyers_missing - unserved
    stranded = _clip(owed - awarded_import - export_limit, min(sellers_missing - unserved, owed))
    net_export = buyers_missing - sellers_missing - awarded_import
    exported = _clip(max(net_export, 0) - clearing.export_wh, owed - stranded)
    return Short(unserved, stranded, exported)


def _clip(value: int, upper: int) -> int:
    return max(0, min(value, upper))


def _settle_buy(
    award: Award,
    taken_wh: int,
    excused_wh: int,
    exported_wh: int,
    stranded_wh: int,
    prices: Prices,
    readings: Mapping[str, MeterReading],
) -> SettledAward:
    """A buyer pays for what it took; for what it was owed and did not take, what that cost."""
    price = award.price_ucoin_per_kwh
    shrunk_wh = award.energy_wh - taken_wh - excused_wh - exported_wh - stranded_wh
    charge = (
        price * stranded_wh
        + max(price - prices.feed_in_ucoin_per_kwh, 0) * exported_wh
        + max(price - prices.retail_ucoin_per_kwh, 0) * shrunk_wh
    )
    paid = cost_ceil_ucoin(taken_wh, price)
    both = -(-(price * taken_wh + charge) // WH_PER_KWH)
    return _settled(award, taken_wh, excused_wh, paid, 0, both - paid, readings)


def _settle_sell(
    award: Award,
    given_wh: int,
    excused_wh: int,
    replacement: int,
    prices: Prices,
    readings: Mapping[str, MeterReading],
) -> SettledAward:
    """A seller is paid for what it gave and pays for what it did not."""
    missing_wh = award.energy_wh - given_wh - excused_wh
    per_kwh = (
        max(replacement - award.price_ucoin_per_kwh, 0) + prices.shortfall_penalty_ucoin_per_kwh
    )
    received = cost_floor_ucoin(given_wh, award.price_ucoin_per_kwh)
    penalty = cost_ceil_ucoin(missing_wh, per_kwh)
    return _settled(award, given_wh, excused_wh, 0, received, penalty, readings)


def _settled(
    award: Award,
    metered_wh: int,
    excused_wh: int,
    paid_ucoin: int,
    received_ucoin: int,
    penalty_ucoin: int,
    readings: Mapping[str, MeterReading],
) -> SettledAward:
    reading = readings.get(award.port)
    flags = 0
    if reading is None:
        flags = int(Flag.READING_MISSING)
    elif _net(award, reading) > award.energy_wh:
        flags = int(Flag.OVER_AWARD)
    return SettledAward(
        order_id=award.order_id,
        owner=award.owner,
        port=award.port,
        side=award.side,
        awarded_wh=award.energy_wh,
        metered_wh=metered_wh,
        excused_wh=excused_wh,
        paid_ucoin=paid_ucoin,
        received_ucoin=received_ucoin,
        penalty_ucoin=penalty_ucoin,
        flags=flags,
    )
