"""How the reference pays out a settled round.

Knows the records and the reference's rows.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from peerwatt.records.codec import encode
from peerwatt.records.market import Award, Flag, Prices, Round, RoundStatus, SettlementTotals
from peerwatt.records.members import Site
from peerwatt.records.readings import MeterReading
from peerwatt.simulation.reference_rewards import contribute
from peerwatt.simulation.reference_rows import POT, Rows, down, entries_root, move, up
from peerwatt.simulation.reference_settlement import Settled, settle

TOLERANCE = 20


def settle_round(rows: Rows, round_id: bytes, market_round: Round) -> Round:
    """Everybody is paid; holds end; the rows go into trees."""
    signed = dict(rows.shelf("readings", round_id))
    readings = {port.decode(): each.reading for port, each in signed.items() if port}
    main = signed[b""].reading if b"" in signed else None
    awards = [award for _, award in sorted(rows.shelf("awards", round_id).items())]
    settled = settle(market_round, awards, readings)
    site: Site = rows.get("sites", market_round.site.encode())
    totals = _pay(rows, site, market_round, awards, settled)
    if main is None:
        totals = replace(totals, flags=int(Flag.MAIN_METER_MISSING))
    else:
        totals = _pay_loss(rows, site, market_round, totals, main, len(awards))
    for table in ("readings", "awards", "port_orders"):
        rows.clear(table, round_id)
    for row in settled.rows:
        rows.put("settlements", row.order_id, row, round_id)
        contribute(rows, market_round.site, row)
    return replace(
        market_round,
        status=RoundStatus.SETTLED,
        readings_root=entries_root([(port, encode(each)) for port, each in signed.items()]),
        settlements_root=entries_root([(row.order_id, encode(row)) for row in settled.rows]),
        totals=totals,
    )


def _pay(
    rows: Rows, site: Site, market_round: Round, awards: list[Award], settled: Settled
) -> SettlementTotals:
    """Every hold is free again, then everybody pays and is paid; the pot has what is left."""
    prices, clearing = market_round.prices, market_round.clearing
    for award in awards:
        move(rows, award.owner, award.held_ucoin, held=True)
    for row in settled.rows:
        move(rows, row.owner, row.received_ucoin - row.paid_ucoin - row.penalty_ucoin)
    imported = max(settled.taken_wh - settled.given_wh, 0)
    exported = max(settled.given_wh - settled.taken_wh, 0)
    supplier = down(imported, prices.retail_ucoin_per_kwh)
    supplier -= up(exported, prices.feed_in_ucoin_per_kwh)
    if clearing is not None:
        move(rows, site.supplier, clearing.supplier_held_ucoin, held=True)
    move(rows, site.supplier, supplier)
    local = settled.given_wh - exported
    network = down(local, prices.network_fee_ucoin_per_kwh)
    platform = down(local, prices.platform_fee_ucoin_per_kwh)
    levy = down(local, prices.levy_ucoin_per_kwh)
    move(rows, site.grid_operator, network)
    move(rows, site.grid_operator, levy)
    move(rows, site.operator, platform)
    paid = sum(row.paid_ucoin for row in settled.rows)
    received = sum(row.received_ucoin for row in settled.rows)
    penalty = sum(row.penalty_ucoin for row in settled.rows)
    pot = paid + penalty - (received + supplier + network + platform + levy)
    move(rows, POT, pot)
    return SettlementTotals(
        bought_wh=settled.taken_wh,
        sold_wh=settled.given_wh,
        import_wh=imported,
        export_wh=exported,
        unserved_wh=settled.unserved_wh,
        paid_ucoin=paid,
        received_ucoin=received,
        penalty_ucoin=penalty,
        supplier_ucoin=supplier,
        network_fee_ucoin=network,
        platform_fee_ucoin=platform,
        levy_ucoin=levy,
        pot_ucoin=pot,
    )


class _Debt(NamedTuple):
    debtor: bytes
    creditor: bytes
    arrears: Flag


def _pay_loss(
    rows: Rows,
    site: Site,
    market_round: Round,
    totals: SettlementTotals,
    main: MeterReading,
    meters: int,
) -> SettlementTotals:
    """The site's operator and its supplier square what the main meter saw beyond the others."""
    net_wh = main.import_end_wh - main.import_start_wh
    net_wh -= main.export_end_wh - main.export_start_wh
    due = _tariff_value(market_round, net_wh, meters) - totals.supplier_ucoin
    debt = _Debt(site.operator, site.supplier, Flag.OPERATOR_IN_ARREARS)
    if due < 0:
        debt = _Debt(site.supplier, site.operator, Flag.SUPPLIER_IN_ARREARS)
    paid = min(abs(due), rows.get("accounts", debt.debtor).free_ucoin)
    move(rows, debt.debtor, -paid)
    move(rows, debt.creditor, paid)
    to_supplier = paid if due > 0 else -paid
    loss_wh = net_wh - totals.import_wh + totals.export_wh
    tolerated = (totals.bought_wh + totals.sold_wh) // TOLERANCE + meters
    flags = int(debt.arrears) if paid < abs(due) else 0
    flags += int(Flag.MAIN_METER_DISAGREES) if abs(loss_wh) > tolerated else 0
    return replace(
        totals,
        site_loss_wh=loss_wh,
        operator_ucoin=-to_supplier,
        supplier_ucoin=totals.supplier_ucoin + to_supplier,
        flags=flags,
    )


def _tariff_value(market_round: Round, net_wh: int, meters: int) -> int:
    """What the supplier is due for a main meter's net flow; nothing beyond the connection."""
    prices: Prices = market_round.prices
    if net_wh >= 0:
        return down(net_wh, prices.retail_ucoin_per_kwh)
    most = market_round.export_limit_wh + market_round.export_limit_wh // TOLERANCE + meters
    return -up(min(-net_wh, most), prices.feed_in_ucoin_per_kwh)
