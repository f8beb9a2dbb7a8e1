"""Settled awards become coins: holds are spent, sellers, supplier and fees paid, a pot kept.

Knows state and the settlement's arithmetic.
"""

from __future__ import annotations

from msgspec.structs import replace

from peerwatt.contracts.accounts import account_of, credit, spend, spend_held
from peerwatt.contracts.rewards import count_contribution
from peerwatt.contracts.settlement import Pool, settle
from peerwatt.contracts.sites import site_of
from peerwatt.contracts.state import (
    AWARDS,
    PORT_ORDERS,
    POT,
    READINGS,
    SETTLEMENTS,
    InvariantError,
    State,
    must,
)
from peerwatt.records.codec import encode
from peerwatt.records.market import (
    Flag,
    Prices,
    Round,
    SettlementTotals,
    Side,
)
from peerwatt.records.members import Site
from peerwatt.records.readings import MeterReading
from peerwatt.units import cost_ceil_ucoin, cost_floor_ucoin

# The main meter may differ from the others, and from the connection's limit, by a twentieth of
# what flowed, and 1 Wh a meter.
MAIN_METER_TOLERANCE = 20


def settle_round(state: State, round_id: bytes, market_round: Round) -> Round:
    """Settle a delivered round; rows are sealed, every hold of the round ends."""
    site = site_of(state, market_round.site)
    clearing = must(market_round.clearing)
    signed = state.items(READINGS, round_id)
    readings = {port.decode(): each.reading for port, each in signed}
    main = readings.pop("", None)
    awards = [award for _, award in state.items(AWARDS, round_id)]
    pool = settle(
        awards,
        readings,
        market_round.prices,
        clearing,
        market_round.import_limit_wh,
        market_round.export_limit_wh,
    )
    held = {each.order_id: each.held_ucoin for each in awards}
    totals = _pay(state, site, market_round.prices, pool, held, clearing.supplier_held_ucoin)
    export_limit_wh = market_round.export_limit_wh
    most_fed_in_wh = export_limit_wh + export_limit_wh // MAIN_METER_TOLERANCE + len(awards)
    totals = _pay_site_loss(
        state, site, market_round.prices, totals, main, len(awards), most_fed_in_wh
    )
    for award in awards:
        state.delete(AWARDS, award.order_id, round_id)
        state.delete(PORT_ORDERS, award.port.encode(), round_id)
    for port, _ in signed:
        state.delete(READINGS, port, round_id)
    for each in pool.settled:
        state.put(SETTLEMENTS, each.order_id, each, round_id)
        if each.side == Side.SELL:
            count_contribution(state, market_round.site, each.owner, each.metered_wh)
    rows = [(each.order_id, encode(each)) for each in pool.settled]
    return replace(
        market_round,
        readings_root=state.seal("readings", round_id, [(k, encode(v)) for k, v in signed]),
        settlements_root=state.seal("settlements", round_id, rows),
        totals=totals,
    )


def _pay(
    state: State,
    site: Site,
    prices: Prices,
    pool: Pool,
    held_ucoin: dict[bytes, int],
    supplier_held_ucoin: int,
) -> SettlementTotals:
    """Everyone's part of the pool; what is left goes to the pot and is never negative."""
    paid = received = penalty = 0
    for each in pool.settled:
        spent = each.paid_ucoin + each.penalty_ucoin
        spend_held(state, each.owner, held_ucoin[each.order_id], spent)
        credit(state, each.owner, each.received_ucoin)
        paid += each.paid_ucoin
        received += each.received_ucoin
        penalty += each.penalty_ucoin
    exported = cost_ceil_ucoin(pool.export_wh, prices.feed_in_ucoin_per_kwh)
    imported = cost_floor_ucoin(pool.import_wh, prices.retail_ucoin_per_kwh)
    spend_held(state, site.supplier, supplier_held_ucoin, exported)
    credit(state, site.supplier, imported)
    local_wh = pool.sold_wh - pool.export_wh
    network = cost_floor_ucoin(local_wh, prices.network_fee_ucoin_per_kwh)
    platform = cost_floor_ucoin(local_wh, prices.platform_fee_ucoin_per_kwh)
    levy = cost_floor_ucoin(local_wh, prices.levy_ucoin_per_kwh)
    credit(state, site.grid_operator, network + levy)
    credit(state, site.operator, platform)
    supplier = imported - exported
    pot = paid + penalty - received - supplier - network - platform - levy
    if pot < 0:
        raise InvariantError(f"a pool is short by {-pot} ucoin")
    credit(state, POT, pot)
    return SettlementTotals(
        bought_wh=pool.bought_wh,
        sold_wh=pool.sold_wh,
        import_wh=pool.import_wh,
        export_wh=pool.export_wh,
        unserved_wh=pool.unserved_wh,
        paid_ucoin=paid,
        received_ucoin=received,
        penalty_ucoin=penalty,
        supplier_ucoin=supplier,
        network_fee_ucoin=network,
        platform_fee_ucoin=platform,
        levy_ucoin=levy,
        pot_ucoin=pot,
    )


def _pay_site_loss(
    state: State,
    site: Site,
    prices: Prices,
    totals: SettlementTotals,
    main: MeterReading | None,
    meters: int,
    most_fed_in_wh: int,
) -> SettlementTotals:
    """The supplier is due the main meter's net flow at the tariff; the operator of the site bears
    what that differs from the pool, as far as the payer's free coins go. The meter is the site's
    own, so nothing is paid for what the connection cannot have carried."""
    if main is None:
        return replace(totals, flags=totals.flags | Flag.MAIN_METER_MISSING)
    net_wh = main.imported_wh - main.exported_wh
    loss_wh = net_wh - (totals.import_wh - totals.export_wh)
    due = (
        cost_floor_ucoin(max(net_wh, 0), prices.retail_ucoin_per_kwh)
        - cost_ceil_ucoin(min(max(-net_wh, 0), most_fed_in_wh), prices.feed_in_ucoin_per_kwh)
        - totals.supplier_ucoin
    )
    payer, payee = (site.operator, site.supplier) if due > 0 else (site.supplier, site.operator)
    moved = min(abs(due), account_of(state, payer).free_ucoin)
    spend(state, payer, moved)
    credit(state, payee, moved)
    flags = totals.flags
    if moved < abs(due):
        flags |= Flag.OPERATOR_IN_ARREARS if due > 0 else Flag.SUPPLIER_IN_ARREARS
    if abs(loss_wh) > (totals.bought_wh + totals.sold_wh) // MAIN_METER_TOLERANCE + meters:
        flags |= Flag.MAIN_METER_DISAGREES
    signed = moved if due > 0 else -moved
    return replace(
        totals,
        site_loss_wh=loss_wh,
        operator_ucoin=-signed,
        supplier_ucoin=totals.supplier_ucoin + signed,
        flags=flags,
    )
