"""Disputes: a driver objects to a settlement, an amount is frozen, a regulator decides.

Knows state and records. Nothing settled is edited; the outcome is a credit note.
"""

from __future__ import annotations

from msgspec.structs import replace

from peerwatt.contracts.accounts import account_of, credit, hold, spend_held
from peerwatt.contracts.members import has_role
from peerwatt.contracts.sites import site_of
from peerwatt.contracts.state import DISPUTES, ROUNDS, SETTLEMENTS, Refusal, State, chain_of
from peerwatt.records.market import Dispute, Round, RoundStatus
from peerwatt.records.members import Role
from peerwatt.records.receipts import BlockContext, Reason
from peerwatt.records.transactions import OpenDispute, ResolveDispute


def open_dispute(state: State, context: BlockContext, message: OpenDispute) -> Refusal | None:
    """An order's owner disputes its settlement within the window; its site's operator, who runs
    the meters, has the amount frozen as far as its free coins go."""
    market_round = state.get(ROUNDS, message.round_id)
    if market_round is None:
        return Refusal(Reason.UNKNOWN_ROUND, "round_id")
    if market_round.status < RoundStatus.SETTLED:
        return Refusal(Reason.TOO_EARLY, "round_id")
    # The block's time counts too: the window's end may fall into this very block.
    over = context.market_time_s >= window_end_s(state, market_round)
    if over or market_round.status > RoundStatus.SETTLED:
        return Refusal(Reason.TOO_LATE, "round_id")
    settled = state.get(SETTLEMENTS, message.order_id, message.round_id)
    if settled is None:
        return Refusal(Reason.UNKNOWN_ORDER, "order_id")
    if settled.owner != message.signer:
        return Refusal(Reason.NOT_PERMITTED, "signer")
    if state.get(DISPUTES, message.order_id) is not None:
        return Refusal(Reason.ALREADY_EXISTS, "order_id")
    at_stake = settled.paid_ucoin + settled.received_ucoin + settled.penalty_ucoin
    if not 0 < message.amount_ucoin <= at_stake:
        return Refusal(Reason.OUT_OF_RANGE, "amount_ucoin")
    # --- checked; from here on only writes ---
    operator = site_of(state, market_round.site).operator
    frozen = min(message.amount_ucoin, account_of(state, operator).free_ucoin)
    hold(state, operator, frozen)
    dispute = Dispute(
        round_id=message.round_id,
        owner=message.signer,
        operator=operator,
        frozen_ucoin=frozen,
        statement_hash=message.statement_hash,
    )
    state.put(DISPUTES, message.order_id, dispute)
    return None


def window_end_s(state: State, market_round: Round) -> int:
    """Until when a round's settlements can be disputed."""
    return market_round.settle_by_s + chain_of(state).dispute_window_s


def resolve_dispute(state: State, context: BlockContext, message: ResolveDispute) -> Refusal | None:
    """A regulator's decision: part or all of what is frozen is credited, the rest is free again."""
    dispute = state.get(DISPUTES, message.order_id)
    if not has_role(state, message.signer, Role.REGULATOR):
        return Refusal(Reason.NOT_PERMITTED, "signer")
    if dispute is None:
        return Refusal(Reason.UNKNOWN_DISPUTE, "order_id")
    if dispute.resolved:
        return Refusal(Reason.ALREADY_RESOLVED, "order_id")
    if message.credit_ucoin > dispute.frozen_ucoin:
        return Refusal(Reason.OUT_OF_RANGE, "credit_ucoin")
    # --- checked; from here on only writes ---
    spend_held(state, dispute.operator, dispute.frozen_ucoin, message.credit_ucoin)
    credit(state, dispute.owner, message.credit_ucoin)
    resolved = replace(dispute, resolved=True, credit_ucoin=message.credit_ucoin)
    state.put(DISPUTES, message.order_id, resolved)
    return None
