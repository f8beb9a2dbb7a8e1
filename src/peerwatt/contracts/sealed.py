"""Sealed orders: committed to before the gate, shown after it, at a price where they are not.

Knows state, records and what an order may say. The book's running hash takes in what is sealed, and
nothing of what is shown later: what an auction draws from it nobody can change after the gate.
"""

from __future__ import annotations

from peerwatt.contracts.accounts import account_of, credit, hold, release, spend_held
from peerwatt.contracts.orders import Whose, buy_order, count_order, open_port, sell_order
from peerwatt.contracts.state import (
    ORDERS,
    PORT_ORDERS,
    PORTS,
    POT,
    ROUNDS,
    SEALED,
    OrderAt,
    Refusal,
    State,
    must,
    port_key,
)
from peerwatt.records.codec import encode
from peerwatt.records.market import Order
from peerwatt.records.receipts import BlockContext, Event, Reason
from peerwatt.records.sealed import DEPOSITS_UCOIN, BuyTerms, SealedOrder, commitment_of
from peerwatt.records.transactions import RevealOrder, SealOrder

WITHHELD_SHARE = 10
"""One part in so many of its deposit is what an order costs that is not shown."""


def seal_order(
    state: State, context: BlockContext, message: SealOrder, message_id: bytes
) -> Refusal | None:
    """An order of which only its port and its deposit are known; the deposit is held."""
    found = open_port(state, context, message)
    if isinstance(found, Refusal):
        return found
    market_round, _ = found
    if message.deposit_ucoin not in DEPOSITS_UCOIN:
        return Refusal(Reason.OUT_OF_RANGE, "deposit_ucoin")
    if message.deposit_ucoin > account_of(state, message.signer).free_ucoin:
        return Refusal(Reason.UNFUNDED, "deposit_ucoin")
    # --- checked; from here on only writes ---
    sealed = SealedOrder(
        order_id=message_id,
        owner=message.signer,
        port=message.port,
        deposit_ucoin=message.deposit_ucoin,
        commitment=message.commitment,
    )
    hold(state, sealed.owner, sealed.deposit_ucoin)
    state.put(SEALED, message_id, sealed, message.round_id)
    at = OrderAt(order_id=message_id)
    state.put(PORT_ORDERS, message.port.encode(), at, message.round_id)
    count_order(state, message.round_id, market_round, 1, encode(sealed))
    return None


def reveal_order(state: State, context: BlockContext, message: RevealOrder) -> Refusal | None:
    """A sealed order becomes an order under its own id; what the deposit holds too much is free."""
    market_round = state.get(ROUNDS, message.round_id)
    if market_round is None:
        return Refusal(Reason.UNKNOWN_ROUND, "round_id")
    if not market_round.reveal_by_s:
        return Refusal(Reason.NOT_SEALED, "round_id")
    if context.market_time_s < market_round.gate_s:
        return Refusal(Reason.TOO_EARLY, "round_id")
    if context.market_time_s >= market_round.reveal_by_s:
        return Refusal(Reason.TOO_LATE, "round_id")
    sealed = state.get(SEALED, message.order_id, message.round_id)
    if sealed is None:
        return Refusal(Reason.UNKNOWN_ORDER, "order_id")
    if sealed.owner != message.signer:
        return Refusal(Reason.NOT_PERMITTED, "signer")
    terms = message.terms
    bound = (message.chain_id, sealed.owner, message.round_id, sealed.port)
    if commitment_of(*bound, terms, message.salt) != sealed.commitment:
        return Refusal(Reason.WRONG_COMMITMENT, "terms")
    port = must(state.get(PORTS, port_key(market_round.site, sealed.port)))
    whose = Whose(sealed.order_id, sealed.owner, sealed.port)
    order: Order | Refusal
    if isinstance(terms, BuyTerms):
        order = buy_order(market_round, port, terms, whose)
    else:
        order = sell_order(market_round, port, terms, whose)
    if isinstance(order, Refusal):
        return Refusal(order.reason, "terms")
    if order.held_ucoin > sealed.deposit_ucoin:
        return Refusal(Reason.OVER_LIMIT, "terms")
    # --- checked; from here on only writes ---
    release(state, sealed.owner, sealed.deposit_ucoin - order.held_ucoin)
    state.delete(SEALED, sealed.order_id, message.round_id)
    state.put(ORDERS, order.order_id, order, message.round_id)
    return None


def forfeit_withheld(state: State, round_id: bytes) -> list[Event]:
    """What was not shown in time is no order; a share of its deposit goes to the pot."""
    events = []
    for order_id, sealed in state.items(SEALED, round_id):
        lost_ucoin = sealed.deposit_ucoin // WITHHELD_SHARE
        spend_held(state, sealed.owner, sealed.deposit_ucoin, lost_ucoin)
        credit(state, POT, lost_ucoin)
        state.delete(SEALED, order_id, round_id)
        state.delete(PORT_ORDERS, sealed.port.encode(), round_id)
        events.append(Event(kind="withheld", key=order_id))
    return events
