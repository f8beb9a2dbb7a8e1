"""Hubs and what is published for them: sites, ports, who is plugged in, tariffs, limits.

Knows state and records.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from msgspec.structs import replace

from peerwatt.contracts.members import has_role
from peerwatt.contracts.state import (
    ACCOUNTS,
    LIMITS,
    METERS,
    PORTS,
    ROUNDS,
    SITES,
    TARIFFS,
    Refusal,
    State,
    must,
    port_key,
)
from peerwatt.records.market import Prices, SlotLimit, Tariff, TariffStep, round_key
from peerwatt.records.members import Meter, Port, Role, Site
from peerwatt.records.receipts import BlockContext, Reason
from peerwatt.records.transactions import (
    CheckIn,
    CheckOut,
    PublishLimits,
    PublishTariff,
    RegisterPort,
    RegisterSite,
)

MAX_LISTED = 1_000
MAX_FEEDERS = 32
# Nothing is fixed, and no coin held, for later than this.
MAX_AHEAD_S = 31 * 86_400


def register_site(
    state: State, context: BlockContext, message: RegisterSite, cosigner: bytes
) -> Refusal | None:
    """An aggregator's hub; the grid operator, who limits it, signs too."""
    if not has_role(state, message.signer, Role.AGGREGATOR):
        return Refusal(Reason.NOT_PERMITTED, "signer")
    if cosigner != message.grid_operator:
        return Refusal(Reason.BAD_COSIGNATURE, "cosigner")
    if not has_role(state, message.grid_operator, Role.GRID_OPERATOR):
        return Refusal(Reason.UNKNOWN_MEMBER, "grid_operator")
    if not has_role(state, message.supplier, Role.SUPPLIER):
        return Refusal(Reason.UNKNOWN_MEMBER, "supplier")
    if state.get(SITES, message.site.encode()) is not None:
        return Refusal(Reason.ALREADY_EXISTS, "site")
    if state.get(METERS, message.main_meter) is not None:
        return Refusal(Reason.ALREADY_EXISTS, "main_meter")
    if len(message.feeders) > MAX_FEEDERS:
        return Refusal(Reason.TOO_MANY, "feeders")
    if _unordered(message.feeders):
        return Refusal(Reason.OUT_OF_ORDER, "feeders")
    # --- checked; from here on only writes ---
    site = Site(
        operator=message.signer,
        supplier=message.supplier,
        grid_operator=message.grid_operator,
        main_meter=message.main_meter,
        import_limit_w=message.import_limit_w,
        export_limit_w=message.export_limit_w,
        slot_s=message.slot_s,
        feeders=message.feeders,
    )
    state.put(SITES, message.site.encode(), site)
    state.put(METERS, message.main_meter, Meter(site=message.site, port=""))
    return None


def register_port(state: State, context: BlockContext, message: RegisterPort) -> Refusal | None:
    """A metered connection of the signer's site."""
    refusal = _not_operator(state, message.site, message.signer)
    if refusal is not None:
        return refusal
    key = port_key(message.site, message.port)
    if state.get(PORTS, key) is not None:
        return Refusal(Reason.ALREADY_EXISTS, "port")
    if state.get(METERS, message.meter) is not None:
        return Refusal(Reason.ALREADY_EXISTS, "meter")
    if message.feeder and message.feeder not in site_of(state, message.site).feeders:
        return Refusal(Reason.UNKNOWN_FEEDER, "feeder")
    # --- checked; from here on only writes ---
    port = Port(
        meter=message.meter,
        charge_limit_w=message.charge_limit_w,
        discharge_limit_w=message.discharge_limit_w,
        feeder=message.feeder,
    )
    state.put(PORTS, key, port)
    state.put(METERS, message.meter, Meter(site=message.site, port=message.port))
    return None


