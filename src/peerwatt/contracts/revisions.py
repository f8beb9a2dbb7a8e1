"""Limits that losers of a first round sign for the second, until the round is cleared.

Knows state and records.
"""

from __future__ import annotations

from peerwatt.contracts.state import ORDERS, REVISIONS, ROUNDS, Refusal, Revision, State
from peerwatt.records.market import BuyOrder, FirstRound, Order, Prices, RoundStatus
from peerwatt.records.receipts import BlockContext, Reason
from peerwatt.records.transactions import ReviseOrder


def revise_order(state: State, context: BlockContext, message: ReviseOrder) -> Refusal | None:
    """The owner of an order that the first round's price left behind comes to meet it, once."""
    market_round = state.get(ROUNDS, message.round_id)
    if market_round is None:
        return Refusal(Reason.UNKNOWN_ROUND, "round_id")
    if market_round.status < RoundStatus.CLOSED:
        return Refusal(Reason.TOO_EARLY, "round_id")
    late = context.market_time_s >= market_round.clear_by_s
    if late or market_round.status != RoundStatus.CLOSED:
        return Refusal(Reason.TOO_LATE, "round_id")
    if market_round.first is None:
        return Refusal(Reason.OUT_OF_RANGE, "round_id")
    order = state.get(ORDERS, message.order_id, message.round_id)
    if order is None:
        return Refusal(Reason.UNKNOWN_ORDER, "order_id")
    if order.owner != message.signer:
        return Refusal(Reason.NOT_PERMITTED, "signer")
    if state.get(REVISIONS, message.order_id, message.round_id) is not None:
        return Refusal(Reason.ALREADY_EXISTS, "order_id")
    limit = message.limit_ucoin_per_kwh
    if not _meets(order, limit, market_round.first, market_round.prices):
        return Refusal(Reason.OUT_OF_RANGE, "limit_ucoin_per_kwh")
    # --- checked; from here on only writes ---
    state.put(REVISIONS, message.order_id, Revision(limit_ucoin_per_kwh=limit), message.round_id)
    return None


def _meets(order: Order, limit: int, first: FirstRound, prices: Prices) -> bool:
    """Whether a limit is better for the other side than the order's own, and reaches the first
    round's price, but not beyond the grid's."""
    if isinstance(order, BuyOrder):
        least = max(first.buyer_price_ucoin_per_kwh, order.limit_ucoin_per_kwh + 1)
        return least <= limit <= prices.retail_ucoin_per_kwh
    most = min(first.seller_price_ucoin_per_kwh, order.limit_ucoin_per_kwh - 1)
    return prices.feed_in_ucoin_per_kwh <= limit <= most


def take_revisions(state: State, round_id: bytes) -> dict[bytes, int]:
    """The limits signed for a round's second auction, by order; they are gone from the state."""
    revised = {}
    for order_id, each in state.items(REVISIONS, round_id):
        revised[order_id] = each.limit_ucoin_per_kwh
        state.delete(REVISIONS, order_id, round_id)
    return revised
