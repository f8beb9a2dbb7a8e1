"""Orders: placed by whoever is plugged in, backed by coins held, taken back before the gate.

Knows state and records. A port has one order in a round.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from peerwatt.contracts.accounts import account_of, hold, release
from peerwatt.contracts.state import (
    ORDERS,
    PORT_ORDERS,
    PORTS,
    ROUNDS,
    SEALED,
    OrderAt,
    Refusal,
    State,
    chain_of,
    port_key,
)
from peerwatt.records.codec import digest, encode
from peerwatt.records.market import (
    BuyOrder,
    Mechanism,
    Order,
    Prices,
    Round,
    RoundStatus,
    SellOrder,
)
from peerwatt.records.members import Port
from peerwatt.records.receipts import BlockContext, Reason
from peerwatt.records.sealed import BuyTerms, SealedOrder, SellTerms, Terms
from peerwatt.records.transactions import CancelOrder, PlaceBuyOrder, PlaceSellOrder, SealOrder
from peerwatt.units import cost_ceil_ucoin, energy_floor_wh


class Whose(NamedTuple):
    """Which order it is, whose, and at which port."""

    order_id: bytes
    owner: bytes
    port: str


def place_buy_order(
    state: State, context: BlockContext, message: PlaceBuyOrder, message_id: bytes
) -> Refusal | None:
    """A wish for energy; the most that it can cost is held. Where an auction asks what energy is
    worth, the order says no more than a limit."""
    found = open_port(state, context, message)
    if isinstance(found, Refusal):
        return found
    market_round, port = found
    order = buy_order(market_round, port, message, Whose(message_id, message.signer, message.port))
    if isinstance(order, Refusal):
        return order
    if order.held_ucoin > account_of(state, message.signer).free_ucoin:
        return Refusal(Reason.UNFUNDED, "max_wh")
    # --- checked; from here on only writes ---
    _add(state, message.round_id, market_round, order)
    return None


def place_sell_order(
    state: State, context: BlockContext, message: PlaceSellOrder, message_id: bytes
) -> Refusal | None:
    """An offer of energy; the most that failing to deliver it can cost is held."""
    found = open_port(state, context, message)
    if isinstance(found, Refusal):
        return found
    market_round, port = found
    order = sell_order(market_round, port, message, Whose(message_id, message.signer, message.port))
    if isinstance(order, Refusal):
        return order
    if order.held_ucoin > account_of(state, message.signer).free_ucoin:
        return Refusal(Reason.UNFUNDED, "max_wh")
    # --- checked; from here on only writes ---
    _add(state, message.round_id, market_round, order)
    return None


def buy_order(
    market_round: Round, port: Port, terms: PlaceBuyOrder | BuyTerms, whose: Whose
) -> BuyOrder | Refusal:
    """The order that these terms come to, or what is wrong with them."""
    prices = market_round.prices
    if terms.max_wh == 0:
        return Refusal(Reason.OUT_OF_RANGE, "max_wh")
    if terms.min_wh > terms.max_wh:
        return Refusal(Reason.OUT_OF_RANGE, "min_wh")
    if terms.max_wh > _slot_energy_wh(port.charge_limit_w, market_round):
        return Refusal(Reason.OVER_LIMIT, "max_wh")
    if terms.price_high_ucoin_per_kwh > prices.lost_load_ucoin_per_kwh:
        return Refusal(Reason.OUT_OF_RANGE, "price_high_ucoin_per_kwh")
    if terms.price_low_ucoin_per_kwh > terms.price_high_ucoin_per_kwh:
        return Refusal(Reason.OUT_OF_RANGE, "price_low_ucoin_per_kwh")
    states_limit = market_round.mechanism.states_limits
    if states_limit and terms.price_low_ucoin_per_kwh != terms.price_high_ucoin_per_kwh:
        return Refusal(Reason.OUT_OF_RANGE, "price_low_ucoin_per_kwh")
    refusal = _unfit(market_round, terms, "price_high_ucoin_per_kwh")
    if refusal is not None:
        return refusal
    # Who loses in the first of two rounds may come up to retail in the second.
    twice = market_round.mechanism == Mechanism.V2V
    most = prices.retail_ucoin_per_kwh if twice else terms.price_high_ucoin_per_kwh
    held_ucoin = cost_ceil_ucoin(terms.min_wh, prices.lost_load_ucoin_per_kwh) + cost_ceil_ucoin(
        terms.max_wh - terms.min_wh, most
    )
    said = {name: getattr(terms, name) for name in BuyTerms.__struct_fields__}
    return BuyOrder(**whose._asdict(), held_ucoin=held_ucoin, feeder=port.feeder, **said)


def sell_order(
    market_round: Round, port: Port, terms: PlaceSellOrder | SellTerms, whose: Whose
) -> SellOrder | Refusal:
    """The order that these terms come to, or what is wrong with them."""
    if terms.max_wh == 0:
        return Refusal(Reason.OUT_OF_RANGE, "max_wh")
    if terms.max_wh > _slot_energy_wh(port.discharge_limit_w, market_round):
        return Refusal(Reason.OVER_LIMIT, "max_wh")
    if terms.ask_ucoin_per_kwh > market_round.prices.lost_load_ucoin_per_kwh:
        return Refusal(Reason.OUT_OF_RANGE, "ask_ucoin_per_kwh")
    if terms.slope_ucoin_per_kwh2 == 0 and market_round.mechanism == Mechanism.WELFARE_PAIRS:
        return Refusal(Reason.OUT_OF_RANGE, "slope_ucoin_per_kwh2")
    if terms.slope_ucoin_per_kwh2 and market_round.mechanism.states_limits:
        return Refusal(Reason.OUT_OF_RANGE, "slope_ucoin_per_kwh2")
    refusal = _unfit(market_round, terms, "ask_ucoin_per_kwh")
    if refusal is not None:
        return refusal
    held_ucoin = cost_ceil_ucoin(terms.max_wh, _worst_shortfall(market_round.prices))
    said = {name: getattr(terms, name) for name in SellTerms.__struct_fields__}
    return SellOrder(**whose._asdict(), held_ucoin=held_ucoin, feeder=port.feeder, **said)


def cancel_order(state: State, context: BlockContext, message: CancelOrder) -> Refusal | None:
    """The owner takes its order back; what was held is free again."""
    market_round = state.get(ROUNDS, message.round_id)
    if market_round is None:
        return Refusal(Reason.UNKNOWN_ROUND, "round_id")
    if not _is_open(market_round, context):
        return Refusal(Reason.TOO_LATE, "round_id")
    order: Order | SealedOrder | None = state.get(SEALED, message.order_id, message.round_id)
    order = order or state.get(ORDERS, message.order_id, message.round_id)
    if order is None:
        return Refusal(Reason.UNKNOWN_ORDER, "order_id")
    if order.owner != message.signer:
        return Refusal(Reason.NOT_PERMITTED, "signer")
    # --- checked; from here on only writes ---
    if isinstance(order, SealedOrder):
        release(state, order.owner, order.deposit_ucoin)
        state.delete(SEALED, order.order_id, message.round_id)
    else:
        release(state, order.owner, order.held_ucoin)
        state.delete(ORDERS, order.order_id, message.round_id)
    state.delete(PORT_ORDERS, order.port.encode(), message.round_id)
    count_order(state, message.round_id, market_round, -1, order.order_id)
    return None


def open_port(
    state: State, context: BlockContext, message: PlaceBuyOrder | PlaceSellOrder | SealOrder
) -> tuple[Round, Port] | Refusal:
    """The open round and the port at which the signer is plugged in, free for an order."""
    market_round = state.get(ROUNDS, message.round_id)
    if market_round is None:
        return Refusal(Reason.UNKNOWN_ROUND, "round_id")
    if not _is_open(market_round, context):
        return Refusal(Reason.TOO_LATE, "round_id")
    if market_round.reveal_by_s and not isinstance(message, SealOrder):
        return Refusal(Reason.SEALED_ONLY, "round_id")
    if not market_round.reveal_by_s and isinstance(message, SealOrder):
        return Refusal(Reason.NOT_SEALED, "round_id")
    port = state.get(PORTS, port_key(market_round.site, message.port))
    if port is None:
        return Refusal(Reason.UNKNOWN_PORT, "port")
    if port.wallet != message.signer:
        return Refusal(Reason.NOT_PLUGGED_IN, "port")
    if state.get(PORT_ORDERS, message.port.encode(), message.round_id) is not None:
        return Refusal(Reason.ALREADY_EXISTS, "port")
    if market_round.order_count >= chain_of(state).max_orders:
        return Refusal(Reason.TOO_MANY, "round_id")
    return market_round, port


def _unfit(
    market_round: Round,
    terms: PlaceBuyOrder | PlaceSellOrder | Terms,
    stated: str,
) -> Refusal | None:
    """What an auction among cars does not take: a limit that the grid betters. `stated` is the
    field that names the limit but in a `V2V` round."""
    mechanism, prices = market_round.mechanism, market_round.prices
    if terms.limit_ucoin_per_kwh and mechanism != Mechanism.V2V:
        return Refusal(Reason.OUT_OF_RANGE, "limit_ucoin_per_kwh")
    if not mechanism.among_cars:
        return None
    field = "limit_ucoin_per_kwh" if mechanism == Mechanism.V2V else stated
    limit = getattr(terms, field)
    if not prices.feed_in_ucoin_per_kwh <= limit <= prices.retail_ucoin_per_kwh:
        return Refusal(Reason.OUT_OF_RANGE, field)
    return None


def _is_open(market_round: Round, context: BlockContext) -> bool:
    """The block's time counts, not the status: the gate may fall into this very block."""
    open_still = market_round.status == RoundStatus.OPEN
    return open_still and context.market_time_s < market_round.gate_s


def _slot_energy_wh(power_w: int, market_round: Round) -> int:
    return energy_floor_wh(power_w, market_round.slot_end_s - market_round.slot_start_s)


def _worst_shortfall(prices: Prices) -> int:
    """What a missing kWh can cost its seller at most; no price exceeds lost load."""
    return prices.lost_load_ucoin_per_kwh + prices.shortfall_penalty_ucoin_per_kwh


def _add(state: State, round_id: bytes, market_round: Round, order: Order) -> None:
    hold(state, order.owner, order.held_ucoin)
    state.put(ORDERS, order.order_id, order, round_id)
    state.put(PORT_ORDERS, order.port.encode(), OrderAt(order_id=order.order_id), round_id)
    count_order(state, round_id, market_round, 1, encode(order))


def count_order(
    state: State, round_id: bytes, market_round: Round, orders: int, data: bytes
) -> None:
    """The book grows or shrinks by an order, and its running hash takes in what changed."""
    count = market_round.order_count + orders
    book_hash = digest(market_round.book_hash + data)
    state.put(ROUNDS, round_id, replace(market_round, order_count=count, book_hash=book_hash))