def check_in(state: State, context: BlockContext, message: CheckIn) -> Refusal | None:
    """A wallet is plugged in at a free port of the signer's site."""
    refusal = _not_operator(state, message.site, message.signer)
    if refusal is not None:
        return refusal
    port = state.get(PORTS, port_key(message.site, message.port))
    wallet = state.get(ACCOUNTS, message.wallet)
    if port is None:
        return Refusal(Reason.UNKNOWN_PORT, "port")
    if wallet is None or not wallet.wallet:
        return Refusal(Reason.UNKNOWN_ACCOUNT, "wallet")
    if port.wallet:
        return Refusal(Reason.PORT_TAKEN, "port")
    # --- checked; from here on only writes ---
    state.put(PORTS, port_key(message.site, message.port), replace(port, wallet=message.wallet))
    return None


def check_out(state: State, context: BlockContext, message: CheckOut) -> Refusal | None:
    """Nobody is plugged in at the port any more; orders already placed stand."""
    refusal = _not_operator(state, message.site, message.signer)
    if refusal is not None:
        return refusal
    port = state.get(PORTS, port_key(message.site, message.port))
    if port is None:
        return Refusal(Reason.UNKNOWN_PORT, "port")
    if not port.wallet:
        return Refusal(Reason.NOT_PLUGGED_IN, "port")
    # --- checked; from here on only writes ---
    state.put(PORTS, port_key(message.site, message.port), replace(port, wallet=b""))
    return None


def _not_operator(state: State, site: str, signer: bytes) -> Refusal | None:
    record = state.get(SITES, site.encode())
    if record is None:
        return Refusal(Reason.UNKNOWN_SITE, "site")
    if record.operator != signer or not has_role(state, signer, Role.AGGREGATOR):
        return Refusal(Reason.NOT_PERMITTED, "signer")
    return None


def publish_tariff(
    state: State, context: BlockContext, message: PublishTariff, cosigner: bytes
) -> Refusal | None:
    """A supplier's prices under a new name; a grid operator signs for network fee and levy."""
    if not has_role(state, message.signer, Role.SUPPLIER):
        return Refusal(Reason.NOT_PERMITTED, "signer")
    if not has_role(state, cosigner, Role.GRID_OPERATOR):
        return Refusal(Reason.BAD_COSIGNATURE, "cosigner")
    if state.get(TARIFFS, message.tariff.encode()) is not None:
        return Refusal(Reason.ALREADY_EXISTS, "tariff")
    refusal = _bad_steps(message)
    if refusal is not None:
        return refusal
    # --- checked; from here on only writes ---
    tariff = Tariff(
        supplier=message.signer,
        grid_operator=cosigner,
        price_rule=message.price_rule,
        steps=message.steps,
        end_s=message.end_s,
        network_fee_ucoin_per_kwh=message.network_fee_ucoin_per_kwh,
        platform_fee_ucoin_per_kwh=message.platform_fee_ucoin_per_kwh,
        levy_ucoin_per_kwh=message.levy_ucoin_per_kwh,
        lost_load_ucoin_per_kwh=message.lost_load_ucoin_per_kwh,
        shortfall_penalty_ucoin_per_kwh=message.shortfall_penalty_ucoin_per_kwh,
        failed_clearing_penalty_ucoin=message.failed_clearing_penalty_ucoin,
    )
    state.put(TARIFFS, message.tariff.encode(), tariff)
    return None


def _bad_steps(message: PublishTariff) -> Refusal | None:
    """Times ascend; feed-in plus fees stays below retail, and retail within lost load.

    Otherwise a site would buy from and sell to the grid in the same slot.
    """
    fee = (
        message.network_fee_ucoin_per_kwh
        + message.platform_fee_ucoin_per_kwh
        + message.levy_ucoin_per_kwh
    )
    if not 1 <= len(message.steps) <= MAX_LISTED:
        return Refusal(Reason.TOO_MANY, "steps")
    times = [step.from_s for step in message.steps] + [message.end_s]
    if any(later <= earlier for earlier, later in pairwise(times)):
        return Refusal(Reason.OUT_OF_ORDER, "steps")
    for step in message.steps:
        if step.feed_in_ucoin_per_kwh + fee >= step.retail_ucoin_per_kwh:
            return Refusal(Reason.OUT_OF_RANGE, "steps")
        if step.retail_ucoin_per_kwh > message.lost_load_ucoin_per_kwh:
            return Refusal(Reason.OUT_OF_RANGE, "lost_load_ucoin_per_kwh")
    return None


def prices_at(tariff: Tariff, start_s: int, end_s: int) -> Prices | None:
    """The price parts of a slot; None where the tariff does not cover the whole of it with one
    step, as whoever opens the round could else choose among its prices."""
    step: TariffStep | None = None
    for each in tariff.steps:
        if each.from_s <= start_s:
            step = each
        elif each.from_s < end_s:
            return None
    if step is None or end_s > tariff.end_s:
        return None
    return Prices(
        price_rule=tariff.price_rule,
        retail_ucoin_per_kwh=step.retail_ucoin_per_kwh,
        feed_in_ucoin_per_kwh=step.feed_in_ucoin_per_kwh,
        network_fee_ucoin_per_kwh=tariff.network_fee_ucoin_per_kwh,
        platform_fee_ucoin_per_kwh=tariff.platform_fee_ucoin_per_kwh,
        levy_ucoin_per_kwh=tariff.levy_ucoin_per_kwh,
        lost_load_ucoin_per_kwh=tariff.lost_load_ucoin_per_kwh,
        shortfall_penalty_ucoin_per_kwh=tariff.shortfall_penalty_ucoin_per_kwh,
        failed_clearing_penalty_ucoin=tariff.failed_clearing_penalty_ucoin,
    )


def publish_limits(state: State, context: BlockContext, message: PublishLimits) -> Refusal | None:
    """The grid operator limits slots whose round is not yet open, the connection and the feeders
    that it names; a later limit replaces one."""
    site = state.get(SITES, message.site.encode())
    if site is None:
        return Refusal(Reason.UNKNOWN_SITE, "site")
    grid_operator = has_role(state, message.signer, Role.GRID_OPERATOR)
    if message.signer != site.grid_operator or not grid_operator:
        return Refusal(Reason.NOT_PERMITTED, "signer")
    if not 1 <= len(message.limits) <= MAX_LISTED:
        return Refusal(Reason.TOO_MANY, "limits")
    if _unordered([limit.slot_start_s for limit in message.limits]):
        return Refusal(Reason.OUT_OF_ORDER, "limits")
    for limit in message.limits:
        refusal = _bad_limit(state, message.site, site, limit, context.market_time_s)
        if refusal is not None:
            return refusal
    # --- checked; from here on only writes ---
    for limit in message.limits:
        state.put(LIMITS, round_key(message.site, limit.slot_start_s), limit)
    return None


def _bad_limit(state: State, name: str, site: Site, limit: SlotLimit, now_s: int) -> Refusal | None:
    if limit.slot_start_s % site.slot_s or limit.slot_start_s > now_s + MAX_AHEAD_S:
        return Refusal(Reason.OUT_OF_RANGE, "limits")
    if limit.import_limit_w > site.import_limit_w or limit.export_limit_w > site.export_limit_w:
        return Refusal(Reason.OVER_LIMIT, "limits")
    names = [each.feeder for each in limit.feeders]
    if any(name not in site.feeders for name in names):
        return Refusal(Reason.UNKNOWN_FEEDER, "limits")
    if _unordered(names):
        return Refusal(Reason.OUT_OF_ORDER, "limits")
    opened = state.get(ROUNDS, round_key(name, limit.slot_start_s)) is not None
    if opened or limit.slot_start_s <= now_s:
        return Refusal(Reason.TOO_LATE, "limits")
    return None


def _unordered(keys: Sequence[int] | Sequence[str]) -> bool:
    """Whether what must ascend does not; equal ones do not."""
    return any(later <= earlier for earlier, later in pairwise(keys))  # type: ignore[operator]


def site_of(state: State, site: str) -> Site:
    """A site that has to exist."""
    return must(state.get(SITES, site.encode()))
